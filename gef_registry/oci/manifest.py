"""Image manifests and indexes (OCI image-spec 1.1 manifest.md, image-index.md; Docker schema 2).

Whoever parses hashed bytes keeps the bytes: `raw` is what was received and what is passed on. Parsing is strict about
what decides identity (media types, digests, sizes, duplicate keys) and tolerant of unknown fields, as the specification asks.
A document with both `layers` and `manifests` is refused (CVE-2021-41190), in any spelling: Go reads `LAYERS` as `layers`,
so a known key in other letters would be one image to us and another to the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gef_registry.errors import BadInput
from gef_registry.oci import media, strict_json
from gef_registry.oci.digest import Digest

MAX_MANIFEST_BYTES = 4 << 20
_NOTHING: Mapping[str, str] = MappingProxyType({})
_KEYS = {
    key.casefold(): key
    for key in (
        *("schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "subject", "artifactType"),
        *("fsLayers", "history", "signatures", "digest", "size", "platform", "urls", "data"),
        *("os", "architecture", "variant", "os.version", "os.features", "features"),
    )
}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """`os/architecture[/variant]`."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


UNKNOWN_PLATFORM = Platform("unknown", "unknown")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Points at content: media type, digest, size in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    platform: Platform | None = None
    artifact_type: str | None = None
    urls: tuple[str, ...] = ()
    data: str | None = None

    @property
    def is_index(self) -> bool:
        return self.media_type in media.INDEXES

    def as_json(self) -> dict[str, Any]:
        """The descriptor as it stands in a manifest: `mediaType`, `digest`, `size` and what else is set."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        return document


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image (or artifact): a configuration and ordered layers."""

    raw: bytes
    media_type: str
    digest: Digest
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    subject: Descriptor | None = None
    artifact_type: str | None = None

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, len(self.raw))

    @property
    def is_image(self) -> bool:
        """A runnable image rather than an artifact: an image configuration and no artifact type."""
        return self.config.media_type in media.CONFIGS and self.artifact_type is None

    @property
    def references(self) -> tuple[Descriptor, ...]:
        """Every blob it needs, each digest once, configuration first."""
        return tuple({d.digest: d for d in (self.config, *self.layers)}.values())


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests, one for each platform (and their attestations)."""

    raw: bytes
    media_type: str
    digest: Digest
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)
    subject: Descriptor | None = None
    artifact_type: str | None = None

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, self.digest, len(self.raw))


def parse_manifest(
    raw: bytes, media_type: str | None, *, algorithm: str = "sha256", what: str = "manifest"
) -> Manifest | Index:
    """Reads a manifest or index; `media_type` is what the transport said (None if it said nothing).

    Raises BadInput for anything ambiguous: contradicting media types, schema 1, both kinds at once, bad descriptors.
    """
    document = strict_json.load_object(raw, what=what, max_bytes=MAX_MANIFEST_BYTES, fold_case=True)
    _refuse_other_spellings(document, what)
    version = document.get("schemaVersion")
    if type(version) is not int or version != 2:
        raise BadInput(
            f"{what}: schemaVersion is {str(version)[:40]}, expected 2", hint="push it with a current client"
        )
    if "fsLayers" in document:
        raise BadInput(f"{what}: it also holds a schema 1 image (fsLayers)", hint="push it with a current client")
    kind = _media_type(document, media_type, what)
    digest = Digest.of(raw, algorithm)
    common: dict[str, Any] = {
        "raw": raw,
        "media_type": kind,
        "digest": digest,
        "annotations": _annotations(document.get("annotations"), what),
        "subject": _descriptor(document["subject"], f"{what}: subject")
        if document.get("subject") is not None
        else None,
        "artifact_type": _optional_text(document, "artifactType", what),
    }
    if kind in media.INDEXES:
        return Index(manifests=_descriptors(document.get("manifests"), f"{what}: manifests"), **common)
    config = _descriptor(document.get("config"), f"{what}: config")
    return Manifest(config=config, layers=_descriptors(document.get("layers"), f"{what}: layers"), **common)


def _refuse_other_spellings(document: dict[str, Any], what: str) -> None:
    for key in document:
        known = _KEYS.get(key.casefold())
        if known is not None and known != key:
            raise BadInput(f"{what}: the key {key[:100]!r} is spelt {known!r}")


def _media_type(document: dict[str, Any], given: str | None, what: str) -> str:
    stated = _optional_text(document, "mediaType", what)
    has_layers, has_manifests = ("layers" in document or "config" in document), "manifests" in document
    if has_layers and has_manifests:
        raise BadInput(f"{what}: it is an image and an index at once (both layers and manifests)")
    if has_layers == has_manifests:
        raise BadInput(f"{what}: it has neither layers nor manifests")
    implied = media.OCI_INDEX if has_manifests else media.OCI_MANIFEST
    given = given.partition(";")[0].strip() if given else None
    if stated and given and stated != given:
        raise BadInput(f"{what}: its mediaType is {stated[:200]!r} but it was sent as {given[:200]!r}")
    kind = stated or given or implied
    if kind not in (media.INDEXES if has_manifests else media.MANIFESTS):
        raise BadInput(f"{what}: media type {kind[:200]!r} does not fit its content or is not supported")
    return kind


def _optional_text(document: dict[str, Any], key: str, what: str) -> str | None:
    value = document.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadInput(f"{what}: {key} is not a string")
    return value


def _annotations(value: Any, what: str) -> Mapping[str, str]:
    if value is None:
        return _NOTHING
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise BadInput(f"{what}: annotations are not a map of strings")
    return MappingProxyType(value)


def _descriptors(value: Any, what: str) -> tuple[Descriptor, ...]:
    if value is None:
        value = []
    if not isinstance(value, list):
        raise BadInput(f"{what}: expected a list")
    if len(value) > 1000:
        raise BadInput(f"{what}: {len(value)} entries, at most 1000 are read")
    return tuple(_descriptor(item, f"{what}[{n}]") for n, item in enumerate(value))


def _descriptor(value: Any, what: str) -> Descriptor:
    if not isinstance(value, dict):
        raise BadInput(f"{what}: expected a descriptor")
    _refuse_other_spellings(value, what)
    kind, size, digest, urls = value.get("mediaType"), value.get("size"), value.get("digest"), value.get("urls") or []
    if not isinstance(kind, str) or not kind:
        raise BadInput(f"{what}: no mediaType")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 62:
        raise BadInput(f"{what}: size is not a byte count")
    if not isinstance(digest, str):
        raise BadInput(f"{what}: no digest")
    if not isinstance(urls, list) or not all(isinstance(u, str) for u in urls):
        raise BadInput(f"{what}: urls are not a list of strings")
    return Descriptor(
        media_type=kind,
        digest=Digest.parse(digest),
        size=size,
        annotations=_annotations(value.get("annotations"), what),
        platform=_platform(value.get("platform"), what),
        artifact_type=_optional_text(value, "artifactType", what),
        urls=tuple(urls),
        data=_optional_text(value, "data", what),
    )


def _platform(value: Any, what: str) -> Platform | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadInput(f"{what}: platform is not an object")
    _refuse_other_spellings(value, what)
    parts = [value.get(key, "") for key in ("os", "architecture", "variant")]
    if not all(isinstance(part, str) and len(part) <= 64 for part in parts):
        raise BadInput(f"{what}: platform is not made of short strings")
    return Platform(*parts)
