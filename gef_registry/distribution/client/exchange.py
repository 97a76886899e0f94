"""One request to a registry, with everything around it: scheme, authentication, redirects, retries, errors.

`Authorization` goes to the registry's own origin only; a redirect elsewhere (blob storage) goes without it, and nothing brings it
back. TLS is the rule: plain http is spoken to hosts that settings name, and to loopback when nothing there answers TLS.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from gef_registry.distribution.client.answers import MAX_ERROR_BODY, RETRYABLE, Answer, error_of
from gef_registry.distribution.client.credentials import Credentials
from gef_registry.distribution.client.retry import Transient, retrying
from gef_registry.distribution.client.settings import ClientSettings
from gef_registry.distribution.client.tokens import Authorizer, Wanted
from gef_registry.distribution.client.transport import Body, Transport, shown
from gef_registry.errors import GefError, Unavailable
from gef_registry.oci.reference import Reference

MAX_BODY = 4 << 20
_API_HOSTS = {"docker.io": "registry-1.docker.io"}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PULL = ("pull",)


@dataclass(frozen=True, slots=True)
class Call:
    """A request: `path` is absolute on the registry, encoded, with its query. `actions` are what the token must allow;
    `also` holds further scopes. `what` names it in messages."""

    method: str
    reference: Reference
    path: str
    what: str
    actions: tuple[str, ...] = _PULL
    also: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: Body | None = None
    timeout_s: float | None = None
    max_body: int = MAX_BODY

    @property
    def scopes(self) -> tuple[str, ...]:
        return (f"repository:{self.reference.repository}:{','.join(self.actions)}", *self.also)


class Exchange:
    """Talks to registries. Safe concurrently."""

    def __init__(self, settings: ClientSettings, credentials: Credentials) -> None:
        self.settings = settings
        self.transport = Transport(settings)
        self._authorizer = Authorizer(settings, credentials, self.transport)
        self._schemes: dict[str, str] = {}

    async def fetch(self, call: Call, *, expected: tuple[int, ...] = (200,), retry: bool = True) -> Answer:
        """A small answer with one of the `expected` statuses; any other is raised as the error it means.

        `retry` (for idempotent requests) tries again on broken connections and on 408, 429, 502, 503, 504."""
        if retry:
            deadline = max(self.settings.deadline_s, call.timeout_s or 0)
            return await retrying(lambda: self._once(call, expected), self.settings, deadline, call.what)
        try:
            return await self._once(call, expected)
        except Transient as failure:
            raise failure.error from failure

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        """One attempt: the final answer after authentication and redirects, its body unread. Raises Transient."""
        origin = await self._origin(call.reference.host)
        wanted = Wanted(call.reference.host, origin, call.reference.repository, call.scopes)
        authorization = self._authorizer.current(wanted)
        async with self._followed(call, origin, authorization) as response:
            if response.status != 401 or response.url.origin() != origin:
                yield response
                return
            challenges = response.headers.getall("WWW-Authenticate", [])
            refusal = await self.transport.read(response, MAX_ERROR_BODY)
        renewed = await self._authorizer.renew(wanted, challenges, authorization)
        if renewed is None:
            raise error_of(401, refusal, call.what, redact=self._authorizer.redact)
        async with self._followed(call, origin, renewed) as response:
            yield response

    async def failure(self, call: Call, response: aiohttp.ClientResponse) -> GefError | Transient:
        """What an answer that is not a success means, with the registry's own words in it."""
        body = await self._error_body(response)
        after = response.headers.get("Retry-After")
        error = error_of(response.status, body, call.what, redact=self._authorizer.redact, retry_after=after)
        return Transient(error, after) if response.status in RETRYABLE else error

    async def close(self) -> None:
        await self.transport.close()

    async def _once(self, call: Call, expected: tuple[int, ...]) -> Answer:
        async with self.open(call) as response:
            if response.status not in expected:
                raise await self.failure(call, response)
            body = b"" if call.method == "HEAD" else await self.transport.read(response, call.max_body)
            return Answer(response.status, response.headers, body, str(response.url))

    async def _error_body(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await self.transport.read(response, MAX_ERROR_BODY)
        except (GefError, Transient):
            return b""

    @asynccontextmanager
    async def _followed(
        self, call: Call, origin: URL, authorization: str | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(str(origin) + call.path, encoded=True)
        for _ in range(self.settings.max_redirects + 1):
            headers = dict(call.headers)
            if authorization is not None:
                headers["Authorization"] = authorization
            async with self.transport.open(
                call.method, url, headers=headers, body=call.body, timeout_s=call.timeout_s
            ) as response:
                if response.status not in _REDIRECTS or call.method not in ("GET", "HEAD"):
                    yield response
                    return
                url = self._next(url, response.headers.get("Location", ""), call.what)
            if url.origin() != origin:
                authorization = None
        raise Unavailable(f"{call.what}: more than {self.settings.max_redirects} redirects")

    def _next(self, url: URL, location: str, what: str) -> URL:
        try:
            target = url.join(URL(location, encoded=True)).with_fragment(None)
            authority = f"{target.host}:{target.port}"
        except ValueError as error:
            raise Unavailable(f"{what}: redirected to something that is not a URL") from error
        plain = target.scheme == "http" and (
            {target.host, authority} & self.settings.plain_http
            or (url.scheme == "http" and is_loopback(target.host or ""))
        )
        if not location or not target.host or target.user is not None or not (target.scheme == "https" or plain):
            raise Unavailable(f"{what}: redirected to {shown(target)}, expected an https address without a user name")
        return target

    async def _origin(self, host: str) -> URL:
        """Where the API of a registry is."""
        scheme = self._schemes.get(host)
        if scheme is None:
            scheme = self._schemes[host] = await self._scheme(host)
        return URL(f"{scheme}://{_API_HOSTS.get(host, host)}")

    async def _scheme(self, host: str) -> str:
        if host in self.settings.plain_http:
            return "http"
        url = URL(f"https://{_API_HOSTS.get(host, host)}/v2/")
        if not is_loopback(url.host or ""):
            return "https"
        try:
            async with self.transport.open("GET", url, headers={}, timeout_s=self.settings.connect_timeout_s):
                return "https"
        except Transient:
            return "http"
        except Unavailable as error:
            return "https" if isinstance(error.__cause__, aiohttp.ClientConnectorCertificateError) else "http"


def is_loopback(host: str) -> bool:
    """`localhost`, or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
