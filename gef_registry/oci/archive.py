"""Images in a `docker save` archive: `docker-archive:FILE[:NAME:TAG]`, one plain tar.

Docker 25 and later write an OCI layout with a `manifest.json` beside it; then the layout is the image, its manifest digest
is the real one, and a `manifest.json` that would load something else is refused. Older archives hold no manifest, so
one is made up: Docker schema 2 over the configuration and the layers as they lie in the tar, in canonical JSON. The
subject digest of such an archive is that synthetic manifest's: the same content always gives the same digest, but no
registry will ever show it (a push compresses the layers); the configuration digest, the image id, is the real one.

Plain layers are named by their diff_id from the configuration and never hashed twice: whoever reads them verifies it.
Compressed ones (other tools write them) are hashed once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from gef_registry.errors import BadInput, NotFound, Unavailable, VerificationFailed
from gef_registry.oci import media, strict_json
from gef_registry.oci.config import MAX_CONFIG_BYTES, parse_config
from gef_registry.oci.digest import Digest
from gef_registry.oci.files import Files, TarFiles, read_small
from gef_registry.oci.layout import CHUNK_BYTES, LayoutSource, blob_path, chunks, names_of, read_index
from gef_registry.oci.manifest import MAX_MANIFEST_BYTES, Descriptor, Index, Manifest, parse_manifest
from gef_registry.oci.reference import Reference

_LISTING = "manifest.json"
_MAX_LAYERS = 1000
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class _Saved:
    """One entry of manifest.json."""

    config: str
    names: tuple[str, ...]
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Synthetic:
    """A manifest made up for an old archive, and where each blob it names lies in the tar."""

    manifest: Manifest
    members: dict[Digest, str]


class DockerArchiveSource:
    """A `Source` over a `docker save` archive. Opened at first use, in a thread; `on_close` frees what it came from."""

    def __init__(
        self, name: str, path: Path, image: str | None = None, on_close: Callable[[], None] = lambda: None
    ) -> None:
        self._name, self._path, self._image, self._on_close = name, path, image, on_close
        self._files: TarFiles | None = None
        self._content: LayoutSource | _Synthetic | None = None
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        return self._name

    async def resolve(self) -> Descriptor:
        content = await self._opened()
        return content.manifest.descriptor if isinstance(content, _Synthetic) else await content.resolve()

    async def manifest(self, digest: Digest) -> tuple[bytes, str | None]:
        content = await self._opened()
        if not isinstance(content, _Synthetic):
            return await content.manifest(digest)
        if digest != content.manifest.digest:
            raise NotFound(f"{self._name}: no manifest {digest} in the archive")
        return content.manifest.raw, content.manifest.media_type

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        content = await self._opened()
        files = self._files
        assert files is not None
        member = blob_path(descriptor.digest)
        if isinstance(content, _Synthetic):
            member = content.members.get(descriptor.digest, member)
        async with aclosing(chunks(lambda: files.open(member), descriptor.size + CHUNK_BYTES)) as pieces:
            async for chunk in pieces:
                yield chunk

    async def close(self) -> None:
        async with self._lock:
            files, self._files, self._content = self._files, None, None
            if files is not None:
                await asyncio.to_thread(files.close)
            on_close, self._on_close = self._on_close, lambda: None
            await asyncio.to_thread(on_close)

    async def _opened(self) -> LayoutSource | _Synthetic:
        async with self._lock:
            content = self._content
            if content is None:
                files = self._files
                if files is None:
                    files = self._files = await asyncio.to_thread(TarFiles, self._path)
                content = self._content = await asyncio.to_thread(self._read, files)
            return content

    def _read(self, files: TarFiles) -> LayoutSource | _Synthetic:
        if "oci-layout" in files and "index.json" in files:
            return self._layout(files)
        return _synthesise(files, _choose(_read_listing(files, self._name), self._image, self._name), self._name)

    def _layout(self, files: TarFiles) -> LayoutSource:
        index = read_index(files, self._name)
        descriptor = _choose_descriptor(index, self._image, self._name)
        if _LISTING in files:
            saved = _choose(_read_listing(files, self._name), self._image, self._name)
            _require_same_image(files, descriptor, saved, self._name)
        return LayoutSource(self._name, lambda: files, digest=descriptor.digest)


def _read_listing(files: Files, what: str) -> tuple[_Saved, ...]:
    try:
        document = strict_json.loads(read_small(files, _LISTING, max_bytes=MAX_MANIFEST_BYTES), what=_LISTING)
        if not isinstance(document, list) or len(document) > _MAX_LAYERS:
            raise BadInput(f"{_LISTING} is not a list of at most {_MAX_LAYERS} images")
        return tuple(_saved(entry) for entry in document)
    except (BadInput, NotFound) as error:
        raise Unavailable(
            f"{what} is not a docker archive: {error.message}", hint="expected what `docker save` writes"
        ) from error


def _saved(entry: object) -> _Saved:
    if not isinstance(entry, dict):
        raise BadInput(f"{_LISTING}: an entry is not an object")
    config, names, layers = entry.get("Config"), entry.get("RepoTags") or [], entry.get("Layers") or []
    if not isinstance(config, str) or not isinstance(names, list) or not isinstance(layers, list):
        raise BadInput(f"{_LISTING}: an entry lacks Config, RepoTags or Layers")
    if not all(isinstance(text, str) for text in (*names, *layers)) or len(layers) > _MAX_LAYERS:
        raise BadInput(f"{_LISTING}: RepoTags or Layers are not short lists of strings")
    return _Saved(config, tuple(names), tuple(layers))


def _choose(saved: tuple[_Saved, ...], image: str | None, what: str) -> _Saved:
    wanted = [s for s in saved if image is None or any(_same_name(image, name) for name in s.names)]
    _require_one({s.config for s in wanted}, image, what, [name for s in saved for name in s.names])
    return wanted[0]


def _choose_descriptor(index: Index, image: str | None, what: str) -> Descriptor:
    wanted = [d for d in index.manifests if image is None or any(_same_name(image, name) for name in names_of(d))]
    _require_one({d.digest for d in wanted}, image, what, [name for d in index.manifests for name in names_of(d)])
    return wanted[0]


def _require_one(found: Collection[object], image: str | None, what: str, names: list[str]) -> None:
    hint = f"there are: {', '.join(name[:140] for name in sorted(set(names))[:20])}" if names else None
    if not found:
        raise NotFound(f"{what}: no image{f' is named {image!r}' if image else ''} in the archive", hint=hint)
    if len(found) > 1:
        raise BadInput(f"{what}: {len(found)} images are in the archive, name one", hint=hint)


def _same_name(asked: str, stored: str) -> bool:
    """`busybox` and `docker.io/library/busybox:latest` are one name."""
    try:
        ours, theirs = Reference.parse(asked), Reference.parse(stored)
    except BadInput:
        return asked == stored
    return (ours.host, ours.repository, ours.target) == (theirs.host, theirs.repository, theirs.target)


def _require_same_image(files: Files, descriptor: Descriptor, saved: _Saved, what: str) -> None:
    """Old engines load what manifest.json names, new ones what index.json names: both must be one image."""
    configs: set[str] = set()
    pending, budget = [descriptor], 100
    while pending and budget:
        budget -= 1
        current = pending.pop()
        try:
            raw = current.digest.require(
                read_small(files, blob_path(current.digest), max_bytes=MAX_MANIFEST_BYTES), f"manifest {current.digest}"
            )
        except NotFound:
            continue
        try:
            parsed = parse_manifest(raw, current.media_type)
        except BadInput:
            continue
        if isinstance(parsed, Index):
            pending += parsed.manifests
        else:
            configs.add(blob_path(parsed.config.digest))
    if saved.config not in configs:
        raise VerificationFailed(
            f"{what}: manifest.json names the configuration {saved.config[:200]!r}, index.json another image",
            hint="it would load differently in different engines; save it again",
        )


def _synthesise(files: Files, saved: _Saved, what: str) -> _Synthetic:
    raw_config = read_small(files, saved.config, max_bytes=MAX_CONFIG_BYTES)
    try:
        config = parse_config(raw_config, what=f"{what}: {saved.config[:200]}")
    except BadInput as error:
        raise Unavailable(error.message, hint="without a readable configuration the archive holds no image") from error
    if len(config.diff_ids) != len(saved.layers):
        raise Unavailable(f"{what}: {len(saved.layers)} layers, but the configuration has {len(config.diff_ids)}")
    members = {config.digest: saved.config}
    layers = []
    for name, diff_id in zip(saved.layers, config.diff_ids, strict=True):
        layer = _layer(files, name, diff_id)
        members.setdefault(layer.digest, name)
        layers.append(layer)
    document = {
        "schemaVersion": 2,
        "mediaType": media.DOCKER_MANIFEST,
        "config": Descriptor(media.DOCKER_CONFIG, config.digest, len(raw_config)).as_json(),
        "layers": [layer.as_json() for layer in layers],
    }
    parsed = parse_manifest(strict_json.canonical(document), media.DOCKER_MANIFEST)
    assert isinstance(parsed, Manifest)
    return _Synthetic(parsed, members)


def _layer(files: Files, name: str, diff_id: Digest) -> Descriptor:
    with files.open(name) as extent:
        start = extent.read(0, 4)
        if not start.startswith((_GZIP, _ZSTD)):
            return Descriptor(media.DOCKER_LAYER, diff_id, extent.size)
        hasher, position = hashlib.sha256(), 0
        while chunk := extent.read(position, CHUNK_BYTES):
            hasher.update(chunk)
            position += len(chunk)
        kind = media.DOCKER_LAYER_GZIP if start.startswith(_GZIP) else media.OCI_LAYER_ZSTD
        return Descriptor(kind, Digest.from_hasher(hasher), extent.size)
