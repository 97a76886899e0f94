"""Stored proofs of inclusion (c2sp.org/tlog-proof@v1)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import VerificationFailed
from gef_registry.transparency.merkle import Tree, inclusion_proof, leaf_hash
from gef_registry.transparency.note import Checkpoint, CosignatureSigner, NoteSigner
from gef_registry.transparency.proofs import LogProof, parse_proof, verify_proof

LOG = NoteSigner("log.example", Ed25519PrivateKey.from_private_bytes(b"l" * 32))
WITNESS = CosignatureSigner("witness.example", Ed25519PrivateKey.from_private_bytes(b"w" * 32))
TREE = Tree(leaf_hash(b"%d" % i) for i in range(10))
TEXT = Checkpoint("log.example", 10, TREE.root()).text
NOTE = f"{TEXT}\n{LOG.sign(TEXT)}{WITNESS.sign(TEXT, 1_700_000_000)}"
PROOF = LogProof(7, tuple(inclusion_proof(7, 10, TREE.read_hash)), NOTE, b"hint")


def test_a_proof_verifies_and_tells_the_time_of_the_cosigner() -> None:
    signed = verify_proof(parse_proof(PROOF.text), b"7", "log.example", LOG.verifier, [WITNESS.verifier])
    assert signed.cosigned_at == 1_700_000_000
    assert signed.checkpoint.size == 10


def test_a_proof_reads_as_the_specification_says() -> None:
    lines = PROOF.text.split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra aGludA==", "index 7"]
    assert lines[3 + len(PROOF.hashes)] == ""
    assert PROOF.text.endswith("\n\n" + NOTE)


@given(st.integers(0, 2**62), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.none() | st.binary(max_size=40))
def test_a_proof_comes_back_as_it_was_written(index: int, hashes: list[bytes], extra: bytes | None) -> None:
    proof = LogProof(index, tuple(hashes), NOTE, extra)
    assert parse_proof(proof.text) == proof


@settings(max_examples=100, deadline=None)
@given(st.integers(0, PROOF.text.index("log.example") - 1), st.characters(codec="utf-8"))
def test_a_proof_with_any_character_of_its_own_changed_is_refused_or_differs_in_extra_alone(at: int, character: str) -> None:
    text = PROOF.text[:at] + character + PROOF.text[at + 1 :]
    try:
        proof = parse_proof(text)
        verify_proof(proof, b"7", "log.example", LOG.verifier)
    except VerificationFailed:
        return
    assert (proof.index, proof.hashes) == (PROOF.index, PROOF.hashes)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@v1", "@v2"), ("index 7", "index 07"), ("index 7\n", ""), ("index 7", "index -7"), ("index 7", "index 7 "),
        ("aGludA==", "aGludA="), ("aGludA==", "aGludB=="), ("\n\n", "\n"), ("index 7\n", "index 7\nAAAA\n"),
        ("index 7\n", "index 7\n" + "A" * 43 + "=\n"), ("index 7\n", "index 7\n" + ("A" * 43 + "=\n") * 63),
        ("index 7", "index " + "9" * 5000), ("extra", "Extra"), ("index 7", "index 6"), ("index 7", "index 10"),
    ],
)  # fmt: skip
def test_a_malformed_or_wrong_proof_is_refused(old: str, new: str) -> None:
    text = PROOF.text.replace(old, new, 1)
    assert text != PROOF.text
    with pytest.raises(VerificationFailed):
        verify_proof(parse_proof(text), b"7", "log.example", LOG.verifier)


def test_a_proof_is_of_one_leaf_one_log_and_one_key() -> None:
    other = NoteSigner("log.example", Ed25519PrivateKey.from_private_bytes(b"o" * 32))
    for leaf, origin, log in (
        (b"6", "log.example", LOG.verifier),
        (b"7", "other.example", LOG.verifier),
        (b"7", "log.example", other.verifier),
    ):
        with pytest.raises(VerificationFailed):
            verify_proof(PROOF, leaf, origin, log)


def test_an_endless_proof_is_refused() -> None:
    with pytest.raises(VerificationFailed, match="more than"):
        parse_proof(PROOF.text + "x" * 1_200_000)
