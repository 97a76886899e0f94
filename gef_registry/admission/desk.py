"""What people ask of the gate: submit an image, wait for the answer, review what a colleague pushed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from gef_registry.admission import review as reviewing
from gef_registry.admission.bell import Bell
from gef_registry.admission.ports import Request, Submission, Submissions
from gef_registry.admission.review import Opinion, Outcome, Review
from gef_registry.admission.rights import MOVING_TAGS, Account, ServiceName, is_reserved_tag
from gef_registry.admission.states import ANSWERABLE, Event
from gef_registry.errors import BadInput, Denied
from gef_registry.oci.reference import is_tag

# A second process may have moved it: look again now and then even when the bell is silent.
POLL_S = 2.0


class Queue(Protocol):
    async def queued(self, account: str) -> int:
        """How many submissions of this account wait for a judge or are being judged."""
        ...

    async def joins(self, request: Request) -> bool:
        """Whether the request only joins a submission that is there: the same push again is no new work."""
        ...


class Reviewers(Protocol):
    async def may_review(self, name: str, repository: str) -> bool:
        """Whether this account exists, is not disabled, and reviews this repository now."""
        ...


class QueueFull(Denied):
    """The account has too many submissions waiting; it should try again when one is decided."""

    http_status = 429


class Desk:
    """Takes requests and reviews. Everything is in the records; the lock only keeps one account's simultaneous
    requests from passing the queue's limit together."""

    def __init__(
        self,
        submissions: Submissions,
        queue: Queue,
        bell: Bell,
        now: Callable[[], datetime],
        *,
        queue_limit: int = 20,
        reviewers: Reviewers | None = None,
    ) -> None:
        self._submissions = submissions
        self._queue = queue
        self._bell = bell
        self._now = now
        self._queue_limit = queue_limit
        self._reviewers = reviewers
        self._taking = asyncio.Lock()

    async def check(self, request: Request) -> None:
        """Raises what `submit` would raise now, before anything is fetched for it."""
        check_trusted_name(request.repository, request.tag)
        await self._submissions.require_open(request)
        if not await self._queue.joins(request):
            await self._require_room(request.account)

    async def submit(self, request: Request) -> Submission:
        """Opens or joins a submission. Raises BadInput or Denied (the name), Conflict (it means another digest),
        QueueFull."""
        check_trusted_name(request.repository, request.tag)
        async with self._taking:
            if not await self._queue.joins(request):
                await self._require_room(request.account)
            submission = await self._submissions.open(request)
        self._bell.work()
        return submission

    async def _require_room(self, account: str) -> None:
        if await self._queue.queued(account) >= self._queue_limit:
            raise QueueFull(
                f"{account} has {self._queue_limit} submissions waiting to be judged",
                hint="push again when one of them is decided",
            )

    async def wait(self, submission_id: str, timeout_s: float) -> Submission:
        """The submission as soon as it is decided or needs a human; as it is when the time is over."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            submission = await self._submissions.get(submission_id)
            left = deadline - asyncio.get_running_loop().time()
            if submission.state in ANSWERABLE or left <= 0:
                return submission
            await self._bell.until_moved(submission_id, min(left, POLL_S))

    async def review(self, submission_id: str, reviewer: Account, opinion: Opinion, comment: str) -> Submission:
        """Records an opinion; the one that completes the quorum approves, one rejection rejects. Raises Denied (not a
        reviewer, or one's own), Conflict (not waiting, or reviewed already), BadInput (no reason)."""
        submission = await self._submissions.get(submission_id)
        request = submission.request
        reviewing.require_reviewer(reviewer, submitter=request.account, repository=request.repository)
        reviewing.require_comment(opinion, comment)
        own = Review(reviewer.name, opinion, comment.strip(), self._now())
        former = await self._former_reviewers(submission)

        def event(reviews: Sequence[Review]) -> Event | None:
            counted = [review for review in reviews if review.reviewer not in former]
            return _event(reviewing.outcome(counted, submitter=request.account, quorum=submission.approvals))

        submission = await self._submissions.review(submission_id, own, event=event)
        self._bell.moved(submission_id)
        self._bell.work()
        return submission

    async def _former_reviewers(self, submission: Submission) -> frozenset[str]:
        """Who reviewed this once and may no longer: disabled, or given another role or community since."""
        if self._reviewers is None:
            return frozenset()
        names = {review.reviewer for review in await self._submissions.reviews(submission.id)}
        repository = submission.request.repository
        return frozenset([name for name in names if not await self._reviewers.may_review(name, repository)])


def _event(outcome: Outcome) -> Event | None:
    return {Outcome.APPROVED: Event.APPROVAL, Outcome.REJECTED: Event.REJECTION, Outcome.OPEN: None}[outcome]


def check_trusted_name(repository: str, tag: str) -> None:
    """Raises BadInput for what is no name, Denied for tags that only the gate writes or that are meant to move."""
    name = ServiceName.parse(repository)
    if name.repository != name.trusted:
        raise BadInput(f"{repository} is not a trusted repository")
    if not is_tag(tag):
        raise BadInput(f"{tag[:140]!r} is not a tag")
    if is_reserved_tag(tag):
        raise Denied(f"the tag {tag!r} is reserved for the gate's own records", hint="push under a version, like 1.0.0")
    if tag.lower() in MOVING_TAGS:
        raise Denied(
            f"the tag {tag!r} is meant to move, and a trusted name never changes its digest",
            hint="push under a version, like 1.0.0",
        )
