"""Leaves of the log and the statements beside them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.oci import strict_json
from gef_registry.signing.keys import Purpose
from gef_registry.signing.leaf import ForeignLeaf, HashedRekord, check_statement, parse_leaf, statement_id_of
from gef_registry.signing.revocation import (
    MAX_LEAF_BYTES,
    Revocation,
    SignedRevocation,
    parse_revocation,
    revocation_leaf,
)
from gef_registry.signing.verify import check_revocation
from tests.fakes.signer import NOW, Signer, admission, digest

SIGNER = Signer()


def test_an_admission_leaf_speaks_of_the_signed_bytes_the_signature_and_the_key() -> None:
    envelope = SIGNER.sign(admission())
    entry = SIGNER.entry(envelope)
    leaf = parse_leaf(entry.leaf)
    assert isinstance(leaf, HashedRekord)
    assert leaf.statement_id == entry.statement_id == envelope.statement_id == statement_id_of(entry.leaf)
    assert leaf.signature == envelope.signature
    assert leaf.key == SIGNER.keys[Purpose.ADMISSION].public
    assert strict_json.canonical(json.loads(entry.leaf)) == entry.leaf


def test_the_logged_statement_fits_its_leaf() -> None:
    for entry in (SIGNER.entry(admission()), SIGNER.sig_entry(admission()), SIGNER.revocation(digest("image"))):
        assert check_statement(entry.leaf, entry.statement) is None


def test_an_altered_statement_is_told_from_one_with_another_signature() -> None:
    what = admission()
    entry, other, again = SIGNER.entry(what), SIGNER.entry(admission("other")), SIGNER.entry(what)
    assert "something else than what was logged" in str(check_statement(entry.leaf, other.statement))
    assert "another signature" in str(check_statement(entry.leaf, again.statement))
    assert check_statement(entry.leaf, b"") is not None
    assert check_statement(entry.leaf, b"{") is not None
    sig = SIGNER.sig_entry(what)
    assert "something else" in str(check_statement(sig.leaf, sig.statement + b" "))
    assert check_statement(SIGNER.revocation(digest("a")).leaf, b"{}") is not None


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_no_bit_of_a_revocation_can_be_changed(position: int, bit: int) -> None:
    leaf = bytearray(SIGNER.revocation(digest("image")).leaf)
    leaf[position % len(leaf)] ^= 1 << bit
    try:
        parsed = parse_leaf(bytes(leaf))
    except VerificationFailed:
        return
    if isinstance(parsed, ForeignLeaf):
        return
    assert isinstance(parsed, SignedRevocation)
    if parsed.revocation == parse_revocation(SIGNER.revocation(digest("image")).leaf).revocation:
        assert parsed.keyid != SIGNER.keys[Purpose.REVOCATION].public.fingerprint or not _counts(parsed)
    else:
        assert not _counts(parsed)


def _counts(signed: SignedRevocation) -> bool:
    try:
        check_revocation(signed, SIGNER.keyset)
    except VerificationFailed:
        return False
    return True


@pytest.mark.parametrize("purpose", [p for p in Purpose if p is not Purpose.REVOCATION])
def test_only_the_revocation_key_revokes(purpose: Purpose) -> None:
    signed = parse_leaf(SIGNER.revocation(digest("image"), purpose=purpose).leaf)
    assert isinstance(signed, SignedRevocation)
    with pytest.raises(VerificationFailed, match="not signed by a revocation key"):
        check_revocation(signed, SIGNER.keyset)


def test_a_revocation_names_its_statement_by_its_own_hash() -> None:
    entry = SIGNER.revocation(digest("image"))
    assert statement_id_of(entry.leaf) == hashlib.sha256(entry.leaf).hexdigest()


@pytest.mark.parametrize("reason", ["", "x" * 2001, "line\nbreak", "\u202eright to left", "\ud800"])
def test_a_revocation_gives_a_short_plain_reason(reason: str) -> None:
    with pytest.raises(BadInput):
        revocation_leaf(Revocation(digest("image"), reason, NOW, "me"), SIGNER.keys[Purpose.REVOCATION])


def test_the_longest_revocation_fits_into_a_leaf() -> None:
    what = Revocation(digest("image"), "\U0001f600" * 2000, NOW, "m" * 200)
    assert len(revocation_leaf(what, SIGNER.keys[Purpose.REVOCATION])) < MAX_LEAF_BYTES


def test_a_leaf_of_another_kind_is_foreign() -> None:
    assert parse_leaf(b'{"apiVersion":"0.0.3","kind":"hashedrekord","spec":{}}') == ForeignLeaf("hashedrekord 0.0.3")
    assert parse_leaf(b"{}") == ForeignLeaf("None None")


@pytest.mark.parametrize(
    "path", ["apiVersion", "data.algorithm", "data.digest", "signature.content", "keyDetails", "rawBytes"]
)
def test_a_damaged_hashedrekord_is_refused(path: str) -> None:
    document: dict[str, Any] = json.loads(SIGNER.entry(admission()).leaf)
    entry = document["spec"]["hashedRekordV002"]
    verifier = entry["signature"]["verifier"]
    match path:
        case "apiVersion":
            document["more"] = 1
        case "data.algorithm":
            entry["data"]["algorithm"] = "SHA2_512"
        case "data.digest":
            entry["data"]["digest"] = base64.b64encode(b"short").decode()
        case "signature.content":
            entry["signature"]["content"] = "!"
        case "keyDetails":
            verifier["keyDetails"] = "PKIX_ED25519"
        case _:
            verifier["publicKey"]["rawBytes"] = "AAAA"
    with pytest.raises(VerificationFailed):
        parse_leaf(strict_json.canonical(document))


@pytest.mark.parametrize("leaf", [b"", b"\x00", b"[]", b'{"a":1,"a":2}', b"[" * 60_000])
def test_what_is_no_leaf_is_refused(leaf: bytes) -> None:
    with pytest.raises(VerificationFailed):
        parse_leaf(leaf)
