"""The reader's screen: its width, its colours, files written whole, and a bar for long work.

Only what a command prints as its answer goes to stdout; everything else, the bar too, goes to stderr.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gef_registry.errors import Unavailable
from gef_registry.report.format import Layout

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_WIDTH = 120


class Bar(Protocol):
    """What long work reports to."""

    def start(self, total_bytes: int) -> None: ...

    def layer(self, name: str) -> None: ...

    def advance(self, amount: int) -> None: ...


def layout(*, to_file: bool = False) -> Layout:
    """Colours only on a terminal that wants them (NO_COLOR, TERM=dumb); a fixed width anywhere else."""
    if to_file or not sys.stdout.isatty():
        return Layout(width=PLAIN_WIDTH, colour=False)
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Layout(width=shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns, colour=colour)


def write_answer(content: bytes, output: Path | None) -> None:
    """To stdout, or whole into a file: never half of it. Raises Unavailable."""
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        _replace(output, content)
    except OSError as error:
        raise Unavailable(f"{output}: cannot be written: {error.strerror}") from error


def _replace(path: Path, content: bytes) -> None:
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        path.write_bytes(content)
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def progress(*, wanted: bool = True, after_s: float = 0.5) -> Iterator[Bar | None]:
    """A bar on stderr for work that takes longer than `after_s`, if that is a terminal and somebody wants it; else None."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    appearance = threading.Timer(after_s, shown.start)
    appearance.daemon = True
    appearance.start()
    try:
        yield _RichBar(shown)
    finally:
        appearance.cancel()
        appearance.join()
        shown.stop()


class _RichBar:
    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._task: TaskID = shown.add_task("looking", total=None)

    def start(self, total_bytes: int) -> None:
        self._shown.update(self._task, total=total_bytes, description="reading layers")

    def layer(self, name: str) -> None:
        self._shown.update(self._task, description=f"reading {name[:19]}")

    def advance(self, amount: int) -> None:
        self._shown.update(self._task, advance=amount)
