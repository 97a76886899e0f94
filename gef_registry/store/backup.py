"""Backup and restore of a gate's data directory.

The order of copying makes a backup of a running gate consistent: the database first, then what it refers to (blobs, log,
keys), all of which only ever grows. A restored gate may be older than the log that hosts have already seen; signing
then would fork its own log. So a restore leaves a mark, and while the mark is there nothing is signed, until somebody
says, or a follower's view shows, that no larger tree exists.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO

from gef_registry.errors import BadInput, Conflict, NotFound, Unavailable, VerificationFailed
from gef_registry.store.migrate import copy_database

DATABASE = "gate.db"
MARK = "restored.json"
CONTENTS = "backup.json"
FORMAT = 1
# Copied in this order; the log's small heads before the entries they cover.
_HEADS = ("log/checkpoint", "log/signed-head")
_TREES = ("blobs", "log", "keys")
_MAX_MEMBERS = 50_000_000

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """How many files and bytes, and the size of the log's tree that the backup covers."""

    files: int
    bytes: int
    tree_size: int


def back_up(data: Path, target: Path, *, with_keys: bool = True, progress: Progress | None = None) -> BackupSummary:
    """Writes one tar file (mode 0600), complete or not at all. Raises NotFound (no gate there), Conflict (target exists)."""
    if not (data / DATABASE).is_file():
        raise NotFound(f"{data} is not a gate's data directory: it has no {DATABASE}")
    if target.exists():
        raise Conflict(f"{target} exists", hint="name another file, or remove it first")
    partial = target.with_name(f".{target.name}.partial")
    files = size = 0
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                snapshot = Path(scratch) / DATABASE
                copy_database(data / DATABASE, snapshot)
                tar.add(snapshot, DATABASE)
            for path in _files(data, with_keys):
                added = _add(tar, path, data)
                files, size = files + 1, size + added
                if progress is not None:
                    progress(added)
            summary = BackupSummary(files, size, tree_size(data))
            _add_contents(tar, summary, with_keys)
            raw.flush()
            os.fsync(raw.fileno())
        partial.rename(target)
    except OSError as error:
        raise Unavailable(f"cannot write the backup {target}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return summary


def restore(archive: Path, data: Path, *, progress: Progress | None = None) -> BackupSummary:
    """Unpacks a backup into a new data directory and marks it as restored. Raises Conflict (there is one), BadInput (not
    a backup), VerificationFailed (incomplete)."""
    if data.exists() and any(data.iterdir()):
        raise Conflict(f"{data} is not empty", hint="restore into a new directory; nothing is overwritten")
    staging = data.with_name(f".{data.name}.restoring")
    if staging.exists():
        raise Conflict(f"{staging} is left from an interrupted restore", hint="remove it and try again")
    try:
        staging.mkdir(mode=0o700, parents=True)
        with tarfile.open(archive, "r:") as tar:
            contents = _unpack(tar, staging, progress)
        if contents is None:
            raise VerificationFailed(f"{archive} ends before its table of contents: the backup is incomplete")
        mark = {"restored_at": datetime.now(UTC).isoformat(), "tree_size": contents.tree_size}
        (staging / MARK).write_text(json.dumps(mark))
        if data.exists():
            data.rmdir()
        staging.rename(data)
    except FileNotFoundError as error:
        raise NotFound(f"there is no backup {archive}") from error
    except tarfile.TarError as error:
        raise BadInput(f"{archive} is not a backup: {error}") from error
    except OSError as error:
        raise Unavailable(f"cannot restore to {data}: {error.strerror}") from error
    return contents


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
    larger). Raises Conflict when hosts have seen more than the backup holds. Returns the tree's size."""
    size = tree_size(data)
    if seen_size is not None and seen_size > size:
        raise Conflict(
            f"hosts have seen a log of {seen_size} entries, this backup holds {size}",
            hint="restore a newer backup; signing from here would fork the log",
        )
    (data / MARK).unlink(missing_ok=True)
    return size


def tree_size(data: Path) -> int:
    """The size of the tree of the published checkpoint; 0 when there is none."""
    try:
        lines = (data / "log" / "checkpoint").read_text().split("\n")
    except FileNotFoundError:
        return 0
    return int(lines[1])


def _files(data: Path, with_keys: bool) -> Iterator[Path]:
    heads = [data / name for name in _HEADS]
    yield from (path for path in heads if path.is_file())
    for tree in _TREES:
        if tree == "keys" and not with_keys:
            continue
        for path in sorted((data / tree).rglob("*")):
            if path.is_file() and not path.is_symlink() and path not in heads and not path.name.endswith(".lock"):
                yield path


def _add(tar: tarfile.TarFile, path: Path, data: Path) -> int:
    try:
        with path.open("rb") as file:
            member = tar.gettarinfo(arcname=str(path.relative_to(data)), fileobj=file)
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            tar.addfile(member, file)
            return member.size
    except FileNotFoundError:
        # A partial tile that a wider one replaced between listing and reading: the wider one is in the list too, or
        # the log rebuilds it from its entries.
        return 0


def _add_contents(tar: tarfile.TarFile, summary: BackupSummary, with_keys: bool) -> None:
    document = {
        "format": FORMAT,
        "files": summary.files,
        "bytes": summary.bytes,
        "tree_size": summary.tree_size,
        "keys": with_keys,
    }
    body = json.dumps(document).encode()
    member = tarfile.TarInfo(CONTENTS)
    member.size, member.mode = len(body), 0o600
    tar.addfile(member, io.BytesIO(body))


def _unpack(tar: tarfile.TarFile, target: Path, progress: Progress | None) -> BackupSummary | None:
    summary = None
    for count, member in enumerate(tar):
        name = PurePosixPath(member.name)
        if count > _MAX_MEMBERS or not member.isreg() or name.is_absolute() or ".." in name.parts:
            raise BadInput(f"the archive holds {member.name[:200]!r}, which no backup of a gate has")
        content = tar.extractfile(member)
        if content is None:
            raise BadInput(f"the archive's {member.name[:200]!r} cannot be read")
        if member.name == CONTENTS:
            summary = _contents(content.read(1 << 16))
            continue
        if name.parts[0] not in (DATABASE, *_TREES):
            raise BadInput(f"the archive holds {member.name[:200]!r}, which no backup of a gate has")
        _write(target / name, content, 0o600 if name.parts[0] == "keys" else 0o644)
        if progress is not None:
            progress(member.size)
    return summary


def _contents(body: bytes) -> BackupSummary:
    document = json.loads(body)
    if document.get("format") != FORMAT:
        raise BadInput(f"the backup has format {document.get('format')!r}, this program reads {FORMAT}")
    return BackupSummary(document["files"], document["bytes"], document["tree_size"])


def _write(path: Path, content: IO[bytes], mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := content.read(1 << 20):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
