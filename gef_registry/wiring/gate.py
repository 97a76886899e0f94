"""The gate, put together: every port gets its concrete, once.

`Gate.open` recovers what a crash left and hands out what the web needs; `Gate.run` is the background work, one TaskGroup.
Order of opening: the log's lock first (a second gate on the same data stops there), then keys, records, bytes.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from gef_registry.admission.bell import Bell
from gef_registry.admission.desk import Desk
from gef_registry.admission.pipeline import Pipeline
from gef_registry.admission.ports import Observer, Submission
from gef_registry.admission.revocation import Revoker
from gef_registry.admission.worker import work
from gef_registry.distribution.blobs import BlobStore
from gef_registry.distribution.server import expire_uploads
from gef_registry.errors import GefError, Unavailable
from gef_registry.facts.limits import Limits
from gef_registry.oci.digest import Digest
from gef_registry.policy.model import Policy
from gef_registry.signing.fields import rfc3339
from gef_registry.store.accounts import SqlAccounts
from gef_registry.store.backup import signing_refusal, tree_size
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.database import Database, sqlite_url
from gef_registry.store.diary import SqlDeliveries, SqlDiary, SqlInstance
from gef_registry.store.publication import SqlPublication
from gef_registry.store.revocations import SqlRevocations
from gef_registry.store.submissions import SqlSubmissions
from gef_registry.transparency.reader import DirectoryFetch
from gef_registry.transparency.sequencer import Sequencer
from gef_registry.web.ports import Health
from gef_registry.wiring.embedded_judge import EmbeddedJudge
from gef_registry.wiring.identity import DATABASE, fixed_identity
from gef_registry.wiring.intake import Intake, IntakeConfig
from gef_registry.wiring.keyring import Keyring, open_keyring
from gef_registry.wiring.log_files import PublicLog
from gef_registry.wiring.notary import KeyNotary, SequencedLog
from gef_registry.wiring.policy_archive import PolicyArchive
from gef_registry.wiring.publisher import EmbeddedPublisher
from gef_registry.wiring.push_gate import WAIT_S, PushGate

log = logging.getLogger(__name__)

COSIGN_EVERY_S = 60.0
EXPIRE_EVERY_S = 3600.0
CLOCK_SKEW_S = 60
UPLOAD_IDLE_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class GateConfig:
    """What one gate is started with. `public_url` None means: as at the first start, a trial if that is now."""

    data: Path
    policy: Policy
    public_url: str | None = None
    database_url: str | None = None
    passphrase: bytes | None = None
    workers: int = 2
    queue_limit: int = 20
    push_wait_s: float = WAIT_S
    limits: Limits | None = None
    intake: IntakeConfig = field(default_factory=IntakeConfig)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Observers:
    """Several observers as one."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    async def before(self, step: str, submission: Submission) -> None:
        for observer in self._observers:
            await observer.before(step, submission)

    async def after(self, step: str, submission: Submission) -> None:
        for observer in self._observers:
            await observer.after(step, submission)


class StepLog:
    """One line for each step, for operators."""

    async def before(self, step: str, submission: Submission) -> None:
        log.debug("%s: %s", submission.id, step)

    async def after(self, step: str, submission: Submission) -> None:
        request = submission.request
        log.info("%s: %s done: %s:%s is %s", submission.id, step, request.repository, request.tag, submission.state)


