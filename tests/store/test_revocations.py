"""The end of an admission in the records: proofs go, names answer with the reason, bytes stay."""

from __future__ import annotations

import pytest

from gef_registry.admission.states import Event, State
from gef_registry.distribution.ports import Viewer
from gef_registry.errors import Denied, NotFound
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.publication import SqlPublication
from gef_registry.store.revocations import SqlRevocations
from gef_registry.store.submissions import SqlSubmissions
from tests.fakes.admission import AT, REPOSITORY, Image, digest, judgement, positions, proofs, push, request, statements
from tests.fakes.database import MemoryDatabase

ANYBODY = Viewer()


async def admitted(memory: MemoryDatabase, word: str = "image", **options: object) -> Image:
    """An image that is visible under `tag`, with `children` and `subject` if given."""
    catalogue, submissions = SqlCatalogue(memory), SqlSubmissions(memory)
    tag = str(options.pop("tag", "1.0"))
    image = await push(catalogue, word, **options)  # type: ignore[arg-type]
    submission = await submissions.open(request(word, tag=tag))
    await submissions.claim(lease_s=60)
    await submissions.judged(submission.id, judgement(image.digest, Event.PASSED, *image.children))
    await submissions.reserve(submission.id)
    parts = [image.digest, *image.children]
    await submissions.signed(submission.id, statements(parts, edition=submission.id))
    submission = await submissions.logged(submission.id, positions(2 * len(parts)))
    logged = await submissions.positions(submission.id)
    await SqlPublication(memory).publish(submission, parts, proofs(logged))
    return image


async def revoke(revocations: SqlRevocations, image: Image) -> None:
    await revocations.record(image.digest, reason="a key in it", by="rosa", at=AT, leaf=b"leaf")
    await revocations.logged(image.digest, 7)
    await revocations.apply(image.digest)


async def test_signatures_and_bundles_of_index_and_children_disappear(
    memory: MemoryDatabase, catalogue: SqlCatalogue, revocations: SqlRevocations
) -> None:
    image = await admitted(memory, children=("amd64", "arm64"))
    await revoke(revocations, image)
    for part in (image.digest, *image.children):
        assert await catalogue.manifest(REPOSITORY, f"sha256-{part.hex}.sig", ANYBODY) is None
        assert await catalogue.referrers(REPOSITORY, part, ANYBODY) == []
    tags = await catalogue.tags(REPOSITORY, ANYBODY)
    assert tags is not None
    assert not [tag for tag in tags if tag.endswith(".sig")]


async def test_every_tag_of_the_digest_answers_with_the_reason_to_everybody(
    memory: MemoryDatabase, catalogue: SqlCatalogue, revocations: SqlRevocations
) -> None:
    image = await admitted(memory)
    await admitted(memory, tag="1.0.0")
    await revoke(revocations, image)
    for tag in ("1.0", "1.0.0", f"adm-{image.digest.hex}"):
        for viewer in (ANYBODY, Viewer("ada"), Viewer("root", ("",))):
            with pytest.raises(Denied, match="revoked on 2026-11-22: a key in it"):
                await catalogue.manifest(REPOSITORY, tag, viewer)


async def test_the_bytes_stay_readable_by_digest(
    memory: MemoryDatabase, catalogue: SqlCatalogue, revocations: SqlRevocations
) -> None:
    image = await admitted(memory, children=("amd64",))
    await revoke(revocations, image)
    for part in (image.digest, *image.children):
        assert await catalogue.manifest(REPOSITORY, part, ANYBODY) is not None
    for blob in image.blobs:
        assert await catalogue.blob_size(REPOSITORY, blob, ANYBODY) == 7


async def test_a_name_that_was_revoked_stays_reserved(
    memory: MemoryDatabase, submissions: SqlSubmissions, revocations: SqlRevocations
) -> None:
    image = await admitted(memory)
    await revoke(revocations, image)
    assert await submissions.admitted(REPOSITORY, "1.0") == image.digest


async def test_nothing_has_an_effect_before_it_is_logged(
    memory: MemoryDatabase, catalogue: SqlCatalogue, revocations: SqlRevocations
) -> None:
    """P4."""
    image = await admitted(memory)
    await revocations.record(image.digest, reason="a key in it", by="rosa", at=AT, leaf=b"leaf")
    assert await catalogue.manifest(REPOSITORY, "1.0", ANYBODY) is not None
    assert await catalogue.referrers(REPOSITORY, image.digest, ANYBODY)


async def test_an_image_that_names_the_revoked_one_as_its_subject_stays(
    memory: MemoryDatabase, catalogue: SqlCatalogue, revocations: SqlRevocations
) -> None:
    image = await admitted(memory)
    other = await admitted(memory, "other", tag="2.0", subject=image.digest)
    await revoke(revocations, image)
    assert await catalogue.manifest(REPOSITORY, "2.0", ANYBODY) is not None
    assert [r.digest for r in await catalogue.referrers(REPOSITORY, image.digest, ANYBODY)] == [other.digest]
    assert await catalogue.referrers(REPOSITORY, other.digest, ANYBODY)


async def test_other_images_keep_their_proofs(
    memory: MemoryDatabase, catalogue: SqlCatalogue, revocations: SqlRevocations
) -> None:
    image, other = await admitted(memory), await admitted(memory, "other", tag="2.0")
    await revoke(revocations, image)
    assert await catalogue.manifest(REPOSITORY, f"sha256-{other.digest.hex}.sig", ANYBODY) is not None
    assert await catalogue.referrers(REPOSITORY, other.digest, ANYBODY)


async def test_applying_twice_is_the_same_as_once(
    memory: MemoryDatabase, submissions: SqlSubmissions, revocations: SqlRevocations
) -> None:
    image = await admitted(memory)
    await revoke(revocations, image)
    before = await submissions.listing()
    await revocations.apply(image.digest)
    assert await submissions.listing() == before
    assert [s.state for s in before] == [State.REVOKED]
    assert await revocations.unfinished() == []


async def test_the_first_revocation_of_a_digest_wins(memory: MemoryDatabase, revocations: SqlRevocations) -> None:
    image = await admitted(memory)
    first = await revocations.record(image.digest, reason="first", by="rosa", at=AT, leaf=b"first")
    again = await revocations.record(image.digest, reason="second", by="raul", at=AT, leaf=b"second")
    assert again == first
    assert await revocations.listing() == [first]
    assert await revocations.unfinished() == [first]


async def test_a_digest_nobody_submitted_cannot_be_revoked(revocations: SqlRevocations) -> None:
    with pytest.raises(NotFound, match="never submitted here"):
        await revocations.record(digest("stranger"), reason="x", by="rosa", at=AT, leaf=b"leaf")
    assert await revocations.listing() == []
