"""A log's files in a local directory.

`LogDirectory` reads, and any number may. `LocalStorage` also writes, and holds an exclusive lock while it lives. Every
file appears whole or not at all: temporary file, fsync, rename, fsync of its directory. This is the one place where
operating system errors become Unavailable; a full disk is one of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gef_registry.errors import Unavailable, VerificationFailed
from gef_registry.transparency.layout import LOCK, TEMPORARY

MAX_FILE_BYTES = 1 << 25
_SYNC_THREADS = 4


class LogDirectory:
    """Reads files of a log. Paths are relative and made by this package, never by a client."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> bytes | None:
        """The whole file, None when there is none. Raises Unavailable; VerificationFailed when absurdly large."""
        with _translated(self.root / path):
            try:
                with (self.root / path).open("rb") as file:
                    data = file.read(MAX_FILE_BYTES + 1)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
        if len(data) > MAX_FILE_BYTES:
            raise VerificationFailed(
                f"{self.root / path} is larger than any file of a log: over {MAX_FILE_BYTES} bytes"
            )
        return data

    def names(self, path: str) -> list[str]:
        """The names in a directory, sorted; empty when there is none."""
        with _translated(self.root / path):
            try:
                return sorted(entry.name for entry in (self.root / path).iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []


class LocalStorage(LogDirectory):
    """The one writer's view of the directory."""

    def __init__(self, root: Path) -> None:
        """Creates the directory if need be and locks it. Raises Unavailable when another writer holds it."""
        super().__init__(root)
        self._counter = itertools.count()
        self._durable_directories: set[Path] = set()
        with _translated(root):
            root.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(self._lock)
                raise Unavailable(
                    f"the log in {root} is being written by another process", hint="one writer only; stop the other one"
                ) from error
            shutil.rmtree(root / TEMPORARY, ignore_errors=True)
            (root / TEMPORARY).mkdir(exist_ok=True)
        self._pool = ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="log-fsync")

    def write(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Puts files in place, replacing what was there. Each is atomic; on return all are durable.

        After an exception any of them may be there, whole. Raises Unavailable.
        """
        with _translated(self.root):
            places = [self.root / path for path, _ in files]
            temporary = list(self._pool.map(self._write_temporary, [data for _, data in files]))
            for source, place in zip(temporary, places, strict=True):
                self._ensure_directory(place.parent)
                source.replace(place)
            list(self._pool.map(_sync_directory, {place.parent for place in places}))

    def discard(self, path: str) -> None:
        """Removes a file, or a directory with everything in it, if it is there. Durable on return."""
        place = self.root / path
        with _translated(place), contextlib.suppress(FileNotFoundError):
            if place.is_dir():
                self._durable_directories = {
                    d for d in self._durable_directories if d != place and place not in d.parents
                }
                shutil.rmtree(place)
            else:
                place.unlink()
            _sync_directory(place.parent)

    def close(self) -> None:
        """Gives the lock back."""
        self._pool.shutdown()
        os.close(self._lock)

    def _write_temporary(self, data: bytes) -> Path:
        path = self.root / TEMPORARY / str(next(self._counter))
        try:
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def _ensure_directory(self, path: Path) -> None:
        """Makes a directory whose own entry is durable."""
        if path in self._durable_directories or path == self.root:
            return
        self._ensure_directory(path.parent)
        path.mkdir(exist_ok=True)
        _sync_directory(path.parent)
        self._durable_directories.add(path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the log's storage at {path} failed: {error.strerror or error}") from error
