"""One layer, from its stored bytes to its facts, in one pass and with bounded memory.

Hashes the stored bytes and the archive, inflates, walks the entries and looks for keys. Runs in a worker thread: it
blocks, and hashing and inflating release the interpreter lock. The stored bytes are hashed to their end whatever else is
wrong, except when a bound is met: then reading ends at once.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from gef_registry.facts.decompression import Decoder, decoder_for
from gef_registry.facts.limits import Budget, Refusal, exceeded
from gef_registry.facts.model import LayerContent, ProblemKind
from gef_registry.facts.private_keys import KeyScanner
from gef_registry.facts.tar import TarWalker
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor


@dataclass(frozen=True, slots=True)
class BlobOutcome:
    """What reading one blob gave: content exactly when there was no problem."""

    content: LayerContent | None
    problem: ProblemKind | None = None
    message: str = ""


class BlobHasher:
    """Compares stored bytes with their descriptor. Raises Refusal on more bytes than stated, or at the end."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._hasher = descriptor.digest.hasher()
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._descriptor.size:
            raise Refusal(
                ProblemKind.SIZE_MISMATCH,
                f"blob {self._descriptor.digest} has more than the {self._descriptor.size} bytes its descriptor states",
            )
        self._hasher.update(chunk)

    def finish(self) -> None:
        wanted = self._descriptor
        if self._size < wanted.size:
            message = (
                f"blob {wanted.digest} has {self._size} bytes, its descriptor states {wanted.size}: it is truncated"
            )
            raise Refusal(ProblemKind.SIZE_MISMATCH, message)
        got = Digest.from_hasher(self._hasher)
        if got != wanted.digest:
            raise Refusal(ProblemKind.DIGEST_MISMATCH, f"blob {wanted.digest} has other content: its digest is {got}")


class ArchiveReader:
    """Everything that is learned from the uncompressed archive.

    With `walkers` a piece is walked and searched in another thread while the next one is inflated and hashed; at most
    one piece waits. What was met there is raised by a later `feed` or by `finish`.
    """

    def __init__(self, budget: Budget, stored_size: int, walkers: Executor | None = None) -> None:
        limits = budget.limits
        self._budget = budget
        self._hasher = hashlib.sha256()
        self._walker = TarWalker(budget)
        self._scanner = KeyScanner(limits)
        self._size = 0
        self._ratio = limits.ratio
        self._most = max(limits.ratio_floor_bytes, limits.ratio * stored_size)
        self._walkers = walkers
        self._walking: Future[None] | None = None

    def feed(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._most:
            raise exceeded(f"the layer unpacks to more than {self._ratio} times its stored size: a decompression bomb")
        self._budget.spend_bytes(len(piece))
        if self._walkers is None:
            self._walk(piece)
        else:
            self._await_walk()
            self._walking = self._walkers.submit(self._walk, piece)
        self._hasher.update(piece)

    def finish(self) -> LayerContent:
        self._await_walk()
        listing = self._walker.finish()
        return LayerContent(
            diff_id=Digest.from_hasher(self._hasher),
            size=self._size,
            entries=self._walker.entries,
            listing=listing,
            keys=self._scanner.finish(self._walker.spans),
            files=tuple(sorted(self._walker.files.values(), key=lambda file: file.path)),
        )

    def _walk(self, piece: bytes) -> None:
        self._walker.feed(piece)
        self._scanner.feed(piece, self._walker.spans)

    def _await_walk(self) -> None:
        if self._walking is not None:
            walking, self._walking = self._walking, None
            walking.result()


class LayerReader:
    """Feed it the stored bytes, then `finish`. `feed` returns False when no more bytes are wanted."""

    def __init__(
        self, descriptor: Descriptor, compression: str, budget: Budget, walkers: Executor | None = None
    ) -> None:
        self._stored = BlobHasher(descriptor)
        self._archive = ArchiveReader(budget, descriptor.size, walkers)
        self._refusal: Refusal | None = None
        self._decoder: Decoder | None = None
        try:
            self._decoder = decoder_for(compression)
        except Refusal as refusal:
            self._refusal = refusal

    def feed(self, chunk: bytes) -> bool:
        try:
            self._stored.feed(chunk)
        except Refusal as refusal:
            self._refusal = refusal
            return False
        if self._refusal is None and self._decoder is not None:
            try:
                self._decoder.feed(chunk, self._archive.feed)
            except Refusal as refusal:
                self._refusal = refusal
        return self._refusal is None or self._refusal.kind is not ProblemKind.LIMIT_EXCEEDED

    def finish(self) -> BlobOutcome:
        """A wrong digest is said before anything that follows from it."""
        ended_early = (ProblemKind.LIMIT_EXCEEDED, ProblemKind.SIZE_MISMATCH)
        try:
            if self._refusal is None or self._refusal.kind not in ended_early:
                self._stored.finish()
            if self._refusal is not None:
                raise self._refusal
            if self._decoder is not None:
                self._decoder.finish()
            return BlobOutcome(self._archive.finish())
        except Refusal as refusal:
            return BlobOutcome(None, refusal.kind, refusal.message)
