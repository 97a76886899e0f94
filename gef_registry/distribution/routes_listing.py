"""Lists: the version check, tags, repositories, referrers (OCI distribution 1.1, end-1, end-8, end-12).

Each shows what the viewer may see and nothing else; an empty list of referrers is an answer, not an error.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from gef_registry.distribution.answers import json_answer
from gef_registry.distribution.codes import Code, Refusal
from gef_registry.distribution.pages import page
from gef_registry.distribution.ports import StoredManifest
from gef_registry.distribution.registry import Registry, digest_of
from gef_registry.oci import media


class ListingRoutes:
    """Handlers of `/v2/`, `tags/list`, `_catalog` and `referrers`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def version(self, request: web.Request) -> web.StreamResponse:
        """What `docker login` asks. Anonymous hears where tokens come from, also where it may read without one."""
        await self._registry.caller(request, None, None)
        if "Authorization" not in request.headers:
            raise self._registry.unauthorized(None, None, "this registry hands out tokens, also to anonymous readers")
        return json_answer({})

    async def tags(self, request: web.Request) -> web.StreamResponse:
        call = await self._registry.admit(request, "pull")
        names = await self._registry.catalogue.tags(call.repository, call.viewer)
        if names is None:
            raise Refusal(Code.NAME_UNKNOWN, f"there is no repository {call.repository} here")
        shown = page(
            names,
            request.query,
            path=f"/v2/{call.repository}/tags/list",
            max_entries=self._registry.limits.max_page_entries,
        )
        return json_answer({"name": call.repository, "tags": shown.names}, _link(shown.link))

    async def repositories(self, request: web.Request) -> web.StreamResponse:
        caller = await self._registry.caller(request, None, None)
        names = await self._registry.catalogue.repositories(caller.viewer)
        shown = page(names, request.query, path="/v2/_catalog", max_entries=self._registry.limits.max_page_entries)
        return json_answer({"repositories": shown.names}, _link(shown.link))

    async def referrers(self, request: web.Request) -> web.StreamResponse:
        call = await self._registry.admit(request, "pull")
        subject = digest_of(request.match_info["digest"])
        found = await self._registry.catalogue.referrers(call.repository, subject, call.viewer)
        wanted = request.query.get("artifactType")
        if wanted:
            found = [stored for stored in found if stored.artifact_type == wanted]
        by_digest = {str(stored.digest): stored for stored in found}
        shown = page(
            sorted(by_digest),
            request.query,
            path=f"/v2/{call.repository}/referrers/{subject}",
            max_entries=self._registry.limits.max_page_entries,
        )
        headers = {"Content-Type": media.OCI_INDEX, **_link(shown.link)}
        if wanted:
            headers["OCI-Filters-Applied"] = "artifactType"
        return json_answer(
            {
                "schemaVersion": 2,
                "mediaType": media.OCI_INDEX,
                "manifests": [_descriptor(by_digest[name]) for name in shown.names],
            },
            headers,
        )


def _descriptor(stored: StoredManifest) -> dict[str, Any]:
    document: dict[str, Any] = {
        "mediaType": stored.media_type,
        "digest": str(stored.digest),
        "size": stored.size,
    }
    if stored.artifact_type:
        document["artifactType"] = stored.artifact_type
    if stored.annotations:
        document["annotations"] = dict(stored.annotations)
    return document


def _link(link: str | None) -> dict[str, str]:
    return {"Link": link} if link else {}
