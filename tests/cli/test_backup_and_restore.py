"""`backup` and `restore`: what they print, and what makes a restored gate sign again."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path

import pytest

from gef_registry.store.backup import signing_refusal
from gef_registry.store.database import Database, sqlite_url
from gef_registry.transparency.sequencer import Entry, Sequencer
from gef_registry.wiring.keyring import Identity, Keyring, load_keyring, open_keyring

IDENTITY = Identity("https://gate.example/", "gate.example", "gate.example")


def entry(number: int, history: str) -> Entry:
    statement = f"statement {number} of {history}".encode()
    name = hashlib.sha256(statement).hexdigest()
    return Entry(f"leaf {number} of {name}".encode(), statement, name)


def grow(data: Path, count: int, history: str = "the gate") -> bytes:
    """Logs entries up to `count`; the answer is the checkpoint then."""

    async def append(keyring: Keyring) -> bytes:
        log = await Sequencer.open(data / "log", "gate.example", keyring.log_signer(), keyring.cosigner(), time.time)
        await log.append([entry(n, history) for n in range(count)])
        await log.close()
        return (data / "log/checkpoint").read_bytes()

    return asyncio.run(append(load_keyring(data / "keys")))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()

    async def make() -> None:
        await (await Database.open(sqlite_url(directory / "gate.db"))).close()

    asyncio.run(make())
    open_keyring(directory / "keys", IDENTITY, now=int(time.time()), may_create=True)
    grow(directory, 3)
    return directory


@pytest.fixture
def restored(data: Path, tmp_path: Path, run) -> Path:  # type: ignore[no-untyped-def]
    assert run("backup", str(tmp_path / "gate.tar"), "--data", str(data)).code == 0
    ended = run("restore", str(tmp_path / "gate.tar"), "--data", str(tmp_path / "new"))
    assert ended.code == 0, ended.err
    assert "a log of 3 entries" in ended.out
    assert "signs nothing yet" in ended.out
    return tmp_path / "new"


def test_a_backup_says_what_it_holds_and_replaces_nothing(run, data, tmp_path):
    ended = run("backup", str(tmp_path / "gate.tar"), "--data", str(data), "--without-keys")
    assert ended.code == 0, ended.err
    assert "a log of 3 entries, without keys" in ended.out
    again = run("backup", str(tmp_path / "gate.tar"), "--data", str(data))
    assert again.code == 1
    assert "exists" in again.err
    assert run("restore", str(tmp_path / "gate.tar"), "--data", str(data)).code == 1
    assert run("backup", str(tmp_path / "other.tar"), "--data", str(tmp_path / "none")).code == 3


@pytest.mark.parametrize("way", ["--view", "--checkpoint"])
def test_what_a_host_has_seen_confirms_a_restored_gate(run, data, restored, tmp_path, way):
    (tmp_path / "view").mkdir()
    (tmp_path / "view/checkpoint").write_bytes((data / "log/checkpoint").read_bytes())
    seen = tmp_path / "view" if way == "--view" else tmp_path / "view/checkpoint"
    ended = run("restore", "--confirm", "--data", str(restored), way, str(seen))
    assert ended.code == 0, ended.err
    assert "signs again, from a log of 3 entries" in ended.out
    assert "seen by others: 3 entries, cosigned" in ended.out
    assert signing_refusal(restored) is None


def test_a_host_that_has_seen_more_keeps_it_from_signing(run, data, restored, tmp_path):
    (tmp_path / "seen").write_bytes(grow(data, 5))
    ended = run("restore", "--confirm", "--data", str(restored), "--checkpoint", str(tmp_path / "seen"))
    assert ended.code == 1
    assert "hosts have seen a log of 5 entries, this backup holds 3" in ended.err
    assert signing_refusal(restored) is not None


def test_a_host_that_has_seen_another_history_keeps_it_from_signing(run, data, restored, tmp_path):
    for path in sorted((data / "log").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "seen").write_bytes(grow(data, 3, "another gate"))
    ended = run("restore", "--confirm", "--data", str(restored), "--checkpoint", str(tmp_path / "seen"))
    assert ended.code == 1
    assert "it forked" in ended.err
    assert signing_refusal(restored) is not None


def test_a_checkpoint_that_this_log_never_signed_confirms_nothing(run, restored, tmp_path):
    (tmp_path / "seen").write_text("gate.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— x y\n")
    ended = run("restore", "--confirm", "--data", str(restored), "--checkpoint", str(tmp_path / "seen"))
    assert ended.code == 1
    assert signing_refusal(restored) is not None
    assert run("restore", "--confirm", "--data", str(restored), "--checkpoint", str(tmp_path / "none")).code == 3
    assert run("restore", "--confirm", "--data", str(restored), "--view", str(tmp_path / "none")).code == 3


def test_somebody_may_vouch_and_only_once(run, restored):
    ended = run("restore", "--confirm", "--data", str(restored), "--i-am-certain")
    assert ended.code == 0, ended.err
    assert signing_refusal(restored) is None
    again = run("restore", "--confirm", "--data", str(restored), "--i-am-certain")
    assert again.code == 1
    assert "does not wait for a confirmation" in again.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--confirm"],
        ["--i-am-certain"],
        ["--confirm", "--i-am-certain", "--view", "x"],
        ["gate.tar", "--confirm", "--i-am-certain"],
        ["gate.tar", "--view", "x"],
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(run, tmp_path, words):
    assert run("restore", *words, "--data", str(tmp_path / "new")).code == 2
