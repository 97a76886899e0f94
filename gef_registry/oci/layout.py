"""Images in an OCI image layout (image-spec 1.1 image-layout.md): a directory, or the same in one plain tar.

`oci:DIR[:TAG|@DIGEST]` and `oci-archive:FILE[:TAG|@DIGEST]`. A tag is the annotation `org.opencontainers.image.ref.name`
(or containerd's full image name) of a descriptor in `index.json`, else in an index nested there. Only `oci-layout`,
`index.json` and `blobs/<algorithm>/<hex>` are ever opened. Manifests are verified here; blobs by whoever reads them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

from gef_registry.errors import BadInput, NotFound, Unavailable
from gef_registry.oci import strict_json
from gef_registry.oci.digest import Digest
from gef_registry.oci.files import DirectoryFiles, Extent, Files, TarFiles, read_small
from gef_registry.oci.manifest import MAX_MANIFEST_BYTES, Descriptor, Index, parse_manifest

CHUNK_BYTES = 1 << 20
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
_MAX_NESTING = 3


class LayoutSource:
    """A `Source` over the files of a layout. Opened at first use, in a thread."""

    def __init__(
        self, name: str, open_files: Callable[[], Files], *, tag: str | None = None, digest: Digest | None = None
    ) -> None:
        self._name = name
        self._open_files = open_files
        self._tag, self._digest = tag, digest
        self._files: Files | None = None
        self._resolved: Descriptor | None = None
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        return self._name

    async def resolve(self) -> Descriptor:
        files = await self._opened()
        async with self._lock:
            if self._resolved is None:
                self._resolved = await asyncio.to_thread(_resolve, files, self._name, self._tag, self._digest)
            return self._resolved

    async def manifest(self, digest: Digest) -> tuple[bytes, str | None]:
        raw = await asyncio.to_thread(_read_manifest, await self._opened(), digest)
        known = self._resolved
        return raw, known.media_type if known is not None and known.digest == digest else None

    async def blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        files = await self._opened()
        limit = descriptor.size + CHUNK_BYTES
        async with aclosing(chunks(lambda: files.open(blob_path(descriptor.digest)), limit)) as pieces:
            async for chunk in pieces:
                yield chunk

    async def close(self) -> None:
        async with self._lock:
            files, self._files = self._files, None
            if files is not None:
                await asyncio.to_thread(files.close)

    async def _opened(self) -> Files:
        async with self._lock:
            if self._files is None:
                self._files = await asyncio.to_thread(self._open_files)
            return self._files


def layout_directory(name: str, path: Path, tag: str | None = None, digest: Digest | None = None) -> LayoutSource:
    """`oci:DIR`: looked at when first asked."""
    return LayoutSource(name, lambda: DirectoryFiles(path), tag=tag, digest=digest)


def layout_archive(name: str, path: Path, tag: str | None = None, digest: Digest | None = None) -> LayoutSource:
    """`oci-archive:FILE`: a plain tar, indexed when first asked."""
    return LayoutSource(name, lambda: TarFiles(path), tag=tag, digest=digest)


def blob_path(digest: Digest) -> str:
    """Where a layout keeps a blob; a parsed digest cannot leave the directory."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


async def chunks(open_extent: Callable[[], Extent], limit: int) -> AsyncGenerator[bytes, None]:
    """An extent's bytes, at most `limit`, in chunks of at most 1 MiB, each read in a thread."""
    loop = asyncio.get_running_loop()
    extent = await loop.run_in_executor(None, open_extent)
    try:
        position, end = 0, min(extent.size, limit)
        while position < end:
            chunk = await loop.run_in_executor(None, extent.read, position, min(CHUNK_BYTES, end - position))
            if not chunk:
                return  # it shrank while we read; the reader's digest tells
            position += len(chunk)
            yield chunk
    finally:
        extent.close()


