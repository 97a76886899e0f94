"""The key files: made once, protected, never silently replaced."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gef_registry.enforcement.trust import Trust
from gef_registry.errors import BadInput, Conflict, NotFound, Unavailable, VerificationFailed
from gef_registry.signing.keys import PrivateKey, Purpose
from gef_registry.wiring import keyring as keyrings
from gef_registry.wiring.keyring import Identity, Keyring, load_keyring, open_keyring, passphrase_from

NOW = 1_800_000_000
IDENTITY = Identity("https://gate.example.org:8443", "gate.example.org:8443", "gate.example.org")


def first_start(directory: Path, passphrase: bytes | None = None) -> Keyring:
    return open_keyring(directory, IDENTITY, now=NOW, may_create=True, passphrase=passphrase)


def test_the_first_start_makes_a_key_for_each_purpose_and_later_ones_find_them(tmp_path: Path) -> None:
    made = first_start(tmp_path / "keys")
    found = open_keyring(tmp_path / "keys", IDENTITY, now=NOW + 5, may_create=False)
    assert found.keyset == made.keyset
    assert {p: k.public for p, k in found.keys.items()} == {p: k.public for p, k in made.keys.items()}
    assert Purpose.ROOT not in found.keys
    trust = Trust.establish(found.keyset_raw, found.root_fingerprint)
    assert trust.log == found.log_signer().verifier
    assert trust.cosigners == (found.cosigner().verifier,)


def test_private_keys_and_their_directory_are_closed_to_others(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        first_start(tmp_path / "keys")
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()}
    assert {mode for name, mode in modes.items() if name.endswith(".pem")} == {0o600}
    assert len(modes) == 7
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_stops_the_start(tmp_path: Path, mode: int) -> None:
    first_start(tmp_path)
    (tmp_path / "admission.pem").chmod(mode)
    with pytest.raises(VerificationFailed, match=r"admission\.pem: others may read") as caught:
        load_keyring(tmp_path)
    assert "chmod 600" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["admission.pem", "revocation.pem", "log.pem", "cosigner.pem", "token.pem", "keyset.json"]
)
def test_a_missing_key_is_named_and_never_made_anew(tmp_path: Path, name: str) -> None:
    first_start(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(NotFound, match=name) as caught:
        open_keyring(tmp_path, IDENTITY, now=NOW, may_create=False)
    assert "backup" in str(caught.value)
    assert not (tmp_path / name).exists()


def test_the_root_key_may_live_elsewhere(tmp_path: Path) -> None:
    first_start(tmp_path)
    (tmp_path / "root.pem").unlink()
    assert open_keyring(tmp_path, IDENTITY, now=NOW, may_create=False).root_fingerprint.startswith("sha256:")


@pytest.mark.parametrize(
    "damage", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"x" * 20_000]
)
def test_a_damaged_key_stops_the_start(tmp_path: Path, damage: bytes) -> None:
    first_start(tmp_path)
    (tmp_path / "log.pem").write_bytes(damage)
    with pytest.raises(VerificationFailed, match=r"log\.pem"):
        load_keyring(tmp_path)


def test_a_key_that_is_not_in_the_key_set_stops_the_start(tmp_path: Path) -> None:
    ring = first_start(tmp_path)
    (tmp_path / "admission.pem").write_bytes(PrivateKey.generate(ring[Purpose.ADMISSION].algorithm).pem())
    with pytest.raises(VerificationFailed, match="is not the admission key"):
        load_keyring(tmp_path)


def test_swapped_keys_stop_the_start(tmp_path: Path) -> None:
    first_start(tmp_path)
    (tmp_path / "admission.pem").write_bytes((tmp_path / "revocation.pem").read_bytes())
    with pytest.raises(VerificationFailed, match="is not the admission key"):
        load_keyring(tmp_path)


def test_another_public_url_is_refused(tmp_path: Path) -> None:
    first_start(tmp_path)
    with pytest.raises(Conflict, match="fixed at its first start"):
        open_keyring(tmp_path, Identity("https://b", "b", "b"), now=NOW, may_create=True)


def test_keys_may_be_protected_by_a_passphrase(tmp_path: Path) -> None:
    made = first_start(tmp_path, b"correct horse")
    assert load_keyring(tmp_path, passphrase=b"correct horse").keyset == made.keyset
    assert all(b"ENCRYPTED" in path.read_bytes() for path in tmp_path.glob("*.pem"))
    for wrong in (None, b"wrong"):
        with pytest.raises(VerificationFailed, match="passphrase") as caught:
            load_keyring(tmp_path, passphrase=wrong)
        assert "correct horse" not in str(caught.value)


def test_a_passphrase_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("from file\n")
    variable, named = keyrings.PASSPHRASE_VARIABLE, keyrings.PASSPHRASE_FILE_VARIABLE
    assert passphrase_from({}) is None
    assert passphrase_from({variable: "direct"}) == b"direct"
    assert passphrase_from({named: str(file)}) == b"from file"
    with pytest.raises(BadInput, match="both"):
        passphrase_from({variable: "direct", named: str(file)})
    with pytest.raises(NotFound, match="cannot be read"):
        passphrase_from({named: str(tmp_path / "none")})
    file.write_text("\n")
    with pytest.raises(BadInput, match="is empty"):
        passphrase_from({named: str(file)})


def test_a_crash_while_the_keys_are_made_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = keyrings._write, 0

    def write(path: Path, data: bytes, mode: int) -> None:
        nonlocal written
        if written == allowed:
            raise OSError(28, "No space left on device")
        written += 1
        real(path, data, mode)

    monkeypatch.setattr(keyrings, "_write", write)
    for allowed in range(7):
        written = 0
        directory = tmp_path / str(allowed)
        with pytest.raises(Unavailable, match="No space left"):
            first_start(directory)
        before = {path.name: path.read_bytes() for path in directory.glob("*.pem")}
        assert len(before) == min(allowed, 6) and not (directory / "keyset.json").exists()
        written = -100
        first_start(directory)
        assert {name: (directory / name).read_bytes() for name in before} == before
