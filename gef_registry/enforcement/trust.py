"""Whom a host believes: one pinned root fingerprint, and through it the gate's key set and the keys of its log."""

from __future__ import annotations

from dataclasses import dataclass

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.signing.keys import Purpose
from gef_registry.signing.keyset import KeySet, open_keyset
from gef_registry.transparency.note import (
    CosignatureVerifier,
    NoteVerifier,
    SignedCheckpoint,
    open_checkpoint,
    parse_vkey,
)


@dataclass(frozen=True, slots=True)
class Trust:
    """A verified key set, as received and as read, with the verifiers of the log's checkpoints."""

    raw: bytes
    keyset: KeySet
    log: NoteVerifier
    cosigners: tuple[CosignatureVerifier, ...]

    @classmethod
    def establish(cls, raw: bytes, root_fingerprint: str) -> Trust:
        """Raises VerificationFailed: not signed by the pinned root, or verifier keys that are not those of the set."""
        keyset = open_keyset(raw, root_fingerprint)
        return cls(raw, keyset, log_verifier(keyset), cosigner_verifiers(keyset))

    def open_checkpoint(self, note: bytes) -> SignedCheckpoint:
        """Raises VerificationFailed."""
        return open_checkpoint(note, self.keyset.log_origin, self.log, self.cosigners)

    def succeeded_by(self, newer: Trust) -> Trust:
        """The newer of two key sets, when it may follow this one. Raises VerificationFailed: older, forked, another log."""
        mine, theirs = self.keyset, newer.keyset
        if theirs.version < mine.version:
            raise VerificationFailed(
                f"key set: the gate serves version {theirs.version}, this host has seen {mine.version}: rolled back"
            )
        if theirs.version == mine.version and theirs != mine:
            raise VerificationFailed(f"key set: two different key sets have the version {mine.version}")
        if (theirs.log_origin, newer.log.public) != (mine.log_origin, self.log.public):
            raise VerificationFailed(
                "key set: it names another log than the one this host follows", hint="run host init with a new view"
            )
        return newer


def log_verifier(keyset: KeySet) -> NoteVerifier:
    """The verifier of checkpoints. Raises VerificationFailed when it is not of the set's log key and origin."""
    key = keyset.of(Purpose.LOG)[0]
    verifier = _parse(key.vkey)
    if (
        not isinstance(verifier, NoteVerifier)
        or verifier.public != key.public.raw
        or verifier.name != keyset.log_origin
    ):
        raise VerificationFailed("key set: the log's verifier key is not of its log key and origin")
    return verifier


def cosigner_verifiers(keyset: KeySet) -> tuple[CosignatureVerifier, ...]:
    """The verifiers of cosignatures. Raises VerificationFailed when they are not of the set's cosigner keys."""
    verifiers = []
    for key in keyset.of(Purpose.COSIGNER):
        verifier = _parse(key.vkey)
        if not isinstance(verifier, CosignatureVerifier) or verifier.public != key.public.raw:
            raise VerificationFailed("key set: a cosigner's verifier key is not of its key")
        verifiers.append(verifier)
    return tuple(verifiers)


def _parse(vkey: str | None) -> NoteVerifier | CosignatureVerifier:
    try:
        return parse_vkey(vkey or "")
    except BadInput as error:
        raise VerificationFailed(f"key set: {error.message}") from error
