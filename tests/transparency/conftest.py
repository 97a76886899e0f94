"""Keys, entries and logs for the tests of this room."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gef_registry.transparency.note import CosignatureSigner, NoteSigner
from gef_registry.transparency.sequencer import Entry, Sequencer

ORIGIN = "gate.example"


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.5

    def __call__(self) -> float:
        return self.now


def statement_id_of(leaf: bytes) -> str:
    """A leaf of these tests is `leaf N of HEX`."""
    return leaf.decode().rpartition(" ")[2]


def make_entry(number: int, statement: bytes | None = None) -> Entry:
    statement = b'{"statement": %d}' % number if statement is None else statement
    statement_id = hashlib.sha256(statement).hexdigest()
    return Entry(f"leaf {number} of {statement_id}".encode(), statement, statement_id)


@pytest.fixture(autouse=True)
def _disk_without_power_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here pulls the plug, so the disk need not be waited for; test_local looks at the order of the calls, and
    the children that get killed are processes of their own and do sync."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(name="origin")
def _origin() -> str:
    return ORIGIN


@pytest.fixture(name="log_signer")
def _log_signer() -> NoteSigner:
    return NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"L" * 32))


@pytest.fixture(name="cosigner")
def _cosigner() -> CosignatureSigner:
    return CosignatureSigner("gate.example/time", Ed25519PrivateKey.from_private_bytes(b"C" * 32))


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="entry")
def _entry() -> Callable[..., Entry]:
    return make_entry


@pytest.fixture(name="statement_id")
def _statement_id() -> Callable[[bytes], str]:
    return statement_id_of


@pytest.fixture(name="open_log")
async def _open_log(
    tmp_path: Path, log_signer: NoteSigner, cosigner: CosignatureSigner, clock: Clock
) -> AsyncIterator[Callable[[], Awaitable[Sequencer]]]:
    """Opens the log in `tmp_path / "log"`, as often as the test closes it; closes the last one."""
    opened: list[Sequencer] = []

    async def open_log() -> Sequencer:
        opened.append(await Sequencer.open(tmp_path / "log", ORIGIN, log_signer, cosigner, clock))
        return opened[-1]

    yield open_log
    for log in opened:
        await log.close()
