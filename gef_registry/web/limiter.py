"""Slows down who guesses: counts wrong credentials for each source address, and for each source and account name.

Bounded memory: the oldest keys are forgotten first. An account name alone never locks anybody out, or a stranger could keep
its owner away; tokens are 256 random bits, so what this saves is work and log lines.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

WINDOW_S = 300.0
MAX_KEYS = 10_000
LIMIT_BY_NAME = 10
LIMIT_BY_SOURCE = 100


class Limiter:
    """`wait_s` before looking at credentials, then `failed` or `succeeded`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str | None], tuple[int, float]] = OrderedDict()

    def wait_s(self, source: str, name: str) -> int:
        """0 to go on, else how many seconds to stay away."""
        return max(self._wait((source, name), LIMIT_BY_NAME), self._wait((source, None), LIMIT_BY_SOURCE))

    def failed(self, source: str, name: str) -> None:
        for key in ((source, name), (source, None)):
            count, began = self._failures.pop(key, (0, self._clock()))
            if self._clock() - began >= WINDOW_S:
                count, began = 0, self._clock()
            self._failures[key] = (count + 1, began)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, source: str, name: str) -> None:
        self._failures.pop((source, name), None)

    def _wait(self, key: tuple[str, str | None], limit: int) -> int:
        count, began = self._failures.get(key, (0, 0.0))
        left = began + WINDOW_S - self._clock()
        return int(left) + 1 if count >= limit and left > 0 else 0
