"""What admission needs from the rest, and the values that pass. Implementations live in `store`, `wiring` and `transparency`.

Every method that changes something is durable on return, atomic, and idempotent where it says so: the pipeline calls it
again after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from gef_registry.admission.review import Review
from gef_registry.admission.states import Event, State
from gef_registry.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks: admit `digest` as `repository:tag`. `held_in` is the repository whose candidate it is now."""

    repository: str
    tag: str
    digest: Digest
    media_type: str
    size: int
    account: str
    held_in: str
    source: str = "push"


@dataclass(frozen=True, slots=True)
class Submission:
    """A request and where it stands. `decision`, `policy_digest` and `report_digest` are None until it was judged."""

    id: str
    request: Request
    state: State
    created_at: datetime
    updated_at: datetime
    reasons: tuple[str, ...] = ()
    decision: str | None = None
    approvals: int = 0
    policy_name: str | None = None
    policy_digest: Digest | None = None
    report_digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One signed thing of an admission: the index or image itself first, then each child."""

    digest: Digest
    media_type: str
    size: int
    config_digest: Digest | None = None
    platform: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What judging one submission came to; `report` is the JSON report's bytes, `service` its public description."""

    event: Event
    decision: str
    reasons: tuple[str, ...]
    approvals: int
    policy_name: str
    policy_digest: Digest
    report: bytes
    service: Mapping[str, Any] | None
    parts: tuple[Part, ...]

    @property
    def report_digest(self) -> Digest:
        return Digest.of(self.report)


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement as it is kept and logged: the leaf, the served statement, and which part it speaks of.

    `kind` is `dsse` (the admission itself) or `cosign` (the simple signing payload for older verifiers); `signature` is
    the raw signature, needed again for the published objects.
    """

    kind: str
    part: Digest
    statement: bytes
    leaf: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Where a leaf stands, with the proof that it does (hashes, and the checkpoint they lead to)."""

    index: int
    proof: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Logged:
    statement: SignedStatement
    position: LogPosition


class Submissions(Protocol):
    """The desk's records."""

    async def open(self, request: Request) -> Submission:
        """The active submission of the same digest under the same name, or a new one in *received*. Raises Conflict
        when the name is reserved for another digest, Denied when the digest was revoked."""
        ...

    async def require_open(self, request: Request) -> None:
        """Raises what `open` would raise, and opens nothing."""
        ...

    async def get(self, submission_id: str) -> Submission:
        """Raises NotFound."""
        ...

    async def admitted(self, repository: str, tag: str) -> Digest | None:
        """The digest a trusted name is reserved for, whatever became of it."""
        ...

    async def claim(self, *, lease_s: float) -> Submission | None:
        """The oldest runnable submission nobody holds; RECEIVED becomes JUDGING. Its lease must be renewed or ends."""
        ...

    async def renew(self, submission_id: str, *, lease_s: float) -> None: ...
    async def release(self, submission_id: str) -> None:
        """Ends the lease; JUDGING goes back to RECEIVED."""
        ...

    async def judged(self, submission_id: str, judgement: Judgement) -> Submission:
        """Records the judgement, its report and parts, and the state it leads to, in one transaction. Raises BadInput
        for one that would admit something else than the submitted digest."""
        ...

    async def parts(self, submission_id: str) -> tuple[Part, ...]: ...

    async def reserve(self, submission_id: str) -> Submission:
        """Reserves the name for ever: RESERVED, CONFLICT when another digest has it, REVOKED when the digest was
        revoked meanwhile. Idempotent: a submission that is not APPROVED is returned as it is."""
        ...

    async def signed(self, submission_id: str, statements: Sequence[SignedStatement]) -> Submission:
        """Keeps the signed bytes (the first set wins: a later call changes nothing) and moves to SIGNED. Raises
        BadInput when a part has no statement."""
        ...

    async def statements(self, submission_id: str) -> tuple[SignedStatement, ...]: ...

    async def logged(self, submission_id: str, positions: Sequence[LogPosition]) -> Submission:
        """Keeps where the statements stand in the log (first call wins) and moves to LOGGED."""
        ...

    async def positions(self, submission_id: str) -> tuple[Logged, ...]: ...

    async def review(
        self, submission_id: str, review: Review, *, event: Callable[[Sequence[Review]], Event | None]
    ) -> Submission:
        """Records a review (one each; Conflict for a second) and moves on where `event` of all reviews, this one
        included, says so: in one transaction, so that two reviewers at once cannot both miss the quorum."""
        ...

    async def reviews(self, submission_id: str) -> tuple[Review, ...]: ...


class Judge(Protocol):
    async def judge(self, submission: Submission) -> Judgement:
        """Fetches, hashes, checks and decides. Raises Unavailable when it could not look (never a good verdict)."""
        ...


class Notary(Protocol):
    async def sign(self, submission: Submission, parts: Sequence[Part], at: datetime) -> list[SignedStatement]:
        """The statements of an admission, signed with the admission key: an envelope and a payload for each part."""
        ...


class AdmissionLog(Protocol):
    async def append(self, statements: Sequence[SignedStatement]) -> list[LogPosition]:
        """Appends each leaf once (a known leaf keeps its index) and waits for the checkpoint that covers all."""
        ...


class Publisher(Protocol):
    async def publish(self, submission: Submission, logged: Sequence[Logged]) -> None:
        """Makes the admitted image visible with its proofs, the tag last, reads it back. Idempotent.

        Raises Denied when the digest was revoked meanwhile; the store has then moved it to REVOKED.
        """
        ...


class Observer(Protocol):
    """Hears of every step before it is taken and after it is durable: metrics, waiting clients, tests."""

    async def before(self, step: str, submission: Submission) -> None: ...
    async def after(self, step: str, submission: Submission) -> None: ...
