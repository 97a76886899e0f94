"""An image in a registry as a `Source`: `docker://HOST/REPO[:TAG|@DIGEST]`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gef_registry.distribution.client.registry import FetchedManifest, RegistryClient
from gef_registry.errors import BadInput, Unavailable
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor
from gef_registry.oci.reference import Reference


class RegistrySource:
    """The name is resolved once; everything later is by digest. `owns_client`: closing closes the client too."""

    def __init__(self, reference: Reference, client: RegistryClient, *, owns_client: bool = False) -> None:
        self._reference, self._client, self._owns_client = reference, client, owns_client
        self._resolved: FetchedManifest | None = None
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        return f"docker://{self._reference}"

    async def resolve(self) -> Descriptor:
        async with self._lock:
            if self._resolved is None:
                self._resolved = await self._client.resolve(self._reference)
            fetched = self._resolved
        try:
            return fetched.descriptor
        except BadInput as error:
            raise Unavailable(f"{self.name}: {error.message}", hint="the registry holds no image there") from error

    async def manifest(self, digest: Digest) -> tuple[bytes, str | None]:
        known = self._resolved
        if known is None or known.digest != digest:
            known = await self._client.manifest(self._at(digest))
        return known.raw, known.media_type

    def blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        return self._client.blob(self._reference, descriptor, verify=False)

    async def close(self) -> None:
        if self._owns_client:
            await self._client.close()

    def _at(self, digest: Digest) -> Reference:
        return Reference(self._reference.host, self._reference.repository, None, digest)
