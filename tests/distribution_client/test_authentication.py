"""Who we are is told to the right server only, and to nobody twice."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from gef_registry.distribution.client import Credential, FixedCredentials, RegistryClient
from gef_registry.errors import Denied, Unavailable
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor
from gef_registry.oci.reference import Reference
from tests.parts.images import good_service

IMAGE = good_service()
PASSWORD = "very-secret"
Serve = Callable[..., Awaitable[Any]]
MakeClient = Callable[..., RegistryClient]


def ref(server: Any, tail: str = "/a:1") -> Reference:
    return Reference.parse(f"{server.host}{tail}")


def fixed(server: Any, credential: Credential | None = None) -> FixedCredentials:
    return FixedCredentials({server.host: credential or Credential("ada", PASSWORD)})


def content() -> web.Response:
    return web.Response(body=IMAGE.manifest, headers={"Content-Type": media.OCI_MANIFEST})


def challenge(header: str) -> web.Response:
    body = {"errors": [{"code": "UNAUTHORIZED", "message": "who are you"}]}
    return web.json_response(body, status=401, headers={"WWW-Authenticate": header})


def token_registry(realm: Callable[[], str], token: str = "tok-1") -> Callable[[web.Request], Awaitable[web.Response]]:
    """A registry that wants Bearer `token` and gives it at /token."""

    async def handler(request: web.Request) -> web.Response:
        if request.path == "/token":
            return web.json_response({"token": token, "expires_in": 300})
        if request.headers.get("Authorization") != f"Bearer {token}":
            return challenge(f'Bearer realm="{realm()}",service="reg",scope="registry:catalog:*"')
        return content()

    return handler


async def test_a_basic_challenge_is_answered_and_remembered(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return content() if "Authorization" in request.headers else challenge('Basic realm="r"')

    server = await serve(handler)
    client = make_client(server.host, credentials=fixed(server))
    await client.manifest(ref(server))
    await client.manifest(ref(server, "/b:1"))
    basic = "Basic " + base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
    assert server.seen("Authorization") == [None, basic, basic]


async def test_a_token_is_asked_for_once_with_the_scope_we_need_not_the_one_suggested(
    serve: Serve, make_client: MakeClient
) -> None:
    server = await serve(token_registry(lambda: f"http://{server.host}/token"))
    client = make_client(server.host, credentials=fixed(server))
    await asyncio.gather(*(client.manifest(ref(server)) for _ in range(5)))
    tokens = [(path, headers) for _, path, headers in server.requests if path.startswith("/token")]
    assert len(tokens) == 1
    assert parse_qs(tokens[0][0].partition("?")[2]) == {
        "service": ["reg"],
        "scope": ["repository:a:pull"],
        "account": ["ada"],
    }
    assert tokens[0][1]["Authorization"].startswith("Basic ")


async def test_an_anonymous_token_is_asked_for_without_credentials(serve: Serve, make_client: MakeClient) -> None:
    server = await serve(token_registry(lambda: f"http://{server.host}/token"))
    await make_client(server.host).manifest(ref(server))
    assert [h.get("Authorization") for _, p, h in server.requests if p.startswith("/token")] == [None]


async def test_a_realm_elsewhere_gets_no_credentials(serve: Serve, make_client: MakeClient) -> None:
    evil = await serve(token_registry(str, "anonymous"))
    server = await serve(token_registry(lambda: f"http://{evil.host}/token", "tok-real"))
    with pytest.raises(Denied):
        await make_client(server.host, credentials=fixed(server)).manifest(ref(server))
    assert evil.seen("Authorization") == [None]
    assert "account" not in evil.requests[0][1]

    async def closed(request: web.Request) -> web.Response:
        return web.Response(status=403)

    closed_realm = await serve(closed)
    closed_server = await serve(token_registry(lambda: f"http://{closed_realm.host}/token"))
    with pytest.raises(Denied, match="were not sent to"):
        await make_client(closed_server.host, credentials=fixed(closed_server)).manifest(ref(closed_server))


async def test_a_realm_that_configuration_lists_gets_them(serve: Serve, make_client: MakeClient) -> None:
    realm = await serve(token_registry(str))
    server = await serve(token_registry(lambda: f"http://{realm.host}/token"))
    client = make_client(server.host, credentials=fixed(server), realms={server.host: (realm.host,)})
    await client.manifest(ref(server))
    assert realm.seen("Authorization") != [None]


@pytest.mark.parametrize("credential", [Credential(identity_token=PASSWORD), Credential("<token>", "", PASSWORD)])
async def test_an_identity_token_goes_as_a_refresh_token_and_to_the_same_places_only(
    serve: Serve, make_client: MakeClient, credential: Credential
) -> None:
    posted: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        if request.path == "/token":
            posted.append(await request.text())
        return await inner(request)

    server = await serve(handler)
    inner = token_registry(lambda: f"http://{server.host}/token")
    await make_client(server.host, credentials=fixed(server, credential)).manifest(ref(server))
    form = parse_qs(posted[0])
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == [PASSWORD]
    evil = await serve(handler)
    lured = await serve(token_registry(lambda: f"http://{evil.host}/token", "other"))
    with pytest.raises(Denied):
        await make_client(lured.host, credentials=fixed(lured, credential)).manifest(ref(lured))
    assert PASSWORD not in "".join(posted[1:])
    assert [method for method, _, _ in evil.requests] == ["GET"]


@pytest.mark.parametrize(
    "realm", ["ftp://h/t", "/token", "http://user:pw@h/t", "https://", "not a url", "http://[::1/t"]
)
async def test_a_realm_that_is_not_a_plain_web_address_is_refused(
    serve: Serve, make_client: MakeClient, realm: str
) -> None:
    server = await serve(token_registry(lambda: realm))
    with pytest.raises(Unavailable, match="realm"):
        await make_client(server.host, credentials=fixed(server)).manifest(ref(server))


@pytest.mark.parametrize("header", ['Bearer realm="open', "Digest realm=x", "Negotiate", ""])
async def test_a_challenge_nobody_can_answer_is_denied_with_the_registrys_words(
    serve: Serve, make_client: MakeClient, header: str
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return challenge(header)

    server = await serve(handler)
    with pytest.raises((Denied, Unavailable), match=r"who are you|WWW-Authenticate"):
        await make_client(server.host, credentials=fixed(server)).manifest(ref(server))


@pytest.mark.parametrize(
    "answer", [b"{", b"{}", b'{"token":5}', b'{"token":"a b"}', b'{"token":"a\\r\\nX: y"}', b"x" * (2 << 20)]
)
async def test_a_token_answer_that_is_not_one_is_unavailable(
    serve: Serve, make_client: MakeClient, answer: bytes
) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/token":
            return web.Response(body=answer)
        return challenge(f'Bearer realm="http://{server.host}/token"')

    server = await serve(handler)
    with pytest.raises(Unavailable):
        await make_client(server.host).manifest(ref(server))


async def test_an_expired_token_is_renewed_once_and_a_useless_one_ends(serve: Serve, make_client: MakeClient) -> None:
    issued: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        if request.path == "/token":
            issued.append(f"tok-{len(issued)}")
            return web.json_response({"access_token": issued[-1], "expires_in": 300})
        valid = accepting and request.headers.get("Authorization") == f"Bearer {issued[-1] if issued else ''}"
        return content() if valid else challenge(f'Bearer realm="http://{server.host}/token"')

    accepting = True
    server = await serve(handler)
    client = make_client(server.host)
    await client.manifest(ref(server))
    issued.append("revoked-on-the-server")
    await client.manifest(ref(server))
    assert len(issued) == 3
    accepting = False
    with pytest.raises(Denied, match="not authenticated"):
        await client.manifest(ref(server))


async def test_a_redirect_to_another_host_carries_no_authorization(serve: Serve, make_client: MakeClient) -> None:
    blob = b"layer"

    async def storage_handler(request: web.Request) -> web.Response:
        if request.path == "/second":
            return web.Response(status=302, headers={"Location": f"http://{server.host}/v2/back"})
        return web.Response(body=blob)

    async def handler(request: web.Request) -> web.Response:
        if request.path == "/v2/back":
            return web.Response(body=blob)
        if "Authorization" not in request.headers:
            return challenge("Basic realm=r")
        where = "second?sig=hidden" if "second" in request.path else "first"
        return web.Response(status=307, headers={"Location": f"http://{storage.host}/{where}"})

    storage, server = await serve(storage_handler), await serve(handler)
    client = make_client(server.host, storage.host, credentials=fixed(server))
    descriptor = Descriptor("x", Digest.of(blob), len(blob))
    for repository in ("/a", "/second"):
        pieces = [piece async for piece in client.blob(ref(server, repository), descriptor)]
        assert b"".join(pieces) == blob
    assert storage.seen("Authorization") == [None, None]
    assert server.requests[-1][1] == "/v2/back"
    assert "Authorization" not in server.requests[-1][2]  # nothing brings it back


@pytest.mark.parametrize(
    "location",
    [
        "",
        "ftp://h/x",
        "file:///etc/passwd",
        "http://user:pw@127.0.0.1/x",
        "http://registry.example.org/x",
        "http://[::1",
    ],
)
async def test_a_redirect_to_something_else_is_not_followed(
    serve: Serve, make_client: MakeClient, location: str
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    server = await serve(handler)
    with pytest.raises(Unavailable, match="redirected") as caught:
        await make_client(server.host).manifest(ref(server))
    assert "pw" not in str(caught.value)
    assert len(server.requests) == 1


async def test_redirects_in_a_circle_end(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.path})

    server = await serve(handler)
    with pytest.raises(Unavailable, match="more than 5 redirects"):
        await make_client(server.host).manifest(ref(server))
    assert len(server.requests) == 6


async def test_a_server_that_echoes_what_it_was_sent_shows_no_secret(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        sent = request.headers.get("Authorization", "")
        if not sent:
            return challenge("Basic realm=r")
        decoded = base64.b64decode(sent.removeprefix("Basic ")).decode()
        body = {"errors": [{"code": "DENIED", "message": f"you sent {sent} which is {decoded}"}]}
        return web.Response(status=403, body=json.dumps(body))

    server = await serve(handler)
    with pytest.raises(Denied) as caught:
        await make_client(server.host, credentials=fixed(server)).manifest(ref(server))
    assert "you sent Basic ***" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert base64.b64encode(f"ada:{PASSWORD}".encode()).decode() not in str(caught.value)