def read_index(files: Files, what: str) -> Index:
    """`index.json` of a layout of version 1. Raises Unavailable when it is not one, NotFound when the store is missing."""
    try:
        version = strict_json.load_object(read_small(files, "oci-layout", max_bytes=4096), what="oci-layout")
        index = parse_manifest(read_small(files, "index.json", max_bytes=MAX_MANIFEST_BYTES), None, what="index.json")
    except (BadInput, NotFound) as error:
        if isinstance(error, NotFound) and error.hint:  # the directory or file itself
            raise
        raise Unavailable(
            f"{what} is not an OCI layout: {error.message}", hint="expected oci-layout, index.json and blobs/ there"
        ) from error
    stated = version.get("imageLayoutVersion")
    if not isinstance(stated, str) or not stated.startswith("1."):
        raise Unavailable(f"{what} is an OCI layout of version {str(stated)[:20]!r}, expected 1.0.0")
    if not isinstance(index, Index):
        raise Unavailable(f"{what} is not an OCI layout: its index.json is not an index")
    return index


def _resolve(files: Files, what: str, tag: str | None, digest: Digest | None) -> Descriptor:
    index = read_index(files, what)
    if digest is not None:
        listed = (d for d in _walk(files, index) if d.digest == digest)
        return next(listed, None) or _unlisted(files, digest)
    if tag is None:
        return _only(index.manifests, what)
    found = {d.digest: d for d in index.manifests if tag in names_of(d)}
    found = found or {d.digest: d for d in _walk(files, index) if tag in names_of(d)}
    if not found:
        raise NotFound(f"{what}: no image is tagged {tag!r}", hint=_listing(index.manifests))
    if len(found) > 1:
        raise BadInput(
            f"{what}: {tag!r} names {len(found)} images", hint=f"name one as @DIGEST: {', '.join(map(str, found))}"
        )
    return next(iter(found.values()))


def _unlisted(files: Files, digest: Digest) -> Descriptor:
    """A manifest that lies among the blobs and in no index."""
    raw = _read_manifest(files, digest)
    try:
        return parse_manifest(raw, None, algorithm=digest.algorithm, what=str(digest)).descriptor
    except BadInput as error:
        raise Unavailable(f"{error.message}: it is not an image", hint="name a manifest or an index") from error


def names_of(descriptor: Descriptor) -> frozenset[str]:
    """The names a descriptor carries in `index.json`."""
    values = (descriptor.annotations.get(REF_NAME), descriptor.annotations.get(CONTAINERD_NAME))
    return frozenset(filter(None, values))


def _only(descriptors: tuple[Descriptor, ...], what: str) -> Descriptor:
    distinct = {d.digest: d for d in descriptors}
    if not distinct:
        raise NotFound(f"{what}: the layout holds no image")
    if len(distinct) > 1:
        raise BadInput(f"{what}: {len(distinct)} images are there, name one", hint=_listing(descriptors))
    return next(iter(distinct.values()))


def _listing(descriptors: tuple[Descriptor, ...]) -> str:
    names = sorted({name for d in descriptors for name in names_of(d)} or {f"@{d.digest}" for d in descriptors})
    shown = ", ".join(name[:140] for name in names[:20])
    return f"there are: {shown}{', ...' if len(names) > 20 else ''}" if names else "it holds no image"


def _walk(files: Files, index: Index) -> Iterator[Descriptor]:
    """Descriptors of an index and of the indexes in it, breadth-first, each nested index once."""
    level, seen = list(index.manifests), set[Digest]()
    for _ in range(_MAX_NESTING):
        yield from level
        nested = [d for d in {d.digest: d for d in level if d.is_index}.values() if d.digest not in seen][:100]
        seen |= {d.digest for d in nested}
        level = []
        for descriptor in nested:
            try:
                child = parse_manifest(_read_manifest(files, descriptor.digest), descriptor.media_type)
            except (NotFound, BadInput):
                continue  # a sparse layout, or a broken index: it matters only to whoever asks for it
            level += child.manifests if isinstance(child, Index) else ()


def _read_manifest(files: Files, digest: Digest) -> bytes:
    return digest.require(read_small(files, blob_path(digest), max_bytes=MAX_MANIFEST_BYTES), f"manifest {digest}")
