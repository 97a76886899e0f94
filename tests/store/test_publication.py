"""P1 and P4: an admission becomes visible in one transaction, whatever fails in it and however often it is tried."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gef_registry.admission.ports import Submission
from gef_registry.admission.states import Event, State
from gef_registry.distribution.ports import StoredManifest, Viewer
from gef_registry.errors import Conflict, Denied, NotFound, Unavailable
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.publication import SqlPublication
from gef_registry.store.revocations import SqlRevocations
from gef_registry.store.submissions import SqlSubmissions
from tests.fakes.admission import AT, REPOSITORY, Image, digest, judgement, positions, proofs, push, request, statements
from tests.fakes.database import MemoryDatabase

ROOT = Viewer("root", ("",))

ANYBODY = Viewer()


class Admission:
    """An image on its way: pushed, judged, reserved, signed and logged; everything but published."""

    def __init__(self, memory: MemoryDatabase) -> None:
        self.catalogue = SqlCatalogue(memory)
        self.submissions = SqlSubmissions(memory)
        self.publication = SqlPublication(memory)

    async def prepare(self, word: str = "image", *, children: tuple[str, ...] = (), **changes: object) -> Submission:
        held_in = str(changes.get("held_in", REPOSITORY))
        self.image: Image = await push(self.catalogue, word, children=children, repository=held_in)
        submission = await self.submissions.open(request(word, **changes))
        await self.submissions.claim(lease_s=60)
        verdict = judgement(self.image.digest, Event.PASSED, *self.image.children)
        await self.submissions.judged(submission.id, verdict)
        await self.submissions.reserve(submission.id)
        signed = statements([self.image.digest, *self.image.children], edition=submission.id)
        await self.submissions.signed(submission.id, signed)
        return await self.submissions.logged(submission.id, positions(len(signed)))

    async def publish(self, submission: Submission) -> None:
        parts = [self.image.digest, *self.image.children]
        logged = await self.submissions.positions(submission.id)
        await self.publication.publish(submission, parts, proofs(logged))

    async def seen(self) -> dict[str, object]:
        """All that somebody without an account sees of the repository."""
        look = self.catalogue
        digests = (self.image.digest, *self.image.children)
        return {
            "tags": await look.tags(REPOSITORY, ANYBODY),
            "manifests": [d for d in digests if await look.manifest(REPOSITORY, d, ANYBODY)],
            "blobs": [d for d in self.image.blobs if await look.blob_size(REPOSITORY, d, ANYBODY)],
            "bundles": [d for d in digests if await look.referrers(REPOSITORY, d, ANYBODY)],
            "repositories": await look.repositories(ANYBODY),
        }


NOTHING = {"tags": None, "manifests": [], "blobs": [], "bundles": [], "repositories": []}


@pytest.fixture
def admission(memory: MemoryDatabase) -> Admission:
    return Admission(memory)


def everything(image: Image, tag: str = "1.0") -> dict[str, object]:
    digests = [image.digest, *image.children]
    tags = [f"adm-{d.hex}" for d in digests] + [f"sha256-{d.hex}.sig" for d in digests] + [tag]
    return {
        "tags": sorted(tags),
        "manifests": digests,
        "blobs": list(image.blobs),
        "bundles": digests,
        "repositories": [REPOSITORY],
    }


@pytest.mark.parametrize("held_in", [REPOSITORY, "staging/demo/wave"])
@pytest.mark.parametrize("children", [(), ("amd64", "arm64")])
async def test_before_it_nothing_is_visible_and_after_it_everything(
    admission: Admission, children: tuple[str, ...], held_in: str
) -> None:
    submission = await admission.prepare(children=children, held_in=held_in)
    assert await admission.seen() == NOTHING
    await admission.publish(submission)
    assert await admission.seen() == everything(admission.image)
    assert (await admission.submissions.get(submission.id)).state is State.ADMITTED
    for tag in ("1.0", f"adm-{admission.image.digest.hex}"):
        found = await admission.catalogue.manifest(REPOSITORY, tag, ANYBODY)
        assert found is not None
        assert found.digest == admission.image.digest


@pytest.mark.slow
async def test_p1_a_failure_at_any_statement_leaves_nothing_visible_and_a_retry_completes(memory: MemoryDatabase) -> None:
    admission = Admission(memory)
    submission = await admission.prepare(children=("amd64", "arm64"))
    failures = 0
    while True:
        memory.fail_at(failures + 1)
        try:
            await admission.publish(submission)
        except Unavailable:
            failures += 1
            assert await admission.seen() == NOTHING
            assert (await admission.submissions.get(submission.id)).state is State.LOGGED
        else:
            break
    assert failures > 20
    assert await admission.seen() == everything(admission.image)


async def test_publishing_again_changes_nothing(memory: MemoryDatabase) -> None:
    admission = Admission(memory)
    submission = await admission.prepare()
    memory.lose_answer()
    with pytest.raises(Unavailable):
        await admission.publish(submission)
    before = await admission.seen()
    await admission.publish(submission)
    assert await admission.seen() == before == everything(admission.image)


@pytest.mark.parametrize("applied", [False, True])
async def test_p1_what_was_revoked_meanwhile_never_becomes_visible(
    admission: Admission, revocations: SqlRevocations, applied: bool
) -> None:
    submission = await admission.prepare()
    await revocations.record(admission.image.digest, reason="a key in it", by="rosa", at=AT, leaf=b"leaf")
    with pytest.raises(Unavailable, match="being revoked"):  # not before the log says so
        await admission.publish(submission)
    assert (await admission.submissions.get(submission.id)).state is State.LOGGED
    await revocations.logged(admission.image.digest, 7)
    if applied:
        await revocations.apply(admission.image.digest)
    with pytest.raises(Denied, match="a key in it"):
        await admission.publish(submission)
    assert await admission.seen() == NOTHING
    assert (await admission.submissions.get(submission.id)).state is State.REVOKED


async def test_a_second_name_for_a_digest_keeps_the_first_and_its_signature_object(admission: Admission) -> None:
    await admission.publish(await admission.prepare())
    tag = f"sha256-{admission.image.digest.hex}.sig"
    first = await admission.catalogue.manifest(REPOSITORY, tag, ANYBODY)
    await admission.publish(await admission.prepare(tag="1.0.0"))
    assert await admission.catalogue.manifest(REPOSITORY, tag, ANYBODY) == first
    for name in ("1.0", "1.0.0"):
        found = await admission.catalogue.manifest(REPOSITORY, name, ANYBODY)
        assert found is not None
        assert found.digest == admission.image.digest
    assert len(await admission.catalogue.referrers(REPOSITORY, admission.image.digest, ANYBODY)) == 2


async def test_a_name_that_is_not_reserved_for_this_digest_is_not_published(admission: Admission) -> None:
    submission = await admission.prepare()
    other = Submission(submission.id, request("other"), submission.state, submission.created_at, submission.updated_at)
    with pytest.raises(Conflict, match="reserved for"):
        await admission.publication.publish(other, [digest("other")], [])
    assert await admission.seen() == NOTHING


async def test_an_admitted_tag_cannot_be_moved_or_deleted_through_the_registry(admission: Admission) -> None:
    """P2, also against a caller that forgot to ask."""
    await admission.publish(await admission.prepare())
    image = admission.image
    with pytest.raises(Conflict, match="never changes"):
        await admission.catalogue.put_tag(REPOSITORY, "1.0", digest("other"), "ada")
    assert not await admission.catalogue.delete_tag(REPOSITORY, "1.0", ROOT)
    await admission.catalogue.delete_manifest(REPOSITORY, image.digest, ROOT)
    for blob in image.blobs:
        await admission.catalogue.unlink_blob(REPOSITORY, blob, ROOT)
    assert await admission.seen() == everything(image)


async def test_a_candidate_pushed_again_after_its_admission_stays_public(admission: Admission) -> None:
    await admission.publish(await admission.prepare())
    await push(admission.catalogue, "image")
    assert await admission.seen() == everything(admission.image)


async def test_a_child_that_was_not_judged_stops_the_publication(admission: Admission) -> None:
    submission = await admission.prepare(children=("amd64", "arm64"))
    judged = [admission.image.digest, admission.image.children[0]]
    with pytest.raises(Conflict, match="never judged"):
        await admission.publication.publish(submission, judged, [])
    assert await admission.seen() == NOTHING


async def test_a_child_that_is_gone_stops_the_publication(admission: Admission) -> None:
    submission = await admission.prepare()
    with pytest.raises(NotFound, match="has no manifest"):
        await admission.publication.publish(
            Submission(
                submission.id,
                request(held_in="staging/demo/elsewhere"),
                submission.state,
                submission.created_at,
                submission.updated_at,
            ),
            [admission.image.digest],
            [],
        )
    assert await admission.seen() == NOTHING


async def test_a_blob_with_the_digest_of_a_hidden_candidate_does_not_publish_that_candidate(
    admission: Admission,
) -> None:
    """P1: an image whose configuration happens to be somebody's unjudged manifest, byte for byte."""
    hidden = await push(admission.catalogue, "hidden", account="mallory")
    await admission.catalogue.link_blob(REPOSITORY, hidden.digest, 6, "ada")
    submission = await admission.prepare()
    stored = StoredManifest(admission.image.digest, media.OCI_MANIFEST, 5)
    await admission.catalogue.put_manifest(REPOSITORY, stored, "ada", ((hidden.digest, 6),))
    await admission.publish(submission)
    assert await admission.catalogue.manifest(REPOSITORY, hidden.digest, ANYBODY) is None
    for blob in hidden.blobs:
        assert await admission.catalogue.blob_size(REPOSITORY, blob, ANYBODY) is None


