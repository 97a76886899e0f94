"""`/healthz`: the process answers. `/readyz`: it can take work, and else says why, for whoever operates it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from gef_registry.web.answers import json_answer
from gef_registry.web.ports import Health
from gef_registry.web.text import plain

_NO_STORE = {"Cache-Control": "no-store"}


class HealthRoutes:
    def __init__(self, health: Callable[[], Awaitable[Health]]) -> None:
        self._health = health

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/healthz", self._alive), web.get("/readyz", self._ready)]

    async def _alive(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=_NO_STORE)

    async def _ready(self, request: web.Request) -> web.Response:
        health = await self._health()
        document = {"ready": health.ready, "problems": [plain(problem) for problem in health.problems]}
        return json_answer(document, status=200 if health.ready else 503, headers=_NO_STORE)
