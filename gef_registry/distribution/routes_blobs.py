"""Blobs: HEAD, GET with ranges, DELETE (OCI distribution 1.1, end-2 and end-10)."""

from __future__ import annotations

from aiohttp import web

from gef_registry.distribution.answers import COMMON_HEADERS, answer, send_blob
from gef_registry.distribution.codes import Code, Refusal
from gef_registry.distribution.names import Namespace, namespace_of
from gef_registry.distribution.registry import Call, Registry, digest_of
from gef_registry.distribution.uploads import ByteRange, byte_range
from gef_registry.errors import NotFound
from gef_registry.oci.digest import Digest


class BlobRoutes:
    """Handlers of `/v2/<name>/blobs/<digest>`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def head(self, request: web.Request) -> web.StreamResponse:
        call, digest = await self._visible(request)
        size = await self._registry.store.size(digest)
        if size is None:
            raise _unknown(call, digest)
        response = web.StreamResponse(headers={**COMMON_HEADERS, **_headers(digest)})
        response.content_length = size
        return response

    async def get(self, request: web.Request) -> web.StreamResponse:
        call, digest = await self._visible(request)
        headers = _headers(digest)
        if request.headers.get("If-None-Match") in (headers["ETag"], "*"):
            return web.Response(status=304, headers={**COMMON_HEADERS, **headers})
        try:
            blob = await self._registry.store.open(digest)
        except NotFound as error:
            raise _unknown(call, digest) from error
        with blob:
            wanted = byte_range(_range_header(request, headers["ETag"]), blob.size)
            response = web.StreamResponse(status=206 if wanted else 200, headers={**COMMON_HEADERS, **headers})
            if wanted:
                response.headers["Content-Range"] = wanted.content_range(blob.size)
            whole = ByteRange(0, blob.size)
            return await send_blob(request, response, blob, wanted or whole, self._registry.limits.transfer_s)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        refuse_in_trusted(request.match_info["name"])
        call = await self._registry.admit(request, "delete")
        digest = digest_of(request.match_info["digest"])
        catalogue = self._registry.catalogue
        if await catalogue.blob_size(call.repository, digest, call.viewer) is None:
            raise _unknown(call, digest)
        if not await catalogue.unlink_blob(call.repository, digest, call.viewer):
            raise _unknown(call, digest)
        return answer(202)

    async def _visible(self, request: web.Request) -> tuple[Call, Digest]:
        call = await self._registry.admit(request, "pull")
        digest = digest_of(request.match_info["digest"])
        if await self._registry.catalogue.blob_size(call.repository, digest, call.viewer) is None:
            raise _unknown(call, digest)
        return call, digest


def refuse_in_trusted(repository: str) -> None:
    """Raises Refusal 405: what was admitted is revoked, never deleted, whoever asks."""
    if namespace_of(repository) is Namespace.TRUSTED:
        raise Refusal(
            Code.UNSUPPORTED, "nothing is deleted in trusted/: an admission is ended by a revocation, on record"
        )


def _headers(digest: Digest) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": str(digest),
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
    }


def _range_header(request: web.Request, etag: str) -> str | None:
    """The `Range` header, unless `If-Range` names something else than what is here."""
    condition = request.headers.get("If-Range")
    return request.headers.get("Range") if condition in (None, etag) else None


def _unknown(call: Call, digest: Digest) -> Refusal:
    return Refusal(Code.BLOB_UNKNOWN, f"{call.repository} has no blob {digest}")
