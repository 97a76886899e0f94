"""The gate behind the web, in memory: accounts, records, revocations, deliveries and a log, with the rules of the real ones.

`fail` holds names of methods that raise Unavailable the next time, before any effect.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gef_registry.admission.bell import Bell
from gef_registry.admission.desk import Desk
from gef_registry.admission.ports import LogPosition, Request, Submission
from gef_registry.admission.review import Review
from gef_registry.admission.revocation import RevocationRecord, Revoker
from gef_registry.admission.rights import Account, Role
from gef_registry.admission.states import ACTIVE, Event, State, next_state
from gef_registry.errors import BadInput, Conflict, NotFound, Unavailable
from gef_registry.oci.digest import Digest
from gef_registry.web.ports import GatePorts, Health, Origin
from gef_registry.web.token import TokenIssuer
from tests.fakes.signer import Signer

START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
AUTHOR = Account("ada", Role.AUTHOR, frozenset({"seis"}))
STRANGER = Account("mallory", Role.AUTHOR, frozenset({"other"}))
REVIEWER = Account("rita", Role.REVIEWER, frozenset({"seis"}))
OTHER_REVIEWER = Account("omar", Role.REVIEWER, frozenset({"other"}))
ADMIN = Account("admin", Role.ADMIN)
ORIGIN = Origin(
    "https://gate.example.org", "gate.example.org", False, "https://gate.example.org/token", "gate.example.org"
)


POLICY = b"apiVersion: gef-registry/v1\nkind: Policy\n"


@dataclass
class Failing:
    fail: list[str] = field(default_factory=list)

    def check(self, method: str) -> None:
        if method in self.fail:
            self.fail.remove(method)
            raise Unavailable(f"{method} failed as the test asked, at /var/secret/place")


@dataclass
class MemoryAccounts:
    """A token is `gefr_<name>` or `gefa_<name>`."""

    accounts: dict[str, Account]
    failing: Failing
    asked: int = 0

    async def owner(self, token: str, *, kinds: tuple[str, ...] = ("registry", "api")) -> Account | None:
        self.failing.check("owner")
        self.asked += 1
        prefix, _, name = token.partition("_")
        kind = {"gefr": "registry", "gefa": "api"}.get(prefix)
        return self.accounts.get(name) if kind in kinds else None

    async def get(self, name: str) -> Account:
        if name not in self.accounts:
            raise NotFound(name)
        return self.accounts[name]


class MemoryRecords:
    """Submissions with what `Desk` needs to take requests and reviews."""

    def __init__(self, failing: Failing) -> None:
        self.failing = failing
        self.rows: dict[str, Submission] = {}
        self.reports: dict[Digest, bytes] = {}
        self.services: dict[str, dict[str, Any]] = {}
        self.given: dict[str, list[Review]] = {}

    def put(self, submission: Submission) -> Submission:
        self.rows[submission.id] = submission
        return submission

    async def joins(self, request: Request) -> bool:
        return self._current(request) is not None

    async def open(self, request: Request) -> Submission:
        for row in self._of_name(request):
            if row.state is State.ADMITTED and row.request.digest != request.digest:
                raise Conflict(f"{request.repository}:{request.tag} already means {row.request.digest}")
        if (current := self._current(request)) is not None:
            return current
        at = START + timedelta(minutes=len(self.rows))
        return self.put(Submission(f"s{len(self.rows) + 1:04d}", request, State.RECEIVED, at, at))

    def _of_name(self, request: Request) -> list[Submission]:
        name = (request.repository, request.tag)
        return [row for row in self.rows.values() if (row.request.repository, row.request.tag) == name]

    def _current(self, request: Request) -> Submission | None:
        same = [row for row in self._of_name(request) if row.request.digest == request.digest]
        return next((row for row in same if row.state in {*ACTIVE, State.ADMITTED}), None)

    async def get(self, submission_id: str) -> Submission:
        self.failing.check("get")
        if submission_id not in self.rows:
            raise NotFound(f"there is no submission {submission_id}")
        return self.rows[submission_id]

    async def listing(
        self,
        *,
        states: Sequence[State] = (),
        account: str | None = None,
        repository: str | None = None,
        digest: Digest | None = None,
        limit: int = 100,
    ) -> list[Submission]:
        self.failing.check("listing")
        found = [
            row
            for row in reversed(self.rows.values())
            if (not states or row.state in states)
            and account in (None, row.request.account)
            and repository in (None, row.request.repository)
            and digest in (None, row.request.digest)
        ]
        return found[:limit]

    async def queued(self, account: str) -> int:
        return sum(
            r.request.account == account and r.state in (State.RECEIVED, State.JUDGING) for r in self.rows.values()
        )

    async def reviews(self, submission_id: str) -> tuple[Review, ...]:
        return tuple(self.given.get(submission_id, ()))

    async def review(
        self, submission_id: str, review: Review, *, event: Callable[[Sequence[Review]], Event | None]
    ) -> Submission:
        row = self.rows[submission_id]
        if row.state is not State.WAITING:
            raise Conflict(f"submission {submission_id} is {row.state}; only one that is waiting can be reviewed")
        given = self.given.setdefault(submission_id, [])
        if any(earlier.reviewer == review.reviewer for earlier in given):
            raise Conflict(f"{review.reviewer} has already reviewed submission {submission_id}")
        given.append(review)
        happened = event(given)
        return self.put(replace(row, state=next_state(row.state, happened))) if happened else row

    async def report(self, digest: Digest) -> bytes:
        if digest not in self.reports:
            raise NotFound(f"there is no report {digest}")
        return self.reports[digest]

    async def service(self, submission_id: str) -> dict[str, Any] | None:
        return self.services.get(submission_id)


@cache
def _signer() -> Signer:
    """Keys are slow to make and nobody changes them."""
    return Signer()


@cache
def _token_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class MemoryLog:
    """The public log: a checkpoint, keys, one full tile, statements; positions are handed out in order."""

    def __init__(self) -> None:
        self.signer = _signer()
        self.entries: dict[Digest, list[dict[str, Any]]] = {}
        self.size = 0
        self.files: dict[str, bytes] = {
            "keys": self.signer.keyset_raw,
            "trusted_root.json": b'{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}',
            "tile/0/000": b"\0" * 32 * 256,
            "tile/entries/000.p/3": b"\0\1x" * 3,
            "statements/000": b"{}\n" * 256,
            "statements/001": b"{}\n" * 3,
            "statement/" + "ab" * 32: b'{"payload":""}',
        }

    async def __call__(self, path: str) -> bytes:
        if path == "checkpoint":
            text = f"{self.signer.origin}\n{self.size}\n{base64.b64encode(bytes(32)).decode()}\n"
            return f"{text}\n{self.signer.log_signer.sign(text)}".encode()
        if path not in self.files:
            raise NotFound(f"the log has no {path[:80]}")
        return self.files[path]

    async def proof(self, digest: Digest) -> list[dict[str, Any]]:
        if digest not in self.entries:
            raise NotFound(f"the log has nothing about {digest}")
        return self.entries[digest]

    async def append_leaf(self, leaf: bytes) -> LogPosition:
        self.size += 1
        return LogPosition(self.size - 1, (), "")

    def admit(self, submission: Submission) -> int:
        name = f"{submission.request.repository}:{submission.request.tag}"
        entry = {"kind": "admission", "name": name, "index": self.size, "statement": "ab" * 32, "proof": "…"}
        self.entries.setdefault(submission.request.digest, []).append(entry)
        self.size += 1
        return self.size - 1


class MemoryRevocations:
    def __init__(self, records: MemoryRecords) -> None:
        self.rows: dict[Digest, RevocationRecord] = {}
        self._records = records

    async def record(self, digest: Digest, *, reason: str, by: str, at: datetime, leaf: bytes) -> RevocationRecord:
        if not await self._records.listing(digest=digest):
            raise NotFound(f"{digest} was never submitted here")
        return self.rows.setdefault(digest, RevocationRecord(digest, reason, by, at, leaf, None, False))

    async def logged(self, digest: Digest, index: int) -> None:
        self.rows[digest] = replace(self.rows[digest], index=index)

    async def apply(self, digest: Digest) -> None:
        self.rows[digest] = replace(self.rows[digest], applied=True)
        for row in await self._records.listing(digest=digest):
            self._records.put(replace(row, state=State.REVOKED))

    async def unfinished(self) -> list[RevocationRecord]:
        return [row for row in self.rows.values() if not row.applied]

    async def listing(self) -> list[RevocationRecord]:
        return sorted(self.rows.values(), key=lambda row: row.at, reverse=True)


class MemoryDeliveries:
    def __init__(self, failing: Failing) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}
        self._failing = failing

    async def keep(self, sender: str, event: str, body: bytes) -> bool:
        self._failing.check("keep")
        new = (sender, event) not in self.kept
        self.kept.setdefault((sender, event), body)
        return new


class MemoryDiary:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    async def note(self, account: str, action: str, subject: str, detail: str = "") -> None:
        self.lines.append((account, action, subject))


def digest_of(word: str) -> Digest:
    return Digest.of(word.encode())


def description(name: str = "Waveform metadata", version: str = "1.0.0", **changes: Any) -> dict[str, Any]:
    """A described service, as judging records it."""
    document: dict[str, Any] = {
        "contract": "v1",
        "name": name,
        "description": "Reads a directory of miniSEED files and writes one JSON document for each, and a summary.",
        "version": version,
        "inputs": [
            {
                "number": 1,
                "name": "Waveforms",
                "description": "A directory of miniSEED files",
                "path": "/input",
                "type": "url",
                "filename": None,
                "optional": False,
                "mediatype": "application/vnd.fdsn.mseed",
            }
        ],
        "outputs": [
            {"number": 1, "name": "Metadata", "description": None, "path": "/output", "mediatype": "application/json"}
        ],
        "topics": ["http://edamontology.org/topic_3855"],
        "network": "none",
        "resources": {"cpus": 2, "memory_bytes": 2147483648, "gpus": None},
        "tests": [],
        "licence": "Apache-2.0",
        "authors": "A Seismologist",
        "source": "https://example.org/source",
        "documentation": None,
    }
    return {**document, **changes}


def finding(check: str, action: str, message: str, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "check": check,
        "severity": "high",
        "action": action,
        "message": message,
        "location": {"platform": "linux/amd64", "layer": None, "path": None},
        "remediation": "Add a USER instruction with a numeric, non-root user.",
        "references": ["https://docs.docker.com/reference/dockerfile/#user"],
        "fingerprint": "0" * 64,
        "waiver": None,
    }
    return {**document, **changes}


@dataclass
class MemoryGate:
    """Everything `GatePorts` wants, and handles to steer it."""

    origin: Origin = ORIGIN
    failing: Failing = field(default_factory=Failing)
    health: Health = field(default_factory=lambda: Health(True, ()))
    now: float = 1_800_000_000.0
    pulled: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        people = (AUTHOR, STRANGER, REVIEWER, OTHER_REVIEWER, ADMIN)
        self.accounts = MemoryAccounts({account.name: account for account in people}, self.failing)
        self.records = MemoryRecords(self.failing)
        self.log = MemoryLog()
        self.revocations = MemoryRevocations(self.records)
        self.deliveries = MemoryDeliveries(self.failing)
        self.diary = MemoryDiary()
        self.bell = Bell()
        clock: Callable[[], datetime] = lambda: START + timedelta(hours=1)  # noqa: E731
        self.desk = Desk(self.records, self.records, self.bell, clock, queue_limit=3)  # type: ignore[arg-type]
        self.revoker = Revoker(self.revocations, self.log, lambda *words: repr(words).encode(), clock)
        self.issuer = TokenIssuer(
            _token_key(),
            kid="KEY",
            certificate="AAAA",
            issuer=self.origin.public_url,
            service=self.origin.service,
            now=lambda: self.now,
        )

    async def _policy(self, digest: Digest) -> bytes:
        if digest != Digest.of(POLICY):
            raise NotFound(f"there is no policy {digest}")
        return POLICY

    @property
    def ports(self) -> GatePorts:
        return GatePorts(
            origin=self.origin,
            accounts=self.accounts,
            desk=self.desk,
            records=self.records,
            revoker=self.revoker,
            revocations=self.revocations,
            deliveries=self.deliveries,
            diary=self.diary,
            log_files=self.log,
            health=self._health,
            metrics=self._metrics,
            pull=self._pull,
            policy=self._policy,
            hook_secrets={"distribution": "the hook's secret"},
        )

    def submission(
        self,
        word: str = "image",
        state: State = State.ADMITTED,
        *,
        repository: str = "trusted/seis/waveform",
        tag: str = "1.0.0",
        account: str = AUTHOR.name,
        reasons: tuple[str, ...] = (),
        findings: Sequence[dict[str, Any]] = (),
        service: dict[str, Any] | None = None,
        logged: bool | None = None,
    ) -> Submission:
        """A judged submission with its report; an admitted one is in the log."""
        request = Request(
            repository, tag, digest_of(word), "application/vnd.oci.image.manifest.v1+json", 438, account, repository
        )
        decision = {State.DENIED: "deny", State.WAITING: "review", State.UNDECIDED: "undecided"}.get(state, "admit")
        report = self._report(request, decision, reasons or ("every check passed",), findings)
        self.records.reports[Digest.of(report)] = report
        number = len(self.records.rows) + 1
        at = START + timedelta(minutes=number)
        made = self.records.put(
            Submission(
                f"s{number:04d}",
                request,
                state,
                at,
                at,
                reasons,
                decision,
                1,
                "default",
                digest_of("policy"),
                Digest.of(report),
            )
        )
        self.records.services[made.id] = service if service is not None else description(version=tag)
        if logged or (logged is None and state is State.ADMITTED):
            self.log.admit(made)
        return made

    def _report(
        self, request: Request, decision: str, reasons: Sequence[str], findings: Sequence[dict[str, Any]]
    ) -> bytes:
        document = {
            "schema_version": "1.0",
            "subject": {
                "reference": f"{request.repository}:{request.tag}",
                "digest": str(request.digest),
                "media_type": request.media_type,
                "platforms": ["linux/amd64"],
            },
            "verdict": {"decision": decision, "reasons": list(reasons)},
            "policy": {"name": "default", "digest": str(digest_of("policy"))},
            "evaluated_at": "2026-11-22T10:00:00Z",
            "checks": [
                {"id": "USR-001", "outcome": "fail" if findings else "pass"},
                {"id": "SEC-001", "outcome": "pass"},
            ],
            "findings": list(findings),
            "tools": [{"name": "gef-registry", "version": "0.1.0", "database": None}],
            "timings": {"gather": 1.25},
        }
        return json.dumps(document, indent=2).encode()

    async def _pull(self, image: str, name: str, account: Account) -> Submission:
        self.pulled.append((image, name, account.name))
        if not image.startswith("registry.example.org/"):
            raise BadInput(f"{image} is not on a listed registry")
        repository, _, tag = name.rpartition(":")
        media_type = "application/vnd.oci.image.manifest.v1+json"
        request = Request(repository, tag, digest_of(image), media_type, 438, account.name, repository, "pull")
        return await self.desk.submit(request)

    async def _health(self) -> Health:
        return self.health

    async def _metrics(self) -> dict[str, float]:
        self.failing.check("metrics")
        return {"submissions_waiting": 2.0, "log_size": float(self.log.size), 'bad name{"': 1.0}
