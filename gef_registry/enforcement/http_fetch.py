"""Fetches a gate's log over HTTP. Bounded in time and size; redirects are not followed; nothing fetched is believed."""

from __future__ import annotations

from types import TracebackType
from urllib.parse import urlsplit

import aiohttp

from gef_registry.errors import BadInput, NotFound, Unavailable, VerificationFailed
from gef_registry.signing.dsse import MAX_ENVELOPE_BYTES
from gef_registry.transparency.note import MAX_NOTE_BYTES
from gef_registry.transparency.tiles import MAX_ENTRY_BYTES, TILE_WIDTH

MAX_BYTES = {
    "checkpoint": MAX_NOTE_BYTES,
    "keys": MAX_ENVELOPE_BYTES,
    "tile": TILE_WIDTH * (MAX_ENTRY_BYTES + 2),
    "statement": MAX_ENVELOPE_BYTES,
    "statements": TILE_WIDTH * (MAX_ENVELOPE_BYTES + 1),
}


def gate_url(text: str) -> str:
    """The origin of a gate, `http(s)://HOST[:PORT]`, without a slash at the end. Raises BadInput."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise BadInput(f"{text[:200]!r} is not the address of a gate", hint="write https://HOST[:PORT]")
    return text.rstrip("/")


class HttpFetch:
    """A `Fetch` on `GATE/log/`. An async context manager."""

    def __init__(self, gate: str, *, timeout_s: float = 30.0) -> None:
        self._base = gate_url(gate) + "/log/"
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> HttpFetch:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s), headers={"User-Agent": "gef-registry-host"}
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def __call__(self, path: str) -> bytes:
        """Raises NotFound for 404; Unavailable for what may pass; VerificationFailed for an answer that is too large."""
        if self._session is None:
            raise RuntimeError("HttpFetch is used inside `async with`")
        limit = MAX_BYTES.get(path.partition("/")[0], MAX_NOTE_BYTES)
        url = self._base + path
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status == 404:
                    raise NotFound(f"{url} is not there")
                if response.status != 200:
                    raise Unavailable(f"{url} answered {response.status}")
                return await _bounded(response, limit, url)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(
                f"cannot reach the gate at {url}: {_reason(error)}", hint="is it running, and is the address right?"
            ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "the connection failed"
    return str(error)[:200]


async def _bounded(response: aiohttp.ClientResponse, limit: int, url: str) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > limit:
            raise VerificationFailed(f"{url}: more than {limit} bytes")
    return bytes(data)
