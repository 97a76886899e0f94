"""P1 to P6 through `kill -9`: the gate dies in each step of an admission and of a revocation, and at random; started again
on the same data, nothing is lost, nothing is there twice, the log never forks, and nothing unjudged was ever readable.

One data directory for the whole file, as in a long bad day. The gate that takes up what the last one left is the gate that
dies next. All the time somebody who is nobody polls what is on its way, by tag, digest and blob: each 200 is held against
the log's files on disk.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gef_registry.errors import VerificationFailed
from gef_registry.wiring import host as following
from tests.parts.gate import ROOT, Account, Answer, Background, Gate, command, request, until
from tests.parts.images import BuiltImage, good_service
from tests.parts.log_on_disk import is_logged, logged_statements, names_digest
from tests.parts.process import Process

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = "trusted/demo/crash"
ROUNDS = 3
INSTANTS = [
    *((step, instant) for step in ("judge", "reserve", "sign", "log", "publish") for instant in ("before", "after")),
    *((step, "within") for step in ("judge", "sign", "log", "publish")),
]
REVOCATION_INSTANTS = list(itertools.product(("record", "log", "apply"), ("before", "after")))
RANDOM_ADMISSIONS = 50
SEED = 20180402
_counter = itertools.count(1)


@dataclass(slots=True)
class Row:
    """A line of the table."""

    step: str
    instant: str
    rounds: int = 0
    lost: int = 0
    doubled: int = 0
    forked: int = 0
    leaked: int = 0

    @property
    def harm(self) -> int:
        return self.lost + self.doubled + self.forked + self.leaked


@dataclass(slots=True)
class Round:
    """One pushed image, and what its client heard before the crash."""

    tag: str
    image: BuiltImage
    answer: Answer | None = None

    @property
    def unique_layer(self) -> str:
        return self.image.layer_digests[-1]


def new_round() -> Round:
    number = next(_counter)
    files = {"usr/share/round": f"round {number}\n"}
    return Round(f"{number}.0.0", good_service(labels={"eudat.gef.service.version": f"{number}.0.0"}, files=files))


@dataclass(slots=True)
class Nobody:
    """Anonymous and curious, on a thread: asks for what is on its way, by every name it has."""

    gate: Gate
    leaks: list[str] = field(default_factory=list)
    asked: int = 0
    seen: int = 0
    _watched: list[Round] = field(default_factory=list)
    _logged: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def watch(self, what: Round) -> None:
        self._watched = [what, *self._watched[:2]]

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(0.03):
            for round_ in self._watched:
                for what in self._visible(round_):
                    if not self._is_logged(round_.image.digest):
                        self.leaks.append(f"{round_.tag}: {what}")

    def _is_logged(self, digest: str) -> bool:
        """What is in the log stays there, so it is read once."""
        if digest not in self._logged and is_logged(self.gate.data, digest):
            self._logged.add(digest)
        return digest in self._logged

    def _visible(self, round_: Round) -> Iterator[str]:
        image = round_.image
        paths = {
            "tag": f"manifests/{round_.tag}", "digest": f"manifests/{image.digest}",
            "config": f"blobs/{image.config_digest}", "layer": f"blobs/{round_.unique_layer}",
        }  # fmt: skip
        for what, path in paths.items():
            answer = self._ask(f"/v2/{REPOSITORY}/{path}")
            if answer is not None and answer.status == 200:
                yield what
        listed = self._ask(f"/v2/{REPOSITORY}/tags/list")
        if listed is not None and listed.status == 200 and round_.tag in (listed.json["tags"] or []):
            yield "tags/list"

    def _ask(self, path: str) -> Answer | None:
        try:
            answer = request(f"{self.gate.url}{path}", timeout_s=10)
        except (OSError, http.client.HTTPException):
            return None
        self.asked += 1
        self.seen += answer.status == 200
        return answer


@dataclass(slots=True)
class BadDay:
    """The gate, its author, a host that follows it, nobody, and the table."""

    gate: Gate
    ada: Account
    view: Path
    nobody: Nobody
    rows: list[Row] = field(default_factory=list)
    accepted: list[Round] = field(default_factory=list)

    def sync(self) -> bool:
        """The host follows; False when it sees a rollback, a fork or anything else that does not verify."""
        try:
            asyncio.run(following.sync_view(self.view))
        except VerificationFailed:
            return False
        return True

    def push(self, round_: Round) -> Background:
        assert self.gate.upload(round_.image, REPOSITORY, self.ada) is None
        self.nobody.watch(round_)
        return Background(lambda: self.gate.put(round_.image, REPOSITORY, round_.tag, self.ada))

    def check_recovery(self, round_: Round, row: Row) -> None:
        """After a new start: what was taken goes on by itself; the same push again is 201; another digest never."""
        leaks = len(self.nobody.leaks)
        if round_.answer is not None and round_.answer.status == 201:
            row.lost += not self.is_visible(round_)  # P6, at once
        elif self.records("select count(*) from submissions where tag = ?", round_.tag):
            until(
                lambda: self.is_visible(round_), f"{round_.tag} going on after the crash", 60, self.gate.log.read_text
            )
        again = self.gate.push(round_.image, REPOSITORY, round_.tag, self.ada)
        row.lost += again.status != 201 or not self.is_visible(round_)
        row.doubled += self.records("select count(*) from reservations where tag = ?", round_.tag) != 1
        row.doubled += self.records("select count(*) from submissions where tag = ?", round_.tag) != 1
        row.doubled += self.is_double(round_)
        row.forked += not self.sync()
        row.leaked += len(self.nobody.leaks) - leaks
        row.rounds += 1
        self.accepted.append(round_)

    def is_visible(self, round_: Round) -> bool:
        return self.gate.manifest(REPOSITORY, round_.tag).body == round_.image.manifest

    def is_double(self, round_: Round) -> bool:
        """Not exactly one envelope and one older signature, in the records and in the log."""
        query = "select count(*) from statements join submissions on submissions.id = submission where tag = ?"
        logged = [s for s in logged_statements(self.gate.data) if names_digest(s, round_.image.digest)]
        return self.records(query, round_.tag) != 2 or len(logged) != 2 or len(set(logged)) != 2

    def records(self, query: str, *values: str) -> int:
        connection = sqlite3.connect(f"file:{self.gate.data}/gate.db?mode=ro", uri=True, timeout=30)
        try:
            return int(connection.execute(query, values).fetchone()[0])
        finally:
            connection.close()

    def table(self) -> str:
        head = f"{'step':<20} {'SIGKILL':<8} {'rounds':>6} {'lost':>5} {'doubled':>8} {'forked':>7} {'leaked':>7}"
        lines = [
            f"{r.step:<20} {r.instant:<8} {r.rounds:>6} {r.lost:>5} {r.doubled:>8} {r.forked:>7} {r.leaked:>7}"
            for r in self.rows
        ]
        return "\n".join(["", head, *lines, f"anonymous requests meanwhile: {self.nobody.asked}"])


class Nursery:
    """Starts gates as forks of a process that has imported them, a second faster each: `Gate.starter`."""

    def __init__(self) -> None:
        words = [sys.executable, "-m", "tests.e2e.crashing_gate", "nursery"]
        self._process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()

    def start(self, argv: Sequence[str | Path], *, log: Path, **_: Any) -> Process:
        words = [str(word) for word in argv]
        pid = self.ask({"start": words[words.index("-m") + 1 :], "log": str(log)})["pid"]
        return Process("gate", Forked(pid, self), log)  # type: ignore[arg-type]

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()


@dataclass(slots=True)
class Forked:
    """What `Process` needs of a Popen, for a child of the nursery's."""

    pid: int
    nursery: Nursery
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self.nursery.ask({"poll": self.pid})["code"]
        return self.returncode

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("gate", timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(scope="module")
def day(
    nursery: Nursery, start_gate: Callable[..., Gate], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BadDay]:
    gate = start_gate()
    gate.stop()
    gate.starter = nursery.start
    gate.start_again()
    ada = gate.account("ada", "author", "demo")
    view = tmp_path_factory.mktemp("host") / "view"
    asyncio.run(following.pin_gate(view, gate.url, gate.fingerprint, None))
    nobody = Nobody(gate)
    nobody.start()
    yield BadDay(gate, ada, view, nobody)
    nobody.stop()
    gate.stop()


def start_deadly(gate: Gate, step: str, instant: str, tag: str) -> None:
    gate.start_again((sys.executable, "-m", "tests.e2e.crashing_gate", step, instant, tag))


def test_p6_killed_in_each_step_of_an_admission_three_times(day: BadDay) -> None:
    day.gate.stop()
    rows = [Row(step, instant) for step, instant in INSTANTS]
    day.rows += rows
    last: tuple[Round, Row] | None = None
    for row in [row for row in rows for _ in range(ROUNDS)]:
        round_ = new_round()
        start_deadly(day.gate, row.step, row.instant, round_.tag)
        if last is not None:
            day.check_recovery(*last)
        push = day.push(round_)
        assert day.gate.process is not None
        assert day.gate.process.wait(60) == -9, day.gate.process.tail()
        round_.answer = push.join()
        last = round_, row
    assert last is not None
    day.gate.start_again()
    day.check_recovery(*last)
    assert [row for row in rows if row.harm] == [], day.table() + "\n".join(day.nobody.leaks)
    assert {row.rounds for row in rows} == {ROUNDS}


def test_p6_killed_at_random_in_fifty_more_admissions(day: BadDay) -> None:
    chance = random.Random(SEED)
    row = Row("an admission", "random")
    day.rows.append(row)
    if not day.gate.running:
        day.gate.start_again()
    for _ in range(RANDOM_ADMISSIONS):
        round_ = new_round()
        push = day.push(round_)
        time.sleep(chance.uniform(0, 0.4))
        day.gate.kill()
        round_.answer = push.join()
        day.gate.start_again()
        day.check_recovery(round_, row)
    assert (row.rounds, row.harm) == (RANDOM_ADMISSIONS, 0), day.table() + "\n".join(day.nobody.leaks)


def test_p6_killed_in_each_step_of_a_revocation(day: BadDay, tmp_path: Path) -> None:
    grace = day.gate.account("grace", "reviewer")
    rows = [Row(f"revocation: {step}", instant) for step, instant in REVOCATION_INSTANTS]
    day.rows += rows
    for number, row in enumerate(rows):
        round_ = new_round()
        armed = tmp_path / f"armed-{number}"
        day.gate.kill()
        start_deadly(day.gate, row.step.removeprefix("revocation: "), f"revocation-{row.instant}", str(armed))
        assert day.gate.push(round_.image, REPOSITORY, round_.tag, day.ada).status == 201
        armed.touch()
        document = {"digest": round_.image.digest, "reason": f"crash test {number}"}
        revocation = Background(lambda document=document: day.gate.post_json("/api/v1/revocations", document, grace))  # type: ignore[misc]
        assert day.gate.process is not None
        assert day.gate.process.wait(60) == -9, day.gate.process.tail()
        assert revocation.join() is None
        check_revoked(day, round_, row, document, grace)
    assert [row for row in rows if row.harm] == [], day.table()


def check_revoked(day: BadDay, round_: Round, row: Row, document: dict[str, str], grace: Account) -> None:
    """Started again, the revocation goes on by itself, or, never recorded, by asking again; it is in the log once."""
    recorded = day.records("select count(*) from revocations where digest = ?", document["digest"])
    assert recorded == ((row.step, row.instant) != ("revocation: record", "before"))
    day.gate.start_again()
    if not recorded:
        assert day.gate.manifest(REPOSITORY, round_.tag).status == 200
        assert day.gate.post_json("/api/v1/revocations", document, grace).status == 201
    until(lambda: day.gate.manifest(REPOSITORY, round_.tag).status == 403, f"{round_.tag} being revoked")
    row.leaked += not is_logged_as_revoked(day, document)  # P4: its effect was seen
    assert document["reason"] in day.gate.manifest(REPOSITORY, round_.tag).text
    row.lost += day.gate.manifest(REPOSITORY, round_.image.digest).status != 200
    again = day.gate.post_json("/api/v1/revocations", document, grace)
    row.lost += again.status != 201 or again.json["applied"] is not True
    row.doubled += count_revocations(day, document) != 1
    row.forked += not day.sync()
    refused = command("verify", round_.image.digest, "--view", day.view, "--offline", check=1)
    row.lost += document["reason"] not in refused.stdout
    row.rounds += 1


def count_revocations(day: BadDay, document: dict[str, str]) -> int:
    return sum(document["reason"].encode() in statement for statement in logged_statements(day.gate.data))


def is_logged_as_revoked(day: BadDay, document: dict[str, str]) -> bool:
    return count_revocations(day, document) > 0


def test_p6_at_the_end_of_the_day_everything_is_as_it_was_promised(
    day: BadDay, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(day.table())
    assert day.nobody.leaks == []
    assert day.nobody.seen > 0
    if not day.gate.running:
        day.gate.start_again()
    for round_ in day.accepted:
        assert day.is_visible(round_), round_.tag
    listed = json.loads(day.gate.ask(f"/v2/{REPOSITORY}/tags/list").body)["tags"]
    mine = {tag for tag in listed if not tag.startswith(("adm-", "sha256-"))}
    assert {round_.tag for round_ in day.accepted} <= mine
    audited = command("log", "audit", "--data", day.gate.data)
    assert "the log is in order" in audited.stdout
    twice = [s for s, count in Counter(logged_statements(day.gate.data)).items() if count > 1]
    assert twice == []
    assert day.sync()
    for round_ in day.accepted[-3:]:
        command("verify", f"{REPOSITORY}:{round_.tag}", "--view", day.view, "--offline")
