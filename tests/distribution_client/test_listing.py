"""Lists in pages, and referrers with and without the API."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from gef_registry.distribution.client import RegistryClient
from gef_registry.errors import BadInput, Denied, NotFound, Unavailable
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.reference import Reference

Serve = Callable[..., Awaitable[Any]]
MakeClient = Callable[..., RegistryClient]
SUBJECT = Digest.of(b"subject")
ENTRY = {"mediaType": media.OCI_MANIFEST, "digest": str(Digest.of(b"1")), "size": 1, "artifactType": "application/x"}
OTHER = {"mediaType": media.OCI_MANIFEST, "digest": str(Digest.of(b"2")), "size": 2, "artifactType": "application/y"}


def ref(server: Any) -> Reference:
    return Reference.parse(f"{server.host}/a")


def index(*entries: dict[str, Any], **headers: str) -> web.Response:
    document = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": list(entries)}
    return web.Response(body=json.dumps(document), headers={"Content-Type": media.OCI_INDEX, **headers})


async def test_tags_are_read_over_all_pages(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.query.get("last") == "b":
            return web.json_response({"name": "a", "tags": ["c"]})
        link = {"Link": '</v2/a/tags/list?n=2&last=b>; rel="next"'}
        return web.json_response({"name": "a", "tags": ["a", "b"]}, headers=link)

    server = await serve(handler)
    client = make_client(server.host)
    assert await client.tags(ref(server)) == ["a", "b", "c"]
    with pytest.raises(Unavailable, match="more than 2"):
        await client.tags(ref(server), limit=2)


async def test_a_repository_without_tags_has_none(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"name": "a", "tags": None})

    server = await serve(handler)
    assert await make_client(server.host).tags(ref(server)) == []


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ('</v2/a/tags/list?n=1000>; rel="next"', "circle"),
        ('<http://evil.example/v2/a/tags/list>; rel="next"', "another host"),
        ('</token>; rel="next"', "another host"),
        ('<http://[::1>; rel="next"', "not a URL"),
    ],
)
async def test_pages_that_lead_astray_are_not_followed(
    serve: Serve, make_client: MakeClient, link: str, message: str
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"tags": ["a"]}, headers={"Link": link})

    server = await serve(handler)
    with pytest.raises(Unavailable, match=message):
        await make_client(server.host).tags(ref(server))
    assert len(server.requests) == 1


async def test_pages_without_end_end(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response(
            {"tags": ["a"] * 50}, headers={"Link": f'</v2/a/tags/list?p={len(server.requests)}>; rel="next"'}
        )

    server = await serve(handler)
    with pytest.raises(Unavailable, match="more than 1000"):
        await make_client(server.host).tags(ref(server), limit=1000)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"tags":5}', b'{"tags":["a b"]}', b'{"tags":[5]}'])
async def test_what_is_not_a_list_of_tags_is_refused(serve: Serve, make_client: MakeClient, body: bytes) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=body)

    server = await serve(handler)
    with pytest.raises(Unavailable):
        await make_client(server.host).tags(ref(server))


async def test_referrers_come_from_the_api_filtered_again(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.query.get("page"):
            return index(OTHER, ENTRY)
        return index(ENTRY, Link=f'</v2/a/referrers/{SUBJECT}?page=2>; rel="next"')

    server = await serve(handler)
    client = make_client(server.host)
    assert [str(d.digest) for d in await client.referrers(ref(server), SUBJECT)] == [ENTRY["digest"], OTHER["digest"]]
    found = await client.referrers(ref(server), SUBJECT, artifact_type="application/y")
    assert [str(d.digest) for d in found] == [OTHER["digest"]]
    assert server.requests[2][1].endswith("?artifactType=application/y")


@pytest.mark.parametrize("status", [404, 405, 400, 200])
async def test_without_the_api_the_tag_is_read(serve: Serve, make_client: MakeClient, status: int) -> None:
    async def handler(request: web.Request) -> web.Response:
        if "/referrers/" in request.path:
            return web.Response(status=status, text="<html>")
        assert request.path == f"/v2/a/manifests/sha256-{SUBJECT.hex}"
        return index(ENTRY, OTHER)

    server = await serve(handler)
    found = await make_client(server.host).referrers(ref(server), SUBJECT, artifact_type="application/x")
    assert [str(d.digest) for d in found] == [ENTRY["digest"]]


async def test_neither_api_nor_tag_means_no_referrers_but_a_refusal_does_not(
    serve: Serve, make_client: MakeClient
) -> None:
    async def nothing(request: web.Request) -> web.Response:
        return web.Response(status=404)

    async def refusing(request: web.Request) -> web.Response:
        return web.Response(status=403)

    empty, closed = await serve(nothing), await serve(refusing)
    client = make_client(empty.host, closed.host)
    assert await client.referrers(ref(empty), SUBJECT) == ()
    with pytest.raises(Denied):
        await client.referrers(ref(closed), SUBJECT)


async def test_an_image_under_the_referrers_tag_is_not_taken_for_a_list(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        if "/referrers/" in request.path:
            return web.Response(status=404)
        return web.Response(body=b"{}", headers={"Content-Type": media.OCI_MANIFEST})

    server = await serve(handler)
    with pytest.raises(Unavailable, match="not an index"):
        await make_client(server.host).referrers(ref(server), SUBJECT)


def artifact(number: int) -> bytes:
    return json.dumps(
        {
            "schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "artifactType": "application/x",
            "config": {"mediaType": media.OCI_EMPTY, "digest": str(Digest.of(b"{}")), "size": 2}, "layers": [],
            "subject": {"mediaType": media.OCI_MANIFEST, "digest": str(SUBJECT), "size": 1},
            "annotations": {"n": str(number)},
        }
    ).encode()  # fmt: skip


@pytest.mark.parametrize("has_api", [True, False])
async def test_a_referrer_is_entered_in_the_tag_only_where_the_registry_does_not_do_it(
    serve: Serve, make_client: MakeClient, has_api: bool
) -> None:
    stored: dict[str, tuple[bytes, str]] = {}

    async def handler(request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        if request.method == "PUT":
            stored[name] = (await request.read(), request.content_type)
            return web.Response(status=201, headers={"OCI-Subject": str(SUBJECT)} if has_api else {})
        if name not in stored:
            return web.Response(status=404)
        return web.Response(body=stored[name][0], headers={"Content-Type": stored[name][1]})

    server = await serve(handler)
    client = make_client(server.host)
    for number in (1, 2, 1):
        await client.put_referrer(ref(server), artifact(number), media.OCI_MANIFEST)
    tag = f"sha256-{SUBJECT.hex}"
    assert (tag in stored) is not has_api
    if not has_api:
        entries = json.loads(stored[tag][0])["manifests"]
        assert [e["digest"] for e in entries] == [str(Digest.of(artifact(n))) for n in (1, 2)]
        assert entries[0]["artifactType"] == "application/x"
        assert entries[0]["annotations"] == {"n": "1"}


async def test_a_manifest_without_subject_is_no_referrer(make_client: MakeClient) -> None:
    plain = json.loads(artifact(1))
    del plain["subject"]
    with pytest.raises(BadInput, match="subject"):
        await make_client().put_referrer(Reference("h", "a"), json.dumps(plain).encode(), media.OCI_MANIFEST)


async def test_a_manifest_is_deleted_or_the_reason_is_said(serve: Serve, make_client: MakeClient) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status={"1": 202, "2": 404, "3": 405}[request.path[-1]])

    server = await serve(handler)
    client = make_client(server.host)
    await client.delete_manifest(Reference(server.host, "a", "1"))
    with pytest.raises(NotFound):
        await client.delete_manifest(Reference(server.host, "a", "2"))
    with pytest.raises(Denied, match="does not do this"):
        await client.delete_manifest(Reference(server.host, "a", "3"))
