"""P6: accepted work is finished exactly once, whatever fails before or after its effect at whichever step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.admission.pipeline import Pipeline
from gef_registry.admission.ports import SignedStatement, Submission
from gef_registry.admission.review import Opinion, Review
from gef_registry.admission.states import Event, State
from gef_registry.distribution.ports import Viewer
from gef_registry.errors import Denied, GefError, Unavailable
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.publication import SqlPublication
from gef_registry.store.revocations import SqlRevocations
from gef_registry.store.submissions import SqlSubmissions
from tests.fakes.admission import (
    AT,
    REPOSITORY,
    FakeJudge,
    FakeLog,
    FakeNotary,
    FakePublisher,
    Fault,
    FaultySubmissions,
    Script,
    digest,
    push,
    request,
)
from tests.fakes.database import MemoryDatabase

STEPS = ("judge", "notary", "log", "publisher", "store")
CHILDREN = ("amd64", "arm64")


class Steps:
    """An observer that remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, State]] = []

    async def before(self, step: str, submission: Submission) -> None:
        self.heard.append(("before", step, submission.state))

    async def after(self, step: str, submission: Submission) -> None:
        self.heard.append(("after", step, submission.state))


class Gate:
    """The pipeline on a real store, its other ports faked, each following a script of faults."""

    def __init__(self, event: Event = Event.PASSED, **faults: Sequence[Fault | None]) -> None:
        self.database = MemoryDatabase()
        self.catalogue = SqlCatalogue(self.database)
        self.submissions = SqlSubmissions(self.database)
        self.revocations = SqlRevocations(self.database)
        scripts = {name: Script(faults.get(name, ())) for name in STEPS}
        self.judge = FakeJudge(scripts["judge"], event, tuple(digest(child) for child in CHILDREN))
        self.log = FakeLog(scripts["log"])
        self.publisher = FakePublisher(scripts["publisher"], SqlPublication(self.database))
        self.observer = Steps()
        self.pipeline = Pipeline(
            FaultySubmissions(self.submissions, scripts["store"]),
            self.judge,
            FakeNotary(scripts["notary"]),
            self.log,
            self.publisher,
            self.observer,
            lambda: AT,
        )
        self.first_statements: tuple[SignedStatement, ...] = ()

    async def submit(self) -> Submission:
        await push(self.catalogue, "image", children=CHILDREN)
        return await self.submissions.open(request())

    async def advance(self) -> Submission | None:
        """One worker's turn, which dies of the first failure; None when there was nothing to do."""
        claimed = await self.submissions.claim(lease_s=-1)
        if claimed is None:
            return None
        try:
            await self.pipeline.advance(claimed)
        finally:
            if claimed.request.digest == digest("image"):
                await self.check_invariants(claimed.id)
        return await self.submissions.get(claimed.id)

    async def run(self, *, at_most: int = 80) -> int:
        """Turns until nothing is left to do; how many of them failed."""
        failures = 0
        for _ in range(at_most):
            try:
                if await self.advance() is None:
                    return failures
            except Unavailable:
                failures += 1
        raise AssertionError("the pipeline never ended")

    async def check_invariants(self, submission_id: str) -> None:
        submission = await self.submissions.get(submission_id)
        seen = await self.catalogue.manifest(REPOSITORY, "1.0", Viewer())
        by_digest = await self.catalogue.manifest(REPOSITORY, digest("amd64"), Viewer())
        assert (seen is not None) is (by_digest is not None) is (submission.state is State.ADMITTED)
        kept = await self.submissions.statements(submission_id)
        assert kept == self.first_statements or not self.first_statements, "the signed bytes changed"
        self.first_statements = kept
        assert len(self.log.leaves) == len(set(self.log.leaves))
        assert set(self.log.leaves) <= {statement.leaf for statement in kept}, "logged before it was stored"
        if submission.state is State.ADMITTED:
            assert {statement.leaf for statement in kept} == set(self.log.leaves)

    async def check_admitted_once(self, submission_id: str) -> None:
        submission = await self.submissions.get(submission_id)
        assert submission.state is State.ADMITTED
        assert await self.submissions.admitted(REPOSITORY, "1.0") == digest("image")
        assert len(self.log.leaves) == 2 * (1 + len(CHILDREN))
        positions = [logged.position.index for logged in await self.submissions.positions(submission_id)]
        assert positions == list(range(len(self.log.leaves)))
        for part in (digest("image"), *(digest(child) for child in CHILDREN)):
            assert len(await self.catalogue.referrers(REPOSITORY, part, Viewer())) == 1


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    yield gate
    await gate.database.close()


async def test_a_good_image_goes_all_the_way_in_the_order_of_the_design(gate: Gate) -> None:
    submission = await gate.submit()
    assert await gate.run() == 0
    await gate.check_admitted_once(submission.id)
    after = [(step, state) for when, step, state in gate.observer.heard if when == "after"]
    assert after == [
        ("judge", State.APPROVED),
        ("reserve", State.RESERVED),
        ("sign", State.SIGNED),
        ("log", State.LOGGED),
        ("publish", State.ADMITTED),
    ]
    assert [step for when, step, _ in gate.observer.heard if when == "before"] == [step for step, _ in after]


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("step", ["judge", "notary", "log", "publisher"])
async def test_a_step_that_fails_is_taken_again_and_happens_once(step: str, fault: Fault) -> None:
    gate = Gate(**{step: [fault, fault]})
    submission = await gate.submit()
    # What was published is done, even if its publisher never answered.
    assert await gate.run() == (1 if (step, fault) == ("publisher", Fault.AFTER) else 2)
    await gate.check_admitted_once(submission.id)
    await gate.database.close()


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("call", range(8))
async def test_a_record_that_fails_is_written_again_and_counts_once(call: int, fault: Fault) -> None:
    gate = Gate(store=[None] * call + [fault])
    submission = await gate.submit()
    assert await gate.run() == 1
    await gate.check_admitted_once(submission.id)
    await gate.database.close()


