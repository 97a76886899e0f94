"""The header reader agrees with `tarfile` on honest tars, and on damaged ones fails in one way or stays inside the file."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gef_registry.errors import Unavailable
from gef_registry.oci import tar_index
from gef_registry.oci.tar_index import index_tar
from tests.parts.images import FileSpec, raw_tar

LONG = "d" * 90 + "/" + "f" * 200


def write_tar(files: dict[str, bytes], form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def contents(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        entries = index_tar(file.fileno(), what="it")
        size = path.stat().st_size
        found = {}
        for name, entry in entries.items():
            assert 0 <= entry.offset <= entry.offset + entry.size <= size
            file.seek(entry.offset)
            found[name] = file.read(entry.size)
        return found


_names = st.lists(st.from_regex(r"[a-zé][a-z0-9.]{0,20}", fullmatch=True), min_size=1, max_size=4).map("/".join)


@given(
    st.dictionaries(_names | st.just(LONG), st.binary(max_size=1500), max_size=6),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_member_is_where_tarfile_put_it(tmp_path: Path, files: dict[str, bytes], form: int) -> None:
    (tmp_path / "a.tar").write_bytes(write_tar(files, form))
    assert contents(tmp_path / "a.tar") == files


WHOLE = write_tar({"index.json": b"{}", LONG: b"x" * 700, "é": b""}, tarfile.PAX_FORMAT)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(WHOLE)))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_mutated_tar_is_unavailable_or_stays_inside_the_file(
    tmp_path: Path, changes: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(WHOLE)
    for position, byte in changes:
        damaged[position] = byte
    (tmp_path / "a.tar").write_bytes(damaged[: length or None])
    try:
        contents(tmp_path / "a.tar")
    except Unavailable:
        return


def test_more_members_than_any_image_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_index, "MAX_ENTRIES", 100)
    (tmp_path / "a.tar").write_bytes(raw_tar([(str(number), FileSpec()) for number in range(101)]))
    with (tmp_path / "a.tar").open("rb") as file, pytest.raises(Unavailable, match="more than 100"):
        index_tar(file.fileno(), what="it")
