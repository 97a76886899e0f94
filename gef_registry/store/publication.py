"""The moment an image becomes visible on the embedded registry: one transaction (P1, P4).

Before it, every row is some account's candidate; after it, the manifests, their blobs, the proofs and the tag are public.
The bytes are where they always were: content-addressed, shared by all repositories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gef_registry.admission.ports import Submission
from gef_registry.admission.rights import PROTECTIVE_PREFIX
from gef_registry.admission.states import Event, State, next_state
from gef_registry.distribution.ports import GATE_ACCOUNT, StoredManifest
from gef_registry.errors import Conflict, Denied, NotFound
from gef_registry.oci.digest import Digest
from gef_registry.store.catalogue import stored_manifest, upsert, write_manifest
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
        when a candidate's record is missing, Conflict when the name is not this digest's."""
        request = submission.request
        async with self._database.write() as connection:
            revoked = await _revocation_reason(connection, request.digest)
            if revoked is not None:
                await _move(connection, submission.id, Event.REVOCATION)
            else:
                await self._make_public(connection, submission, parts, proofs)
        if revoked is not None:
            raise Denied(f"{request.digest} was revoked before it was published: {revoked}")

    async def _make_public(
        self, connection: AsyncConnection, submission: Submission, parts: Sequence[Digest], proofs: Sequence[Proof]
    ) -> None:
        request = submission.request
        await _require_reservation(connection, submission)
        await _publish_tree(connection, request.held_in, request.repository, str(request.digest))
        for proof in proofs:
            await write_manifest(
                connection, request.repository, proof.manifest, GATE_ACCOUNT, proof.references, public=True
            )
            await _publish_blobs(connection, request.repository, [(str(d), size) for d, size in proof.references])
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
    if state == State.ADMITTED and event is Event.PUBLISHED:
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


async def _publish_tree(connection: AsyncConnection, source: str, target: str, digest: str, *, depth: int = 0) -> None:
    """A manifest and all it points at, children before the manifest itself."""
    if depth > MAX_DEPTH:
        raise Conflict(f"{digest} is nested deeper than {MAX_DEPTH} indexes")
    stored = await stored_manifest(connection, source, digest)
    query = select(manifest_references.c.target, manifest_references.c.size).where(
        manifest_references.c.repository == source, manifest_references.c.digest == digest
    )
    references = [(row.target, row.size) for row in await connection.execute(query)]
    children = await _which_are_manifests(connection, source, [name for name, _ in references])
    for child in children:
        await _publish_tree(connection, source, target, child, depth=depth + 1)
    await _publish_blobs(connection, target, [(name, size) for name, size in references if name not in children])
    pairs = [(Digest.parse(name), size) for name, size in references]
    await write_manifest(connection, target, stored, GATE_ACCOUNT, pairs, public=True)


async def _which_are_manifests(connection: AsyncConnection, repository: str, names: list[str]) -> set[str]:
    query = select(manifests.c.digest).where(manifests.c.repository == repository, manifests.c.digest.in_(names))
    return set((await connection.execute(query)).scalars())


async def _publish_blobs(connection: AsyncConnection, repository: str, pairs: Sequence[tuple[str, int]]) -> None:
    if not pairs:
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
        for digest, size in pairs
    ]
    await connection.execute(upsert(connection, blobs).on_conflict_do_nothing(), rows)


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


async def _revocation_reason(connection: AsyncConnection, digest: Digest) -> str | None:
    return (await connection.execute(select(revocations.c.reason).where(revocations.c.digest == str(digest)))).scalar()


async def withdraw_proofs(connection: AsyncConnection, digests: Sequence[str]) -> None:
    """Removes signature objects and bundles of digests, else stock verifiers would go on accepting them."""
    for digest in digests:
        signature_tag = f"{digest.replace(':', '-')}.sig"
        query = select(tags.c.repository, tags.c.digest).where(tags.c.tag == signature_tag, tags.c.public.is_(True))
        for row in (await connection.execute(query)).all():
            await connection.execute(
                delete(manifests).where(
                    manifests.c.repository == row.repository,
                    manifests.c.digest == row.digest,
                    manifests.c.account == GATE_ACCOUNT,
                )
            )
        await connection.execute(delete(tags).where(tags.c.tag == signature_tag, tags.c.public.is_(True)))
        await connection.execute(
            delete(manifests).where(manifests.c.subject == digest, manifests.c.account == GATE_ACCOUNT)
        )


async def require_known(connection: AsyncConnection, digest: str) -> None:
    """Raises NotFound for a digest nobody ever submitted here."""
    known = select(submissions.c.id).where(submissions.c.digest == digest).limit(1)
    if (await connection.execute(known)).first() is None:
        raise NotFound(f"{digest} was never submitted here", hint="only digests this gate has seen can be revoked")