async def test_a_layer_said_to_be_elsewhere_uncovers_no_bytes_of_another_repository(admission: Admission) -> None:
    secret = await push(admission.catalogue, "secret", repository="staging/ocean/tide", account="ben")
    submission = await admission.prepare()
    stored = StoredManifest(admission.image.digest, media.OCI_MANIFEST, 5)
    await admission.catalogue.put_manifest(REPOSITORY, stored, "ada", ((secret.blobs[1], 7),))
    await admission.publish(submission)
    assert await admission.catalogue.blob_size(REPOSITORY, secret.blobs[1], ANYBODY) is None


async def test_of_two_records_of_the_same_bytes_the_submitters_own_is_published(admission: Admission) -> None:
    docker = StoredManifest(digest("image"), media.DOCKER_MANIFEST, 5)
    await admission.catalogue.put_manifest(REPOSITORY, docker, "aaron", ())
    await admission.publish(await admission.prepare())
    found = await admission.catalogue.manifest(REPOSITORY, "1.0", ANYBODY)
    assert found is not None
    assert found.media_type == media.OCI_MANIFEST


async def test_indexes_within_indexes_are_followed_only_so_far(admission: Admission) -> None:
    chain: list[Digest] = [digest(f"level {n}") for n in range(7)]
    for outer, inner in pairwise(chain):
        index = StoredManifest(outer, media.OCI_INDEX, 5)
        await admission.catalogue.put_manifest(REPOSITORY, index, "ada", ((inner, 5),))
    submission = await admission.submissions.open(request("level 0"))
    await admission.submissions.claim(lease_s=60)
    await admission.submissions.judged(submission.id, judgement(chain[0]))
    submission = await admission.submissions.reserve(submission.id)
    with pytest.raises(Conflict, match="nested deeper"):
        await admission.publication.publish(submission, chain, [])
    assert await admission.catalogue.tags(REPOSITORY, ANYBODY) is None
