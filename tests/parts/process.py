"""A child process of a test: output in a file, a readiness probe, stopped or killed by its own pid and group.

    process = Process.start([...], log=tmp_path / "gate.log")
    process.wait_until_http(f"http://127.0.0.1:{port}/healthz")
    process.kill()                      # SIGKILL, as a crash would; `stop()` is SIGTERM, then SIGKILL

The pipe problem does not exist (output goes to a file), and a failed wait shows the end of that file.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_POLL_S = 0.05
_given: set[int] = set()


def free_port() -> int:
    """A loopback TCP port nobody listens on now; never the same one twice in a test session."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


@dataclass(slots=True)
class Process:
    """A running child in its own session. `log` holds stdout and stderr together."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls, argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None,
        dies_with_parent: bool = False,
    ) -> Process:  # fmt: skip
        """`env` is added to this process's environment. `log` is appended to, so a restarted part keeps its story.
        `dies_with_parent`: SIGKILL when the starting *thread* ends, for parts started from the main thread."""
        words = [str(word) for word in argv]
        if dies_with_parent and shutil.which("setpriv"):
            words = ["setpriv", "--pdeathsig", "KILL", "--", *words]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            popen = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd, env={**os.environ, **(env or {})},
                start_new_session=True,
            )  # fmt: skip
        return cls(Path(str(argv[0])).name, popen, log)

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_until(self, ready: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
        """Returns when `ready()` is true; AssertionError with the output's end when the child dies or time is up."""
        deadline = time.monotonic() + timeout_s
        while True:
            if ready():
                return
            assert self.running, f"{self.name} ended with {self.popen.returncode} before {what}:\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name}: no {what} after {timeout_s} s:\n{self.tail()}"
            time.sleep(_POLL_S)

    def wait_until_http(self, url: str, timeout_s: float = 30, statuses: Sequence[int] = (200,)) -> None:
        """Returns when a GET of the http:// `url` answers with one of `statuses`."""
        self.wait_until(lambda: http_status(url) in statuses, f"{url} answering {list(statuses)}", timeout_s)

    def wait_until_prints(self, text: str, timeout_s: float = 30) -> None:
        self.wait_until(lambda: text in self.output, f"printing {text!r}", timeout_s)

    def wait(self, timeout_s: float = 30) -> int:
        """Waits for the child to end by itself; its exit code."""
        return self.popen.wait(timeout_s)

    def stop(self, timeout_s: float = 10) -> int:
        """SIGTERM, and SIGKILL to its group if it does not end; returns the exit code. Harmless when it has ended."""
        if self.running:
            self.popen.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout_s)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL to the child's whole process group, as a crash of the machine would; returns the exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        return self.popen.wait(10)

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.output.splitlines()[-lines:])


@dataclass(frozen=True, slots=True)
class Tool:
    """A command line program with its fixed first words and environment, callable with the rest."""

    words: tuple[str, ...]
    env: Mapping[str, str]

    def __call__(
        self, *arguments: str | Path, check: bool = True, stdin: str | None = None, timeout_s: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Runs to the end. `check`: an exit code other than 0 is an AssertionError that shows the output."""
        done = subprocess.run(
            [*self.words, *map(str, arguments)], input=stdin if stdin is not None else "", text=True,
            capture_output=True, env={**os.environ, **self.env}, timeout=timeout_s, check=False,
        )  # fmt: skip
        shown = " ".join([Path(self.words[0]).name, *map(str, arguments)])
        assert not check or done.returncode == 0, f"{shown}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    async def run(
        self, *arguments: str | Path, check: bool = True, stdin: str | None = None, timeout_s: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """The same, off the event loop: for tests whose server runs in this very process."""
        return await asyncio.to_thread(
            self.__call__, *arguments, check=check, stdin=stdin, timeout_s=timeout_s
        )


def http_status(url: str, timeout_s: float = 2) -> int | None:
    """The status of a GET of an http:// URL without redirects or proxies; None when nobody answers properly."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
