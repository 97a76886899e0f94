"""What the web needs from the rest. Handlers see these and never the store, Docker or a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gef_registry.admission.desk import Desk
from gef_registry.admission.ports import Submission
from gef_registry.admission.review import Review
from gef_registry.admission.revocation import RevocationRecord, Revoker
from gef_registry.admission.rights import Account
from gef_registry.admission.states import State
from gef_registry.oci.digest import Digest


class Accounts(Protocol):
    async def owner(self, token: str, *, kinds: tuple[str, ...] = ("registry", "api")) -> Account | None:
        """Whose token this is, if it is valid now."""
        ...

    async def get(self, name: str) -> Account:
        """Raises NotFound."""
        ...


class Records(Protocol):
    """Reading what was submitted, judged and revoked."""

    async def get(self, submission_id: str) -> Submission: ...
    async def listing(
        self,
        *,
        states: Sequence[State] = (),
        account: str | None = None,
        repository: str | None = None,
        digest: Digest | None = None,
        limit: int = 100,
    ) -> list[Submission]: ...
    async def reviews(self, submission_id: str) -> tuple[Review, ...]: ...
    async def report(self, digest: Digest) -> bytes: ...
    async def service(self, submission_id: str) -> dict[str, Any] | None: ...


class Revocations(Protocol):
    async def listing(self) -> list[RevocationRecord]: ...


class Deliveries(Protocol):
    async def keep(self, sender: str, event: str, body: bytes) -> bool:
        """True if this event is new; durable on return."""
        ...


class Diary(Protocol):
    async def note(self, account: str, action: str, subject: str, detail: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the gate is. `public_url` is fixed at the first start; `name` stands in signed names; a trial is `localhost`.

    `realm` is the address clients are sent to for tokens; it is never taken from a request.
    """

    public_url: str
    name: str
    trial: bool
    realm: str
    service: str


@dataclass(frozen=True, slots=True)
class Health:
    """`ready` is False when work cannot be accepted; `problems` say why, for the operator."""

    ready: bool
    problems: tuple[str, ...]


class LogFiles(Protocol):
    """The public log: what lies under `/log/`. Raises NotFound."""

    async def __call__(self, path: str) -> bytes:
        """`checkpoint`, `tile/…`, `statements/N`, `statement/<64 hex>`, `keys`, `trusted_root.json`."""
        ...

    async def proof(self, digest: Digest) -> list[dict[str, Any]]:
        """Every admission and revocation of a digest: log index, c2sp.org/tlog-proof text, statement id."""
        ...


PolicyBytes = Callable[[Digest], Awaitable[bytes]]  # raises NotFound
PullRequest = Callable[[str, str, Account], Awaitable[Submission]]


@dataclass(frozen=True, slots=True)
class GatePorts:
    """All of it, handed to `app.build_app` by the wiring."""

    origin: Origin
    accounts: Accounts
    desk: Desk
    records: Records
    revoker: Revoker
    revocations: Revocations
    deliveries: Deliveries
    diary: Diary
    log_files: LogFiles
    health: Callable[[], Awaitable[Health]]
    metrics: Callable[[], Awaitable[dict[str, float]]]
    pull: PullRequest
    policy: PolicyBytes
    hook_secrets: dict[str, str]
