"""The way of a submission, from *received* to *admitted*, one durable step at a time.

    1 judge       received → judging → approved | waiting | denied | undecided
    2 reserve     the name, for ever                       (or conflict)
    3 sign        the statements, once; the signed bytes are stored before anything leaves
    4 log         the leaves; waits for the checkpoint that covers them
    5 publish     the bytes and proofs become visible, the tag last, and are read back

A crash between any two lines is recovered by running `advance` again: each step looks at the recorded state, is
idempotent, and its effect is durable before the next begins. Nothing here knows a database, a registry or a clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from gef_registry.admission.ports import AdmissionLog, Judge, Notary, Observer, Publisher, Submission, Submissions
from gef_registry.admission.states import State
from gef_registry.errors import Denied

Step = Callable[[Submission], Awaitable[Submission]]


class Pipeline:
    """Runs submissions through the steps, through ports only."""

    def __init__(
        self,
        submissions: Submissions,
        judge: Judge,
        notary: Notary,
        log: AdmissionLog,
        publisher: Publisher,
        observer: Observer,
        now: Callable[[], datetime],
    ) -> None:
        self._submissions = submissions
        self._judge = judge
        self._notary = notary
        self._log = log
        self._publisher = publisher
        self._observer = observer
        self._now = now
        self._steps: dict[State, tuple[str, Step]] = {
            State.JUDGING: ("judge", self._judged),
            State.APPROVED: ("reserve", self._reserved),
            State.RESERVED: ("sign", self._signed),
            State.SIGNED: ("log", self._logged),
            State.LOGGED: ("publish", self._published),
        }

    async def advance(self, submission: Submission) -> Submission:
        """Takes a claimed submission as far as it goes without a human. Raises Unavailable when a step cannot be taken
        now: the state is kept, and a later call goes on from there."""
        while submission.state in self._steps:
            name, step = self._steps[submission.state]
            await self._observer.before(name, submission)
            submission = await step(submission)
            await self._observer.after(name, submission)
        return submission

    async def _judged(self, submission: Submission) -> Submission:
        judgement = await self._judge.judge(submission)
        return await self._submissions.judged(submission.id, judgement)

    async def _reserved(self, submission: Submission) -> Submission:
        return await self._submissions.reserve(submission.id)

    async def _signed(self, submission: Submission) -> Submission:
        parts = await self._submissions.parts(submission.id)
        statements = await self._notary.sign(submission, parts, self._now())
        return await self._submissions.signed(submission.id, statements)

    async def _logged(self, submission: Submission) -> Submission:
        statements = await self._submissions.statements(submission.id)
        positions = await self._log.append(statements)
        return await self._submissions.logged(submission.id, positions)

    async def _published(self, submission: Submission) -> Submission:
        try:
            await self._publisher.publish(submission, await self._submissions.positions(submission.id))
        except Denied:
            # Revoked on the way: the store has recorded that, and nothing became visible.
            current = await self._submissions.get(submission.id)
            if current.state is not State.REVOKED:
                raise
            return current
        return await self._submissions.get(submission.id)
