"""A candidate of the embedded registry as an image source: read from our own blob store, as whoever pushed it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gef_registry.distribution.blobs import BlobStore
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import MAX_MANIFEST_BYTES, Descriptor


class EmbeddedSource:
    """See `oci.source.Source`. Every manifest is hashed on reading; blobs are hashed by whoever reads them."""

    def __init__(self, blobs: BlobStore, name: str, root: Descriptor) -> None:
        self._blobs = blobs
        self._name = name
        self._root = root

    @property
    def name(self) -> str:
        return self._name

    async def resolve(self) -> Descriptor:
        return self._root

    async def manifest(self, digest: Digest) -> tuple[bytes, str | None]:
        media_type = self._root.media_type if digest == self._root.digest else None
        return await self._blobs.read_verified(digest, MAX_MANIFEST_BYTES), media_type

    async def blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        async for chunk in self._blobs.chunks(descriptor.digest):
            yield chunk

    async def close(self) -> None: ...