def _lock(data: Path) -> IO[bytes]:
    """One gate for each data directory: taken before anything is read, migrated or made. Raises Unavailable."""
    file = (data / "gate.lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise Unavailable(f"another gate is running on {data}", hint="stop it first, or use another --data") from error
    return file


def _refuse_lost_records(config: GateConfig) -> None:
    """An empty database beside a log with entries would forget which names are taken. Raises Unavailable."""
    path = config.data / DATABASE
    lost = not path.exists() or path.stat().st_size == 0
    if config.database_url is None and lost and tree_size(config.data) > 0:
        raise Unavailable(
            f"{path} is missing or empty, but the log beside it has entries",
            hint="restore a backup with 'gef-registry restore'; a new database would forget every name",
        )


class Gate:
    """An open gate. Use as an async context manager; attributes are the parts that the web and the commands use."""

    def __init__(self, config: GateConfig, keyring: Keyring, database: Database, sequencer: Sequencer) -> None:
        self.config = config
        self.keyring = keyring
        self.database = database
        self.sequencer = sequencer
        self._closing = AsyncExitStack()
        # Where links in answers lead: the public URL, except in a trial, which is wherever it listens.
        self.base_url = keyring.keyset.verifier_id
        self.bell = Bell()
        self.accounts = SqlAccounts(database)
        self.catalogue = SqlCatalogue(database)
        self.submissions = SqlSubmissions(database)
        self.revocations = SqlRevocations(database)
        self.deliveries = SqlDeliveries(database)
        self.diary = SqlDiary(database)
        self.blobs = BlobStore(config.data)
        self.policies = PolicyArchive(config.data / "policies")
        self.log_files = PublicLog(DirectoryFetch(config.data / "log"), sequencer, keyring, self.submissions)
        self.desk = Desk(
            self.submissions,
            self.submissions,
            self.bell,
            utc_now,
            queue_limit=config.queue_limit,
            reviewers=self.accounts,
        )
        self.intake = Intake(config.intake, self.blobs, self.catalogue, self.desk, self.deliveries)
        self._notary = KeyNotary(keyring, policy_uri=self._policy_uri, trial=self.trial, refuse=self.refusal)
        self._log = SequencedLog(sequencer, self.refusal)
        self.revoker = Revoker(self.revocations, self._log, self._notary.revocation, utc_now)
        self.push_gate = PushGate(self.desk, self.submission_url, wait_s=config.push_wait_s, refuse_work=self.refusal)

    @classmethod
    async def open(cls, config: GateConfig) -> Self:
        """Raises Unavailable (locked, damaged, full), VerificationFailed (keys or log), Conflict (another public URL)."""
        async with AsyncExitStack() as stack:
            config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            stack.push_async_callback(asyncio.to_thread, _lock(config.data).close)
            _refuse_lost_records(config)
            database = await Database.open(config.database_url or sqlite_url(config.data / DATABASE))
            stack.push_async_callback(database.close)
            identity, first = await fixed_identity(SqlInstance(database), config.public_url)
            keyring = open_keyring(
                config.data / "keys",
                identity,
                now=int(time.time()),
                may_create=first or not (config.data / "log").exists(),
                passphrase=config.passphrase,
            )
            sequencer = await Sequencer.open(
                config.data / "log", identity.log_origin, keyring.log_signer(), keyring.cosigner(), time.time
            )
            stack.push_async_callback(sequencer.close)
            gate = cls(config, keyring, database, sequencer)
            await gate.policies.keep(config.policy)
            released = await gate.submissions.release_all()
            if released:
                log.info("%d submissions go on where the last run left them", released)
            gate._closing = stack.pop_all()
            return gate

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.blobs.close)
        await self._closing.aclose()

    @property
    def trial(self) -> bool:
        return self.keyring.keyset.log_origin == "localhost"

    def pipeline(self, *observers: Observer) -> Pipeline:
        judge = EmbeddedJudge(self.blobs, self.config.policy, self.config.data / "cache", utc_now, self.config.limits)
        publisher = EmbeddedPublisher(
            self.blobs, self.catalogue, SqlPublication(self.database), self.submissions, self.keyring
        )
        watching = Observers(StepLog(), self.bell, *observers)
        return Pipeline(self.submissions, judge, self._notary, self._log, publisher, watching, utc_now)

    async def run(self, *observers: Observer) -> None:
        """The background work, until cancelled."""
        pipeline = self.pipeline(*observers)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._every(COSIGN_EVERY_S, "cosigning the checkpoint", self._cosign))
            tasks.create_task(self._every(COSIGN_EVERY_S, "finishing revocations", self.revoker.resume))
            tasks.create_task(self._every(EXPIRE_EVERY_S, "removing idle uploads", self._expire))
            tasks.create_task(self.intake.run())
            for _ in range(self.config.workers):
                tasks.create_task(work(pipeline, self.submissions, self.bell))

    def refusal(self) -> str | None:
        """Why nothing is signed now; None when all is well."""
        return signing_refusal(self.config.data) or self._clock_set_back()

    def _clock_set_back(self) -> str | None:
        """What was cosigned is proof of a later time; admissions and revocations dated before it would be wrong."""
        seen, now = self.sequencer.cosigned_at() or 0, time.time()
        if now >= seen - CLOCK_SKEW_S:
            return None
        return (
            f"this machine's clock was set back: it says {rfc3339(int(now))}, the log was cosigned at {rfc3339(seen)}; "
            "nothing is signed until it is right"
        )

    def submission_url(self, submission: Submission) -> str:
        return f"{self.base_url}/submissions/{submission.id}"

    async def health(self) -> Health:
        problems = [reason] if (reason := self.refusal()) else []
        try:
            async with asyncio.timeout(5):
                await self.catalogue.counts()
        except (GefError, TimeoutError) as error:
            problems.append(f"database: {error or 'no answer within 5 s'}")
        return Health(not problems, tuple(problems))

    async def metrics(self) -> dict[str, float]:
        """Gauges by name."""
        rows = await self.catalogue.counts()
        figures = {f"registry_{name}": float(count) for name, count in rows.items()}
        figures["log_size"] = float(self.sequencer.size())
        figures["log_cosigned_at"] = float(self.sequencer.cosigned_at() or 0)
        for state, count in (await self.submissions.counts()).items():
            figures[f"submissions_{state}"] = float(count)
        return figures

    def _policy_uri(self, digest: Digest) -> str:
        return f"{self.keyring.keyset.verifier_id}/api/v1/policies/{digest}"

    async def _cosign(self) -> None:
        if self.refusal() is not None:
            return  # a restored gate vouches for no time either
        await self.sequencer.refresh_cosignature()

    async def _expire(self) -> None:
        ended = await expire_uploads(self.blobs, self.catalogue, UPLOAD_IDLE_S)
        if ended:
            log.info("%d idle uploads removed", ended)

    async def _every(self, period_s: float, what: str, action: Callable[[], Awaitable[Any]]) -> None:
        while True:
            try:
                await action()
            except Unavailable as error:
                log.warning("%s: %s", what, error)
            except Exception:
                # One duty that fails must not end the others.
                log.exception("%s failed", what)
            await asyncio.sleep(period_s)
