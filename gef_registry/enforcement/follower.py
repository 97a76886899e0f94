"""Follows a gate's log: fetch, verify everything, keep it durably, and only then use it.

One `sync`:
  1. the key set, against the pinned root; never an older version, never another log;
  2. the checkpoint: log signature, origin, cosignatures; its time must not lie in the future of this host's clock;
  3. against the last checkpoint: smaller is a rollback, the same size with another root is a fork, larger must be
     consistent with it: history never changes. What contradicts is kept as evidence, and a fork, which is proven by two
     signatures of the log, ends all decisions by this view until a person removes the evidence;
  4. the new entries and statements; their hashes must give the signed root;
  5. every signature, folded into the view;
  6. entries, key set, checkpoint to disk, in this order, synced. The view in use changes last.
A statement that is withheld or altered keeps nothing from going on: its admission does not count, and the next syncs ask
for it again. A checkpoint without a cosignature brings news (a revocation) but no freshness.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gef_registry.enforcement.decide import CLOCK_SKEW_S
from gef_registry.enforcement.single_statements import SingleStatements
from gef_registry.enforcement.trust import Trust
from gef_registry.enforcement.view import LogEntry, View, fold
from gef_registry.enforcement.view_codec import decode_view, encode_view, fold_key
from gef_registry.enforcement.view_directory import ViewDirectory
from gef_registry.errors import GefError, NotFound, Unavailable, VerificationFailed
from gef_registry.signing.fields import rfc3339
from gef_registry.signing.leaf import check_statement, statement_id_of
from gef_registry.transparency.merkle import Frontier, Tree, leaf_hash, verify_consistency
from gef_registry.transparency.note import SignedCheckpoint
from gef_registry.transparency.reader import Fetch, LogReader
from gef_registry.transparency.tiles import TILE_WIDTH

KEYS = "keys"
FOLDED = "folded"
MAX_RETRIED_STATEMENTS = 64


@dataclass(frozen=True, slots=True)
class _State:
    """What is on disk, verified."""

    trust: Trust
    head: SignedCheckpoint
    frontier: Frontier
    view: View


class Follower:
    """One host's view of one gate. `sync` and `load` may be called again and again, from one task at a time."""

    def __init__(self, directory: Path, fetch: Fetch, root_fingerprint: str, clock: Callable[[], float]) -> None:
        """`fetch` gives what the gate serves below `/log/`, also `keys`."""
        self._files = ViewDirectory(directory)
        self._fetch = fetch
        self._root_fingerprint = root_fingerprint
        self._clock = clock
        self._state: _State | None = None

    @property
    def view(self) -> View | None:
        """The view of the last `load` or `sync`."""
        return self._state.view if self._state else None

    @property
    def trust(self) -> Trust | None:
        return self._state.trust if self._state else None

    async def load(self) -> View | None:
        """Reads and verifies the view on disk, without the gate; None when there is none. Raises VerificationFailed."""
        try:
            self._state = await asyncio.to_thread(self._load)
        except VerificationFailed:
            self._state = None
            raise
        return self.view

    async def sync(self) -> View:
        """Brings the view up to date. Raises VerificationFailed (never use the answer), Unavailable (try again)."""
        with self._files.locked():
            await self.load()
            old = self._state
            trust = await self._fetch_trust(old)
            reader = LogReader(SingleStatements(self._fetch), trust.keyset.log_origin, trust.log, trust.cosigners)
            new = await self._read_checkpoint(reader, old)
            state = await self._advance(reader, trust, new, old)
            state = await self._retry_hidden(state)
            if old is None or state.view.at(0) != old.view.at(0):
                await asyncio.to_thread(self._keep_fold, state)
            self._state = state
            return state.view

    # ------------------------------------------------------------------ steps of a sync

    async def _fetch_trust(self, old: _State | None) -> Trust:
        try:
            raw = await self._fetch(KEYS)
        except NotFound as error:
            raise Unavailable(f"the gate serves no key set: {error.message}") from error
        trust = Trust.establish(raw, self._root_fingerprint)
        return old.trust.succeeded_by(trust) if old else trust

    async def _read_checkpoint(self, reader: LogReader, old: _State | None) -> SignedCheckpoint:
        """Steps 2 and 3, for which no entries are needed."""
        try:
            new = await reader.checkpoint()
        except NotFound as error:
            raise Unavailable(f"the gate serves no checkpoint: {error.message}") from error
        now = int(self._clock())
        if (new.cosigned_at or 0) > now + CLOCK_SKEW_S:
            raise VerificationFailed(
                f"the log's checkpoint is cosigned {rfc3339(new.cosigned_at or 0)}, this host's clock says {rfc3339(now)}",
                hint="one of the two clocks is wrong; set this host's clock by NTP",
            )
        if old is None:
            if new.cosigned_at is None:
                raise VerificationFailed("the log's checkpoint is not cosigned: nobody says how old it is")
            return new
        was, is_ = old.head.checkpoint, new.checkpoint
        if is_.size < was.size:
            self._alarm(
                "rollback", f"the log shrank: {is_.size} entries, this host has seen {was.size}: rolled back", old, new
            )
        if is_.size == was.size and is_.root != was.root:
            self._alarm("fork", f"the log signed two different histories of {is_.size} entries: it forked", old, new)
        if is_.size > was.size > 0:
            proof = await reader.consistency_proof(was.size, is_.size)
            try:
                verify_consistency(was.size, is_.size, was.root, is_.root, proof)
            except VerificationFailed as error:
                self._alarm("rewritten", f"the log's history was rewritten: {error.message}", old, new)
        return new

    def _alarm(self, what: str, message: str, old: _State, new: SignedCheckpoint) -> None:
        """Raises, after keeping both notes."""
        notes = (old.head.note.encode(), new.note.encode())
        directory = self._files.keep_evidence(what, int(self._clock()), notes)
        if what == "fork":
            self._state = None
        raise VerificationFailed(message, hint=f"both signed notes are kept in {directory}; tell the gate's operator")

    async def _advance(self, reader: LogReader, trust: Trust, new: SignedCheckpoint, old: _State | None) -> _State:
        """Steps 4 to 6."""
        frontier = old.frontier if old else Frontier()
        first = frontier.size
        entries: list[LogEntry] = []
        async for part in reader.replay(frontier, new.checkpoint):
            frontier = part.frontier
            pairs = zip(part.leaves, part.statements, strict=True)
            entries += [LogEntry(part.first + n, leaf, statement) for n, (leaf, statement) in enumerate(pairs)]
        return await asyncio.to_thread(self._store, trust, new, old, entries, frontier, first)

    def _store(
        self,
        trust: Trust,
        new: SignedCheckpoint,
        old: _State | None,
        entries: list[LogEntry],
        frontier: Frontier,
        first: int,
    ) -> _State:
        if old is not None and old.trust.keyset == trust.keyset:
            view = fold(old.view, entries, trust.keyset)
        else:
            view = fold(View(), [*self._files.entries(first), *entries], trust.keyset)
        if entries:
            partial = self._files.entries(first, first - first % TILE_WIDTH)
            self._files.write_entries([*partial, *entries])
        if old is None or old.trust.raw != trust.raw:
            self._files.write("keyset.json", trust.raw)
        head = self._store_checkpoint(new, old)
        cosigned_at = max(new.cosigned_at or 0, old.view.cosigned_at if old else 0)
        return _State(trust, head, frontier, view.at(cosigned_at))

    def _store_checkpoint(self, new: SignedCheckpoint, old: _State | None) -> SignedCheckpoint:
        """The checkpoint that is on disk afterwards: the newer tree, or of the same tree the one vouched for last."""
        if old is not None and new.cosigned_at is None and old.head.cosigned_at is not None:
            if new.checkpoint.size == old.head.checkpoint.size:
                return old.head
            self._files.write("cosigned", old.head.note.encode())
        if (
            old is not None
            and new.checkpoint.size == old.head.checkpoint.size
            and (new.cosigned_at or 0) <= (old.head.cosigned_at or 0)
        ):
            return old.head
        self._files.write("checkpoint", new.note.encode())
        self._files.drop_partials(new.checkpoint.size)
        return new

    async def _retry_hidden(self, state: _State) -> _State:
        """Asks once more for statements that were withheld or altered; when one is served now, folds anew."""
        hidden = [p.index for p in state.view.problems if p.hides_a_statement][:MAX_RETRIED_STATEMENTS]
        if not hidden:
            return state
        entries = await asyncio.to_thread(lambda: list(self._files.entries(state.view.size)))
        healed = False
        for index in hidden:
            leaf = entries[index].leaf
            try:
                statement = await self._fetch(f"statement/{statement_id_of(leaf)}")
            except GefError:
                continue
            if b"\n" not in statement and check_statement(leaf, statement) is None:
                entries[index] = LogEntry(index, leaf, statement)
                healed = True
        if not healed:
            return state
        await asyncio.to_thread(self._files.write_entries, entries)
        view = await asyncio.to_thread(fold, View(), entries, state.trust.keyset)
        return _State(state.trust, state.head, state.frontier, view.at(state.view.cosigned_at))

    def _keep_fold(self, state: _State) -> None:
        entries = self._files.entries(state.view.size)
        key = fold_key(state.trust.raw, state.head.checkpoint.root, entries)
        self._files.write(FOLDED, encode_view(state.view, key))

    # ------------------------------------------------------------------ offline

    def _load(self) -> _State | None:
        if self._files.has_evidence("fork"):
            raise VerificationFailed(
                f"the log forked: {self._files.root / 'evidence'} holds two histories of one size, both signed by the log",
                hint="nothing this log says can be trusted; ask the gate's operator before removing the evidence",
            )
        raw, note = self._files.read("keyset.json"), self._files.read("checkpoint")
        if note is None:
            return None
        if raw is None:
            raise VerificationFailed(f"{self._files.root}: keyset.json is missing")
        trust = Trust.establish(raw, self._root_fingerprint)
        head = trust.open_checkpoint(note)
        cosigned = self._read_cosigned(trust, head)
        if self._state and self._state.head == head and self._state.trust.raw == raw:
            return self._state
        entries = list(self._files.entries(head.checkpoint.size))
        tree = Tree(leaf_hash(entry.leaf) for entry in entries)
        for signed in (head, cosigned):
            if tree.size < signed.checkpoint.size or tree.root(signed.checkpoint.size) != signed.checkpoint.root:
                raise VerificationFailed(
                    f"{self._files.root}: the stored entries do not give the signed root: the view was altered",
                    hint="remove the view's directory and run `gef-registry host init` again",
                )
        key = fold_key(raw, head.checkpoint.root, entries)
        view = decode_view(self._files.read(FOLDED) or b"", key)
        if view is None:
            view = fold(View(), entries, trust.keyset)
        frontier = Frontier().extend(leaf_hash(entry.leaf) for entry in entries)
        return _State(trust, head, frontier, view.at(cosigned.cosigned_at or 0))

    def _read_cosigned(self, trust: Trust, head: SignedCheckpoint) -> SignedCheckpoint:
        if head.cosigned_at is not None:
            return head
        note = self._files.read("cosigned")
        if note is None:
            raise VerificationFailed(f"{self._files.root}: nobody cosigned this view: its age is unknown")
        return trust.open_checkpoint(note)
