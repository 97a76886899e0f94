"""Servers that behave as a test wants, and clients that wait only milliseconds between attempts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from gef_registry.distribution.client import ClientSettings, Credentials, RegistryClient

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """`host` as in a reference; every request as it came in: (method, path and query, headers)."""

    host: str = ""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def seen(self, header: str) -> list[str | None]:
        return [headers.get(header) for _, _, headers in self.requests]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[Server]]]:
    """`await serve(handler)`: one handler for every path."""
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> Server:
        server = Server()

        async def recorded(request: web.Request) -> web.StreamResponse:
            server.requests.append((request.method, request.raw_path, dict(request.headers)))
            return await handler(request)

        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", recorded)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.host = f"127.0.0.1:{runner.addresses[0][1]}"
        return server

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def serve_raw() -> AsyncIterator[Callable[[Callable[..., Awaitable[None]]], Awaitable[str]]]:
    """`await serve_raw(conversation)`: a coroutine over (reader, writer) for each connection; gives the host."""
    servers: list[asyncio.Server] = []

    async def start(conversation: Callable[..., Awaitable[None]]) -> str:
        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await conversation(reader, writer)
            except ConnectionError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(guarded, "127.0.0.1", 0)
        servers.append(server)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()


@pytest.fixture
async def make_client() -> AsyncIterator[Callable[..., RegistryClient]]:
    """`make_client(host, ..., credentials=None, **settings)`: plain http to these hosts; closed with the test."""
    clients: list[RegistryClient] = []

    def make(*hosts: str, credentials: Credentials | None = None, **changes: Any) -> RegistryClient:
        fast = {"retry_base_s": 0.001, "retry_cap_s": 0.002, "deadline_s": 20, "answer_timeout_s": 5}
        settings = ClientSettings(plain_http=frozenset(hosts), **{**fast, **changes})
        clients.append(RegistryClient(settings, credentials))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()
