"""What stands in the log: Rekor v2 `hashedrekord` 0.0.2 entries for what the gate signed, and revocations as they are.

A hashedrekord leaf (RFC 8785 JSON) holds the SHA-256 of the signed bytes, the signature and the key: for a DSSE
envelope the signed bytes are its PAE, for a `.sig` signature the simple-signing payload. The log serves what was
signed beside the leaf, as its *statement*: the envelope, or the payload. `check_statement` tells whether a statement
is the one a leaf speaks of; that the key may sign such things is for the reader to check.
Format: github.com/sigstore/rekor-tiles, types/hashedrekord; rebuilt by cosign from its bundle, byte for byte.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
from dataclasses import dataclass

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.oci import strict_json
from gef_registry.signing import revocation
from gef_registry.signing.dsse import Envelope, parse_envelope
from gef_registry.signing.fields import Fields
from gef_registry.signing.keys import Algorithm, PublicKey
from gef_registry.signing.revocation import SignedRevocation, parse_revocation

KIND = "hashedrekord"
API_VERSION = "0.0.2"
MAX_LEAF_BYTES = 65_535
_KEY_DETAILS = {Algorithm.ECDSA_P256: "PKIX_ECDSA_P256_SHA_256", Algorithm.ED25519: "PKIX_ED25519"}


@dataclass(frozen=True, slots=True)
class HashedRekord:
    """A leaf that speaks of a statement by its hash."""

    digest: bytes
    signature: bytes
    key: PublicKey

    @property
    def statement_id(self) -> str:
        return self.digest.hex()

    def mismatch(self, signed: bytes, signature: bytes) -> str | None:
        """What is wrong with these signed bytes and signature for this leaf, in words; None when they are its own."""
        digest = hashlib.sha256(signed).digest()
        if not hmac.compare_digest(digest, self.digest):
            return f"it says something else than what was logged: expected {self.digest.hex()}, got {digest.hex()}"
        if not hmac.compare_digest(signature, self.signature):
            return "it carries another signature than the one that was logged"
        return None


@dataclass(frozen=True, slots=True)
class ForeignLeaf:
    """A leaf of a kind this program does not know."""

    kind: str


Leaf = HashedRekord | SignedRevocation | ForeignLeaf


def dsse_leaf(envelope: Envelope, key: PublicKey) -> bytes:
    """The leaf of a signed envelope."""
    return _leaf(envelope.signed_bytes, envelope.signature, key)


def signature_leaf(payload: bytes, signature: bytes, key: PublicKey) -> bytes:
    """The leaf of a `.sig` signature over a simple-signing payload."""
    return _leaf(payload, signature, key)


def _leaf(signed: bytes, signature: bytes, key: PublicKey) -> bytes:
    return strict_json.canonical(
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "spec": {
                "hashedRekordV002": {
                    "data": {"algorithm": "SHA2_256", "digest": _encode(hashlib.sha256(signed).digest())},
                    "signature": {
                        "content": _encode(signature),
                        "verifier": {
                            "keyDetails": _KEY_DETAILS[key.algorithm],
                            "publicKey": {"rawBytes": key.base64},
                        },
                    },
                }
            },
        }
    )


def parse_leaf(leaf: bytes) -> Leaf:
    """Reads a leaf. Raises VerificationFailed when it is not JSON or a damaged entry of a kind we know."""
    fields = Fields.parse(leaf, what="log leaf", max_bytes=MAX_LEAF_BYTES)
    kind, version = str(fields.members.get("kind"))[:100], str(fields.members.get("apiVersion"))[:100]
    if (kind, version) == (revocation.KIND, revocation.API_VERSION):
        return parse_revocation(leaf)
    if (kind, version) != (KIND, API_VERSION):
        return ForeignLeaf(f"{kind} {version}")
    fields.exactly({"apiVersion", "kind", "spec"})
    entry = fields.fields("spec").exactly({"hashedRekordV002"}).fields("hashedRekordV002")
    entry.exactly({"data", "signature"})
    data = entry.fields("data").exactly({"algorithm", "digest"})
    data.constant("algorithm", "SHA2_256")
    signature = entry.fields("signature").exactly({"content", "verifier"})
    verifier = signature.fields("verifier").exactly({"keyDetails", "publicKey"})
    raw_key = _decode(verifier.fields("publicKey").exactly({"rawBytes"}), "rawBytes")
    try:
        key = _public_key(raw_key)
    except BadInput as error:
        raise VerificationFailed(error.message) from error
    verifier.constant("keyDetails", _KEY_DETAILS[key.algorithm])
    digest = _decode(data, "digest")
    if len(digest) != 32:
        raise VerificationFailed(f"log leaf: a digest of {len(digest)} bytes; expected 32")
    return HashedRekord(digest, _decode(signature, "content"), key)


def statement_id_of(leaf: bytes) -> str:
    """64 hex digits under which the log serves the leaf's statement. Raises VerificationFailed.

    A hashedrekord: its `data.digest`. A revocation, or a leaf of another kind: the SHA-256 of the leaf.
    """
    parsed = parse_leaf(leaf)
    return parsed.statement_id if isinstance(parsed, HashedRekord) else hashlib.sha256(leaf).hexdigest()


def check_statement(leaf: bytes, statement: bytes) -> str | None:
    """What is wrong with this statement for this leaf, in words; None when it is the one the leaf speaks of."""
    try:
        parsed = parse_leaf(leaf)
        if not isinstance(parsed, HashedRekord):
            return None if hmac.compare_digest(leaf, statement) else "the statement of this leaf is the leaf itself"
        return _check_hashed(parsed, statement)
    except VerificationFailed as error:
        return error.message


def is_simple_signing(statement: bytes) -> bool:
    """Is this what a `.sig` signature signs, rather than an envelope?"""
    return statement.startswith(b'{"critical":')


def _check_hashed(leaf: HashedRekord, statement: bytes) -> str | None:
    if is_simple_signing(statement):
        return leaf.mismatch(statement, leaf.signature)
    envelope = parse_envelope(statement, what="statement")
    return leaf.mismatch(envelope.signed_bytes, envelope.signature)


@functools.lru_cache(maxsize=64)
def _public_key(spki: bytes) -> PublicKey:
    """A log names the same few keys again and again."""
    return PublicKey.from_spki(spki, what="log leaf: public key")


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decode(fields: Fields, name: str) -> bytes:
    text = fields.text(name)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationFailed(f"{fields.what}: {name} is not base64") from error
