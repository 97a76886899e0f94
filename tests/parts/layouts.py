"""Where built images are stored: OCI layout, OCI archive, docker-archive. Deterministic tars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.parts.tars import FileSpec, raw_tar

if TYPE_CHECKING:
    from tests.parts.images import BuiltImage, BuiltIndex

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_REF_NAME = "org.opencontainers.image.ref.name"


def write_layout(path: Path, image: BuiltImage | BuiltIndex, tag: str | None = None) -> Path:
    """Writes `image` into the OCI layout at `path` (made if missing, added to if there), under `tag` if given."""
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for digest, data in blobs_of(image).items():
        (blobs / digest.removeprefix("sha256:")).write_bytes(data)
    (path / "oci-layout").write_bytes(_LAYOUT)
    index = path / "index.json"
    present = json.loads(index.read_bytes())["manifests"] if index.exists() else []
    kept = [entry for entry in present if tag is None or entry.get("annotations", {}).get(_REF_NAME) != tag]
    index.write_bytes(_index([*kept, _entry(image, tag)]))
    return path


def write_oci_archive(file: Path, image: BuiltImage | BuiltIndex, tag: str | None = None) -> Path:
    """An OCI layout of one image in one tar (`oci-archive:FILE`)."""
    entries = [
        ("oci-layout", FileSpec(_LAYOUT)),
        ("index.json", FileSpec(_index([_entry(image, tag)]))),
        *((f"blobs/sha256/{digest[7:]}", FileSpec(data)) for digest, data in sorted(blobs_of(image).items())),
    ]
    file.write_bytes(raw_tar(entries))
    return file


def write_docker_archive(file: Path, image: BuiltImage, name: str | None = None) -> Path:
    """What `docker save` writes: manifest.json, `<config hex>.json`, `<diff_id hex>/layer.tar`. `name` is a RepoTag."""
    config_name = f"{image.config_digest[7:]}.json"
    layer_names = [f"{diff_id[7:]}/layer.tar" for diff_id in image.diff_ids]
    manifest = [{"Config": config_name, "RepoTags": [name] if name else None, "Layers": layer_names}]
    layers = {path: FileSpec(tar) for path, tar in zip(layer_names, image.tars, strict=True)}
    entries = [
        *layers.items(),
        (config_name, FileSpec(image.config)),
        ("manifest.json", FileSpec(json.dumps(manifest).encode())),
    ]
    file.write_bytes(raw_tar(entries))
    return file


def blobs_of(image: BuiltImage | BuiltIndex) -> dict[str, bytes]:
    """Everything an image needs in a store, manifests and index too, by digest."""
    blobs = {image.digest: image.manifest}
    for child in getattr(image, "images", ()):
        blobs |= blobs_of(child)
    return blobs | dict(getattr(image, "blobs", {}))


def _entry(image: BuiltImage | BuiltIndex, tag: str | None) -> dict[str, object]:
    entry = dict(image.descriptor)
    if platform := getattr(image, "platform", None):
        entry["platform"] = platform
    if tag is not None:
        entry["annotations"] = {_REF_NAME: tag}
    return entry


def _index(manifests: list[dict[str, object]]) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
