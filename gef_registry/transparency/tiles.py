"""Tiles and entry bundles of a log (c2sp.org/tlog-tiles): their paths, their contents, hashes read from them.

A tile holds up to 256 consecutive hashes of every eighth level of the tree; an entry bundle up to 256 leaves, each with
a big-endian uint16 length before it. A path is parsed strictly: one tile has exactly one spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.transparency.merkle import HASH_SIZE, ReadHash, Tree, root_of

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
MAX_ENTRY_BYTES = 0xFFFF

_INDEX = r"(?!x000/)((?:x[0-9]{3}/){0,5}[0-9]{3})"
_TILE = re.compile(rf"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/{_INDEX}(?:\.p/([1-9][0-9]{{0,2}}))?", re.ASCII)
_BARE_INDEX = re.compile(_INDEX, re.ASCII)


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile, or one bundle of entries when `level` is None; partial when narrower than 256."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        kind = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{kind}/{format_index(self.index)}{partial}"

    @property
    def full(self) -> Tile:
        """The full tile at the same place."""
        return Tile(self.level, self.index)

    @property
    def end(self) -> int:
        """How many leaves a tree must have before this tile exists."""
        return (self.index * TILE_WIDTH + self.width) << (TILE_HEIGHT * (self.level or 0))


def format_index(index: int) -> str:
    """1234067 -> x001/x234/067."""
    text = f"{index % 1000:03d}"
    while index := index // 1000:
        text = f"x{index % 1000:03d}/{text}"
    return text


def parse_index(text: str) -> int:
    """The inverse of `format_index`. Raises BadInput."""
    if not _BARE_INDEX.fullmatch(text):
        raise BadInput(f"not a tile index: {text[:80]!r}; expected the form x001/x234/067")
    return int(text.replace("x", "").replace("/", ""))


def parse_tile(path: str) -> Tile:
    """A path such as `tile/entries/x001/000.p/17`, without anything before it. Raises BadInput."""
    match = _TILE.fullmatch(path)
    if not match or (match[3] and int(match[3]) >= TILE_WIDTH):
        raise BadInput(
            f"not the path of a tile: {path[:80]!r}; expected tile/<L>/<N>[.p/<W>] or tile/entries/<N>[.p/<W>]"
        )
    level = None if match[1] == "entries" else int(match[1])
    return Tile(level, parse_index(match[2]), int(match[3]) if match[3] else TILE_WIDTH)


def tiles_between(old: int, new: int) -> Iterator[Tile]:
    """The tiles (not bundles) that a tree of `new` leaves has and a tree of `old` leaves has not."""
    level = 0
    while new:
        yield from _row(level, old, new)
        old, new, level = old >> TILE_HEIGHT, new >> TILE_HEIGHT, level + 1


def bundles_between(old: int, new: int) -> Iterator[Tile]:
    """The entry bundles that hold leaves `old` to `new`, as a tree of `new` leaves has them."""
    return _row(None, old, new)


def _row(level: int | None, old: int, new: int) -> Iterator[Tile]:
    if old >= new:
        return
    for index in range(old // TILE_WIDTH, -(-new // TILE_WIDTH)):
        yield Tile(level, index, min(TILE_WIDTH, new - index * TILE_WIDTH))


def tile_data(tile: Tile, tree: Tree) -> bytes:
    """The bytes of a hash tile."""
    level = tile.level or 0
    return tree.hashes(level * TILE_HEIGHT, tile.index * TILE_WIDTH, tile.width)


def encode_bundle(leaves: Sequence[bytes]) -> bytes:
    """Leaves, each with its length before it. Raises BadInput for one that is too long."""
    for leaf in leaves:
        if len(leaf) > MAX_ENTRY_BYTES:
            raise BadInput(f"a leaf of {len(leaf)} bytes; the log takes {MAX_ENTRY_BYTES} at most")
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def decode_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """Exactly `width` leaves and nothing after them. Raises VerificationFailed."""
    leaves: list[bytes] = []
    position = 0
    while position < len(data) and len(leaves) < width:
        end = position + 2 + int.from_bytes(data[position : position + 2], "big")
        if position + 2 > len(data) or end > len(data):
            raise VerificationFailed(f"entry bundle: leaf {len(leaves)} is cut off at byte {len(data)}")
        leaves.append(data[position + 2 : end])
        position = end
    if len(leaves) != width or position != len(data):
        raise VerificationFailed(
            f"entry bundle: expected {width} leaves, got {len(leaves)} and {len(data) - position} bytes more"
        )
    return tuple(leaves)


def tile_of_node(level: int, index: int, size: int) -> Tile:
    """The tile of a tree of `size` leaves from whose hashes this complete node is computed."""
    tile_level, height = divmod(level, TILE_HEIGHT)
    tile_index = (index << height) // TILE_WIDTH
    width = min(TILE_WIDTH, (size >> (TILE_HEIGHT * tile_level)) - tile_index * TILE_WIDTH)
    if width < 1 or (index + 1) << level > size:
        raise BadInput(f"a tree of {size} leaves has no complete node {level}/{index}")
    return Tile(tile_level, tile_index, width)


def hash_reader(size: int, tiles: Mapping[Tile, bytes]) -> ReadHash:
    """Reads nodes of a tree of `size` leaves from its tiles. Unverified: the proofs built on it tell lies apart."""

    def read_hash(level: int, index: int) -> bytes:
        tile = tile_of_node(level, index, size)
        data = tiles[tile]
        if len(data) != tile.width * HASH_SIZE:
            raise VerificationFailed(f"{tile.path}: {len(data)} bytes, expected {tile.width * HASH_SIZE}")
        count = 1 << (level % TILE_HEIGHT)
        start = index * count - tile.index * TILE_WIDTH
        return root_of(data[i * HASH_SIZE : (i + 1) * HASH_SIZE] for i in range(start, start + count))

    return read_hash
