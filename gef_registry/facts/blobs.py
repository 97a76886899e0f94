"""Streams blobs from a source through worker threads: one batch is digested while the next one is read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from gef_registry.errors import BadInput, GefError, NotFound, VerificationFailed
from gef_registry.facts import codec
from gef_registry.facts.cache import FactsCache
from gef_registry.facts.layers import BlobHasher, BlobOutcome, LayerReader
from gef_registry.facts.limits import Budget, Refusal, Stopped
from gef_registry.facts.model import LayerContent, ProblemKind
from gef_registry.facts.structure import check_embedded_data
from gef_registry.oci.manifest import Descriptor
from gef_registry.oci.source import Source

_BATCH = 1 << 20
T = TypeVar("T")


class Progress(Protocol):
    """Whoever shows how far the reading of blobs is. Called from the event loop; must not block."""

    def start(self, total_bytes: int) -> None: ...

    def layer(self, name: str) -> None: ...

    def advance(self, amount: int) -> None: ...


class BlobReader:
    """Reads blobs of one source. Use as a context manager: leaving it stops the workers."""

    def __init__(self, source: Source, budget: Budget, cache: FactsCache | None, progress: Progress | None) -> None:
        self._source = source
        self._budget = budget
        self._cache = cache
        self._progress = progress
        self.workers = max(1, min(4, os.cpu_count() or 1))
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="facts")
        self._walkers = ThreadPoolExecutor(self.workers, thread_name_prefix="facts-walk")

    def __enter__(self) -> BlobReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._budget.stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._walkers.shutdown(wait=False, cancel_futures=True)

    async def layer(self, descriptor: Descriptor, compression: str) -> BlobOutcome:
        """The facts of one layer, from the cache if its stored bytes still have their digest."""
        key = codec.cache_key(descriptor, compression, self._budget.limits)
        known = await self._cached(key)
        if known is not None:
            outcome = await self.verified(descriptor)
            return BlobOutcome(known) if outcome.problem is None else outcome
        outcome = await self._guarded(descriptor, LayerReader(descriptor, compression, self._budget, self._walkers))
        if outcome.content is not None and self._cache is not None:
            await self._run(self._cache.put, key, codec.encode(outcome.content))
        return outcome

    async def verified(self, descriptor: Descriptor) -> BlobOutcome:
        """Only whether the stored bytes are those the descriptor names."""
        return await self._guarded(descriptor, _HashOnly(descriptor, self._budget))

    async def _cached(self, key: str) -> LayerContent | None:
        value = await self._run(self._cache.get, key) if self._cache else None
        if value is None:
            return None
        try:
            content = await self._run(codec.decode, value)
            self._budget.spend_bytes(content.size)
            self._budget.spend_entries(content.entries)
        except (BadInput, Refusal):
            return None  # read in full, which says what is wrong
        return content

    async def _guarded(self, descriptor: Descriptor, reader: LayerReader | _HashOnly) -> BlobOutcome:
        try:
            check_embedded_data(descriptor)
            await self._pump(descriptor, reader.feed)
            return await self._run(reader.finish)
        except Refusal as refusal:
            return BlobOutcome(None, refusal.kind, refusal.message)
        except NotFound as error:
            return BlobOutcome(None, ProblemKind.MISSING, error.message)
        except VerificationFailed as error:
            return BlobOutcome(None, ProblemKind.DIGEST_MISMATCH, error.message)
        except (GefError, Stopped):
            raise
        except Exception as error:
            # A crash of our own reading is no verdict on the image, and no reason to call it good.
            message = f"reading blob {descriptor.digest} failed: {type(error).__name__}"
            return BlobOutcome(None, ProblemKind.UNREADABLE_HERE, message)

    async def _pump(self, descriptor: Descriptor, feed: Callable[[bytes], bool]) -> None:
        pending: asyncio.Future[bool] | None = None
        batch: list[bytes] = []
        size = 0
        try:
            async for chunk in self._source.blob(descriptor):
                batch.append(chunk)
                size += len(chunk)
                if size < _BATCH:
                    continue
                if pending is not None and not await pending:
                    return
                pending = self._submit(feed, batch, size)
                batch, size = [], 0
            if pending is not None and not await pending:
                return
            pending = self._submit(feed, batch, size)
            await pending
        finally:
            if pending is not None and not pending.done():
                pending.cancel()

    def _submit(self, feed: Callable[[bytes], bool], batch: list[bytes], size: int) -> asyncio.Future[bool]:
        if self._progress:
            self._progress.advance(size)
        return asyncio.get_running_loop().run_in_executor(
            self._pool, feed, batch[0] if len(batch) == 1 else b"".join(batch)
        )

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


class _HashOnly:
    """The reading of a blob whose content is known or of no interest."""

    def __init__(self, descriptor: Descriptor, budget: Budget) -> None:
        self._hasher = BlobHasher(descriptor)
        self._budget = budget
        self._refusal: Refusal | None = None

    def feed(self, chunk: bytes) -> bool:
        if self._budget.stop.is_set():
            raise Stopped
        try:
            self._hasher.feed(chunk)
        except Refusal as refusal:
            self._refusal = refusal
            return False
        return True

    def finish(self) -> BlobOutcome:
        try:
            if self._refusal is not None:
                raise self._refusal
            self._hasher.finish()
        except Refusal as refusal:
            return BlobOutcome(None, refusal.kind, refusal.message)
        return BlobOutcome(None)
