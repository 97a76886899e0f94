"""The embedded registry's records: uploads, and who may see which blob, manifest and tag (`distribution.ports.Catalogue`).

P1 lives in one expression, `_visible`: public, or the viewer's own, or a candidate the viewer reviews.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, delete, false, func, insert, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert_postgresql
from sqlalchemy.dialects.sqlite import insert as upsert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gef_registry.admission.states import ACTIVE
from gef_registry.distribution.ports import StoredManifest, Upload, Viewer
from gef_registry.errors import Conflict, Denied, NotFound
from gef_registry.oci.digest import Digest
from gef_registry.store.database import Database, now_text
from gef_registry.store.schema import (
    blobs,
    manifest_references,
    manifests,
    reservations,
    revocations,
    submissions,
    tags,
    uploads,
)


def upsert(connection: AsyncConnection, table: Table) -> Any:
    """`INSERT ... ON CONFLICT`, in the dialect's words."""
    return upsert_sqlite(table) if connection.dialect.name == "sqlite" else upsert_postgresql(table)


def upsert_visible(statement: Any, *, public: bool) -> Any:
    """For `blobs` and `manifests`: a row that is there is kept; publishing makes it public, nothing hides it again."""
    if not public:
        return statement.on_conflict_do_nothing()
    return statement.on_conflict_do_update(index_elements=["repository", "digest", "account"], set_={"public": True})


