"""Uploads, tags and deletions of the embedded registry's records."""

from __future__ import annotations

import pytest

from gef_registry.admission.states import Event
from gef_registry.distribution.ports import StoredManifest, Viewer
from gef_registry.errors import Conflict
from gef_registry.oci import media
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.submissions import SqlSubmissions
from tests.fakes.admission import digest, judgement, push, request

ROOT = Viewer("root", ("",))

STAGING = "staging/demo/wave"
ADA, BEN = Viewer("ada"), Viewer("ben")


async def test_an_upload_remembers_its_owner_and_offset_and_ends(catalogue: SqlCatalogue) -> None:
    upload = await catalogue.create_upload(STAGING, "ada")
    await catalogue.record_offset(upload.id, 17)
    found = await catalogue.upload(upload.id)
    assert found is not None
    assert (found.repository, found.account, found.offset) == (STAGING, "ada", 17)
    assert await catalogue.count_uploads("ada") == 1
    assert await catalogue.count_uploads("ben") == 0
    await catalogue.remove_upload(upload.id)
    assert await catalogue.upload(upload.id) is None


async def test_uploads_that_nobody_touched_are_listed_and_others_are_not(catalogue: SqlCatalogue) -> None:
    upload = await catalogue.create_upload(STAGING, "ada")
    assert await catalogue.idle_uploads("2020-01-01T00:00:00.000000+00:00") == []
    assert await catalogue.idle_uploads("9999-01-01T00:00:00.000000+00:00") == [upload.id]


async def test_upload_ids_cannot_be_guessed(catalogue: SqlCatalogue) -> None:
    ids = {(await catalogue.create_upload(STAGING, "ada")).id for _ in range(20)}
    assert len(ids) == 20
    assert all(len(upload_id) >= 32 for upload_id in ids)


async def test_deleting_one_tag_keeps_a_shared_digest_and_its_other_tag(catalogue: SqlCatalogue) -> None:
    image = await push(catalogue, "image", repository=STAGING)
    for tag in ("1.0", "1.0.1"):
        await catalogue.put_tag(STAGING, tag, image.digest, "ada")
    assert await catalogue.delete_tag(STAGING, "1.0", ROOT)
    assert await catalogue.tags(STAGING, ADA) == ["1.0.1"]
    assert await catalogue.manifest(STAGING, image.digest, ADA) is not None
    assert not await catalogue.delete_tag(STAGING, "1.0", ROOT)


async def test_deleting_a_manifest_ends_every_tag_of_it(catalogue: SqlCatalogue) -> None:
    image = await push(catalogue, "image", repository=STAGING)
    other = await push(catalogue, "other", repository=STAGING)
    await catalogue.put_tag(STAGING, "1.0", image.digest, "ada")
    await catalogue.put_tag(STAGING, "2.0", other.digest, "ada")
    assert await catalogue.delete_manifest(STAGING, image.digest, ROOT)
    assert await catalogue.tags(STAGING, ADA) == ["2.0"]


async def test_a_staged_tag_may_move_to_another_digest(catalogue: SqlCatalogue) -> None:
    for word in ("first", "second"):
        image = await push(catalogue, word, repository=STAGING)
        await catalogue.put_tag(STAGING, "1.0", image.digest, "ada")
    found = await catalogue.manifest(STAGING, "1.0", ADA)
    assert found is not None
    assert found.digest == digest("second")


async def test_tags_are_sorted_bytewise(catalogue: SqlCatalogue) -> None:
    image = await push(catalogue, "image", repository=STAGING)
    for tag in ("b", "B", "a", "_", "10", "9"):
        await catalogue.put_tag(STAGING, tag, image.digest, "ada")
    assert await catalogue.tags(STAGING, ADA) == ["10", "9", "B", "_", "a", "b"]


async def test_a_repository_of_which_nothing_is_visible_does_not_exist(catalogue: SqlCatalogue) -> None:
    await push(catalogue, "image", repository=STAGING)
    assert await catalogue.tags(STAGING, ADA) == []
    assert await catalogue.tags(STAGING, BEN) is None
    assert await catalogue.repositories(BEN) == []


async def test_a_manifest_keeps_what_it_was_pushed_with(catalogue: SqlCatalogue) -> None:
    stored = StoredManifest(
        digest("bundle"), media.OCI_MANIFEST, 5, media.SIGSTORE_BUNDLE, digest("image"), {"a": "b", "c": "ü"}
    )
    await catalogue.put_manifest(STAGING, stored, "ada", ())
    assert await catalogue.manifest(STAGING, stored.digest, ADA) == stored
    assert await catalogue.referrers(STAGING, digest("image"), ADA) == [stored]
    assert await catalogue.referrers(STAGING, digest("image"), BEN) == []


async def test_a_blob_pushed_by_two_is_listed_once_and_known_to_both(catalogue: SqlCatalogue) -> None:
    for account in ("ada", "ben"):
        await catalogue.link_blob(STAGING, digest("layer"), 9, account)
    assert await catalogue.blob_size(STAGING, digest("layer"), ADA) == 9
    assert await catalogue.blob_size(STAGING, digest("layer"), BEN) == 9
    assert await catalogue.blob_size("staging/demo/other", digest("layer"), ADA) is None


@pytest.mark.parametrize("children", [(), ("child", "other child")])
async def test_what_a_submission_still_needs_cannot_be_deleted(
    catalogue: SqlCatalogue, submissions: SqlSubmissions, children: tuple[str, ...]
) -> None:
    image = await push(catalogue, "image", children=children, repository=STAGING)
    submission = await submissions.open(request(held_in=STAGING))
    for needed in (image.digest, *image.children):
        with pytest.raises(Conflict, match="not decided"):
            await catalogue.delete_manifest(STAGING, needed, ROOT)
    for blob in image.blobs:
        with pytest.raises(Conflict, match=submission.id):
            await catalogue.unlink_blob(STAGING, blob, ROOT)


async def test_when_the_submission_has_ended_its_candidate_can_be_deleted(
    catalogue: SqlCatalogue, submissions: SqlSubmissions
) -> None:
    image = await push(catalogue, "image", repository=STAGING)
    submission = await submissions.open(request(held_in=STAGING))
    await submissions.claim(lease_s=60)
    await submissions.judged(submission.id, judgement(image.digest, Event.REFUSED))
    assert await catalogue.delete_manifest(STAGING, image.digest, ROOT)
    assert await catalogue.unlink_blob(STAGING, image.blobs[0], ROOT)


async def test_every_digest_that_a_record_speaks_of_is_known_to_the_collector(catalogue: SqlCatalogue) -> None:
    image = await push(catalogue, "index", children=("child",), repository=STAGING)
    await catalogue.unlink_blob(STAGING, image.blobs[0], ROOT)
    assert await catalogue.known_blobs() == {str(d) for d in (image.digest, *image.children, *image.blobs)}
    await catalogue.delete_manifest(STAGING, image.digest, ROOT)
    assert str(image.digest) not in await catalogue.known_blobs()


async def test_deleting_takes_away_ones_own_claim_and_nobody_elses(catalogue: SqlCatalogue) -> None:
    ada, ben = Viewer("ada"), Viewer("ben")
    shared = digest("base layer")
    for account in ("ada", "ben"):
        await catalogue.link_blob(STAGING, shared, 10, account)
    assert await catalogue.unlink_blob(STAGING, shared, ada)
    assert await catalogue.blob_size(STAGING, shared, ada) is None
    assert await catalogue.blob_size(STAGING, shared, ben) == 10
    assert not await catalogue.unlink_blob(STAGING, shared, ada)
