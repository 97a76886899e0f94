"""The embedded registry as a process of its own, to be killed and measured: real store and catalogue, no judging.

    python -m tests.fakes.registry_process DIRECTORY PORT

Everybody with basic credentials `pusher:pusher-password` may do everything; everybody else reads `trusted/`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web

from gef_registry.distribution.blobs import BlobStore
from gef_registry.distribution.ports import PushAnswer
from gef_registry.distribution.server import Limits, registry_routes
from gef_registry.oci.manifest import Index, Manifest
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.database import Database
from tests.fakes.catalogue import Account, MemoryAccess


class OpenGate:
    """Has nothing against anything."""

    async def check_push(self, repository: str, account: str) -> PushAnswer | None:
        return None

    async def tagged(self, repository: str, tag: str, manifest: Manifest | Index, account: str) -> PushAnswer:
        return PushAnswer(201)


async def serve(directory: Path, port: int) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{directory / 'records.db'}")
    store = BlobStore(directory / "content")
    access = MemoryAccess(Account("pusher", {"": "pull,push,delete"}, reviews=("",)))
    application = web.Application()
    application.add_routes(registry_routes(store, SqlCatalogue(database), access, OpenGate(), Limits()))
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("serving", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
