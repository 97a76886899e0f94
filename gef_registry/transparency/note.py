"""Signed notes, checkpoints and cosignatures (c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature v1).

Rules kept when a note is opened: the text ends at the last blank line; signatures of unknown keys are ignored; a known
key that fails refuses the whole note; at least one known key must have signed; control characters, wrong UTF-8 and
base64 in another spelling are refused; 100 signatures and a million bytes are the limit. Notes are evidence, so all of
this raises VerificationFailed; verifier keys are configuration and raise BadInput.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.transparency.merkle import HASH_SIZE, MAX_SIZE

MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
MAX_TIME = (1 << 63) - 1
ED25519 = 0x01
COSIGNATURE_V1 = 0x04


def key_id(name: str, key_type: int, public: bytes) -> bytes:
    """The four bytes that, with the name, tell one key from another."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([key_type]) + public).digest()[:4]


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line; `body` is what follows the key id."""

    name: str
    key_id: bytes
    body: bytes

    @property
    def line(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.body).decode()}\n"


class Verifier(Protocol):
    """A key that is known to whoever opens a note."""

    @property
    def name(self) -> str: ...
    @property
    def key_id(self) -> bytes: ...
    def verify(self, text: str, body: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """An Ed25519 key that signs note texts (type 0x01): a log's key."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        _require_key(self.name, self.public)

    @property
    def key_id(self) -> bytes:
        return key_id(self.name, ED25519, self.public)

    @property
    def vkey(self) -> str:
        return _format_vkey(self.name, ED25519, self.public)

    def verify(self, text: str, body: bytes) -> bool:
        return _verifies(self.public, body, text.encode())


@dataclass(frozen=True, slots=True)
class CosignatureVerifier:
    """An Ed25519 key that cosigns checkpoints with the time (type 0x04): a witness's key."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        _require_key(self.name, self.public)

    @property
    def key_id(self) -> bytes:
        return key_id(self.name, COSIGNATURE_V1, self.public)

    @property
    def vkey(self) -> str:
        return _format_vkey(self.name, COSIGNATURE_V1, self.public)

    def verify(self, text: str, body: bytes) -> bool:
        if len(body) != 8 + 64 or cosignature_time(body) > MAX_TIME:
            return False
        return _verifies(self.public, body[8:], _cosigned_message(text, cosignature_time(body)))


class NoteSigner:
    """Signs note texts with a log's key. The name should be the log's origin."""

    __slots__ = ("_private", "verifier")

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.verifier = NoteVerifier(name, private.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """The signature line for a text that ends with a newline."""
        _require_text(text)
        return Signature(self.verifier.name, self.verifier.key_id, self._private.sign(text.encode())).line


class CosignatureSigner:
    """Cosigns checkpoints: as of `time`, this was the largest consistent tree the cosigner had seen."""

    __slots__ = ("_private", "verifier")

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.verifier = CosignatureVerifier(name, private.public_key().public_bytes_raw())

    def sign(self, text: str, time: int) -> str:
        """The cosignature line for a checkpoint's text at a POSIX time in seconds."""
        _require_text(text)
        if not 0 <= time <= MAX_TIME:
            raise BadInput(f"not a time that can be cosigned: {time}")
        body = time.to_bytes(8, "big") + self._private.sign(_cosigned_message(text, time))
        return Signature(self.verifier.name, self.verifier.key_id, body).line


def cosignature_time(body: bytes) -> int:
    """The POSIX time inside the body of a cosignature."""
    return int.from_bytes(body[:8], "big")


def parse_vkey(text: str) -> NoteVerifier | CosignatureVerifier:
    """A verifier key `name+hex(id)+base64(type || key)` of one of the two types we know. Raises BadInput."""
    name, _, rest = text.partition("+")
    claimed, _, encoded = rest.partition("+")
    key = _decode_base64(encoded)
    if key is None or len(key) != 33 or key[0] not in (ED25519, COSIGNATURE_V1):
        raise BadInput(f"not an Ed25519 verifier key: {text[:120]!r}; expected name+id+base64 of type 1 or 4")
    verifier = NoteVerifier(name, key[1:]) if key[0] == ED25519 else CosignatureVerifier(name, key[1:])
    if claimed != verifier.key_id.hex():
        raise BadInput(f"verifier key of {name!r}: its id is {verifier.key_id.hex()}, not {claimed[:16]!r}")
    return verifier


@dataclass(frozen=True, slots=True)
class Note:
    """An opened note: at least one of `verified` is there, and every signature in it was checked."""

    text: str
    verified: tuple[Signature, ...]
    unknown: tuple[Signature, ...]


