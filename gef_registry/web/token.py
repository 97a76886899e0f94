"""Registry tokens: what a client may do for the next five minutes (distribution/spec "Token Authentication").

Signed with ES256, header `kid` (libtrust) and `x5c`: the one shape that distribution 2.8 and 3.x both accept. A missing
right is never an error here: the token grants the intersection of what was asked and what the account has.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from gef_registry.admission.rights import Account, reviewed_prefixes, rights
from gef_registry.errors import Denied
from gef_registry.oci.reference import is_repository

LIFETIME_S = 300
LEEWAY_S = 60
MAX_SCOPES = 400
MAX_TOKEN_BYTES = 256 * 1024
_ACTIONS = frozenset({"pull", "push", "delete"})


class _Registry(JWSRegistry):
    """The library's bounds are for tokens without a certificate in their header and with few scopes."""

    max_header_length = 8 * 1024
    max_payload_length = MAX_TOKEN_BYTES


@dataclass(frozen=True, slots=True)
class Scope:
    """`repository:NAME:ACTIONS`; NAME may hold one colon (a port), so it is read from both ends."""

    repository: str
    actions: frozenset[str]


def parse_scopes(values: Iterable[str]) -> list[Scope]:
    """Repeated and space-joined scopes; unknown kinds and malformed names are left out, as the protocol asks."""
    found: list[Scope] = []
    for word in " ".join(values).split()[:MAX_SCOPES]:
        kind, _, rest = word.partition(":")
        name, _, actions = rest.rpartition(":")
        if kind == "repository" and is_repository(name):
            wanted = set(actions.split(","))
            found.append(Scope(name, frozenset(_ACTIONS if "*" in wanted else wanted & _ACTIONS)))
    return found


@dataclass(frozen=True, slots=True)
class Grant:
    """A verified token: whose it is (None: anybody), what it grants, which candidates its holder reviews."""

    account: str | None
    grants: Mapping[str, frozenset[str]]
    reviews: tuple[str, ...]


class TokenIssuer:
    """Issues and verifies tokens of one gate. `certificate` is the DER of the self-signed certificate of the key."""

    def __init__(
        self, pem: bytes, *, kid: str, certificate: str, issuer: str, service: str, now: Callable[[], float]
    ) -> None:
        self._key = ECKey.import_key(pem)
        self._registry = _Registry(algorithms=["ES256"])
        self._header = {"typ": "JWT", "alg": "ES256", "kid": kid, "x5c": [certificate]}
        self._issuer = issuer
        self._service = service
        self._now = now

    def issue(self, account: Account | None, scopes: Iterable[Scope]) -> dict[str, Any]:
        """The answer of the token endpoint: `token`, `access_token`, `expires_in`, `issued_at`."""
        now = int(self._now())
        access = [
            {"type": "repository", "name": scope.repository, "actions": sorted(granted)}
            for scope in scopes
            if (granted := scope.actions & rights(account, scope.repository))
        ]
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._service,
            "sub": account.name if account else "",
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_S,
            "jti": secrets.token_urlsafe(16),
            "access": access,
        }
        if account is not None and (prefixes := reviewed_prefixes(account)):
            claims["gef_reviews"] = list(prefixes)
        token = jwt.encode(self._header, claims, self._key, registry=self._registry)
        issued_at = datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z")  # Go reads RFC 3339 only
        return {"token": token, "access_token": token, "expires_in": LIFETIME_S, "issued_at": issued_at}

    def verify(self, token: str) -> Grant:
        """Raises Denied: not ours, altered, expired, for another service. The algorithm is fixed, never the token's."""
        if len(token) > MAX_TOKEN_BYTES:
            raise Denied("the registry token is too long")
        try:
            claims = jwt.decode(token, self._key, registry=self._registry).claims
        except (JoseError, ValueError) as error:
            raise Denied("the registry token is not valid here", hint="log in again") from error
        now = self._now()
        not_before, expires = claims.get("nbf"), claims.get("exp")
        if not isinstance(not_before, int) or not isinstance(expires, int):
            raise Denied("the registry token has no times")
        if not not_before - LEEWAY_S <= now < expires + LEEWAY_S:
            raise Denied("the registry token has expired", hint="ask for a new one")
        if claims.get("iss") != self._issuer or claims.get("aud") != self._service:
            raise Denied("the registry token is for another service")
        grants = {item["name"]: frozenset(item["actions"]) for item in claims.get("access", [])}
        return Grant(claims.get("sub") or None, grants, tuple(claims.get("gef_reviews", ())))
