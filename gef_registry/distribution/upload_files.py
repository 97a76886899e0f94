"""Uploads as files: appended to, hashed while they come in, resumable after a restart.

The offset is the file's size, so what a killed process had received is not asked for again. The running hash lives in
memory; when it is gone (a restart, another process) the file is hashed once more at the end, so a resumed upload is
verified exactly as an uninterrupted one.

One request holds an upload at a time, also among several processes. While bytes are collected from the socket, one thread
writes the batch before and another hashes it; now and then a third pushes written pages to the disk, so that the final
fsync has little left to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gef_registry.distribution.durable import disk_errors, write_all
from gef_registry.errors import BadInput, NotFound, Unavailable, VerificationFailed
from gef_registry.oci.digest import Digest

if TYPE_CHECKING:
    from hashlib import _Hash

BATCH_BYTES = 1 << 20
_SYNC_EVERY_BYTES = 64 << 20
_REHASH_BYTES = 1 << 20
_TEMPORARY = "put-"
_ID = re.compile(r"[A-Za-z0-9_-]{16,128}", re.ASCII)
_T = TypeVar("_T")


class TooLarge(BadInput):
    """More bytes than were announced or allowed."""


@dataclass(slots=True)
class _Progress:
    """What this process remembers of an upload: who holds it, and the hash of its first `hashed` bytes."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    hasher: _Hash | None = None
    hashed: int = 0
    waiting: int = 0


class UploadFiles:
    """The directory of uploads."""

    def __init__(self, directory: Path, threads: Executor) -> None:
        self._directory = directory
        self._threads = threads
        self._progress: dict[str, _Progress] = {}

    def begin(self, upload_id: str) -> None:
        with disk_errors("starting an upload"):
            self._path(upload_id).open("xb").close()

    @contextlib.asynccontextmanager
    async def hold(self, upload_id: str, *, missing_ok: bool = False) -> AsyncIterator[UploadFile]:
        """Waits until nobody else holds the upload. Raises NotFound when its file is gone."""
        progress = self._progress.setdefault(upload_id, _Progress())
        progress.waiting += 1
        try:
            async with progress.lock:
                path = self._path(upload_id)
                if not path.is_file() and not missing_ok:
                    raise NotFound("no such upload: it has ended, was cancelled or has expired")
                with _locked(path):
                    yield UploadFile(path, progress, self._threads)
        finally:
            progress.waiting -= 1
            if progress.waiting == 0 and progress.hasher is None:
                self._progress.pop(upload_id, None)

    def touched_at(self, upload_id: str) -> float | None:
        try:
            return self._path(upload_id).stat().st_mtime
        except FileNotFoundError:
            return None

    def temporary(self) -> Path:
        """A fresh name beside the uploads, on the same file system as the blobs."""
        return self._directory / f"{_TEMPORARY}{secrets.token_hex(16)}"

    def remove_strays(self, before: float) -> int:
        strays = [p for p in self._directory.glob(f"{_TEMPORARY}*") if p.stat().st_mtime < before]
        for path in strays:
            path.unlink(missing_ok=True)
        return len(strays)

    def _path(self, upload_id: str) -> Path:
        if _ID.fullmatch(upload_id) is None or upload_id.startswith(_TEMPORARY):
            raise BadInput("that is not the id of an upload")
        return self._directory / upload_id


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps other processes out. Raises Unavailable when one is writing to this upload."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Unavailable("another request is writing to this upload; try again when it has ended") from error
    finally:
        os.close(descriptor)


