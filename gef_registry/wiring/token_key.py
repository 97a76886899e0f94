"""The registry-token key's certificate: what other registries are given to trust our tokens (`rootcertbundle`)."""

from __future__ import annotations

import base64
import hashlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gef_registry.errors import VerificationFailed
from gef_registry.signing.keys import PrivateKey, Purpose
from gef_registry.web.ports import Origin
from gef_registry.web.token import TokenIssuer
from gef_registry.wiring.keyring import Keyring

CERTIFICATE = "token.crt"
# Registries check the certificate's validity in x5c mode: an expired one turns every pull into 401 at midnight.
_VALID_DAYS = 20 * 365


def token_issuer(keyring: Keyring, directory: Path, origin: Origin) -> TokenIssuer:
    """The issuer, with the certificate in `directory` (made when missing)."""
    key = keyring[Purpose.TOKEN]
    certificate = _certificate(key, directory / CERTIFICATE, origin)
    return TokenIssuer(
        key.pem(),
        kid=libtrust_id(key),
        certificate=base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode(),
        issuer=keyring.keyset.verifier_id,
        service=origin.service,
        now=time.time,
    )


def libtrust_id(key: PrivateKey) -> str:
    """The key id that distribution 2.8 computes: base32 of 30 bytes of the SPKI's SHA-256, in groups of four."""
    text = base64.b32encode(hashlib.sha256(key.public.spki).digest()[:30]).decode().rstrip("=")
    return ":".join(text[i : i + 4] for i in range(0, len(text), 4))


def _certificate(key: PrivateKey, path: Path, origin: Origin) -> x509.Certificate:
    if path.exists():
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except ValueError as error:
            raise VerificationFailed(f"{path} is not a certificate", hint="remove it; a new one is made") from error
        if _spki(certificate) != key.public.spki:
            raise VerificationFailed(f"{path} is not the certificate of the token key", hint="remove it")
        return certificate
    certificate = _self_signed(key, origin)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    partial.replace(path)
    return certificate


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _self_signed(key: PrivateKey, origin: Origin) -> x509.Certificate:
    private = key.key
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"registry tokens of {origin.name}"[:64])])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
