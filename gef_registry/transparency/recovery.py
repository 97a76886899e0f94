"""What a log's directory says the log is, checked from the entries up; run at every start.

The truth is `signed-head`, written and synced before its checkpoint could be seen. The entries must give its root, and
the published checkpoint must be that tree or an earlier one. Tiles beyond were never signed nor acknowledged: the writer
removes them first of all, for a partial one that other leaves later grow past would contradict the log for ever.
Anything else is VerificationFailed: signing on would fork the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.transparency.layout import CHECKPOINT, SIGNED_HEAD, statement_ids_file
from gef_registry.transparency.merkle import HASH_SIZE, Tree, leaf_hash
from gef_registry.transparency.note import (
    Checkpoint,
    CosignatureVerifier,
    NoteVerifier,
    SignedCheckpoint,
    open_checkpoint,
)
from gef_registry.transparency.tiles import TILE_WIDTH, Tile, bundles_between, decode_bundle, parse_tile

ID_SIZE = 32
_HEAD_LINE = "cosigned-at "
_HINT = "do not start this log; restore its directory from a backup that is not older than any checkpoint seen"


class Files(Protocol):
    """Reads files of a log."""

    def read(self, path: str) -> bytes | None:
        """The whole file, or None. Raises Unavailable."""
        ...

    def names(self, path: str) -> list[str]:
        """The names in a directory, empty when there is none."""
        ...


class Storage(Files, Protocol):
    """What a writer needs, used by one thread at a time; it excludes other writers while it lives."""

    def write(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Each file atomically, all durable on return; after an exception any of them may be there. Raises Unavailable."""
        ...

    def discard(self, path: str) -> None:
        """Removes a file, or a directory with all its files, if it is there; durable on return. Raises Unavailable."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Head:
    """The newest note this log signed, and the newest time its cosigner ever vouched for."""

    signed: SignedCheckpoint
    cosigned_at: int

    @property
    def checkpoint(self) -> Checkpoint:
        return self.signed.checkpoint

    def encode(self) -> bytes:
        return f"{_HEAD_LINE}{self.cosigned_at}\n{self.signed.note}".encode()


@dataclass(slots=True)
class LogState:
    """A log in memory; only its writer changes it."""

    head: Head
    tree: Tree
    indexes: dict[bytes, int]
    """leaf hash -> index"""
    statement_ids: bytearray
    """32 bytes for each leaf, in leaf order"""
    known_ids: set[bytes]
    tail: list[bytes]
    """the leaves of the incomplete last bundle"""

    @property
    def size(self) -> int:
        return self.head.checkpoint.size

    def statement_id(self, index: int) -> str:
        return bytes(self.statement_ids[index * ID_SIZE : (index + 1) * ID_SIZE]).hex()


def load_state(files: Files, origin: str, log: NoteVerifier, cosigner: CosignatureVerifier) -> LogState | None:
    """Everything of a log, verified; None when there never was one. Raises VerificationFailed, Unavailable."""
    head = load_head(files, origin, log, cosigner)
    if head is None:
        return None
    size = head.checkpoint.size
    state = LogState(head, Tree(), {}, bytearray(), set(), [])
    for bundle in bundles_between(0, size):
        leaves = read_bundle(files, bundle)
        for offset, leaf in enumerate(leaves):
            node = leaf_hash(leaf)
            state.tree.append(node)
            state.indexes.setdefault(node, bundle.index * TILE_WIDTH + offset)
        ids = read_statement_ids(files, bundle.index, bundle.width)
        state.statement_ids += b"".join(ids)
        state.known_ids.update(ids)
        state.tail = list(leaves) if bundle.width < TILE_WIDTH else []
    if state.tree.root() != head.checkpoint.root:
        raise VerificationFailed(
            f"the log {origin}: the entries on disk do not give the root it signed at {size}", hint=_HINT
        )
    _check_published(files, head, state.tree, log, cosigner)
    return state


def load_head(files: Files, origin: str, log: NoteVerifier, cosigner: CosignatureVerifier) -> Head | None:
    """The signed head; None when this directory never held a log. Raises VerificationFailed."""
    data = files.read(SIGNED_HEAD)
    if data is None:
        if files.read(CHECKPOINT) is not None or files.names("tile"):
            raise VerificationFailed(f"the log {origin} has entries or a checkpoint but lost {SIGNED_HEAD}", hint=_HINT)
        return None
    line, _, note = data.partition(b"\n")
    number = line.removeprefix(_HEAD_LINE.encode())
    if number == line or not number.isdigit() or len(number) > 19:
        raise VerificationFailed(
            f"the log {origin}: {SIGNED_HEAD} does not begin with {_HEAD_LINE!r} and a time", hint=_HINT
        )
    signed = open_checkpoint(note, origin, log, [cosigner])
    return Head(signed, max(int(number), signed.cosigned_at or 0))


def read_bundle(files: Files, bundle: Tile) -> tuple[bytes, ...]:
    """The leaves of a bundle, from the full one when the partial one is gone. Raises VerificationFailed."""
    for tile in (bundle, bundle.full):
        data = files.read(tile.path)
        if data is not None:
            return decode_bundle(data, tile.width)[: bundle.width]
    raise VerificationFailed(f"the log's entries are gone: {bundle.path}", hint=_HINT)


def read_tile(files: Files, tile: Tile) -> bytes | None:
    """The bytes of a hash tile, from the full one when the partial one is gone; None when both are."""
    data = files.read(tile.path)
    if data is None and tile != tile.full:
        data = files.read(tile.full.path)
        return None if data is None else data[: tile.width * HASH_SIZE]
    return data


def unsigned_tiles(files: Files, size: int) -> list[str]:
    """The tiles and bundles that only a tree larger than `size` has, and files that are no tiles at all."""
    return [path for path in _tile_files(files, "tile") if not _is_within(path, size)]


def read_statement_ids(files: Files, index: int, width: int) -> list[bytes]:
    """The ids of the statements of one bundle's leaves. Raises VerificationFailed."""
    data = files.read(statement_ids_file(index)) or b""
    if len(data) < width * ID_SIZE:
        raise VerificationFailed(
            f"{statement_ids_file(index)} has {len(data)} bytes, expected {width * ID_SIZE}", hint=_HINT
        )
    return [data[i * ID_SIZE : (i + 1) * ID_SIZE] for i in range(width)]


