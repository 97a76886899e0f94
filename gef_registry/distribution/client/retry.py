"""When to try again: exponential backoff with full jitter, `Retry-After` honoured, everything under one deadline."""

from __future__ import annotations

import asyncio
import email.utils
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from gef_registry.distribution.client.settings import ClientSettings
from gef_registry.errors import GefError, Unavailable

T = TypeVar("T")


class Transient(Exception):
    """One attempt failed in a way that another may not. Carries the error to raise when attempts are used up."""

    def __init__(self, error: GefError, retry_after: str | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


def delay_before(attempt: int, retry_after: str | None, settings: ClientSettings, now: datetime) -> float | None:
    """Seconds to wait before attempt number `attempt` (2, 3, ...); None to give up: the server asks for too long."""
    backoff = min(settings.retry_cap_s, settings.retry_base_s * 2 ** (attempt - 2))
    asked = _seconds(retry_after, now)
    if asked is not None:
        return asked if asked <= settings.max_retry_after_s else None
    return random.uniform(backoff / 2, backoff)  # noqa: S311  jitter, not a secret


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    """`Retry-After` as seconds from now: a count, or an HTTP date. None when absent or unreadable."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        when = email.utils.parsedate_to_datetime(text[:64])
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())


class Patience:
    """Counts the failures of one operation and sleeps between them. Progress may be noted, which forgives."""

    def __init__(self, settings: ClientSettings, deadline_s: float) -> None:
        self._settings = settings
        self._failures, self._total = 0, 0
        self.until = asyncio.get_running_loop().time() + deadline_s

    def note_progress(self) -> None:
        """The last attempt moved things forward: consecutive failures start again, the total does not."""
        self._failures = 0

    async def after(self, failure: Transient) -> None:
        """Sleeps before the next attempt, or raises the failure's error when there is none."""
        self._failures += 1
        self._total += 1
        pause = delay_before(self._failures + 1, failure.retry_after, self._settings, datetime.now(UTC))
        exhausted = self._failures >= self._settings.max_attempts or self._total >= 5 * self._settings.max_attempts
        if exhausted or pause is None or asyncio.get_running_loop().time() + pause >= self.until:
            raise failure.error
        await asyncio.sleep(pause)


async def retrying(attempt: Callable[[], Awaitable[T]], settings: ClientSettings, deadline_s: float, what: str) -> T:
    """Runs an idempotent `attempt` until it succeeds, or raises the last error, or time is up (Unavailable, `what`)."""
    patience = Patience(settings, deadline_s)
    try:
        async with asyncio.timeout_at(patience.until) as clock:
            while True:
                try:
                    return await attempt()
                except Transient as failure:
                    await patience.after(failure)
    except TimeoutError as error:
        if not clock.expired():
            raise
        raise Unavailable(f"{what}: no answer within {deadline_s:g} s, retries included") from error
