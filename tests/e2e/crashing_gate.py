"""`gef-registry serve` that sends itself SIGKILL at one instant of one step, for one tag: what the crash tests start.

    python -m tests.e2e.crashing_gate STEP INSTANT TAG --data DIR --listen HOST:PORT [--policy NAME]
    python -m tests.e2e.crashing_gate any hold DIRECTORY ...          # waits before a step while DIRECTORY/STEP-TAG exists

STEP judge, reserve, sign, log, publish (of an admission); record, log, apply (of a revocation, INSTANT with `revocation-`
in front). INSTANT `before` and `after` are what the pipeline's observer hears; `within` is after the step's effect elsewhere
(judged, signed, appended, made visible) and before the records say so. Everything else is the ordinary gate.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn

from gef_registry import cli
from gef_registry.admission.ports import Submission
from gef_registry.cli.serve import serve_config
from gef_registry.processes.serve import serve
from gef_registry.settings import load_settings
from gef_registry.store.publication import SqlPublication
from gef_registry.store.revocations import SqlRevocations
from gef_registry.wiring.embedded_judge import EmbeddedJudge
from gef_registry.wiring.notary import KeyNotary, SequencedLog

# What a step does outside the records of its submission.
EFFECTS: dict[str, tuple[type, str]] = {
    "judge": (EmbeddedJudge, "judge"),
    "sign": (KeyNotary, "sign"),
    "log": (SequencedLog, "append"),
    "publish": (SqlPublication, "publish"),
}
REVOCATION: dict[str, tuple[type, str]] = {
    "record": (SqlRevocations, "record"),
    "log": (SequencedLog, "append_leaf"),
    "apply": (SqlRevocations, "apply"),
}


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class KillAt:
    """An observer of the pipeline that ends the process at its instant. Knows, too, whether its tag is in the step now."""

    def __init__(self, step: str, instant: str, tag: str) -> None:
        self._step, self._instant, self._tag = step, instant, tag
        self.inside = False

    async def before(self, step: str, submission: Submission) -> None:
        if self._is_mine(step, submission):
            self.inside = True
            if self._instant == "before":
                die()

    async def after(self, step: str, submission: Submission) -> None:
        if self._is_mine(step, submission):
            self.inside = False
            if self._instant == "after":
                die()

    def _is_mine(self, step: str, submission: Submission) -> bool:
        return step == self._step and submission.request.tag == self._tag


class Hold:
    """An observer that keeps a submission before a step for as long as a test wants to look at it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def before(self, step: str, submission: Submission) -> None:
        while (self._directory / f"{step}-{submission.request.tag}").exists():
            await asyncio.sleep(0.02)

    async def after(self, step: str, submission: Submission) -> None: ...


def deadly(owner: type, method: str, *, before: bool, when: Callable[[], bool]) -> None:
    """Makes a method of the product fatal, before or after its effect."""
    original: Callable[..., Awaitable[Any]] = getattr(owner, method)

    async def replacement(self: Any, *args: Any, **named: Any) -> Any:
        if before and when():
            die()
        result = await original(self, *args, **named)
        if when():
            die()
        return result

    setattr(owner, method, replacement)


def main(step: str, instant: str, tag: str, *flags: str) -> None:
    options = dict(zip(flags[::2], flags[1::2], strict=True))
    killer = KillAt(step, instant, tag)
    if instant == "within":
        deadly(*EFFECTS[step], before=False, when=lambda: killer.inside)
    if instant.startswith("revocation-"):
        armed = Path(tag)
        deadly(*REVOCATION[step], before=instant.endswith("before"), when=armed.exists)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = load_settings(
        flags={
            "server.data": Path(options["--data"]),
            "server.listen": options["--listen"],
            "server.policy": options.get("--policy"),
        }
    )
    asyncio.run(serve(serve_config(settings), Hold(Path(tag)) if instant == "hold" else killer))


def nursery() -> None:
    """Forks gates on request, so that what they import is imported once: each is a process of its own all the same.

    A line of JSON in, one out: `{"start": [module, argument...], "log": FILE}` answers `{"pid": N}`; `{"poll": N}` answers
    `{"code": exit code or null}`.
    """
    for line in sys.stdin:
        asked = json.loads(line)
        if "poll" in asked:
            pid, status = os.waitpid(asked["poll"], os.WNOHANG)
            answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        else:
            pid = os.fork()
            if not pid:
                _child(asked["start"], asked["log"])
            answer = {"pid": pid}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _child(words: list[str], log: str) -> NoReturn:
    os.setsid()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(out, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    module, *arguments = words
    if module == "gef_registry":
        cli.main(arguments)
    else:
        main(*arguments)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:] == ["nursery"]:
        nursery()
    else:
        main(*sys.argv[1:])