def tree_is_behind(tree: Tree, ours: Checkpoint, seen: Checkpoint) -> bool:
    """Whether `seen` is larger than our tree. Raises VerificationFailed when it is not larger and not ours."""
    if seen.origin != ours.origin:
        raise VerificationFailed(f"a checkpoint of {seen.origin!r} says nothing about the log {ours.origin!r}")
    if seen.size <= ours.size and tree.root(seen.size) != seen.root:
        raise VerificationFailed(f"the log {ours.origin} was seen with another root at {seen.size} leaves: it forked")
    return seen.size > ours.size


def _tile_files(files: Files, directory: str) -> Iterator[str]:
    for name in files.names(directory):
        path = f"{directory}/{name}"
        if directory == "tile" or name.endswith(".p") or name.startswith("x"):
            yield from _tile_files(files, path)
        else:
            yield path


def _is_within(path: str, size: int) -> bool:
    try:
        return parse_tile(path).end <= size
    except BadInput:
        return False


def _check_published(files: Files, head: Head, tree: Tree, log: NoteVerifier, cosigner: CosignatureVerifier) -> None:
    note = files.read(CHECKPOINT)
    if note is None:
        return
    published = open_checkpoint(note, head.checkpoint.origin, log, [cosigner]).checkpoint
    if published.size > head.checkpoint.size:
        raise VerificationFailed(
            f"the log {published.origin} published {published.size} leaves but its {SIGNED_HEAD} knows {head.checkpoint.size}",
            hint=_HINT,
        )
    if tree.root(published.size) != published.root:
        raise VerificationFailed(
            f"the log {published.origin}: the entries on disk do not give the root it published at {published.size}",
            hint=_HINT,
        )
