"""Reads the manifests and configurations of a subject: the index, every child, what each one points at.

Everything is asked for by digest and hashed here. What cannot be read becomes a problem, never silence; only a subject
that cannot be found or reached at all raises.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from gef_registry.errors import BadInput, NotFound, VerificationFailed
from gef_registry.facts.layers import BlobHasher
from gef_registry.facts.limits import Limits, Refusal
from gef_registry.facts.model import AttestationFacts, Problem, ProblemKind
from gef_registry.oci import media
from gef_registry.oci.config import ImageConfig, parse_config
from gef_registry.oci.manifest import UNKNOWN_PLATFORM, Descriptor, Index, Manifest, Platform, parse_manifest
from gef_registry.oci.source import Source

_REFERENCE_TYPE = "vnd.docker.reference.type"
_ATTESTATION = "attestation-manifest"
_ATTESTATION_ARTIFACT = "application/vnd.docker.attestation.manifest.v1+json"


@dataclass(frozen=True, slots=True)
class PlannedPlatform:
    """One image whose layers are still to be read."""

    platform: Platform
    manifest: Manifest
    config: ImageConfig | None


@dataclass(slots=True)
class Structure:
    """What the manifests say; `problems` grows as reading goes on."""

    subject: Descriptor
    platforms: list[PlannedPlatform] = field(default_factory=list)
    attestations: list[AttestationFacts] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def note(self, kind: ProblemKind, message: str, platform: Platform | None = None, layer: str | None = None) -> None:
        self.problems.append(Problem(kind, message[:400], str(platform) if platform else None, layer))


async def read_structure(source: Source, limits: Limits) -> Structure:
    """Raises NotFound or Unavailable when the subject itself cannot be had."""
    resolved = await source.resolve()
    subject = Descriptor(resolved.media_type, resolved.digest, resolved.size)  # how it was named is no fact about it
    structure = Structure(subject)
    if subject.digest.algorithm != "sha256":
        structure.note(ProblemKind.UNSUPPORTED_CONTENT, f"{subject.digest}: only sha256 digests are judged")
        return structure
    top = await _manifest(source, subject, structure, None, missing_raises=True)
    if top is not None:
        structure.subject = top.descriptor
    if isinstance(top, Manifest):
        await _image(source, top, None, structure, limits)
    elif isinstance(top, Index):
        await _index(source, top, structure, limits)
    return structure


async def _index(source: Source, index: Index, structure: Structure, limits: Limits) -> None:
    if not index.manifests:
        structure.note(ProblemKind.NOT_AN_IMAGE, "the index lists no manifest")
    if len(index.manifests) > limits.children:
        structure.note(ProblemKind.LIMIT_EXCEEDED, f"the index lists more than {limits.children} manifests")
        return
    seen: set[Platform] = set()
    for child in index.manifests:
        # Only what no engine would run may call itself an attestation; anything else is judged as an image.
        attestation = child.annotations.get(_REFERENCE_TYPE) == _ATTESTATION and child.platform == UNKNOWN_PLATFORM
        if child.platform is not None and not attestation:
            _note_ambiguity(child, seen, structure)
        manifest = await _manifest(source, child, structure, child.platform)
        if isinstance(manifest, Index):
            structure.note(ProblemKind.NESTED_INDEX, f"{child.digest} is an index inside an index: it was not read")
        elif isinstance(manifest, Manifest) and attestation:
            _attestation(manifest, structure)
        elif isinstance(manifest, Manifest):
            await _image(source, manifest, child.platform, structure, limits)


def _note_ambiguity(child: Descriptor, seen: set[Platform], structure: Structure) -> None:
    assert child.platform is not None
    if child.platform == UNKNOWN_PLATFORM:
        structure.note(ProblemKind.AMBIGUOUS_INDEX, f"{child.digest} is for no platform and is no attestation")
    elif child.platform in seen:
        structure.note(ProblemKind.AMBIGUOUS_INDEX, f"the index lists {child.platform} more than once", child.platform)
    seen.add(child.platform)


def _attestation(manifest: Manifest, structure: Structure) -> None:
    """It describes a sibling by annotation. With a subject or a type of its own it would hang on other images, where
    verifiers look for signatures."""
    if manifest.subject is not None or manifest.artifact_type not in (None, _ATTESTATION_ARTIFACT):
        message = f"{manifest.digest} calls itself an attestation but refers to another manifest or is another artifact"
        structure.note(ProblemKind.UNSUPPORTED_CONTENT, message)
    for layer in manifest.layers:
        if layer.media_type != media.IN_TOTO:
            structure.note(
                ProblemKind.UNSUPPORTED_CONTENT,
                f"{manifest.digest} calls itself an attestation but holds {layer.media_type[:100]}",
            )
    structure.attestations.append(AttestationFacts(manifest.descriptor, manifest.references))


async def _image(
    source: Source, manifest: Manifest, stated: Platform | None, structure: Structure, limits: Limits
) -> None:
    if not manifest.is_image:
        what = manifest.artifact_type or manifest.config.media_type
        structure.note(ProblemKind.NOT_AN_IMAGE, f"{manifest.digest} is not a container image but {what[:100]}", stated)
        return
    config = await _config(source, manifest, stated, structure, limits)
    platform = stated or (config.platform if config else UNKNOWN_PLATFORM)
    if config is not None:
        if stated and (config.platform.os, config.platform.architecture) != (stated.os, stated.architecture):
            message = f"the index says {stated}, the configuration says {config.platform}"
            structure.note(ProblemKind.AMBIGUOUS_INDEX, message, stated)
        if len(config.diff_ids) != len(manifest.layers):
            message = f"the manifest has {len(manifest.layers)} layers, the configuration {len(config.diff_ids)}"
            structure.note(ProblemKind.LAYER_COUNT_MISMATCH, message, platform)
    if len(manifest.layers) > limits.layers:
        structure.note(ProblemKind.LIMIT_EXCEEDED, f"the image has more than {limits.layers} layers", platform)
        return
    structure.platforms.append(PlannedPlatform(platform, manifest, config))


async def _manifest(
    source: Source,
    descriptor: Descriptor,
    structure: Structure,
    platform: Platform | None,
    *,
    missing_raises: bool = False,
) -> Manifest | Index | None:
    what = f"manifest {descriptor.digest}"
    if descriptor.digest.algorithm != "sha256":
        structure.note(ProblemKind.UNSUPPORTED_CONTENT, f"{what}: only sha256 digests are judged", platform)
        return None
    try:
        raw, sent_as = await source.manifest(descriptor.digest)
        descriptor.digest.require(raw, what)
        if len(raw) != descriptor.size:
            message = f"{what} has {len(raw)} bytes, its descriptor states {descriptor.size}"
            structure.note(ProblemKind.SIZE_MISMATCH, message, platform)
        return parse_manifest(raw, sent_as or descriptor.media_type, what=what)
    except NotFound as error:
        if missing_raises:
            raise
        structure.note(ProblemKind.MISSING, error.message, platform)
    except VerificationFailed as error:
        structure.note(ProblemKind.DIGEST_MISMATCH, error.message, platform)
    except BadInput as error:
        structure.note(ProblemKind.MALFORMED_MANIFEST, error.message, platform)
    return None


async def _config(
    source: Source, manifest: Manifest, platform: Platform | None, structure: Structure, limits: Limits
) -> ImageConfig | None:
    wanted = manifest.config
    if wanted.size > limits.config_bytes:
        message = f"the configuration has {wanted.size} bytes, at most {limits.config_bytes} are read"
        structure.note(ProblemKind.MALFORMED_CONFIG, message, platform)
        return None
    try:
        check_embedded_data(wanted)
        content, hasher = bytearray(), BlobHasher(wanted)
        async for chunk in source.blob(wanted):
            hasher.feed(chunk)
            content += chunk
        hasher.finish()
        return parse_config(bytes(content))
    except Refusal as refusal:
        structure.note(refusal.kind, refusal.message, platform)
    except NotFound as error:
        structure.note(ProblemKind.MISSING, error.message, platform)
    except VerificationFailed as error:
        structure.note(ProblemKind.DIGEST_MISMATCH, error.message, platform)
    except BadInput as error:
        structure.note(ProblemKind.MALFORMED_CONFIG, error.message, platform)
    return None


def check_embedded_data(descriptor: Descriptor) -> None:
    """Content embedded in a descriptor must be the content it names, since some clients use it instead."""
    if descriptor.data is None:
        return
    try:
        content = base64.b64decode(descriptor.data, validate=True)
    except (binascii.Error, ValueError):
        content = None
    if content is None or not descriptor.digest.matches(content):
        message = f"the data embedded in the descriptor of {descriptor.digest} are other content"
        raise Refusal(ProblemKind.DIGEST_MISMATCH, message)
