"""Content by digest in a directory, never served altered.

    blobs/<algorithm>/<2 hex>/<hex>    complete, verified, fsynced before it got its name
    uploads/<id>                       coming in; its size is the offset, also after a crash
    quarantine/<algorithm>-<hex>-<n>   found altered; kept for whoever asks why

A blob is hashed before it is served: one of up to 1 MiB each time, a larger one when this process first meets it and
whenever its *stamp* (size, mtime, ctime, inode) changed since. Between two looks a large blob goes out by sendfile. No
change through the file system leaves ctime alone, so only a disk that lies underneath is found by `scrub` alone.
What is altered is renamed away at once: it reads as absent, and pushing it again heals the store.

Hashing and disk writes leave the event loop; they release the interpreter lock. Who may see which blob is not known here.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

from gef_registry.distribution.durable import disk_errors, fsync_directory, make_directory, write_all
from gef_registry.distribution.upload_files import UploadFile, UploadFiles
from gef_registry.errors import NotFound, Unavailable, VerificationFailed
from gef_registry.oci.digest import Digest

SMALL_BYTES = 1 << 20
_ON_THE_LOOP_BYTES = 64 << 10  # read from the page cache in less time than a thread takes to wake
_CHUNK_BYTES = 1 << 20
_STAMPS = 1 << 16
_THREADS = 6
_FULL_HASHES_AT_ONCE = 2

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Stamp = tuple[int, int, int, int]


@dataclass(slots=True)
class OpenBlob:
    """A verified blob, open for reading from its start. Close it, or use it as a context manager."""

    file: BinaryIO
    size: int
    on_disk: bool

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> OpenBlob:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class BlobStore:
    """See the module. Safe for concurrent use by the coroutines of one event loop and by several processes."""

    def __init__(self, directory: Path) -> None:
        self._blobs = directory / "blobs"
        self._quarantine = directory / "quarantine"
        for path in (self._blobs, self._quarantine, directory / "uploads"):
            make_directory(path)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="blobs")
        self._uploads = UploadFiles(directory / "uploads", self._threads)
        self._stamps: OrderedDict[Digest, _Stamp] = OrderedDict()
        self._swap = threading.Lock()  # naming a file and quarantining it never overlap; also guards the stamps
        self._hashing = threading.BoundedSemaphore(_FULL_HASHES_AT_ONCE)

    def close(self) -> None:
        """Ends the worker threads after what they are doing."""
        self._threads.shutdown(wait=True)

    # Reading

    def exists(self, digest: Digest) -> bool:
        """Is there a file of that name? A cheap look, for what will be verified when it is read."""
        return self._path(digest).is_file()

    async def size(self, digest: Digest) -> int | None:
        """The size of an unaltered blob; None when there is none."""
        try:
            status = self._path(digest).stat()
        except FileNotFoundError:
            return None
        if self._stamps.get(digest) == _stamp(status):
            return status.st_size
        try:
            return await self._run(self._close_and_tell_size, digest)
        except NotFound:
            return None

    async def open(self, digest: Digest) -> OpenBlob:
        """The blob, verified. Raises NotFound when it is not there or was found altered."""
        return await self._run(self._open, digest)

    async def chunks(self, digest: Digest) -> AsyncIterator[bytes]:
        """The verified blob in chunks of at most 1 MiB. Raises NotFound as `open` does."""
        with await self.open(digest) as blob:
            while chunk := await self._run(blob.file.read, _CHUNK_BYTES):
                yield chunk

    async def read_verified(self, digest: Digest, max_bytes: int) -> bytes:
        """A small blob's bytes (a manifest, a configuration), hashed on this very read.

        Raises NotFound when it is not there, VerificationFailed when it is altered or larger than `max_bytes`.
        """
        try:
            size = self._path(digest).stat().st_size
        except FileNotFoundError:
            raise NotFound(f"the registry's store has no {digest}") from None
        if size > max_bytes:
            raise VerificationFailed(f"{digest} has {size} bytes in the registry's store, at most {max_bytes} expected")
        read = self._read_verified
        return read(digest, max_bytes) if size <= _ON_THE_LOOP_BYTES else await self._run(read, digest, max_bytes)

    # Writing

    async def put(self, digest: Digest, content: bytes) -> None:
        """Stores `content`, durable on return. Raises VerificationFailed if that is not its digest, Unavailable."""
        digest.require(content, "content to store")
        await self._run(self._put, digest, content)

    async def begin(self, upload_id: str) -> None:
        """Creates an upload's file."""
        await self._run(self._uploads.begin, upload_id)

    @asynccontextmanager
    async def hold(self, upload_id: str) -> AsyncIterator[UploadFile]:
        """The upload's file, for one request at a time; others wait. Raises NotFound when there is none."""
        async with self._uploads.hold(upload_id) as upload:
            yield upload

    async def commit(self, upload: UploadFile, digest: Digest) -> int:
        """Makes a held upload the blob `digest`, durable on return; its size.

        Raises VerificationFailed when its bytes have another digest, Unavailable when the disk fails; drops it then.
        """
        try:
            await upload.verify(digest)
            await self._run(self._name, upload.path, digest)
        except Unavailable:  # after a failed fsync nobody knows what the disk has
            await upload.discard()
            raise
        upload.forget()
        return upload.offset

    async def discard(self, upload_id: str) -> None:
        """Drops an upload. Harmless when there is none."""
        async with self._uploads.hold(upload_id, missing_ok=True) as upload:
            await upload.discard()

    def touched_at(self, upload_id: str) -> float | None:
        """When an upload last received bytes (seconds since the epoch); None when there is no such upload."""
        return self._uploads.touched_at(upload_id)

    def remove_stray_files(self, before: float) -> int:
        """Removes temporary files of interrupted writes, older than a time; how many. Uploads are not touched."""
        return self._uploads.remove_strays(before)

    async def remove(self, digest: Digest) -> None:
        """Removes a blob nobody refers to any more (garbage collection)."""
        await self._run(self._remove, digest)

    # Looking after it

    def digests(self) -> Iterator[Digest]:
        """Every blob there is, in order of its name."""
        for algorithm in ("sha256", "sha512"):
            for path in sorted(self._blobs.glob(f"{algorithm}/??/*")):
                yield Digest.parse(f"{algorithm}:{path.name}")

    async def verify(self, digest: Digest) -> bool:
        """Hashes a blob whatever its stamp says; quarantines it and answers False when it is altered or absent."""
        with self._swap:
            self._stamps.pop(digest, None)
        return await self.size(digest) is not None

    async def scrub(self) -> AsyncIterator[Digest]:
        """Re-hashes everything; yields what was altered and is now in quarantine."""
        for digest in await self._run(lambda: list(self.digests())):
            if not await self.verify(digest):
                yield digest

    # Below: in a worker thread, except for what is small

    async def _run(self, function: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _path(self, digest: Digest) -> Path:
        return self._blobs / digest.algorithm / digest.hex[:2] / digest.hex

    def _close_and_tell_size(self, digest: Digest) -> int:
        with self._open(digest) as blob:
            return blob.size

    def _open(self, digest: Digest) -> OpenBlob:
        try:
            file = self._path(digest).open("rb", buffering=0)
        except FileNotFoundError:
            raise NotFound(f"the registry's store has no {digest}") from None
        try:
            size = os.fstat(file.fileno()).st_size
            if size > SMALL_BYTES:
                self._require_unaltered(digest, file.fileno())
                return OpenBlob(file, size, on_disk=True)
            content = self._read_checked(digest, file.fileno())
        except BaseException:
            file.close()
            raise
        file.close()
        return OpenBlob(io.BytesIO(content), size, on_disk=False)

    def _require_unaltered(self, digest: Digest, descriptor: int) -> None:
        """Hashes an open blob unless its stamp is known. Raises NotFound, after quarantining, when it is altered."""
        stamp = _stamp(os.fstat(descriptor))
        if self._stamps.get(digest) == stamp:
            return
        with self._hashing:
            if self._stamps.get(digest) == stamp:  # somebody else hashed it meanwhile
                return
            hasher, position = digest.hasher(), 0
            with disk_errors(f"reading {digest}"):
                while chunk := os.pread(descriptor, _CHUNK_BYTES, position):
                    hasher.update(chunk)
                    position += len(chunk)
            if Digest.from_hasher(hasher) != digest or _stamp(os.fstat(descriptor)) != stamp:
                self._set_aside(digest, descriptor)
                raise NotFound(f"the registry's store has no unaltered {digest}")
        self._remember(digest, stamp)

    def _read_checked(self, digest: Digest, descriptor: int) -> bytes:
        stamp = _stamp(os.fstat(descriptor))
        with disk_errors(f"reading {digest}"):
            content = os.pread(descriptor, SMALL_BYTES + 1, 0)
        if not digest.matches(content):
            self._set_aside(digest, descriptor)
            raise NotFound(f"the registry's store has no unaltered {digest}")
        self._remember(digest, stamp)
        return content

    def _read_verified(self, digest: Digest, max_bytes: int) -> bytes:
        try:
            descriptor = os.open(self._path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"the registry's store has no {digest}") from None
        try:
            with disk_errors(f"reading {digest}"):
                content = os.read(descriptor, max_bytes + 1)
            if digest.matches(content):
                return content
            self._set_aside(digest, descriptor)
        finally:
            os.close(descriptor)
        raise VerificationFailed(f"{digest} is damaged in the registry's store and is not served")

    def _set_aside(self, digest: Digest, descriptor: int) -> None:
        """Renames an altered blob into quarantine, unless a whole one has taken its place already."""
        target = self._quarantine / f"{digest.algorithm}-{digest.hex}-{secrets.token_hex(4)}"
        with self._swap:
            self._stamps.pop(digest, None)
            try:
                if os.fstat(descriptor).st_ino == self._path(digest).stat().st_ino:
                    self._path(digest).rename(target)
                    fsync_directory(target.parent)
            except OSError as error:
                _log.error("%s is altered and could not be moved to quarantine: %s", digest, error.strerror)
                return
        _log.error("%s was altered on disk: moved to %s, no longer served", digest, target.name)

    def _put(self, digest: Digest, content: bytes) -> None:
        temporary = self._uploads.temporary()
        try:
            with disk_errors("storing a manifest"):
                with temporary.open("xb", buffering=0) as file:
                    write_all(file.fileno(), content)
                    os.fsync(file.fileno())
                self._name(temporary, digest)
        finally:
            temporary.unlink(missing_ok=True)

    def _name(self, complete: Path, digest: Digest) -> None:
        """A verified, fsynced file becomes the blob. One that is there already is replaced by the same bytes."""
        final = self._path(digest)
        with disk_errors("storing a blob"):
            make_directory(final.parent)
            with self._swap:
                complete.replace(final)
                self._stamps[digest] = _stamp(final.stat())
                self._bound_stamps()
            fsync_directory(final.parent)

    def _remember(self, digest: Digest, stamp: _Stamp) -> None:
        with self._swap:
            self._stamps[digest] = stamp
            self._bound_stamps()

    def _bound_stamps(self) -> None:
        while len(self._stamps) > _STAMPS:
            self._stamps.popitem(last=False)

    def _remove(self, digest: Digest) -> None:
        with self._swap:
            self._stamps.pop(digest, None)
            self._path(digest).unlink(missing_ok=True)


def _stamp(status: os.stat_result) -> _Stamp:
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
