"""Reading what was submitted, judged and reviewed; nothing here changes anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gef_registry.admission.ports import Logged, Part, Request, SignedStatement, Submission
from gef_registry.admission.review import Review
from gef_registry.admission.states import ACTIVE, State
from gef_registry.errors import NotFound
from gef_registry.oci.digest import Digest
from gef_registry.store.database import Database
from gef_registry.store.rows import part_of, position_of, review_of, statement_of, submission_of
from gef_registry.store.schema import reports, reservations, reviews, revocations, statements, submissions


class SubmissionRecords:
    """The reading half of `admission.ports.Submissions`, and what pages and metrics ask."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, submission_id: str) -> Submission:
        async with self._database.read() as connection:
            return submission_of(await row_of(connection, submission_id))

    async def listing(
        self,
        *,
        states: Sequence[State] = (),
        account: str | None = None,
        repository: str | None = None,
        digest: Digest | None = None,
        limit: int = 100,
    ) -> list[Submission]:
        """The newest first."""
        query = select(submissions).order_by(submissions.c.number.desc()).limit(limit)
        if states:
            query = query.where(submissions.c.state.in_(list(states)))
        if account is not None:
            query = query.where(submissions.c.account == account)
        if repository is not None:
            query = query.where(submissions.c.repository == repository)
        if digest is not None:
            query = query.where(submissions.c.digest == str(digest))
        async with self._database.read() as connection:
            return [submission_of(row) for row in await connection.execute(query)]

    async def counts(self) -> dict[str, int]:
        """How many submissions there are in each state, for metrics."""
        query = select(submissions.c.state, func.count()).group_by(submissions.c.state)
        async with self._database.read() as connection:
            found = {row[0]: int(row[1]) for row in await connection.execute(query)}
        return {state.value: found.get(state.value, 0) for state in State}

    async def queued(self, account: str) -> int:
        """How many submissions of an account wait for a judge or are being judged."""
        query = (
            select(func.count())
            .select_from(submissions)
            .where(submissions.c.account == account, submissions.c.state.in_([State.RECEIVED, State.JUDGING]))
        )
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def joins(self, request: Request) -> bool:
        """Whether `open` would join a submission that is there, and so add no work."""
        async with self._database.read() as connection:
            return await current_of(connection, request) is not None

    async def admitted(self, repository: str, tag: str) -> Digest | None:
        async with self._database.read() as connection:
            held = await holder_of(connection, repository, tag)
        return Digest.parse(held) if held else None

    async def parts(self, submission_id: str) -> tuple[Part, ...]:
        async with self._database.read() as connection:
            row = await row_of(connection, submission_id)
        return tuple(part_of(document) for document in json.loads(row.parts))

    async def statements(self, submission_id: str) -> tuple[SignedStatement, ...]:
        async with self._database.read() as connection:
            rows = await statement_rows(connection, submission_id)
        return tuple(statement_of(row) for row in rows)

    async def positions(self, submission_id: str) -> tuple[Logged, ...]:
        async with self._database.read() as connection:
            rows = await statement_rows(connection, submission_id)
        return tuple(Logged(statement_of(row), position_of(row)) for row in rows)

    async def reviews(self, submission_id: str) -> tuple[Review, ...]:
        async with self._database.read() as connection:
            return await reviews_of(connection, submission_id)

    async def logged_leaves(self, digest: Digest) -> list[tuple[str, str, bytes, int]]:
        """What the log says of a digest: kind (`admission`, `revocation`), name, leaf and log index, oldest first."""
        admissions = (
            select(submissions.c.repository, submissions.c.tag, statements.c.leaf, statements.c.log_index)
            .join(submissions, submissions.c.id == statements.c.submission)
            .where(statements.c.part == str(digest), statements.c.kind == "dsse", statements.c.log_index.is_not(None))
        )
        ended = select(revocations.c.leaf, revocations.c.log_index).where(
            revocations.c.digest == str(digest), revocations.c.log_index.is_not(None)
        )
        async with self._database.read() as connection:
            found = [
                ("admission", f"{row.repository}:{row.tag}", bytes(row.leaf), row.log_index)
                for row in await connection.execute(admissions)
            ]
            found += [("revocation", "", bytes(row.leaf), row.log_index) for row in await connection.execute(ended)]
        return sorted(found, key=lambda leaf: leaf[3])

    async def report(self, digest: Digest) -> bytes:
        """A judgement's report. Raises NotFound."""
        async with self._database.read() as connection:
            body = (await connection.execute(select(reports.c.body).where(reports.c.digest == str(digest)))).scalar()
        if body is None:
            raise NotFound(f"there is no report {digest}")
        return bytes(body)

    async def service(self, submission_id: str) -> dict[str, Any] | None:
        """The described service of a judged submission."""
        async with self._database.read() as connection:
            row = await row_of(connection, submission_id)
        return json.loads(row.service) if row.service else None


async def holder_of(connection: AsyncConnection, repository: str, tag: str) -> str | None:
    query = select(reservations.c.digest).where(reservations.c.repository == repository, reservations.c.tag == tag)
    return (await connection.execute(query)).scalar()


async def current_of(connection: AsyncConnection, request: Request) -> Row[Any] | None:
    """The submission of this digest under this name that is under way, or that was admitted."""
    query = (
        select(submissions)
        .where(
            submissions.c.repository == request.repository,
            submissions.c.tag == request.tag,
            submissions.c.digest == str(request.digest),
            submissions.c.state.in_([*ACTIVE, State.ADMITTED]),
        )
        .order_by(submissions.c.number.desc())
    )
    return (await connection.execute(query.limit(1))).first()


async def reviews_of(connection: AsyncConnection, submission_id: str) -> tuple[Review, ...]:
    query = select(reviews).where(reviews.c.submission == submission_id).order_by(reviews.c.at, reviews.c.reviewer)
    return tuple(review_of(row) for row in await connection.execute(query))


async def row_of(connection: AsyncConnection, submission_id: str) -> Row[Any]:
    row = (await connection.execute(select(submissions).where(submissions.c.id == submission_id))).first()
    if row is None:
        raise NotFound(f"there is no submission {submission_id[:80]!r}")
    return row


async def statement_rows(connection: AsyncConnection, submission_id: str) -> Sequence[Row[Any]]:
    query = select(statements).where(statements.c.submission == submission_id).order_by(statements.c.position)
    return (await connection.execute(query)).all()
