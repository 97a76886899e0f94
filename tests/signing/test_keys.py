"""Keys and the key set."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.oci import strict_json
from gef_registry.signing import dsse
from gef_registry.signing import keyset as keysets
from gef_registry.signing.keys import Algorithm, PrivateKey, PublicKey, Purpose
from gef_registry.signing.keyset import open_keyset, root_fingerprint, sign_keyset
from tests.fakes.signer import NOW, Signer

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_key_survives_its_file(algorithm: Algorithm, passphrase: bytes | None) -> None:
    key = PrivateKey.generate(algorithm)
    again = PrivateKey.from_pem(key.pem(passphrase), passphrase)
    assert again.public == key.public
    assert PublicKey.from_spki(key.public.spki).verifies(again.sign(b"text"), b"text")
    assert not key.public.verifies(key.sign(b"text"), b"other text")


@pytest.mark.parametrize(("given", "words"), [(None, "none was given"), (b"wrong", "wrong or the file is damaged")])
def test_a_protected_key_needs_its_passphrase(given: bytes | None, words: str) -> None:
    pem = PrivateKey.generate(Algorithm.ECDSA_P256).pem(b"right")
    with pytest.raises(BadInput, match=words):
        PrivateKey.from_pem(pem, given)


def test_a_private_key_shows_nothing_of_itself() -> None:
    key = PrivateKey.generate(Algorithm.ED25519)
    assert "PrivateKey object" not in repr(key)
    assert key.pem().decode().splitlines()[1] not in repr(key)


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())])
def test_other_kinds_of_keys_are_refused(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(BadInput, match="neither ECDSA P-256 nor Ed25519"):
        PrivateKey.from_pem(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(BadInput, match="neither ECDSA P-256 nor Ed25519"):
        PublicKey.from_spki(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.parametrize("damage", [b"", b"\x30", b"not a key", b"\x00" * 600])
def test_what_is_no_public_key_is_bad_input(damage: bytes) -> None:
    with pytest.raises(BadInput):
        PublicKey.from_spki(damage)


def test_case_10_a_rewritten_ecdsa_signature_verifies_alike() -> None:
    key = PrivateKey.generate(Algorithm.ECDSA_P256)
    r, s = decode_dss_signature(key.sign(b"text"))
    malleated = encode_dss_signature(r, ORDER - s)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert key.public.verifies(malleated, b"text")
    assert key.public.verifies(raw, b"text")
    assert not key.public.verifies(malleated, b"other")
    assert not key.public.verifies(raw, b"other")
    assert not key.public.verifies(bytes(64), b"text")


def test_a_key_set_is_read_by_whoever_pins_its_root(signer: Signer) -> None:
    assert root_fingerprint(signer.keyset_raw) == signer.fingerprint
    assert open_keyset(signer.keyset_raw, signer.fingerprint) == signer.keyset


def test_a_key_set_of_another_root_is_refused(signer: Signer) -> None:
    with pytest.raises(VerificationFailed, match="pinned is"):
        open_keyset(Signer().keyset_raw, signer.fingerprint)


def test_a_key_set_that_another_key_signed_is_refused(signer: Signer) -> None:
    payload = dsse.parse_envelope(signer.keyset_raw).payload
    forged = dsse.sign(payload, keysets.PAYLOAD_TYPE, PrivateKey.generate(Algorithm.ECDSA_P256))
    with pytest.raises(VerificationFailed, match="not signed by"):
        open_keyset(forged.raw, signer.fingerprint)


def test_an_admission_cannot_pass_for_a_key_set(signer: Signer) -> None:
    payload = dsse.parse_envelope(signer.keyset_raw).payload
    with pytest.raises(VerificationFailed, match="its type is"):
        open_keyset(
            dsse.sign(payload, "application/vnd.in-toto+json", signer.keys[Purpose.ROOT]).raw, signer.fingerprint
        )


def _with_keys(signer: Signer, change: str) -> keysets.KeySet:
    first, second, *rest = signer.keyset.keys
    match change:
        case "two purposes":
            return replace(signer.keyset, keys=(first, replace(second, public=first.public), *rest))
        case "root as admission":
            return replace(signer.keyset, keys=(replace(first, public=signer.keyset.root), second, *rest))
        case "twice":
            return replace(signer.keyset, keys=(first, first, second, *rest))
        case _:
            return replace(signer.keyset, keys=tuple(k for k in signer.keyset.keys if k.purpose is not Purpose(change)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("two purposes", "two purposes"),
        ("root as admission", "two purposes"),
        ("twice", "stands in it twice"),
        ("admission", "no admission key"),
        ("revocation", "no revocation key"),
        ("log", "no log key"),
        ("cosigner", "no cosigner key"),
    ],
)
def test_a_key_set_with_mixed_or_missing_keys_is_neither_signed_nor_read(
    signer: Signer, change: str, words: str
) -> None:
    bad = _with_keys(signer, change)
    with pytest.raises(BadInput, match=words):
        sign_keyset(bad, signer.keys[Purpose.ROOT])
    raw = dsse.sign(strict_json.canonical(keysets._document(bad)), keysets.PAYLOAD_TYPE, signer.keys[Purpose.ROOT]).raw
    with pytest.raises(VerificationFailed, match=words):
        open_keyset(raw, signer.fingerprint)


def test_a_key_is_valid_from_its_first_second_until_before_its_last(signer: Signer) -> None:
    key = replace(signer.keyset.keys[0], not_before=NOW, not_after=NOW + 10)
    assert [key.is_valid_at(NOW + n) for n in (-1, 0, 9, 10)] == [False, True, True, False]
