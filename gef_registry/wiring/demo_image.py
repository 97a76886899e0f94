"""Small images made of nothing but Python, for the demonstration: one that keeps the rules and one that breaks them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from gef_registry.oci import media
from gef_registry.oci.digest import Digest

SCRIPT = b"""#!/bin/sh
# Writes how many lines each input file has, one line a file.
set -eu
for file in /input/*; do wc -l "$file"; done > /output/lines.txt
"""
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nservice:x:65534:65534:service:/nonexistent:/sbin/nologin\n"

LABELS: Mapping[str, str] = {
    "eudat.gef.service.name": "Line counter",
    "eudat.gef.service.description": "Counts the lines of every file in a directory.",
    "eudat.gef.service.version": "1.0.0",
    "eudat.gef.service.input.1.name": "Text files",
    "eudat.gef.service.input.1.path": "/input",
    "eudat.gef.service.input.1.type": "url",
    "eudat.gef.service.output.1.name": "Line counts",
    "eudat.gef.service.output.1.path": "/output",
    "org.opencontainers.image.licenses": "Apache-2.0",
}


@dataclass(frozen=True, slots=True)
class DemoImage:
    """A manifest and its blobs."""

    manifest: bytes
    blobs: tuple[bytes, ...]

    @property
    def digest(self) -> Digest:
        return Digest.of(self.manifest)


def good_image(note: str = "") -> DemoImage:
    """Labels complete, its own user, no secrets. A `note` makes another digest of the same service."""
    files = {"usr/local/bin/count-lines": SCRIPT, "etc/passwd": PASSWD}
    labels = {**LABELS, **({"org.opencontainers.image.description": note} if note else {})}
    return _image([_layer(files)], {"User": "65534:65534", "Labels": labels})


def bad_image() -> DemoImage:
    """Root, no labels, a password in the environment, and a private key that a later layer deletes."""
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    layers = [
        _layer({"usr/local/bin/count-lines": SCRIPT, "etc/passwd": PASSWD}),
        _layer({"root/.ssh/id_ed25519": key}),
        _layer({"root/.ssh/.wh.id_ed25519": b""}),
    ]
    return _image(layers, {"Env": ["PATH=/usr/local/bin:/bin", "DB_PASSWORD=correct-horse-battery-staple"]})


def _image(layers: list[bytes], config: Mapping[str, object]) -> DemoImage:
    compressed = [gzip.compress(layer, mtime=0) for layer in layers]
    document = {
        "created": "2026-01-01T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/usr/local/bin/count-lines"], **config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "COPY . /"} for _ in layers],
    }
    raw = json.dumps(document, sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "config": _descriptor(media.OCI_CONFIG, raw),
        "layers": [_descriptor(media.OCI_LAYER_GZIP, blob) for blob in compressed],
    }
    return DemoImage(json.dumps(manifest, sort_keys=True).encode(), (raw, *compressed))


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(blob)), "size": len(blob)}


def _layer(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755 if "/bin/" in f"/{name}" else 0o644
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
