"""Gathers the facts of an image: the one way in from whoever judges.

    facts = await gather(source, cache=DirectoryCache(path), progress=bar)

In order: resolve once; manifests and configurations of every platform; each distinct layer once, some at a time; what a
container would see of `/etc/passwd` and of the keys found. Nothing the source says is trusted, nothing is written to
disk but the cache. Raises NotFound and Unavailable for a subject that cannot be had (also when the time is used up);
whatever is wrong with the image itself is in `ImageFacts.problems`.
"""

from __future__ import annotations

import asyncio

from gef_registry.errors import Unavailable
from gef_registry.facts.blobs import BlobReader, Progress
from gef_registry.facts.cache import FactsCache
from gef_registry.facts.layers import BlobOutcome
from gef_registry.facts.limits import Budget, Limits
from gef_registry.facts.model import ConfigKey, ImageFacts, LayerFacts, PlatformFacts, ProblemKind
from gef_registry.facts.overlay import effective_passwd, layer_keys
from gef_registry.facts.private_keys import find_keys
from gef_registry.facts.structure import PlannedPlatform, Structure, read_structure
from gef_registry.oci import media
from gef_registry.oci.manifest import Descriptor
from gef_registry.oci.source import Source

Blob = tuple[Descriptor, str | None]  # what to read, and its compression (None: only hash it)


async def gather(
    source: Source,
    *,
    limits: Limits | None = None,
    cache: FactsCache | None = None,
    progress: Progress | None = None,
) -> ImageFacts:
    """The facts of what `source` names. See the module's docstring."""
    limits = limits or Limits()
    try:
        async with asyncio.timeout(limits.wall_clock_s):
            structure = await read_structure(source, limits)
            outcomes = await _read_blobs(source, structure, limits, cache, progress)
            platforms = [await asyncio.to_thread(_platform, p, structure, outcomes) for p in structure.platforms]
    except TimeoutError as error:
        raise Unavailable(
            f"{source.name}: reading the image took longer than {limits.wall_clock_s:g} s",
            hint="try again, or raise the time limit",
        ) from error
    for attestation in structure.attestations:
        for blob in attestation.blobs:
            _note_outcome(structure, outcomes.get((blob, None)), None, str(blob.digest))
    return ImageFacts(
        subject=structure.subject,
        platforms=tuple(platforms),
        attestations=tuple(structure.attestations),
        problems=tuple(dict.fromkeys(structure.problems)),
    )


async def _read_blobs(
    source: Source, structure: Structure, limits: Limits, cache: FactsCache | None, progress: Progress | None
) -> dict[Blob, BlobOutcome]:
    """Reads each distinct blob once, as many at a time as there are workers."""
    wanted = _wanted(structure)
    total = sum(descriptor.size for descriptor, _ in wanted)
    if total > limits.uncompressed_bytes:
        message = f"the layers have {total} bytes as stored, at most {limits.uncompressed_bytes} are read"
        structure.note(ProblemKind.LIMIT_EXCEEDED, message)
        return {}
    if progress:
        progress.start(total)
    outcomes: dict[Blob, BlobOutcome] = {}
    budget = Budget(limits)
    with BlobReader(source, budget, cache, progress) as reader:
        turn = asyncio.Semaphore(reader.workers)

        async def read(blob: Blob) -> None:
            descriptor, compression = blob
            async with turn:
                if progress:
                    progress.layer(str(descriptor.digest))
                if compression is None:
                    outcomes[blob] = await reader.verified(descriptor)
                else:
                    outcomes[blob] = await reader.layer(descriptor, compression)

        try:
            async with asyncio.TaskGroup() as group:
                for blob in wanted:
                    group.create_task(read(blob))
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
    if budget.exceeded_together is not None:
        # Which layer met a shared bound is a matter of timing, so nothing is said of any of them.
        structure.note(ProblemKind.LIMIT_EXCEEDED, budget.exceeded_together)
        return {}
    return outcomes


