"""Submitting, waiting for the answer, reviewing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gef_registry.admission import desk as desk_module
from gef_registry.admission.bell import Bell
from gef_registry.admission.desk import Desk, QueueFull
from gef_registry.admission.ports import Submission
from gef_registry.admission.review import Opinion
from gef_registry.admission.rights import Account, Role
from gef_registry.admission.states import Event, State
from gef_registry.errors import BadInput, Conflict, Denied, NotFound
from gef_registry.store.submissions import SqlSubmissions
from tests.fakes.admission import AT, digest, judgement, request
from tests.fakes.database import MemoryDatabase

ADA = Account("ada", Role.AUTHOR, frozenset({"demo"}))
ROSA = Account("rosa", Role.REVIEWER)
RAUL = Account("raul", Role.REVIEWER, frozenset({"demo"}))
OLAF = Account("olaf", Role.REVIEWER, frozenset({"ocean"}))


@pytest.fixture
async def submissions() -> AsyncIterator[SqlSubmissions]:
    database = MemoryDatabase()
    yield SqlSubmissions(database)
    await database.close()


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def desk(submissions: SqlSubmissions, bell: Bell) -> Desk:
    return Desk(submissions, submissions, bell, lambda: AT, queue_limit=2)


async def judge(submissions: SqlSubmissions, event: Event, approvals: int = 0) -> Submission:
    """Judges the oldest in the queue."""
    claimed = await submissions.claim(lease_s=60)
    assert claimed is not None
    return await submissions.judged(claimed.id, judgement(claimed.request.digest, event, approvals=approvals))


@pytest.mark.parametrize(
    ("repository", "tag", "error"),
    [
        ("staging/demo/wave", "1.0", BadInput),
        ("elsewhere/demo/wave", "1.0", BadInput),
        ("trusted/demo/wave", "no tag!", BadInput),
        ("trusted/demo/wave", "latest", Denied),
        ("trusted/demo/wave", "Latest", Denied),
        ("trusted/demo/wave", "adm-" + "0" * 64, Denied),
        ("trusted/demo/wave", "sha256-" + "0" * 64 + ".sig", Denied),
    ],
)
async def test_a_name_that_cannot_be_trusted_is_refused(
    desk: Desk, submissions: SqlSubmissions, repository: str, tag: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await desk.submit(request(repository=repository, tag=tag))
    assert await submissions.listing() == []


async def test_an_account_with_a_full_queue_hears_so_and_others_do_not(desk: Desk) -> None:
    for tag in ("1.0", "2.0"):
        await desk.submit(request(tag=tag))
    with pytest.raises(QueueFull, match="ada has 2 submissions waiting") as refused:
        await desk.submit(request(tag="3.0"))
    assert refused.value.http_status == 429
    await desk.submit(request(tag="3.0", account="ben"))


async def test_the_same_push_again_is_no_new_work_for_a_full_queue(desk: Desk, submissions: SqlSubmissions) -> None:
    first = await desk.submit(request(tag="1.0"))
    await desk.submit(request(tag="2.0"))
    assert (await desk.submit(request(tag="1.0"))).id == first.id
    await judge(submissions, Event.REFUSED)
    assert (await desk.submit(request(tag="3.0"))).state is State.RECEIVED


async def test_requests_at_the_same_time_cannot_pass_the_limit_together(
    desk: Desk, submissions: SqlSubmissions
) -> None:
    asked = [desk.submit(request(tag=f"{n}.0")) for n in range(12)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, Submission) for answer in answers) == 2
    assert sum(isinstance(answer, QueueFull) for answer in answers) == 10
    assert await submissions.queued("ada") == 2


async def test_waiting_ends_when_the_bell_tells_of_an_answer(
    desk: Desk, submissions: SqlSubmissions, bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "POLL_S", 3600.0)
    submission = await desk.submit(request())
    waiting = [asyncio.create_task(desk.wait(submission.id, 3600)) for _ in range(3)]
    await asyncio.sleep(0)
    bell.moved(submission.id)
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting), "a ring without an answer wakes nobody for good"
    await bell.after("judge", await judge(submissions, Event.REFUSED))
    async with asyncio.timeout(20):
        assert [(await task).state for task in waiting] == [State.DENIED] * 3


async def test_waiting_ends_by_looking_again_when_another_process_decided(
    desk: Desk, submissions: SqlSubmissions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "POLL_S", 0.005)
    submission = await desk.submit(request())
    waiting = asyncio.create_task(desk.wait(submission.id, 3600))
    await asyncio.sleep(0)
    await judge(submissions, Event.NEEDS_REVIEW)
    async with asyncio.timeout(20):
        assert (await waiting).state is State.WAITING


async def test_waiting_ends_with_the_time_and_the_work_goes_on(desk: Desk) -> None:
    submission = await desk.submit(request())
    assert (await desk.wait(submission.id, 0.01)).state is State.RECEIVED
    with pytest.raises(NotFound):
        await desk.wait("s0-nothing", 0.01)


async def test_a_waiter_that_leaves_leaves_nothing_behind(desk: Desk, bell: Bell) -> None:
    submission = await desk.submit(request())
    task = asyncio.create_task(desk.wait(submission.id, 3600))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not bell._waiters
    assert not bell._moved


async def test_submitting_wakes_the_workers(desk: Desk, bell: Bell) -> None:
    worker = asyncio.create_task(bell.until_work(3600))
    await asyncio.sleep(0)
    await desk.submit(request())
    async with asyncio.timeout(20):
        await worker


async def test_the_quorum_of_different_reviewers_approves(desk: Desk, submissions: SqlSubmissions) -> None:
    submission = await desk.submit(request())
    await judge(submissions, Event.NEEDS_REVIEW, approvals=2)
    assert (await desk.review(submission.id, ROSA, Opinion.APPROVE, "")).state is State.WAITING
    with pytest.raises(Conflict, match="already reviewed"):
        await desk.review(submission.id, ROSA, Opinion.APPROVE, "")
    assert (await desk.review(submission.id, RAUL, Opinion.APPROVE, " fine ")).state is State.APPROVED
    assert {r.reviewer: r.comment for r in await submissions.reviews(submission.id)} == {"rosa": "", "raul": "fine"}


async def test_a_review_that_policy_asked_for_without_a_number_needs_one_approval(
    desk: Desk, submissions: SqlSubmissions
) -> None:
    submission = await desk.submit(request())
    await judge(submissions, Event.NEEDS_REVIEW, approvals=0)
    assert (await submissions.get(submission.id)).state is State.WAITING
    assert (await desk.review(submission.id, RAUL, Opinion.APPROVE, "")).state is State.APPROVED


async def test_one_rejection_ends_it_and_needs_a_reason(desk: Desk, submissions: SqlSubmissions) -> None:
    submission = await desk.submit(request())
    await judge(submissions, Event.NEEDS_REVIEW, approvals=2)
    with pytest.raises(BadInput, match="needs a reason"):
        await desk.review(submission.id, ROSA, Opinion.REJECT, "  ")
    assert (await desk.review(submission.id, ROSA, Opinion.REJECT, "personal data")).state is State.REJECTED
    with pytest.raises(Conflict, match="only one that is waiting"):
        await desk.review(submission.id, RAUL, Opinion.APPROVE, "")


async def test_four_eyes_and_only_those_of_a_reviewer_of_that_community(
    desk: Desk, submissions: SqlSubmissions
) -> None:
    submission = await desk.submit(request(account="rosa"))
    await judge(submissions, Event.NEEDS_REVIEW, approvals=1)
    for account in (ROSA, ADA, OLAF, Account("ops", Role.OPERATOR)):
        with pytest.raises(Denied):
            await desk.review(submission.id, account, Opinion.APPROVE, "")
    assert await submissions.reviews(submission.id) == ()
    assert digest("image") == submission.request.digest


async def test_what_does_not_wait_for_review_cannot_be_reviewed(desk: Desk) -> None:
    submission = await desk.submit(request())
    with pytest.raises(Conflict, match="is received"):
        await desk.review(submission.id, ROSA, Opinion.APPROVE, "")
