"""A `Source` in memory: a real store of blobs that can lie, lose things, stall or fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from gef_registry.errors import NotFound
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor
from tests.parts.images import BuiltImage, BuiltIndex
from tests.parts.layouts import blobs_of


class MemorySource:
    """Holds one built image or index. `blobs` may be changed to lie; `fetched` counts how often each was read."""

    def __init__(self, built: BuiltImage | BuiltIndex, *, chunk: int = 1 << 20) -> None:
        self.blobs = blobs_of(built)
        self.subject = Descriptor(built.media_type, Digest.parse(built.digest), len(built.manifest))
        self.chunk = chunk
        self.fetched: Counter[str] = Counter()
        self.stall: str | None = None
        self.fail: dict[str, Exception] = {}

    @property
    def name(self) -> str:
        return "memory"

    async def resolve(self) -> Descriptor:
        return self.subject

    async def manifest(self, digest: Digest) -> tuple[bytes, str | None]:
        return self._get(digest), None

    async def blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        self.fetched[str(descriptor.digest)] += 1
        content = self._get(descriptor.digest)[: descriptor.size + (1 << 20)]
        for start in range(0, len(content), self.chunk):
            yield content[start : start + self.chunk]
            if self.stall == str(descriptor.digest):
                await asyncio.Event().wait()

    async def close(self) -> None:
        return

    def _get(self, digest: Digest) -> bytes:
        if (error := self.fail.get(str(digest))) is not None:
            raise error
        if str(digest) not in self.blobs:
            raise NotFound(f"no blob {digest}")
        return self.blobs[str(digest)]