def open_note(note: str | bytes, verifiers: Sequence[Verifier]) -> Note:
    """Splits a note and checks every signature of a known key. Raises VerificationFailed."""
    known = {(v.name, v.key_id): v for v in verifiers}
    if len(known) != len(verifiers):
        raise BadInput("two of the verifier keys have the same name and id")
    text, signatures = _split_note(note)
    verified: list[Signature] = []
    unknown: list[Signature] = []
    for signature in signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier is None:
            unknown.append(signature)
        elif verifier.verify(text, signature.body):
            verified.append(signature)
        else:
            raise VerificationFailed(
                f"signed note: the signature of {signature.name}+{signature.key_id.hex()} is wrong"
            )
    if not verified:
        wanted = ", ".join(f"{v.name}+{v.key_id.hex()}" for v in verifiers) or "none"
        raise VerificationFailed(f"signed note: no signature of a known key; known are {wanted}")
    return Note(text, tuple(verified), tuple(unknown))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: its origin, how many leaves it has, their root."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text that gets signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """The text of a checkpoint note. Raises VerificationFailed."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise VerificationFailed("checkpoint: expected at least three non-empty lines: origin, size, root")
    origin, size, encoded, *extensions = lines[:-1]
    if not (size.isascii() and size.isdecimal()) or len(size) > 19 or str(int(size)) != size or int(size) > MAX_SIZE:
        raise VerificationFailed(f"checkpoint of {origin!r}: not a tree size: {size[:32]!r}")
    root = _decode_base64(encoded)
    if root is None or len(root) != HASH_SIZE:
        raise VerificationFailed(f"checkpoint of {origin!r}: the root is not the base64 of {HASH_SIZE} bytes")
    return Checkpoint(origin, int(size), root, tuple(extensions))


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint signed by the log itself, the note as it was received, and who cosigned it when."""

    checkpoint: Checkpoint
    note: str
    cosigned: tuple[tuple[str, int], ...]

    @property
    def cosigned_at(self) -> int | None:
        """The newest time any known cosigner vouches for; None when nobody did."""
        return max((time for _, time in self.cosigned), default=None)


def open_checkpoint(
    note: str | bytes, origin: str, log: NoteVerifier, cosigners: Sequence[CosignatureVerifier] = ()
) -> SignedCheckpoint:
    """Opens a checkpoint that this log must have signed. Raises VerificationFailed."""
    opened = open_note(note, [log, *cosigners])
    if not any((s.name, s.key_id) == (log.name, log.key_id) for s in opened.verified):
        raise VerificationFailed(f"checkpoint: not signed by the log's key {log.name}+{log.key_id.hex()}")
    checkpoint = parse_checkpoint(opened.text)
    if checkpoint.origin != origin:
        raise VerificationFailed(f"checkpoint: its origin is {checkpoint.origin!r}, expected {origin!r}")
    keys = {(c.name, c.key_id) for c in cosigners}
    times = tuple((s.name, cosignature_time(s.body)) for s in opened.verified if (s.name, s.key_id) in keys)
    return SignedCheckpoint(checkpoint, note.decode() if isinstance(note, bytes) else note, times)


def _split_note(note: str | bytes) -> tuple[str, list[Signature]]:
    if len(note) > MAX_NOTE_BYTES:
        raise VerificationFailed(f"signed note: more than {MAX_NOTE_BYTES} bytes")
    try:
        text = note.decode() if isinstance(note, bytes) else note.encode().decode()
    except UnicodeError as error:
        raise VerificationFailed("signed note: not UTF-8") from error
    end = text.rfind("\n\n")
    if end < 0 or not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise VerificationFailed("signed note: expected text, a blank line and signature lines, no control characters")
    lines = text[end + 2 :].split("\n")[:-1]
    if not 1 <= len(lines) <= MAX_SIGNATURES:
        raise VerificationFailed(f"signed note: {len(lines)} signatures; expected 1 to {MAX_SIGNATURES}")
    return text[: end + 1], [_parse_signature(line) for line in lines]


def _parse_signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    data = _decode_base64(encoded)
    if dash != "—" or not _is_name(name) or data is None or len(data) < 5:
        raise VerificationFailed(f"signed note: not a signature line: {line[:80]!r}")
    return Signature(name, data[:4], data[4:])


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() or c < " " for c in name)


def _require_key(name: str, public: bytes) -> None:
    if not _is_name(name):
        raise BadInput(f"not the name of a key: {name[:80]!r}; no spaces, no plus, not empty")
    if len(public) != 32:
        raise BadInput(f"the Ed25519 key of {name} has {len(public)} bytes, expected 32")


def _require_text(text: str) -> None:
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise BadInput("a note text ends with a newline and has no other control characters")


def _format_vkey(name: str, key_type: int, public: bytes) -> str:
    encoded = base64.b64encode(bytes([key_type]) + public).decode()
    return f"{name}+{key_id(name, key_type, public).hex()}+{encoded}"


def _cosigned_message(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _decode_base64(text: str) -> bytes | None:
    """Standard base64 in its one canonical spelling, else None."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None
