"""Revocations on record (`admission.revocation.Revocations`). A row, once written, stays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gef_registry.admission.revocation import RevocationRecord
from gef_registry.admission.states import TRANSITIONS, Event, State
from gef_registry.oci.digest import Digest
from gef_registry.store.catalogue import upsert
from gef_registry.store.database import Database, now_text
from gef_registry.store.publication import require_known, withdraw_proofs
from gef_registry.store.schema import revocations, submissions

_REVOCABLE = [state for state, event in TRANSITIONS if event is Event.REVOCATION]


class SqlRevocations:
    """See the port for what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, digest: Digest, *, reason: str, by: str, at: datetime, leaf: bytes) -> RevocationRecord:
        async with self._database.write() as connection:
            await require_known(connection, str(digest))
            await connection.execute(
                upsert(connection, revocations)
                .values(digest=str(digest), reason=reason, by=by, at=now_text(at), leaf=leaf, applied=False)
                .on_conflict_do_nothing()
            )
            query = select(revocations).where(revocations.c.digest == str(digest))
            return _record((await connection.execute(query)).one())

    async def logged(self, digest: Digest, index: int) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                update(revocations).where(revocations.c.digest == str(digest)).values(log_index=index)
            )

    async def apply(self, digest: Digest) -> None:
        async with self._database.write() as connection:
            query = select(revocations).where(revocations.c.digest == str(digest))
            record = _record((await connection.execute(query)).one())
            ended = await _parts(connection, submissions.c.digest == str(digest))
            live = await _parts(
                connection, (submissions.c.digest != str(digest)) & (submissions.c.state == State.ADMITTED)
            )
            await withdraw_proofs(connection, sorted({str(digest)} | (ended - live)))
            await connection.execute(
                update(submissions)
                .where(submissions.c.digest == str(digest), submissions.c.state.in_(_REVOCABLE))
                .values(
                    state=State.REVOKED,
                    reasons=json.dumps([f"revoked by {record.by} on {record.at:%Y-%m-%d}: {record.reason}"]),
                    updated_at=now_text(),
                    lease_until=None,
                )
            )
            await connection.execute(
                update(revocations).where(revocations.c.digest == str(digest)).values(applied=True)
            )

    async def unfinished(self) -> Sequence[RevocationRecord]:
        async with self._database.read() as connection:
            query = select(revocations).where(revocations.c.applied.is_(False)).order_by(revocations.c.at)
            return [_record(row) for row in await connection.execute(query)]

    async def listing(self) -> list[RevocationRecord]:
        """All revocations, the newest first."""
        async with self._database.read() as connection:
            query = select(revocations).order_by(revocations.c.at.desc())
            return [_record(row) for row in await connection.execute(query)]


async def _parts(connection: AsyncConnection, which: ColumnElement[bool]) -> set[str]:
    """The digests of all parts of the submissions that `which` picks."""
    rows = await connection.execute(select(submissions.c.parts).where(which))
    return {document["digest"] for parts in rows.scalars() for document in json.loads(parts)}


def _record(row: Any) -> RevocationRecord:
    return RevocationRecord(
        digest=Digest.parse(row.digest),
        reason=row.reason,
        by=row.by,
        at=datetime.fromisoformat(row.at),
        leaf=bytes(row.leaf),
        index=row.log_index,
        applied=bool(row.applied),
    )
