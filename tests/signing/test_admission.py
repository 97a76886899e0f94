"""Admissions: what is stated is read back, and the adversarial cases are refused, each with its own words."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.signing import dsse
from gef_registry.signing.dsse import Envelope, parse_envelope
from gef_registry.signing.keys import Purpose
from gef_registry.signing.statement import (
    EXTENSION,
    PAYLOAD_TYPE,
    Admission,
    admission_statement,
    parse_admission,
)
from gef_registry.signing.verify import open_admission, verify_admission
from tests.fakes.signer import NOW, Signer, admission, digest

SIGNER = Signer()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def verify(raw: bytes | Envelope, now: int = NOW, word: str = "image", **demands: Any) -> Admission:
    return verify_admission(raw, SIGNER.keyset, now=now, digest=digest(word), **demands)


def refused(raw: bytes | Envelope, words: str, **demands: Any) -> None:
    with pytest.raises(VerificationFailed, match=words):
        verify(raw, **demands)


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A statement with one thing changed, signed as it is."""
    document = json.loads(admission_statement(admission()))
    change(document)
    return SIGNER.sign_bytes(json.dumps(document).encode()).raw


_DIGESTS = st.binary(min_size=4, max_size=4).map(lambda b: digest(b.hex()))


@given(
    tag=st.from_regex(r"[a-z0-9][a-z0-9.]{0,10}", fullmatch=True),
    policy=st.text(min_size=1, max_size=50).filter(lambda t: not any(0xD800 <= ord(c) <= 0xDFFF for c in t)),
    children=st.lists(_DIGESTS, max_size=5, unique=True).map(tuple),
    configs=st.lists(_DIGESTS, max_size=5, unique=True).map(tuple),
    platform=st.none() | st.just("linux/arm64/v8"),
    expires=st.none() | st.integers(0, 4_000_000_000),
    supersedes=st.none() | st.integers(0, 1 << 40),
    trial=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_what_is_stated_is_read_back(
    tag: str, policy: str, children: Any, configs: Any, platform: Any, expires: Any, supersedes: Any, trial: bool
) -> None:
    what = admission(
        tag=tag,
        policy_name=policy,
        child_digests=children,
        config_digests=configs,
        platform=platform,
        expires_at=expires,
        supersedes_revocation=supersedes,
        trial=trial,
    )
    statement = admission_statement(what)
    assert parse_admission(statement) == what
    assert admission_statement(what) == statement


def test_a_good_admission_is_accepted_for_its_digest_repository_and_tag() -> None:
    what = admission()
    assert verify(SIGNER.sign(what).raw, repository="trusted/demo/image", tag="1.0.0") == what


def test_case_1_an_unsigned_envelope_is_refused() -> None:
    document = json.loads(SIGNER.sign(admission()).raw)
    document["signatures"] = []
    refused(json.dumps(document).encode(), "it is not signed")


def test_case_2_another_key_is_refused() -> None:
    refused(Signer().sign(admission()).raw, "not in the gate's key set")


def test_case_3_an_altered_payload_is_refused() -> None:
    document = json.loads(SIGNER.sign(admission()).raw)
    payload = base64.b64decode(document["payload"]).replace(b'"tag":"1.0.0"', b'"tag":"1.0.1"')
    payload = payload.replace(b"1.0.0", b"1.0.1")
    document["payload"] = base64.b64encode(payload).decode()
    refused(json.dumps(document).encode(), "altered after signing")


def test_case_3_another_payload_type_is_refused_even_when_signed() -> None:
    statement = admission_statement(admission())
    refused(dsse.sign(statement, "text/plain", SIGNER.keys[Purpose.ADMISSION]).raw, "payload type")


def test_case_4_a_statement_about_another_digest_is_refused() -> None:
    refused(SIGNER.sign(admission("other")).raw, "about another image")


def test_case_5_a_statement_for_another_repository_tag_or_registry_is_refused() -> None:
    raw = SIGNER.sign(admission()).raw
    refused(raw, "another repository", repository="trusted/demo/else")
    refused(raw, "another tag", tag="2.0.0")
    refused(SIGNER.sign(admission(host="evil.example.org")).raw, "another registry")
    refused(SIGNER.sign(admission(verifier_id="https://evil.example.org/")).raw, "another gate made it")


def test_case_5_a_resource_uri_that_contradicts_the_fields_is_refused() -> None:
    def move(document: dict[str, Any]) -> None:
        document["predicate"]["resourceUri"] = document["predicate"]["resourceUri"].replace("demo/image", "demo/else")

    refused(edited(move), "resourceUri")


@pytest.mark.parametrize("purpose", [p for p in Purpose if p is not Purpose.ADMISSION])
def test_case_6_a_key_of_another_purpose_is_refused_and_named(purpose: Purpose) -> None:
    refused(SIGNER.sign(admission(), purpose).raw, f"signed by the {purpose} key")


def test_case_7_failed_and_other_predicates_are_refused() -> None:
    refused(edited(lambda d: d["predicate"].update(verificationResult="FAILED")), "result is 'FAILED'")
    refused(edited(lambda d: d.update(predicateType="https://slsa.dev/provenance/v1")), "predicate type")
    refused(edited(lambda d: d.update(_type="https://in-toto.io/Statement/v0.1")), "_type")
    refused(edited(lambda d: d["predicate"].update(verifiedLevels=["FAILED"])), "verifiedLevels")


def test_case_8_expired_and_future_admissions_are_refused() -> None:
    raw = SIGNER.sign(admission(expires_at=NOW)).raw
    assert verify(raw, now=NOW - 1).expires_at == NOW
    refused(raw, "expired", now=NOW)
    refused(SIGNER.sign(admission(verified_at=NOW + 1000)).raw, "made in the future")


def test_case_8_an_admission_from_before_its_key_is_refused() -> None:
    refused(SIGNER.sign(admission(verified_at=NOW - 20_000)).raw, "was not valid")


def test_case_9_two_signatures_are_refused_even_when_both_are_good() -> None:
    document = json.loads(SIGNER.sign(admission()).raw)
    document["signatures"] *= 2
    refused(json.dumps(document).encode(), "2 signatures")
    document["signatures"][0] = {"sig": "AAAA"}
    refused(json.dumps(document).encode(), "2 signatures")


def test_case_10_a_rewritten_signature_gives_the_same_admission() -> None:
    envelope = SIGNER.sign(admission())
    r, s = decode_dss_signature(envelope.signature)
    document = json.loads(envelope.raw)
    for signature in (encode_dss_signature(r, ORDER - s), r.to_bytes(32, "big") + s.to_bytes(32, "big")):
        document["signatures"][0]["sig"] = base64.b64encode(signature).decode()
        rewritten = parse_envelope(json.dumps(document).encode())
        assert verify(rewritten) == admission()
        assert rewritten.statement_id == envelope.statement_id


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw + b"\n",
        lambda raw: raw + b"{}",
        lambda raw: b" " + raw,
        lambda raw: raw[:-1] + b',"payload":"AAAA"}',
        lambda raw: raw[:-1] + b',"Payload":"AAAA"}',
        lambda raw: raw[:-1] + b',"extra":1}',
        lambda raw: raw[:-1] + b',"extra":NaN}',
        lambda raw: b"[" * 10_000 + b"]" * 10_000,
        lambda raw: b'{"payload":"' + b"A" * 10_000_000 + b'"}',
        lambda raw: b"",
        lambda raw: b"\xff\xfe",
    ],
)
def test_case_11_an_envelope_that_two_parsers_could_read_differently_is_refused(
    spoil: Callable[[bytes], bytes],
) -> None:
    with pytest.raises(VerificationFailed):
        verify(spoil(SIGNER.sign(admission()).raw))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s[:-1] + b',"subject":[]}',
        lambda s: s[:-1] + b',"Subject":[]}',
        lambda s: s[:-1] + b',"subj\xc5\xbfect":[]}',
        lambda s: s + b" {}",
        lambda s: s.replace(b'trial":false', b'trial":NaN'),
        lambda s: s.replace(b'trial":false', b'trial":0'),
        lambda s: s.replace(b"PASSED", b"passed"),
    ],
)
def test_case_11_a_signed_statement_is_read_strictly(spoil: Callable[[bytes], bytes]) -> None:
    statement = admission_statement(admission())
    assert spoil(statement) != statement
    with pytest.raises(VerificationFailed):
        verify(SIGNER.sign_bytes(spoil(statement)).raw)


