"""The moment an image becomes visible on the embedded registry: one transaction (P1, P4).

Before it, every row is some account's candidate; after it, the manifests, their blobs, the proofs and the tag are public.
The bytes are where they always were: content-addressed, shared by all repositories.

Only what was judged becomes public. A manifest is published as such when it is one of the submission's parts: a blob of
an image may well have the digest of somebody's candidate manifest, and then it is published as a blob, nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gef_registry.admission.ports import Submission
from gef_registry.admission.rights import PROTECTIVE_PREFIX
from gef_registry.admission.states import Event, State, next_state
from gef_registry.distribution.ports import GATE_ACCOUNT, StoredManifest
from gef_registry.errors import Conflict, Denied, NotFound, Unavailable
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.store.catalogue import stored_manifest, upsert, upsert_visible, write_manifest
from gef_registry.store.database import Database, now_text
from gef_registry.store.schema import (
    blobs,
    manifest_references,
    manifests,
    reservations,
    revocations,
    submissions,
    tags,
)

MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Proof:
    """A signature object or bundle, its bytes already stored: the manifest, what it points at, the tag it is known by."""

    manifest: StoredManifest
    references: tuple[tuple[Digest, int], ...]
    tag: str | None = None


class SqlPublication:
    """Makes admissions visible, and takes their proofs away again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, submission: Submission, parts: Sequence[Digest], proofs: Sequence[Proof]) -> None:
        """Idempotent. Raises Denied when the digest was revoked meanwhile (the submission is then REVOKED), NotFound
        when a candidate's record is missing, Conflict when the name is not this digest's or a child was never judged."""
        request = submission.request
        async with self._database.write() as connection:
            revoked = await revoked_among(connection, [str(request.digest), *map(str, parts)])
            if revoked is not None and revoked.log_index is None:
                raise Unavailable(f"{revoked.digest} is being revoked; nothing of it is published meanwhile")
            if revoked is not None:
                await _move(connection, submission.id, Event.REVOCATION)
            else:
                await self._make_public(connection, submission, parts, proofs)
        if revoked is not None:
            raise Denied(f"{revoked.digest} was revoked before it was published: {revoked.reason}")

    async def _make_public(
        self, connection: AsyncConnection, submission: Submission, parts: Sequence[Digest], proofs: Sequence[Proof]
    ) -> None:
        request = submission.request
        await _require_reservation(connection, submission)
        judged = frozenset(str(part) for part in parts)
        tree = _Tree(connection, request.held_in, request.repository, request.account, judged)
        await tree.publish(str(request.digest))
        for proof in proofs:
            await write_manifest(
                connection, request.repository, proof.manifest, GATE_ACCOUNT, proof.references, public=True
            )
            await _publish_blobs(connection, request.repository, {str(d): size for d, size in proof.references})
            if proof.tag is not None:
                await _publish_tag(connection, request.repository, proof.tag, proof.manifest.digest)
        for part in parts:
            await _publish_tag(connection, request.repository, PROTECTIVE_PREFIX + part.hex, part)
        await _publish_tag(connection, request.repository, request.tag, request.digest)
        await _move(connection, submission.id, Event.PUBLISHED)


async def _move(connection: AsyncConnection, submission_id: str, event: Event) -> None:
    state = (
        await connection.execute(select(submissions.c.state).where(submissions.c.id == submission_id))
    ).scalar_one()
    if (state, event) in ((State.ADMITTED, Event.PUBLISHED), (State.REVOKED, Event.REVOCATION)):
        return
    await connection.execute(
        update(submissions)
        .where(submissions.c.id == submission_id)
        .values(state=next_state(State(state), event), updated_at=now_text(), lease_until=None)
    )


async def _require_reservation(connection: AsyncConnection, submission: Submission) -> None:
    request = submission.request
    query = select(reservations.c.digest).where(
        reservations.c.repository == request.repository, reservations.c.tag == request.tag
    )
    holder = (await connection.execute(query)).scalar()
    if holder != str(request.digest):
        raise Conflict(f"{request.repository}:{request.tag} is reserved for {holder}, not {request.digest}")


