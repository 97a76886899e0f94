"""Blobs down and up: exact, verified, resumed; misbehaving registries are noticed at once."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gef_registry.distribution.client import RegistryClient, content_of_bytes, content_of_file
from gef_registry.errors import Denied, GefError, NotFound, Unavailable, VerificationFailed
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor
from gef_registry.oci.reference import Reference

BLOB = os.urandom(300_000)
LAYER = Descriptor("x", Digest.of(BLOB), len(BLOB))
Serve = Callable[..., Awaitable[Any]]
MakeClient = Callable[..., RegistryClient]


def ref(server: Any) -> Reference:
    return Reference.parse(f"{server if isinstance(server, str) else server.host}/a")


async def download(
    client: RegistryClient, server: Any, descriptor: Descriptor = LAYER, *, verify: bool = True
) -> bytes:
    return b"".join([piece async for piece in client.blob(ref(server), descriptor, verify=verify)])


async def test_a_blob_arrives_whole_in_bounded_pieces(serve: Serve, make_client: MakeClient) -> None:
    content = bytes(3 << 20)

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=content)

    server = await serve(handler)
    stream = make_client(server.host).blob(ref(server), Descriptor("x", Digest.of(content), len(content)))
    sizes = [len(piece) async for piece in stream]
    assert sum(sizes) == len(content)
    assert max(sizes) <= 1 << 20


@pytest.mark.parametrize("body", [BLOB[:-1], BLOB + b"x", BLOB[:-1] + bytes([BLOB[-1] ^ 1]), b""])
@pytest.mark.parametrize("chunked", [True, False])
async def test_other_bytes_under_the_digest_are_refused(
    serve: Serve, make_client: MakeClient, body: bytes, chunked: bool
) -> None:
    async def handler(request: web.Request) -> web.Response:
        response = web.Response(body=body, headers={"Docker-Content-Digest": str(LAYER.digest)})
        if chunked:
            response.enable_chunked_encoding()
        return response

    server = await serve(handler)
    with pytest.raises(VerificationFailed):
        await download(make_client(server.host), server)
    assert len(server.requests) == 1  # retrying cannot help


async def test_a_blob_without_end_stops_at_its_size(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(BLOB)
        except ConnectionError:
            return response

    server = await serve(handler)
    with pytest.raises(VerificationFailed, match="more than"):
        await download(make_client(server.host), server, verify=False)


def breaking(*, lies: bool = False) -> Callable[..., Awaitable[None]]:
    """A registry whose connections break after 100 000 bytes; it honours `Range`, or lies about where it starts."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = re.search(r"Range: bytes=(\d+)-", (await reader.readuntil(b"\r\n\r\n")).decode())
        start = int(asked[1]) if asked else 0
        head = f"HTTP/1.1 {206 if start else 200} OK\r\nContent-Length: {len(BLOB) - start}\r\n"
        if start:
            head += f"Content-Range: bytes {start + lies}-{len(BLOB) - 1}/{len(BLOB)}\r\n"
        writer.write(head.encode() + b"\r\n" + BLOB[start : start + 100_000])
        await writer.drain()

    return conversation


async def test_a_broken_download_is_taken_up_where_it_broke(serve_raw: Serve, make_client: MakeClient) -> None:
    host = await serve_raw(breaking())
    assert await download(make_client(host, max_attempts=2), host) == BLOB


async def test_a_registry_that_sends_all_of_it_again_is_understood(serve_raw: Serve, make_client: MakeClient) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        whole = BLOB if b"Range" in request else BLOB[:100_000]
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(BLOB)}\r\n\r\n".encode() + whole)
        await writer.drain()

    host = await serve_raw(conversation)
    assert await download(make_client(host), host) == BLOB


async def test_a_range_that_was_not_asked_for_is_refused(serve_raw: Serve, make_client: MakeClient) -> None:
    host = await serve_raw(breaking(lies=True))
    with pytest.raises(Unavailable, match="not asked for"):
        await download(make_client(host), host)


async def test_a_download_that_never_moves_is_given_up(serve_raw: Serve, make_client: MakeClient) -> None:
    connections = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(BLOB)}\r\n\r\n".encode())
        writer.write_eof()  # half closed: we may still talk, it will not
        await reader.read()

    host = await serve_raw(conversation)
    with pytest.raises(Unavailable):
        await download(make_client(host, max_attempts=3), host)
    assert len(connections) == 3


