"""Turning refusals and results into HTTP answers; every handler of the registry goes through `answering`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import ClientError, web

from gef_registry.distribution.blobs import OpenBlob
from gef_registry.distribution.codes import Code, Refusal, refusal_of
from gef_registry.distribution.ports import PushAnswer
from gef_registry.distribution.uploads import ByteRange
from gef_registry.errors import GefError

_log = logging.getLogger(__name__)
_SEND_BYTES = 256 << 10

# Nothing here is a page: a blob is a stranger's bytes on the origin that also serves pages.
COMMON_HEADERS: Mapping[str, str] = {
    "Docker-Distribution-Api-Version": "registry/2.0",
    "X-Content-Type-Options": "nosniff",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answer(status: int, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> web.Response:
    return web.Response(status=status, body=body, headers={**COMMON_HEADERS, **(headers or {})})


def json_answer(value: Any, headers: Mapping[str, str] | None = None) -> web.Response:
    content_type = {"Content-Type": "application/json"}
    return answer(200, {**content_type, **(headers or {})}, json.dumps(value, ensure_ascii=False).encode())


def refused(refusal: Refusal) -> web.Response:
    return answer(refusal.status, {"Content-Type": "application/json", **refusal.headers}, refusal.body)


def answering(handler: Handler) -> Handler:
    """The handler, with every error as a distribution error body, and none of our own words for a crash."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except GefError as error:
            refusal = refusal_of(error)
            if refusal.status >= 500:
                _log.error("%s %s: %s", request.method, request.rel_url.raw_path[:300], error)
            return refused(refusal)
        except (web.HTTPException, asyncio.CancelledError):
            raise
        except (ConnectionError, ClientError, web.RequestPayloadError):
            if request.transport is not None:
                request.transport.abort()  # nobody is there, or an answer was broken off: never two on one connection
            raise web.HTTPBadRequest(text="the request ended early") from None
        except Exception:
            _log.exception("%s %s failed", request.method, request.rel_url.raw_path[:300])
            return refused(Refusal(Code.UNAVAILABLE, "the registry failed; its log says why", status=500))

    return handle


def refusal_to_push(given: PushAnswer) -> Refusal:
    """What the gate said, as the protocol says it. A status the gate may not choose counts as a refusal."""
    message = given.message or "the gate refused this push"
    if given.status == 429:
        return Refusal(Code.TOOMANYREQUESTS, message, detail=given.detail, headers={"Retry-After": "30"})
    return Refusal(Code.DENIED, message, detail=given.detail, status=409 if given.status == 409 else 403)


async def send_blob(
    request: web.Request, response: web.StreamResponse, blob: OpenBlob, wanted: ByteRange, timeout_s: float
) -> web.StreamResponse:
    """Sends part of an open blob: by sendfile where the transport can, else in pieces.

    What cannot be sent whole ends the connection, so that no client takes a part for the whole.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _send(request, response, blob, wanted)
    except TimeoutError as error:
        raise ConnectionResetError("the client reads too slowly") from error


async def _send(
    request: web.Request, response: web.StreamResponse, blob: OpenBlob, wanted: ByteRange
) -> web.StreamResponse:
    response.content_length = wanted.length
    await response.prepare(request)
    if request.method == "HEAD" or wanted.length == 0:
        await response.write_eof()
        return response
    if not await _sendfile(request, blob, wanted):
        await _send_pieces(response, blob, wanted)
    await response.write_eof()
    return response


async def _sendfile(request: web.Request, blob: OpenBlob, wanted: ByteRange) -> bool:
    if not blob.on_disk:
        return False
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client went away")
    try:
        sent = await asyncio.get_running_loop().sendfile(transport, blob.file, wanted.start, wanted.length)
    except NotImplementedError:  # uvloop
        return False
    if sent != wanted.length:
        raise ConnectionResetError("the blob became shorter while it was sent")
    return True


async def _send_pieces(response: web.StreamResponse, blob: OpenBlob, wanted: ByteRange) -> None:
    blob.file.seek(wanted.start)
    left = wanted.length
    while left:
        size = min(_SEND_BYTES, left)
        piece = await asyncio.to_thread(blob.file.read, size) if blob.on_disk else blob.file.read(size)
        if not piece:
            raise ConnectionResetError("the blob became shorter while it was sent")
        await response.write(piece)
        left -= len(piece)
