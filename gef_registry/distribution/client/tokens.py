"""Authentication to registries: Basic, and Bearer tokens as distribution's token and OAuth2 specifications say.

A credential goes to the registry it belongs to, and to a token endpoint (realm) on that same origin or on a host that
configuration lists for that registry; anywhere else the token is asked for anonymously. A realm is never reached over plain http
unless the registry itself is. Scopes are those this client needs, never those a challenge suggests. Tokens are cached
by registry and scopes until shortly before they expire.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from yarl import URL

from gef_registry.distribution.client.answers import MAX_ERROR_BODY, RETRYABLE, Answer, error_of
from gef_registry.distribution.client.challenge import Challenge, parse_challenges
from gef_registry.distribution.client.credentials import Credential, Credentials
from gef_registry.distribution.client.retry import Transient, retrying
from gef_registry.distribution.client.settings import ClientSettings
from gef_registry.distribution.client.transport import Body, Transport, shown
from gef_registry.errors import BadInput, Denied, Unavailable
from gef_registry.oci import strict_json

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=:-]{1,65536}", re.ASCII)
_MAX_TOKEN_BODY = 1 << 20
_MARGIN_S = 10
_DEFAULT_LIFE_S = 60
_MAX_CACHED = 1000


@dataclass(frozen=True, slots=True)
class _Cached:
    header: str = field(repr=False)
    expires: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What authority a request needs: the registry's name and origin, the repository, the scopes."""

    host: str
    origin: URL
    repository: str
    scopes: tuple[str, ...]


class Authorizer:
    """Knows which `Authorization` to send. Safe concurrently: one token request at a time for each registry."""

    def __init__(self, settings: ClientSettings, credentials: Credentials, transport: Transport) -> None:
        self._settings, self._credentials, self._transport = settings, credentials, transport
        self._cache: dict[tuple[str, tuple[str, ...]], _Cached] = {}
        self._secrets: set[str] = set()
        self._locks: dict[str, asyncio.Lock] = {}

    def current(self, wanted: Wanted) -> str | None:
        """The header known to work, if there is one that has not expired."""
        now = asyncio.get_running_loop().time()
        for key in ((wanted.host, wanted.scopes), (wanted.host, ())):
            cached = self._cache.get(key)
            if cached is not None and cached.expires > now:
                return cached.header
        return None

    async def renew(self, wanted: Wanted, challenges: Sequence[str], refused: str | None) -> str | None:
        """A header that answers the challenge of a 401; None when there is none. `refused` is what was sent."""
        async with self._locks.setdefault(wanted.host, asyncio.Lock()):
            known = self.current(wanted)
            if known is not None and known != refused:
                return known
            credential = await self._credentials.find(wanted.host, wanted.repository)
            if credential is not None:
                self._secrets.update(credential.secrets)
            return await self._answer(wanted, _parsed(challenges, wanted.host), credential, refused)

    def redact(self, text: str) -> str:
        """Takes every secret that this client holds out of a text from elsewhere."""
        tokens = {cached.header.partition(" ")[2] for cached in self._cache.values()}
        for secret in sorted(self._secrets | tokens, key=len, reverse=True):
            if secret:
                text = text.replace(secret, "***")
        return text

    async def _answer(
        self, wanted: Wanted, challenges: tuple[Challenge, ...], credential: Credential | None, refused: str | None
    ) -> str | None:
        bearer = next((c for c in challenges if c.scheme == "bearer" and "realm" in c.parameters), None)
        if credential is not None and credential.bearer_token and any(c.scheme == "bearer" for c in challenges):
            header, life = f"Bearer {credential.bearer_token}", float(_DEFAULT_LIFE_S)
        elif bearer is not None:
            token, life = await self._token(wanted, bearer, credential)
            header = f"Bearer {token}"
        elif credential is not None and credential.password and any(c.scheme == "basic" for c in challenges):
            return self._remember((wanted.host, ()), f"Basic {credential.basic}", 3600.0, refused)
        else:
            return None
        return self._remember((wanted.host, wanted.scopes), header, life, refused)

    def _remember(
        self, key: tuple[str, tuple[str, ...]], header: str, life_s: float, refused: str | None
    ) -> str | None:
        if header == refused:
            self._cache.pop(key, None)
            return None
        now = asyncio.get_running_loop().time()
        if len(self._cache) >= _MAX_CACHED:
            self._cache = {k: v for k, v in self._cache.items() if v.expires > now}
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[key] = _Cached(header, now + max(1.0, life_s - min(_MARGIN_S, life_s / 3)))
        return header

    async def _token(self, wanted: Wanted, challenge: Challenge, credential: Credential | None) -> tuple[str, float]:
        realm = self._realm(wanted, challenge.parameters["realm"])
        trusted = self._may_see_credentials(wanted, realm)
        service = challenge.parameters.get("service", "")
        shown_credential = credential if trusted else None
        if shown_credential is not None and shown_credential.identity_token:
            method, url, headers, body = _refresh_request(realm, service, wanted.scopes, shown_credential)
        else:
            method, url, headers, body = _basic_request(realm, service, wanted.scopes, shown_credential)
        what = f"a token for {wanted.host} from {shown(realm)}"
        answer = await retrying(
            lambda: self._ask(method, url, headers, body), self._settings, self._settings.deadline_s, what
        )
        if answer.status != 200:
            error = error_of(answer.status, answer.body, what, redact=self.redact)
            if credential is not None and not trusted:
                hint = f"credentials of {wanted.host} were not sent to {_authority(realm)}: configuration must allow that realm"
                raise Denied(error.message, hint=hint)
            raise error
        return _read_token(answer.body, shown(realm))

    def _realm(self, wanted: Wanted, text: str) -> URL:
        try:
            realm = URL(text)
        except ValueError as error:
            raise Unavailable(f"{wanted.host}: its challenge names a realm that is not a URL") from error
        schemes = ("https", "http") if wanted.origin.scheme == "http" else ("https",)
        if realm.scheme not in schemes or not realm.host or realm.user is not None or realm.password is not None:
            raise Unavailable(
                f"{wanted.host}: its challenge names the realm {shown(realm)}, expected https and no user name"
            )
        return realm.with_fragment(None)

    def _may_see_credentials(self, wanted: Wanted, realm: URL) -> bool:
        if realm.origin() == wanted.origin.origin():
            return True
        listed = self._settings.realms.get(wanted.host, ())
        return (realm.scheme == "https" or wanted.origin.scheme == "http") and _authority(realm) in listed

    async def _ask(self, method: str, url: URL, headers: dict[str, str], body: Body | None) -> Answer:
        async with self._transport.open(method, url, headers=headers, body=body) as response:
            ok = response.status == 200
            content = await self._transport.read(response, _MAX_TOKEN_BODY if ok else MAX_ERROR_BODY)
            if response.status in RETRYABLE:
                after = response.headers.get("Retry-After")
                what = f"a token from {shown(url)}"
                error = error_of(response.status, content, what, redact=self.redact, retry_after=after)
                raise Transient(error, after)
            return Answer(response.status, response.headers, content, str(url))


