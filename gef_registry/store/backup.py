"""Backup and restore of a gate's data directory, one tar file; the gate may run and its log may grow meanwhile.

Order of copying: the database and the log's head at one moment at which nobody writes the database, then blobs, the log
up to that head, and keys, all of which only ever grow. What the log holds at that moment the database knows, because
statements are stored before they are logged; and what the database calls logged is under that head.

A restored gate may be older than the log that hosts have already seen; signing then would fork its own log. So a restore
leaves a mark, and while the mark is there nothing is signed, until somebody says, or a follower's view shows, that no
larger tree exists.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gef_registry.errors import BadInput, Conflict, NotFound, Unavailable, VerificationFailed
from gef_registry.oci import strict_json
from gef_registry.store.archive import Members, unpack
from gef_registry.store.log_copy import LogHead, kept_files, partial_tiles, read_head
from gef_registry.store.migrate import copy_database, writes_held

DATABASE = "gate.db"
MARK = "restored.json"
CONTENTS = "backup.json"
FORMAT = 1
LOG, KEYS, BLOBS = "log", "keys", "blobs"

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """How many files and bytes, and the size of the log's tree that the backup covers."""

    files: int
    bytes: int
    tree_size: int


def back_up(data: Path, target: Path, *, with_keys: bool = True, progress: Progress | None = None) -> BackupSummary:
    """Writes one tar file (mode 0600), complete or not at all. Raises NotFound (no gate there), Conflict (target
    exists), Unavailable (disk, or the database stays locked), VerificationFailed (the log is damaged)."""
    if not (data / DATABASE).is_file():
        raise NotFound(f"{data} is not a gate's data directory: it has no {DATABASE}")
    if target.exists():
        raise Conflict(f"{target} exists", hint="name another file, or remove it first")
    partial = target.with_name(f".{target.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
                summary = _Writer(tar, data, progress).write(target.parent, with_keys)
            raw.flush()
            os.fsync(raw.fileno())
        os.link(partial, target)
    except FileExistsError as error:
        raise Conflict(f"{target} exists", hint="name another file, or remove it first") from error
    except OSError as error:
        raise Unavailable(f"cannot write the backup {target}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return summary


class _Writer:
    """Puts a gate into a tar file and counts what went in."""

    def __init__(self, tar: tarfile.TarFile, data: Path, progress: Progress | None) -> None:
        self._tar = tar
        self._data = data
        self._progress = progress or (lambda count: None)
        self._files = self._bytes = 0

    def write(self, scratch: Path, with_keys: bool) -> BackupSummary:
        head = self._records(scratch)
        for name, content in head.files:
            self._content(f"{LOG}/{name}", content)
        self._tree(BLOBS)
        self._log(head)
        if with_keys:
            self._tree(KEYS)
        summary = BackupSummary(self._files, self._bytes, head.size)
        document = {
            "format": FORMAT,
            "files": summary.files,
            "bytes": summary.bytes,
            "tree_size": summary.tree_size,
            "keys": with_keys,
        }
        self._content(CONTENTS, json.dumps(document).encode())
        return summary

    def _records(self, scratch: Path) -> LogHead:
        with tempfile.TemporaryDirectory(dir=scratch) as directory:
            snapshot = Path(directory) / DATABASE
            with writes_held(self._data / DATABASE):
                copy_database(self._data / DATABASE, snapshot)
                head = read_head(self._data / LOG)
            self._file(snapshot, DATABASE)
        return head

    def _log(self, head: LogHead) -> None:
        directory = self._data / LOG
        for path in kept_files(directory, head.size):
            self._file(path, path.relative_to(self._data).as_posix())
        for name, content in partial_tiles(directory, head.size):
            self._content(f"{LOG}/{name}", content)

    def _tree(self, name: str) -> None:
        for path in sorted((self._data / name).rglob("*")):
            if path.is_file() and not path.is_symlink():
                self._file(path, path.relative_to(self._data).as_posix())

    def _file(self, path: Path, name: str) -> None:
        try:
            with path.open("rb") as file:
                member = self._tar.gettarinfo(arcname=name, fileobj=file)
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                self._tar.addfile(member, file)
        except FileNotFoundError:
            # A candidate's blob, deleted since it was listed: nothing that was admitted ever goes.
            return
        self._count(member.size)

    def _content(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = len(content), 0o600, int(datetime.now(UTC).timestamp())
        self._tar.addfile(member, io.BytesIO(content))
        self._count(member.size)

    def _count(self, size: int) -> None:
        self._files += 1
        self._bytes += size
        self._progress(size)


def restore(archive: Path, data: Path, *, progress: Progress | None = None) -> BackupSummary:
    """Unpacks a backup into a new data directory and marks it as restored. Raises Conflict (there is one), NotFound (no
    such archive), BadInput (not a backup), VerificationFailed (incomplete), Unavailable (disk)."""
    if not archive.is_file():
        raise NotFound(f"there is no backup {archive}")
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise Conflict(f"{data} exists and is not empty", hint="restore into a new directory; nothing is overwritten")
    try:
        with _staging(data) as staging:
            members = unpack(archive, staging, (DATABASE, BLOBS, LOG, KEYS), CONTENTS, progress)
            summary = _require_complete(archive, members)
            mark = {"restored_at": datetime.now(UTC).isoformat(), "tree_size": summary.tree_size}
            (staging / MARK).write_text(json.dumps(mark))
            os.sync()
            if data.exists():
                data.rmdir()
            staging.rename(data)
    except OSError as error:
        raise Unavailable(f"cannot restore to {data}: {error.strerror or error}") from error
    return summary


@contextmanager
def _staging(data: Path) -> Iterator[Path]:
    """A directory beside the target that takes its name when all is well, and goes otherwise."""
    staging = data.with_name(f".{data.name}.restoring")
    try:
        staging.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise Conflict(f"{staging} is left from an interrupted restore", hint="remove it and try again") from error
    try:
        yield staging
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _require_complete(archive: Path, members: Members) -> BackupSummary:
    if members.contents is None:
        raise VerificationFailed(f"{archive} ends before its table of contents: the backup is incomplete")
    document = strict_json.load_object(members.contents, what=CONTENTS)
    if document.get("format") != FORMAT:
        raise BadInput(f"the backup has format {document.get('format')!r}, this program reads {FORMAT}")
    numbers = [document.get(name) for name in ("files", "bytes", "tree_size")]
    files, size, tree = (number if type(number) is int else -1 for number in numbers)
    if (files, size) != (members.files, members.size) or tree < 0 or DATABASE not in members.top:
        raise VerificationFailed(
            f"{archive} holds {members.files} files of {members.size} bytes, its table of contents says {files} of "
            f"{size}: the backup is incomplete or was altered"
        )
    return BackupSummary(files, size, tree)


def signing_refusal(data: Path) -> str | None:
    """Why nothing may be signed here now; None when signing is fine."""
    if not (data / MARK).exists():
        return None
    return (
        "this gate was restored from a backup and signs nothing until it is certain that no larger log exists: "
        "run 'gef-registry restore --confirm' with a host's view, or after asking the hosts"
    )


def confirm(data: Path, *, seen_size: int | None) -> int:
    """Lifts the mark. `seen_size` is the largest tree a follower has seen (None: somebody vouches that there is none
    larger). Raises Conflict when hosts have seen more than the backup holds, or when there is nothing to confirm.
    Returns the tree's size."""
    if not (data / MARK).exists():
        raise Conflict(f"{data} does not wait for a confirmation: it was not restored, or was confirmed already")
    size = tree_size(data)
    if seen_size is not None and seen_size > size:
        raise Conflict(
            f"hosts have seen a log of {seen_size} entries, this backup holds {size}",
            hint="restore a newer backup; signing from here would fork the log",
        )
    (data / MARK).unlink()
    return size


def tree_size(data: Path) -> int:
    """The size of the largest tree this log's head signs; 0 when there is none. Raises VerificationFailed."""
    return read_head(data / LOG).size
