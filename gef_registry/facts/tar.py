"""Walks a tar stream, header by header, as bytes arrive; nothing is extracted and bodies are not kept.

Rules: every header's checksum is verified; sizes, names, depth, count and extension headers are bounded; what readers
disagree about (sparse files, unknown types, mixed long-name formats, global paths, data after the end) is refused, since
another reader would see another layer. Follows POSIX pax and GNU tar, read as Go's archive/tar reads them.
"""

from __future__ import annotations

from typing import NamedTuple

from gef_registry.facts import listing
from gef_registry.facts.limits import Budget, exceeded
from gef_registry.facts.model import KeptFile
from gef_registry.facts.tar_fields import checksum_matches, malformed, number, pax_records, pax_size, text

BLOCK = 512
_ZERO_BLOCK = bytes(BLOCK)
_KINDS = {
    b"0": listing.FILE, b"\0": listing.FILE, b"7": listing.FILE, b"1": listing.HARDLINK, b"2": listing.SYMLINK,
    b"3": listing.NODE, b"4": listing.NODE, b"6": listing.NODE, b"5": listing.DIRECTORY,
}  # fmt: skip
_EXTENSIONS = frozenset((b"x", b"g", b"L", b"K"))
_KEPT_LINKS = ("etc", "etc/passwd")  # whatever stands at these paths decides which passwd a container sees
_SIGNIFICANT = ("path", "linkpath", "size")


class Span(NamedTuple):
    """Where in the archive the body of a file stands."""

    start: int
    end: int
    path: str


