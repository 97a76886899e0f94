"""Is this envelope an admission by this gate? The steps are numbered; each refusal has its own message."""

from __future__ import annotations

from gef_registry.errors import VerificationFailed
from gef_registry.oci.digest import Digest
from gef_registry.signing.dsse import Envelope, parse_envelope
from gef_registry.signing.fields import rfc3339
from gef_registry.signing.keys import Purpose
from gef_registry.signing.keyset import KeySet, SetKey
from gef_registry.signing.revocation import SignedRevocation
from gef_registry.signing.statement import PAYLOAD_TYPE, Admission, parse_admission

CLOCK_SKEW_S = 300


def open_admission(raw: bytes | Envelope, keyset: KeySet) -> Admission:
    """What holds at any time, for replaying a log. Raises VerificationFailed.

    1. the envelope is well formed and has exactly one signature,
    2. an admission key of the set made it, and no key of another purpose,
    3. its payload is an in-toto statement whose predicate is our verification summary, PASSED,
    4. the verifier and the host in it are those of the key set: statements of another gate do not count here,
    5. the key was valid when the statement says it was made.
    """
    envelope = raw if isinstance(raw, Envelope) else parse_envelope(raw, what="admission")
    key = _admission_key(envelope, keyset)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise VerificationFailed(
            f"admission: its payload type is {envelope.payload_type[:100]!r}, expected {PAYLOAD_TYPE!r}"
        )
    admission = parse_admission(envelope.payload)
    if admission.verifier_id != keyset.verifier_id:
        raise VerificationFailed(
            f"admission: another gate made it: verifier {admission.verifier_id!r}, expected {keyset.verifier_id!r}"
        )
    if admission.host != keyset.name:
        raise VerificationFailed(
            f"admission: it is for another registry: {admission.resource_uri[:300]!r}, expected oci://{keyset.name}/…"
        )
    if not key.is_valid_at(admission.verified_at):
        raise VerificationFailed(
            f"admission: made {rfc3339(admission.verified_at)}, when its key {key.public.fingerprint} was not valid"
        )
    return admission


def verify_admission(
    raw: bytes | Envelope,
    keyset: KeySet,
    *,
    now: int,
    digest: Digest,
    repository: str | None = None,
    tag: str | None = None,
    clock_skew_s: int = CLOCK_SKEW_S,
) -> Admission:
    """That this image is admitted, now. Raises VerificationFailed.

    1. to 5. as `open_admission`,
    6. the statement's subject is this digest, and it was made for this repository and tag when they are given,
    7. it was not made in the future,
    8. it has not expired.
    Whether it was revoked only the log knows.
    """
    admission = open_admission(raw, keyset)
    if admission.digest != digest:
        raise VerificationFailed(f"admission: it is about another image: {admission.digest}, expected {digest}")
    if repository is not None and admission.repository != repository:
        raise VerificationFailed(
            f"admission: it is for another repository: {admission.repository}, expected {repository}"
        )
    if tag is not None and admission.tag != tag:
        raise VerificationFailed(f"admission: it is for another tag: {admission.tag}, expected {tag}")
    if admission.verified_at > now + clock_skew_s:
        raise VerificationFailed(
            f"admission: made in the future: {rfc3339(admission.verified_at)}, it is {rfc3339(now)}",
            hint="check this machine's clock",
        )
    if admission.expires_at is not None and admission.expires_at <= now:
        raise VerificationFailed(f"admission: it expired at {rfc3339(admission.expires_at)}")
    return admission


def check_revocation(signed: SignedRevocation, keyset: KeySet) -> None:
    """Raises VerificationFailed unless a revocation key of the set signed it, while it was valid."""
    for key in keyset.of(Purpose.REVOCATION):
        if signed.is_signed_by(key.public):
            if key.is_valid_at(signed.revocation.revoked_at):
                return
            raise VerificationFailed(f"revocation: its key {key.public.fingerprint} was not valid at that time")
    raise VerificationFailed(f"revocation of {signed.revocation.digest}: not signed by a revocation key of the gate")


def _admission_key(envelope: Envelope, keyset: KeySet) -> SetKey:
    ordered = sorted(keyset.keys, key=lambda key: key.public.fingerprint != envelope.keyid)
    signer = next((key for key in ordered if envelope.is_signed_by(key.public)), None)
    if signer is None:
        if envelope.is_signed_by(keyset.root):
            raise VerificationFailed("admission: signed by the root key, which may not sign admissions")
        raise VerificationFailed(
            "admission: signed by a key that is not in the gate's key set, or altered after signing"
        )
    if signer.purpose is not Purpose.ADMISSION:
        raise VerificationFailed(f"admission: signed by the {signer.purpose} key, which may not sign admissions")
    return signer
