"""Re-hashes a whole log in a directory, with nothing but the directory and the keys.

Steps: the signed head and the checkpoint; every entry; every tile at every level, also partial ones left over; the
roots; a statement for each leaf, under its id and in its bundle. What is wrong becomes a finding, never an exception;
only an unreadable disk raises. Reads while a writer works: a tree that grew meanwhile is audited up to where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gef_registry.errors import GefError, VerificationFailed
from gef_registry.transparency.layout import (
    CHECKPOINT,
    require_statement_id,
    statement_file,
    statement_ids_file,
    statements_path,
)
from gef_registry.transparency.local import LogDirectory
from gef_registry.transparency.merkle import EMPTY_ROOT, HASH_SIZE, Tree, leaf_hash
from gef_registry.transparency.note import Checkpoint, CosignatureVerifier, NoteVerifier, open_checkpoint
from gef_registry.transparency.recovery import (
    load_head,
    load_state,
    read_bundle,
    read_statement_ids,
    read_tile,
    tree_is_behind,
)
from gef_registry.transparency.tiles import (
    TILE_WIDTH,
    Tile,
    bundles_between,
    decode_bundle,
    tile_data,
    tiles_between,
)

Kind = Literal["checkpoint", "head", "entry", "tile", "root", "statement", "bundle"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a log: what kind, in which file or leaf, and how."""

    kind: Kind
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit saw. The log is in order when there are no findings."""

    findings: tuple[Finding, ...]
    checkpoint: Checkpoint | None
    cosigned_at: int | None
    entries: int
    tiles: int
    statements: int
    bytes_hashed: int

    @property
    def is_clean(self) -> bool:
        return not self.findings


@dataclass(slots=True)
class _Audit:
    files: LogDirectory
    origin: str
    log: NoteVerifier
    cosigner: CosignatureVerifier
    statement_id_of: Callable[[bytes], str]
    check: Callable[[bytes, bytes], str | None]
    findings: list[Finding] = field(default_factory=list)
    tree: Tree = field(default_factory=Tree)
    checkpoint: Checkpoint | None = None
    cosigned_at: int | None = None
    tiles: int = 0
    statements: int = 0
    bytes_hashed: int = 0

    def add(self, kind: Kind, where: str, message: str) -> None:
        self.findings.append(Finding(kind, where, message))

    def run(self) -> AuditReport:
        size = self._read_checkpoints()
        for bundle in bundles_between(0, size):
            leaves = self._audit_entries(bundle)
            if leaves is None:
                break
            self._audit_statements(bundle, leaves)
        if self.tree.size == size:
            self._audit_tiles(size)
        self._audit_head()
        return AuditReport(
            tuple(self.findings), self.checkpoint, self.cosigned_at, self.tree.size,
            self.tiles, self.statements, self.bytes_hashed,
        )  # fmt: skip

    def _read_checkpoints(self) -> int:
        """The size to audit: that of the published checkpoint."""
        note = self.files.read(CHECKPOINT)
        try:
            if note is None:
                raise VerificationFailed("there is none")
            signed = open_checkpoint(note, self.origin, self.log, [self.cosigner])
        except GefError as error:
            self.add("checkpoint", CHECKPOINT, str(error))
            return 0
        self.checkpoint, self.cosigned_at = signed.checkpoint, signed.cosigned_at
        return signed.checkpoint.size

    def _audit_entries(self, bundle: Tile) -> tuple[bytes, ...] | None:
        try:
            leaves = read_bundle(self.files, bundle)
        except VerificationFailed as error:
            self.add("entry", bundle.path, str(error))
            return None
        for leaf in leaves:
            self.tree.append(leaf_hash(leaf))
            self.bytes_hashed += len(leaf)
        return leaves

    def _audit_statements(self, bundle: Tile, leaves: tuple[bytes, ...]) -> None:
        try:
            ids = read_statement_ids(self.files, bundle.index, bundle.width)
        except VerificationFailed as error:
            self.add("statement", statement_ids_file(bundle.index), str(error))
            return
        lines = [
            self._audit_statement(bundle.index * TILE_WIDTH + offset, leaf, statement_id.hex())
            for offset, (leaf, statement_id) in enumerate(zip(leaves, ids, strict=True))
        ]
        whole = self.files.read(statements_path(bundle.index)) if bundle.width == TILE_WIDTH else None
        if whole is not None and whole != b"".join(line + b"\n" for line in lines):
            self.add("bundle", statements_path(bundle.index), "is not the statements of its leaves, a line each")

    def _audit_statement(self, index: int, leaf: bytes, recorded_id: str) -> bytes:
        where = f"leaf {index}"
        try:
            statement_id = require_statement_id(self.statement_id_of(leaf))
        except GefError as error:
            self.add("statement", where, f"the leaf names no statement: {error}")
            return b""
        if statement_id != recorded_id:
            self.add("statement", where, f"the leaf names statement {statement_id}, recorded is {recorded_id}")
        statement = self.files.read(statement_file(statement_id))
        problem = "withheld: the file is gone" if statement is None else self.check(leaf, statement)
        if problem is not None:
            self.add("statement", where, f"statement {statement_id}: {problem}")
        self.statements += statement is not None
        self.bytes_hashed += len(statement or b"")
        return statement or b""

    def _audit_tiles(self, size: int) -> None:
        for tile in tiles_between(0, size):
            expected = tile_data(tile, self.tree)
            data = read_tile(self.files, tile)
            self.tiles += 1
            if data != expected:
                self.add("tile", tile.path, "is missing" if data is None else "its hashes are not those of the entries")
            self._audit_partials(tile, expected)
        for bundle in bundles_between(0, size):
            self._audit_partials(bundle, b"")
        root = self.tree.root() if size else EMPTY_ROOT
        if self.checkpoint is not None and root != self.checkpoint.root:
            self.add("root", CHECKPOINT, f"the entries give {root.hex()}, signed is {self.checkpoint.root.hex()}")

    def _audit_partials(self, tile: Tile, expected: bytes) -> None:
        """Narrower tiles that earlier checkpoints needed must say the same as the tree."""
        for name in self.files.names(f"{tile.full.path}.p"):
            width = int(name) if name.isascii() and name.isdecimal() else 0
            if not 1 <= width < tile.width:
                continue  # beyond the checkpoint: unsigned work that a crash left, or the tile itself
            path = Tile(tile.level, tile.index, width).path
            data = self.files.read(path) or b""
            if tile.level is not None and data != expected[: width * HASH_SIZE]:
                self.add("tile", path, "its hashes are not those of the entries")
            if tile.level is None and not self._matches_entries(tile, data, width):
                self.add("entry", path, "its leaves are not those of the log")

    def _matches_entries(self, bundle: Tile, data: bytes, width: int) -> bool:
        try:
            leaves = decode_bundle(data, width)
        except VerificationFailed:
            return False
        nodes = b"".join(map(leaf_hash, leaves))
        return nodes == self.tree.hashes(0, bundle.index * TILE_WIDTH, width)

    def _audit_head(self) -> None:
        """The head that decides what may be signed next must not be behind, and must be this history."""
        try:
            head = load_head(self.files, self.origin, self.log, self.cosigner)
        except GefError as error:
            self.add("head", "signed-head", str(error))
            return
        if head is None or self.checkpoint is None:
            return
        ours = head.checkpoint
        if ours.size < self.checkpoint.size:
            self.add("head", "signed-head", f"knows {ours.size} leaves, published are {self.checkpoint.size}")
        elif ours.size == self.tree.size and ours.root != self.tree.root():
            self.add("head", "signed-head", f"another root was signed at {ours.size} leaves: the log forked")


def audit(
    directory: Path,
    origin: str,
    log: NoteVerifier,
    cosigner: CosignatureVerifier,
    statement_id_of: Callable[[bytes], str],
    check: Callable[[bytes, bytes], str | None],
) -> AuditReport:
    """Audits the log in a directory. Blocking and thorough.

    `statement_id_of(leaf)` tells which statement a leaf stands for (it may raise a GefError for a leaf it cannot read);
    `check(leaf, statement)` tells what is wrong between the two, or None. Raises Unavailable when the disk fails.
    """
    return _Audit(LogDirectory(directory), origin, log, cosigner, statement_id_of, check).run()


def is_behind(directory: Path, seen: Checkpoint, log: NoteVerifier, cosigner: CosignatureVerifier) -> bool:
    """Whether the log in a directory is smaller than a checkpoint seen elsewhere (which the caller has verified): then it
    is an old copy, and a writer started on it would fork the log. An empty directory is behind every larger tree.

    Raises VerificationFailed when the two are different histories, or the directory contradicts itself.
    """
    state = load_state(LogDirectory(directory), seen.origin, log, cosigner)
    if state is None:
        return seen.size > 0
    return tree_is_behind(state.tree, state.head.checkpoint, seen)
