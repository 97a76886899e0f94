"""Files of an image store that lies on this machine: a directory (OCI layout) or one uncompressed tar (archives).

A store maps names inside it to byte ranges; nothing is ever extracted, and nothing outside the store can be reached: below
a directory every step is opened without following links and must end in a regular file; in a tar only the tar's own
bytes exist. All of it blocks; callers leave the event loop.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from gef_registry.errors import GefError, NotFound, Unavailable
from gef_registry.oci.tar_index import TarEntry, index_tar

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Extent:
    """`size` bytes from `offset` of an open file. Closing it closes the descriptor only where it is its own."""

    fd: int
    offset: int
    size: int
    owned: bool

    def read(self, position: int, count: int) -> bytes:
        """At most `count` bytes from `position` in the extent; b"" at its end. Raises Unavailable."""
        try:
            return os.pread(self.fd, max(0, min(count, self.size - position)), self.offset + position)
        except OSError as error:
            raise Unavailable(f"reading failed: {error.strerror}") from error

    def close(self) -> None:
        if self.owned:
            os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Files(Protocol):
    """A store's files by name. Blocking; safe from several threads."""

    def open(self, name: str) -> Extent:
        """Raises NotFound (no such file in the store) or Unavailable (the store cannot be read, or is not a plain file)."""
        ...

    def close(self) -> None: ...


def read_small(files: Files, name: str, *, max_bytes: int) -> bytes:
    """A whole small file. Raises NotFound, or Unavailable when it is larger than `max_bytes`."""
    with files.open(name) as extent:
        if extent.size > max_bytes:
            raise Unavailable(f"{name}: {extent.size} bytes, at most {max_bytes} are read")
        return extent.read(0, max_bytes)


class DirectoryFiles:
    """The files below one directory. The directory itself may be a link (the user named it); nothing below it may."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, name: str) -> Extent:
        *directories, last = name.split("/")
        at = self._root()
        try:
            for directory in directories:
                below = os.open(directory, _DIRECTORY, dir_fd=at)
                os.close(at)
                at = below
            fd = os.open(last, _FILE, dir_fd=at)
        except OSError as error:
            raise self._explain(error, name) from error
        finally:
            os.close(at)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise Unavailable(f"{self._path}/{name} is not a regular file")
        return Extent(fd, 0, status.st_size, owned=True)

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _root(self) -> int:
        try:
            return os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _cannot_open(self._path, error, "a directory") from error

    def _explain(self, error: OSError, name: str) -> GefError:
        if isinstance(error, FileNotFoundError):
            return NotFound(f"{self._path}: there is no {name}")
        return Unavailable(
            f"{self._path}/{name}: {error.strerror}", hint="inside a layout only directories and regular files are read"
        )


class TarFiles:
    """The members of one uncompressed tar, found by one pass over its headers. Links resolve inside the tar only."""

    def __init__(self, path: Path) -> None:
        """Opens and indexes. Raises NotFound (no such file) or Unavailable (not a whole, plain tar)."""
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise _cannot_open(path, error, "a file") from error
        try:
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                raise Unavailable(
                    f"{path} is not a regular file", hint="an archive must be a file that can be sought in"
                )
            self._entries = index_tar(self._fd, what=str(path))
        except BaseException:
            os.close(self._fd)
            raise
        self._open = True

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def open(self, name: str) -> Extent:
        entry = self._entries.get(name)
        for _ in range(8):
            if entry is None or entry.link is None:
                break
            entry = self._entries.get(entry.link)
        if entry is None:
            raise NotFound(f"{self._path}: there is no {name[:300]}")
        if not _is_file(entry):
            raise Unavailable(f"{self._path}: {name[:300]} is not a regular file")
        return Extent(self._fd, entry.offset, entry.size, owned=False)

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._fd)


def _is_file(entry: TarEntry) -> bool:
    return entry.regular and entry.link is None


def _cannot_open(path: Path, error: OSError, what: str) -> GefError:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{path}: there is no such {what.split()[-1]}", hint="check the path")
    return Unavailable(f"{path} cannot be opened as {what}: {error.strerror}")
