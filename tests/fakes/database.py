"""The records on a real SQLite in memory, without a thread between: quick enough for property tests, and able to fail.

`fail_at(n)` lets the n-th statement of the next writing transaction fail as a crash would: nothing of it stays.
`lose_answer()` lets the next writing transaction commit and then fail: its effect is there, its caller never learns.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import Connection
from sqlalchemy.pool import StaticPool

from gef_registry.errors import Unavailable
from gef_registry.store.database import Database
from gef_registry.store.schema import metadata


@functools.cache
def _schema() -> sqlite3.Connection:
    """An empty database with all tables, made once and copied."""
    connection = sqlite3.connect(":memory:")
    engine = create_engine("sqlite://", poolclass=StaticPool, creator=lambda: connection)
    metadata.create_all(engine)
    return connection


class MemoryConnection:
    """What the store uses of an AsyncConnection."""

    def __init__(self, connection: Connection, database: MemoryDatabase, *, writes: bool) -> None:
        self._connection = connection
        self._database = database
        self._writes = writes
        self.dialect = connection.dialect

    async def execute(self, *words: Any) -> Any:
        if self._writes:
            self._database.count()
        return self._connection.execute(*words)


class MemoryDatabase(Database):
    """One connection; transactions never overlap, since nothing in them waits."""

    def __init__(self) -> None:
        self._memory = create_engine("sqlite://", poolclass=StaticPool)
        self._reader = self._memory.connect()
        _schema().backup(self._reader.connection.dbapi_connection)
        self._fail_at: int | None = None
        self._lose = False
        self.statements = 0

    def fail_at(self, statement: int) -> None:
        self._fail_at = statement

    def lose_answer(self) -> None:
        self._lose = True

    def count(self) -> None:
        self.statements += 1
        if self._fail_at is not None and self.statements >= self._fail_at:
            self._fail_at = None
            raise Unavailable("the database failed, as the test asked")

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Any]:
        self.statements = 0
        with self._memory.begin() as connection:
            yield MemoryConnection(connection, self, writes=True)
        if self._lose:
            self._lose = False
            raise Unavailable("the answer was lost, as the test asked")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Any]:
        yield MemoryConnection(self._reader, self, writes=False)

    async def close(self) -> None:
        self.dispose()

    def dispose(self) -> None:
        self._reader.close()
        self._memory.dispose()
