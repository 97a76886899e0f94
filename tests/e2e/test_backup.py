"""`backup` of a gate at work, `restore` elsewhere: everything is there, and nothing is signed until the log is known to be the
newest, because a gate that signs from an old backup forks its own log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.gate import Account, Answer, Gate, Host, command
from tests.parts.images import BuiltImage, good_service

pytestmark = pytest.mark.real

REPOSITORY = "trusted/demo/kept"


@dataclass(frozen=True, slots=True)
class Saved:
    """A gate, what it had admitted before the backup, and the backup."""

    gate: Gate
    ada: Account
    before: tuple[BuiltImage, ...]
    archive: Path


def version(number: int) -> BuiltImage:
    return good_service(labels={"eudat.gef.service.version": f"{number}.0.0"}, files={"number": str(number)})


def push(gate: Gate, number: int, ada: Account) -> Answer:
    return gate.push(version(number), REPOSITORY, f"{number}.0.0", ada)


@pytest.fixture
def saved(start_gate: Callable[..., Gate], tmp_path: Path) -> Saved:
    """The backup is made while pushes go on."""
    gate = start_gate()
    ada = gate.account("ada", "author", "demo")
    for number in (1, 2, 3):
        assert push(gate, number, ada).status == 201
    stop = threading.Event()

    def go_on() -> None:
        number = 100
        while not stop.is_set():
            push(gate, number, ada)
            number += 1

    pusher = threading.Thread(target=go_on)
    pusher.start()
    try:
        done = command("backup", tmp_path / "gate.tar", "--data", gate.data)
    finally:
        stop.set()
        pusher.join()
    assert "files" in done.stdout
    assert (tmp_path / "gate.tar").stat().st_mode & 0o077 == 0
    return Saved(gate, ada, (version(1), version(2), version(3)), tmp_path / "gate.tar")


def restored(saved: Saved, directory: Path) -> Gate:
    """Restored into another directory, with the old gate gone, at the old address."""
    saved.gate.stop()
    done = command("restore", saved.archive, "--data", directory / "data")
    assert "It signs nothing yet" in done.stdout
    gate = Gate(directory / "data", directory / "gate.log", saved.gate.port)
    command("log", "audit", "--data", gate.data)
    gate.start_again()
    return gate


def test_a_restored_gate_serves_all_and_signs_nothing_until_it_is_confirmed(saved: Saved, tmp_path: Path) -> None:
    gate = restored(saved, tmp_path)
    try:
        for number, image in enumerate(saved.before, 1):
            assert gate.manifest(REPOSITORY, f"{number}.0.0").body == image.manifest
            assert all(gate.blob(REPOSITORY, digest).body == data for digest, data in image.blobs.items())
        refused = push(gate, 4, saved.ada)
        assert refused.status == 403
        assert "restored from a backup" in refused.text
        gate.stop()
        command("restore", "--confirm", "--i-am-certain", "--data", gate.data)
        gate.start_again()
        assert push(gate, 4, saved.ada).status == 201
        assert push(gate, 1, saved.ada).status == 201
        other = good_service(labels={"org.opencontainers.image.title": "other"})
        assert gate.push(other, REPOSITORY, "1.0.0", saved.ada).status == 409, "names stay reserved"
        command("log", "audit", "--data", gate.data)
    finally:
        gate.stop()


def test_a_backup_older_than_what_a_host_has_seen_is_not_confirmed(saved: Saved, tmp_path: Path) -> None:
    assert push(saved.gate, 50, saved.ada).status == 201
    host = Host.init(tmp_path / "view", saved.gate)
    gate = restored(saved, tmp_path)
    try:
        refused = command("restore", "--confirm", "--view", host.view, "--data", gate.data, check=None)
        assert refused.returncode == 1
        assert "hosts have seen a log of" in refused.stderr
        assert push(gate, 51, saved.ada).status == 403, "still nothing is signed"
    finally:
        gate.stop()


def test_a_view_that_has_seen_no_more_confirms_it(saved: Saved, tmp_path: Path) -> None:
    saved.gate.stop()
    command("backup", tmp_path / "last.tar", "--data", saved.gate.data)
    saved.gate.start_again()
    host = Host.init(tmp_path / "view", saved.gate)
    gate = restored(Saved(saved.gate, saved.ada, saved.before, tmp_path / "last.tar"), tmp_path)
    try:
        gate.stop()
        command("restore", "--confirm", "--view", host.view, "--data", gate.data)
        gate.start_again()
        assert push(gate, 60, saved.ada).status == 201
        assert "ADMITTED" in host.verify(f"{REPOSITORY}:60.0.0", check=0).stdout
        assert "ADMITTED" in host.verify(f"{REPOSITORY}:1.0.0", check=0).stdout
    finally:
        gate.stop()
