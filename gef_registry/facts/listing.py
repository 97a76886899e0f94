"""The entries of a layer as one compressed list, and what later layers do to a path (OCI image-spec 1.1 layer.md).

A record is a kind letter and a normalised path (no leading slash), ended by NUL, which no path can hold. Reading streams:
a million entries never stand in memory at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

from gef_registry.facts.model import Fate

FILE, DIRECTORY, SYMLINK, HARDLINK, NODE, WHITEOUT, OPAQUE = "f", "d", "l", "h", "n", "w", "o"
_FLUSH = 2048
_WHITEOUT_PREFIX = ".wh."
_WHITEOUT_META = ".wh..wh."
_WHITEOUT_OPAQUE = ".wh..wh..opq"


def normalised(name: str) -> str:
    """The path an engine would use inside the root: no leading slash, no `.`, and `..` that stops at the root."""
    if not name.startswith((".", "/")) and "//" not in name and "/." not in name:
        return name.rstrip("/")
    kept: list[str] = []
    for part in name.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    return "/".join(kept)


def classified(kind: str, path: str) -> tuple[str, str]:
    """What an entry means: itself, the deletion of a path, or an emptied directory. Other `.wh..wh.` names mean nothing."""
    if _WHITEOUT_PREFIX not in path:
        return kind, path
    parent, _, base = path.rpartition("/")
    if base == _WHITEOUT_OPAQUE:
        return OPAQUE, parent
    if base.startswith(_WHITEOUT_META):
        return NODE, path
    if base.startswith(_WHITEOUT_PREFIX):
        return WHITEOUT, f"{parent}/{base[4:]}".strip("/")  # engines read a bare `.wh.` as its directory
    return kind, path


class ListingWriter:
    """Collects records in archive order."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(1)
        self._pending: list[str] = []
        self._done: list[bytes] = []

    def add(self, kind: str, path: str) -> None:
        self._pending.append(kind + path)
        if len(self._pending) >= _FLUSH:
            self._flush()

    def finish(self) -> bytes:
        self._flush()
        self._done.append(self._compressor.flush())
        return b"".join(self._done)

    def _flush(self) -> None:
        if self._pending:
            text = "\0".join(self._pending) + "\0"
            self._done.append(self._compressor.compress(text.encode("utf-8", "surrogateescape")))
            self._pending.clear()


def read_listing(listing: bytes) -> Iterator[tuple[str, str]]:
    """(kind, path) in archive order. Raises zlib.error for bytes that are no listing."""
    decompressor = zlib.decompressobj()
    rest, data = b"", listing
    while data or not decompressor.eof:
        block = decompressor.decompress(data, 1 << 20)
        if not block and not decompressor.unconsumed_tail:
            break
        data = decompressor.unconsumed_tail
        *records, rest = (rest + block).split(b"\0")
        for record in records:
            text = record.decode("utf-8", "surrogateescape")
            yield text[0], text[1:]


def ancestors(path: str) -> Iterator[str]:
    """The directories above a path, nearest first, the root (empty) last."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def fates(paths: Iterable[str], later: Sequence[bytes]) -> dict[str, Fate]:
    """What the layers above (their listings, lowest first) do to each path: the first thing that happens to it counts."""
    open_paths = set(paths)
    found = dict.fromkeys(open_paths, Fate.VISIBLE)
    for listing in later:
        if not open_paths:
            break
        watched = open_paths.union(*(ancestors(path) for path in open_paths))
        same: set[str] = set()
        gone_below: set[str] = set()
        gone: set[str] = set()
        for kind, path in read_listing(listing):
            if path not in watched:
                continue
            if kind == WHITEOUT:
                gone.add(path)
            elif kind == OPAQUE:
                gone_below.add(path)
            else:
                same.add(path)
                if kind != DIRECTORY:
                    gone_below.add(path)
        for path in tuple(open_paths):
            if path in same:
                found[path] = Fate.OVERWRITTEN
            elif path in gone or any(a in gone_below or a in gone for a in ancestors(path)):
                found[path] = Fate.DELETED
            else:
                continue
            open_paths.discard(path)
    return found
