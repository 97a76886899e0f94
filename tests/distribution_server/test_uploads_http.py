"""Uploads over HTTP: each way in, sessions that belong to one account, what is refused and what is left behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from gef_registry.distribution.ports import PushAnswer
from gef_registry.distribution.server import expire_uploads
from gef_registry.oci.digest import Digest
from tests.fakes.catalogue import Account
from tests.fakes.registry_http import ADMIN, ALICE, BOB, REVIEWER, Answer, RegistryUnderTest

REPOSITORY = "staging/seismo/tool"
START = f"/v2/{REPOSITORY}/blobs/uploads/"
CONTENT = bytes(range(256)) * 40
DIGEST = Digest.of(CONTENT)


async def begin(registry: RegistryUnderTest, account: Account = ALICE, path: str = START) -> str:
    answer = await registry.call("POST", path, account)
    assert (answer.status, answer.headers["Range"]) == (202, "0-0")
    return answer.headers["Location"]


async def chunk(registry: RegistryUnderTest, location: str, start: int, content: bytes, **more: str) -> Answer:
    headers = {"Content-Range": f"{start}-{start + len(content) - 1}", **more}
    return await registry.call("PATCH", location, ALICE, data=content, headers=headers)


async def stored(registry: RegistryUnderTest, digest: Digest = DIGEST) -> bytes:
    return (await registry.call("GET", f"/v2/{REPOSITORY}/blobs/{digest}", ALICE)).body


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_blob_is_pushed_in_one_request(registry: RegistryUnderTest, algorithm: str) -> None:
    digest = Digest.of(CONTENT, algorithm)
    answer = await registry.call("POST", f"{START}?digest={digest}", ALICE, data=CONTENT)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, str(digest))
    assert (await registry.call("GET", answer.headers["Location"], ALICE)).body == CONTENT
    assert registry.uploads() == [] and registry.catalogue.uploads == {}


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_blob_is_pushed_in_chunks_the_last_one_with_the_digest(
    registry: RegistryUnderTest, algorithm: str
) -> None:
    digest = Digest.of(CONTENT, algorithm)
    location = await begin(registry)
    for start in range(0, 9000, 3000):
        answer = await chunk(registry, location, start, CONTENT[start : start + 3000])
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{start + 2999}")
        location = answer.headers["Location"]
    answer = await registry.call("PUT", f"{location}?digest={digest}", ALICE, data=CONTENT[9000:])
    assert answer.status == 201
    assert await stored(registry, digest) == CONTENT


async def test_a_blob_is_pushed_as_a_stream_of_unknown_length(registry: RegistryUnderTest) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(CONTENT), 1000):
            yield CONTENT[start : start + 1000]

    location = await begin(registry)
    answer = await registry.call("PATCH", location, ALICE, data=stream())
    assert (answer.status, answer.headers["Range"]) == (202, f"0-{len(CONTENT) - 1}")
    assert (await registry.call("PUT", f"{location}?digest={DIGEST}", ALICE)).status == 201
    assert await stored(registry) == CONTENT


async def test_an_empty_blob_is_a_blob(registry: RegistryUnderTest) -> None:
    location = await begin(registry)
    empty = Digest.of(b"")
    assert (await registry.call("PUT", f"{location}?digest={empty}", ALICE)).status == 201
    answer = await registry.call("GET", f"/v2/{REPOSITORY}/blobs/{empty}", ALICE)
    assert (answer.status, answer.body) == (200, b"")


async def test_a_chunk_out_of_order_is_416_and_the_offset_can_be_asked_for(registry: RegistryUnderTest) -> None:
    location = await begin(registry)
    await chunk(registry, location, 0, CONTENT[:100])
    for start in (0, 50, 200):
        answer = await chunk(registry, location, start, CONTENT[start : start + 100])
        assert (answer.status, answer.headers["Range"], answer.headers["Location"]) == (416, "0-99", location)
        assert answer.error["code"] == "RANGE_INVALID"
    status = await registry.call("GET", location, ALICE)
    assert (status.status, status.headers["Range"]) == (204, "0-99")
    await chunk(registry, location, 100, CONTENT[100:])
    assert (await registry.call("PUT", f"{location}?digest={DIGEST}", ALICE)).status == 201


async def test_a_wrong_digest_is_refused_and_nothing_stays(registry: RegistryUnderTest) -> None:
    location = await begin(registry)
    answer = await registry.call("PUT", f"{location}?digest={DIGEST}", ALICE, data=CONTENT + b"!")
    assert (answer.status, answer.error["code"]) == (400, "DIGEST_INVALID")
    assert registry.uploads() == [] and registry.catalogue.uploads == {}
    assert (await registry.call("HEAD", f"/v2/{REPOSITORY}/blobs/{DIGEST}", ALICE)).status == 404


@pytest.mark.parametrize("digest", ["", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "SHA256:" + "0" * 64])
async def test_a_malformed_digest_is_refused(registry: RegistryUnderTest, digest: str) -> None:
    location = await begin(registry)
    answer = await registry.call("PUT", f"{location}?digest={digest}", ALICE, data=CONTENT)
    assert (answer.status, answer.error["code"]) == (400, "DIGEST_INVALID")
    assert (await registry.call("PUT", location, ALICE, data=CONTENT)).error["code"] == "DIGEST_INVALID"


async def test_an_upload_is_cancelled(registry: RegistryUnderTest) -> None:
    location = await begin(registry)
    await chunk(registry, location, 0, CONTENT)
    assert (await registry.call("DELETE", location, ALICE)).status == 204
    assert (await registry.call("GET", location, ALICE)).error["code"] == "BLOB_UPLOAD_UNKNOWN"
    assert registry.uploads() == []


async def test_a_session_belongs_to_its_account_and_its_repository(registry: RegistryUnderTest) -> None:
    location = await begin(registry)
    await chunk(registry, location, 0, CONTENT)
    elsewhere = location.replace("seismo/tool", "seismo/other")
    for account, path in ((BOB, location), (ADMIN, location), (ALICE, elsewhere)):
        for method in ("GET", "PATCH", "DELETE", "PUT"):
            answer = await registry.call(
                method, f"{path}?digest={DIGEST}", account, data=b"x" if method[0] == "P" else None
            )
            assert (answer.status, answer.error["code"]) == (404, "BLOB_UPLOAD_UNKNOWN"), (method, path)
    assert (await registry.call("GET", location, ALICE)).headers["Range"] == f"0-{len(CONTENT) - 1}"


async def test_ids_of_sessions_are_long_and_never_the_same(registry: RegistryUnderTest) -> None:
    ids = {(await begin(registry)).rpartition("/")[2] for _ in range(3)}
    assert len(ids) == 3 and all(len(one) >= 22 for one in ids)


@pytest.mark.parametrize("upload", ["..", "put-0123456789abcdef0123456789abcdef", "x", "%2e%2e%2fblobs", "a" * 300])
async def test_an_id_that_was_never_given_out_is_unknown(registry: RegistryUnderTest, upload: str) -> None:
    answer = await registry.call("PATCH", f"{START}{upload}", ALICE, data=b"x")
    assert answer.status in (404, 405)


async def test_an_account_has_a_bounded_number_of_sessions(registry: RegistryUnderTest) -> None:
    locations = [await begin(registry) for _ in range(3)]
    answer = await registry.call("POST", START, ALICE)
    assert (answer.status, answer.error["code"]) == (429, "TOOMANYREQUESTS")
    assert int(answer.headers["Retry-After"]) > 0
    await begin(registry, BOB)
    await registry.call("DELETE", locations[0], ALICE)
    await begin(registry)


async def test_a_blob_beyond_the_limit_is_413(registry: RegistryUnderTest) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b"\0" * (1 << 20)

    announced = await registry.call("PATCH", await begin(registry), ALICE, data=b"\0" * ((8 << 20) + 1))
    streamed = await registry.call("PATCH", await begin(registry), ALICE, data=stream())
    assert [(a.status, a.error["code"]) for a in (announced, streamed)] == [(413, "SIZE_INVALID")] * 2
    assert registry.uploads() == [] and registry.catalogue.uploads == {}


async def test_anonymous_is_told_where_to_sign_in_and_readers_that_they_may_not_push(
    registry: RegistryUnderTest,
) -> None:
    anonymous = await registry.call("POST", START)
    assert (anonymous.status, anonymous.error["code"]) == (401, "UNAUTHORIZED")
    assert anonymous.headers["WWW-Authenticate"]
    reader = await registry.call("POST", START, REVIEWER)
    assert (reader.status, reader.error["code"]) == (403, "DENIED")
    assert "rita" in reader.error["message"]
    wrong = await registry.call("POST", START, headers={"Authorization": "Basic eDp5"})
    assert (wrong.status, wrong.error["code"]) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize("repository", ["library/app", "staging", "staging/app", "trusted/app", "stagingx/a/b"])
async def test_a_name_outside_the_namespaces_is_denied_at_the_start(
    registry: RegistryUnderTest, repository: str
) -> None:
    answer = await registry.call("POST", f"/v2/{repository}/blobs/uploads/", ADMIN)
    assert (answer.status, answer.error["code"]) == (403, "DENIED")
    assert "staging/<community>/<service>" in answer.error["message"]


@pytest.mark.parametrize("repository", ["UPPER/a/b", "a//b", "-a/b", "a" * 256])
async def test_a_name_against_the_grammar_is_invalid(registry: RegistryUnderTest, repository: str) -> None:
    answer = await registry.call("POST", f"/v2/{repository}/blobs/uploads/", ADMIN)
    assert (answer.status, answer.error["code"]) == (400, "NAME_INVALID")


async def test_what_the_gate_refuses_is_refused_before_a_byte_is_sent(registry: RegistryUnderTest) -> None:
    registry.gate.refuse_push = lambda repository, account: PushAnswer(403, f"{account} is over quota", "detail")
    answer = await registry.call("POST", START, ALICE)
    assert answer.status == 403
    assert answer.error == {"code": "DENIED", "message": "alice is over quota", "detail": "detail"}
    assert registry.uploads() == []


async def test_a_blob_is_mounted_from_where_its_reader_may_read(registry: RegistryUnderTest) -> None:
    await registry.push_blob(REPOSITORY, CONTENT)
    other = "/v2/staging/seismo/other/blobs"
    answer = await registry.call("POST", f"{other}/uploads/?mount={DIGEST}&from={REPOSITORY}", ALICE)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, str(DIGEST))
    assert (await registry.call("GET", f"{other}/{DIGEST}", ALICE)).body == CONTENT


@pytest.mark.parametrize("source", [REPOSITORY, "trusted/seismo/none", "staging/none/none", "UPPER", None])
async def test_a_mount_without_the_right_or_the_blob_begins_an_upload(
    registry: RegistryUnderTest, source: str | None
) -> None:
    await registry.push_blob(REPOSITORY, CONTENT)  # Alice's; Bob shares the repository and not the candidate
    other = "/v2/staging/seismo/other/blobs"
    query = f"mount={DIGEST}" + (f"&from={source}" if source else "")
    answer = await registry.call("POST", f"{other}/uploads/?{query}", BOB)
    assert answer.status == 202
    put = await registry.call("PUT", f"{answer.headers['Location']}?digest={DIGEST}", BOB, data=CONTENT)
    assert put.status == 201


async def test_a_client_that_hangs_up_resumes_where_it_was(registry: RegistryUnderTest) -> None:
    big = os.urandom(3 << 20)
    location = await begin(registry)

    async def breaks() -> AsyncIterator[bytes]:
        yield big[: 2 << 20]
        raise RuntimeError("the client dies")

    with pytest.raises(Exception):  # noqa: B017 - aiohttp wraps what its own sender raised
        await registry.call("PATCH", location, ALICE, data=breaks())
    status = await registry.call("GET", location, ALICE)
    assert status.status == 204
    offset = int(status.headers["Range"].removeprefix("0-")) + 1
    assert 1 < offset <= 2 << 20
    assert (await chunk(registry, location, offset, big[offset:])).status == 202
    digest = Digest.of(big)
    assert (await registry.call("PUT", f"{location}?digest={digest}", ALICE)).status == 201
    assert await stored(registry, digest) == big


async def test_two_requests_to_one_session_take_turns(registry: RegistryUnderTest) -> None:
    location = await begin(registry)
    first, second = await asyncio.gather(
        chunk(registry, location, 0, CONTENT[:5000]), chunk(registry, location, 0, CONTENT[:5000])
    )
    assert sorted((first.status, second.status)) == [202, 416]


async def test_idle_uploads_end_and_busy_ones_stay(registry: RegistryUnderTest) -> None:
    idle, busy = await begin(registry), await begin(registry)
    for location in (idle, busy):
        await chunk(registry, location, 0, CONTENT)
        registry.catalogue.touched[location.rpartition("/")[2]] = "2000-01-01T00:00:00.000000+00:00"
    stray = registry.directory / "uploads" / ("put-" + "0" * 32)
    stray.write_bytes(b"left by a crash")
    for path in (stray, registry.directory / "uploads" / idle.rpartition("/")[2]):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert await expire_uploads(registry.store, registry.catalogue, 3600) == 1
    assert (await registry.call("GET", idle, ALICE)).status == 404
    assert (await registry.call("GET", busy, ALICE)).status == 204
    assert not stray.exists()


@pytest.mark.parametrize("method", ["link_blob", "remove_upload", "create_upload", "upload", "count_uploads"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_push_repeated_after_a_failure_of_the_records_succeeds(
    registry: RegistryUnderTest, method: str, when: str
) -> None:
    failing = registry.catalogue.failing
    (failing.fail_before if when == "before" else failing.fail_after)[method] = 1
    location, tries = "", 0
    while True:
        tries += 1
        begun = await registry.call("POST", START, ALICE)
        if begun.status == 202:
            location = begun.headers["Location"]
            put = await registry.call("PUT", f"{location}?digest={DIGEST}", ALICE, data=CONTENT)
            if put.status == 201:
                break
            begun = put
        assert begun.status in (404, 503)
        assert tries < 3
    assert await stored(registry) == CONTENT
