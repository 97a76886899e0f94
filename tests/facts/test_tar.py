"""The tar walker: it sees what other readers see, and refuses what they would see differently."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.facts.limits import Budget, Limits, Refusal
from gef_registry.facts.listing import normalised, read_listing
from gef_registry.facts.model import ProblemKind
from gef_registry.facts.tar import TarWalker
from tests.parts.tars import FileSpec, layer, raw_tar


def walk(data: bytes, *, limits: Limits | None = None, step: int = 1 << 20) -> TarWalker:
    walker = TarWalker(Budget(limits or Limits()))
    for start in range(0, len(data), step):
        walker.feed(data[start : start + step])
    walker.listing = walker.finish()  # type: ignore[attr-defined]
    return walker


def entries(data: bytes, **options: object) -> list[tuple[str, str]]:
    return list(read_listing(walk(data, **options).listing))  # type: ignore[arg-type, attr-defined]


def refused(data: bytes, *, limits: Limits | None = None, step: int = 1 << 20) -> ProblemKind:
    with pytest.raises(Refusal) as caught:
        walk(data, limits=limits, step=step)
    return caught.value.kind


def rewritten(block: bytes, at: int, field: bytes) -> bytes:
    """A header with one field changed and its checksum right."""
    changed = bytearray(block)
    changed[at : at + len(field)] = field
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed)
    return bytes(changed)


NAMES = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x24F, exclude_characters="/\x7f"), min_size=1, max_size=60
)
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join).filter(lambda p: ".wh." not in p and normalised(p) == p)
FILES = st.lists(st.tuples(PATHS, st.binary(max_size=1500), st.sampled_from("fdlh")), max_size=12)
LETTER = {"f": tarfile.REGTYPE, "d": tarfile.DIRTYPE, "l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE}


@settings(max_examples=50, deadline=None)
@given(FILES, st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), st.integers(1, 4000))
def test_it_sees_the_names_kinds_and_bodies_that_tarfile_sees(
    files: list[tuple[str, bytes, str]], form: int, step: int
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for path, body, kind in files:
            info = tarfile.TarInfo(path)
            info.type, info.size = LETTER[kind], len(body) if kind == "f" else 0
            info.linkname = "t" * 150 if kind in "lh" else ""
            tar.addfile(info, io.BytesIO(body))
    data = out.getvalue()
    walker = walk(data, step=step)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
    kind_of = {value: key for key, value in LETTER.items()}
    assert list(read_listing(walker.listing)) == [(kind_of[m.type], m.name.rstrip("/")) for m in members]  # type: ignore[attr-defined]
    assert [(s.start, s.end) for s in walker.spans] == [
        (m.offset_data, m.offset_data + m.size) for m in members if m.isreg() and m.size
    ]


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=3000), st.integers(1, 1024))
def test_any_bytes_are_read_or_refused_and_nothing_else(noise: bytes, step: int) -> None:
    try:
        walk(noise, step=step)
    except Refusal as refusal:
        assert refusal.kind in (ProblemKind.MALFORMED_ARCHIVE, ProblemKind.LIMIT_EXCEEDED)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_archive_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    content = bytearray(layer({"etc/passwd": "root:x:0:0::/:/bin/sh\n", "a" * 120: b"x" * 700}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        walk(bytes(content[: data.draw(st.integers(1, len(content)))]))
    except Refusal as refusal:
        assert refusal.kind in (ProblemKind.MALFORMED_ARCHIVE, ProblemKind.LIMIT_EXCEEDED)


def test_names_are_the_paths_an_engine_would_use() -> None:
    data = raw_tar([("./a//b/./c", FileSpec(b"1")), ("/etc/x", FileSpec(b"2")), ("../../up", FileSpec(b"3"))])
    assert entries(data) == [("f", "a/b/c"), ("f", "etc/x"), ("f", "up")]


def test_whiteouts_and_opaque_directories_are_recognised() -> None:
    data = layer({}, whiteouts=["etc/gone"], opaque=["var/cache"])
    assert ("w", "etc/gone") in entries(data)
    assert ("o", "var/cache") in entries(data)


def test_a_whiteout_without_a_name_deletes_its_directory_as_engines_do() -> None:
    assert entries(raw_tar([("etc/.wh.", FileSpec())])) == [("w", "etc")]


def test_a_passwd_file_is_kept_and_a_large_one_is_noted() -> None:
    data = layer({"etc/passwd": "root:x:0:0\n", "usr/share/passwd": b"x" * 50})
    kept = walk(data, limits=Limits(kept_file_bytes=20)).files
    assert kept["etc/passwd"].content == b"root:x:0:0\n"
    assert kept["usr/share/passwd"].content is None


GOOD = raw_tar([("file", FileSpec(b"content"))])
HEADER, REST = GOOD[:512], GOOD[512:]

MALFORMED = {
    "a wrong checksum": HEADER[:10] + b"!" + HEADER[11:] + REST,
    "a truncated body": GOOD[:600],
    "a truncated header": GOOD[:300],
    "data after the end": GOOD + b"more",
    "an entry after an empty block": GOOD[:1024] + bytes(512) + HEADER,
    "a negative size": rewritten(HEADER, 124, b"\xff" * 12) + REST,
    "an enormous size": rewritten(HEADER, 124, b"\x80" + b"\x7f" * 11) + REST,
    "a size that is no number": rewritten(HEADER, 124, b"12x45678901\0") + REST,
    "an octal size with an underscore": rewritten(HEADER, 124, b"0000000_007\0") + REST,
    "an unknown type": rewritten(HEADER, 156, b"Z") + REST,
    "a sparse file": rewritten(HEADER, 156, b"S") + REST,
    "an old directory with content": rewritten(rewritten(HEADER, 156, b"\0"), 0, b"file/\0") + REST,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_archives_are_refused(name: str) -> None:
    for step in (1, 7, 512, 1 << 20):
        assert refused(MALFORMED[name], step=step) is ProblemKind.MALFORMED_ARCHIVE


def extension(flag: bytes, body: bytes) -> bytes:
    header = rewritten(rewritten(HEADER, 156, flag), 124, b"%011o\0" % len(body))
    return header + body + bytes(-len(body) % 512)


def record(key: str, value: bytes) -> bytes:
    rest = f" {key}=".encode() + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


EXTENSIONS = {
    "a pax record with a wrong length": extension(b"x", b"99 path=x\n"),
    "a pax record without a length": extension(b"x", b"path=x\n"),
    "a pax path with NUL": extension(b"x", record("path", b"a\0b")),
    "a pax size that is no number": extension(b"x", record("size", b"-5")),
    "a pax sparse file": extension(b"x", record("GNU.sparse.major", b"1")),
    "a global path": extension(b"g", record("path", b"everything")),
    "both long-name formats": extension(b"L", b"one\0") + extension(b"x", record("path", b"two")),
    "two long names": extension(b"L", b"one\0") + extension(b"L", b"two\0"),
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_extension_headers_that_readers_disagree_about_are_refused(name: str) -> None:
    assert refused(EXTENSIONS[name] + GOOD) is ProblemKind.MALFORMED_ARCHIVE


def test_an_extension_without_its_entry_is_refused() -> None:
    assert refused(extension(b"L", b"name\0") + bytes(1024)) is ProblemKind.MALFORMED_ARCHIVE


def test_a_global_comment_is_accepted() -> None:
    assert entries(extension(b"g", record("comment", b"0123abcd")) + GOOD) == [("f", "file")]


def test_a_pax_size_replaces_the_one_in_the_header() -> None:
    data = extension(b"x", record("size", b"7")) + rewritten(HEADER, 124, b"%011o\0" % 0) + REST
    assert walk(data).spans[0].end - walk(data).spans[0].start == 7


LIMITS = {
    "a huge pax header": (extension(b"x", b"x" * 3000), Limits(header_bytes=2000)),
    "a huge long name": (extension(b"L", b"n" * 3000), Limits(header_bytes=2000)),
    "a long path": (extension(b"L", b"n" * 300 + b"\0") + GOOD, Limits(path_bytes=255)),
    "a deep path": (extension(b"L", b"d/" * 300 + b"x\0") + GOOD, Limits()),
    "a large entry": (GOOD, Limits(entry_bytes=6)),
    "many entries": (raw_tar([(f"f{n}", FileSpec()) for n in range(30)]), Limits(entries=29)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_bounds_end_the_reading(name: str) -> None:
    data, limits = LIMITS[name]
    assert refused(data, limits=limits) is ProblemKind.LIMIT_EXCEEDED
