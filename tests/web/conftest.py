"""A gate in memory behind the real application, on a real loopback port."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gef_registry.distribution.blobs import BlobStore
from gef_registry.distribution.server import Limits, registry_routes
from gef_registry.web.access import HttpAccess
from gef_registry.web.app import RUNNER_OPTIONS, build_app
from tests.fakes.catalogue import MemoryCatalogue
from tests.fakes.catalogue import MemoryGate as MemoryPushGate
from tests.fakes.gate_ports import MemoryGate


@pytest.fixture
def gate() -> MemoryGate:
    return MemoryGate()


@pytest.fixture
async def base(gate: MemoryGate, tmp_path: Path) -> AsyncIterator[str]:
    """The address of the running application."""
    catalogue = MemoryCatalogue()
    store = BlobStore(tmp_path / "content")
    access = HttpAccess(gate.accounts, gate.issuer, gate.origin)
    registry = registry_routes(store, catalogue, access, MemoryPushGate(catalogue), Limits())
    runner = web.AppRunner(build_app(gate.ports, gate.issuer, access, registry), access_log=None, **RUNNER_OPTIONS)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
    store.close()


@pytest.fixture
async def http(base: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
def as_() -> Callable[[str], dict[str, Any]]:
    """`**as_("ada")`: the request options of somebody with an API token."""
    return lambda name: {"headers": {"Authorization": f"Bearer gefa_{name}"}}


@pytest.fixture
def basic() -> Callable[[str, str], dict[str, str]]:
    def header(name: str, secret: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}

    return header
