"""Images for tests, built in pure Python: no network, no engine, the same bytes each time.

    from tests.parts.images import good_service, index_of, layer, write_layout

    image = good_service()                                   # what every policy admits: complete labels, USER 65534
    image = good_service(user="root")                        # ... with one thing wrong
    image = good_service(labels={"eudat.gef.service.name": None})          # a label removed (None) or changed
    image = good_service(layers=[layer({"root/.ssh/id_rsa": KEY}), layer(whiteouts=["root/.ssh/id_rsa"])])
    image = good_service(runs=True)                          # on busybox: an engine can run it (needs busybox-static)
    index = index_of([good_service(), good_service(architecture="arm64")])

    image.digest, image.manifest, image.config, image.blobs[digest]        # values: "sha256:..." -> bytes
    write_layout(tmp_path / "oci", image, "1.0.0")           # then oci:DIR:1.0.0; a second call adds to the layout
    write_oci_archive(tmp_path / "a.tar", image, "1.0.0")
    write_docker_archive(tmp_path / "d.tar", image, "example/service:1.0.0")       # docker load, docker-archive:FILE

`build_image` is the plain builder below all that: any config, any layers, any lie (`rootfs` and `history` of the
given config are kept when present).
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parts.layouts import write_docker_archive, write_layout, write_oci_archive
from tests.parts.tars import DIR, FileSpec, busybox_rootfs, layer, raw_tar, tiny_rootfs

__all__ = [
    "CREATED", "GOOD_LABELS", "BuiltImage", "BuiltIndex", "FileSpec", "build_image", "build_oci_layout",
    "busybox_rootfs", "canonical", "compress", "digest_of", "good_service", "index_of", "layer", "raw_tar",
    "tiny_rootfs", "write_docker_archive", "write_layout", "write_oci_archive",
]  # fmt: skip

CREATED = "2024-01-01T00:00:00Z"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_SUFFIX = {"gzip": "gzip", "zstd": "zstd", "none": ""}

GOOD_LABELS: Mapping[str, str] = {
    "eudat.gef.service.name": "Word count",
    "eudat.gef.service.description": "Counts the words of each text file of a directory.",
    "eudat.gef.service.version": "1.0.0",
    "eudat.gef.service.input.1.name": "Text files",
    "eudat.gef.service.input.1.path": "/input",
    "eudat.gef.service.input.1.type": "url",
    "eudat.gef.service.output.1.name": "Word counts",
    "eudat.gef.service.output.1.path": "/output",
    "org.opencontainers.image.title": "Word count",
    "org.opencontainers.image.description": "Counts the words of each text file of a directory.",
    "org.opencontainers.image.version": "1.0.0",
    "org.opencontainers.image.authors": "Ada Example <ada@example.org>",
    "org.opencontainers.image.licenses": "Apache-2.0",
    "org.opencontainers.image.source": "https://example.org/word-count",
    "org.opencontainers.image.documentation": "https://example.org/word-count/documentation",
    "org.opencontainers.image.revision": "0123456789abcdef0123456789abcdef01234567",
    "org.opencontainers.image.created": CREATED,
}

# What `good_service(runs=True)` executes: reads its input port, writes its output port, fails loudly.
_RUN_SCRIPT = b"""#!/bin/sh
set -eu
for file in /input/*; do
    [ -f "$file" ] || { echo "no input in /input" >&2; exit 3; }
    wc -w < "$file" > "/output/$(echo "${file##*/}").count"
