"""Revoking: recorded, logged, applied, in this order; taken up again after a crash between any two lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from gef_registry.admission.revocation import MAX_REASON, RevocationRecord, Revoker
from gef_registry.admission.states import State
from gef_registry.errors import BadInput, NotFound, Unavailable
from gef_registry.oci.digest import Digest
from gef_registry.store.revocations import SqlRevocations
from gef_registry.store.submissions import SqlSubmissions
from tests.fakes.admission import AT, FakeLog, Fault, FaultySubmissions, Script, digest, judgement, request
from tests.fakes.database import MemoryDatabase


class Desk:
    """A revoker on a real store; its store and its log follow scripts of faults."""

    def __init__(self) -> None:
        self.database = MemoryDatabase()
        self.submissions = SqlSubmissions(self.database)
        self.records = SqlRevocations(self.database)
        self.store, self.log = Script(), FakeLog(Script())
        self.signed = 0
        self.revoker = Revoker(FaultySubmissions(self.records, self.store), self.log, self._sign, lambda: AT)

    def _sign(self, what: Digest, reason: str, by: str, at: datetime) -> bytes:
        self.signed += 1
        return f"{what} {reason} {by} {at} {self.signed}".encode()

    async def approved(self) -> str:
        submission = await self.submissions.open(request())
        await self.submissions.claim(lease_s=60)
        await self.submissions.judged(submission.id, judgement(digest("image")))
        return submission.id

    async def revoke(self, reason: str = "a key in it") -> RevocationRecord:
        return await self.revoker.revoke(digest("image"), reason=reason, by="rosa")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    await desk.database.close()


async def test_a_revocation_is_logged_and_applied(desk: Desk) -> None:
    submission_id = await desk.approved()
    record = await desk.revoke("  a key in it ")
    assert (record.index, record.applied, record.reason, record.by) == (0, True, "a key in it", "rosa")
    assert desk.log.leaves == [record.leaf]
    assert (await desk.submissions.get(submission_id)).state is State.REVOKED
    assert await desk.records.listing() == [record]


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize(("where", "call"), [("store", 0), ("log", 0), ("store", 1), ("store", 2)])
async def test_what_a_crash_interrupted_is_taken_up_and_logged_once(
    desk: Desk, where: str, call: int, fault: Fault
) -> None:
    submission_id = await desk.approved()
    script = desk.store if where == "store" else desk.log.script
    script.faults.extend([*[None] * call, fault])
    with pytest.raises(Unavailable):
        await desk.revoke()
    recorded = bool(await desk.records.listing())
    # The same person asks again when the answer never came; otherwise the next start takes it up.
    if recorded:
        await desk.revoker.resume()
    else:
        await desk.revoke()
    assert len(desk.log.leaves) == 1
    (record,) = await desk.records.listing()
    assert record.applied
    assert record.leaf == desk.log.leaves[0]
    assert (await desk.submissions.get(submission_id)).state is State.REVOKED
    assert await desk.revoker.resume() == 0


async def test_nothing_is_applied_while_the_log_is_away(desk: Desk) -> None:
    """P4."""
    submission_id = await desk.approved()
    desk.log.script.faults.extend([Fault.BEFORE] * 3)
    for attempt in (desk.revoke, desk.revoker.resume, desk.revoke):
        with pytest.raises(Unavailable):
            await attempt()
        assert (await desk.submissions.get(submission_id)).state is State.APPROVED
    await desk.revoker.resume()
    assert (await desk.submissions.get(submission_id)).state is State.REVOKED


async def test_revoking_again_answers_with_the_first_revocation(desk: Desk) -> None:
    await desk.approved()
    first = await desk.revoke("first reason")
    assert await desk.revoke("second reason") == first
    assert len(desk.log.leaves) == 1


@pytest.mark.parametrize("reason", ["", "   \n", "x" * (MAX_REASON + 1)])
async def test_a_revocation_needs_a_reason_of_bearable_length(desk: Desk, reason: str) -> None:
    await desk.approved()
    with pytest.raises(BadInput, match="needs a reason"):
        await desk.revoke(reason)
    assert desk.signed == 0


async def test_a_digest_that_was_never_submitted_is_not_logged(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.revoke()
    assert desk.log.leaves == []
