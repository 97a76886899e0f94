"""DSSE envelopes (secure-systems-lab/dsse, v1.0.2): a payload, its type, exactly one signature.

The order is kept by the types: `parse_envelope` reads the wrapper only, `require_signature` hands out the payload's
bytes, and only those are parsed afterwards. An envelope is one line of JSON; its identity is the SHA-256 of what was
signed (the PAE), never of the signature, since ECDSA signatures can be rewritten by anybody.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Any

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.oci import strict_json
from gef_registry.signing.keys import PrivateKey, PublicKey

MAX_ENVELOPE_BYTES = 131_072


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope as it was received. The payload proves nothing until `require_signature` has answered."""

    raw: bytes
    payload_type: str
    payload: bytes
    keyid: str
    signature: bytes

    @property
    def signed_bytes(self) -> bytes:
        return pae(self.payload_type, self.payload)

    @property
    def statement_id(self) -> str:
        """64 hex digits: SHA-256 of the PAE, the `data.digest` of its log leaf."""
        return hashlib.sha256(self.signed_bytes).hexdigest()

    def is_signed_by(self, key: PublicKey) -> bool:
        return key.verifies(self.signature, self.signed_bytes)


def sign(payload: bytes, payload_type: str, key: PrivateKey) -> Envelope:
    """Signs once; the bytes in `raw` are what gets stored. Raises BadInput when the envelope would be too large."""
    signature = key.sign(pae(payload_type, payload))
    document = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": key.public.fingerprint, "sig": base64.b64encode(signature).decode()}],
    }
    raw = strict_json.canonical(document)
    if len(raw) > MAX_ENVELOPE_BYTES:
        raise BadInput(f"a signed envelope of {len(raw)} bytes; at most {MAX_ENVELOPE_BYTES} are read by anybody")
    return Envelope(raw, payload_type, payload, key.public.fingerprint, signature)


def parse_envelope(raw: bytes, *, what: str = "envelope") -> Envelope:
    """Reads the wrapper. Raises VerificationFailed: not strict JSON, unknown members, not exactly one signature."""
    try:
        document = strict_json.load_object(raw, what=what, max_bytes=MAX_ENVELOPE_BYTES, fold_case=True)
    except BadInput as error:
        raise VerificationFailed(error.message) from error
    if raw[:1] != b"{" or raw[-1:] != b"}" or b"\n" in raw:
        raise VerificationFailed(f"{what}: expected one line of JSON and nothing around it")
    if set(document) != {"payload", "payloadType", "signatures"}:
        raise VerificationFailed(f"{what}: expected exactly payload, payloadType and signatures")
    signatures = document["signatures"]
    if not isinstance(signatures, list) or not signatures:
        raise VerificationFailed(f"{what}: it is not signed")
    if len(signatures) != 1:
        raise VerificationFailed(f"{what}: {len(signatures)} signatures; expected exactly one")
    signature = signatures[0]
    if not isinstance(signature, dict) or not {"sig"} <= set(signature) <= {"sig", "keyid"}:
        raise VerificationFailed(f"{what}: a signature is an object of sig and keyid")
    return Envelope(
        raw=raw,
        payload_type=_text(document, "payloadType", what),
        payload=_decode(_text(document, "payload", what), f"{what}: payload"),
        keyid=_text(signature, "keyid", what) if "keyid" in signature else "",
        signature=_decode(_text(signature, "sig", what), f"{what}: sig"),
    )


def require_signature(envelope: Envelope, key: PublicKey, payload_type: str, *, what: str) -> bytes:
    """The payload, once the signature and the type are right. Raises VerificationFailed."""
    if not envelope.is_signed_by(key):
        raise VerificationFailed(f"{what}: not signed by the key {key.fingerprint}")
    if envelope.payload_type != payload_type:
        raise VerificationFailed(f"{what}: its type is {envelope.payload_type[:100]!r}, expected {payload_type!r}")
    return envelope.payload


def _text(document: dict[str, Any], key: str, what: str) -> str:
    value = document[key]
    if not isinstance(value, str):
        raise VerificationFailed(f"{what}: {key} is not a string")
    return value


def _decode(text: str, what: str) -> bytes:
    """Standard or url-safe base64, as the specification asks of readers."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationFailed(f"{what}: not base64") from error
