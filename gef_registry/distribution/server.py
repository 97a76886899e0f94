"""The embedded registry: the OCI distribution specification 1.1 as routes for an aiohttp application.

    routes = registry_routes(store, catalogue, access, gate, Limits())
    application.add_routes(routes)

Bytes are in `BlobStore`; records, rights and judgement are behind the ports of `distribution.ports`. Handlers parse, ask and
answer; none keeps state, so several processes may serve one directory and one catalogue.
"""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime

from aiohttp import web

from gef_registry.distribution.answers import answering
from gef_registry.distribution.blobs import BlobStore
from gef_registry.distribution.codes import Code, Refusal
from gef_registry.distribution.ports import Access, Catalogue, Gate
from gef_registry.distribution.registry import Limits, Registry
from gef_registry.distribution.routes_blobs import BlobRoutes
from gef_registry.distribution.routes_listing import ListingRoutes
from gef_registry.distribution.routes_manifests import ManifestRoutes
from gef_registry.distribution.routes_uploads import UploadRoutes
from gef_registry.errors import Unavailable

__all__ = ["Limits", "expire_uploads", "registry_routes"]

_NAME = "/v2/{name:.+}"


def registry_routes(
    store: BlobStore, catalogue: Catalogue, access: Access, gate: Gate, limits: Limits
) -> list[web.RouteDef]:
    """Every route below `/v2/`. A path that is none of them answers 404, another method 405, both as the registry does."""
    registry = Registry(store, catalogue, access, gate, limits)
    blobs, manifests = BlobRoutes(registry), ManifestRoutes(registry)
    uploads, listing = UploadRoutes(registry), ListingRoutes(registry)
    table = [
        ("GET", "/v2/", listing.version),
        ("GET", "/v2/_catalog", listing.repositories),
        ("GET", f"{_NAME}/tags/list", listing.tags),
        ("GET", f"{_NAME}/referrers/{{digest}}", listing.referrers),
        ("GET", f"{_NAME}/manifests/{{reference}}", manifests.get),
        ("PUT", f"{_NAME}/manifests/{{reference}}", manifests.put),
        ("DELETE", f"{_NAME}/manifests/{{reference}}", manifests.delete),
        ("POST", f"{_NAME}/blobs/uploads/", uploads.begin),
        ("POST", f"{_NAME}/blobs/uploads", uploads.begin),
        ("PATCH", f"{_NAME}/blobs/uploads/{{upload}}", uploads.append),
        ("PUT", f"{_NAME}/blobs/uploads/{{upload}}", uploads.finish),
        ("GET", f"{_NAME}/blobs/uploads/{{upload}}", uploads.status),
        ("DELETE", f"{_NAME}/blobs/uploads/{{upload}}", uploads.cancel),
        ("HEAD", f"{_NAME}/blobs/{{digest}}", blobs.head),
        ("DELETE", f"{_NAME}/blobs/{{digest}}", blobs.delete),
        ("*", "/v2/{rest:.*}", _nothing_here),
    ]
    # A GET answers HEAD as well, except for a blob, whose HEAD opens nothing.
    routes = [web.route(method, path, answering(handler)) for method, path, handler in table[:-1]]
    blob = web.get(f"{_NAME}/blobs/{{digest}}", answering(blobs.get), allow_head=False)
    return [*routes, blob, web.route(*table[-1][:2], answering(table[-1][2]))]


async def expire_uploads(store: BlobStore, catalogue: Catalogue, older_than_s: float) -> int:
    """Ends uploads that received nothing for so long, and removes what interrupted writes left; how many uploads."""
    before = time.time() - older_than_s
    stored_time = datetime.fromtimestamp(before, UTC).isoformat(timespec="microseconds")
    ended = 0
    for upload_id in await catalogue.idle_uploads(stored_time):
        touched = store.touched_at(upload_id)
        if touched is not None and touched >= before:
            continue  # a long stream: its record is older than its last byte
        with contextlib.suppress(Unavailable):  # another process holds it: it is not idle after all
            await store.discard(upload_id)
            await catalogue.remove_upload(upload_id)
            ended += 1
    store.remove_stray_files(before)
    return ended


async def _nothing_here(request: web.Request) -> web.StreamResponse:
    if request.method in ("GET", "HEAD"):
        raise Refusal(Code.NAME_UNKNOWN, "no such path in the distribution API", status=404)
    raise Refusal(Code.UNSUPPORTED, f"{request.method} is not supported on this path")
