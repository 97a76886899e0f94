"""Blobs over HTTP: HEAD, GET, ranges, conditions, DELETE; and that altered content is never sent."""

from __future__ import annotations

import asyncio
import os

import pytest
from aiohttp import ClientError

from gef_registry.distribution.blobs import OpenBlob
from gef_registry.oci.digest import Digest
from tests.fakes.registry_http import ADMIN, ALICE, BOB, RegistryUnderTest

REPOSITORY = "staging/seismo/tool"
SMALL = bytes(range(250)) * 4
LARGE = os.urandom((3 << 20) + 17)


def path(digest: Digest, repository: str = REPOSITORY) -> str:
    return f"/v2/{repository}/blobs/{digest}"


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_a_blob_is_read_whole_with_its_digest_and_size(registry: RegistryUnderTest, content: bytes) -> None:
    digest = await registry.push_blob(REPOSITORY, content)
    for method, body in (("HEAD", b""), ("GET", content)):
        answer = await registry.call(method, path(digest), ALICE)
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["Docker-Content-Digest"] == str(digest)
        assert answer.headers["Content-Length"] == str(len(content))
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("text", "start", "end"), [("100-299", 100, 300), ("900-", 900, None), ("-7", -7, None)])
async def test_a_range_is_206(
    registry: RegistryUnderTest, content: bytes, text: str, start: int, end: int | None
) -> None:
    digest = await registry.push_blob(REPOSITORY, content)
    answer = await registry.call("GET", path(digest), ALICE, headers={"Range": f"bytes={text}"})
    assert (answer.status, answer.body) == (206, content[start:end])
    first = start % len(content)
    last = first + len(answer.body) - 1
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(content)}"


async def test_a_range_outside_is_416(registry: RegistryUnderTest) -> None:
    digest = await registry.push_blob(REPOSITORY, SMALL)
    answer = await registry.call("GET", path(digest), ALICE, headers={"Range": "bytes=5000-10000"})
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */1000")


async def test_conditions_are_kept(registry: RegistryUnderTest) -> None:
    digest = await registry.push_blob(REPOSITORY, SMALL)
    known = await registry.call("GET", path(digest), ALICE, headers={"If-None-Match": f'"{digest}"'})
    assert (known.status, known.body) == (304, b"")
    other = {"Range": "bytes=0-1", "If-Range": '"something else"'}
    assert (await registry.call("GET", path(digest), ALICE, headers=other)).body == SMALL
    same = {"Range": "bytes=0-1", "If-Range": f'"{digest}"'}
    assert (await registry.call("GET", path(digest), ALICE, headers=same)).status == 206


async def test_a_blob_of_another_repository_is_unknown_here(registry: RegistryUnderTest) -> None:
    digest = await registry.push_blob(REPOSITORY, SMALL)
    answer = await registry.call("GET", path(digest, "staging/seismo/other"), ALICE)
    assert (answer.status, answer.error["code"]) == (404, "BLOB_UNKNOWN")