def _parsed(challenges: Sequence[str], host: str) -> tuple[Challenge, ...]:
    try:
        return parse_challenges(challenges)
    except BadInput as error:
        raise Unavailable(f"{host}: {error.message}") from error


def _authority(url: URL) -> str:
    """`host`, or `host:port` when the port is not the scheme's own."""
    return (url.host or "") if url.is_default_port() else f"{url.host}:{url.port}"


def _basic_request(
    realm: URL, service: str, scopes: tuple[str, ...], credential: Credential | None
) -> tuple[str, URL, dict[str, str], Body | None]:
    pairs = [("service", service)] if service else []
    url = realm.extend_query([*pairs, *(("scope", scope) for scope in scopes)])
    if credential is None or not credential.password:
        return "GET", url, {}, None
    return "GET", url.update_query(account=credential.username), {"Authorization": f"Basic {credential.basic}"}, None


def _refresh_request(
    realm: URL, service: str, scopes: tuple[str, ...], credential: Credential
) -> tuple[str, URL, dict[str, str], Body | None]:
    form = {
        "grant_type": "refresh_token",
        "service": service,
        "client_id": "gef-registry",
        "scope": " ".join(scopes),
        "refresh_token": credential.identity_token,
    }
    content = urlencode(form).encode()
    return "POST", realm, {"Content-Type": "application/x-www-form-urlencoded"}, lambda: content


def _read_token(body: bytes, what: str) -> tuple[str, float]:
    try:
        document = strict_json.load_object(body, what=what, max_bytes=_MAX_TOKEN_BODY)
    except BadInput as error:
        raise Unavailable(f"{what}: its answer is not JSON") from error
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        raise Unavailable(f"{what}: its answer holds no usable token")
    life = document.get("expires_in")
    if isinstance(life, bool) or not isinstance(life, int | float) or life <= 0:
        life = _DEFAULT_LIFE_S
    return token, float(min(life, 86400))
