"""A revocation is its own leaf in the log: readable without any statement beside it, so it cannot be withheld.

    {"apiVersion":"1","kind":"gef-revocation","spec":{"digest","reason","revokedAt","revokedBy"},"signature":{"keyid","sig"}}

in canonical JSON, signed by the revocation key over the DSSE PAE of the canonical `spec`. It is never a DSSE bundle on
the image: other verifiers would take it for a signature.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from dataclasses import dataclass

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.oci import strict_json
from gef_registry.oci.digest import Digest
from gef_registry.signing import dsse
from gef_registry.signing.fields import Fields, rfc3339
from gef_registry.signing.keys import PrivateKey, PublicKey

KIND = "gef-revocation"
API_VERSION = "1"
PAYLOAD_TYPE = "application/vnd.gef.revocation.v1+json"
MAX_REASON = 2000
MAX_LEAF_BYTES = 65_535
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


@dataclass(frozen=True, slots=True)
class Revocation:
    """All names of `digest` end; so do the children under it, as parts of it."""

    digest: Digest
    reason: str
    revoked_at: int
    revoked_by: str


@dataclass(frozen=True, slots=True)
class SignedRevocation:
    """A revocation as it stands in a leaf. Counts when `is_signed_by` the revocation key."""

    revocation: Revocation
    keyid: str
    signature: bytes

    def is_signed_by(self, key: PublicKey) -> bool:
        return key.verifies(self.signature, dsse.pae(PAYLOAD_TYPE, _spec(self.revocation)))


def revocation_leaf(revocation: Revocation, key: PrivateKey) -> bytes:
    """Signs once; the answer is what gets logged. Raises BadInput for what a reader would refuse."""
    for text in (revocation.reason, revocation.revoked_by):
        if any(unicodedata.category(c) in _INVISIBLE for c in text):
            raise BadInput(
                "a revocation's text holds control or formatting characters", hint="write plain text in one line"
            )
    signature = key.sign(dsse.pae(PAYLOAD_TYPE, _spec(revocation)))
    leaf = strict_json.canonical(
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "spec": _members(revocation),
            "signature": {"keyid": key.public.fingerprint, "sig": base64.b64encode(signature).decode()},
        }
    )
    try:
        parse_revocation(leaf)
    except VerificationFailed as error:
        raise BadInput(f"this revocation cannot be stated: {error.message}") from error
    return leaf


def parse_revocation(leaf: bytes) -> SignedRevocation:
    """Reads a leaf. Raises VerificationFailed: another spelling than the canonical one, unknown or missing members."""
    fields = Fields.parse(leaf, what="revocation", max_bytes=MAX_LEAF_BYTES)
    fields.exactly({"apiVersion", "kind", "spec", "signature"})
    fields.constant("apiVersion", API_VERSION)
    fields.constant("kind", KIND)
    spec = fields.fields("spec").exactly({"digest", "reason", "revokedAt", "revokedBy"})
    signature = fields.fields("signature").exactly({"keyid", "sig"})
    try:
        raw_signature = base64.b64decode(signature.text("sig"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationFailed("revocation: the signature is not base64") from error
    signed = SignedRevocation(
        Revocation(
            digest=spec.digest("digest"),
            reason=spec.text("reason", MAX_REASON),
            revoked_at=spec.time("revokedAt"),
            revoked_by=spec.text("revokedBy", 200),
        ),
        keyid=signature.text("keyid", 200),
        signature=raw_signature,
    )
    if strict_json.canonical(dict(fields.members)) != leaf:
        raise VerificationFailed("revocation: it is not in canonical form")
    return signed


def _members(revocation: Revocation) -> dict[str, str]:
    return {
        "digest": str(revocation.digest),
        "reason": revocation.reason,
        "revokedAt": rfc3339(revocation.revoked_at),
        "revokedBy": revocation.revoked_by,
    }


def _spec(revocation: Revocation) -> bytes:
    return strict_json.canonical(_members(revocation))
