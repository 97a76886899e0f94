"""Small records: the instance's fixed facts, webhook deliveries, and the gate's diary of who did what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, or_, select, update

from gef_registry.store.catalogue import upsert
from gef_registry.store.database import Database, now_text
from gef_registry.store.schema import deliveries, events, instance


class SqlInstance:
    """Facts fixed at the first start: the first value of a key wins."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fix(self, key: str, value: str) -> str:
        """Keeps `value` unless the key has one; returns what holds."""
        async with self._database.write() as connection:
            await connection.execute(upsert(connection, instance).values(key=key, value=value).on_conflict_do_nothing())
            return str((await connection.execute(select(instance.c.value).where(instance.c.key == key))).scalar_one())

    async def get(self, key: str) -> str | None:
        async with self._database.read() as connection:
            return (await connection.execute(select(instance.c.value).where(instance.c.key == key))).scalar()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook delivery that waits to be acted upon."""

    id: int
    sender: str
    event: str
    body: bytes
    attempts: int = 0


class SqlDeliveries:
    """Webhook deliveries: stored before they are answered, each event once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, sender: str, event: str, body: bytes) -> bool:
        """True if this event is new; durable on return."""
        async with self._database.write() as connection:
            result = await connection.execute(
                upsert(connection, deliveries)
                .values(sender=sender, event=event, body=body, received_at=now_text())
                .on_conflict_do_nothing()
            )
        return bool(result.rowcount)

    async def waiting(self, limit: int = 50) -> list[Delivery]:
        """The oldest first, without those that were put off until later."""
        due = or_(deliveries.c.not_before.is_(None), deliveries.c.not_before <= now_text())
        query = select(deliveries).where(deliveries.c.done_at.is_(None), due).order_by(deliveries.c.id).limit(limit)
        async with self._database.read() as connection:
            return [
                Delivery(r.id, r.sender, r.event, bytes(r.body), r.attempts) for r in await connection.execute(query)
            ]

    async def put_off(self, delivery_id: int, seconds: float) -> None:
        """It is looked at again after so many seconds."""
        until = now_text(datetime.now(UTC) + timedelta(seconds=seconds))
        async with self._database.write() as connection:
            await connection.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery_id)
                .values(not_before=until, attempts=deliveries.c.attempts + 1)
            )

    async def done(self, delivery_id: int, outcome: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery_id)
                .values(done_at=now_text(), outcome=outcome[:1000])
            )


class SqlDiary:
    """Who did what, in order; append-only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, account: str, action: str, subject: str, detail: str = "") -> None:
        async with self._database.write() as connection:
            await connection.execute(
                insert(events).values(
                    at=now_text(), account=account, action=action, subject=subject[:500], detail=detail[:2000]
                )
            )

    async def latest(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest first, as plain documents."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(events).order_by(events.c.id.desc()).limit(limit))
            return [dict(row._mapping) for row in rows]
