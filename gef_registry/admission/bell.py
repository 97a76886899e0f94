"""Tells waiting clients and idle workers, within one process, that a submission moved.

A bell carries no state: whoever wakes reads the record again. Missing a ring costs at most the waiter's poll interval.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from gef_registry.admission.ports import Submission


class Bell:
    """An `Observer` of the pipeline that wakes those who wait."""

    def __init__(self) -> None:
        self._work = asyncio.Event()
        self._moved: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._waiters: defaultdict[str, int] = defaultdict(int)

    async def before(self, step: str, submission: Submission) -> None: ...

    async def after(self, step: str, submission: Submission) -> None:
        self.moved(submission.id)

    def moved(self, submission_id: str) -> None:
        """Wakes everybody who waits for this submission."""
        if submission_id in self._waiters:
            self._moved[submission_id].set()

    def work(self) -> None:
        """Wakes the workers: there may be something to claim."""
        self._work.set()

    async def until_work(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._work.wait()
        except TimeoutError:
            return
        self._work.clear()

    async def until_moved(self, submission_id: str, timeout_s: float) -> None:
        """Returns when the submission moved, or after the time; the caller looks again either way."""
        self._waiters[submission_id] += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._moved[submission_id].wait()
        except TimeoutError:
            return
        finally:
            self._waiters[submission_id] -= 1
            if not self._waiters[submission_id]:
                del self._waiters[submission_id]
                self._moved.pop(submission_id, None)
            elif submission_id in self._moved:
                self._moved[submission_id].clear()