@dataclass(frozen=True, slots=True)
class _Tree:
    """What was judged and is now copied, as records, from the candidate's repository to the trusted one."""

    connection: AsyncConnection
    source: str
    target: str
    account: str
    judged: frozenset[str]

    async def publish(self, digest: str, *, depth: int = 0) -> None:
        """A manifest and all it points at, children before the manifest itself."""
        if depth > MAX_DEPTH:
            raise Conflict(f"{digest} is nested deeper than {MAX_DEPTH} indexes")
        if digest not in self.judged:
            raise Conflict(f"{digest} was never judged: it cannot become visible in {self.target}")
        stored = await stored_manifest(self.connection, self.source, digest, account=self.account)
        references = await self._references(digest)
        if stored.media_type in media.INDEXES:
            for child in references:
                await self.publish(child, depth=depth + 1)
        else:
            await _publish_blobs(self.connection, self.target, await self._present(references))
        pairs = [(Digest.parse(name), size) for name, size in references.items()]
        await write_manifest(self.connection, self.target, stored, GATE_ACCOUNT, pairs, public=True)

    async def _references(self, digest: str) -> dict[str, int]:
        query = select(manifest_references.c.target, manifest_references.c.size).where(
            manifest_references.c.repository == self.source, manifest_references.c.digest == digest
        )
        return {row.target: row.size for row in await self.connection.execute(query)}

    async def _present(self, references: dict[str, int]) -> dict[str, int]:
        """Those that were uploaded to the candidate's repository: a layer that is said to be elsewhere may carry the
        digest of bytes that somebody else holds here, and those stay hidden."""
        query = select(blobs.c.digest).where(blobs.c.repository == self.source, blobs.c.digest.in_(references))
        found = set((await self.connection.execute(query)).scalars())
        return {name: size for name, size in references.items() if name in found}


async def _publish_blobs(connection: AsyncConnection, repository: str, sizes: dict[str, int]) -> None:
    if not sizes:
        return
    rows = [
        {
            "repository": repository,
            "digest": digest,
            "account": GATE_ACCOUNT,
            "size": size,
            "public": True,
            "created_at": now_text(),
        }
        for digest, size in sizes.items()
    ]
    await connection.execute(upsert_visible(upsert(connection, blobs), public=True), rows)


async def _publish_tag(connection: AsyncConnection, repository: str, tag: str, digest: Digest) -> None:
    """A public tag is written once: a second admission of the digest keeps the first signature object."""
    await connection.execute(
        upsert(connection, tags)
        .values(
            repository=repository,
            tag=tag,
            digest=str(digest),
            account=GATE_ACCOUNT,
            public=True,
            updated_at=now_text(),
        )
        .on_conflict_do_nothing()
    )


async def revoked_among(connection: AsyncConnection, digests: Sequence[str]) -> Row[Any] | None:
    """The first revocation on record of any of these digests."""
    query = select(revocations).where(revocations.c.digest.in_(digests)).order_by(revocations.c.at).limit(1)
    return (await connection.execute(query)).first()


async def withdraw_proofs(connection: AsyncConnection, digests: Sequence[str]) -> None:
    """Removes signature objects and bundles of digests, else stock verifiers would go on accepting them.

    An admitted image may itself name one of the digests as its subject: what has a protective tag is no proof, and stays.
    """
    admitted = select(tags.c.digest).where(
        tags.c.repository == manifests.c.repository, tags.c.tag.startswith(PROTECTIVE_PREFIX), tags.c.public.is_(True)
    )
    for digest in digests:
        signature_tag = f"{digest.replace(':', '-')}.sig"
        signatures = select(tags.c.digest).where(
            tags.c.repository == manifests.c.repository, tags.c.tag == signature_tag, tags.c.public.is_(True)
        )
        await connection.execute(
            delete(manifests).where(
                manifests.c.account == GATE_ACCOUNT,
                manifests.c.digest.not_in(admitted),
                or_(manifests.c.digest.in_(signatures), manifests.c.subject == digest),
            )
        )
        await connection.execute(delete(tags).where(tags.c.tag == signature_tag, tags.c.public.is_(True)))


async def require_known(connection: AsyncConnection, digest: str) -> None:
    """Raises NotFound for a digest nobody ever submitted here."""
    known = select(submissions.c.id).where(submissions.c.digest == digest).limit(1)
    if (await connection.execute(known)).first() is None:
        raise NotFound(f"{digest} was never submitted here", hint="only digests this gate has seen can be revoked")