done
"""


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """One image of one platform. `blobs`: config and layers by digest, without the manifest; `tars`: uncompressed."""

    manifest: bytes
    config: bytes
    blobs: dict[str, bytes]
    media_type: str
    tars: tuple[bytes, ...]
    platform: dict[str, str]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def config_digest(self) -> str:
        return digest_of(self.config)

    @property
    def diff_ids(self) -> list[str]:
        return [digest_of(tar) for tar in self.tars]

    @property
    def layer_digests(self) -> list[str]:
        return [entry["digest"] for entry in json.loads(self.manifest)["layers"]]

    @property
    def labels(self) -> dict[str, str]:
        return dict(json.loads(self.config).get("config", {}).get("Labels") or {})

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.manifest)}


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """A multi-platform index and its images. `manifest` are the index's own bytes."""

    manifest: bytes
    images: tuple[BuiltImage, ...]
    media_type: str

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.manifest)}


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def canonical(document: object) -> bytes:
    """JSON as these builders write it: sorted keys, no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def compress(data: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.compress(data, 6, mtime=0)
    if compression == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=3).compress(data)
    assert compression == "none", compression
    return data


def build_image(
    *, config: Mapping[str, Any], layers: Sequence[bytes], compression: str = "gzip", docker: bool = False,
    annotations: Mapping[str, str] | None = None, subject: Mapping[str, Any] | None = None,
) -> BuiltImage:  # fmt: skip
    """`config`: an image config document; architecture, os, created, rootfs and history are filled in when missing.
    `layers`: uncompressed tars, lowest first. `compression`: gzip, zstd or none. `docker`: schema 2 media types."""
    tars = tuple(layers)
    document: dict[str, Any] = {"created": CREATED, "architecture": "amd64", "os": "linux", **config}
    document.setdefault("rootfs", {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]})
    document.setdefault(
        "history", [{"created": CREATED, "created_by": f"COPY layer{n} / # buildkit"} for n in range(len(tars))]
    )
    config_bytes = canonical(document)
    packed = [compress(tar, compression) for tar in tars]
    media_type, config_type, layer_type = _media_types(compression, docker)
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": _descriptor(config_type, config_bytes),
        "layers": [_descriptor(layer_type, blob) for blob in packed],
    }
    if annotations:
        manifest["annotations"] = dict(annotations)
    if subject:
        manifest["subject"] = dict(subject)
    blobs = {digest_of(blob): blob for blob in (config_bytes, *packed)}
    platform: dict[str, str] = {key: str(document[key]) for key in ("architecture", "os", "variant") if key in document}
    return BuiltImage(canonical(manifest), config_bytes, blobs, media_type, tars, platform)


def good_service(
    *, labels: Mapping[str, str | None] | None = None, user: str | None = "65534:65534",
    entrypoint: Sequence[str] | None = (), cmd: Sequence[str] | None = None, env: Sequence[str] = ("PATH=/bin",),
    layers: Sequence[bytes] = (), files: Mapping[str, bytes | str | FileSpec] | None = None,
    config: Mapping[str, Any] | None = None, architecture: str = "amd64", variant: str | None = None,
    compression: str = "gzip", docker: bool = False, runs: bool = False, history: Sequence[Mapping[str, Any]] = (),
) -> BuiltImage:  # fmt: skip
    """A service image every policy admits, with what the arguments change. `labels` are merged (None removes);
    `layers` come on top; `files` become one more layer; `config` is merged into the inner config last
    (`Healthcheck`, `ExposedPorts`, ...); `entrypoint=None` or `user=None` leaves the key out."""
    merged = {key: value for key, value in {**GOOD_LABELS, **(labels or {})}.items() if value is not None}
    base = busybox_rootfs() if runs else tiny_rootfs()
    service = {"input": DIR, "output": FileSpec(kind="dir", mode=0o755, uid=65534, gid=65534)}
    if runs:
        service["service.sh"] = FileSpec(_RUN_SCRIPT, mode=0o755)
    tars = [base, layer(service), *layers, *([layer(files)] if files else [])]
    if entrypoint == ():
        entrypoint = ["/bin/sh", "/service.sh"] if runs else ["/bin/service"]
    inner: dict[str, Any] = {"Env": list(env), "WorkingDir": "/", "Labels": merged}
    for key, value in (("User", user), ("Entrypoint", entrypoint), ("Cmd", cmd)):
        if value is not None:
            inner[key] = value if isinstance(value, str) else list(value)
    inner.update(config or {})
    document: dict[str, Any] = {"architecture": architecture, "os": "linux", "config": inner}
    if variant:
        document["variant"] = variant
    if history:
        document["history"] = list(history)
    return build_image(config=document, layers=tars, compression=compression, docker=docker)


def index_of(
    images: Sequence[BuiltImage], *, docker: bool = False, annotations: Mapping[str, str] | None = None
) -> BuiltIndex:
    """A multi-platform index over images, each with the platform its config names."""
    media_type = DOCKER_INDEX if docker else OCI_INDEX
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [{**image.descriptor, "platform": image.platform} for image in images],
    }
    if annotations:
        document["annotations"] = dict(annotations)
    return BuiltIndex(canonical(document), tuple(images), media_type)


def build_oci_layout(
    directory: Path, *, platforms: Sequence[str] = ("linux/amd64",), tag: str = "1.0.0", **changes: Any
) -> BuiltImage | BuiltIndex:
    """`good_service` (with `changes`) for each platform, written as an OCI layout; an index when there are several."""
    images = [good_service(architecture=platform.split("/")[1], **changes) for platform in platforms]
    built: BuiltImage | BuiltIndex = images[0] if len(images) == 1 else index_of(images)
    write_layout(directory, built, tag)
    return built


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def _media_types(compression: str, docker: bool) -> tuple[str, str, str]:
    suffix = _SUFFIX[compression]
    if docker:
        return DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER + (f".{suffix}" if suffix else "")
    return OCI_MANIFEST, OCI_CONFIG, OCI_LAYER + (f"+{suffix}" if suffix else "")
