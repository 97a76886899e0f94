"""The one writer of a log: orders entries, makes them durable, signs and publishes checkpoints.

Order of every commit: statements, bundles and tiles synced; then `signed-head`; then `checkpoint`. So a signed tree is
always on disk before anybody sees its signature, and a crash between any two writes is repaired by opening again. After
any failure the state is read back from disk, in the same way, before anything more is signed. All disk work happens in one
thread; callers that wait meanwhile share the next commit.

The built-in cosigner never vouches for a time before one it vouched for already. With the clock behind that time, a
refresh leaves the old checkpoint in place, and an append (a revocation must not wait for a clock) publishes a checkpoint
with the log's signature alone, which no host takes as fresh; both are logged as errors, and `cosigned_at` tells.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gef_registry.errors import GefError, NotFound, Unavailable
from gef_registry.transparency.commit import Commit, Entry
from gef_registry.transparency.layout import (
    CHECKPOINT,
    SIGNED_HEAD,
    require_statement_id,
    statement_file,
    statements_path,
)
from gef_registry.transparency.local import MAX_FILE_BYTES, LocalStorage
from gef_registry.transparency.merkle import EMPTY_ROOT, Tree, consistency_proof, inclusion_proof, leaf_hash
from gef_registry.transparency.note import Checkpoint, CosignatureSigner, NoteSigner, SignedCheckpoint, open_checkpoint
from gef_registry.transparency.recovery import Head, LogState, Storage, load_state, tree_is_behind, unsigned_tiles
from gef_registry.transparency.tiles import TILE_WIDTH, bundles_between, tiles_between

__all__ = ["Appended", "Entry", "Sequencer"]

MAX_WAITING = 4096
MAX_COMMIT_ENTRIES = 1024
MAX_COMMIT_BYTES = 1 << 26
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an entry is, and the signed note of a published checkpoint that covers it."""

    index: int
    leaf_hash: bytes
    checkpoint: str


@dataclass(frozen=True, slots=True)
class _Request:
    entries: tuple[Entry, ...]
    done: Future[list[Appended]]

    @property
    def bytes(self) -> int:
        return sum(len(e.leaf) + len(e.statement) for e in self.entries)


