"""Where the facts of layers are kept between runs. A cache may forget; it may not lie.

`DirectoryCache` writes each value to a temporary file and renames it, with its checksum before it: what was torn or
altered on disk is not found. It keeps below a size by dropping what was used longest ago, and no trouble with it (full
disk, missing rights) ever stops a judgement. Its directory must be writable for the owner alone: a checksum is no
signature.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import tempfile
from pathlib import Path
from typing import Protocol

_MAGIC = b"gef-facts-1\n"
_KEY = re.compile(r"[0-9a-f]{64}")


class FactsCache(Protocol):
    """Values by key (64 hex digits). Neither method raises; both may block and may be called from several threads."""

    def get(self, key: str) -> bytes | None:
        """Exactly what was put under this key, or None."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keeps the value, perhaps. Atomic: nobody ever gets a part of it."""
        ...


class DirectoryCache:
    """A `FactsCache` in a directory of its own, made at the first put, shared by any number of processes."""

    def __init__(self, directory: Path, *, max_bytes: int = 1 << 30) -> None:
        self._directory = directory
        self._max_bytes = max_bytes

    def get(self, key: str) -> bytes | None:
        path = self._path(key)
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        header = len(_MAGIC) + 32
        value = stored[header:]
        if not stored.startswith(_MAGIC) or not hmac.compare_digest(
            stored[len(_MAGIC) : header], _checksum(key, value)
        ):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return value

    def put(self, key: str, value: bytes) -> None:
        if len(value) > self._max_bytes // 4:
            return
        path = self._path(key)
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._write(path, _MAGIC + _checksum(key, value) + value)
            self._evict()

    def _path(self, key: str) -> Path:
        assert _KEY.fullmatch(key), "a cache key is 64 hex digits"
        return self._directory / key[:2] / key

    def _write(self, path: Path, content: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _evict(self) -> None:
        """Drops the least recently used tenth and more, once the bound is exceeded."""
        files = []
        for path in self._directory.glob("??/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in files)
        if total <= self._max_bytes:
            return
        for _, size, path in sorted(files):
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size
            if total <= self._max_bytes * 9 // 10:
                return


def _checksum(key: str, value: bytes) -> bytes:
    """Binds the value to its key, so that a file under another name is not found either."""
    return hashlib.sha256(key.encode() + b"\0" + value).digest()