async def test_a_download_that_trickles_is_given_up(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(BLOB)
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x")
            await asyncio.sleep(0.01)
        return response

    server = await serve(handler)
    with pytest.raises(Unavailable, match="too slow"):
        await download(make_client(server.host, deadline_s=0.1, min_bytes_per_s=10 << 20), server)


async def test_the_size_of_a_blob_is_asked_without_its_bytes(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        there = request.path.endswith(str(LAYER.digest))
        return web.Response(headers={"Content-Length": "7"}) if there else web.Response(status=404)

    server = await serve(handler)
    client = make_client(server.host)
    assert await client.head_blob(ref(server), LAYER.digest) == 7
    assert await client.head_blob(ref(server), Digest.of(b"absent")) is None


class Uploads:
    """A small registry for uploads; `faults` are answers (or None: break the connection) for the next PATCH or PUT."""

    def __init__(self, *faults: int | None, **headers: str) -> None:
        self.faults, self.headers = list(faults), headers
        self.received, self.stored, self.sessions, self.cancelled = bytearray(), b"", 0, 0
        self.largest = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(status=404)
        if request.method == "POST":
            self.sessions += 1
            self.received.clear()
            return web.Response(
                status=202, headers={"Location": f"/v2/a/blobs/uploads/{self.sessions}?_state=a%2Fb", **self.headers}
            )
        if request.method == "DELETE":
            self.cancelled += 1
            return web.Response(status=204)
        if request.method == "GET":
            return web.Response(
                status=204, headers={"Range": f"0-{max(0, len(self.received) - 1)}", "Location": request.path_qs}
            )
        return await self._take(request)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.pop(0) if self.faults else 0
        if fault is None:
            self.received += (await request.content.read(1000))[:1000]
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        body = await request.read()
        if fault:
            return web.json_response({"errors": [{"code": "X", "message": "fault"}]}, status=fault)
        assert "_state=a%2Fb" in request.path_qs
        self.largest = max(self.largest, len(body))
        self.received += body
        if request.method == "PATCH":
            return web.Response(
                status=202, headers={"Range": f"0-{len(self.received) - 1}", "Location": request.path_qs}
            )
        if request.query["digest"] != str(Digest.of(bytes(self.received))):
            return web.json_response({"errors": [{"code": "DIGEST_INVALID"}]}, status=400)
        self.stored = bytes(self.received)
        return web.Response(status=201)


async def test_a_blob_goes_up_in_one_request(serve: Serve, make_client: MakeClient, tmp_path: Path) -> None:
    registry = Uploads()
    server = await serve(registry)
    (tmp_path / "blob").write_bytes(BLOB)
    outcome = await make_client(server.host).upload_blob(ref(server), LAYER, content_of_file(tmp_path / "blob"))
    assert (outcome, registry.stored) == ("uploaded", BLOB)
    assert [m for m, _, _ in server.requests] == ["HEAD", "POST", "PUT"]
    assert server.requests[-1][2]["Content-Length"] == str(len(BLOB))


@pytest.mark.parametrize("size", [0, 1, 100, 101, 350])
async def test_a_blob_goes_up_in_chunks_never_larger_than_agreed(
    serve: Serve, make_client: MakeClient, size: int
) -> None:
    registry = Uploads()
    server = await serve(registry)
    blob = BLOB[:size]
    client = make_client(server.host, chunk_bytes=100)
    await client.upload_blob(ref(server), Descriptor("x", Digest.of(blob), size), content_of_bytes(blob), chunked=True)
    assert registry.stored == blob
    assert registry.largest <= 100
    ranges = [h["Content-Range"] for m, _, h in server.requests if m == "PATCH"]
    assert ranges == [f"{s}-{min(s + 100, size) - 1}" for s in range(0, size, 100)]


async def test_a_smallest_chunk_that_the_registry_asks_for_is_kept(serve: Serve, make_client: MakeClient) -> None:
    registry = Uploads(**{"OCI-Chunk-Min-Length": "100000"})
    server = await serve(registry)
    client = make_client(server.host, chunk_bytes=100)
    await client.upload_blob(ref(server), LAYER, content_of_bytes(BLOB), chunked=True)
    assert registry.largest == 100_000
    greedy = await serve(Uploads(**{"OCI-Chunk-Min-Length": "99999999999"}))
    with pytest.raises(Unavailable, match="wants chunks"):
        await make_client(greedy.host).upload_blob(ref(greedy), LAYER, content_of_bytes(BLOB), chunked=True)


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("faults", [(None,), (503,), (None, None), (404,)])
async def test_a_broken_upload_is_finished(
    serve: Serve, make_client: MakeClient, faults: tuple[int | None, ...], chunked: bool
) -> None:
    registry = Uploads(*faults)
    server = await serve(registry)
    client = make_client(server.host, chunk_bytes=70_000)
    await client.upload_blob(ref(server), LAYER, content_of_bytes(BLOB), chunked=chunked)
    assert registry.stored == BLOB


async def test_a_chunk_that_broke_midway_continues_at_the_byte_the_registry_names(
    serve: Serve, make_client: MakeClient
) -> None:
    registry = Uploads(0, None)
    server = await serve(registry)
    await make_client(server.host, chunk_bytes=100_000).upload_blob(
        ref(server), LAYER, content_of_bytes(BLOB), chunked=True
    )
    assert registry.sessions == 1
    assert [h["Content-Range"] for m, _, h in server.requests if m == "PATCH"][2] == "101000-199999"


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_upload_that_is_refused_is_not_repeated(serve: Serve, make_client: MakeClient, chunked: bool) -> None:
    registry = Uploads(403)
    server = await serve(registry)
    with pytest.raises(Denied, match="fault"):
        await make_client(server.host).upload_blob(ref(server), LAYER, content_of_bytes(BLOB), chunked=chunked)
    assert (registry.sessions, registry.cancelled) == (1, 1)


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("content", [BLOB[:-1], BLOB + b"x", BLOB[:-1] + b"\0\0", b""])
async def test_content_that_is_not_what_was_promised_is_never_finished(
    serve: Serve, make_client: MakeClient, content: bytes, chunked: bool
) -> None:
    registry = Uploads()
    server = await serve(registry)
    with pytest.raises(VerificationFailed, match="its content has"):
        await make_client(server.host).upload_blob(ref(server), LAYER, content_of_bytes(content), chunked=chunked)
    assert registry.stored == b""
    assert registry.sessions == 1


async def test_a_failing_source_ends_the_upload_with_its_own_error(serve: Serve, make_client: MakeClient) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield BLOB[:1000]
        raise NotFound("the layer is gone")

    server = await serve(Uploads())
    with pytest.raises(NotFound, match="the layer is gone"):
        await make_client(server.host).upload_blob(ref(server), LAYER, content)


async def test_a_mount_is_taken_when_given_and_uploaded_into_when_not(serve: Serve, make_client: MakeClient) -> None:
    registry = Uploads()

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.query.get("from") == "team/mountable":
            return web.Response(status=201, headers={"Location": f"/v2/a/blobs/{LAYER.digest}"})
        return await registry(request)

    server = await serve(handler)
    client = make_client(server.host)
    assert await client.mount_blob(ref(server), LAYER.digest, "team/mountable") is None
    assert await client.upload_blob(ref(server), LAYER, content_of_bytes(BLOB), source="team/mountable") == "mounted"
    assert await client.upload_blob(ref(server), LAYER, content_of_bytes(BLOB), source="other") == "uploaded"
    assert registry.sessions == 1
    assert registry.stored == BLOB


@pytest.mark.parametrize(
    "location", ["http://evil.example/v2/a/blobs/uploads/1", "//evil.example/x", "", "http://[::1"]
)
async def test_an_upload_is_not_sent_to_another_host(serve: Serve, make_client: MakeClient, location: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return (
            web.Response(status=404)
            if request.method == "HEAD"
            else web.Response(status=202, headers={"Location": location})
        )

    server = await serve(handler)
    with pytest.raises(Unavailable, match="Location"):
        await make_client(server.host).upload_blob(ref(server), LAYER, content_of_bytes(BLOB))


async def test_an_upload_nobody_reads_is_given_up(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.method == "PUT":
            await asyncio.sleep(60)
        return web.Response(status={"HEAD": 404, "POST": 202}.get(request.method, 204), headers={"Location": "/v2/x"})

    server = await serve(handler)
    with pytest.raises(GefError) as caught:
        await make_client(server.host, deadline_s=0.2, min_bytes_per_s=10 << 20).upload_blob(
            ref(server), LAYER, content_of_bytes(BLOB)
        )
    assert isinstance(caught.value, Unavailable)
