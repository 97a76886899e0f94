"""Reads a log through any `Fetch`: a local directory here, HTTP in the rooms that have it.

Nothing fetched is believed: bundles must hash to the signed root, proofs are verified by whoever receives them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gef_registry.errors import BadInput, NotFound, Unavailable, VerificationFailed
from gef_registry.transparency.layout import (
    CHECKPOINT,
    MAX_STATEMENT_BYTES,
    parse_statements_path,
    statement_file,
    statements_path,
)
from gef_registry.transparency.local import LogDirectory
from gef_registry.transparency.merkle import (
    HASH_SIZE,
    Frontier,
    ReadHash,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
)
from gef_registry.transparency.note import (
    Checkpoint,
    CosignatureVerifier,
    NoteVerifier,
    SignedCheckpoint,
    open_checkpoint,
    parse_checkpoint,
)
from gef_registry.transparency.recovery import read_statement_ids
from gef_registry.transparency.tiles import (
    TILE_WIDTH,
    Tile,
    bundles_between,
    decode_bundle,
    hash_reader,
    parse_tile,
    tile_of_node,
)

Fetch = Callable[[str], Awaitable[bytes]]
"""The bytes at a path such as `checkpoint` or `tile/entries/000`, bounded. Raises NotFound, Unavailable."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """Consecutive leaves with their statements (empty when withheld), and the frontier after them."""

    first: int
    leaves: tuple[bytes, ...]
    statements: tuple[bytes, ...]
    frontier: Frontier


class LogReader:
    """One log, as a follower sees it."""

    def __init__(
        self, fetch: Fetch, origin: str, log: NoteVerifier, cosigners: Sequence[CosignatureVerifier] = ()
    ) -> None:
        self._fetch = fetch
        self._origin = origin
        self._log = log
        self._cosigners = tuple(cosigners)

    async def checkpoint(self) -> SignedCheckpoint:
        """The checkpoint in force, signature and origin checked. Raises VerificationFailed, NotFound, Unavailable."""
        return open_checkpoint(await self._fetch(CHECKPOINT), self._origin, self._log, self._cosigners)

    async def replay(self, start: Frontier, until: Checkpoint) -> AsyncIterator[Leaves]:
        """All leaves after `start` up to a checkpoint, a bundle at a time.

        Only the last step proves that they are the signed ones, and that the log still has the history `start` stands
        for: use nothing before the iteration has ended. Raises VerificationFailed, Unavailable.
        """
        if until.size < start.size or (until.size == start.size and until.root != start.root()):
            raise VerificationFailed(
                f"the log {until.origin} at {until.size} leaves does not continue {start.size} leaves"
            )
        frontier = start
        for bundle in bundles_between(start.size, until.size):
            first = bundle.index * TILE_WIDTH
            skip = frontier.size - first
            leaves = (await self._bundle(bundle))[skip:]
            statements = (await self._statements(bundle))[skip:]
            frontier = frontier.extend(map(leaf_hash, leaves))
            if frontier.size == until.size and frontier.root() != until.root:
                raise VerificationFailed(
                    f"the log {until.origin}: the entries do not give the root signed at {until.size}"
                )
            yield Leaves(first + skip, leaves, statements, frontier)

    async def statement(self, statement_id: str) -> bytes:
        """One statement by its id, unverified. Raises NotFound."""
        statement_file(statement_id)  # refuses what is no id
        statement = await self._fetch(f"statement/{statement_id}")
        if len(statement) > MAX_STATEMENT_BYTES:
            raise VerificationFailed(f"statement {statement_id}: more than {MAX_STATEMENT_BYTES} bytes")
        return statement

    async def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Computed from tiles, unverified."""
        return await self._prove(size, lambda read_hash: inclusion_proof(index, size, read_hash))

    async def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Computed from tiles, unverified."""
        return await self._prove(new, lambda read_hash: consistency_proof(old, new, read_hash))

    async def _prove(self, size: int, build: Callable[[ReadHash], list[bytes]]) -> list[bytes]:
        """A first run on zeros tells which tiles are needed, the second run has them."""
        needed: set[Tile] = set()

        def note_tile(level: int, index: int) -> bytes:
            needed.add(tile_of_node(level, index, size))
            return bytes(HASH_SIZE)

        build(note_tile)
        tiles = sorted(needed, key=lambda tile: tile.path)
        data = [await self._tile(tile) for tile in tiles]
        return build(hash_reader(size, dict(zip(tiles, data, strict=True))))

    async def _tile(self, tile: Tile) -> bytes:
        data, got = await self._tile_or_full(tile)
        if len(data) != got.width * HASH_SIZE:
            raise VerificationFailed(f"{got.path}: {len(data)} bytes, expected {got.width * HASH_SIZE}")
        return data[: tile.width * HASH_SIZE]

    async def _bundle(self, bundle: Tile) -> tuple[bytes, ...]:
        data, got = await self._tile_or_full(bundle)
        return decode_bundle(data, got.width)[: bundle.width]

    async def _tile_or_full(self, tile: Tile) -> tuple[bytes, Tile]:
        """A log may drop a partial tile once the full one is there."""
        try:
            return await self._fetch(tile.path), tile
        except NotFound:
            if tile == tile.full:
                raise _withheld(tile.path) from None
        try:
            return await self._fetch(tile.full.path), tile.full
        except NotFound:
            raise _withheld(tile.path) from None

    async def _statements(self, bundle: Tile) -> tuple[bytes, ...]:
        path = statements_path(bundle.index)
        try:
            data = await self._fetch(path)
        except NotFound:
            raise _withheld(path) from None
        lines = data.split(b"\n")
        if lines.pop() or not bundle.width <= len(lines) <= TILE_WIDTH:
            raise VerificationFailed(
                f"{path}: {len(lines)} whole lines, expected {bundle.width}: statements are withheld"
            )
        return tuple(lines[: bundle.width])


class DirectoryFetch:
    """Fetches from a log's directory what its published checkpoint covers, and nothing else.

    One statement by id is the exception, as nothing here maps ids to leaves: whoever serves a log that is being
    written asks `Sequencer.has_statement` first.
    """

    def __init__(self, directory: Path) -> None:
        self._files = LogDirectory(directory)

    async def __call__(self, path: str) -> bytes:
        return await asyncio.to_thread(self.read, path)

    def read(self, path: str) -> bytes:
        """The bytes at a served path. Raises NotFound, also for every path that is not a log's."""
        try:
            data = self._read(path)
        except BadInput as error:
            raise NotFound(f"not a path of a log: {path[:80]!r}") from error
        if data is None:
            raise NotFound(f"the log has no {path}")
        return data

    def _read(self, path: str) -> bytes | None:
        kind, _, rest = path.partition("/")
        match kind:
            case "checkpoint" if path == CHECKPOINT:
                return self._files.read(CHECKPOINT)
            case "tile":
                tile = parse_tile(path)
                return self._files.read(path) if tile.end <= self._size() else None
            case "statement":
                return self._files.read(statement_file(rest))
            case "statements":
                return self._read_statements(parse_statements_path(path))
            case _:
                return None

    def _size(self) -> int:
        note = self._files.read(CHECKPOINT)
        return parse_checkpoint(note.decode().partition("\n\n")[0] + "\n").size if note else 0

    def _read_statements(self, index: int) -> bytes | None:
        width = min(TILE_WIDTH, self._size() - index * TILE_WIDTH)
        if width < 1:
            return None
        whole = self._files.read(statements_path(index)) if width == TILE_WIDTH else None
        return self._assemble(index, width) if whole is None else whole

    def _assemble(self, index: int, width: int) -> bytes:
        lines = []
        for statement_id in read_statement_ids(self._files, index, width):
            statement = self._files.read(statement_file(statement_id.hex()))
            if statement is None:
                raise VerificationFailed(f"the statement {statement_id.hex()} of a logged leaf is gone")
            lines.append(statement + b"\n")
        return b"".join(lines)


def _withheld(path: str) -> Unavailable:
    return Unavailable(f"the log does not serve {path}, which its checkpoint promises")
