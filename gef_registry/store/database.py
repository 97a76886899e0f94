"""One database: connections, transactions, and the one place where a driver's errors become ours.

SQLite runs in WAL mode with `synchronous=FULL`: what a transaction promised survives a power cut. Writers take the write
lock at once (`BEGIN IMMEDIATE`), so that a read followed by a write in one transaction cannot be overtaken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gef_registry.errors import Unavailable
from gef_registry.store.migrate import check_whole, upgrade

log = logging.getLogger(__name__)
BUSY_TIMEOUT_MS = 20_000
READERS = 4


def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def now_text(at: datetime | None = None) -> str:
    """A time as it is stored: UTC, microseconds, sorts as text."""
    return (at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds")


class Database:
    """Readers in a small pool; writers one after another within a process, and by the database's lock between them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = asyncio.Lock()
        self._sqlite = engine.dialect.name == "sqlite"

    @classmethod
    async def open(cls, url: str) -> Database:
        """Migrates when needed (a copy is made first) and opens. Raises Unavailable: corrupt, locked, full, or newer
        than this program."""
        parsed = make_url(url)
        path = Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None
        if path is not None:
            await asyncio.to_thread(_prepare, path)
        database = cls(_engine(url))
        try:
            async with database.write() as connection:
                await connection.run_sync(upgrade, path)
        except BaseException:
            await database.close()
            raise
        return database

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that holds the write lock; durable when the block ends without an exception."""
        async with self._writing:
            with _translated(self._engine):
                async with self._engine.connect() as connection:
                    if self._sqlite:
                        await connection.execution_options(gef_write=True)
                    async with connection.begin():
                        yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A consistent snapshot."""
        with _translated(self._engine):
            async with self._engine.connect() as connection, connection.begin():
                yield connection

    async def close(self) -> None:
        await self._engine.dispose()


def _prepare(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"the directory {path.parent} cannot be made: {error.strerror}") from error
    check_whole(path)


def _engine(url: str) -> AsyncEngine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_async_engine(url, pool_size=READERS, pool_pre_ping=True)
    engine = create_async_engine(url, pool_size=READERS, max_overflow=READERS)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "trusted_schema=OFF",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        writing = connection.get_execution_options().get("gef_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


class _translated:
    """Turns the driver's exceptions into Unavailable; lets ours pass."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._where = engine.url.database or engine.url.host or "the database"

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, DBAPIError):
            raise Unavailable(*_explain(self._where, error)) from error
        if isinstance(error, SQLAlchemyError):
            raise Unavailable(f"{self._where}: {type(error).__name__}") from error


def _explain(where: str, error: DBAPIError) -> tuple[str]:
    text = str(error.orig).splitlines()[0][:200] if error.orig else type(error).__name__
    if "disk is full" in text:
        return (f"{where}: the disk is full; free some space and try again",)
    if "malformed" in text or "not a database" in text:
        return (f"{where} is damaged ({text}); restore a backup with 'gef-registry restore'",)
    if isinstance(error, OperationalError) and "locked" in text:
        return (f"{where} stayed locked by another process for {BUSY_TIMEOUT_MS / 1000:.0f} s; try again",)
    return (f"{where}: {text}",)