class SqlCatalogue:
    """See `distribution.ports.Catalogue` for what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_upload(self, repository: str, account: str) -> Upload:
        upload = Upload(secrets.token_urlsafe(24), repository, account, 0)
        async with self._database.write() as connection:
            await connection.execute(
                insert(uploads).values(
                    id=upload.id, repository=repository, account=account, offset=0, touched_at=now_text()
                )
            )
        return upload

    async def upload(self, upload_id: str) -> Upload | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(uploads).where(uploads.c.id == upload_id))).first()
        return Upload(row.id, row.repository, row.account, row.offset) if row else None

    async def record_offset(self, upload_id: str, offset: int) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                update(uploads).where(uploads.c.id == upload_id).values(offset=offset, touched_at=now_text())
            )

    async def remove_upload(self, upload_id: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(delete(uploads).where(uploads.c.id == upload_id))

    async def count_uploads(self, account: str) -> int:
        async with self._database.read() as connection:
            query = select(func.count()).select_from(uploads).where(uploads.c.account == account)
            return int((await connection.execute(query)).scalar_one())

    async def idle_uploads(self, before: str) -> list[str]:
        async with self._database.read() as connection:
            return list((await connection.execute(select(uploads.c.id).where(uploads.c.touched_at < before))).scalars())

    async def link_blob(self, repository: str, digest: Digest, size: int, account: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                upsert(connection, blobs)
                .values(
                    repository=repository,
                    digest=str(digest),
                    account=account,
                    size=size,
                    public=False,
                    created_at=now_text(),
                )
                .on_conflict_do_nothing()
            )

    async def blob_size(self, repository: str, digest: Digest, viewer: Viewer) -> int | None:
        query = select(blobs.c.size).where(
            blobs.c.repository == repository, blobs.c.digest == str(digest), _visible(blobs, repository, viewer)
        )
        async with self._database.read() as connection:
            return (await connection.execute(query.limit(1))).scalar()

    async def unlink_blob(self, repository: str, digest: Digest, viewer: Viewer) -> bool:
        async with self._database.write() as connection:
            await _refuse_needed(connection, repository, str(digest))
            result = await connection.execute(
                delete(blobs).where(
                    blobs.c.repository == repository, blobs.c.digest == str(digest), _own(blobs, repository, viewer)
                )
            )
        return bool(result.rowcount)

    async def put_manifest(
        self, repository: str, stored: StoredManifest, account: str, references: tuple[tuple[Digest, int], ...]
    ) -> None:
        async with self._database.write() as connection:
            await write_manifest(connection, repository, stored, account, references, public=False)

    async def manifest(self, repository: str, reference: str | Digest, viewer: Viewer) -> StoredManifest | None:
        async with self._database.read() as connection:
            if isinstance(reference, str):
                digest = await self._tagged_digest(connection, repository, reference, viewer)
                if digest is None:
                    return None
            else:
                digest = str(reference)
            query = select(manifests).where(
                manifests.c.repository == repository,
                manifests.c.digest == digest,
                _visible(manifests, repository, viewer),
            )
            row = (await connection.execute(query.limit(1))).first()
        return _stored(row) if row else None

    async def _tagged_digest(
        self, connection: AsyncConnection, repository: str, tag: str, viewer: Viewer
    ) -> str | None:
        row = (
            await connection.execute(
                select(tags.c.digest, revocations.c.reason, revocations.c.at)
                .select_from(tags.outerjoin(revocations, _ended(tags)))
                .where(tags.c.repository == repository, tags.c.tag == tag, _visible(tags, repository, viewer))
            )
        ).first()
        if row is None:
            return None
        if row.reason is not None and repository.startswith("trusted/"):
            raise Denied(f"{repository}:{tag} ({row.digest}) was revoked on {row.at[:10]}: {row.reason}")
        return str(row.digest)

    async def put_tag(self, repository: str, tag: str, digest: Digest, account: str) -> None:
        values = {"digest": str(digest), "account": account, "public": False, "updated_at": now_text()}
        async with self._database.write() as connection:
            statement = upsert(connection, tags).values(repository=repository, tag=tag, **values)
            result = await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["repository", "tag"], set_=values, where=tags.c.public.is_(False)
                )
            )
            if not result.rowcount:
                raise Conflict(f"{repository}:{tag} is admitted; a trusted name never changes")

    async def delete_tag(self, repository: str, tag: str, viewer: Viewer) -> bool:
        async with self._database.write() as connection:
            result = await connection.execute(
                delete(tags).where(tags.c.repository == repository, tags.c.tag == tag, _own(tags, repository, viewer))
            )
        return bool(result.rowcount)

    async def delete_manifest(self, repository: str, digest: Digest, viewer: Viewer) -> bool:
        async with self._database.write() as connection:
            await _refuse_needed(connection, repository, str(digest))
            result = await connection.execute(
                delete(manifests).where(
                    manifests.c.repository == repository,
                    manifests.c.digest == str(digest),
                    _own(manifests, repository, viewer),
                )
            )
            await connection.execute(
                delete(tags).where(
                    tags.c.repository == repository, tags.c.digest == str(digest), _own(tags, repository, viewer)
                )
            )
            left = select(manifests.c.digest).where(
                manifests.c.repository == repository, manifests.c.digest == str(digest)
            )
            await connection.execute(
                delete(manifest_references).where(
                    manifest_references.c.repository == repository,
                    manifest_references.c.digest == str(digest),
                    ~left.exists(),
                )
            )
        return bool(result.rowcount)

    async def tags(self, repository: str, viewer: Viewer) -> list[str] | None:
        async with self._database.read() as connection:
            query = select(tags.c.tag).where(tags.c.repository == repository, _visible(tags, repository, viewer))
            names = sorted((await connection.execute(query)).scalars(), key=str.encode)
            if names:
                return names
            known = await connection.execute(
                select(manifests.c.digest)
                .where(manifests.c.repository == repository, _visible(manifests, repository, viewer))
                .limit(1)
            )
            return [] if known.first() else None

    async def repositories(self, viewer: Viewer) -> list[str]:
        async with self._database.read() as connection:
            query = select(manifests.c.repository).where(_visible_anywhere(manifests, viewer)).distinct()
            return sorted((await connection.execute(query)).scalars(), key=str.encode)

    async def referrers(self, repository: str, subject: Digest, viewer: Viewer) -> list[StoredManifest]:
        query = (
            select(manifests)
            .where(
                manifests.c.repository == repository,
                manifests.c.subject == str(subject),
                _visible(manifests, repository, viewer),
            )
            .order_by(manifests.c.created_at, manifests.c.digest)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return list({row.digest: _stored(row) for row in rows}.values())

    async def holder(self, repository: str, tag: str) -> Digest | None:
        """The digest a trusted name is reserved for, for ever."""
        async with self._database.read() as connection:
            row = (
                await connection.execute(
                    select(reservations.c.digest).where(
                        reservations.c.repository == repository, reservations.c.tag == tag
                    )
                )
            ).first()
        return Digest.parse(row.digest) if row else None

    async def known_blobs(self) -> set[str]:
        """Every digest some record speaks of, for finding orphans and for scrubbing."""
        async with self._database.read() as connection:
            found: set[str] = set()
            for column in (blobs.c.digest, manifests.c.digest, manifest_references.c.target):
                found.update((await connection.execute(select(column).distinct())).scalars())
        return found

    async def counts(self) -> dict[str, int]:
        """Rows of each kind, for metrics."""
        async with self._database.read() as connection:
            return {
                table.name: int((await connection.execute(select(func.count()).select_from(table))).scalar_one())
                for table in (blobs, manifests, tags, uploads)
            }


async def write_manifest(
    connection: AsyncConnection,
    repository: str,
    stored: StoredManifest,
    account: str,
    references: Sequence[tuple[Digest, int]],
    *,
    public: bool,
) -> None:
    """Records a manifest and what it points at, within the caller's transaction. What is public stays public."""
    values = {
        "repository": repository,
        "digest": str(stored.digest),
        "account": account,
        "media_type": stored.media_type,
        "size": stored.size,
        "artifact_type": stored.artifact_type,
        "subject": str(stored.subject) if stored.subject else None,
        "annotations": json.dumps(dict(stored.annotations), sort_keys=True),
        "public": public,
        "created_at": now_text(),
    }
    await connection.execute(upsert_visible(upsert(connection, manifests).values(**values), public=public))
    if references:
        rows = [
            {"repository": repository, "digest": str(stored.digest), "target": str(target), "size": size}
            for target, size in dict(references).items()
        ]
        await connection.execute(upsert(connection, manifest_references).on_conflict_do_nothing(), rows)


