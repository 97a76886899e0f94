"""The key set: which key of a gate may sign what, from when until when. A DSSE document signed by the root key.

Hosts pin the root key's fingerprint and nothing else. `version` counts upward; who has seen a version takes no older
one. One key under two purposes is refused, the root key under any: whoever verifies only a signature must not be able
to take a revocation for an admission.
"""

from __future__ import annotations

from dataclasses import dataclass

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.oci import strict_json
from gef_registry.signing import dsse
from gef_registry.signing.dsse import Envelope
from gef_registry.signing.fields import Fields, rfc3339
from gef_registry.signing.keys import ALGORITHMS, Algorithm, PrivateKey, PublicKey, Purpose

PAYLOAD_TYPE = "application/vnd.gef.keyset.v1+json"
KIND = "gef-keyset"
API_VERSION = "1"
MAX_KEYS = 64
MAX_KEYSET_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class SetKey:
    """One key of the set. Times are POSIX seconds; `vkey` is the C2SP verifier key of a log or cosigner key."""

    purpose: Purpose
    public: PublicKey
    not_before: int
    not_after: int | None = None
    vkey: str | None = None

    def is_valid_at(self, time: int) -> bool:
        return self.not_before <= time and (self.not_after is None or time < self.not_after)


@dataclass(frozen=True, slots=True)
class KeySet:
    """`name` is the host part in statements (`oci://NAME/…`), `log_origin` the first line of checkpoints."""

    version: int
    verifier_id: str
    name: str
    log_origin: str
    issued_at: int
    root: PublicKey
    keys: tuple[SetKey, ...]

    def of(self, purpose: Purpose) -> tuple[SetKey, ...]:
        return tuple(key for key in self.keys if key.purpose is purpose)

    def find(self, public: PublicKey) -> SetKey | None:
        """The entry of a key, None when it is not in the set."""
        return next((key for key in self.keys if key.public == public), None)


def sign_keyset(keyset: KeySet, root: PrivateKey) -> Envelope:
    """Raises BadInput for a set that a reader would refuse, or another root key than the one it names."""
    if root.public != keyset.root:
        raise BadInput("the key set names another root key than the one that is to sign it")
    payload = strict_json.canonical(_document(keyset))
    try:
        read_back = parse_keyset(payload)
    except VerificationFailed as error:
        raise BadInput(f"this key set cannot be signed: {error.message}") from error
    if read_back != keyset:
        raise BadInput("this key set cannot be signed: it would be read differently")
    return dsse.sign(payload, PAYLOAD_TYPE, root)


def open_keyset(raw: bytes, root_fingerprint: str) -> KeySet:
    """Reads and verifies a key set against the pinned root key. Raises VerificationFailed.

    1. the envelope is well formed, 2. the root key it names has the pinned fingerprint, 3. that key signed it,
    4. the payload (the same bytes) is a valid key set.
    """
    envelope = dsse.parse_envelope(raw, what="key set")
    named = parse_keyset(envelope.payload).root
    if named.fingerprint != root_fingerprint:
        raise VerificationFailed(
            f"key set: its root key is {named.fingerprint}, pinned is {root_fingerprint}",
            hint="if the gate changed its root key, compare the new fingerprint with its operator and run host init again",
        )
    return parse_keyset(dsse.require_signature(envelope, named, PAYLOAD_TYPE, what="key set"))


def root_fingerprint(raw: bytes) -> str:
    """The fingerprint of the root key that a key set names and that signed it, for showing before it is pinned."""
    envelope = dsse.parse_envelope(raw, what="key set")
    fingerprint = parse_keyset(envelope.payload).root.fingerprint
    open_keyset(raw, fingerprint)
    return fingerprint


