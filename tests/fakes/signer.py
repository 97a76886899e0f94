"""A gate's signing half without a gate: real keys, a real key set, real statements and leaves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

from gef_registry.enforcement.view import LogEntry
from gef_registry.oci.digest import Digest
from gef_registry.signing import dsse
from gef_registry.signing.cosign import simple_signing_payload
from gef_registry.signing.dsse import Envelope
from gef_registry.signing.keys import ALGORITHMS, PrivateKey, Purpose
from gef_registry.signing.keyset import KeySet, SetKey, sign_keyset
from gef_registry.signing.leaf import dsse_leaf, signature_leaf, statement_id_of
from gef_registry.signing.revocation import Revocation, revocation_leaf
from gef_registry.signing.statement import PAYLOAD_TYPE, Admission, admission_statement
from gef_registry.transparency.commit import Entry
from gef_registry.transparency.note import CosignatureSigner, NoteSigner

NOW = 1_800_000_000
ORIGIN = "registry.example.org"


def digest(word: str) -> Digest:
    return Digest.of(word.encode())


def admission(word: str = "image", **changes: Any) -> Admission:
    """An admission of `digest(word)` under trusted/demo/<word>:1.0.0."""
    base = Admission(
        digest=digest(word),
        host=ORIGIN,
        repository=f"trusted/demo/{word}",
        tag="1.0.0",
        index_digest=digest(word),
        verifier_id=f"https://{ORIGIN}/",
        verified_at=NOW - 100,
        policy_name="default",
        policy_uri=f"https://{ORIGIN}/policies/default",
        policy_digest=digest("policy"),
        report_digest=digest("report"),
        config_digests=(digest(word + " config"),),
        platform="linux/amd64",
    )
    if "digest" in changes and "index_digest" not in changes:
        changes["index_digest"] = changes["digest"]
    return replace(base, **changes)


@dataclass
class Signer:
    """The keys of one gate."""

    keys: dict[Purpose, PrivateKey] = field(
        default_factory=lambda: {purpose: PrivateKey.generate(ALGORITHMS[purpose]) for purpose in Purpose}
    )
    origin: str = ORIGIN

    def __post_init__(self) -> None:
        self.log_signer = NoteSigner(self.origin, self.keys[Purpose.LOG].key)
        self.cosigner = CosignatureSigner(f"{self.origin}/cosigner", self.keys[Purpose.COSIGNER].key)
        vkeys = {Purpose.LOG: self.log_signer.verifier.vkey, Purpose.COSIGNER: self.cosigner.verifier.vkey}
        self.keyset = KeySet(
            version=1,
            verifier_id=f"https://{self.origin}/",
            name=self.origin,
            log_origin=self.origin,
            issued_at=NOW - 10_000,
            root=self.keys[Purpose.ROOT].public,
            keys=tuple(
                SetKey(purpose, key.public, NOW - 10_000, vkey=vkeys.get(purpose))
                for purpose, key in self.keys.items()
                if purpose is not Purpose.ROOT
            ),
        )
        self.keyset_raw = sign_keyset(self.keyset, self.keys[Purpose.ROOT]).raw

    @property
    def fingerprint(self) -> str:
        return self.keyset.root.fingerprint

    def sign(self, what: Admission, purpose: Purpose = Purpose.ADMISSION) -> Envelope:
        return dsse.sign(admission_statement(what), PAYLOAD_TYPE, self.keys[purpose])

    def sign_bytes(self, statement: bytes, purpose: Purpose = Purpose.ADMISSION) -> Envelope:
        return dsse.sign(statement, PAYLOAD_TYPE, self.keys[purpose])

    def entry(self, what: Admission | Envelope) -> Entry:
        """An admission as the log takes it."""
        envelope = self.sign(what) if isinstance(what, Admission) else what
        leaf = dsse_leaf(envelope, self.keys[Purpose.ADMISSION].public)
        return Entry(leaf, envelope.raw, statement_id_of(leaf))

    def sig_entry(self, what: Admission) -> Entry:
        """The same for the `.sig` signature."""
        payload = simple_signing_payload(what.host, what.repository, what.digest)
        key = self.keys[Purpose.ADMISSION]
        leaf = signature_leaf(payload, key.sign(payload), key.public)
        return Entry(leaf, payload, statement_id_of(leaf))

    def revocation(
        self, what: Digest, reason: str = "a key was found in it", purpose: Purpose = Purpose.REVOCATION
    ) -> Entry:
        leaf = revocation_leaf(Revocation(what, reason, NOW - 50, "reviewer"), self.keys[purpose])
        return Entry(leaf, leaf, hashlib.sha256(leaf).hexdigest())


def log_entries(*entries: Entry, start: int = 0) -> list[LogEntry]:
    """Entries as a follower hands them to the fold."""
    return [LogEntry(start + n, entry.leaf, entry.statement) for n, entry in enumerate(entries)]
