"""A registry over HTTP on loopback with the ports in memory, and the people who use it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, web
from aiohttp.test_utils import TestServer

from gef_registry.distribution.blobs import BlobStore
from gef_registry.distribution.server import Limits, registry_routes
from gef_registry.oci.digest import Digest
from tests.fakes.catalogue import Account, MemoryAccess, MemoryCatalogue, MemoryGate
from tests.parts.images import BuiltImage, BuiltIndex

ALICE = Account("alice", {"staging/seismo/": "pull,push,delete", "trusted/seismo/": "pull,push", "": "pull"})
BOB = Account("bob", {"staging/seismo/": "pull,push,delete", "trusted/seismo/": "pull,push", "trusted/": "pull"})
REVIEWER = Account("rita", {"trusted/": "pull", "staging/": "pull"}, reviews=("trusted/seismo/",))
ADMIN = Account("admin", {"": "pull,push,delete"}, reviews=("",))
LIMITS = Limits(max_blob_bytes=8 << 20, max_uploads_per_account=3, idle_s=5, max_page_entries=100)


@dataclass(slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any

    @property
    def error(self) -> dict[str, str]:
        """The one error object; there is never a second."""
        assert list(self.json) == ["errors"] and len(self.json["errors"]) == 1, self.json
        error: dict[str, str] = self.json["errors"][0]
        assert all(isinstance(value, str) for value in error.values()), error
        return error


@dataclass(slots=True)
class RegistryUnderTest:
    store: BlobStore
    catalogue: MemoryCatalogue
    gate: MemoryGate
    server: TestServer
    session: ClientSession
    directory: Path

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    async def call(self, method: str, path: str, account: Account | None = None, **options: Any) -> Answer:
        headers = dict(options.pop("headers", {}))
        if account is not None:
            headers["Authorization"] = account.authorization
        if isinstance(options.get("data"), bytes):
            options["data"] = io.BytesIO(options["data"])  # aiohttp warns of large bytes
        url = path if path.startswith("http") else str(self.server.make_url(path))
        async with self.session.request(method, url, headers=headers, **options) as response:
            return await _answer(response)

    async def push_blob(self, repository: str, content: bytes, account: Account = ALICE) -> Digest:
        digest = Digest.of(content)
        answer = await self.call("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", account, data=content)
        assert answer.status == 201, answer
        return digest

    async def push_manifest(
        self, repository: str, reference: str, image: BuiltImage | BuiltIndex, account: Account = ALICE
    ) -> Answer:
        headers = {"Content-Type": image.media_type}
        path = f"/v2/{repository}/manifests/{reference}"
        return await self.call("PUT", path, account, data=image.manifest, headers=headers)

    async def push(
        self, repository: str, reference: str, image: BuiltImage | BuiltIndex, account: Account = ALICE
    ) -> Answer:
        """Children by digest, blobs first; the answer to the last PUT."""
        for child in image.images if isinstance(image, BuiltIndex) else ():
            assert (await self.push(repository, child.digest, child, account)).status == 201
        for blob in image.blobs.values() if isinstance(image, BuiltImage) else ():
            await self.push_blob(repository, blob, account)
        return await self.push_manifest(repository, reference, image, account)

    def path_of(self, digest: Digest | str) -> Path:
        found = Digest.parse(str(digest))
        return self.directory / "blobs" / found.algorithm / found.hex[:2] / found.hex

    def uploads(self) -> list[Path]:
        return sorted((self.directory / "uploads").iterdir())


async def _answer(response: ClientResponse) -> Answer:
    body = await response.read()
    is_json = "json" in response.headers.get("Content-Type", "") and body
    return Answer(response.status, response.headers, body, await response.json(content_type=None) if is_json else None)


@asynccontextmanager
async def running_registry(directory: Path, limits: Limits = LIMITS) -> AsyncIterator[RegistryUnderTest]:
    catalogue = MemoryCatalogue()
    gate = MemoryGate(catalogue)
    store = BlobStore(directory)
    application = web.Application()
    access = MemoryAccess(ALICE, BOB, REVIEWER, ADMIN)
    application.add_routes(registry_routes(store, catalogue, access, gate, limits))
    async with TestServer(application, host="127.0.0.1") as server, ClientSession() as session:
        yield RegistryUnderTest(store, catalogue, gate, server, session, directory)
        await gate.close()
    store.close()