faults = st.lists(st.sampled_from([None, *Fault]), max_size=5)


@settings(max_examples=10)
@given(
    judge=faults,
    notary=faults,
    log=faults,
    publisher=faults,
    store=st.lists(st.sampled_from([None, *Fault]), max_size=20),
)
@pytest.mark.slow
def test_p6_whatever_fails_in_whatever_order_it_is_admitted_exactly_once(
    judge: list[Fault | None],
    notary: list[Fault | None],
    log: list[Fault | None],
    publisher: list[Fault | None],
    store: list[Fault | None],
) -> None:
    async def story() -> None:
        gate = Gate(judge=judge, notary=notary, log=log, publisher=publisher, store=store)
        submission = await gate.submit()
        await gate.run()
        await gate.check_admitted_once(submission.id)
        await gate.database.close()

    asyncio.run(story())


async def test_a_step_that_cannot_be_taken_now_keeps_the_state(gate: Gate) -> None:
    submission = await gate.submit()
    gate.log.script.faults.append(Fault.BEFORE)
    with pytest.raises(Unavailable):
        await gate.advance()
    assert (await gate.submissions.get(submission.id)).state is State.SIGNED
    assert gate.judge.calls == 1
    await gate.run()
    assert gate.judge.calls == 1, "what was decided is not judged again"


@pytest.mark.parametrize(
    ("event", "state"),
    [(Event.REFUSED, State.DENIED), (Event.NOT_DECIDED, State.UNDECIDED), (Event.NEEDS_REVIEW, State.WAITING)],
)
async def test_only_what_passed_goes_on(event: Event, state: State) -> None:
    """P3: a denial, an open question and a question for a human are all not a yes."""
    gate = Gate(event)
    submission = await gate.submit()
    await gate.run()
    ended = await gate.submissions.get(submission.id)
    assert ended.state is state
    assert ended.reasons
    assert gate.log.leaves == []
    assert await gate.submissions.admitted(REPOSITORY, "1.0") is None
    await gate.database.close()


async def test_an_approval_lets_a_waiting_submission_go_on() -> None:
    gate = Gate(Event.NEEDS_REVIEW)
    submission = await gate.submit()
    await gate.run()
    await gate.submissions.review(
        submission.id, Review("rosa", Opinion.APPROVE, "", AT), event=lambda reviews: Event.APPROVAL
    )
    await gate.run()
    await gate.check_admitted_once(submission.id)
    await gate.database.close()


async def test_a_name_that_means_another_digest_ends_in_conflict_before_anything_is_signed(gate: Gate) -> None:
    """P2: two candidates for a free name, both judged good; the first to reserve has it."""
    first = await gate.submit()
    other = await gate.submissions.open(request("other"))
    await gate.run()
    await gate.check_admitted_once(first.id)
    assert (await gate.submissions.get(other.id)).state is State.CONFLICT
    assert await gate.submissions.statements(other.id) == ()


@pytest.mark.parametrize("applied", [False, True])
async def test_a_revocation_on_the_way_ends_it_and_nothing_becomes_visible(gate: Gate, applied: bool) -> None:
    submission = await gate.submit()

    async def revoke() -> None:
        await gate.revocations.record(digest("image"), reason="a key", by="rosa", at=AT, leaf=b"leaf")
        await gate.revocations.logged(digest("image"), 99)
        if applied:
            await gate.revocations.apply(digest("image"))

    gate.publisher.before_publishing = revoke
    ended = await gate.advance()
    assert ended is not None
    assert ended.state is State.REVOKED
    assert await gate.advance() is None
    assert await gate.catalogue.tags(REPOSITORY, Viewer()) is None
    assert (await gate.submissions.get(submission.id)).state is State.REVOKED


async def test_a_denial_that_is_no_revocation_is_not_taken_for_one(gate: Gate) -> None:
    submission = await gate.submit()

    async def deny() -> None:
        raise Denied("the registry refuses the push")

    gate.publisher.before_publishing = deny
    with pytest.raises(GefError, match="refuses the push"):
        await gate.advance()
    assert (await gate.submissions.get(submission.id)).state is State.LOGGED


async def test_two_workers_on_one_submission_admit_it_once(gate: Gate) -> None:
    """A lease that ended while its holder still works: both go on from what is recorded."""
    submission = await gate.submit()
    first, second = await gate.submissions.claim(lease_s=-1), await gate.submissions.claim(lease_s=-1)
    assert first is not None
    assert second is not None
    assert first.id == second.id
    await gate.pipeline.advance(first)
    with pytest.raises(GefError, match="cannot take passed"):
        await gate.pipeline.advance(second)
    await gate.check_admitted_once(submission.id)
