"""One group commit: which new leaves several callers' entries become, and the files that record them.

Nothing here writes. A caller whose entries contradict the log (or another caller of the same commit) is refused alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gef_registry.errors import BadInput, Conflict, VerificationFailed
from gef_registry.transparency.layout import (
    MAX_STATEMENT_BYTES,
    require_statement_id,
    statement_file,
    statement_ids_file,
)
from gef_registry.transparency.merkle import leaf_hash
from gef_registry.transparency.recovery import ID_SIZE, Files, Head, LogState
from gef_registry.transparency.tiles import (
    MAX_ENTRY_BYTES,
    TILE_WIDTH,
    bundles_between,
    encode_bundle,
    tile_data,
    tiles_between,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A leaf, and the statement that the log serves beside it.

    The statement is one line without its newline, at most 1 MiB; `statement_id` is 64 lower-case hexadecimal digits.
    """

    leaf: bytes
    statement: bytes
    statement_id: str

    def __post_init__(self) -> None:
        require_statement_id(self.statement_id)
        if not 1 <= len(self.leaf) <= MAX_ENTRY_BYTES:
            raise BadInput(f"a leaf has 1 to {MAX_ENTRY_BYTES} bytes, got {len(self.leaf)}")
        if not 1 <= len(self.statement) <= MAX_STATEMENT_BYTES or b"\n" in self.statement:
            raise BadInput(f"a statement is one line of 1 to {MAX_STATEMENT_BYTES} bytes without newline")


@dataclass(slots=True)
class Commit:
    """The leaves that follow `state`. `files` extends its tree, `apply` the rest of it; nothing else touches it."""

    state: LogState
    old: int
    """how many leaves the state had when this commit began"""
    entries: list[Entry] = field(default_factory=list)
    _indexes: dict[bytes, int] = field(default_factory=dict)
    _statements: dict[str, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many leaves the log has afterwards."""
        return self.old + len(self.entries)

    def place(self, entries: Sequence[Entry], files: Files) -> list[int]:
        """The index of each of one caller's entries, old or new. Raises Conflict and takes none of them then."""
        count, indexes, statements = len(self.entries), self._indexes.copy(), self._statements.copy()
        try:
            return [self._place(entry, files) for entry in entries]
        except BaseException:
            del self.entries[count:]
            self._indexes, self._statements = indexes, statements
            raise

    def files(self) -> list[tuple[str, bytes]]:
        """Statements, bundles and tiles of the new leaves, after adding them to the tree."""
        state, old, new = self.state, self.old, self.size
        for entry in self.entries:
            state.tree.append(leaf_hash(entry.leaf))
        first = old - len(state.tail)
        leaves = [*state.tail, *(entry.leaf for entry in self.entries)]
        ids = bytes(state.statement_ids[first * ID_SIZE :]) + b"".join(
            bytes.fromhex(e.statement_id) for e in self.entries
        )
        files = [(statement_file(key), statement) for key, statement in self._statements.items()]
        for bundle in bundles_between(old, new):
            start = bundle.index * TILE_WIDTH - first
            end = start + bundle.width
            files.append((bundle.path, encode_bundle(leaves[start:end])))
            files.append((statement_ids_file(bundle.index), ids[start * ID_SIZE : end * ID_SIZE]))
        files += [(tile.path, tile_data(tile, state.tree)) for tile in tiles_between(old, new)]
        return files

    def apply(self, head: Head) -> None:
        """Takes the leaves into the state, once the head that covers them is published; the head comes last."""
        state = self.state
        state.indexes.update(self._indexes)
        for entry in self.entries:
            statement_id = bytes.fromhex(entry.statement_id)
            state.statement_ids += statement_id
            state.known_ids.add(statement_id)
            state.tail.append(entry.leaf)
        del state.tail[: len(state.tail) - self.size % TILE_WIDTH]
        state.head = head

    def _place(self, entry: Entry, files: Files) -> int:
        node = leaf_hash(entry.leaf)
        index = self.state.indexes.get(node, self._indexes.get(node))
        if index is not None and self._id_of(index) != entry.statement_id:
            raise Conflict(f"leaf {index} is in the log with statement {self._id_of(index)}, not {entry.statement_id}")
        self._check_statement(entry, files)
        if index is None:
            index = self._indexes[node] = self.size
            self.entries.append(entry)
        return index

    def _id_of(self, index: int) -> str:
        new = index - self.old
        return self.state.statement_id(index) if new < 0 else self.entries[new].statement_id

    def _check_statement(self, entry: Entry, files: Files) -> None:
        """A logged statement never changes; a file that no leaf refers to is what a crash left behind."""
        if bytes.fromhex(entry.statement_id) in self.state.known_ids:
            there = files.read(statement_file(entry.statement_id))
            if there is None:
                raise VerificationFailed(
                    f"statement {entry.statement_id} of a logged leaf is gone", hint="audit the log"
                )
        else:
            there = self._statements.setdefault(entry.statement_id, entry.statement)
        if there != entry.statement:
            raise Conflict(f"statement {entry.statement_id} is recorded with other content")