class Sequencer:
    """The writer of one log. Made by `open`, ended by `close`; safe for any number of coroutines of one loop."""

    def __init__(
        self, storage: Storage, log: NoteSigner, cosigner: CosignatureSigner, clock: Callable[[], float]
    ) -> None:
        self._storage = storage
        self._signer = log
        self._cosigner = cosigner
        self._clock = clock
        self._waiting: deque[_Request] = deque()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="log-writer")
        self._closed = False
        self._stale = True
        self._state: LogState

    @classmethod
    async def open(
        cls,
        directory: Path,
        origin: str,
        log_signer: NoteSigner,
        cosigner: CosignatureSigner,
        clock: Callable[[], float],
    ) -> Sequencer:
        """Locks and recovers the log in a directory, or begins one. Raises VerificationFailed, Unavailable."""
        storage = await asyncio.to_thread(LocalStorage, directory)
        return await cls.open_storage(storage, origin, log_signer, cosigner, clock)

    @classmethod
    async def open_storage(
        cls,
        storage: Storage,
        origin: str,
        log_signer: NoteSigner,
        cosigner: CosignatureSigner,
        clock: Callable[[], float],
    ) -> Sequencer:
        """The same on any storage, which is closed with the sequencer or when opening fails."""
        self = cls(storage, log_signer, cosigner, clock)
        try:
            await asyncio.wrap_future(self._writer.submit(self._recover, origin))
        except BaseException:
            await self.close()
            raise
        return self

    async def append(self, entries: Sequence[Entry]) -> list[Appended]:
        """Logs entries in order, all in one checkpoint or none; a known leaf keeps its index. Durable and published on return.

        Raises Conflict when a leaf or statement id is recorded with another statement; Unavailable when the disk fails
        or too many wait, and then the entries may or may not be logged: append them again.
        """
        if self._closed or len(self._waiting) >= MAX_WAITING:
            raise Unavailable(
                "the log is closed" if self._closed else f"{MAX_WAITING} callers already wait for the log"
            )
        request = _Request(tuple(entries), Future())
        self._waiting.append(request)
        self._writer.submit(self._commit_waiting)
        return await asyncio.wrap_future(request.done)

    async def refresh_cosignature(self) -> str:
        """Cosigns the current tree with the time of now and publishes that; the answer is the note in force afterwards."""
        if self._closed:
            raise Unavailable("the log is closed")
        return await asyncio.wrap_future(self._writer.submit(self._refresh))

    def size(self) -> int:
        """How many leaves the published log has."""
        return self._state.size

    def checkpoint(self) -> str:
        """The signed note in force."""
        return self._state.head.signed.note

    def cosigned_at(self) -> int | None:
        """The time in the note in force; None while the clock is behind the last time cosigned."""
        return self._state.head.signed.cosigned_at

    async def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """From the leaf's sibling up, in the tree of `size` leaves, by default the published one. Raises NotFound."""
        size = self.size() if size is None else size
        if not 0 <= index < size <= self.size():
            raise NotFound(f"the log has {self.size()} leaves; no proof of leaf {index} in a tree of {size}")
        return inclusion_proof(index, size, self._state.tree.read_hash)

    async def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """That the tree of `new` leaves continues that of `old`. Raises NotFound."""
        if not 0 <= old <= new <= self.size():
            raise NotFound(f"the log has {self.size()} leaves; no consistency proof from {old} to {new}")
        return consistency_proof(old, new, self._state.tree.read_hash)

    async def find(self, leaf: bytes) -> int | None:
        """The index of a published leaf."""
        return self._state.indexes.get(leaf_hash(leaf))

    def has_statement(self, statement_id: str) -> bool:
        """Whether a published leaf refers to this statement: only then may it be served."""
        return bytes.fromhex(require_statement_id(statement_id)) in self._state.known_ids

    def is_behind(self, seen: Checkpoint) -> bool:
        """Whether somebody saw a larger tree of this log than this one: then it was restored from an old copy and must
        not sign. Raises VerificationFailed when what they saw is another history."""
        return tree_is_behind(self._state.tree, self._state.head.checkpoint, seen)

    async def close(self) -> None:
        """Finishes what waits, then gives the directory back."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        self._writer.shutdown()
        self._storage.close()

    # Everything below runs in the writer's thread.

    def _recover(self, origin: str) -> None:
        state = load_state(self._storage, origin, self._signer.verifier, self._cosigner.verifier)
        if state is None:
            empty = Checkpoint(origin, 0, EMPTY_ROOT)
            head = Head(SignedCheckpoint(empty, "", ()), 0)
            state = LogState(self._publish(empty, head), Tree(), {}, bytearray(), set(), [])
        else:
            for path in unsigned_tiles(self._storage, state.size):
                self._storage.discard(path)
            if self._storage.read(CHECKPOINT) != state.head.signed.note.encode():
                self._storage.write([(CHECKPOINT, state.head.signed.note.encode())])
        self._state = state
        self._stale = False

    def _ensure_fresh(self) -> None:
        if self._stale:
            self._recover(self._state.head.checkpoint.origin)

    def _commit_waiting(self) -> None:
        """Commits what waits, up to the limits; every append submits one call, so that the rest has its own."""
        requests = self._take_requests()
        if not requests:
            return
        try:
            answers = self._commit(requests)
        except BaseException as error:
            for request in requests:
                if not request.done.done():
                    request.done.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for request, indexes in answers:
            note = self.checkpoint()
            pairs = zip(request.entries, indexes, strict=True)
            request.done.set_result([Appended(index, leaf_hash(entry.leaf), note) for entry, index in pairs])

    def _take_requests(self) -> list[_Request]:
        requests: list[_Request] = []
        entries = size = 0
        while self._waiting and entries < MAX_COMMIT_ENTRIES and size < MAX_COMMIT_BYTES:
            request = self._waiting.popleft()
            if request.done.set_running_or_notify_cancel():
                requests.append(request)
                entries, size = entries + len(request.entries), size + request.bytes
        return requests

    def _commit(self, requests: Sequence[_Request]) -> list[tuple[_Request, list[int]]]:
        self._ensure_fresh()
        state, old = self._state, self._state.size
        commit = Commit(state, old)
        answers: list[tuple[_Request, list[int]]] = []
        for request in requests:
            try:
                answers.append((request, commit.place(request.entries, self._storage)))
            except GefError as error:
                request.done.set_exception(error)
        if commit.entries:
            try:
                self._storage.write(commit.files())
                tree = Checkpoint(state.head.checkpoint.origin, commit.size, state.tree.root())
                commit.apply(self._publish(tree, state.head))
            except BaseException:
                self._stale = True
                state.tree.truncate(old)
                raise
            self._tidy(old, commit.size)
        return answers

    def _refresh(self) -> str:
        self._ensure_fresh()
        head = self._state.head
        now = self._now()
        if now < head.cosigned_at:
            self._report_clock(now, head)
        elif now > head.cosigned_at or head.signed.cosigned_at is None:
            self._state.head = self._publish(head.checkpoint, head)
        return self.checkpoint()

    def _publish(self, tree: Checkpoint, head: Head) -> Head:
        """Signs a tree whose every file is durable, and makes it the checkpoint in force."""
        last, now, note = head.cosigned_at, self._now(), f"{tree.text}\n{self._signer.sign(tree.text)}"
        if now >= last:
            note += self._cosigner.sign(tree.text, now)
        else:
            self._report_clock(now, head)
        signed = open_checkpoint(note, tree.origin, self._signer.verifier, [self._cosigner.verifier])
        new = Head(signed, max(last, now))
        self._stale = True  # until all is written: only the disk knows which tree was signed last
        self._storage.write([(SIGNED_HEAD, new.encode())])
        self._storage.write([(CHECKPOINT, note.encode())])
        self._stale = False
        return new

    def _now(self) -> int:
        return int(self._clock())

    def _report_clock(self, now: int, head: Head) -> None:
        _log.error("the clock (%d) is behind the last cosigned time (%d): not cosigning", now, head.cosigned_at)

    def _tidy(self, old: int, new: int) -> None:
        """After publication: partial tiles that are full now go, full bundles of statements become files."""
        try:
            for tile in (*tiles_between(old, new), *bundles_between(old, new)):
                if tile.width == TILE_WIDTH:
                    self._storage.discard(f"{tile.path}.p")
            for bundle in bundles_between(old, new):
                if bundle.width == TILE_WIDTH:
                    self._write_statements(bundle.index)
        except GefError as error:
            _log.warning("the log is in order, but tidying it failed: %s", error)

    def _write_statements(self, index: int) -> None:
        lines: list[bytes] = []
        size = 0
        for leaf in range(index * TILE_WIDTH, (index + 1) * TILE_WIDTH):
            statement = self._storage.read(statement_file(self._state.statement_id(leaf)))
            size += len(statement or b"") + 1
            if statement is None or size > MAX_FILE_BYTES:
                return
            lines.append(statement + b"\n")
        self._storage.write([(statements_path(index), b"".join(lines))])
