"""Where each member of a tar lies, from its headers alone: POSIX ustar, pax and GNU long names.

Image archives come from strangers, so this reads far less than `tarfile` does: bounded headers, names and counts, no sparse
files, no negative or overlapping ranges, no name twice (two readers would see two images). Nothing is extracted.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gef_registry.errors import Unavailable

BLOCK = 512
MAX_ENTRIES = 20_000
_MAX_EXTENSION = 1 << 20  # one pax header or long name
_MAX_EXTENSIONS = 16 << 20  # all of them in one tar
_MAX_NAME = 4096
_COMPRESSED = (
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"\xfd7zXZ", "xz", "unxz"),
)


@dataclass(frozen=True, slots=True)
class TarEntry:
    """A member: `size` bytes at `offset`; `link` is the normalised name it stands for, if it is a link."""

    offset: int
    size: int
    regular: bool
    link: str | None = None


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    size: int
    kind: bytes
    link: str
    data: int


def index_tar(fd: int, *, what: str) -> Mapping[str, TarEntry]:
    """Normalised member name -> entry, in one pass over the headers of a seekable file. Raises Unavailable naming `what`."""
    _refuse_compressed(os.pread(fd, 8, 0), what)
    entries: dict[str, TarEntry] = {}
    for header in _members(fd, what):
        name = posixpath.normpath(header.name.lstrip("/"))
        if name == "." or name.startswith("../") or header.kind == b"5":
            continue  # never a name that a layout or manifest.json can ask for
        if name in entries:
            raise Unavailable(f"{what}: {name[:200]!r} occurs twice", hint="write the archive again")
        if len(entries) >= MAX_ENTRIES:
            raise Unavailable(f"{what}: more than {MAX_ENTRIES} members")
        entries[name] = TarEntry(header.data, header.size, header.kind in (b"0", b"\0", b"7"), _link(header, name))
    return entries


def _refuse_compressed(start: bytes, what: str) -> None:
    for magic, kind, program in _COMPRESSED:
        if start.startswith(magic):
            raise Unavailable(f"{what} is compressed with {kind}", hint=f"unpack it first: {program} < FILE > FILE.tar")


def _link(header: _Header, name: str) -> str | None:
    if header.kind == b"1":
        return posixpath.normpath(header.link.lstrip("/"))
    if header.kind == b"2":
        return posixpath.normpath(posixpath.join(posixpath.dirname(name), header.link))
    return None


def _members(fd: int, what: str) -> Iterator[_Header]:
    """Every member that is not an extension header, with the extensions before it applied."""
    length, position, extensions, spent = os.fstat(fd).st_size, 0, dict[str, str](), 0
    while (header := _header(fd, position, length, what)) is not None:
        position = header.data + -(-header.size // BLOCK) * BLOCK
        if header.kind in b"xLKg" and header.kind:
            spent += header.size
            if header.size > _MAX_EXTENSION or spent > _MAX_EXTENSIONS:
                raise Unavailable(f"{what}: an extended header of {header.size} bytes at {header.data}")
            extensions |= _extension(header, os.pread(fd, header.size, header.data), what)
            continue
        member = _extended(header, extensions, what)
        position = member.data + -(-member.size // BLOCK) * BLOCK
        if member.data + member.size > length:
            raise Unavailable(f"{what} is cut off inside {member.name[:200]!r}", hint="copy or save it again")
        extensions = {}
        yield member


def _header(fd: int, position: int, length: int, what: str) -> _Header | None:
    """The header at `position`; None at the end-of-archive block or where the file ends on a boundary."""
    block = os.pread(fd, BLOCK, position)
    if not block and position > 0 and position <= length:
        return None
    if len(block) < BLOCK:
        raise Unavailable(f"{what} is not a tar, or is cut off at byte {position}")
    if not block.strip(b"\0"):
        return None
    stored, actual = _number(block[148:156], what), sum(block) - sum(block[148:156]) + 8 * 0x20
    if stored != actual:
        raise Unavailable(f"{what} is not a tar, or is damaged, at byte {position}")
    name, kind = _text(block[:100]), block[156:157]
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    size = 0 if kind in b"123456" and kind else _number(block[124:136], what)
    return _Header(name, size, kind, _text(block[157:257]), position + BLOCK)


def _number(field: bytes, what: str) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] == 0xFF or value >= 1 << 62:
            raise Unavailable(f"{what}: a member's size is out of range")
        return value
    digits = field.strip(b" \0")
    if not all(0x30 <= digit <= 0x37 for digit in digits):
        raise Unavailable(f"{what} is not a tar, or is damaged: a number is not octal")
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _extension(header: _Header, content: bytes, what: str) -> dict[str, str]:
    match header.kind:
        case b"L":
            return {"path": _text(content)}
        case b"K":
            return {"linkpath": _text(content)}
        case b"x":
            return _pax(content, what)
        case _:
            return {}  # global headers hold comments; none may rename members here


def _pax(content: bytes, what: str) -> dict[str, str]:
    """The records `LENGTH KEY=VALUE\\n` that move, rename or resize a member."""
    records: dict[str, str] = {}
    position = 0
    while position < len(content) and content[position] != 0:
        digits, space, _ = content[position : position + 12].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = content[position + len(digits) + 1 : position + length]
        if length <= len(digits) + 1 or position + length > len(content) or not record.endswith(b"\n"):
            raise Unavailable(f"{what}: a damaged pax header")
        key, equals, value = record[:-1].partition(b"=")
        if key.startswith(b"GNU.sparse") or not equals:
            raise Unavailable(f"{what}: a pax header that cannot be read ({key[:40]!r})")
        if key in (b"path", b"linkpath", b"size"):
            records[key.decode()] = value.decode("utf-8", "surrogateescape")
        position += length
    return records


def _extended(header: _Header, extensions: Mapping[str, str], what: str) -> _Header:
    size = header.size
    if (text := extensions.get("size")) is not None and header.size:
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise Unavailable(f"{what}: a damaged size in a pax header")
        size = int(text)
    name, link = extensions.get("path", header.name), extensions.get("linkpath", header.link)
    if len(name) > _MAX_NAME or len(link) > _MAX_NAME:
        raise Unavailable(f"{what}: a name of more than {_MAX_NAME} characters")
    if header.kind == b"S":
        raise Unavailable(f"{what}: {name[:200]!r} is a sparse file, which is not read")
    return _Header(name, size, header.kind, link, header.data)
