"""The log's part of a backup: exactly the tree that the copied head signs, although the log grows meanwhile.

The head is read first; then its files, of which the writer replaces a partial tile by a wider one and writes bundles of
statements that a later tree fills. What lies beyond the head stays out: after a restore the log may take other leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.transparency.layout import CHECKPOINT, LOCK, SIGNED_HEAD, TEMPORARY, parse_statements_path
from gef_registry.transparency.merkle import HASH_SIZE
from gef_registry.transparency.tiles import (
    TILE_WIDTH,
    Tile,
    bundles_between,
    decode_bundle,
    encode_bundle,
    parse_tile,
    tiles_between,
)


@dataclass(frozen=True, slots=True)
class LogHead:
    """The signed head, a checkpoint of the same tree, and how many leaves that has."""

    files: tuple[tuple[str, bytes], ...]
    size: int


def read_head(log: Path) -> LogHead:
    """The head of the log and the checkpoint that goes with it: the one the writer publishes next if it has not yet.

    The published one is read before the head, which is written first: so it never is the larger. Raises
    VerificationFailed for a log that lost its head, or whose head is none.
    """
    published = _read(log / CHECKPOINT)
    head = _read(log / SIGNED_HEAD)
    if head is None:
        if published is not None:
            raise VerificationFailed(f"the log has a checkpoint but lost {SIGNED_HEAD}", hint="restore a backup")
        return LogHead((), 0)
    note = head.partition(b"\n")[2]
    size = _size(SIGNED_HEAD, note)
    if published is not None and _size(CHECKPOINT, published) > size:
        raise VerificationFailed(f"the log published more than its {SIGNED_HEAD} knows", hint="restore a backup")
    return LogHead(((CHECKPOINT, note), (SIGNED_HEAD, head)), size)


def kept_files(log: Path, size: int) -> Iterator[Path]:
    """The files of a tree of `size` leaves that are there now, heads and partial tiles apart."""
    heads = (log / CHECKPOINT, log / SIGNED_HEAD)
    for path in sorted(log.rglob("*")):
        name = path.relative_to(log).as_posix()
        if path.is_symlink() or not path.is_file() or path in heads or name == LOCK or name.startswith(f"{TEMPORARY}/"):
            continue
        if _belongs(name, size):
            yield path


def partial_tiles(log: Path, size: int) -> Iterator[tuple[str, bytes]]:
    """The incomplete last tiles and bundle of a tree of `size` leaves, cut from wider ones when those replaced them."""
    for tile in (*tiles_between(0, size), *bundles_between(0, size)):
        if tile.width < TILE_WIDTH:
            yield tile.path, _cut(log, tile)


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _size(name: str, note: bytes) -> int:
    lines = note.split(b"\n")
    if len(lines) < 3 or not lines[1].isdigit() or len(lines[1]) > 19:
        raise VerificationFailed(f"log/{name} is damaged: it does not say how many entries it covers")
    return int(lines[1])


def _belongs(name: str, size: int) -> bool:
    try:
        if name.startswith("tile/"):
            tile = parse_tile(name)
            return tile.width == TILE_WIDTH and tile.end <= size
        if name.startswith("statements/"):
            return (parse_statements_path(name) + 1) * TILE_WIDTH <= size
    except BadInput:
        return False
    return True


def _cut(log: Path, tile: Tile) -> bytes:
    """The narrowest file that holds the tile, cut to its width. Partial files go only after a wider one is there."""
    for _ in range(3):
        for path in _candidates(log, tile):
            try:
                return _narrowed(path.read_bytes(), tile)
            except FileNotFoundError:
                continue
    raise VerificationFailed(f"log/{tile.path} is missing", hint="gef-registry log audit")


def _candidates(log: Path, tile: Tile) -> list[Path]:
    full = log / tile.full.path
    partial = full.with_name(f"{full.name}.p")
    widths = [int(path.name) for path in partial.glob("*") if path.name.isdigit() and int(path.name) >= tile.width]
    return [*(partial / str(width) for width in sorted(widths)), full]


def _narrowed(data: bytes, tile: Tile) -> bytes:
    if tile.level is not None:
        if len(data) < tile.width * HASH_SIZE:
            raise VerificationFailed(f"log/{tile.path} is cut off", hint="gef-registry log audit")
        return data[: tile.width * HASH_SIZE]
    leaves = decode_bundle(data, _count(data))
    if len(leaves) < tile.width:
        raise VerificationFailed(f"log/{tile.path} is cut off", hint="gef-registry log audit")
    return encode_bundle(leaves[: tile.width])


def _count(data: bytes) -> int:
    count = position = 0
    while position < len(data):
        position += 2 + int.from_bytes(data[position : position + 2], "big")
        count += 1
    return count
