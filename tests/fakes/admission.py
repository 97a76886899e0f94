"""The pipeline's ports around a real store: a judge, a notary, a log and a publisher that can fail before or after their effect.

Each takes its next fault from a script: `Fault.BEFORE` fails without an effect, `Fault.AFTER` with it, None works. A script
that is used up means that everything works.
"""

from __future__ import annotations

import enum
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from gef_registry.admission.ports import Judgement, Logged, LogPosition, Part, Request, SignedStatement, Submission
from gef_registry.admission.states import Event
from gef_registry.distribution.ports import StoredManifest
from gef_registry.errors import Unavailable
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.publication import Proof, SqlPublication

T = TypeVar("T")
REPOSITORY = "trusted/demo/wave"
AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Fault(enum.Enum):
    BEFORE = "before"
    AFTER = "after"


class Script:
    """Which of the next calls fail, and when."""

    def __init__(self, faults: Iterable[Fault | None] = ()) -> None:
        self.faults = deque(faults)

    async def run(self, effect: Callable[[], Awaitable[T]]) -> T:
        fault = self.faults.popleft() if self.faults else None
        if fault is Fault.BEFORE:
            raise Unavailable("failed before its effect, as the test asked")
        answer = await effect()
        if fault is Fault.AFTER:
            raise Unavailable("failed after its effect, as the test asked")
        return answer


def digest(word: str) -> Digest:
    return Digest.of(word.encode())


def request(word: str = "image", **changes: Any) -> Request:
    """Ada's request to admit `digest(word)` as trusted/demo/wave:1.0."""
    base = Request(
        repository=REPOSITORY,
        tag="1.0",
        digest=digest(word),
        media_type=media.OCI_MANIFEST,
        size=len(word),
        account="ada",
        held_in=REPOSITORY,
    )
    return replace(base, **changes)


def judgement(subject: Digest, event: Event = Event.PASSED, *children: Digest, approvals: int = 0) -> Judgement:
    """What judging came to: the subject's statement, and one for each child when it is an index."""
    decision = {Event.PASSED: "admit", Event.NEEDS_REVIEW: "review", Event.REFUSED: "deny"}.get(event, "undecided")
    root = Part(subject, media.OCI_INDEX if children else media.OCI_MANIFEST, 100)
    parts = (root, *(Part(child, media.OCI_MANIFEST, 50, digest(f"config of {child}")) for child in children))
    return Judgement(
        event=event,
        decision=decision,
        reasons=() if event is Event.PASSED else (f"because of {decision}",),
        approvals=approvals,
        policy_name="default",
        policy_digest=digest("policy"),
        report=f"report of {subject}".encode(),
        service={"name": "wave"},
        parts=parts,
    )


def statements(parts: Iterable[Digest], edition: str = "") -> list[SignedStatement]:
    """Two for each part, as a notary makes them; another `edition` has other bytes, as other signatures have."""
    return [
        SignedStatement(
            kind, part, f"{kind} {part}".encode(), f"leaf {kind} {part} {edition}".encode(), edition.encode()
        )
        for part in parts
        for kind in ("dsse", "cosign")
    ]


def positions(count: int, first: int = 0) -> list[LogPosition]:
    return [LogPosition(first + n, (bytes([n]) * 32,), f"checkpoint {first + count}") for n in range(count)]


class FakeJudge:
    """Says `event` of whatever it is shown."""

    def __init__(self, script: Script, event: Event = Event.PASSED, children: tuple[Digest, ...] = ()) -> None:
        self.script = script
        self.event = event
        self.children = children
        self.calls = 0

    async def judge(self, submission: Submission) -> Judgement:
        self.calls += 1

        async def effect() -> Judgement:
            return judgement(submission.request.digest, self.event, *self.children)

        return await self.script.run(effect)


