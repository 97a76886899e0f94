"""P1 as a rule: a viewer sees public rows, its own, and those it reviews, through every way of looking.

After every step every viewer looks at the repository that was touched, and at the end at all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gef_registry.admission.ports import Logged
from gef_registry.admission.states import Event, State
from gef_registry.distribution.ports import Viewer
from gef_registry.oci.digest import Digest
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.publication import Proof, SqlPublication
from gef_registry.store.submissions import SqlSubmissions
from tests.fakes.admission import digest, judgement, positions, proofs, push, request, statements
from tests.fakes.database import MemoryDatabase

ROOT = Viewer("root", ("",))

STAGING, TRUSTED, OTHER = "staging/demo/wave", "trusted/demo/wave", "trusted/ocean/tide"
REPOSITORIES = (STAGING, TRUSTED, OTHER)
IMAGES: dict[str, tuple[str, ...]] = {"one": (), "two": (), "both": ("one", "child")}
MANIFESTS = ("one", "two", "both", "child")
TAGS = ("1.0", "2.0")
VIEWERS = {
    "anonymous": Viewer(),
    "ada": Viewer("ada"),
    "ben": Viewer("ben"),
    "reviewer of demo": Viewer("rosa", ("staging/demo/", "trusted/demo/")),
    "reviewer of ocean": Viewer("raul", ("staging/ocean/", "trusted/ocean/")),
    "admin": Viewer("root", ("",)),
}

repositories = st.sampled_from(REPOSITORIES)
images = st.sampled_from(sorted(IMAGES))
accounts = st.sampled_from(["ada", "ben"])
tags = st.sampled_from(TAGS)


@dataclass
class Row:
    """Who holds it as a candidate; whether it is public."""

    accounts: set[str] = field(default_factory=set)
    public: bool = False

    def seen_by(self, viewer: Viewer, repository: str) -> bool:
        return self.public or viewer.account in self.accounts or viewer.reviews_repository(repository)


class Visibility(RuleBasedStateMachine):
    """Pushes, tags, deletions and publications in any order, beside the simplest model of what they mean."""

    def __init__(self) -> None:
        super().__init__()
        database = MemoryDatabase()
        self.database = database
        self.catalogue = SqlCatalogue(database)
        self.submissions = SqlSubmissions(database)
        self.publication = SqlPublication(database)
        self.manifests: dict[tuple[str, Digest], Row] = {}
        self.blobs: dict[tuple[str, Digest], Row] = {}
        self.tags: dict[tuple[str, str], tuple[Digest, Row]] = {}
        self.subjects: dict[Digest, Digest] = {}
        self.touched = STAGING

    def teardown(self) -> None:
        asyncio.run(self._compare(REPOSITORIES))
        asyncio.run(self.database.close())

    @rule(repository=repositories, image=images, account=accounts)
    def push_image(self, repository: str, image: str, account: str) -> None:
        self.touched = repository
        asyncio.run(push(self.catalogue, image, children=IMAGES[image], repository=repository, account=account))
        for word in (image, *IMAGES[image]):
            self.manifests.setdefault((repository, digest(word)), Row()).accounts.add(account)
            if not IMAGES.get(word, ()):
                for blob in (digest(f"{word} config"), digest(f"{word} layer")):
                    self.blobs.setdefault((repository, blob), Row()).accounts.add(account)

    @rule(tag=tags, image=images, account=accounts)
    def tag_in_staging(self, tag: str, image: str, account: str) -> None:
        self.touched = STAGING
        asyncio.run(self.catalogue.put_tag(STAGING, tag, digest(image), account))
        self.tags[STAGING, tag] = digest(image), Row({account})

    @rule(tag=tags)
    def delete_a_staged_tag(self, tag: str) -> None:
        self.touched = STAGING
        known = self.tags.pop((STAGING, tag), None)
        assert asyncio.run(self.catalogue.delete_tag(STAGING, tag, ROOT)) is (known is not None)

    @rule(image=images)
    def delete_a_staged_manifest(self, image: str) -> None:
        self.touched = STAGING
        known = self.manifests.pop((STAGING, digest(image)), None)
        self.tags = {k: v for k, v in self.tags.items() if k[0] != STAGING or v[0] != digest(image)}
        assert asyncio.run(self.catalogue.delete_manifest(STAGING, digest(image), ROOT)) is (known is not None)

    @rule(image=images, tag=tags, source=st.sampled_from([STAGING, TRUSTED]), account=accounts)
    def admit(self, image: str, tag: str, source: str, account: str) -> None:
        words = (image, *IMAGES[image])
        if any((source, digest(word)) not in self.manifests for word in words):
            return
        if self.tags.get((TRUSTED, tag), (digest(image),))[0] != digest(image):
            return
        self.touched = TRUSTED
        asyncio.run(self._admit(image, tag, source, account))
        for word in words:
            self.manifests.setdefault((TRUSTED, digest(word)), Row()).public = True
            if not IMAGES.get(word, ()):
                for blob in (digest(f"{word} config"), digest(f"{word} layer")):
                    self.blobs.setdefault((TRUSTED, blob), Row()).public = True
            self.tags[TRUSTED, f"adm-{digest(word).hex}"] = digest(word), Row(public=True)
        self.tags[TRUSTED, tag] = digest(image), Row(public=True)
        for proof in self._proofs(image):
            self.manifests[TRUSTED, proof.manifest.digest] = Row(public=True)
            if proof.tag:
                self.tags[TRUSTED, proof.tag] = proof.manifest.digest, Row(public=True)
            if proof.manifest.subject:
                self.subjects[proof.manifest.digest] = proof.manifest.subject

    def _proofs(self, image: str) -> list[Proof]:
        signed = statements([digest(word) for word in (image, *IMAGES[image])])
        return proofs([Logged(*pair) for pair in zip(signed, positions(len(signed)), strict=True)])

    async def _admit(self, image: str, tag: str, source: str, account: str) -> None:
        submission = await self.submissions.open(request(image, tag=tag, held_in=source, account=account))
        if submission.state is State.RECEIVED:
            children = [digest(child) for child in IMAGES[image]]
            await self.submissions.claim(lease_s=0)
            verdict = judgement(digest(image), Event.PASSED, *children)
            await self.submissions.judged(submission.id, verdict)
            await self.submissions.reserve(submission.id)
            signed = statements([digest(image), *children])
            await self.submissions.signed(submission.id, signed)
            submission = await self.submissions.logged(submission.id, positions(len(signed)))
        parts = [digest(word) for word in (image, *IMAGES[image])]
        await self.publication.publish(submission, parts, self._proofs(image))

    @invariant()
    def every_viewer_sees_exactly_what_the_rule_says(self) -> None:
        asyncio.run(self._compare((self.touched,)))

    async def _compare(self, looked_at: Sequence[str]) -> None:
        for name, viewer in VIEWERS.items():
            expected = {
                repository for (repository, _), row in self.manifests.items() if row.seen_by(viewer, repository)
            }
            assert set(await self.catalogue.repositories(viewer)) == expected, name
            for repository in looked_at:
                await self._compare_repository(name, viewer, repository)

    async def _compare_repository(self, name: str, viewer: Viewer, repository: str) -> None:
        look, where = self.catalogue, f"{name} in {repository}"
        mine = {d for (r, d), row in self.manifests.items() if r == repository and row.seen_by(viewer, repository)}
        tagged = {t: d for (r, t), (d, row) in self.tags.items() if r == repository and row.seen_by(viewer, repository)}
        assert await look.tags(repository, viewer) == (sorted(tagged) if mine or tagged else None), where
        for tag in {*TAGS, *tagged}:
            found = await look.manifest(repository, tag, viewer)
            assert (found.digest if found else None) == (tagged.get(tag) if tagged.get(tag) in mine else None), where
        for word in MANIFESTS:
            assert bool(await look.manifest(repository, digest(word), viewer)) is (digest(word) in mine), where
            referrers = {found.digest for found in await look.referrers(repository, digest(word), viewer)}
            assert referrers == {d for d in mine if self.subjects.get(d) == digest(word)}, where
            layer = self.blobs.get((repository, digest(f"{word} layer")), Row())
            seen = await look.blob_size(repository, digest(f"{word} layer"), viewer) is not None
            held = (repository, digest(f"{word} layer")) in self.blobs
            assert seen is (held and layer.seen_by(viewer, repository)), where


TestVisibility = Visibility.TestCase
TestVisibility = pytest.mark.slow(TestVisibility)
TestVisibility.settings = settings(max_examples=5, stateful_step_count=7)
