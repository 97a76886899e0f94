"""Turns the stored bytes of a layer into the archive, in bounded pieces.

gzip (RFC 1952, several members as engines accept them) by isal when it is installed, else zlib; zstd by the zstandard
package when it is installed; or none. Output comes in pieces of at most 1 MiB, so that a bomb meets its bound early.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Protocol

from gef_registry.facts.limits import Refusal
from gef_registry.facts.model import ProblemKind

try:
    from isal import isal_zlib

    _fast: Any = isal_zlib
except ImportError:  # the tests run the fallback by its name
    _fast = None
try:
    import zstandard

    _zstandard: Any = zstandard
except ImportError:
    _zstandard = None

PIECE = 1 << 20
_STEP = 256 << 10
_GZIP = 31
_ZSTD_WINDOW = 128 << 20

Sink = Callable[[bytes], None]


class Decoder(Protocol):
    """Push in stored bytes, pieces of the archive go to the sink. Raises Refusal for what is corrupt."""

    def feed(self, data: bytes, sink: Sink) -> None: ...

    def finish(self) -> None: ...


def decoder_for(compression: str, *, gzip_engine: Any = None) -> Decoder:
    """`compression` is `none`, `gzip` or `zstd`. `gzip_engine` replaces the fastest one present (zlib's interface)."""
    if compression == "gzip":
        return _Gzip(gzip_engine or _fast or zlib)
    if compression == "zstd":
        return _Zstd()
    assert compression == "none", compression
    return _Plain()


def _corrupt(message: str) -> Refusal:
    return Refusal(ProblemKind.CORRUPT_COMPRESSION, message)


class _Plain:
    def feed(self, data: bytes, sink: Sink) -> None:
        for start in range(0, len(data), PIECE):
            sink(data[start : start + PIECE])

    def finish(self) -> None:
        return


class _Gzip:
    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._errors = tuple(
            {zlib.error, getattr(engine, "error", zlib.error), getattr(engine, "IsalError", zlib.error)}
        )
        self._member: Any = None
        self._members = 0

    def feed(self, data: bytes, sink: Sink) -> None:
        for start in range(0, len(data), _STEP):
            self._step(data[start : start + _STEP], sink)

    def _step(self, data: bytes, sink: Sink) -> None:
        while data:
            if self._member is None:
                self._member = self._engine.decompressobj(_GZIP)
                self._members += 1
            try:
                piece = self._member.decompress(data, PIECE)
            except self._errors:
                where = (
                    "is not gzip or is corrupt" if self._members == 1 else "is followed by something that is not gzip"
                )
                raise _corrupt(f"the compressed layer {where}") from None
            if piece:
                sink(piece)
            if self._member.eof:
                data, self._member = self._member.unused_data, None
            else:
                data = self._member.unconsumed_tail
                if not piece and not data:
                    return

    def finish(self) -> None:
        if self._member is not None or self._members == 0:
            raise _corrupt("the compressed layer is truncated")


class _Target:
    """The file that zstandard writes to."""

    def __init__(self) -> None:
        self.sink: Sink | None = None

    def write(self, data: bytes) -> int:
        assert self.sink is not None
        self.sink(bytes(data))
        return len(data)


class _Zstd:
    """Truncation shows as a wrong diff_id: the library does not say where a frame ends while streaming."""

    def __init__(self) -> None:
        if _zstandard is None:
            raise Refusal(
                ProblemKind.UNREADABLE_HERE, "zstd layers cannot be read here: install gef-registry[fast] (zstandard)"
            )
        self._target = _Target()
        decompressor = _zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._writer = decompressor.stream_writer(self._target, closefd=False)

    def feed(self, data: bytes, sink: Sink) -> None:
        self._target.sink = sink
        try:
            self._writer.write(data)
        except _zstandard.ZstdError:
            raise _corrupt("the compressed layer is not zstd or is corrupt") from None

    def finish(self) -> None:
        return
