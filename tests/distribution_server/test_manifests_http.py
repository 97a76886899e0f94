"""Manifests over HTTP: what is stored, what the gate is asked, what a client hears, and that nothing altered is sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from gef_registry.distribution.ports import PushAnswer
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from tests.fakes.registry_http import ADMIN, ALICE, REVIEWER, Answer, RegistryUnderTest
from tests.parts.images import BuiltImage, build_image, canonical, good_service, index_of

STAGING = "staging/seismo/tool"
TRUSTED = "trusted/seismo/tool"


@pytest.fixture(scope="module")
def image() -> BuiltImage:
    return good_service()


async def get(registry: RegistryUnderTest, repository: str, reference: str, method: str = "GET") -> Answer:
    return await registry.call(method, f"/v2/{repository}/manifests/{reference}", ALICE)


async def put_raw(registry: RegistryUnderTest, raw: bytes, reference: str = "1.0", **options: Any) -> Answer:
    options.setdefault("headers", {"Content-Type": media.OCI_MANIFEST})
    return await registry.call("PUT", f"/v2/{STAGING}/manifests/{reference}", ALICE, data=raw, **options)


@pytest.mark.parametrize("repository", [STAGING, TRUSTED])
async def test_an_image_is_pushed_by_tag_and_read_by_tag_and_digest(
    registry: RegistryUnderTest, image: BuiltImage, repository: str
) -> None:
    answer = await registry.push(repository, "1.0", image)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, image.digest)
    assert answer.headers["Location"] == f"/v2/{repository}/manifests/{image.digest}"
    for reference in ("1.0", image.digest):
        for method, body in (("GET", image.manifest), ("HEAD", b"")):
            read = await get(registry, repository, reference, method)
            assert (read.status, read.body) == (200, body)
            assert read.headers["Docker-Content-Digest"] == image.digest
            assert read.headers["Content-Type"] == image.media_type
            assert read.headers["Content-Length"] == str(len(image.manifest))
    assert registry.gate.asked == [(repository, "1.0", Digest.parse(image.digest), "alice")]


async def test_a_child_pushed_by_digest_asks_the_gate_nothing(registry: RegistryUnderTest, image: BuiltImage) -> None:
    assert (await registry.push(TRUSTED, image.digest, image)).status == 201
    assert registry.gate.asked == []


async def test_an_index_needs_its_children_first(registry: RegistryUnderTest, image: BuiltImage) -> None:
    index = index_of([image, good_service(architecture="arm64")])
    early = await registry.push_manifest(STAGING, "1.0", index)
    assert (early.status, early.error["code"]) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert (await registry.push(STAGING, "1.0", index)).status == 201
    assert (await get(registry, STAGING, "1.0")).body == index.manifest


async def test_an_image_needs_its_blobs_first_and_the_answer_names_the_missing_one(
    registry: RegistryUnderTest, image: BuiltImage
) -> None:
    answer = await registry.push_manifest(STAGING, "1.0", image)
    assert (answer.status, answer.error["code"]) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert image.config_digest in answer.error["message"]


async def test_a_size_that_contradicts_the_blob_is_refused(registry: RegistryUnderTest, image: BuiltImage) -> None:
    await registry.push(STAGING, "1.0", image)
    document = json.loads(image.manifest)
    document["layers"][0]["size"] += 1
    answer = await put_raw(registry, canonical(document))
    assert (answer.status, answer.error["code"]) == (400, "MANIFEST_INVALID")


async def test_layers_that_may_not_be_distributed_need_not_be_here(
    registry: RegistryUnderTest, image: BuiltImage
) -> None:
    await registry.push(STAGING, "1.0", image)
    document = json.loads(image.manifest)
    foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    document["layers"].append({"mediaType": foreign, "digest": str(Digest.of(b"elsewhere")), "size": 9})
    assert (await put_raw(registry, canonical(document))).status == 201


async def test_an_artifact_with_a_configuration_of_its_own_is_stored(registry: RegistryUnderTest) -> None:
    config = await registry.push_blob(STAGING, b"{}")
    document = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.example.config", "digest": str(config), "size": 2},
        "layers": [],
    }
    assert (await put_raw(registry, canonical(document))).status == 201


@pytest.mark.parametrize(
    "raw",
    [b"", b"no json", b"[]", b"{}", b'{"schemaVersion":1}', b'{"schemaVersion":2,"schemaVersion":2}', b"[" * 5000],
    ids=["empty", "text", "list", "object", "schema-1", "duplicate-key", "deep"],
)
async def test_what_is_no_manifest_is_invalid(registry: RegistryUnderTest, raw: bytes) -> None:
    answer = await put_raw(registry, raw)
    assert (answer.status, answer.error["code"]) == (400, "MANIFEST_INVALID")
    assert registry.catalogue.manifests == {}


async def test_a_digest_that_is_not_the_contents_is_refused(registry: RegistryUnderTest, image: BuiltImage) -> None:
    await registry.push(STAGING, "1.0", image)
    answer = await put_raw(registry, image.manifest + b" ", image.digest)
    assert (answer.status, answer.error["code"]) == (400, "DIGEST_INVALID")


async def test_a_manifest_beyond_four_mebibytes_is_413(registry: RegistryUnderTest) -> None:
    async def stream() -> Any:
        for _ in range(5):
            yield b" " * (1 << 20)

    for data in (b" " * ((4 << 20) + 1), stream()):
        answer = await put_raw(registry, data)  # type: ignore[arg-type]
        assert (answer.status, answer.error["code"]) == (413, "SIZE_INVALID")


async def test_a_manifest_of_sha512_is_stored_and_served(registry: RegistryUnderTest, image: BuiltImage) -> None:
    await registry.push(STAGING, "1.0", image)
    digest = str(Digest.of(image.manifest, "sha512"))
    assert (await registry.push_manifest(STAGING, digest, image)).headers["Docker-Content-Digest"] == digest
    assert (await get(registry, STAGING, digest)).body == image.manifest


async def test_tags_as_parameters_are_denied(registry: RegistryUnderTest, image: BuiltImage) -> None:
    await registry.push(TRUSTED, "1.0", image)
    path = f"/v2/{TRUSTED}/manifests/{image.digest}?tag=2.0&tag=3.0"
    answer = await registry.call("PUT", path, ALICE, data=image.manifest, headers={"Content-Type": image.media_type})
    assert (answer.status, answer.error["code"]) == (403, "DENIED")
    assert registry.gate.asked[1:] == []


@pytest.mark.parametrize("tag", ["adm-" + "0" * 64, "sha256-" + "0" * 64, "sha256-" + "0" * 64 + ".sig", "ADM-1"])
async def test_tags_that_only_the_gate_writes_are_reserved_in_trusted(
    registry: RegistryUnderTest, image: BuiltImage, tag: str
) -> None:
    for account in (ALICE, ADMIN):
        answer = await registry.push(TRUSTED, tag, image, account)
        assert (answer.status, answer.error["code"]) == (403, "DENIED")
        assert "reserved" in answer.error["message"]
    assert registry.gate.asked == []
    assert (await registry.push(STAGING, tag, image)).status == 201


@pytest.mark.parametrize("reference", ["-x", "a" * 129, "ä"])
async def test_what_is_neither_tag_nor_digest_is_invalid(
    registry: RegistryUnderTest, image: BuiltImage, reference: str
) -> None:
    assert (await registry.push(STAGING, reference, image)).status == 400
    assert (await get(registry, STAGING, reference)).status == 400


# The gate


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        (PushAnswer(403, "refused: USR-001", "https://gate/report/1"), 403, "DENIED"),
        (PushAnswer(409, "1.0 is another digest"), 409, "DENIED"),
        (PushAnswer(429, "the queue is full"), 429, "TOOMANYREQUESTS"),
    ],
)
async def test_the_gates_refusal_is_what_the_client_reads(
    registry: RegistryUnderTest, image: BuiltImage, given: PushAnswer, status: int, code: str
) -> None:
    for repository in (STAGING, TRUSTED):
        registry.gate.verdicts["1.0"] = given
        answer = await registry.push(repository, "1.0", image)
        assert (answer.status, answer.error["code"]) == (status, code)
        assert answer.error["message"] == given.message
        assert answer.error.get("detail", "") == given.detail
        assert (await get(registry, repository, "1.0")).status == 404
    assert registry.catalogue.tag_rows == {}


async def test_a_client_that_hangs_up_while_judging_changes_nothing(
    registry: RegistryUnderTest, image: BuiltImage
) -> None:
    registry.gate.release.clear()
    pushing = asyncio.ensure_future(registry.push(TRUSTED, "1.0", image))
    async with asyncio.timeout(10):
        while not registry.gate.asked:
            await asyncio.sleep(0.01)
    pushing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pushing
    assert (await get(registry, TRUSTED, "1.0")).status == 404
    await registry.gate.close()
    assert registry.gate.judged == [(TRUSTED, "1.0", Digest.parse(image.digest))]
    assert (await get(registry, TRUSTED, "1.0")).body == image.manifest


async def test_a_revoked_tag_says_why_and_its_bytes_stay_readable_by_digest(
    registry: RegistryUnderTest, image: BuiltImage
) -> None:
    await registry.push(TRUSTED, "1.0", image)
    registry.catalogue.revoke(TRUSTED, "1.0", "CVE-2026-1 in the solver")
    answer = await get(registry, TRUSTED, "1.0")
    assert (answer.status, answer.error["code"]) == (403, "DENIED")
    assert "CVE-2026-1" in answer.error["message"]
    assert (await get(registry, TRUSTED, image.digest)).body == image.manifest


@pytest.mark.parametrize("method", ["put_manifest", "put_tag", "blob_size"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_push_repeated_after_a_failure_of_the_records_succeeds(
    registry: RegistryUnderTest, image: BuiltImage, method: str, when: str
) -> None:
    for blob in image.blobs.values():
        await registry.push_blob(STAGING, blob)
    failing = registry.catalogue.failing
    (failing.fail_before if when == "before" else failing.fail_after)[method] = 1
    first = await registry.push_manifest(STAGING, "1.0", image)
    assert first.status == (201 if (method, when) == ("blob_size", "after") else 503)
    assert (await registry.push_manifest(STAGING, "1.0", image)).status == 201
    assert (await get(registry, STAGING, "1.0")).body == image.manifest


# Altered on disk


async def test_an_altered_manifest_is_never_sent_and_pushing_it_again_heals(
    registry: RegistryUnderTest, image: BuiltImage
) -> None:
    await registry.push(STAGING, "1.0", image)
    file = registry.path_of(image.digest)
    file.write_bytes(image.manifest.replace(b'"schemaVersion"', b'"schemaversion"'))
    for reference in ("1.0", image.digest):
        for method in ("GET", "HEAD"):
            answer = await get(registry, STAGING, reference, method)
            assert answer.status == 500
            assert b"schemaversion" not in answer.body
    assert (await get(registry, STAGING, "1.0")).error["code"] == "MANIFEST_UNVERIFIED"
    assert not file.exists()
    assert (await registry.push_manifest(STAGING, "1.0", image)).status == 201
    assert (await get(registry, STAGING, "1.0")).body == image.manifest


async def test_an_altered_manifest_that_grew_is_not_read_whole(registry: RegistryUnderTest, image: BuiltImage) -> None:
    await registry.push(STAGING, "1.0", image)
    registry.path_of(image.digest).write_bytes(image.manifest + b" " * (1 << 20))
    assert (await get(registry, STAGING, "1.0")).status == 500


# Lists


async def test_tags_are_listed_in_pages(registry: RegistryUnderTest, image: BuiltImage) -> None:
    for tag in ("3.0", "1.0", "2.0"):
        await registry.push(STAGING, tag, image)
    whole = await registry.call("GET", f"/v2/{STAGING}/tags/list", ALICE)
    assert whole.json == {"name": STAGING, "tags": ["1.0", "2.0", "3.0"]}
    first = await registry.call("GET", f"/v2/{STAGING}/tags/list?n=2", ALICE)
    assert first.json["tags"] == ["1.0", "2.0"]
    rest = first.headers["Link"].partition(">")[0].lstrip("<")
    assert (await registry.call("GET", rest, ALICE)).json["tags"] == ["3.0"]
    bad = await registry.call("GET", f"/v2/{STAGING}/tags/list?n=-1", ALICE)
    assert (bad.status, bad.error["code"]) == (400, "PAGINATION_NUMBER_INVALID")


async def test_referrers_are_listed_and_filtered(registry: RegistryUnderTest, image: BuiltImage) -> None:
    await registry.push(STAGING, "1.0", image)
    for kind in ("application/vnd.example.sbom", "application/vnd.example.sig"):
        config = await registry.push_blob(STAGING, b"{}")
        document = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "artifactType": kind,
            "config": {"mediaType": media.OCI_EMPTY, "digest": str(config), "size": 2},
            "layers": [],
            "subject": image.descriptor,
            "annotations": {"org.example.kind": kind},
        }
        raw = canonical(document)
        answer = await put_raw(registry, raw, str(Digest.of(raw)))
        assert (answer.status, answer.headers["OCI-Subject"]) == (201, image.digest)
    path = f"/v2/{STAGING}/referrers/{image.digest}"
    every = await registry.call("GET", path, ALICE)
    assert every.headers["Content-Type"] == media.OCI_INDEX and len(every.json["manifests"]) == 2
    some = await registry.call("GET", f"{path}?artifactType=application/vnd.example.sig", ALICE)
    assert some.headers["OCI-Filters-Applied"] == "artifactType"
    (found,) = some.json["manifests"]
    assert (found["artifactType"], found["annotations"]["org.example.kind"]) == ("application/vnd.example.sig",) * 2
    none = await registry.call("GET", f"/v2/{STAGING}/referrers/{Digest.of(b'x')}", ALICE)
    assert (none.status, none.json["manifests"]) == (200, [])


async def test_a_subject_may_come_later(registry: RegistryUnderTest) -> None:
    subject = {"mediaType": media.OCI_MANIFEST, "digest": str(Digest.of(b"later")), "size": 5}
    signature = build_image(config={}, layers=[], subject=subject)
    answer = await registry.push(STAGING, signature.digest, signature)
    assert (answer.status, answer.headers["OCI-Subject"]) == (201, subject["digest"])


async def test_the_version_check_leads_clients_to_a_token_and_tells_a_wrong_password(
    registry: RegistryUnderTest,
) -> None:
    anonymous = await registry.call("GET", "/v2/")
    assert (anonymous.status, anonymous.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    assert anonymous.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert (await registry.call("GET", "/v2/", REVIEWER)).json == {}
    assert (await registry.call("GET", "/v2/", headers={"Authorization": "Basic eDp5"})).status == 401


async def test_a_tag_or_a_manifest_is_deleted_in_staging(registry: RegistryUnderTest, image: BuiltImage) -> None:
    for tag in ("1.0", "2.0", "3.0"):
        await registry.push(STAGING, tag, image)
    assert (await get(registry, STAGING, "1.0", "DELETE")).status == 202
    assert (await get(registry, STAGING, "1.0")).status == 404
    assert (await get(registry, STAGING, "2.0")).body == image.manifest
    assert (await get(registry, STAGING, image.digest, "DELETE")).status == 202
    for reference in ("2.0", "3.0", image.digest):
        gone = await get(registry, STAGING, reference)
        assert (gone.status, gone.error["code"]) == (404, "MANIFEST_UNKNOWN")
    assert (await get(registry, STAGING, image.digest, "DELETE")).status == 404
