"""Workers: a heartbeat while they work, nothing lost when they are cancelled or something breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gef_registry.admission import worker
from gef_registry.admission.bell import Bell
from gef_registry.admission.ports import Submission
from gef_registry.admission.states import State
from gef_registry.admission.worker import work
from gef_registry.errors import Unavailable
from gef_registry.store.submissions import SqlSubmissions
from tests.fakes.admission import digest, judgement, request
from tests.fakes.database import MemoryDatabase


class FakePipeline:
    """Does with a submission what the test says."""

    def __init__(self, act: Callable[[Submission], Awaitable[None]]) -> None:
        self.act = act
        self.started = asyncio.Event()

    async def advance(self, submission: Submission) -> Submission:
        self.started.set()
        await self.act(submission)
        return submission


class Leases:
    """A real store's leases that count, and fail when told to."""

    def __init__(self, submissions: SqlSubmissions) -> None:
        self.inner = submissions
        self.renewed = asyncio.Semaphore(0)
        self.renewals = 0
        self.fail: set[str] = set()
        self.retries: list[float] = []

    async def claim(self, *, lease_s: float) -> Submission | None:
        self._maybe("claim")
        return await self.inner.claim(lease_s=lease_s)

    async def renew(self, submission_id: str, *, lease_s: float) -> None:
        self.renewals += 1
        self.renewed.release()
        self._maybe("renew")
        await self.inner.renew(submission_id, lease_s=lease_s)

    async def release(self, submission_id: str, *, retry_s: float = 0.0, failure: str | None = None) -> None:
        self.retries.append(retry_s)
        self._maybe("release")
        await self.inner.release(submission_id, retry_s=retry_s, failure=failure)

    def _maybe(self, name: str) -> None:
        if name in self.fail:
            self.fail.discard(name)
            raise Unavailable(f"{name} failed, as the test asked")


@pytest.fixture
async def submissions() -> AsyncIterator[SqlSubmissions]:
    database = MemoryDatabase()
    yield SqlSubmissions(database)
    await database.close()


async def forever(submission: Submission) -> None:
    await asyncio.Event().wait()


def judging(submissions: SqlSubmissions) -> Callable[[Submission], Awaitable[None]]:
    async def judge(submission: Submission) -> None:
        await submissions.judged(submission.id, judgement(submission.request.digest))
        await submissions.reserve(submission.id)

    return judge


async def test_a_worker_stops_when_idle_if_asked_to(submissions: SqlSubmissions) -> None:
    await work(FakePipeline(forever), Leases(submissions), Bell(), stop_when_idle=True)  # type: ignore[arg-type]


async def test_all_that_waits_is_taken(submissions: SqlSubmissions) -> None:
    taken: list[str] = []

    async def note(submission: Submission) -> None:
        taken.append(submission.request.tag)
        await submissions.judged(submission.id, judgement(submission.request.digest))
        await submissions.reserve(submission.id)
        raise Unavailable("the log is away")

    for tag in ("1.0", "2.0", "3.0"):
        await submissions.open(request(tag=tag))
    leases = Leases(submissions)
    await work(FakePipeline(note), leases, Bell(), stop_when_idle=True)  # type: ignore[arg-type]
    assert taken == ["1.0", "2.0", "3.0"]
    assert leases.retries == [worker.RETRY_S] * 3


async def test_the_lease_is_renewed_as_long_as_the_work_takes(
    submissions: SqlSubmissions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LEASE_S", 0.01)
    leases = Leases(submissions)
    leases.fail.add("renew")

    async def until_renewed(submission: Submission) -> None:
        for _ in range(3):
            await leases.renewed.acquire()

    await submissions.open(request())
    task = asyncio.create_task(work(FakePipeline(until_renewed), leases, Bell()))  # type: ignore[arg-type]
    for _ in range(5):
        await leases.renewed.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    after = leases.renewals
    await asyncio.sleep(0.05)
    assert leases.renewals == after, "the heartbeat ends with the work"


async def test_cancelling_a_worker_gives_its_submission_back(submissions: SqlSubmissions) -> None:
    submission = await submissions.open(request())
    pipeline = FakePipeline(forever)
    task = asyncio.create_task(work(pipeline, Leases(submissions), Bell()))  # type: ignore[arg-type]
    await pipeline.started.wait()
    assert (await submissions.get(submission.id)).state is State.JUDGING
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await submissions.get(submission.id)).state is State.RECEIVED
    assert await submissions.claim(lease_s=60) is not None


async def test_a_fault_of_ours_is_logged_and_tried_again_later(
    submissions: SqlSubmissions, caplog: pytest.LogCaptureFixture
) -> None:
    async def break_down(submission: Submission) -> None:
        raise ZeroDivisionError("a bug")

    submission = await submissions.open(request())
    leases = Leases(submissions)
    with caplog.at_level(logging.ERROR):
        await work(FakePipeline(break_down), leases, Bell(), stop_when_idle=True)  # type: ignore[arg-type]
    assert f"submission {submission.id} stopped" in caplog.text
    assert "a bug" in caplog.text
    assert leases.retries == [worker.RETRY_AFTER_FAULT_S]
    assert (await submissions.get(submission.id)).state is State.RECEIVED
    assert await submissions.claim(lease_s=60) is None, "not at once"


async def test_a_database_that_is_away_for_a_while_ends_no_worker(
    submissions: SqlSubmissions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "IDLE_POLL_S", 0.001)
    leases = Leases(submissions)
    leases.fail.update({"claim", "release"})
    pipeline = FakePipeline(judging(submissions))
    submission = await submissions.open(request())
    task = asyncio.create_task(work(pipeline, leases, Bell()))  # type: ignore[arg-type]
    await pipeline.started.wait()
    while (await submissions.get(submission.id)).state is not State.RESERVED:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_ring_of_the_bell_wakes_an_idle_worker(
    submissions: SqlSubmissions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "IDLE_POLL_S", 3600.0)
    bell, pipeline = Bell(), FakePipeline(judging(submissions))
    task = asyncio.create_task(work(pipeline, Leases(submissions), bell))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    await submissions.open(request())
    bell.work()
    async with asyncio.timeout(20):
        await pipeline.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert digest("image") == request().digest
