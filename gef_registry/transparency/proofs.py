"""Offline proofs that a leaf is in the log (c2sp.org/tlog-proof@v1): the file a host keeps beside an image.

Verifying needs no network: the leaf, the log's origin and key, and the cosigners' keys. `extra` is carried along and
trusted by nobody, since nothing signs it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from gef_registry.errors import VerificationFailed
from gef_registry.transparency.merkle import HASH_SIZE, MAX_SIZE, leaf_hash, verify_inclusion
from gef_registry.transparency.note import (
    MAX_NOTE_BYTES,
    CosignatureVerifier,
    NoteVerifier,
    SignedCheckpoint,
    open_checkpoint,
)

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_BYTES = MAX_NOTE_BYTES + 100_000
MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class LogProof:
    """Leaf `index`, the hashes from its sibling up, and the signed checkpoint they lead to."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    @property
    def text(self) -> str:
        """The proof as it is stored."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append("extra " + base64.b64encode(self.extra).decode())
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(h).decode() for h in self.hashes]
        return "\n".join(lines) + "\n\n" + self.checkpoint


def parse_proof(text: str) -> LogProof:
    """Takes a stored proof apart; the checkpoint stays unopened. Raises VerificationFailed."""
    if len(text) > MAX_PROOF_BYTES:
        raise VerificationFailed(f"log proof: more than {MAX_PROOF_BYTES} characters")
    head, blank, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if lines.pop(0) != HEADER or not blank:
        raise VerificationFailed(f"log proof: expected {HEADER!r}, lines, a blank line and a checkpoint")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _decode(lines.pop(0).removeprefix("extra "))
    if not lines or not lines[0].startswith("index "):
        raise VerificationFailed("log proof: the line `index N` is missing")
    index = _decimal(lines.pop(0).removeprefix("index "))
    hashes = tuple(_decode(line) for line in lines[: MAX_HASHES + 1])
    if len(hashes) > MAX_HASHES or any(len(h) != HASH_SIZE for h in hashes):
        raise VerificationFailed(f"log proof: expected at most {MAX_HASHES} hashes of {HASH_SIZE} bytes")
    return LogProof(index, hashes, checkpoint, extra)


def verify_proof(
    proof: LogProof, leaf: bytes, origin: str, log: NoteVerifier, cosigners: Sequence[CosignatureVerifier] = ()
) -> SignedCheckpoint:
    """Checks signature, origin and inclusion; the answer tells who cosigned when. Raises VerificationFailed.

    How many cosigners are enough, and how old their time may be, is for the caller to judge.
    """
    signed = open_checkpoint(proof.checkpoint, origin, log, cosigners)
    verify_inclusion(proof.index, signed.checkpoint.size, leaf_hash(leaf), proof.hashes, signed.checkpoint.root)
    return signed


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or str(int(text)) != text or int(text) > MAX_SIZE:
        raise VerificationFailed(f"log proof: not an index: {text[:32]!r}")
    return int(text)


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationFailed(f"log proof: not base64: {text[:80]!r}") from error
    if base64.b64encode(data).decode() != text:
        raise VerificationFailed(f"log proof: base64 in another spelling: {text[:80]!r}")
    return data
