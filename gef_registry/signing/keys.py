"""Private and public keys: ECDSA P-256 with SHA-256, and Ed25519. One key serves one purpose for ever.

A public key is known by its fingerprint, `sha256:<hex of the DER SubjectPublicKeyInfo>`. ECDSA signatures are made in
DER; DER, the same with n-s for s, and raw r||s verify alike (other tools accept them too), so signature bytes never
identify anything. Private keys show nothing of themselves in messages or `repr`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from gef_registry.errors import BadInput

MAX_PEM_BYTES = 16_384
MAX_SPKI_BYTES = 512
_RAW_ECDSA_BYTES = 64


class Purpose(StrEnum):
    """What a key may sign, and nothing else."""

    ROOT = "root"
    ADMISSION = "admission"
    REVOCATION = "revocation"
    LOG = "log"
    COSIGNER = "cosigner"
    TOKEN = "token"


class Algorithm(StrEnum):
    ECDSA_P256 = "ecdsa-p256"
    ED25519 = "ed25519"


ALGORITHMS: dict[Purpose, Algorithm] = {
    Purpose.ROOT: Algorithm.ECDSA_P256,
    Purpose.ADMISSION: Algorithm.ECDSA_P256,
    Purpose.REVOCATION: Algorithm.ECDSA_P256,
    Purpose.LOG: Algorithm.ED25519,
    Purpose.COSIGNER: Algorithm.ED25519,
    Purpose.TOKEN: Algorithm.ECDSA_P256,
}

_Public = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
_Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies. Equal when the DER is equal."""

    algorithm: Algorithm
    spki: bytes
    _key: _Public = field(repr=False, compare=False, hash=False)

    @classmethod
    def from_spki(cls, spki: bytes, *, what: str = "public key") -> PublicKey:
        """Reads DER SubjectPublicKeyInfo; only the one DER spelling of the key is taken. Raises BadInput."""
        if len(spki) > MAX_SPKI_BYTES:
            raise BadInput(f"{what}: {len(spki)} bytes, at most {MAX_SPKI_BYTES} are read")
        try:
            key = serialization.load_der_public_key(spki)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadInput(f"{what}: not a DER public key") from error
        public = cls._of(key, what)
        if public.spki != spki:
            raise BadInput(f"{what}: the key is not in its canonical DER form")
        return public

    @classmethod
    def from_base64(cls, text: str, *, what: str = "public key") -> PublicKey:
        """Reads the standard base64 of the DER. Raises BadInput."""
        try:
            spki = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadInput(f"{what}: not base64") from error
        return cls.from_spki(spki, what=what)

    @classmethod
    def _of(cls, key: object, what: str) -> PublicKey:
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(Algorithm.ECDSA_P256, _spki(key), key)
        if isinstance(key, ed25519.Ed25519PublicKey):
            return cls(Algorithm.ED25519, _spki(key), key)
        raise BadInput(f"{what}: neither ECDSA P-256 nor Ed25519")

    @property
    def fingerprint(self) -> str:
        return "sha256:" + hashlib.sha256(self.spki).hexdigest()

    @property
    def hint(self) -> str:
        """The key hint as cosign writes it into a bundle: base64 of the SHA-256 of the DER."""
        return base64.b64encode(hashlib.sha256(self.spki).digest()).decode()

    @property
    def base64(self) -> str:
        return base64.b64encode(self.spki).decode()

    @property
    def pem(self) -> bytes:
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def raw(self) -> bytes:
        """The 32 bytes of an Ed25519 key. Raises BadInput for another algorithm."""
        if isinstance(self._key, ed25519.Ed25519PublicKey):
            return self._key.public_bytes_raw()
        raise BadInput(f"key {self.fingerprint}: only an Ed25519 key has a raw form, this is {self.algorithm}")

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Is this a signature of the message by this key?"""
        if isinstance(self._key, ed25519.Ed25519PublicKey):
            return _verifies_ed25519(self._key, signature, message)
        if _verifies_ecdsa(self._key, signature, message):
            return True
        if len(signature) != _RAW_ECDSA_BYTES:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        return _verifies_ecdsa(self._key, encode_dss_signature(r, s), message)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs. `key` is for adapters that need the library's object (the log's note signer)."""

    public: PublicKey
    key: _Private = field(repr=False, compare=False, hash=False)

    @classmethod
    def generate(cls, algorithm: Algorithm) -> PrivateKey:
        if algorithm is Algorithm.ED25519:
            return cls._of(ed25519.Ed25519PrivateKey.generate(), "new key")
        return cls._of(ec.generate_private_key(ec.SECP256R1()), "new key")

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None, *, what: str = "private key") -> PrivateKey:
        """Reads PKCS #8. Raises BadInput: not a key, another kind of key, passphrase missing, needless or wrong."""
        if len(pem) > MAX_PEM_BYTES:
            raise BadInput(f"{what}: {len(pem)} bytes, at most {MAX_PEM_BYTES} are read")
        encrypted = b"ENCRYPTED" in pem
        if encrypted and passphrase is None:
            raise BadInput(f"{what}: it is protected by a passphrase and none was given")
        try:
            key = serialization.load_pem_private_key(pem, passphrase if encrypted else None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            reason = "the passphrase is wrong or the file is damaged" if encrypted else "not a private key in PEM form"
            raise BadInput(f"{what}: {reason}") from error
        return cls._of(key, what)

    @classmethod
    def _of(cls, key: object, what: str) -> PrivateKey:
        if isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            return cls(PublicKey._of(key.public_key(), what), key)
        raise BadInput(f"{what}: neither ECDSA P-256 nor Ed25519")

    @property
    def algorithm(self) -> Algorithm:
        return self.public.algorithm

    def pem(self, passphrase: bytes | None = None) -> bytes:
        """PKCS #8, encrypted when there is a passphrase."""
        protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            protection = serialization.BestAvailableEncryption(passphrase)
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(message)
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))


def _spki(key: _Public) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _verifies_ecdsa(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _verifies_ed25519(key: ed25519.Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
