"""The end of an admission. Logged first, then applied: from the log entry on, following hosts refuse the digest.

    1 record   the signed revocation is stored (the first one for a digest wins)
    2 log      the leaf; waits for the checkpoint
    3 apply    signatures and bundles disappear, tags answer with the reason, submissions end; bytes stay readable by digest

`resume` takes up what a crash interrupted, with the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gef_registry.admission.ports import LogPosition
from gef_registry.errors import BadInput, GefError
from gef_registry.oci.digest import Digest

MAX_REASON = 2000


@dataclass(frozen=True, slots=True)
class RevocationRecord:
    """A revocation and how far it got; `index` is its leaf's place in the log, None until logged."""

    digest: Digest
    reason: str
    by: str
    at: datetime
    leaf: bytes
    index: int | None
    applied: bool


class Revocations(Protocol):
    async def record(self, digest: Digest, *, reason: str, by: str, at: datetime, leaf: bytes) -> RevocationRecord:
        """Keeps the signed leaf; returns the earlier record if there is one. Raises NotFound for a digest that was
        never submitted here."""
        ...

    async def logged(self, digest: Digest, index: int) -> None: ...
    async def apply(self, digest: Digest) -> None:
        """In one transaction: hides proofs, marks names, ends submissions. Idempotent."""
        ...

    async def unfinished(self) -> Sequence[RevocationRecord]: ...


class RevocationLog(Protocol):
    async def append_leaf(self, leaf: bytes) -> LogPosition: ...


class Revoker:
    """Revokes digests. `sign` makes the signed leaf from digest, reason, person and time."""

    def __init__(
        self,
        revocations: Revocations,
        log: RevocationLog,
        sign: Callable[[Digest, str, str, datetime], bytes],
        now: Callable[[], datetime],
    ) -> None:
        self._revocations = revocations
        self._log = log
        self._sign = sign
        self._now = now

    async def revoke(self, digest: Digest, *, reason: str, by: str) -> RevocationRecord:
        """Ends all names of a digest. Raises BadInput (no or too long a reason), NotFound (never submitted here)."""
        reason = reason.strip()
        if not 1 <= len(reason) <= MAX_REASON:
            raise BadInput(f"a revocation needs a reason of 1 to {MAX_REASON} characters, got {len(reason)}")
        at = self._now()
        leaf = self._sign(digest, reason, by, at)
        record = await self._revocations.record(digest, reason=reason, by=by, at=at, leaf=leaf)
        return await self._finish(record)

    async def resume(self) -> int:
        """Finishes what a crash left; returns how many."""
        unfinished = await self._revocations.unfinished()
        failures: list[GefError] = []
        for record in unfinished:
            try:
                await self._finish(record)
            except GefError as error:
                failures.append(error)  # one that cannot be finished must not hold up the others
        if failures:
            raise failures[0]
        return len(unfinished)

    async def _finish(self, record: RevocationRecord) -> RevocationRecord:
        index = record.index
        if index is None:
            index = (await self._log.append_leaf(record.leaf)).index
            await self._revocations.logged(record.digest, index)
        if not record.applied:
            await self._revocations.apply(record.digest)
        return RevocationRecord(record.digest, record.reason, record.by, record.at, record.leaf, index, applied=True)