class TarWalker:
    """Feed it the archive, then `finish`. Raises Refusal for what is malformed or exceeds a bound.

    `spans` grows with each file body; whoever uses it removes what it has used.
    """

    def __init__(self, budget: Budget) -> None:
        self._limits = budget.limits
        self._budget = budget
        self._listing = listing.ListingWriter()
        self._position = 0  # of the first byte not yet consumed
        self._rest = b""
        self._skip = 0
        self._body: bytearray | None = None
        self._body_left = 0
        self._body_of: tuple[bytes, str] = (b"", "")
        self._records: dict[str, str] = {}
        self._long: dict[bytes, str] = {}
        self._zero_blocks = 0
        self._unspent = 0
        self.entries = 0
        self.spans: list[Span] = []
        self.files: dict[str, KeptFile] = {}

    def feed(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        position, end = 0, len(data)
        start = self._position
        while position < end:
            if self._skip:
                step = min(self._skip, end - position)
                if self._body is not None:
                    self._collect(data, position, step)
                position += step
                self._skip -= step
            elif self._zero_blocks == 2:
                if data.count(0, position) != end - position:
                    raise malformed("data stand after the end of the archive")
                position = end
            elif end - position < BLOCK:
                self._rest = data[position:]
                break
            else:
                self._position = start + position + BLOCK
                self._header(data[position : position + BLOCK])
                position += BLOCK
        self._position = start + position

    def finish(self) -> bytes:
        """The listing. Refuses an archive that ends inside an entry."""
        if self._rest or self._skip or self._records or self._long:
            raise malformed("the archive ends inside an entry: it is truncated")
        self._budget.spend_entries(self._unspent)
        return self._listing.finish()

    def _header(self, block: bytes) -> None:
        if block == _ZERO_BLOCK:
            self._zero_blocks += 1
            return
        if self._zero_blocks:
            raise malformed("an entry stands after an empty block")
        if not checksum_matches(block):
            raise malformed(f"the header at byte {self._position - BLOCK} has a wrong checksum")
        flag = block[156:157]
        size = number(block[124:136], "size")
        if flag in _EXTENSIONS:
            self._extension(flag, size)
        elif flag in _KINDS:
            self._entry(block, flag, size)
        elif flag == b"S":
            raise malformed("a sparse file: readers disagree about its content")
        else:
            raise malformed(f"an entry of the unknown type {flag!r}")

    def _extension(self, flag: bytes, size: int) -> None:
        if size > self._limits.header_bytes:
            raise exceeded(f"an extension header of {size} bytes, at most {self._limits.header_bytes} are read")
        if flag in self._long or (flag == b"x" and self._records):
            raise malformed("two extension headers of one type before an entry")
        self._begin_body(flag, "", size)

    def _entry(self, block: bytes, flag: bytes, size: int) -> None:
        name, target = self._names(block)
        if self._records:
            size = self._pax(size)
        if self._long:
            self._long = {}
        kind = _KINDS[flag]
        if flag == b"\0" and name.endswith("/"):
            if size:
                raise malformed("a directory of an old format with content")
            kind = listing.DIRECTORY
        self._check_name(name)
        stored_path = listing.normalised(name)
        kind, path = listing.classified(kind, stored_path)
        self._listing.add(kind, path)
        self._count()
        if flag in (b"0", b"\0", b"7"):
            self._file(stored_path, size)
        elif path in _KEPT_LINKS and kind not in (listing.WHITEOUT, listing.OPAQUE):
            self.files[path] = KeptFile(path, kind, target=target)

    def _pax(self, size: int) -> int:
        """The size with the pax records applied, which are used up."""
        records, self._records = self._records, {}
        if any(key.startswith("GNU.sparse.") for key in records):
            raise malformed("a sparse file: readers disagree about its content")
        return pax_size(records["size"]) if "size" in records else size

    def _file(self, path: str, size: int) -> None:
        if size > self._limits.entry_bytes:
            raise exceeded(f"an entry of {size} bytes, at most {self._limits.entry_bytes} are read")
        if size:
            self.spans.append(Span(self._position, self._position + size, path))
        if path == "passwd" or path.endswith("/passwd"):
            if size > self._limits.kept_file_bytes or len(self.files) >= 64:
                self.files[path] = KeptFile(path, listing.FILE)
            else:
                self._begin_body(b"0", path, size)
                return
        self._skip = -(-size // BLOCK) * BLOCK

    def _names(self, block: bytes) -> tuple[str, str]:
        if not self._records and not self._long and not block[345]:
            return text(block[:100]), text(block[157:257]) if block[157] else ""
        if self._records and self._long:
            raise malformed("an entry mixes pax and GNU extension headers")
        name = self._long.get(b"L") or self._records.get("path") or ""
        if not name:
            name = text(block[:100])
            if block[345] and block[257:263] == b"ustar\0":
                prefix = block[345:476] if block[508:512] == b"tar\0" else block[345:500]
                name = f"{text(prefix)}/{name}"
        return name, self._long.get(b"K") or self._records.get("linkpath") or text(block[157:257])

    def _check_name(self, name: str) -> None:
        length = len(name) if name.isascii() else len(name.encode("utf-8", "surrogateescape"))
        if length > self._limits.path_bytes:
            raise exceeded(f"a path of {length} bytes, at most {self._limits.path_bytes} are read")
        if length > self._limits.depth and name.count("/") > self._limits.depth:
            raise exceeded(f"a path deeper than {self._limits.depth} directories")

    def _count(self) -> None:
        self.entries += 1
        self._unspent += 1
        if self._unspent >= 1024:
            self._budget.spend_entries(self._unspent)
            self._unspent = 0

    def _begin_body(self, flag: bytes, path: str, size: int) -> None:
        self._body, self._body_left, self._body_of = bytearray(), size, (flag, path)
        self._skip = -(-size // BLOCK) * BLOCK
        if not size:
            self._end_body()

    def _collect(self, data: bytes, position: int, step: int) -> None:
        assert self._body is not None
        wanted = min(step, self._body_left)
        self._body += data[position : position + wanted]
        self._body_left -= wanted
        if self._skip == step:
            self._end_body()

    def _end_body(self) -> None:
        body, (flag, path) = bytes(self._body or b""), self._body_of
        self._body = None
        if flag == b"0":
            self.files[path] = KeptFile(path, listing.FILE, body)
        elif flag == b"x":
            self._records = pax_records(body)
        elif flag == b"g":
            if any(key in _SIGNIFICANT or key.startswith("GNU.sparse.") for key in pax_records(body)):
                raise malformed("a global pax header sets paths or sizes: readers disagree about it")
        else:
            self._long[flag] = text(body)