@pytest.mark.parametrize("change", ["upper", "prefix", "sha512", "sha1", "short", "two"])
def test_case_12_a_subject_has_exactly_one_sha256_in_one_spelling(change: str) -> None:
    def spoil(document: dict[str, Any]) -> None:
        subject = document["subject"]
        value = subject[0]["digest"]["sha256"]
        subject[0]["digest"] = {
            "upper": {"sha256": value.upper()},
            "prefix": {"sha256": "sha256:" + value},
            "sha512": {"sha512": value * 2},
            "sha1": {"sha1": value[:40]},
            "short": {"sha256": value[:-1]},
            "two": {"sha256": value, "sha512": value * 2},
        }[change]

    with pytest.raises(VerificationFailed):
        verify(edited(spoil))


def test_several_subjects_are_refused() -> None:
    refused(edited(lambda d: d["subject"].append(d["subject"][0])), "2 subjects")


def test_an_unknown_member_is_refused_because_it_may_restrict() -> None:
    refused(edited(lambda d: d["predicate"].update({EXTENSION + "onlyOn": "tuesday"})), "unknown member")


@pytest.mark.parametrize(
    "time", ["2026-01-31", "2026-01-31T12:00:00+00:00", "2026-01-31T12:00:00.5Z", "2026-02-30T00:00:00Z"]
)
def test_times_have_one_spelling(time: str) -> None:
    refused(edited(lambda d: d["predicate"].update(timeVerified=time)), "timeVerified")


def test_no_byte_of_an_envelope_can_be_changed() -> None:
    raw = SIGNER.sign(admission()).raw
    chosen = random.Random(7)
    kept = 0
    for position in chosen.sample(range(len(raw)), 400):
        spoiled = bytearray(raw)
        spoiled[position] ^= 1 << chosen.randrange(7)
        try:
            read = verify(bytes(spoiled))
        except VerificationFailed:
            continue
        kept += 1
        assert read == admission(), f"byte {position}"
    # Only the key id (a hint that nothing depends on) and base64's two alphabets and unused bits may differ.
    assert kept < 120


@pytest.mark.parametrize(
    "changes",
    [
        {"repository": "Trusted/Demo"},
        {"tag": "-x"},
        {"host": "a/b"},
        {"host": ""},
        {"policy_name": ""},
        {"config_digests": (digest("a"), digest("a"))},
        {"index_digest": digest("index"), "child_digests": (digest("child"),)},
    ],
)
def test_what_no_reader_would_take_is_not_stated(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="cannot be stated"):
        admission_statement(replace(admission(), **changes))


def test_replaying_needs_no_time() -> None:
    assert open_admission(SIGNER.sign(admission(expires_at=NOW - 50)).raw, SIGNER.keyset).expires_at == NOW - 50


def test_a_signed_statement_is_of_our_payload_type() -> None:
    assert SIGNER.sign(admission()).payload_type == PAYLOAD_TYPE == "application/vnd.in-toto+json"
