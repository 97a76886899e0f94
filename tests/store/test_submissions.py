"""The records of submissions: joined, claimed, reserved, signed and logged once, whoever asks how often."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from gef_registry.admission.ports import Submission
from gef_registry.admission.review import Opinion, Review
from gef_registry.admission.states import Event, State
from gef_registry.errors import BadInput, Conflict, Denied, NotFound, Unavailable
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.database import Database
from gef_registry.store.revocations import SqlRevocations
from gef_registry.store.submissions import MAX_FAILURES, SqlSubmissions
from tests.fakes.admission import AT, REPOSITORY, digest, judgement, positions, push, request, statements


async def approved(submissions: SqlSubmissions, word: str = "image", **changes: object) -> Submission:
    """A submission that was judged and passed."""
    submission = await submissions.open(request(word, **changes))
    await submissions.claim(lease_s=60)
    return await submissions.judged(submission.id, judgement(submission.request.digest))


async def waiting(submissions: SqlSubmissions, approvals: int = 1) -> Submission:
    submission = await submissions.open(request())
    await submissions.claim(lease_s=60)
    verdict = judgement(digest("image"), Event.NEEDS_REVIEW, approvals=approvals)
    return await submissions.judged(submission.id, verdict)


async def test_the_same_digest_under_the_same_name_joins_the_active_submission(submissions: SqlSubmissions) -> None:
    first = await submissions.open(request())
    assert await submissions.joins(request(account="ben"))
    assert (await submissions.open(request(account="ben"))).id == first.id
    assert (await submissions.open(request("other"))).id != first.id
    assert (await submissions.open(request(tag="2.0"))).id != first.id


async def test_a_refused_digest_may_be_submitted_again(submissions: SqlSubmissions) -> None:
    first = await submissions.open(request())
    await submissions.claim(lease_s=60)
    await submissions.judged(first.id, judgement(digest("image"), Event.REFUSED))
    assert (await submissions.open(request())).id != first.id


async def test_a_name_reserved_for_another_digest_is_a_conflict_that_names_it(submissions: SqlSubmissions) -> None:
    await submissions.reserve((await approved(submissions)).id)
    with pytest.raises(Conflict, match=f"{REPOSITORY}:1.0 already means {digest('image')}"):
        await submissions.open(request("other"))
    assert await submissions.admitted(REPOSITORY, "1.0") == digest("image")
    assert (await submissions.open(request())).state is State.RESERVED


async def test_a_revoked_digest_cannot_be_submitted(submissions: SqlSubmissions, revocations: SqlRevocations) -> None:
    await submissions.open(request())
    await revocations.record(digest("image"), reason="a key in it", by="rosa", at=AT, leaf=b"leaf")
    with pytest.raises(Unavailable, match="is being revoked"):  # the reason is told when the log tells it
        await submissions.open(request(tag="2.0"))
    await revocations.logged(digest("image"), 7)
    with pytest.raises(Denied, match="revoked on 2026-11-22: a key in it"):
        await submissions.open(request(tag="2.0"))


async def test_a_revoked_image_does_not_come_back_inside_an_index(
    submissions: SqlSubmissions, revocations: SqlRevocations
) -> None:
    await submissions.open(request("child", tag="child"))
    await revocations.record(digest("child"), reason="a key in it", by="rosa", at=AT, leaf=b"leaf")
    await revocations.logged(digest("child"), 7)
    index = await submissions.open(request("index", tag="index"))
    await submissions.claim(lease_s=60)
    await submissions.claim(lease_s=60)
    refused = await submissions.judged(index.id, judgement(digest("index"), Event.PASSED, digest("child")))
    assert refused.state is State.DENIED
    assert "which is part of it, was revoked" in refused.reasons[0]


async def test_what_cannot_be_judged_again_and_again_ends_undecided(submissions: SqlSubmissions) -> None:
    submission = await submissions.open(request())
    for _ in range(MAX_FAILURES):
        assert (await submissions.get(submission.id)).state is State.RECEIVED
        await submissions.claim(lease_s=60)
        await submissions.release(submission.id, failure="the disk is gone")
    ended = await submissions.get(submission.id)
    assert ended.state is State.UNDECIDED
    assert "the disk is gone" in ended.reasons[0]


async def test_giving_work_back_is_no_failure(submissions: SqlSubmissions) -> None:
    submission = await submissions.open(request())
    for _ in range(MAX_FAILURES + 1):
        await submissions.claim(lease_s=60)
        await submissions.release(submission.id)
    assert (await submissions.get(submission.id)).state is State.RECEIVED


async def test_the_oldest_is_claimed_first_and_only_once(submissions: SqlSubmissions) -> None:
    ids = [(await submissions.open(request(tag=tag))).id for tag in ("1.0", "2.0")]
    first, second = await submissions.claim(lease_s=60), await submissions.claim(lease_s=60)
    assert first is not None
    assert second is not None
    assert [first.id, second.id] == ids
    assert first.state is State.JUDGING
    assert await submissions.claim(lease_s=60) is None


async def test_a_lease_that_ended_lets_another_worker_take_over(submissions: SqlSubmissions) -> None:
    submission = await submissions.open(request())
    await submissions.claim(lease_s=-1)
    again = await submissions.claim(lease_s=60)
    assert again is not None
    assert again.id == submission.id


async def test_a_renewed_lease_is_kept(submissions: SqlSubmissions) -> None:
    submission = await submissions.open(request())
    await submissions.claim(lease_s=-1)
    await submissions.renew(submission.id, lease_s=60)
    assert await submissions.claim(lease_s=60) is None


async def test_released_work_goes_back_to_the_queue_at_once_or_later(submissions: SqlSubmissions) -> None:
    submission = await submissions.open(request())
    await submissions.claim(lease_s=60)
    await submissions.release(submission.id)
    assert (await submissions.get(submission.id)).state is State.RECEIVED
    await submissions.claim(lease_s=60)
    await submissions.release(submission.id, retry_s=60)
    assert (await submissions.get(submission.id)).state is State.RECEIVED
    assert await submissions.claim(lease_s=60) is None


async def test_a_restart_ends_the_leases_of_the_process_before(submissions: SqlSubmissions) -> None:
    await submissions.reserve((await approved(submissions, tag="1.0")).id)
    await submissions.open(request("other", tag="2.0"))
    await submissions.claim(lease_s=600)
    assert await submissions.release_all() == 2
    claimed = [await submissions.claim(lease_s=60) for _ in range(3)]
    assert [c.state if c else None for c in claimed] == [State.RESERVED, State.JUDGING, None]


async def test_workers_that_claim_at_the_same_time_never_hold_the_same_submission(on_disk: Database) -> None:
    submissions = SqlSubmissions(on_disk)
    for number in range(8):
        await submissions.open(request(tag=f"{number}.0"))
    claimed = await asyncio.gather(*(submissions.claim(lease_s=60) for _ in range(12)))
    ids = [submission.id for submission in claimed if submission is not None]
    assert len(ids) == len(set(ids)) == 8


async def test_p2_of_64_digests_that_race_for_one_name_exactly_one_gets_it(on_disk: Database) -> None:
    """P2."""
    submissions = SqlSubmissions(on_disk)
    racing = [await approved(submissions, f"image {n}") for n in range(64)]
    ended = await asyncio.gather(*(submissions.reserve(submission.id) for submission in racing))
    states = [submission.state for submission in ended]
    assert states.count(State.RESERVED) == 1
    assert states.count(State.CONFLICT) == 63
    (winner,) = [submission for submission in ended if submission.state is State.RESERVED]
    assert await submissions.admitted(REPOSITORY, "1.0") == winner.request.digest
    assert all(str(winner.request.digest) in s.reasons[0] for s in ended if s.state is State.CONFLICT)


async def test_reserving_again_changes_nothing(submissions: SqlSubmissions) -> None:
    submission = await approved(submissions)
    first = await submissions.reserve(submission.id)
    assert await submissions.reserve(submission.id) == first


async def test_a_digest_revoked_meanwhile_reserves_no_name(
    submissions: SqlSubmissions, revocations: SqlRevocations
) -> None:
    submission = await approved(submissions)
    await revocations.record(digest("image"), reason="a key in it", by="rosa", at=AT, leaf=b"leaf")
    assert (await submissions.reserve(submission.id)).state is State.REVOKED
    assert await submissions.admitted(REPOSITORY, "1.0") is None


async def test_the_first_set_of_signed_bytes_wins(submissions: SqlSubmissions) -> None:
    submission = await approved(submissions)
    await submissions.reserve(submission.id)
    first, second = (statements([digest("image")], edition) for edition in ("first", "second"))
    assert (await submissions.signed(submission.id, first)).state is State.SIGNED
    assert (await submissions.signed(submission.id, second)).state is State.SIGNED
    assert list(await submissions.statements(submission.id)) == first


async def test_the_first_place_in_the_log_wins(submissions: SqlSubmissions) -> None:
    submission = await approved(submissions)
    await submissions.reserve(submission.id)
    await submissions.signed(submission.id, statements([digest("image")]))
    await submissions.logged(submission.id, positions(2))
    await submissions.logged(submission.id, positions(2, first=40))
    assert [logged.position for logged in await submissions.positions(submission.id)] == positions(2)


async def test_nothing_is_signed_or_logged_by_halves(submissions: SqlSubmissions) -> None:
    """P3: what would be admitted without its statement, or its place in the log, stays where it is."""
    submission = await submissions.open(request())
    await submissions.claim(lease_s=60)
    with pytest.raises(BadInput, match="does not speak of"):
        await submissions.judged(submission.id, judgement(digest("another image")))
    await submissions.judged(submission.id, judgement(digest("image"), Event.PASSED, digest("child")))
    await submissions.reserve(submission.id)
    for incomplete in ([], statements([digest("image")]), statements([digest("child")])):
        with pytest.raises(BadInput, match="do not speak of"):
            await submissions.signed(submission.id, incomplete)
    await submissions.signed(submission.id, statements([digest("image"), digest("child")]))
    with pytest.raises(BadInput, match="not one each"):
        await submissions.logged(submission.id, positions(3))
    assert (await submissions.get(submission.id)).state is State.SIGNED


async def test_a_judgement_keeps_its_report_parts_and_service(submissions: SqlSubmissions) -> None:
    submission = await submissions.open(request())
    await submissions.claim(lease_s=60)
    verdict = judgement(digest("image"), Event.PASSED, digest("child"))
    judged = await submissions.judged(submission.id, verdict)
    assert judged.report_digest == verdict.report_digest
    assert await submissions.report(verdict.report_digest) == verdict.report
    assert await submissions.parts(submission.id) == verdict.parts
    assert await submissions.service(submission.id) == {"name": "wave"}
    with pytest.raises(NotFound):
        await submissions.report(digest("no report"))


async def test_a_verdict_comes_once(submissions: SqlSubmissions) -> None:
    submission = await approved(submissions)
    with pytest.raises(Conflict, match="cannot take refused"):
        await submissions.judged(submission.id, judgement(digest("image"), Event.REFUSED))


def approve(name: str) -> Review:
    return Review(name, Opinion.APPROVE, "", AT)


def quorum(of: int):  # type: ignore[no-untyped-def]
    return lambda reviews: Event.APPROVAL if len(reviews) >= of else None


async def test_nobody_reviews_twice(submissions: SqlSubmissions) -> None:
    submission = await waiting(submissions, approvals=2)
    await submissions.review(submission.id, approve("rosa"), event=quorum(2))
    with pytest.raises(Conflict, match="rosa has already reviewed"):
        await submissions.review(submission.id, approve("rosa"), event=quorum(1))
    assert (await submissions.get(submission.id)).state is State.WAITING
    assert [review.reviewer for review in await submissions.reviews(submission.id)] == ["rosa"]


async def test_the_review_that_completes_the_quorum_approves(submissions: SqlSubmissions) -> None:
    submission = await waiting(submissions, approvals=2)
    assert (await submissions.review(submission.id, approve("rosa"), event=quorum(2))).state is State.WAITING
    assert (await submissions.review(submission.id, approve("raul"), event=quorum(2))).state is State.APPROVED
    with pytest.raises(Conflict, match="only one that is waiting"):
        await submissions.review(submission.id, approve("rita"), event=quorum(2))


async def test_reviewers_at_the_same_time_cannot_both_miss_the_quorum(on_disk: Database) -> None:
    submissions = SqlSubmissions(on_disk)
    submission = await waiting(submissions, approvals=2)
    reviews = [submissions.review(submission.id, approve(name), event=quorum(2)) for name in ("rosa", "raul")]
    await asyncio.gather(*reviews)
    assert (await submissions.get(submission.id)).state is State.APPROVED


async def test_a_rejection_keeps_its_reason_for_the_author(submissions: SqlSubmissions) -> None:
    submission = await waiting(submissions)

    def rejection(reviews: Sequence[Review]) -> Event:
        return Event.REJECTION

    rejected = await submissions.review(
        submission.id, Review("rosa", Opinion.REJECT, "the data are personal", AT), event=rejection
    )
    assert rejected.state is State.REJECTED
    assert rejected.reasons == ("rejected by rosa: the data are personal",)


async def test_submissions_are_listed_newest_first_by_what_was_asked(
    submissions: SqlSubmissions, catalogue: SqlCatalogue
) -> None:
    await push(catalogue, "image")
    ids = [(await submissions.open(request(tag=tag, account=a))).id for tag, a in (("1", "ada"), ("2", "ben"))]
    assert [s.id for s in await submissions.listing()] == ids[::-1]
    assert [s.id for s in await submissions.listing(account="ada")] == [ids[0]]
    assert [s.id for s in await submissions.listing(states=[State.ADMITTED])] == []
    assert len(await submissions.listing(digest=digest("image"), repository=REPOSITORY, limit=1)) == 1
    assert await submissions.queued("ada") == 1
    assert (await submissions.counts())["received"] == 2


async def test_times_are_recorded_in_utc_and_move_on(submissions: SqlSubmissions) -> None:
    submission = await submissions.open(request())
    await submissions.claim(lease_s=60)
    later = await submissions.get(submission.id)
    assert later.created_at == submission.created_at <= later.updated_at
    assert later.created_at.utcoffset() == timedelta(0)
    with pytest.raises(NotFound, match="no submission 's0'"):
        await submissions.get("s0")
