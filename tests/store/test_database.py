"""The database as a file: migrated with a copy, refused when newer or damaged, translated when locked or full; P6."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, text

from gef_registry.errors import Unavailable
from gef_registry.store import database as database_module
from gef_registry.store import migrate
from gef_registry.store.accounts import SqlAccounts
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.database import Database, sqlite_url
from gef_registry.store.diary import SqlInstance
from gef_registry.store.schema import uploads
from tests.parts.require import require

SECOND = """
from alembic import op
import sqlalchemy as sa
revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None
def upgrade():
    op.add_column("instance", sa.Column("note", sa.Text))
    {then}
def downgrade():
    raise NotImplementedError
"""


@pytest.fixture
def next_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program with one more migration; the answer is its folder of migrations."""
    folder = tmp_path / "next" / "migrations"
    shutil.copytree(Path(migrate.__file__).parent / "migrations", folder)
    (folder / "versions" / "0002_second.py").write_text(SECOND.format(then="pass"))
    monkeypatch.setattr(migrate, "__file__", str(tmp_path / "next" / "migrate.py"))
    return folder


async def test_a_new_database_gets_the_schema_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "gate.db"
    for expected in ("first", "first"):
        database = await Database.open(sqlite_url(path))
        assert await SqlInstance(database).fix("name", expected) == "first"
        assert await SqlInstance(database).fix("name", "second") == "first"
        await database.close()
    assert [entry.name for entry in path.parent.glob("*.before-*")] == []


async def test_what_a_transaction_promised_is_on_the_disk(database_file: Path) -> None:
    database = await Database.open(sqlite_url(database_file))
    async with database.read() as connection:
        settings = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
        }
    await database.close()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "trusted_schema": 0}


async def test_a_copy_is_made_before_the_schema_changes(database_file: Path, next_program: Path) -> None:
    database = await Database.open(sqlite_url(database_file))
    async with database.write() as connection:
        await connection.execute(text("UPDATE instance SET note = 'new'"))
    await database.close()
    copy = database_file.with_name("gate.db.before-0002")
    with closing(sqlite3.connect(copy)) as old:
        assert old.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        assert "note" not in [row[1] for row in old.execute("PRAGMA table_info(instance)")]


