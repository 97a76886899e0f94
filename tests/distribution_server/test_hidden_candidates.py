"""P1: until admission nobody but the pusher and the reviewers can read a byte of a candidate, by any way in."""

from __future__ import annotations

import json

import pytest

from gef_registry.distribution.ports import PushAnswer
from gef_registry.oci.digest import Digest
from tests.fakes.catalogue import Account
from tests.fakes.registry_http import ADMIN, ALICE, BOB, REVIEWER, RegistryUnderTest
from tests.parts.images import BuiltIndex, build_image, good_service, index_of

REPOSITORY = "trusted/seismo/tool"
STRANGERS = pytest.mark.parametrize("stranger", [BOB, None], ids=["another author", "anonymous"])


def candidate() -> BuiltIndex:
    return index_of([good_service(), good_service(architecture="arm64")])


async def ways_in(registry: RegistryUnderTest, index: BuiltIndex, who: Account | None) -> dict[str, bool]:
    """Every way to learn of the candidate -> whether it told."""
    told: dict[str, bool] = {}
    manifests = ["1.0", index.digest, *(image.digest for image in index.images)]
    blobs = [digest for image in index.images for digest in image.blobs]
    for method in ("GET", "HEAD"):
        for reference in manifests:
            answer = await registry.call(method, f"/v2/{REPOSITORY}/manifests/{reference}", who)
            told[f"{method} manifest {reference}"] = answer.status == 200
        for digest in blobs:
            answer = await registry.call(method, f"/v2/{REPOSITORY}/blobs/{digest}", who)
            told[f"{method} blob {digest}"] = answer.status == 200
    tags = await registry.call("GET", f"/v2/{REPOSITORY}/tags/list", who)
    told["tags"] = tags.status == 200 and "1.0" in tags.json["tags"]
    catalogue = await registry.call("GET", "/v2/_catalog", who)
    told["catalogue"] = REPOSITORY in catalogue.json["repositories"]
    referrers = await registry.call("GET", f"/v2/{REPOSITORY}/referrers/{index.images[0].digest}", who)
    told["referrers"] = referrers.status == 200 and referrers.json["manifests"] != []
    return told


async def pushed(registry: RegistryUnderTest) -> BuiltIndex:
    """A refused push of an index with a referrer: all of it is a candidate of Alice's."""
    index = candidate()
    registry.gate.verdicts["1.0"] = PushAnswer(403, "waiting for review")
    assert (await registry.push(REPOSITORY, "1.0", index)).status == 403
    referrer = build_image(config={}, layers=[], subject=index.images[0].descriptor)
    assert (await registry.push(REPOSITORY, referrer.digest, referrer)).status == 201
    return index


@STRANGERS
async def test_a_stranger_learns_nothing_by_reading(registry: RegistryUnderTest, stranger: Account | None) -> None:
    index = await pushed(registry)
    told = await ways_in(registry, index, stranger)
    assert len(told) == 19 and not [way for way, did in told.items() if did]


async def test_the_pusher_and_the_reviewer_read_all_but_the_tag(registry: RegistryUnderTest) -> None:
    index = await pushed(registry)
    for insider in (ALICE, REVIEWER, ADMIN):
        told = await ways_in(registry, index, insider)
        hidden = {way for way, did in told.items() if not did}
        assert hidden == {"GET manifest 1.0", "HEAD manifest 1.0", "tags"}  # no tag before admission, for anybody


async def test_a_stranger_cannot_mount_a_candidates_blob(registry: RegistryUnderTest) -> None:
    index = await pushed(registry)
    for digest in index.images[0].blobs:
        for source in (REPOSITORY, "staging/seismo/mine"):
            start = f"/v2/staging/seismo/mine/blobs/uploads/?mount={digest}&from={source}"
            answer = await registry.call("POST", start, BOB)
            assert answer.status == 202
            await registry.call("DELETE", answer.headers["Location"], BOB)


async def test_a_stranger_cannot_reach_a_candidates_blob_by_pointing_at_it(registry: RegistryUnderTest) -> None:
    index = await pushed(registry)
    image = index.images[0]
    for repository in (REPOSITORY, "staging/seismo/mine"):
        by_digest = await registry.push_manifest(repository, image.digest, image, BOB)
        by_tag = await registry.push_manifest(repository, "2.0", index, BOB)
        for answer in (by_digest, by_tag):
            assert (answer.status, answer.error["code"]) == (400, "MANIFEST_BLOB_UNKNOWN")


async def test_a_stranger_cannot_read_or_continue_an_upload_session(registry: RegistryUnderTest) -> None:
    begun = await registry.call("POST", f"/v2/{REPOSITORY}/blobs/uploads/", ALICE)
    location = begun.headers["Location"]
    await registry.call("PATCH", location, ALICE, data=b"secret")
    digest = Digest.of(b"secret")
    for method, path in (("GET", location), ("PATCH", location), ("PUT", f"{location}?digest={digest}")):
        assert (await registry.call(method, path, BOB)).status == 404
        assert (await registry.call(method, path)).status == 401


async def test_what_a_stranger_hears_is_the_same_as_for_what_does_not_exist(registry: RegistryUnderTest) -> None:
    index = await pushed(registry)
    image = index.images[0]
    absent = str(Digest.of(b"absent"))
    for path, there in (("manifests", image.digest), ("blobs", image.layer_digests[0]), ("referrers", image.digest)):
        hidden = await registry.call("GET", f"/v2/{REPOSITORY}/{path}/{there}", BOB)
        nothing = await registry.call("GET", f"/v2/{REPOSITORY}/{path}/{absent}", BOB)
        assert hidden.status == nothing.status
        assert json.dumps(hidden.json).replace(there, absent) == json.dumps(nothing.json)


@STRANGERS
async def test_admission_shows_everything_at_once(registry: RegistryUnderTest, stranger: Account | None) -> None:
    index = candidate()
    assert (await registry.push(REPOSITORY, "1.0", index)).status == 201
    told = await ways_in(registry, index, stranger)
    assert [way for way, did in told.items() if not did] == ["referrers"]  # there is none


async def test_staging_is_closed_to_those_outside_the_community(registry: RegistryUnderTest) -> None:
    image = good_service()
    await registry.push("staging/seismo/tool", "1.0", image)
    anonymous = await registry.call("GET", "/v2/staging/seismo/tool/manifests/1.0")
    assert (anonymous.status, anonymous.error["code"]) == (401, "UNAUTHORIZED")
    reviewer_elsewhere = Account("rita", REVIEWER.rules, REVIEWER.reviews)
    other = await registry.call("GET", "/v2/staging/seismo/tool/manifests/1.0", reviewer_elsewhere)
    assert other.status == 404
