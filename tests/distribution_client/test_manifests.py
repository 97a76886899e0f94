"""Manifests over the wire: hashed here, bounded, retried; nothing a registry claims is believed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from gef_registry.distribution.client import RegistryClient, RegistrySource
from gef_registry.distribution.client.retry import delay_before
from gef_registry.distribution.client.settings import ClientSettings
from gef_registry.errors import BadInput, Conflict, Denied, GefError, NotFound, Unavailable, VerificationFailed
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.reference import Reference
from tests.parts.images import good_service

IMAGE = good_service()
DIGEST = Digest.parse(IMAGE.digest)
Serve = Callable[..., Awaitable[Any]]
MakeClient = Callable[..., RegistryClient]


def ref(server: Any, tail: str = ":1") -> Reference:
    return Reference.parse(f"{server if isinstance(server, str) else server.host}/a{tail}")


def manifest(request: web.Request, raw: bytes = IMAGE.manifest, **headers: str) -> web.Response:
    return web.Response(
        body=b"" if request.method == "HEAD" else raw, headers={"Content-Type": media.OCI_MANIFEST, **headers}
    )


def error(status: int, code: str = "DENIED", message: str = "because", **headers: str) -> web.Response:
    body = {"errors": [{"code": code, "message": message}]}
    return web.json_response(body, status=status, headers=headers)


async def test_a_tag_is_resolved_by_head_then_fetched_by_digest(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return manifest(request, **{"Docker-Content-Digest": IMAGE.digest})

    server = await serve(handler)
    found = await make_client(server.host).resolve(ref(server))
    assert (found.raw, found.digest, found.media_type) == (IMAGE.manifest, DIGEST, media.OCI_MANIFEST)
    assert [(m, p) for m, p, _ in server.requests] == [
        ("HEAD", "/v2/a/manifests/1"),
        ("GET", f"/v2/a/manifests/{DIGEST}"),
    ]
    assert server.seen("Accept-Encoding") == ["identity", "identity"]


@pytest.mark.parametrize("status", [200, 405, 501, 400])
async def test_a_registry_without_head_or_digest_header_is_read_by_tag(
    serve: Serve, make_client: MakeClient, status: int
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status) if request.method == "HEAD" else manifest(request)

    server = await serve(handler)
    assert (await make_client(server.host).resolve(ref(server))).digest == DIGEST
    assert server.requests[-1][1] == "/v2/a/manifests/1"


@pytest.mark.parametrize("tail", [":1", f"@{DIGEST}", f":1@{DIGEST}"])
async def test_altered_bytes_under_an_honest_header_are_refused(
    serve: Serve, make_client: MakeClient, tail: str
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return manifest(request, IMAGE.manifest + b" ", **{"Docker-Content-Digest": IMAGE.digest})

    server = await serve(handler)
    with pytest.raises(VerificationFailed, match=str(DIGEST)):
        await make_client(server.host).resolve(ref(server, tail))


async def test_honest_bytes_under_a_lying_header_are_refused(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return manifest(request, **{"Docker-Content-Digest": str(Digest.of(b"other"))})

    server = await serve(handler)
    with pytest.raises(VerificationFailed):
        await make_client(server.host).manifest(ref(server, f"@{DIGEST}"))


async def test_a_registry_that_claims_another_algorithm_is_checked_and_named_by_ours(
    serve: Serve, make_client: MakeClient
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return manifest(request, **{"Docker-Content-Digest": str(Digest.of(IMAGE.manifest, "sha512"))})

    server = await serve(handler)
    assert (await make_client(server.host).resolve(ref(server))).digest == DIGEST


@pytest.mark.parametrize("stated", [True, False])
async def test_a_manifest_without_end_is_given_up(serve: Serve, make_client: MakeClient, stated: bool) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": media.OCI_MANIFEST})
        if stated:
            response.content_length = 1 << 40
        await response.prepare(request)
        try:
            while request.method == "GET":
                await response.write(bytes(1 << 16))
        except ConnectionError:
            pass
        return response

    server = await serve(handler)
    with pytest.raises(Unavailable, match="larger than"):
        await make_client(server.host).manifest(ref(server))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_may_pass_is_tried_again(serve: Serve, make_client: MakeClient, status: int) -> None:
    async def handler(request: web.Request) -> web.Response:
        return error(status, "TOOMANYREQUESTS") if len(server.requests) < 3 else manifest(request)

    server = await serve(handler)
    assert (await make_client(server.host).manifest(ref(server))).digest == DIGEST
    assert len(server.requests) == 3


async def test_attempts_are_counted(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return error(503, "UNAVAILABLE", "down for today")

    server = await serve(handler)
    with pytest.raises(Unavailable, match="down for today"):
        await make_client(server.host, max_attempts=3).manifest(ref(server))
    assert len(server.requests) == 3


async def test_a_registry_that_asks_for_an_hour_is_not_asked_again(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return error(429, "TOOMANYREQUESTS", "slow down", **{"Retry-After": "3600"})

    server = await serve(handler)
    with pytest.raises(Unavailable, match="3600"):
        await make_client(server.host).manifest(ref(server))
    assert len(server.requests) == 1


def test_retry_after_is_honoured_and_backoff_grows_with_jitter() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    settings = ClientSettings(retry_base_s=1, retry_cap_s=4, max_retry_after_s=60)
    assert delay_before(2, "7", settings, now) == 7
    assert delay_before(2, "Thu, 01 Jan 2026 00:00:30 GMT", settings, now) == 30
    assert delay_before(2, "Thu, 01 Jan 2020 00:00:00 GMT", settings, now) == 0
    assert delay_before(2, "61", settings, now) is None
    for attempt, most in ((2, 1), (3, 2), (4, 4), (9, 4)):
        for garbage in (None, "", "soon", "-5", "9" * 50):
            pause = delay_before(attempt, garbage, settings, now)
            assert pause is not None
            assert most / 2 <= pause <= most


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "UNAUTHORIZED", Denied), (403, "DENIED", Denied), (404, "MANIFEST_UNKNOWN", NotFound), (405, "UNSUPPORTED", Denied),
        (409, "DENIED", Conflict), (412, "PRECONDITION", Conflict), (400, "MANIFEST_INVALID", BadInput),
        (400, "MANIFEST_BLOB_UNKNOWN", NotFound), (413, "SIZE_INVALID", BadInput), (500, "UNKNOWN", Unavailable), (418, "X", Unavailable),
        (204, "X", Unavailable), (304, "X", Unavailable),
    ],
)  # fmt: skip
async def test_each_refusal_is_the_error_it_means_with_the_registrys_words(
    serve: Serve, make_client: MakeClient, status: int, code: str, expected: type[GefError]
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return error(status, code, "line one\nline\x1b[31m two") if status >= 400 else web.Response(status=status)

    server = await serve(handler)
    with pytest.raises(GefError) as caught:
        await make_client(server.host).put_manifest(ref(server), IMAGE.manifest, media.OCI_MANIFEST)
    assert type(caught.value) is expected
    if status >= 400:
        assert f"{code} line one line [31m two" in caught.value.message


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b'{"errors":5}', b'{"errors":[5]}', b"\xff", b'{"errors":[{"message":7}]}', b"x" * 200_000],
)
async def test_an_error_body_of_any_kind_is_survived(serve: Serve, make_client: MakeClient, body: bytes) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=403, body=body)

    server = await serve(handler)
    with pytest.raises(Denied) as caught:
        await make_client(server.host).manifest(ref(server))
    assert len(str(caught.value)) < 1000


async def test_a_server_that_never_answers_is_given_up(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    server = await serve(handler)
    with pytest.raises(Unavailable, match="no answer"):
        await make_client(server.host, answer_timeout_s=0.05, max_attempts=2).manifest(ref(server))
    with pytest.raises(Unavailable, match="no answer"):
        await make_client(server.host, answer_timeout_s=5, deadline_s=0.1).manifest(ref(server))


async def test_a_body_that_stops_is_given_up(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": media.OCI_MANIFEST})
        await response.prepare(request)
        await response.write(IMAGE.manifest[:10])
        await asyncio.sleep(60)
        return response

    server = await serve(handler)
    with pytest.raises(Unavailable, match="too slow or has stopped"):
        await make_client(server.host, silence_timeout_s=0.05, max_attempts=2).manifest(ref(server))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    ],
)
async def test_a_connection_that_breaks_is_tried_again_and_then_given_up(
    serve_raw: Serve, make_client: MakeClient, answer: bytes
) -> None:
    conversations = []

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()

    host = await serve_raw(broken)
    with pytest.raises(Unavailable):
        await make_client(host, max_attempts=2).manifest(ref(host))
    assert len(conversations) >= 2


async def test_nobody_listening_is_unavailable(make_client: MakeClient) -> None:
    with pytest.raises(Unavailable, match="connection failed"):
        await make_client("127.0.0.1:1", max_attempts=2).manifest(Reference.parse("127.0.0.1:1/a:1"))


async def test_loopback_without_tls_is_spoken_to_over_http_and_nothing_else_is(
    serve: Serve, make_client: MakeClient
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return manifest(request)

    server = await serve(handler)
    client = make_client()  # no host is configured for plain http
    assert (await client.manifest(ref(server))).digest == DIGEST
    exchange = client._exchange
    assert str(await exchange._origin("registry.example.org:80")) == "https://registry.example.org:80"
    assert str(await exchange._origin("docker.io")) == "https://registry-1.docker.io"


async def test_a_push_by_tag_sends_the_very_bytes(serve: Serve, make_client: MakeClient) -> None:
    received = []

    async def handler(request: web.Request) -> web.Response:
        received.append((await request.read(), request.content_type))
        return web.Response(status=201, headers={"Docker-Content-Digest": IMAGE.digest, "OCI-Subject": IMAGE.digest})

    server = await serve(handler)
    client = make_client(server.host)
    answer = await client.put_manifest(ref(server), IMAGE.manifest, media.OCI_MANIFEST)
    assert (answer.digest, answer.subject) == (DIGEST, DIGEST)
    await client.put_manifest(ref(server, ""), IMAGE.manifest, media.OCI_MANIFEST)
    assert received == [(IMAGE.manifest, media.OCI_MANIFEST)] * 2
    assert [p for _, p, _ in server.requests] == ["/v2/a/manifests/1", f"/v2/a/manifests/{DIGEST}"]


async def test_a_registry_that_stores_other_bytes_is_caught(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=201, headers={"Docker-Content-Digest": str(Digest.of(b"x"))})

    server = await serve(handler)
    client = make_client(server.host)
    with pytest.raises(VerificationFailed, match="stored"):
        await client.put_manifest(ref(server), IMAGE.manifest, media.OCI_MANIFEST)
    with pytest.raises(VerificationFailed, match="to store"):
        await client.put_manifest(ref(server, f"@{Digest.of(b'y')}"), IMAGE.manifest, media.OCI_MANIFEST)
    assert len(server.requests) == 1


async def test_a_source_resolves_once_even_when_the_tag_moves(serve: Serve, make_client: MakeClient) -> None:
    other = good_service(user="7").manifest

    async def by_tag(request: web.Request) -> web.Response:
        return manifest(request, IMAGE.manifest if len(moving.requests) < 3 else other)

    moving = await serve(by_tag)
    source = RegistrySource(ref(moving), make_client(moving.host))
    first = await source.resolve()
    assert (await source.resolve(), first.digest) == (first, DIGEST)
    assert (await source.manifest(DIGEST))[0] == IMAGE.manifest
    assert source.name == f"docker://{moving.host}/a:1"
    await source.close()


async def test_a_source_that_holds_no_image_says_so(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b"" if request.method == "HEAD" else json.dumps({"hello": 1}).encode())

    server = await serve(handler)
    with pytest.raises(Unavailable, match="holds no image"):
        await RegistrySource(ref(server), make_client(server.host)).resolve()
