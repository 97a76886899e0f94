"""The log survives a crash before and after every single file operation, a full disk, and kill -9.

After each: it opens again, what was acknowledged is there, and no two trees it ever signed disagree.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gef_registry.errors import GefError, Unavailable
from gef_registry.transparency.audit import audit
from gef_registry.transparency.local import LocalStorage, LogDirectory
from gef_registry.transparency.merkle import Tree, leaf_hash
from gef_registry.transparency.note import Checkpoint, CosignatureSigner, NoteSigner, open_checkpoint
from gef_registry.transparency.recovery import read_bundle
from gef_registry.transparency.sequencer import Appended, Entry, Sequencer
from gef_registry.transparency.tiles import bundles_between

MakeEntry = Callable[..., Entry]
START = 254


class Crash(BaseException):
    """The process ends here."""


class FaultyStorage:
    """A directory whose n-th operation fails, before or after its effect; remembers every note it was given."""

    def __init__(self, directory: Path, fail_at: int | None, after: bool, error: BaseException) -> None:
        self._real = LocalStorage(directory)
        self._fail_at = fail_at
        self._after = after
        self._error = error
        self.operations = 0
        self.notes: list[bytes] = []

    def read(self, path: str) -> bytes | None:
        return self._real.read(path)

    def names(self, path: str) -> list[str]:
        return self._real.names(path)

    def write(self, files: Sequence[tuple[str, bytes]]) -> None:
        for path, data in files:
            with self._operation():
                self._real.write([(path, data)])
            if path == "checkpoint":
                self.notes.append(data)
            if path == "signed-head":
                self.notes.append(data.partition(b"\n")[2])

    def discard(self, path: str) -> None:
        with self._operation():
            self._real.discard(path)

    def close(self) -> None:
        self._real.close()

    def _operation(self) -> Any:
        self.operations += 1
        return _Fault(self._error if self.operations - 1 == self._fail_at else None, self._after)


class _Fault:
    def __init__(self, error: BaseException | None, after: bool) -> None:
        self._error, self._after = error, after

    def __enter__(self) -> None:
        if self._error and not self._after:
            raise self._error

    def __exit__(self, *_: object) -> None:
        if self._error and self._after:
            raise self._error


@pytest.fixture(name="prepared")
async def _prepared(
    tmp_path: Path, origin: str, log_signer: NoteSigner, cosigner: CosignatureSigner, clock: Any
) -> AsyncIterator[Path]:
    """A log just below the end of its first tile; all leaves share one statement, to be quick."""
    log = await Sequencer.open(tmp_path / "prepared", origin, log_signer, cosigner, clock)
    await log.append([Entry(b"old %d of %s" % (n, b"e" * 64), b"{}", "e" * 64) for n in range(START)])
    await log.close()
    yield tmp_path / "prepared"


class Trial:
    """One run against a faulty directory."""

    def __init__(self, directory: Path, origin: str, log: NoteSigner, cosigner: CosignatureSigner, clock: Any) -> None:
        self.directory = directory
        self.keys = (origin, log, cosigner, clock)
        self.acknowledged: dict[bytes, int] = {}
        self.notes: list[bytes] = []

    async def run(self, storage: FaultyStorage, steps: Sequence[Sequence[Entry]], *, go_on: bool) -> bool:
        """Whether every step succeeded. With `go_on` a failed step is tried once more by the same process."""
        log = None
        try:
            log = await Sequencer.open_storage(storage, *self.keys)
            for entries in steps:
                try:
                    self.take(await log.append(entries))
                except Unavailable:
                    if not go_on:
                        raise
                    self.take(await log.append(entries))
            self.keys[3].now += 60
            await log.refresh_cosignature()
            return True
        except (Crash, GefError):
            return False
        finally:
            self.notes += storage.notes
            if log is not None:
                await log.close()

    def take(self, answers: Sequence[Appended]) -> None:
        for answer in answers:
            assert self.acknowledged.setdefault(answer.leaf_hash, answer.index) == answer.index

    async def verify(self, steps: Sequence[Sequence[Entry]]) -> None:
        """Opens again, repeats everything, and looks at all that was ever signed or acknowledged."""
        origin, log_signer, cosigner, _ = self.keys
        log = await Sequencer.open(self.directory, *self.keys)
        try:
            for leaf, index in self.acknowledged.items():
                assert log._state.indexes[leaf] == index
            for entries in steps:
                self.take(await log.append(entries))
            assert log.size() == START + sum(map(len, steps))
            tree = Tree()
            for bundle in bundles_between(0, log.size()):
                for leaf in read_bundle(LogDirectory(self.directory), bundle):
                    tree.append(leaf_hash(leaf))
            for note in [*self.notes, log.checkpoint().encode()]:
                signed: Checkpoint = open_checkpoint(note, origin, log_signer.verifier, [cosigner.verifier]).checkpoint
                assert tree.root(signed.size) == signed.root, "the log forked"
        finally:
            await log.close()
        report = audit(
            self.directory, origin, log_signer.verifier, cosigner.verifier,
            lambda leaf: leaf.decode().rpartition(" ")[2], lambda leaf, statement: None,
        )  # fmt: skip
        assert report.is_clean, report.findings


@pytest.mark.parametrize(
    ("after", "go_on"),
    [
        pytest.param(False, False, id="crash"),  # a crash after one operation is a crash before the next
        pytest.param(False, True, id="disk-error-before", marks=pytest.mark.slow),
        pytest.param(True, True, id="disk-error-after", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
async def test_p4_a_failure_at_any_operation_loses_nothing_and_forks_nothing(
    prepared: Path, tmp_path: Path, entry: MakeEntry, origin: str, log_signer: NoteSigner, cosigner: CosignatureSigner,
    clock: Any, after: bool, go_on: bool,
) -> None:  # fmt: skip
    steps = [[entry(0)], [entry(1), entry(2), entry(3)]]
    error: BaseException = Unavailable("the disk is full") if go_on else Crash()
    start = clock.now
    for fail_at in range(100):
        directory = tmp_path / str(fail_at)
        shutil.copytree(prepared, directory)
        clock.now = start
        trial = Trial(directory, origin, log_signer, cosigner, clock)
        storage = FaultyStorage(directory, fail_at, after, error)
        done = await trial.run(storage, steps, go_on=go_on)
        await trial.verify(steps)
        shutil.rmtree(directory)
        if done and storage.operations <= fail_at:
            assert fail_at > 20
            return
    pytest.fail("the run never got to its end")


async def test_a_crash_while_a_log_is_begun_leaves_one_that_opens(
    tmp_path: Path, origin: str, log_signer: NoteSigner, cosigner: CosignatureSigner, clock: Any
) -> None:
    for fail_at in range(2):
        for after in (False, True):
            directory = tmp_path / f"{fail_at}{after}"
            with pytest.raises(Crash):
                await Sequencer.open_storage(
                    FaultyStorage(directory, fail_at, after, Crash()), origin, log_signer, cosigner, clock
                )
            log = await Sequencer.open(directory, origin, log_signer, cosigner, clock)
            assert log.size() == 0
            await log.close()


async def test_a_partial_tile_that_was_never_signed_does_not_outlive_the_crash(
    prepared: Path, entry: MakeEntry, origin: str, log_signer: NoteSigner, cosigner: CosignatureSigner, clock: Any
) -> None:
    """Else other leaves would grow past it, and it would contradict them for ever."""
    trial = Trial(prepared, origin, log_signer, cosigner, clock)
    assert not await trial.run(FaultyStorage(prepared, 4, False, Crash()), [[entry(0)]], go_on=False)
    assert (prepared / "tile/0/000.p/255").exists()
    await trial.verify([[entry(5), entry(6)]])


async def test_another_entry_may_take_the_place_of_one_that_a_crash_lost(
    prepared: Path, entry: MakeEntry, origin: str, log_signer: NoteSigner, cosigner: CosignatureSigner, clock: Any
) -> None:
    """The full bundle was written, its checkpoint was not: nobody was promised anything."""
    trial = Trial(prepared, origin, log_signer, cosigner, clock)
    lost = [entry(n) for n in range(5)]
    assert not await trial.run(FaultyStorage(prepared, 12, False, Crash()), [lost], go_on=False)
    assert trial.notes == []
    assert (prepared / "tile/entries/000").exists()
    await trial.verify([[entry(9)], [entry(8), entry(7)]])


CHILD = """
import asyncio, sys, time
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as Key
from gef_registry.transparency.note import CosignatureSigner, NoteSigner
from gef_registry.transparency.sequencer import Entry, Sequencer
async def main():
    log = await Sequencer.open(Path(sys.argv[1]), "gate.example",
        NoteSigner("gate.example", Key.from_private_bytes(b"L" * 32)),
        CosignatureSigner("gate.example/time", Key.from_private_bytes(b"C" * 32)), time.time)
    print("open", flush=True)
    async def caller(who):
        for n in range(10 ** 6):
            leaf = f"{sys.argv[2]}-{who}-{n} of {'e' * 64}"
            answer = (await log.append([Entry(leaf.encode(), b"{}", "e" * 64)]))[0]
            print(answer.index, leaf, flush=True)
    await asyncio.gather(*(caller(who) for who in range(8)))
asyncio.run(main())
"""


@pytest.mark.slow
async def test_ten_kills_lose_no_acknowledged_entry(
    tmp_path: Path, origin: str, log_signer: NoteSigner, cosigner: CosignatureSigner
) -> None:
    directory = tmp_path / "log"
    acknowledged: dict[str, int] = {}
    dice = random.Random(7)
    for kill in range(10):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(directory), str(kill)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        time.sleep(dice.uniform(0.01, 0.15))
        child.send_signal(signal.SIGKILL)
        for line in child.communicate(timeout=30)[0].splitlines(keepends=True):
            if line.endswith("\n"):
                index, _, leaf = line[:-1].partition(" ")
                acknowledged[leaf] = int(index)
    log = await Sequencer.open(directory, origin, log_signer, cosigner, time.time)
    assert len(acknowledged) > 20
    for leaf, at in acknowledged.items():
        assert await log.find(leaf.encode()) == at
    await log.close()
    report = audit(
        directory, origin, log_signer.verifier, cosigner.verifier,
        lambda leaf: leaf.decode().rpartition(" ")[2], lambda leaf, statement: None,
    )  # fmt: skip
    assert report.is_clean, report.findings
