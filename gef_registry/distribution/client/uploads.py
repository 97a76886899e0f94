"""Blobs to a registry: mount, one PUT, or chunks (distribution-spec 1.1, "Pushing Blobs").

Content comes as a function that opens it anew, so that a broken upload can start again; it is hashed and counted on the way,
and never held in memory beyond one chunk. Upload locations must lie on the registry's own host.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from yarl import URL

from gef_registry.distribution.client.answers import Answer
from gef_registry.distribution.client.exchange import Call, Exchange
from gef_registry.distribution.client.retry import Patience, Transient
from gef_registry.errors import GefError, NotFound, Unavailable, VerificationFailed
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor
from gef_registry.oci.reference import Reference

Content = Callable[[], AsyncIterator[bytes]]
Outcome = Literal["exists", "mounted", "uploaded"]
_ACTIONS = ("pull", "push")
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})", re.ASCII)
_MAX_CHUNK = 64 << 20
_OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class UploadSession:
    """An upload in progress: its path on the registry, and the smallest chunk it takes."""

    path: str
    min_chunk: int = 0


def content_of_file(path: Path) -> Content:
    """The bytes of a file, read outside the event loop."""

    async def read() -> AsyncIterator[bytes]:
        with await asyncio.to_thread(path.open, "rb", buffering=0) as file:
            while piece := await asyncio.to_thread(file.read, 1 << 20):
                yield piece

    return read


def content_of_bytes(content: bytes) -> Content:
    async def read() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1 << 20):
            yield content[start : start + (1 << 20)]

    return read


async def start_upload(
    exchange: Exchange, reference: Reference, *, mount: Digest | None = None, source: str | None = None
) -> UploadSession | None:
    """Opens a session; with `mount` and `source` (a repository there) asks for a mount first. None: mounted."""
    repository = reference.repository
    query, also = "", tuple[str, ...]()
    if mount is not None and source is not None:
        query, also = f"?mount={mount}&from={source.replace('/', '%2F')}", (f"repository:{source}:pull",)
    call = Call("POST", reference, f"/v2/{repository}/blobs/uploads/{query}", f"an upload to {reference.host}/{repository}",
                actions=_ACTIONS, also=also, headers={"Content-Length": "0"})  # fmt: skip
    answer = await exchange.fetch(call, expected=(201, 202) if query else (202,))
    return None if answer.status == 201 else _session(answer, reference)


async def upload(
    exchange: Exchange,
    reference: Reference,
    descriptor: Descriptor,
    content: Content,
    *,
    session: UploadSession | None = None,
    chunked: bool = False,
) -> None:
    """Uploads one blob, starting again in a new session when a connection breaks. Raises VerificationFailed when the
    content is not what the descriptor says, and what the content itself raises."""
    patience = Patience(exchange.settings, exchange.settings.transfer_deadline_s(descriptor.size))
    while True:
        current = session or await start_upload(exchange, reference)
        assert current is not None  # only a mount ends without a session
        session = None
        checked = _Checked(descriptor, content)
        send = _in_chunks if chunked else _in_one
        try:
            async with asyncio.timeout_at(patience.until):
                return await send(exchange, reference, current, checked, descriptor)
        except TimeoutError as error:
            await _cancel(exchange, reference, current)
            raise Unavailable(f"blob {descriptor.digest}: the upload took too long") from error
        except (Transient, GefError) as failure:
            await _cancel(exchange, reference, current)
            if checked.error is not None:
                raise checked.error from failure
            if isinstance(failure, NotFound):  # the session is gone, a new one may live
                failure = Transient(failure)
            if not isinstance(failure, Transient):
                raise
            await patience.after(failure)


class _Checked:
    """Content on its way: hashed, counted, and its own failures kept apart from those of the network."""

    def __init__(self, descriptor: Descriptor, content: Content) -> None:
        self._descriptor, self._content = descriptor, content
        self.error: GefError | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        hasher, count, wanted = self._descriptor.digest.hasher(), 0, self._descriptor
        try:
            async for piece in self._content():
                hasher.update(piece)
                count += len(piece)
                if count > wanted.size:
                    break
                if count == wanted.size and hasher.hexdigest() != wanted.digest.hex:
                    break
                yield piece
            if count != wanted.size or hasher.hexdigest() != wanted.digest.hex:
                raise VerificationFailed(
                    f"blob {wanted.digest} of {wanted.size} bytes: its content has at least {count} and "
                    f"{hasher.name}:{hasher.hexdigest()}",
                    hint="nothing was stored",
                )
        except GefError as error:
            self.error = error
            raise
        except OSError as error:
            self.error = Unavailable(f"blob {wanted.digest}: its content cannot be read: {error.strerror}")
            raise self.error from error


async def _in_one(
    exchange: Exchange, reference: Reference, session: UploadSession, checked: _Checked, descriptor: Descriptor
) -> None:
    headers = {"Content-Type": _OCTETS, "Content-Length": str(descriptor.size)}
    timeout_s = exchange.settings.transfer_deadline_s(descriptor.size)
    body = checked.pieces if descriptor.size else None
    call = _call(reference, "PUT", _closing(session, descriptor), descriptor, headers, body, timeout_s)
    async with exchange.open(call) as response:
        if response.status != 201:
            raise await exchange.failure(call, response)


async def _in_chunks(
    exchange: Exchange, reference: Reference, session: UploadSession, checked: _Checked, descriptor: Descriptor
) -> None:
    size = max(exchange.settings.chunk_bytes, session.min_chunk)
    if size > _MAX_CHUNK:
        raise Unavailable(f"{reference.host} wants chunks of {size} bytes, at most {_MAX_CHUNK} are sent")
    start, buffer = 0, bytearray()
    async for piece in checked.pieces():
        buffer += piece
        while len(buffer) >= size:
            session = await _send_chunk(exchange, reference, session, bytes(buffer[:size]), start, descriptor)
            start += size
            del buffer[:size]
    if buffer:
        session = await _send_chunk(exchange, reference, session, bytes(buffer), start, descriptor)
    call = _call(reference, "PUT", _closing(session, descriptor), descriptor, {"Content-Length": "0"})
    await exchange.fetch(call, expected=(201,), retry=False)


async def _send_chunk(
    exchange: Exchange, reference: Reference, session: UploadSession, chunk: bytes, start: int, descriptor: Descriptor
) -> UploadSession:
    """Sends `chunk`, which begins at byte `start`; after a break asks how far the registry got and sends the rest."""
    patience = Patience(exchange.settings, exchange.settings.transfer_deadline_s(len(chunk)))
    end, offset = start + len(chunk), start
    while True:
        headers = {"Content-Type": _OCTETS, "Content-Range": f"{offset}-{end - 1}", "Content-Length": str(end - offset)}
        body = _constant(chunk[offset - start :])
        call = _call(reference, "PATCH", session.path, descriptor, headers, body)
        try:
            async with exchange.open(call) as response:
                if response.status != 202 and response.status != 416:
                    raise await exchange.failure(call, response)
                if response.status == 202:
                    session = _session(Answer(202, response.headers, b"", str(response.url)), reference, session)
                    offset = end if end == 1 else _received(response.headers, end)
                else:
                    session, offset = await _status(exchange, reference, session, descriptor)
        except Transient:
            session, offset = await _status(exchange, reference, session, descriptor)
        if offset == end:
            return session
        if not start <= offset < end:
            raise Transient(
                Unavailable(f"{call.what}: the registry has {offset} bytes, {start} were acknowledged before")
            )
        await patience.after(
            Transient(Unavailable(f"{call.what}: the registry took {offset - start} bytes of a chunk"))
        )


async def _status(
    exchange: Exchange, reference: Reference, session: UploadSession, descriptor: Descriptor
) -> tuple[UploadSession, int]:
    call = _call(reference, "GET", session.path, descriptor, {})
    answer = await exchange.fetch(call, expected=(204, 200))
    return _session(answer, reference, session), _received(answer.headers, 0)


async def _cancel(exchange: Exchange, reference: Reference, session: UploadSession) -> None:
    """Best effort: registries forget abandoned uploads by themselves."""
    call = Call("DELETE", reference, session.path, "the end of an upload", actions=_ACTIONS, timeout_s=5)
    try:
        await exchange.fetch(call, expected=(204, 202, 200, 404), retry=False)
    except GefError:
        return


def _call(
    reference: Reference, method: str, path: str, descriptor: Descriptor, headers: Mapping[str, str],
    body: Callable[[], bytes | AsyncIterator[bytes]] | None = None, timeout_s: float | None = None,
) -> Call:  # fmt: skip
    what = f"the upload of blob {descriptor.digest} to {reference.host}/{reference.repository}"
    return Call(method, reference, path, what, actions=_ACTIONS, headers=headers, body=body, timeout_s=timeout_s)


def _constant(content: bytes) -> Callable[[], bytes]:
    return lambda: content


def _closing(session: UploadSession, descriptor: Descriptor) -> str:
    separator = "&" if "?" in session.path else "?"
    return f"{session.path}{separator}digest={descriptor.digest.algorithm}%3A{descriptor.digest.hex}"


def _session(answer: Answer, reference: Reference, before: UploadSession | None = None) -> UploadSession:
    """The session that an answer points to. A location on another host would receive credentials: refused."""
    location = answer.headers.get("Location")
    least = answer.headers.get("OCI-Chunk-Min-Length", "")
    min_chunk = (
        int(least) if least.isascii() and least.isdigit() and len(least) < 12 else before.min_chunk if before else 0
    )
    if not location:
        if before is None:
            raise Unavailable(f"{reference.host}: an upload without a Location")
        return before
    try:
        asked = URL(answer.url, encoded=True)
        target = asked.join(URL(location, encoded=True))
        same = (target.host, target.port) == (asked.host, asked.port) or (target.host, target.scheme) == (
            asked.host,
            "http",
        )
    except ValueError as error:
        raise Unavailable(f"{reference.host}: an upload's Location is not a URL") from error
    if not same or not target.raw_path.startswith("/"):
        raise Unavailable(f"{reference.host}: an upload's Location is on another host ({target.host})")
    return UploadSession(target.raw_path_qs, min_chunk)


def _received(headers: Mapping[str, str], default: int) -> int:
    """How many bytes the registry has. `Range: 0-0` of an empty session is read as nothing received."""
    match = _RANGE.fullmatch(headers.get("Range", ""))
    return default if match is None else int(match[1]) + 1 if int(match[1]) else 0
