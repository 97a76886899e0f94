"""The objects by which other tools verify an admission: cosign's `.sig` manifest and the sigstore bundle as a referrer.

Both are published for every admission, because neither reader knows the other form: containers/image (podman, skopeo)
reads `.sig` only, cosign from version 3 prefers bundles. All bytes are functions of their arguments, so publishing again
after a crash publishes the same digests.
Specifications: sigstore/cosign specs/SIGNATURE_SPEC.md and BUNDLE_SPEC.md, sigstore/protobuf-specs (bundle v0.3,
trusted root), OCI image-spec 1.1 (empty descriptor, subject).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gef_registry.errors import BadInput
from gef_registry.oci import media, strict_json
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor
from gef_registry.signing.dsse import Envelope
from gef_registry.signing.fields import rfc3339
from gef_registry.signing.keys import PublicKey
from gef_registry.signing.leaf import API_VERSION, KIND

EMPTY_CONFIG = b"{}"
EMPTY_DESCRIPTOR = Descriptor(media.OCI_EMPTY, Digest.of(EMPTY_CONFIG), len(EMPTY_CONFIG))
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
TRUSTED_ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
_NOTE_ED25519 = b"\x01"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature over a simple-signing payload."""

    payload: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where a leaf is in the log: the hashes from its sibling up, and the signed checkpoint that they lead to."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """An OCI manifest with the blobs that must be there before it."""

    manifest: bytes
    blobs: tuple[bytes, ...]
    media_type: str = media.OCI_MANIFEST

    @property
    def digest(self) -> Digest:
        return Digest.of(self.manifest)


def sig_tag(digest: Digest) -> str:
    """The tag under which `.sig` readers look: `sha256-<hex>.sig`."""
    return f"{digest.algorithm}-{digest.hex}.sig"


def simple_signing_payload(host: str, repository: str, digest: Digest) -> bytes:
    """What a `.sig` signature signs: the identity `HOST/REPO` (any tag) and the manifest's digest."""
    return strict_json.canonical(
        {
            "critical": {
                "identity": {"docker-reference": f"{host}/{repository}"},
                "image": {"docker-manifest-digest": str(digest)},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )


def sig_artifact(signatures: Sequence[Signature]) -> Artifact:
    """The manifest for `sig_tag`, one layer for each signature, in this order. Blobs: the config, then the payloads."""
    if not signatures:
        raise BadInput("a signature manifest without signatures")
    payloads = tuple(dict.fromkeys(signature.payload for signature in signatures))
    config = strict_json.canonical(
        {
            "architecture": "",
            "config": {},
            "history": [{}] * len(signatures),
            "os": "",
            "rootfs": {"diff_ids": [str(Digest.of(s.payload)) for s in signatures], "type": "layers"},
        }
    )
    layers = [
        {
            "annotations": {SIGNATURE_ANNOTATION: _encode(signature.signature)},
            "digest": str(Digest.of(signature.payload)),
            "mediaType": media.COSIGN_SIMPLE_SIGNING,
            "size": len(signature.payload),
        }
        for signature in signatures
    ]
    manifest = {
        "config": Descriptor(media.OCI_CONFIG, Digest.of(config), len(config)).as_json(),
        "layers": layers,
        "mediaType": media.OCI_MANIFEST,
        "schemaVersion": 2,
    }
    return Artifact(strict_json.canonical(manifest), (config, *payloads))


def sigstore_bundle(
    envelope: Envelope, leaf: bytes, inclusion: Inclusion, *, key: PublicKey, log_key: PublicKey, log_origin: str
) -> bytes:
    """A bundle v0.3: the envelope, a hint of its key, and its inclusion in our log (Rekor v2: no promise, no time)."""
    tree_size, root = _tree(inclusion.checkpoint)
    proof = {
        "checkpoint": {"envelope": inclusion.checkpoint},
        "hashes": [_encode(node) for node in inclusion.hashes],
        "logIndex": str(inclusion.index),
        "rootHash": root,
        "treeSize": str(tree_size),
    }
    entry = {
        "canonicalizedBody": _encode(leaf),
        "inclusionProof": proof,
        "kindVersion": {"kind": KIND, "version": API_VERSION},
        "logId": {"keyId": _encode(log_id(log_key, log_origin))},
        "logIndex": str(inclusion.index),
    }
    return strict_json.canonical(
        {
            "dsseEnvelope": {
                "payload": _encode(envelope.payload),
                "payloadType": envelope.payload_type,
                "signatures": [{"sig": _encode(envelope.signature)}],
            },
            "mediaType": media.SIGSTORE_BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": key.hint}, "tlogEntries": [entry]},
        }
    )


def bundle_artifact(subject: Descriptor, bundle: bytes, predicate_type: str, created_at: int) -> Artifact:
    """The referrer that carries a bundle. Blobs: the empty config, then the bundle."""
    manifest = {
        "annotations": {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": predicate_type,
            "org.opencontainers.image.created": rfc3339(created_at),
        },
        "artifactType": media.SIGSTORE_BUNDLE,
        "config": EMPTY_DESCRIPTOR.as_json(),
        "layers": [Descriptor(media.SIGSTORE_BUNDLE, Digest.of(bundle), len(bundle)).as_json()],
        "mediaType": media.OCI_MANIFEST,
        "schemaVersion": 2,
        "subject": Descriptor(subject.media_type, subject.digest, subject.size).as_json(),
    }
    return Artifact(strict_json.canonical(manifest), (EMPTY_CONFIG, bundle))


def log_id(log_key: PublicKey, log_origin: str) -> bytes:
    """The 32 bytes by which bundles and trusted roots name a log: the untruncated C2SP key id."""
    return hashlib.sha256(log_origin.encode() + b"\n" + _NOTE_ED25519 + log_key.raw).digest()


def trusted_root(log_key: PublicKey, log_origin: str, valid_from: int) -> bytes:
    """The trusted_root.json that makes our log one that cosign believes (`--trusted-root`).

    The origin must be a bare host name: verifiers take the host of `baseUrl`, without port and path, for it.
    """
    if not log_origin or any(c in log_origin for c in "/:@ ?#"):
        raise BadInput(f"the log's origin {log_origin[:100]!r} is not a bare host name: cosign could not verify it")
    log = {
        "baseUrl": f"https://{log_origin}",
        "hashAlgorithm": "SHA2_256",
        "logId": {"keyId": _encode(log_id(log_key, log_origin))},
        "publicKey": {
            "keyDetails": "PKIX_ED25519",
            "rawBytes": log_key.base64,
            "validFor": {"start": rfc3339(valid_from)},
        },
    }
    return strict_json.canonical({"mediaType": TRUSTED_ROOT_TYPE, "tlogs": [log]})


def _tree(checkpoint: str) -> tuple[int, str]:
    """Size and base64 root from the text of a checkpoint that the log itself made."""
    lines = checkpoint.split("\n", 3)
    if len(lines) < 4 or not lines[1].isdecimal():
        raise BadInput("not a checkpoint: expected origin, size and root in its first lines")
    return int(lines[1]), lines[2]


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()
