"""Brings a database to this program's schema.

A copy of the database is made beside it before anything is changed (`gate.db.before-0002`). A database that a newer
program wrote is refused by name: running on would lose what this program does not know.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from gef_registry.errors import Unavailable

HOLD_S = 20.0


def upgrade(connection: Connection, path: Path | None) -> None:
    """Migrates to the newest schema on an open connection; `path` is SQLite's file, to copy first. Raises Unavailable
    for a database that a newer program wrote."""
    config = _config(connection)
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    newest = scripts.get_current_head()
    current = MigrationContext.configure(connection).get_current_revision()
    if current == newest:
        return
    if current is not None and current not in known:
        raise Unavailable(
            f"the database {path or connection.engine.url.database} has schema {current}, this program knows up to {newest}",
            hint="it was written by a newer gef-registry: install that version, or restore a backup",
        )
    if current is not None and path is not None:
        copy_database(path, path.with_name(f"{path.name}.before-{newest}"))
    command.upgrade(config, "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    attributes: dict[str, Any] = config.attributes
    attributes["connection"] = connection
    return config


def check_whole(path: Path) -> None:
    """A damaged file is found here, with its name, rather than in the middle of an admission."""
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(read_only(path), uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        raise Unavailable(
            f"the database {path} is damaged: {answer[:200]}", hint="restore a backup with 'gef-registry restore'"
        )


def read_only(path: Path) -> str:
    """The URI that opens a database without changing it, whatever characters its path has."""
    return f"{path.absolute().as_uri()}?mode=ro"


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a SQLite database, also while others write; whole or not at all, readable as the source is.

    Raises Unavailable: no room, or the source is damaged.
    """
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        with (
            closing(sqlite3.connect(read_only(source), uri=True)) as reader,
            closing(sqlite3.connect(partial)) as writer,
        ):
            reader.backup(writer)
        partial.chmod(source.stat().st_mode & 0o777)
        partial.replace(target)
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"{source} cannot be copied to {target}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def writes_held(path: Path) -> Iterator[None]:
    """Nobody writes this SQLite database meanwhile. Raises Unavailable when somebody else holds it too long."""
    with closing(sqlite3.connect(path, timeout=HOLD_S, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise Unavailable(f"{path} cannot be held still: {error}; try again") from error
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
