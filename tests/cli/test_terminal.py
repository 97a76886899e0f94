"""What reaches the reader's screen besides the answer."""

from __future__ import annotations

import io
import sys
import time

import pytest

from gef_registry.cli import check, terminal


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    """Makes stderr a terminal (within the test: between its phases pytest puts its own back) and returns it."""
    monkeypatch.setenv("TERM", "xterm")

    def begin():
        monkeypatch.setattr(sys, "stderr", shown := Screen())
        return shown

    return begin


def test_no_bar_without_a_terminal_or_a_wish(screen, monkeypatch):
    screen()
    with terminal.progress(wanted=False) as bar:
        assert bar is None
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with terminal.progress() as bar:
        assert bar is None


def test_short_work_shows_no_bar(screen):
    shown = screen()
    with terminal.progress(after_s=60) as bar:
        bar.start(10)
        bar.advance(10)
    assert "reading" not in shown.getvalue()


def test_long_work_shows_how_far_it_is_on_stderr_alone(screen, capsys):
    shown = screen()
    with terminal.progress(after_s=0) as bar:
        bar.start(2_000_000)
        bar.layer("sha256:0123456789abcdef")
        bar.advance(1_000_000)
        deadline = time.monotonic() + 10
        while "1.0/2.0 MB" not in shown.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert "sha256:0123456789ab" in shown.getvalue()
    assert "1.0/2.0 MB" in shown.getvalue()
    assert capsys.readouterr().out == ""


def test_colours_need_a_terminal_that_wants_them(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert terminal.layout().colour
    assert not terminal.layout(to_file=True).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.layout().colour
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.layout().colour


def test_an_interrupted_command_ends_with_130(run, images, monkeypatch):
    async def interrupted(request):
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "judge_image", interrupted)
    ended = run("check", f"oci:{images}/good")
    assert ended.code == 130
    assert "Traceback" not in ended.err


def test_a_file_keeps_its_rights_and_is_replaced_whole(tmp_path):
    file = tmp_path / "report"
    file.write_bytes(b"old")
    file.chmod(0o640)
    terminal.write_answer(b"new", file)
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