async def test_a_migration_that_fails_changes_nothing(database_file: Path, next_program: Path) -> None:
    broken = SECOND.format(then="op.execute('SELECT * FROM no_such_table')")
    (next_program / "versions" / "0002_second.py").write_text(broken)
    with pytest.raises(Unavailable, match="no such table"):
        await Database.open(sqlite_url(database_file))
    with closing(sqlite3.connect(database_file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        assert "note" not in [row[1] for row in connection.execute("PRAGMA table_info(instance)")]


async def test_a_database_of_a_newer_program_is_refused_by_name(database_file: Path) -> None:
    with closing(sqlite3.connect(database_file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
        connection.commit()
    with pytest.raises(Unavailable, match=r"gate\.db has schema 0099, this program knows up to 0001") as refused:
        await Database.open(sqlite_url(database_file))
    assert "newer gef-registry" in str(refused.value.hint)


@pytest.mark.parametrize("damage", ["truncated", "random", "header", "middle"])
async def test_a_damaged_file_is_named_with_the_way_back(database_file: Path, damage: str) -> None:
    content = bytearray(database_file.read_bytes())
    noise = random.Random(1)
    if damage == "truncated":
        del content[len(content) // 2 :]
    elif damage == "random":
        content = bytearray(noise.randbytes(8192))
    elif damage == "header":
        content[:16] = b"not a database.."
    else:
        content[4096:12288] = noise.randbytes(8192)
    database_file.write_bytes(content)
    with pytest.raises(Unavailable, match=r"gate\.db is damaged") as refused:
        await Database.open(sqlite_url(database_file))
    assert "gef-registry restore" in str(refused.value)


async def test_a_file_that_is_damaged_while_in_use_is_named_too(database_file: Path) -> None:
    database = await Database.open(sqlite_url(database_file))
    await database.close()
    database_file.write_bytes(b"x" * 8192)
    with pytest.raises(Unavailable, match=r"damaged.*gef-registry restore"):
        await SqlCatalogue(database).count_uploads("ada")
    await database.close()


async def test_a_path_with_odd_characters_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "100% #1" / "gate.db"
    database = await Database.open(sqlite_url(path))
    await database.close()
    await (await Database.open(sqlite_url(path))).close()
    migrate.copy_database(path, path.with_name("copy of it#2.db"))
    assert sorted(p.name for p in path.parent.glob("*.db")) == ["copy of it#2.db", "gate.db"]


async def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be made"):
        await Database.open(sqlite_url(tmp_path / "file" / "gate.db"))


async def test_a_lock_that_stays_is_told_as_such(database_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 20)
    database = await Database.open(sqlite_url(database_file))
    with migrate.writes_held(database_file):
        with pytest.raises(Unavailable, match="stayed locked by another process"):
            await SqlCatalogue(database).create_upload("staging/demo/wave", "ada")
        assert await SqlCatalogue(database).count_uploads("ada") == 0, "reading goes on"
    await SqlCatalogue(database).create_upload("staging/demo/wave", "ada")
    await database.close()


async def test_writers_wait_for_each_other(on_disk: Database) -> None:
    accounts = SqlAccounts(on_disk)
    tokens = await asyncio.gather(*(SqlCatalogue(on_disk).create_upload("r", "ada") for _ in range(30)))
    assert len({token.id for token in tokens}) == 30
    assert await SqlCatalogue(on_disk).count_uploads("ada") == 30
    assert await accounts.all() == []


async def test_an_exception_in_the_middle_of_a_transaction_takes_all_of_it_back(on_disk: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with on_disk.write() as connection:
            await connection.execute(text("INSERT INTO instance (key, value) VALUES ('a', 'b')"))
            raise ZeroDivisionError
    assert await SqlInstance(on_disk).get("a") is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Two megabytes."""
    directory = tmp_path / "small"
    directory.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", directory], capture_output=True
        ).returncode
    )
    require("a small disk", mounted, "mounting a tmpfs needs root", obtainable=False)
    yield directory
    subprocess.run(["umount", "-l", directory], check=True)


@pytest.mark.real
async def test_a_full_disk_loses_nothing_and_the_gate_goes_on_when_there_is_room(small_disk: Path) -> None:
    database = await Database.open(sqlite_url(small_disk / "gate.db"))
    catalogue = SqlCatalogue(database)
    kept = [(await catalogue.create_upload("staging/demo/wave", "ada")).id for _ in range(10)]
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(Unavailable, match=r"disk|full") as refused:
        while len(kept) < 3000:
            kept.append((await catalogue.create_upload("staging/demo/wave", "ada")).id)
    assert "gate.db" in str(refused.value)
    assert await catalogue.count_uploads("ada") == len(kept)
    ballast.unlink()
    kept.append((await catalogue.create_upload("staging/demo/wave", "ada")).id)
    await database.close()
    database = await Database.open(sqlite_url(small_disk / "gate.db"))
    async with database.read() as connection:
        assert set((await connection.execute(select(uploads.c.id))).scalars()) == set(kept)
    await database.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.database import Database, sqlite_url

async def write():
    catalogue = SqlCatalogue(await Database.open(sqlite_url(Path(sys.argv[1]))))
    while True:
        print((await catalogue.create_upload("r", "ada")).id, flush=True)

asyncio.run(write())
"""


@pytest.mark.slow
async def test_every_acknowledged_record_is_there_after_a_kill(database_file: Path) -> None:
    """P6, ten times in a row on the same database."""
    acknowledged: set[str] = set()
    noise = random.Random(6)
    for _ in range(10):
        child = subprocess.Popen([sys.executable, "-c", WRITER, database_file], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        with child.stdout:
            for _ in range(noise.randrange(1, 30)):
                acknowledged.add(child.stdout.readline().strip())
            child.send_signal(signal.SIGKILL)
            acknowledged.update(line.strip() for line in child.stdout if line.endswith("\n"))
        child.wait()
        database = await Database.open(sqlite_url(database_file))
        async with database.read() as connection:
            there = set((await connection.execute(select(uploads.c.id))).scalars())
        await database.close()
        assert acknowledged <= there
        # One more may have been committed whose answer was cut off.
        assert len(there - acknowledged) <= 10
    assert len(acknowledged) > 10