async def _refuse_needed(connection: AsyncConnection, repository: str, digest: str) -> None:
    """Raises Conflict for what a submission still needs: a candidate is held until it is decided (and published)."""
    wanted, seen = {digest}, {digest}
    while wanted:
        held = select(submissions.c.id).where(
            submissions.c.held_in == repository,
            submissions.c.digest.in_(wanted),
            submissions.c.state.in_(list(ACTIVE)),
        )
        holder = (await connection.execute(held.limit(1))).scalar()
        if holder is not None:
            raise Conflict(
                f"{repository}@{digest} is part of submission {holder}, which is not decided yet",
                hint="delete it when the submission has ended",
            )
        parents = select(manifest_references.c.digest).where(
            manifest_references.c.repository == repository, manifest_references.c.target.in_(wanted)
        )
        wanted = set((await connection.execute(parents)).scalars()) - seen
        seen |= wanted


async def stored_manifest(
    connection: AsyncConnection, repository: str, digest: str, *, account: str = ""
) -> StoredManifest:
    """A manifest's record whoever holds it, the account's own before others (they may say another media type for the
    same bytes). Raises NotFound."""
    query = (
        select(manifests)
        .where(manifests.c.repository == repository, manifests.c.digest == digest)
        .order_by((manifests.c.account == account).desc(), manifests.c.account)
    )
    row = (await connection.execute(query.limit(1))).first()
    if row is None:
        raise NotFound(f"{repository} has no manifest {digest}")
    return _stored(row)


def _stored(row: Any) -> StoredManifest:
    return StoredManifest(
        digest=Digest.parse(row.digest),
        media_type=row.media_type,
        size=row.size,
        artifact_type=row.artifact_type,
        subject=Digest.parse(row.subject) if row.subject else None,
        annotations=json.loads(row.annotations),
    )


def _visible(table: Table, repository: str, viewer: Viewer) -> ColumnElement[bool]:
    if viewer.reviews_repository(repository):
        return true()
    own = table.c.account == viewer.account if viewer.account is not None else false()
    return or_(table.c.public.is_(True), own)


def _visible_anywhere(table: Table, viewer: Viewer) -> ColumnElement[bool]:
    if "" in viewer.reviews:
        return true()
    own = [table.c.account == viewer.account] if viewer.account is not None else []
    reviewed = [table.c.repository.startswith(prefix, autoescape=True) for prefix in viewer.reviews]
    return or_(table.c.public.is_(True), *own, *reviewed)


def _ended(table: Table) -> ColumnElement[bool]:
    """The row's digest has a revocation that is in the log already (nothing has an effect before it is logged)."""
    return and_(revocations.c.digest == table.c.digest, revocations.c.log_index.is_not(None))


def _own(table: Table, repository: str, viewer: Viewer) -> ColumnElement[bool]:
    """What the viewer may take away: its own candidates, all candidates for who reviews them, never what is public."""
    return and_(table.c.public.is_(False), _visible(table, repository, viewer))
