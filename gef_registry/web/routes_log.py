"""`/log/`: the public log, as files any CDN can carry, and the proofs of one digest."""

from __future__ import annotations

from aiohttp import web

from gef_registry.oci.digest import Digest
from gef_registry.web.answers import CROSS_ORIGIN, FOREVER, REVALIDATE, public
from gef_registry.web.ports import LogFiles

_TEXT, _BYTES, _JSON, _LINES = "text/plain", "application/octet-stream", "application/json", "application/x-ndjson"
BUNDLE_LINES = 256


class LogRoutes:
    """Serves what `LogFiles` has; paths it does not know are NotFound there."""

    def __init__(self, files: LogFiles) -> None:
        self._files = files

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/log/checkpoint", self._checkpoint),
            web.get("/log/tile/{path:[0-9a-z./]+}", self._tile),
            web.get("/log/statements/{path:[0-9x/]+}", self._statements),
            web.get("/log/statement/{id:[0-9a-f]{64}}", self._statement),
            web.get("/log/keys", self._document),
            web.get("/log/trusted_root.json", self._document),
            web.get("/log/proof/{digest}", self._proof),
        ]

    async def _checkpoint(self, request: web.Request) -> web.Response:
        return _file(await self._files("checkpoint"), _TEXT, REVALIDATE)

    async def _tile(self, request: web.Request) -> web.Response:
        """Hash tiles and entry bundles: what a path names never changes, partial tiles included."""
        return _file(await self._files(f"tile/{request.match_info['path']}"), _BYTES, FOREVER)

    async def _statements(self, request: web.Request) -> web.Response:
        """The last bundle grows until it is full."""
        body = await self._files(f"statements/{request.match_info['path']}")
        return _file(body, _LINES, FOREVER if body.count(b"\n") >= BUNDLE_LINES else REVALIDATE)

    async def _statement(self, request: web.Request) -> web.Response:
        return _file(await self._files(f"statement/{request.match_info['id']}"), _JSON, FOREVER)

    async def _document(self, request: web.Request) -> web.Response:
        return _file(await self._files(request.path.removeprefix("/log/")), _JSON, REVALIDATE)

    async def _proof(self, request: web.Request) -> web.Response:
        digest = Digest.parse(request.match_info["digest"])
        return public({"digest": str(digest), "entries": await self._files.proof(digest)})


def _file(body: bytes, content_type: str, caching: dict[str, str]) -> web.Response:
    charset = "utf-8" if content_type == _TEXT else None
    return web.Response(body=body, content_type=content_type, charset=charset, headers={**CROSS_ORIGIN, **caching})
