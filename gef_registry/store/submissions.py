"""Submissions and everything that is decided about them (`admission.ports.Submissions`).

Each method is one transaction that checks the recorded state before it changes it, so that two workers, or one worker
twice, cannot both take a step.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gef_registry.admission.ports import Judgement, LogPosition, Request, SignedStatement, Submission
from gef_registry.admission.review import Review
from gef_registry.admission.states import RUNNABLE, Event, State, next_state
from gef_registry.errors import BadInput, Conflict, Denied, Unavailable
from gef_registry.store.catalogue import upsert
from gef_registry.store.database import now_text
from gef_registry.store.publication import revoked_among
from gef_registry.store.rows import (
    part_document,
    require_parts,
    require_statements,
    submission_of,
)
from gef_registry.store.schema import reports, reservations, reviews, statements, submissions
from gef_registry.store.submission_records import (
    SubmissionRecords,
    current_of,
    holder_of,
    reviews_of,
    row_of,
    statement_rows,
)

MAX_FAILURES = 5


class SqlSubmissions(SubmissionRecords):
    """See `admission.ports.Submissions` for what each method promises."""

    async def open(self, request: Request) -> Submission:
        async with self._database.write() as connection:
            await _refuse_revoked(connection, request)
            await _refuse_taken(connection, request)
            row = await current_of(connection, request)
            if row is None:
                row = await _insert(connection, request)
        return submission_of(row)

    async def require_open(self, request: Request) -> None:
        async with self._database.read() as connection:
            await _refuse_revoked(connection, request)
            await _refuse_taken(connection, request)

    async def claim(self, *, lease_s: float) -> Submission | None:
        now = datetime.now(UTC)
        free = or_(submissions.c.lease_until.is_(None), submissions.c.lease_until < now_text(now))
        async with self._database.write() as connection:
            row = (
                await connection.execute(
                    select(submissions)
                    .where(submissions.c.state.in_([*RUNNABLE, State.JUDGING]), free)
                    .order_by(submissions.c.number)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                )
            ).first()
            if row is None:
                return None
            values: dict[str, Any] = {"lease_until": now_text(now + timedelta(seconds=lease_s))}
            if row.state == State.RECEIVED:
                values["state"] = next_state(State.RECEIVED, Event.CLAIMED)
            return await _change(connection, row.id, **values)

    async def renew(self, submission_id: str, *, lease_s: float) -> None:
        until = now_text(datetime.now(UTC) + timedelta(seconds=lease_s))
        async with self._database.write() as connection:
            await connection.execute(
                update(submissions).where(submissions.c.id == submission_id).values(lease_until=until)
            )

    async def release(self, submission_id: str, *, retry_s: float = 0.0, failure: str | None = None) -> None:
        """Ends the lease; nobody claims it again for `retry_s` seconds. JUDGING goes back to RECEIVED, or, after too many
        failures to judge, to UNDECIDED with the last one as the reason."""
        until = now_text(datetime.now(UTC) + timedelta(seconds=retry_s)) if retry_s else None
        async with self._database.write() as connection:
            row = await row_of(connection, submission_id)
            values: dict[str, Any] = {"lease_until": until}
            if row.state == State.JUDGING:
                failures = row.failures + (failure is not None)
                given_up = failures >= MAX_FAILURES
                event = Event.NOT_DECIDED if given_up else Event.RELEASED
                values |= {"state": next_state(State.JUDGING, event), "failures": failures}
                if given_up:
                    reason = f"it could not be judged, {failures} times; the last time: {failure}"
                    values |= {"decision": "undecided", "reasons": json.dumps([reason]), "lease_until": None}
            await _change(connection, submission_id, **values)

    async def release_all(self) -> int:
        """At the start of the only process on this database: leases of its dead predecessor end. Returns how many."""
        async with self._database.write() as connection:
            judging = await connection.execute(
                update(submissions)
                .where(submissions.c.state == State.JUDGING)
                .values(state=next_state(State.JUDGING, Event.RELEASED), lease_until=None)
            )
            others = await connection.execute(
                update(submissions).where(submissions.c.lease_until.is_not(None)).values(lease_until=None)
            )
        return judging.rowcount + others.rowcount

    async def judged(self, submission_id: str, judgement: Judgement) -> Submission:
        async with self._database.write() as connection:
            row = await row_of(connection, submission_id)
            require_parts(row, judgement)
            judgement = await _without_revoked_parts(connection, judgement)
            await connection.execute(
                upsert(connection, reports)
                .values(digest=str(judgement.report_digest), body=judgement.report)
                .on_conflict_do_nothing()
            )
            return await _change(
                connection,
                submission_id,
                state=next_state(State(row.state), judgement.event),
                reasons=json.dumps(judgement.reasons),
                decision=judgement.decision,
                approvals=judgement.approvals,
                policy_name=judgement.policy_name,
                policy_digest=str(judgement.policy_digest),
                report_digest=str(judgement.report_digest),
                service=json.dumps(dict(judgement.service)) if judgement.service is not None else None,
                parts=json.dumps([part_document(part) for part in judgement.parts]),
            )

    async def reserve(self, submission_id: str) -> Submission:
        async with self._database.write() as connection:
            row = await row_of(connection, submission_id)
            if row.state != State.APPROVED:
                return submission_of(row)
            if await revoked_among(connection, [row.digest, *_part_digests(row)]) is not None:
                state = next_state(State.APPROVED, Event.REVOCATION)
                return await _change(connection, row.id, state=state, lease_until=None)
            await connection.execute(
                upsert(connection, reservations)
                .values(
                    repository=row.repository,
                    tag=row.tag,
                    digest=row.digest,
                    submission=row.id,
                    reserved_at=now_text(),
                )
                .on_conflict_do_nothing()
            )
            holder = await holder_of(connection, row.repository, row.tag)
            if holder == row.digest:
                return await _change(connection, row.id, state=next_state(State.APPROVED, Event.NAME_RESERVED))
            reason = f"{row.repository}:{row.tag} already means {holder}; a trusted name never changes"
            return await _change(
                connection,
                row.id,
                state=next_state(State.APPROVED, Event.NAME_TAKEN),
                reasons=json.dumps([reason]),
                lease_until=None,
            )

    async def signed(self, submission_id: str, signed: Sequence[SignedStatement]) -> Submission:
        async with self._database.write() as connection:
            row = await row_of(connection, submission_id)
            if row.state != State.RESERVED:
                return submission_of(row)
            require_statements(row, signed)
            for position, item in enumerate(signed):
                await connection.execute(
                    insert(statements).values(
                        submission=row.id,
                        position=position,
                        kind=item.kind,
                        part=str(item.part),
                        statement=item.statement,
                        leaf=item.leaf,
                        signature=item.signature,
                    )
                )
            return await _change(connection, row.id, state=next_state(State.RESERVED, Event.STATEMENTS_SIGNED))

    async def logged(self, submission_id: str, positions: Sequence[LogPosition]) -> Submission:
        async with self._database.write() as connection:
            row = await row_of(connection, submission_id)
            if row.state != State.SIGNED:
                return submission_of(row)
            if len(positions) != len(await statement_rows(connection, submission_id)):
                raise BadInput(
                    f"{len(positions)} places in the log for the statements of {submission_id}: not one each"
                )
            for position, logged in enumerate(positions):
                await connection.execute(
                    update(statements)
                    .where(statements.c.submission == row.id, statements.c.position == position)
                    .values(log_index=logged.index, proof=b"".join(logged.proof), checkpoint=logged.checkpoint)
                )
            return await _change(connection, row.id, state=next_state(State.SIGNED, Event.STATEMENTS_LOGGED))

    async def review(
        self, submission_id: str, review: Review, *, event: Callable[[Sequence[Review]], Event | None]
    ) -> Submission:
        async with self._database.write() as connection:
            row = await row_of(connection, submission_id)
            if row.state != State.WAITING:
                raise Conflict(f"submission {submission_id} is {row.state}; only one that is waiting can be reviewed")
            try:
                await connection.execute(
                    insert(reviews).values(
                        submission=submission_id,
                        reviewer=review.reviewer,
                        opinion=review.opinion,
                        comment=review.comment,
                        at=now_text(review.at),
                    )
                )
            except IntegrityError as error:
                raise Conflict(f"{review.reviewer} has already reviewed submission {submission_id}") from error
            follows = event(await reviews_of(connection, submission_id))
            if follows is None:
                return submission_of(row)
            values: dict[str, Any] = {"state": next_state(State.WAITING, follows), "lease_until": None}
            if follows is Event.REJECTION:
                values["reasons"] = json.dumps([f"rejected by {review.reviewer}: {review.comment}"])
            return await _change(connection, submission_id, **values)


async def _refuse_revoked(connection: AsyncConnection, request: Request) -> None:
    row = await revoked_among(connection, [str(request.digest)])
    if row is not None and row.log_index is None:
        raise Unavailable(f"{request.digest} is being revoked")
    if row is not None:
        raise Denied(f"{request.digest} was revoked on {row.at[:10]}: {row.reason}", hint="push a corrected version")


async def _without_revoked_parts(connection: AsyncConnection, judgement: Judgement) -> Judgement:
    """A revoked image does not come back inside an index: such a judgement becomes a refusal."""
    if judgement.event not in (Event.PASSED, Event.NEEDS_REVIEW):
        return judgement
    row = await revoked_among(connection, [str(part.digest) for part in judgement.parts])
    if row is None:
        return judgement
    reason = f"{row.digest}, which is part of it, was revoked on {row.at[:10]}: {row.reason}"
    return replace(judgement, event=Event.REFUSED, decision="deny", reasons=(reason, *judgement.reasons), approvals=0)


def _part_digests(row: Row[Any]) -> list[str]:
    return [document["digest"] for document in json.loads(row.parts)]


async def _refuse_taken(connection: AsyncConnection, request: Request) -> None:
    holder = await holder_of(connection, request.repository, request.tag)
    if holder is not None and holder != str(request.digest):
        raise Conflict(
            f"{request.repository}:{request.tag} already means {holder}; a trusted name never changes",
            hint="push it under a new tag",
        )


async def _insert(connection: AsyncConnection, request: Request) -> Row[Any]:
    number = int((await connection.execute(select(func.coalesce(func.max(submissions.c.number), 0)))).scalar_one()) + 1
    submission_id = f"s{number}-{secrets.token_hex(4)}"
    now = now_text()
    await connection.execute(
        insert(submissions).values(
            id=submission_id,
            number=number,
            repository=request.repository,
            tag=request.tag,
            digest=str(request.digest),
            media_type=request.media_type,
            size=request.size,
            account=request.account,
            held_in=request.held_in,
            source=request.source,
            state=State.RECEIVED,
            created_at=now,
            updated_at=now,
        )
    )
    return await row_of(connection, submission_id)


async def _change(connection: AsyncConnection, submission_id: str, **values: Any) -> Submission:
    await connection.execute(
        update(submissions).where(submissions.c.id == submission_id).values(updated_at=now_text(), **values)
    )
    return submission_of(await row_of(connection, submission_id))
