"""Fetches statements one by one when the gate cannot serve a bundle of them.

A gate that lost one statement cannot make up its bundle. This asks for the 256 singly, and puts an empty line where the
gate has none: that admission does not count, everything else (revocations above all) still arrives.
"""

from __future__ import annotations

from gef_registry.errors import NotFound, Unavailable, VerificationFailed
from gef_registry.signing.leaf import HashedRekord, parse_leaf
from gef_registry.transparency.layout import parse_statements_path
from gef_registry.transparency.reader import Fetch
from gef_registry.transparency.tiles import decode_bundle, parse_tile


class SingleStatements:
    """A `Fetch` for `LogReader`, which asks for a bundle of entries before it asks for their statements."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._index = -1
        self._leaves: tuple[bytes, ...] = ()

    async def __call__(self, path: str) -> bytes:
        if path.startswith("statements/"):
            return await self._statements(path)
        data = await self._fetch(path)
        if path.startswith("tile/entries/"):
            tile = parse_tile(path)
            self._index, self._leaves = tile.index, decode_bundle(data, tile.width)
        return data

    async def _statements(self, path: str) -> bytes:
        try:
            return await self._fetch(path)
        except (NotFound, Unavailable, VerificationFailed):
            if parse_statements_path(path) != self._index:
                raise
        return b"".join([await self._statement(leaf) + b"\n" for leaf in self._leaves])

    async def _statement(self, leaf: bytes) -> bytes:
        try:
            parsed = parse_leaf(leaf)
        except VerificationFailed:
            return b""
        if not isinstance(parsed, HashedRekord):
            return leaf if b"\n" not in leaf else b""
        try:
            statement = await self._fetch(f"statement/{parsed.statement_id}")
        except NotFound:
            return b""
        return statement if b"\n" not in statement else b""
