"""One HTTP attempt, bounded: connect, send, read. No retries, no authentication, no redirects.

The one place that translates aiohttp's exceptions. Bodies are read as they came over the wire (no decompression: digests
are over those bytes). No cookies, no proxies or .netrc from the environment.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from gef_registry.distribution.addresses import AddressRefused, guarded_connector
from gef_registry.distribution.client.retry import Transient
from gef_registry.distribution.client.settings import ClientSettings
from gef_registry.errors import Denied, GefError, Unavailable

Body = Callable[[], "bytes | AsyncIterator[bytes]"]
READ_BYTES = 1 << 20


class Transport:
    """Connections, shared by everything one client does. Made outside a loop, used in one; close it."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        body: Body | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer with its body unread. Raises Transient for what may pass, Denied for a forbidden address."""
        limit = timeout_s or self._settings.answer_timeout_s
        try:
            async with asyncio.timeout(limit):
                response = await self._connected().request(
                    method,
                    url,
                    headers={"Accept-Encoding": "identity", "User-Agent": self._settings.user_agent, **headers},
                    data=body() if body is not None else None,
                    allow_redirects=False,
                )
        except TimeoutError as error:
            raise Transient(Unavailable(f"{shown(url)}: no answer within {limit:g} s")) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _translated(error, url) from error
        try:
            yield response
        finally:
            response.release() if response.content.at_eof() else response.close()

    async def pieces(self, response: aiohttp.ClientResponse, until: float) -> AsyncIterator[bytes]:
        """The body in pieces of at most 1 MiB; each must come within the silence limit, all before loop time `until`."""
        loop = asyncio.get_running_loop()
        while True:
            silence = self._settings.silence_timeout_s
            try:
                async with asyncio.timeout_at(min(until, loop.time() + silence)):
                    piece = await response.content.read(READ_BYTES)
            except TimeoutError as error:
                raise Transient(
                    Unavailable(f"{shown(response.url)}: the transfer is too slow or has stopped")
                ) from error
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise _translated(error, response.url) from error
            if not piece:
                return
            yield piece

    async def read(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        """A whole body of at most `limit` bytes. Raises Unavailable for more."""
        body = bytearray()
        stated = response.content_length
        until = asyncio.get_running_loop().time() + self._settings.deadline_s
        if stated is None or stated <= limit:
            async for piece in self.pieces(response, until):
                body += piece
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        raise Unavailable(f"{shown(response.url)}: the answer is larger than {limit} bytes")

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=self._settings.ca_file) if self._settings.ca_file else True
            policy = self._settings.addresses
            guarded = guarded_connector(policy, ssl=context) if policy is not None else None
            connector = guarded or aiohttp.TCPConnector(ssl=context)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=READ_BYTES,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout_s),
            )
        return self._session


def shown(url: URL) -> str:
    """A URL for a message: without user, password and query, where signatures and tokens travel."""
    port = f":{url.explicit_port}" if url.explicit_port is not None else ""
    return f"{url.scheme}://{url.host or ''}{port}{url.raw_path}"[:300]


def _translated(error: Exception, url: URL) -> GefError | Transient:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return Denied(
                f"{shown(url)}: {cause.strerror}", hint="only public addresses, or those that configuration allows"
            )
        cause = getattr(cause, "os_error", None) or cause.__cause__
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return Unavailable(
            f"{shown(url)}: its TLS certificate is not trusted", hint="check the host name and the CA file"
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return Unavailable(f"{shown(url)}: TLS failed", hint="if it speaks plain http, say so: --plain-http")
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
        return Unavailable(f"{shown(url)}: the request cannot be made: {type(error).__name__}")
    return Transient(Unavailable(f"{shown(url)}: the connection failed ({type(error).__name__})"))
