"""A fresh database for each test: on disk, migrated once and copied; or in memory, when only the records matter."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.database import Database, sqlite_url
from gef_registry.store.publication import SqlPublication
from gef_registry.store.revocations import SqlRevocations
from gef_registry.store.submissions import SqlSubmissions
from tests.fakes.database import MemoryDatabase


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "gate.db"

    async def migrate() -> None:
        await (await Database.open(sqlite_url(path))).close()

    asyncio.run(migrate())
    return path


@pytest.fixture
def database_file(migrated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(migrated, tmp_path / "gate.db"))


@pytest.fixture
async def on_disk(database_file: Path) -> AsyncIterator[Database]:
    """Does not wait for the disk: no test with this pulls the plug."""
    database = await Database.open(sqlite_url(database_file))
    await database.close()

    @event.listens_for(database._engine.sync_engine, "connect")
    def hurry(connection: Any, _record: object) -> None:
        connection.cursor().execute("PRAGMA synchronous=OFF")

    yield database
    await database.close()


@pytest.fixture
def memory() -> Iterator[MemoryDatabase]:
    database = MemoryDatabase()
    yield database
    database.dispose()


@pytest.fixture
def catalogue(memory: MemoryDatabase) -> SqlCatalogue:
    return SqlCatalogue(memory)


@pytest.fixture
def submissions(memory: MemoryDatabase) -> SqlSubmissions:
    return SqlSubmissions(memory)


@pytest.fixture
def publication(memory: MemoryDatabase) -> SqlPublication:
    return SqlPublication(memory)


@pytest.fixture
def revocations(memory: MemoryDatabase) -> SqlRevocations:
    return SqlRevocations(memory)