class FakeNotary:
    """No two of its signatures are equal, as with ECDSA."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._editions = itertools.count()

    async def sign(self, submission: Submission, parts: Sequence[Part], at: datetime) -> list[SignedStatement]:
        async def effect() -> list[SignedStatement]:
            return statements([part.digest for part in parts], f"edition {next(self._editions)}")

        return await self.script.run(effect)


class FakeLog:
    """An append-only list in which a known leaf keeps its index."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.leaves: list[bytes] = []

    async def append(self, signed: Sequence[SignedStatement]) -> list[LogPosition]:
        async def effect() -> list[LogPosition]:
            return [self._place(item.leaf) for item in signed]

        return await self.script.run(effect)

    async def append_leaf(self, leaf: bytes) -> LogPosition:
        async def effect() -> LogPosition:
            return self._place(leaf)

        return await self.script.run(effect)

    def _place(self, leaf: bytes) -> LogPosition:
        if leaf not in self.leaves:
            self.leaves.append(leaf)
        return LogPosition(self.leaves.index(leaf), (b"h" * 32,), f"checkpoint {len(self.leaves)}")


def proofs(logged: Sequence[Logged]) -> list[Proof]:
    """A `.sig` object for each payload and a bundle referrer for each envelope, made of their bytes alone."""
    made = []
    for item in logged:
        statement = item.statement
        name = Digest.of(statement.leaf + b" manifest")
        bundle = statement.kind == "dsse"
        made.append(
            Proof(
                StoredManifest(
                    name,
                    media.OCI_MANIFEST,
                    10,
                    artifact_type=media.SIGSTORE_BUNDLE if bundle else None,
                    subject=statement.part if bundle else None,
                ),
                ((Digest.of(statement.leaf), len(statement.leaf)),),
                None if bundle else f"sha256-{statement.part.hex}.sig",
            )
        )
    return made


class FakePublisher:
    """The real transaction of visibility, around which it can fail."""

    def __init__(self, script: Script, publication: SqlPublication) -> None:
        self.script = script
        self._publication = publication
        self.before_publishing: Callable[[], Awaitable[None]] | None = None

    async def publish(self, submission: Submission, logged: Sequence[Logged]) -> None:
        if self.before_publishing is not None:
            await self.before_publishing()
        parts = list(dict.fromkeys(item.statement.part for item in logged))

        async def effect() -> None:
            await self._publication.publish(submission, parts, proofs(logged))

        await self.script.run(effect)


class FaultySubmissions:
    """Any store of submissions, each of whose methods follows the script."""

    def __init__(self, inner: Any, script: Script) -> None:
        self._inner = inner
        self.script = script

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*words: Any, **options: Any) -> Any:
            return await self.script.run(lambda: method(*words, **options))

        return call


@dataclass(frozen=True, slots=True)
class Image:
    """An image pushed as candidates: its manifest, configuration and layer, and the children of an index."""

    digest: Digest
    children: tuple[Digest, ...]
    blobs: tuple[Digest, ...]


async def push(
    catalogue: SqlCatalogue,
    word: str,
    *,
    children: Sequence[str] = (),
    repository: str = REPOSITORY,
    account: str = "ada",
    subject: Digest | None = None,
) -> Image:
    """What a client's push leaves in the records before any tag."""
    if children:
        pushed = [await push(catalogue, child, repository=repository, account=account) for child in children]
        references = tuple((image.digest, len(child)) for image, child in zip(pushed, children, strict=True))
        stored = StoredManifest(digest(word), media.OCI_INDEX, len(word), subject=subject)
        await catalogue.put_manifest(repository, stored, account, references)
        return Image(
            digest(word), tuple(image.digest for image in pushed), tuple(b for image in pushed for b in image.blobs)
        )
    content = (digest(f"{word} config"), digest(f"{word} layer"))
    for blob in content:
        await catalogue.link_blob(repository, blob, 7, account)
    stored = StoredManifest(digest(word), media.OCI_MANIFEST, len(word), subject=subject)
    await catalogue.put_manifest(repository, stored, account, tuple((blob, 7) for blob in content))
    return Image(digest(word), (), content)