async def test_a_malformed_digest_is_400(registry: RegistryUnderTest) -> None:
    answer = await registry.call("GET", f"/v2/{REPOSITORY}/blobs/sha256:zz", ALICE)
    assert (answer.status, answer.error["code"]) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_an_altered_blob_is_never_sent_and_pushing_it_again_heals(
    registry: RegistryUnderTest, content: bytes
) -> None:
    digest = await registry.push_blob(REPOSITORY, content)
    altered = bytearray(content)
    altered[len(content) // 2] ^= 1
    file = registry.path_of(digest)
    before = file.stat()
    with file.open("r+b") as opened:
        opened.write(altered)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # whoever altered it hid the traces
    for method in ("GET", "HEAD", "GET"):
        answer = await registry.call(method, path(digest), ALICE)
        assert (answer.status, bytes(altered) in answer.body) == (404, False)
    assert [p.name[:71] for p in (registry.directory / "quarantine").iterdir()] == [f"sha256-{digest.hex}"]
    await registry.push_blob(REPOSITORY, content)
    assert (await registry.call("GET", path(digest), ALICE)).body == content


async def test_a_truncated_or_missing_blob_is_unknown(registry: RegistryUnderTest) -> None:
    digest = await registry.push_blob(REPOSITORY, LARGE)
    os.truncate(registry.path_of(digest), 2 << 20)
    assert (await registry.call("GET", path(digest), ALICE)).status == 404
    small = await registry.push_blob(REPOSITORY, SMALL)
    registry.path_of(small).unlink()
    assert (await registry.call("HEAD", path(small), ALICE)).status == 404


@pytest.mark.parametrize("sendfile", [True, False], ids=["sendfile", "pieces"])
async def test_a_blob_that_shrinks_while_it_is_sent_is_never_taken_for_whole(
    registry: RegistryUnderTest, monkeypatch: pytest.MonkeyPatch, sendfile: bool
) -> None:
    digest = await registry.push_blob(REPOSITORY, LARGE)
    opening = registry.store.open

    async def open_and_truncate(wanted: Digest) -> OpenBlob:
        blob = await opening(wanted)
        os.truncate(registry.path_of(wanted), 2 << 20)
        return blob

    async def unsupported(*_: object) -> int:
        raise NotImplementedError

    with monkeypatch.context() as patch:
        patch.setattr(registry.store, "open", open_and_truncate)
        if not sendfile:
            patch.setattr(asyncio.get_running_loop(), "sendfile", unsupported)
        with pytest.raises(ClientError):
            await registry.call("GET", path(digest), ALICE)
    assert (await registry.call("GET", path(digest), ALICE)).status == 404


async def test_without_sendfile_a_blob_is_sent_in_pieces(
    registry: RegistryUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unsupported(*_: object) -> int:
        raise NotImplementedError  # as uvloop does

    digest = await registry.push_blob(REPOSITORY, LARGE)
    monkeypatch.setattr(asyncio.get_running_loop(), "sendfile", unsupported)
    assert (await registry.call("GET", path(digest), ALICE)).body == LARGE
    part = await registry.call("GET", path(digest), ALICE, headers={"Range": "bytes=5-1000000"})
    assert part.body == LARGE[5:1000001]


async def test_a_blob_is_deleted_in_staging_from_that_repository_only(registry: RegistryUnderTest) -> None:
    digest = await registry.push_blob(REPOSITORY, SMALL)
    await registry.push_blob("staging/seismo/other", SMALL)
    assert (await registry.call("DELETE", path(digest), ALICE)).status == 202
    again = await registry.call("DELETE", path(digest), ALICE)
    assert (again.status, again.error["code"]) == (404, "BLOB_UNKNOWN")
    assert (await registry.call("GET", path(digest, "staging/seismo/other"), ALICE)).body == SMALL


async def test_nothing_is_deleted_in_trusted_whoever_asks(registry: RegistryUnderTest) -> None:
    digest = await registry.push_blob("trusted/seismo/tool", SMALL)
    for account in (ALICE, ADMIN, None):
        for what in (f"blobs/{digest}", f"manifests/{digest}", "manifests/1.0"):
            answer = await registry.call("DELETE", f"/v2/trusted/seismo/tool/{what}", account)
            assert (answer.status, answer.error["code"]) == (405, "UNSUPPORTED")
    assert (await registry.call("GET", path(digest, "trusted/seismo/tool"), ALICE)).body == SMALL


async def test_another_account_cannot_delete_what_it_cannot_see(registry: RegistryUnderTest) -> None:
    digest = await registry.push_blob(REPOSITORY, SMALL)
    assert (await registry.call("DELETE", path(digest), BOB)).status == 404
    assert (await registry.call("GET", path(digest), ALICE)).body == SMALL


@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("POST", 405), ("PUT", 405)])
async def test_a_path_that_is_none_of_the_api_answers_as_the_registry_does(
    registry: RegistryUnderTest, method: str, status: int
) -> None:
    answer = await registry.call(method, "/v2/staging/seismo/tool/nothing", ALICE)
    assert answer.status == status and answer.error["message"]