def parse_keyset(payload: bytes) -> KeySet:
    """Reads the payload, strictly. Raises VerificationFailed."""
    fields = Fields.parse(payload, what="key set", max_bytes=MAX_KEYSET_BYTES)
    fields.exactly({"apiVersion", "kind", "version", "verifierId", "name", "logOrigin", "issuedAt", "root", "keys"})
    fields.constant("apiVersion", API_VERSION)
    fields.constant("kind", KIND)
    keyset = KeySet(
        version=fields.integer("version", at_least=1),
        verifier_id=fields.text("verifierId"),
        name=fields.text("name", 300),
        log_origin=fields.text("logOrigin", 300),
        issued_at=fields.time("issuedAt"),
        root=_public(fields, "root", ALGORITHMS[Purpose.ROOT]),
        keys=tuple(_key(entry) for entry in fields.each("keys", MAX_KEYS)),
    )
    _refuse_mixed(keyset)
    return keyset


def _key(fields: Fields) -> SetKey:
    fields.exactly({"purpose", "algorithm", "publicKey", "notBefore"}, {"notAfter", "vkey"})
    purpose = next((p for p in Purpose if p.value == fields.members["purpose"]), None)
    if purpose is None or purpose is Purpose.ROOT:
        raise VerificationFailed(f"{fields.what}: {str(fields.members['purpose'])[:50]!r} is not a purpose of a key")
    fields.constant("algorithm", ALGORITHMS[purpose].value)
    key = SetKey(
        purpose=purpose,
        public=_public(fields, "publicKey", ALGORITHMS[purpose]),
        not_before=fields.time("notBefore"),
        not_after=fields.time("notAfter") if "notAfter" in fields else None,
        vkey=fields.text("vkey", 500) if "vkey" in fields else None,
    )
    if (key.vkey is not None) != (purpose in (Purpose.LOG, Purpose.COSIGNER)):
        raise VerificationFailed(f"{fields.what}: exactly log and cosigner keys have a vkey")
    if key.not_after is not None and key.not_after <= key.not_before:
        raise VerificationFailed(f"{fields.what}: notAfter is not after notBefore")
    return key


def _public(fields: Fields, name: str, algorithm: Algorithm) -> PublicKey:
    try:
        public = PublicKey.from_base64(fields.text(name), what=f"{fields.what}: {name}")
    except BadInput as error:
        raise VerificationFailed(error.message) from error
    if public.algorithm is not algorithm:
        raise VerificationFailed(f"{fields.what}: {name}: expected a key of {algorithm}, got {public.algorithm}")
    return public


def _refuse_mixed(keyset: KeySet) -> None:
    seen: dict[bytes, Purpose] = {keyset.root.spki: Purpose.ROOT}
    for key in keyset.keys:
        other = seen.setdefault(key.public.spki, key.purpose)
        if other is not key.purpose:
            raise VerificationFailed(
                f"key set: the key {key.public.fingerprint} has two purposes, {other} and {key.purpose}"
            )
    if len(seen) != len(keyset.keys) + 1:
        raise VerificationFailed("key set: a key stands in it twice")
    for purpose in (Purpose.ADMISSION, Purpose.REVOCATION, Purpose.LOG, Purpose.COSIGNER):
        if not keyset.of(purpose):
            raise VerificationFailed(f"key set: it has no {purpose} key")
    if len(keyset.of(Purpose.LOG)) != 1:
        raise VerificationFailed("key set: a log has exactly one key")


def _document(keyset: KeySet) -> dict[str, object]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "version": keyset.version,
        "verifierId": keyset.verifier_id,
        "name": keyset.name,
        "logOrigin": keyset.log_origin,
        "issuedAt": rfc3339(keyset.issued_at),
        "root": keyset.root.base64,
        "keys": [_key_document(key) for key in keyset.keys],
    }


def _key_document(key: SetKey) -> dict[str, object]:
    document: dict[str, object] = {
        "purpose": key.purpose.value,
        "algorithm": key.public.algorithm.value,
        "publicKey": key.public.base64,
        "notBefore": rfc3339(key.not_before),
    }
    if key.not_after is not None:
        document["notAfter"] = rfc3339(key.not_after)
    if key.vkey is not None:
        document["vkey"] = key.vkey
    return document