def _wanted(structure: Structure) -> list[Blob]:
    layers: list[Blob] = [
        (layer, media.LAYER_COMPRESSION[layer.media_type])
        for planned in structure.platforms
        for layer in planned.manifest.layers
        if _unreadable(layer) is None
    ]
    evidence: list[Blob] = [
        (blob, None)
        for attestation in structure.attestations
        for blob in attestation.blobs
        if blob.digest.algorithm == "sha256"
    ]
    return list(dict.fromkeys(layers + evidence))


def _unreadable(layer: Descriptor) -> tuple[ProblemKind, str] | None:
    """Why a layer is not even fetched."""
    if layer.media_type in media.NON_DISTRIBUTABLE or layer.urls:
        return ProblemKind.FOREIGN_LAYER, f"layer {layer.digest} is stored elsewhere: its content cannot be vouched for"
    if layer.media_type not in media.LAYER_COMPRESSION:
        return (
            ProblemKind.UNSUPPORTED_CONTENT,
            f"layer {layer.digest} has the unsupported type {layer.media_type[:120]!r}",
        )
    if layer.digest.algorithm != "sha256":
        return ProblemKind.UNSUPPORTED_CONTENT, f"layer {layer.digest}: only sha256 digests are judged"
    return None


def _platform(planned: PlannedPlatform, structure: Structure, outcomes: dict[Blob, BlobOutcome]) -> PlatformFacts:
    layers = tuple(_layer(planned, n, structure, outcomes) for n in range(len(planned.manifest.layers)))
    return PlatformFacts(
        platform=planned.platform,
        manifest=planned.manifest.descriptor,
        config=planned.config,
        config_digest=planned.config.digest if planned.config else None,
        layers=layers,
        passwd=effective_passwd(layers),
        layer_keys=layer_keys(layers),
        config_keys=_config_keys(planned),
        annotations=planned.manifest.annotations,
    )


def _layer(
    planned: PlannedPlatform, number: int, structure: Structure, outcomes: dict[Blob, BlobOutcome]
) -> LayerFacts:
    descriptor = planned.manifest.layers[number]
    stated = planned.config.diff_ids[number] if planned.config and number < len(planned.config.diff_ids) else None
    where = str(stated or descriptor.digest)
    unreadable = _unreadable(descriptor)
    if unreadable is not None:
        structure.note(*unreadable, planned.platform, where)
        return LayerFacts(descriptor, stated, None)
    outcome = outcomes.get((descriptor, media.LAYER_COMPRESSION[descriptor.media_type]))
    _note_outcome(structure, outcome, planned, where)
    content = outcome.content if outcome else None
    if content is not None and stated is not None and content.diff_id != stated:
        message = f"layer {number + 1} unpacks to {content.diff_id}, the configuration states {stated}"
        structure.note(ProblemKind.DIFF_ID_MISMATCH, message, planned.platform, where)
    return LayerFacts(descriptor, stated, content)


def _note_outcome(
    structure: Structure, outcome: BlobOutcome | None, planned: PlannedPlatform | None, where: str
) -> None:
    if outcome is not None and outcome.problem is not None:
        structure.note(outcome.problem, outcome.message, planned.platform if planned else None, where)


def _config_keys(planned: PlannedPlatform) -> tuple[ConfigKey, ...]:
    """Keys in what the configuration and the manifest say in words."""
    places: list[tuple[str, str]] = [
        (f"the annotation {key}", value) for key, value in planned.manifest.annotations.items()
    ]
    if config := planned.config:
        places += [(f"the variable {name}", value) for name, _, value in (item.partition("=") for item in config.env)]
        places += [(f"the label {key}", value) for key, value in config.labels.items()]
        places += [(f"history entry {n}", f"{e.created_by}\n{e.comment}") for n, e in enumerate(config.history, 1)]
        places += [("the entry point", "\n".join(config.entrypoint)), ("the command", "\n".join(config.cmd))]
    return tuple(ConfigKey(sighting, place) for place, text in places for sighting in find_keys(text))