class UploadFile:
    """A held upload. `offset` is the number of bytes it has."""

    def __init__(self, path: Path, progress: _Progress, threads: Executor) -> None:
        self.path = path
        self.offset = path.stat().st_size if path.is_file() else 0
        self._progress = progress
        self._threads = threads
        if progress.hashed != self.offset:
            progress.hasher = None
        if self.offset == 0:
            progress.hasher, progress.hashed = hashlib.sha256(), 0

    async def append(self, chunks: AsyncIterator[bytes], *, at_most: int, idle_s: float) -> int:
        """Adds what comes, in order; how many bytes that were. What came before a failure is kept for resuming.

        Raises TooLarge beyond `at_most` bytes, Unavailable after `idle_s` seconds without a byte and on a full disk (the
        upload is gone then, so that the room is free again); whatever `chunks` raises passes through.
        """
        writing = _Writing(self.path, self._progress.hasher, self._threads)
        before = self.offset
        try:
            await self._receive(chunks, writing, at_most, idle_s)
        finally:
            try:
                await writing.finish()
            except Unavailable:
                await self.discard()
                raise
            self.offset = before + writing.written
            self._progress.hashed = self.offset
        return writing.written

    async def _receive(self, chunks: AsyncIterator[bytes], writing: _Writing, at_most: int, idle_s: float) -> None:
        loop = asyncio.get_running_loop()
        received = 0
        try:
            async with asyncio.timeout(idle_s) as idle:
                async for chunk in chunks:
                    received += len(chunk)
                    if received > at_most:
                        raise TooLarge(f"more than the {at_most} bytes that were expected arrived")
                    await writing.add(chunk)
                    idle.reschedule(loop.time() + idle_s)
        except TimeoutError as error:
            raise Unavailable(f"nothing arrived for {idle_s:g} s; the upload can be resumed") from error

    async def verify(self, digest: Digest) -> None:
        """Compares the digest and makes the bytes durable. Raises VerificationFailed, after dropping the upload."""
        hasher = self._progress.hasher
        if hasher is None or hasher.name != digest.algorithm:
            hasher = await self._run(self._rehash, digest)
        found = Digest.from_hasher(hasher)
        if found != digest:
            await self.discard()
            raise VerificationFailed(f"the {self.offset} bytes received have digest {found}, expected {digest}")
        await self._run(self._sync)

    async def discard(self) -> None:
        await self._run(lambda: self.path.unlink(missing_ok=True))
        self.forget()

    def forget(self) -> None:
        """The file is gone or has become a blob: nothing more to remember."""
        self._progress.hasher, self._progress.hashed = None, 0

    def _rehash(self, digest: Digest) -> _Hash:
        hasher = digest.hasher()
        with disk_errors("reading an upload"), self.path.open("rb", buffering=0) as file:
            while chunk := file.read(_REHASH_BYTES):
                hasher.update(chunk)
        return hasher

    def _sync(self) -> None:
        with disk_errors("storing a blob"), self.path.open("rb") as file:
            os.fsync(file.fileno())

    async def _run(self, function: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


class _Writing:
    """Batches on their way to the disk: one being collected, one being written and hashed, pages being synced."""

    def __init__(self, path: Path, hasher: _Hash | None, threads: Executor) -> None:
        self._path = path
        self._hasher = hasher
        self._threads = threads
        self._batch: list[bytes] = []
        self._batched = 0
        self._busy: tuple[asyncio.Future[None], ...] = ()
        self._syncing: asyncio.Future[None] | None = None
        self._synced = 0
        self._descriptor: int | None = None
        self.written = 0

    async def add(self, chunk: bytes) -> None:
        self._batch.append(chunk)
        self._batched += len(chunk)
        if self._batched >= BATCH_BYTES:
            await self._flush()

    async def finish(self) -> None:
        """Writes what is left; never returns while a thread still uses the file, not even when cancelled."""
        finishing = asyncio.ensure_future(self._finish())
        cancelled = False
        while not finishing.done():
            try:
                await asyncio.wait([finishing])
            except asyncio.CancelledError:
                cancelled = True
        finishing.result()
        if cancelled:
            raise asyncio.CancelledError

    async def _finish(self) -> None:
        try:
            await self._flush()
            await self._settle()
        finally:
            if self._busy:
                await asyncio.wait(self._busy)
            if self._syncing is not None:
                await self._syncing
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    async def _flush(self) -> None:
        """Hands the batch over: one thread writes it while another hashes it."""
        await self._settle()
        if not self._batch:
            return
        batch, self._batch, self._batched = self._batch, [], 0
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(self._threads, self._write, batch)
        hashing = loop.run_in_executor(self._threads, self._hash, batch)
        self._busy = (writing, hashing)
        if self.written - self._synced >= _SYNC_EVERY_BYTES and (self._syncing is None or self._syncing.done()):
            self._synced = self.written
            self._syncing = loop.run_in_executor(self._threads, self._sync)

    async def _settle(self) -> None:
        """Waits for the batch before; its failure is raised here, each time."""
        for future in self._busy:
            await future

    def _write(self, batch: list[bytes]) -> None:
        with disk_errors("receiving an upload"):
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            for chunk in batch:
                write_all(self._descriptor, chunk)
                self.written += len(chunk)

    def _hash(self, batch: list[bytes]) -> None:
        if self._hasher is not None:
            for chunk in batch:
                self._hasher.update(chunk)

    def _sync(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.fdatasync(self._descriptor)
