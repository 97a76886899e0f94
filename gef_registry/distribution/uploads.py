"""Offsets and ranges, as pure rules: which chunk may follow, what a client may ask to read.

Uploads (OCI distribution 1.1, "Pushing a blob in chunks"): `Content-Range: <start>-<end>`, both inclusive; a chunk must
start where the last one ended, else 416 and the client asks for the offset. The answer's `Range` is `0-<last>`, and for
an upload without a byte `0-0`, which is what distribution says and clients expect.
Downloads (RFC 9110 section 14): one `bytes` range; several are answered with the whole, which the RFC allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gef_registry.distribution.codes import Code, Refusal

_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]{1,18}|\*))?", re.ASCII)
_BYTE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from `start`."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def upload_range(offset: int) -> str:
    """The `Range` header of an upload that holds `offset` bytes."""
    return f"0-{max(offset - 1, 0)}"


def chunk_length(content_range: str | None, content_length: int | None, offset: int) -> int | None:
    """How many bytes the coming chunk has; None when only its end will tell.

    Raises Refusal: 416 when it does not start at `offset` or is no range, 400 when the two headers contradict.
    """
    if content_range is None:
        return content_length
    match = _CONTENT_RANGE.fullmatch(content_range.strip())
    if match is None:
        raise _out_of_order(f"Content-Range {content_range[:100]!r} is not <start>-<end>", offset)
    start, end = int(match[1]), int(match[2])
    if start != offset:
        raise _out_of_order(f"the chunk starts at {start}, but {offset} bytes have been received", offset)
    length = end - start + 1
    if length < 1 and not (content_length == 0 and end == 0):
        raise _out_of_order(f"Content-Range {content_range[:100]!r} ends before it starts", offset)
    if content_length is None or length == content_length:
        return length
    if content_length == 0 and end == start == 0:
        return 0  # "0-0" with no byte: how some clients close an empty upload
    raise Refusal(
        Code.SIZE_INVALID, f"Content-Range says {length} bytes, Content-Length says {content_length}", status=400
    )


def _out_of_order(message: str, offset: int) -> Refusal:
    return Refusal(Code.RANGE_INVALID, message, headers={"Range": upload_range(offset)})


def byte_range(header: str | None, size: int) -> ByteRange | None:
    """What of `size` bytes a `Range` header asks for; None means all. Raises Refusal 416."""
    if header is None or not header.startswith("bytes=") or "," in header:
        return None
    match = _BYTE_RANGE.fullmatch(header)
    if match is None or match[1] == match[2] == "":
        raise _unsatisfiable(header, size)
    if match[1] == "":  # the last N bytes
        length = min(int(match[2]), size)
        start = size - length
    else:
        start = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        length = last - start + 1
        if match[2] and int(match[2]) < start:
            length = 0
    if length < 1:
        raise _unsatisfiable(header, size)
    return ByteRange(start, length)


def _unsatisfiable(header: str, size: int) -> Refusal:
    return Refusal(
        Code.RANGE_INVALID, f"range {header[:100]!r} of {size} bytes", headers={"Content-Range": f"bytes */{size}"}
    )
