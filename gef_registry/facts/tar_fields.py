"""Fields of tar headers: numbers, names and pax records (POSIX.1-2001 pax, GNU tar, Go's archive/tar where they differ).

Container engines read layers with Go's archive/tar; where readers differ, this follows Go, and what Go refuses is refused.
"""

from __future__ import annotations

import zlib

from gef_registry.facts.limits import Refusal
from gef_registry.facts.model import ProblemKind

_MAX_NUMBER = 1 << 62
_SPACES = b" " * 8


def malformed(message: str) -> Refusal:
    return Refusal(ProblemKind.MALFORMED_ARCHIVE, message)


def number(field: bytes, what: str) -> int:
    """An octal or base-256 field; negative and senseless values are refused."""
    if field[0] & 0x80:
        if field[0] != 0x80:
            value = int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
            if field[0] & 0x40 or value > _MAX_NUMBER:
                raise malformed(f"the {what} in a header is negative or too large")
            return value
        value = int.from_bytes(field[1:], "big")
        if value > _MAX_NUMBER:
            raise malformed(f"the {what} in a header is too large")
        return value
    digits = field.strip(b"\0 ")
    if not digits.isdigit():
        digits = digits.partition(b"\0")[0]
        if not digits:
            return 0
    try:
        if not digits.isdigit():
            raise ValueError
        return int(digits, 8)
    except ValueError:
        raise malformed(f"the {what} in a header is not a number") from None


def text(field: bytes) -> str:
    """A name field: up to the first NUL. Bytes that are not UTF-8 survive as surrogates."""
    end = field.find(0)
    return (field if end < 0 else field[:end]).decode("utf-8", "surrogateescape")


def checksum_matches(block: bytes) -> bool:
    """The sum of all bytes with the checksum field as spaces, unsigned, or signed as some old writers did.

    Adler-32 has that sum modulo 65521 in its low half, far faster than a loop; of 512 bytes the sum is below 2 * 65521.
    """
    try:
        stored = number(block[148:156], "checksum")
    except Refusal:
        return False
    remainder = (zlib.adler32(block[:148] + _SPACES + block[156:]) & 0xFFFF) - 1
    if stored in (remainder, remainder + 65521):
        return True
    rest = block[:148] + block[156:]
    return stored == sum(rest) + 256 - 256 * sum(byte >= 0x80 for byte in rest)


def pax_records(body: bytes) -> dict[str, str]:
    """`LENGTH KEY=VALUE\\n` records; the last one of a key counts. Refuses what is not exactly that."""
    records: dict[str, str] = {}
    position = 0
    while position < len(body):
        space = body.find(b" ", position, position + 12)
        digits = body[position:space] if space > 0 else b""
        if not digits.isdigit() or digits.startswith(b"0"):
            raise malformed("a pax record does not begin with its length")
        end = position + int(digits)
        record = body[space + 1 : end]
        key, equals, value = record[:-1].partition(b"=")
        if end > len(body) or not record.endswith(b"\n") or not equals or not key:
            raise malformed("a pax record does not have the length it states")
        name = key.decode("utf-8", "surrogateescape")
        if name in ("path", "linkpath") and b"\0" in value:
            raise malformed(f"the pax record {name} holds a NUL byte")
        records[name] = value.decode("utf-8", "surrogateescape")
        position = end
    return records


def pax_size(value: str) -> int:
    if not (value.isascii() and value.isdigit()) or int(value[:20]) > _MAX_NUMBER or len(value) > 20:
        raise malformed("the size in a pax record is not a byte count")
    return int(value)
