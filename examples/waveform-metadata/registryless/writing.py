"""The image written where it was asked for: `oci:DIR:TAG` or `docker-archive:FILE[:NAME:TAG]`."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from registryless.layers import Layer

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_REF_NAME = "org.opencontainers.image.ref.name"


def encode(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest_of(config: bytes, layers: Sequence[Layer]) -> bytes:
    return encode(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor("application/vnd.oci.image.config.v1+json", digest_of(config), len(config)),
            "layers": [
                _descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer.digest, layer.size) for layer in layers
            ],
        }
    )


def write_oci(directory: Path, tag: str, config: bytes, layers: Sequence[Layer], platform: Mapping[str, str]) -> None:
    """An OCI layout; other tags that a layout at `directory` has are kept."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    manifest = manifest_of(config, layers)
    for data in (config, manifest):
        (blobs / digest_of(data)[7:]).write_bytes(data)
    for layer in layers:
        if not (blobs / layer.digest[7:]).exists():
            part = blobs / f".{layer.digest[7:]}.part"
            shutil.copyfile(layer.file, part)
            part.replace(blobs / layer.digest[7:])
    index_file = directory / "index.json"
    entries: list[dict[str, Any]] = json.loads(index_file.read_bytes())["manifests"] if index_file.exists() else []
    entries = [entry for entry in entries if entry.get("annotations", {}).get(_REF_NAME) != tag]
    entry = _descriptor(_MANIFEST, digest_of(manifest), len(manifest))
    entries.append({**entry, "platform": dict(platform), "annotations": {_REF_NAME: tag}})
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    index_file.write_bytes(encode(index))
    (directory / "oci-layout").write_bytes(encode({"imageLayoutVersion": "1.0.0"}))


def write_docker_archive(file: Path, name: str, config: bytes, layers: Sequence[Layer]) -> None:
    """What `docker load` reads: layers unpacked, streamed, each under its diff_id."""
    config_name = f"{digest_of(config)[7:]}.json"
    names = [f"{layer.diff_id[7:]}/layer.tar" for layer in layers]
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for path, layer in zip(names, layers, strict=True):
            with gzip.open(layer.file) as content:
                _add(tar, path, layer.unpacked_size, content)
        _add(tar, config_name, len(config), BytesIO(config))
        manifest = encode([{"Config": config_name, "RepoTags": [name], "Layers": names}])
        _add(tar, "manifest.json", len(manifest), BytesIO(manifest))


def _add(tar: tarfile.TarFile, path: str, size: int, content: IO[bytes]) -> None:
    info = tarfile.TarInfo(path)
    info.size, info.mtime, info.mode = size, 0, 0o644
    tar.addfile(info, content)


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}
