"""Files of a log on disk: whole or not there, durable when `write` returns, one writer, errors translated."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gef_registry.errors import Unavailable, VerificationFailed
from gef_registry.transparency.local import MAX_FILE_BYTES, LocalStorage, LogDirectory


@pytest.fixture(name="calls")
def _calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Every sync and rename, in the order in which they were done."""
    calls: list[str] = []

    def fsync(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        calls.append(f"sync {kind} {Path(os.readlink(f'/proc/self/fd/{descriptor}')).relative_to(tmp_path)}")

    def replace(self: Path, target: Path) -> Path:
        calls.append(f"rename {self.relative_to(tmp_path)} {target.relative_to(tmp_path)}")
        os.rename(self, target)
        return target

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    return calls


def test_a_file_is_synced_then_renamed_then_its_directory_is_synced(tmp_path: Path, calls: list[str]) -> None:
    storage = LocalStorage(tmp_path / "log")
    storage.write([("tile/0/000.p/1", b"x")])
    assert calls == [
        "sync file log/tmp/0",
        "sync directory log", "sync directory log/tile", "sync directory log/tile/0",
        "rename log/tmp/0 log/tile/0/000.p/1",
        "sync directory log/tile/0/000.p",
    ]  # fmt: skip
    calls.clear()
    storage.write([("tile/0/000.p/2", b"xy")])
    assert calls == ["sync file log/tmp/1", "rename log/tmp/1 log/tile/0/000.p/2", "sync directory log/tile/0/000.p"]
    storage.close()


def test_a_written_file_reads_back_and_is_replaced_whole(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.write([("checkpoint", b"one"), ("statement/aa/b", b"")])
    storage.write([("checkpoint", b"two")])
    assert storage.read("checkpoint") == b"two"
    assert storage.read("statement/aa/b") == b""
    assert storage.read("statement/aa") is None
    assert storage.read("checkpoint/x") is None
    assert storage.names("statement/aa") == ["b"]
    assert storage.names("nothing") == []
    storage.discard("statement")
    storage.discard("statement")
    assert storage.read("statement/aa/b") is None
    storage.close()


def test_what_a_crash_left_half_written_is_gone_after_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/0").write_bytes(b"half")
    storage = LocalStorage(tmp_path)
    storage.write([("checkpoint", b"whole")])
    assert storage.read("checkpoint") == b"whole"
    assert list((tmp_path / "tmp").iterdir()) == []
    storage.close()


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.write([("checkpoint", b"x")])
    with pytest.raises(Unavailable, match="another process"):
        LocalStorage(tmp_path)
    assert LogDirectory(tmp_path).read("checkpoint") == b"x"
    storage.close()
    LocalStorage(tmp_path).close()


def test_a_disk_error_is_unavailable_and_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Unavailable, match="No space left on device"):
            storage.write([("checkpoint", b"x")])
    assert storage.read("checkpoint") is None
    assert storage.names("tmp") == []
    storage.write([("checkpoint", b"x")])
    storage.close()


def test_a_file_larger_than_any_of_a_log_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "checkpoint").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(VerificationFailed, match="larger than any file"):
        LogDirectory(tmp_path).read("checkpoint")
