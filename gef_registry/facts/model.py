"""What was observed about an image: values only, judged by nobody yet.

Facts are a function of the image's digest (and of the limits and rules version they were gathered with). A problem here
is an observation that the image contradicts itself or could not be read in full; which check reports it is decided in
`checks/`. Nothing in these values is a secret: of a private key its place and kind are kept, never its content.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gef_registry.oci.config import ImageConfig
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor, Platform

_NOTHING: Mapping[str, str] = MappingProxyType({})

RULES_VERSION = 1  # of what is looked for inside layers; a change makes cached facts worthless


class ProblemKind(enum.StrEnum):
    """How an image contradicts itself, or why a part of it could not be read."""

    DIGEST_MISMATCH = "digest_mismatch"
    SIZE_MISMATCH = "size_mismatch"
    DIFF_ID_MISMATCH = "diff_id_mismatch"
    LAYER_COUNT_MISMATCH = "layer_count_mismatch"
    MISSING = "missing"
    CORRUPT_COMPRESSION = "corrupt_compression"
    MALFORMED_ARCHIVE = "malformed_archive"
    MALFORMED_MANIFEST = "malformed_manifest"
    MALFORMED_CONFIG = "malformed_config"
    UNSUPPORTED_CONTENT = "unsupported_content"
    FOREIGN_LAYER = "foreign_layer"
    NOT_AN_IMAGE = "not_an_image"
    NESTED_INDEX = "nested_index"
    AMBIGUOUS_INDEX = "ambiguous_index"
    LIMIT_EXCEEDED = "limit_exceeded"
    UNREADABLE_HERE = "unreadable_here"


@dataclass(frozen=True, slots=True)
class Problem:
    """One observation. `layer` is the diff_id the configuration states, or the blob digest where it states none."""

    kind: ProblemKind
    message: str
    platform: str | None = None
    layer: str | None = None


class Fate(enum.StrEnum):
    """What later layers did to a file."""

    VISIBLE = "visible"
    DELETED = "deleted"
    OVERWRITTEN = "overwritten"


@dataclass(frozen=True, slots=True)
class KeySighting:
    """A private key that decodes. `path` is None for bytes of the archive that belong to no file.

    `rule` names its format (`pkcs8`, `openssh`, …), `offset` is its place in the file (in the archive without a path),
    `mark` is the start of the SHA-256 of its decoded bytes: it tells keys apart and gives nothing away.
    """

    rule: str
    encrypted: bool
    path: str | None
    offset: int
    mark: str


@dataclass(frozen=True, slots=True)
class LayerKey:
    """A key in a layer of one platform, with what became of its file."""

    sighting: KeySighting
    layer: int
    diff_id: Digest
    fate: Fate


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """A key outside any layer; `place` names the variable, label, annotation or history entry."""

    sighting: KeySighting
    place: str


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A small file (or link) whose content checks need. `content` is None when it is too large; `target` is a link's."""

    path: str
    kind: str
    content: bytes | None = None
    target: str = ""


@dataclass(frozen=True, slots=True)
class LayerContent:
    """What one layer holds: a function of its bytes, the rules version and the limits, and so fit for a cache.

    `listing` is the compressed list of its entries (see `facts/listing.py`), in archive order.
    """

    diff_id: Digest
    size: int
    entries: int
    listing: bytes
    keys: tuple[KeySighting, ...] = ()
    files: tuple[KeptFile, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """One layer as a platform uses it. `content` is None when it could not be read: the problems say why."""

    descriptor: Descriptor
    stated_diff_id: Digest | None
    content: LayerContent | None


class PasswdState(enum.StrEnum):
    PRESENT = "present"
    ABSENT = "absent"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True)
class Passwd:
    """The `/etc/passwd` a container would see; `reason` says why it is unresolved."""

    state: PasswdState
    content: bytes = b""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PlatformFacts:
    """One image of one platform. `config` is None when it could not be read."""

    platform: Platform
    manifest: Descriptor
    config: ImageConfig | None
    config_digest: Digest | None
    layers: tuple[LayerFacts, ...]
    passwd: Passwd
    layer_keys: tuple[LayerKey, ...] = ()
    config_keys: tuple[ConfigKey, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)

    @property
    def name(self) -> str:
        return str(self.platform)

    @property
    def labels(self) -> Mapping[str, str]:
        return self.config.labels if self.config else _NOTHING

    @property
    def unread_layers(self) -> int:
        return sum(layer.content is None for layer in self.layers)


@dataclass(frozen=True, slots=True)
class AttestationFacts:
    """A child of the index that describes another one; its blobs were verified, it is no image."""

    manifest: Descriptor
    blobs: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class ScanFacts:
    """What a vulnerability scanner said, once one is wired; `problem` is empty when its answer can be used."""

    tool: str
    version: str
    database: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Everything observed about one subject. `scan` is None when no scanner looked at it."""

    subject: Descriptor
    platforms: tuple[PlatformFacts, ...]
    attestations: tuple[AttestationFacts, ...] = ()
    problems: tuple[Problem, ...] = ()
    scan: ScanFacts | None = None

    @property
    def uncompressed_bytes(self) -> int:
        """Of all layers, each counted once."""
        sizes = {
            layer.content.diff_id: layer.content.size
            for platform in self.platforms
            for layer in platform.layers
            if layer.content
        }
        return sum(sizes.values())
