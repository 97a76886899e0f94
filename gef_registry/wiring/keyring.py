"""The gate's keys on disk: made at the first start, 0600 in a directory of 0700, one file for each purpose.

    DATA/keys/{root,admission,revocation,log,cosigner,token}.pem    PKCS #8, encrypted when there is a passphrase
    DATA/keys/keyset.json                                           the key set, signed by the root key; written last

`root.pem` may be taken away afterwards; it is needed again for a new key set only. A key that is missing, damaged,
readable by others or not the one in the key set stops the start: a gate that silently made new keys would be another gate.
Creation survives a crash: run again, it keeps the keys that are there and ends with the key set.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gef_registry.errors import BadInput, Conflict, NotFound, Unavailable, VerificationFailed
from gef_registry.signing import keyset as keysets
from gef_registry.signing.dsse import MAX_ENVELOPE_BYTES
from gef_registry.signing.keys import ALGORITHMS, MAX_PEM_BYTES, PrivateKey, Purpose
from gef_registry.signing.keyset import KeySet, SetKey
from gef_registry.transparency.note import CosignatureSigner, NoteSigner

KEYSET_FILE = "keyset.json"
PASSPHRASE_VARIABLE = "GEF_REGISTRY_KEY_PASSPHRASE"
PASSPHRASE_FILE_VARIABLE = "GEF_REGISTRY_KEY_PASSPHRASE_FILE"
_RESTORE = "restore it from a backup (`gef-registry restore`); a new key would be another gate"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the gate is, as signatures say it; fixed at the first start. `log_origin` is a bare host name."""

    verifier_id: str
    name: str
    log_origin: str


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys a running gate signs with (never the root key), and the signed key set it publishes."""

    keyset: KeySet
    keyset_raw: bytes
    keys: Mapping[Purpose, PrivateKey]

    def __getitem__(self, purpose: Purpose) -> PrivateKey:
        return self.keys[purpose]

    @property
    def root_fingerprint(self) -> str:
        return self.keyset.root.fingerprint

    def log_signer(self) -> NoteSigner:
        return _log_signer(self.keys[Purpose.LOG], self.keyset.log_origin)

    def cosigner(self) -> CosignatureSigner:
        return _cosigner(self.keys[Purpose.COSIGNER], self.keyset.log_origin)


def passphrase_from(environment: Mapping[str, str]) -> bytes | None:
    """The passphrase of the key files, from a variable or from a file that a variable names. Raises BadInput, NotFound."""
    direct, file = environment.get(PASSPHRASE_VARIABLE), environment.get(PASSPHRASE_FILE_VARIABLE)
    if direct and file:
        raise BadInput(f"both {PASSPHRASE_VARIABLE} and {PASSPHRASE_FILE_VARIABLE} are set", hint="set one of them")
    if direct:
        return direct.encode()
    if not file:
        return None
    try:
        content = Path(file).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise NotFound(f"{file}, named by {PASSPHRASE_FILE_VARIABLE}, cannot be read: {error.strerror}") from error
    if not content:
        raise BadInput(f"{file}, named by {PASSPHRASE_FILE_VARIABLE}, is empty")
    return content


def open_keyring(
    directory: Path, identity: Identity, *, now: int, may_create: bool, passphrase: bytes | None = None
) -> Keyring:
    """Loads the keys, or makes them when there is no key set and `may_create` (no log, no records yet).

    Raises NotFound and VerificationFailed as `load_keyring`, Conflict when the identity is not the one in the key set.
    """
    if not (directory / KEYSET_FILE).exists():
        if not may_create:
            raise NotFound(f"{directory / KEYSET_FILE} is missing, but this gate has worked before", hint=_RESTORE)
        _create(directory, identity, now, passphrase)
    keyring = load_keyring(directory, passphrase=passphrase)
    keyset = keyring.keyset
    if Identity(keyset.verifier_id, keyset.name, keyset.log_origin) != identity:
        raise Conflict(
            f"the keys in {directory} belong to {keyset.verifier_id} ({keyset.name}), not to {identity.verifier_id} "
            f"({identity.name}): a gate's public URL is fixed at its first start",
            hint="start it with the former --public-url, or begin a new gate in another data directory",
        )
    return keyring


def load_keyring(directory: Path, *, passphrase: bytes | None = None) -> Keyring:
    """Raises NotFound (a file is missing), VerificationFailed (damaged, open to others, not the key of the key set)."""
    raw, keyset = load_keyset(directory)
    keys: dict[Purpose, PrivateKey] = {}
    for purpose in Purpose:
        if purpose is Purpose.ROOT:
            continue
        path = directory / f"{purpose}.pem"
        key = _read_key(path, passphrase)
        if key.public not in [entry.public for entry in keyset.of(purpose)]:
            raise VerificationFailed(
                f"{path}: {key.public.fingerprint} is not the {purpose} key of the key set", hint=_RESTORE
            )
        keys[purpose] = key
    return Keyring(keyset, raw, keys)


def load_keyset(directory: Path) -> tuple[bytes, KeySet]:
    """The key set alone, which holds no secret. Raises NotFound, VerificationFailed."""
    path = directory / KEYSET_FILE
    raw = _read(path, MAX_ENVELOPE_BYTES)
    if raw is None:
        raise NotFound(f"{path} is missing", hint=_RESTORE)
    return raw, keysets.open_keyset(raw, keysets.root_fingerprint(raw))


def _create(directory: Path, identity: Identity, now: int, passphrase: bytes | None) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        keys = {purpose: _read_or_make(directory, purpose, passphrase) for purpose in Purpose}
        root = keys.pop(Purpose.ROOT)
        keyset = KeySet(
            version=1,
            verifier_id=identity.verifier_id,
            name=identity.name,
            log_origin=identity.log_origin,
            issued_at=now,
            root=root.public,
            keys=tuple(_set_key(purpose, key, identity, now) for purpose, key in keys.items()),
        )
        _write(directory / KEYSET_FILE, keysets.sign_keyset(keyset, root).raw, 0o644)
    except OSError as error:
        raise Unavailable(f"the keys cannot be written to {directory}: {error.strerror}") from error


def _set_key(purpose: Purpose, key: PrivateKey, identity: Identity, now: int) -> SetKey:
    vkey = None
    if purpose is Purpose.LOG:
        vkey = _log_signer(key, identity.log_origin).verifier.vkey
    elif purpose is Purpose.COSIGNER:
        vkey = _cosigner(key, identity.log_origin).verifier.vkey
    return SetKey(purpose, key.public, now, vkey=vkey)


def _log_signer(key: PrivateKey, origin: str) -> NoteSigner:
    return NoteSigner(origin, _ed25519(key))


def _cosigner(key: PrivateKey, origin: str) -> CosignatureSigner:
    return CosignatureSigner(f"{origin}/cosigner", _ed25519(key))


def _ed25519(key: PrivateKey) -> Ed25519PrivateKey:
    if not isinstance(key.key, Ed25519PrivateKey):
        raise VerificationFailed(f"the key {key.public.fingerprint} is of {key.algorithm}, expected Ed25519")
    return key.key


def _read_or_make(directory: Path, purpose: Purpose, passphrase: bytes | None) -> PrivateKey:
    path = directory / f"{purpose}.pem"
    if path.exists():
        return _read_key(path, passphrase)
    key = PrivateKey.generate(ALGORITHMS[purpose])
    _write(path, key.pem(passphrase), 0o600)
    return key


def _read_key(path: Path, passphrase: bytes | None) -> PrivateKey:
    pem = _read(path, MAX_PEM_BYTES)
    if pem is None:
        raise NotFound(f"the private key {path} is missing", hint=_RESTORE)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise VerificationFailed(f"{path}: others may read or write it (mode {mode:04o})", hint=f"chmod 600 {path}")
    try:
        return PrivateKey.from_pem(pem, passphrase, what=str(path))
    except BadInput as error:
        hint = f"set {PASSPHRASE_VARIABLE} or {PASSPHRASE_FILE_VARIABLE}" if "passphrase" in error.message else _RESTORE
        raise VerificationFailed(error.message, hint=hint) from error


def _read(path: Path, at_most: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(at_most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > at_most:
        raise VerificationFailed(f"{path}: more than {at_most} bytes", hint=_RESTORE)
    return data


def _write(path: Path, data: bytes, mode: int) -> None:
    """A new file, whole and durable, or none; one that is there already is never replaced."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
