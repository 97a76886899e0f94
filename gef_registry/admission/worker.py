"""Takes submissions from the queue and runs them through the pipeline, a few at a time.

A worker holds a lease while it works; when its process dies the lease ends and another goes on from the recorded state.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from gef_registry.admission.bell import Bell
from gef_registry.admission.pipeline import Pipeline
from gef_registry.admission.ports import Submission
from gef_registry.errors import Unavailable

log = logging.getLogger(__name__)

LEASE_S = 60.0
IDLE_POLL_S = 2.0
RETRY_S = 5.0
RETRY_AFTER_FAULT_S = 60.0


class Leases(Protocol):
    async def claim(self, *, lease_s: float) -> Submission | None: ...
    async def renew(self, submission_id: str, *, lease_s: float) -> None: ...
    async def release(self, submission_id: str, *, retry_s: float = 0.0, failure: str | None = None) -> None: ...


async def work(pipeline: Pipeline, leases: Leases, bell: Bell, *, stop_when_idle: bool = False) -> None:
    """One worker's life. Ends by cancellation (its submission goes back to the queue), or, on request, when idle."""
    while True:
        try:
            submission = await leases.claim(lease_s=LEASE_S)
        except Unavailable as error:
            log.warning("cannot claim work: %s", error)
            submission = None
        if submission is None:
            if stop_when_idle:
                return
            await bell.until_work(IDLE_POLL_S)
            continue
        await _take(submission, pipeline, leases, bell)


async def _take(submission: Submission, pipeline: Pipeline, leases: Leases, bell: Bell) -> None:
    retry_s, failure = 0.0, None
    heartbeat = asyncio.create_task(_keep(submission.id, leases))
    try:
        await pipeline.advance(submission)
    except Unavailable as error:
        log.warning("submission %s cannot go on now: %s", submission.id, error)
        retry_s, failure = RETRY_S, str(error)
    except Exception as error:
        # A fault of ours: it stays undone (never admitted by accident) and is tried again, not so soon.
        log.exception("submission %s stopped", submission.id)
        retry_s, failure = RETRY_AFTER_FAULT_S, f"a fault of the gate ({type(error).__name__})"
    finally:
        heartbeat.cancel()
        await asyncio.gather(heartbeat, return_exceptions=True)
        await _release(submission.id, leases, retry_s, failure)
        bell.moved(submission.id)


async def _keep(submission_id: str, leases: Leases) -> None:
    while True:
        await asyncio.sleep(LEASE_S / 3)
        try:
            await leases.renew(submission_id, lease_s=LEASE_S)
        except Unavailable as error:
            log.warning("cannot renew the lease of %s: %s", submission_id, error)


async def _release(submission_id: str, leases: Leases, retry_s: float, failure: str | None) -> None:
    try:
        await asyncio.shield(leases.release(submission_id, retry_s=retry_s, failure=failure))
    except Unavailable as error:
        log.warning("cannot release %s, its lease will end by itself: %s", submission_id, error)
