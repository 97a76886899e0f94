"""The bounds that hostile images meet, and the account of what one image has used of them.

A bound that is met ends the reading at once: the image is refused (TAR-001), it is not a fault of ours. Only the wall
clock is: that is `Unavailable`, since a slow registry is nothing the image did.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass

from gef_registry.facts.model import ProblemKind

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one image (all its platforms). `ratio` counts for what is larger than `ratio_floor_bytes`."""

    uncompressed_bytes: int = 20 * GIB
    entry_bytes: int = 10 * GIB
    entries: int = 2_000_000
    ratio: int = 200
    ratio_floor_bytes: int = 64 * MIB
    path_bytes: int = 4096
    depth: int = 255
    header_bytes: int = 1 * MIB
    kept_file_bytes: int = 1 * MIB
    key_markers: int = 200_000
    keys: int = 1000
    children: int = 128
    layers: int = 512
    config_bytes: int = 4 * MIB
    wall_clock_s: float = 1800.0

    def cache_token(self) -> str:
        """Equal for limits under which a layer gives equal facts."""
        return ",".join(f"{name}={value}" for name, value in sorted(asdict(self).items()) if name != "wall_clock_s")


class Refusal(Exception):
    """Ends the reading of one layer; becomes a `Problem`. Never leaves this package."""

    def __init__(self, kind: ProblemKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Stopped(Exception):
    """Whoever wanted the facts went away. Never leaves this package."""


def exceeded(message: str) -> Refusal:
    return Refusal(ProblemKind.LIMIT_EXCEEDED, message)


class Budget:
    """What all layers of one image have used together; worker threads share it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._bytes = 0
        self._entries = 0
        self.exceeded_together: str | None = None

    def spend_bytes(self, amount: int) -> None:
        """Raises Refusal beyond the bound, Stopped when nobody waits any more."""
        if self.stop.is_set():
            raise Stopped
        with self._lock:
            self._bytes += amount
            if self._bytes > self.limits.uncompressed_bytes:
                raise self._exceeded(f"the layers unpack to more than {self.limits.uncompressed_bytes} bytes together")

    def spend_entries(self, amount: int) -> None:
        with self._lock:
            self._entries += amount
            if self._entries > self.limits.entries:
                raise self._exceeded(f"the layers hold more than {self.limits.entries} entries together")

    def _exceeded(self, message: str) -> Refusal:
        self.exceeded_together = message
        return exceeded(message)
