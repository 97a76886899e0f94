"""Manifests: HEAD, GET, PUT, DELETE (OCI distribution 1.1, end-3, end-7, end-9).

A PUT stores a hidden candidate. By digest that is all, 201. By tag the gate is asked, and what it says is the answer; in
`trusted/` that takes as long as judging takes, and the work is the gate's, so a client that hangs up changes nothing.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from gef_registry.distribution.answers import COMMON_HEADERS, answer, refusal_to_push
from gef_registry.distribution.codes import Code, Refusal
from gef_registry.distribution.names import Namespace, is_reserved_tag
from gef_registry.distribution.ports import StoredManifest
from gef_registry.distribution.registry import Call, Push, Registry, reference_of
from gef_registry.distribution.routes_blobs import refuse_in_trusted
from gef_registry.errors import BadInput, NotFound, Unavailable, VerificationFailed
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor, Index, Manifest, parse_manifest

_LARGE_MANIFEST_BYTES = 256 << 10


class ManifestRoutes:
    """Handlers of `/v2/<name>/manifests/<reference>`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._catalogue = registry.catalogue
        self._store = registry.store

    async def get(self, request: web.Request) -> web.StreamResponse:
        """GET, and HEAD with the same headers and no body. The bytes are hashed on each read."""
        call = await self._registry.admit(request, "pull")
        stored = await self._find(call, reference_of(request.match_info["reference"]))
        etag = f'"{stored.digest}"'
        headers = {
            **COMMON_HEADERS,
            "Content-Type": stored.media_type,
            "Docker-Content-Digest": str(stored.digest),
            "ETag": etag,
        }
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        try:
            content = await self._store.read_verified(stored.digest, stored.size)
        except (NotFound, VerificationFailed) as error:
            raise VerificationFailed(
                f"the stored manifest {stored.digest} of {call.repository} is damaged and is not served",
                hint="its operator finds the reason in the log; pushing the same manifest again repairs it",
            ) from error
        return web.Response(status=200, body=content, headers=headers)

    async def put(self, request: web.Request) -> web.StreamResponse:
        push = await self._registry.admit_push(request)
        reference = reference_of(request.match_info["reference"])
        _refuse_names(push, reference, request)
        raw = await self._read(request)
        content_type = request.headers.get("Content-Type")
        if len(raw) > _LARGE_MANIFEST_BYTES:  # one that was made to be slow must not stop the others
            manifest = await asyncio.to_thread(_parse, raw, reference, content_type)
        else:
            manifest = _parse(raw, reference, content_type)
        await self._require_references(push, manifest)
        await self._store.put(manifest.digest, raw)
        await self._catalogue.put_manifest(push.repository, _record(manifest), push.account, _pointed_at(manifest))
        if isinstance(reference, str):
            await self._tag(push, reference, manifest)
        headers = {
            "Location": f"/v2/{push.repository}/manifests/{manifest.digest}",
            "Docker-Content-Digest": str(manifest.digest),
        }
        if manifest.subject is not None:
            headers["OCI-Subject"] = str(manifest.subject.digest)
        return answer(201, headers)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        refuse_in_trusted(request.match_info["name"])
        call = await self._registry.admit(request, "delete")
        reference = reference_of(request.match_info["reference"])
        await self._find(call, reference)
        if isinstance(reference, str):
            gone = await self._catalogue.delete_tag(call.repository, reference, call.viewer)
        else:
            gone = await self._catalogue.delete_manifest(call.repository, reference, call.viewer)
        if not gone:
            raise _unknown(call.repository, reference)
        return answer(202)

    async def _find(self, call: Call, reference: Digest | str) -> StoredManifest:
        stored = await self._catalogue.manifest(call.repository, reference, call.viewer)
        if stored is None:
            raise _unknown(call.repository, reference)
        return stored

    async def _read(self, request: web.Request) -> bytes:
        """The body, within bounds of size and time. Raises Refusal 413, Unavailable."""
        limits = self._registry.limits
        content = bytearray()
        too_large = (request.content_length or 0) > limits.max_manifest_bytes
        try:
            async with asyncio.timeout(limits.idle_s):
                while not too_large and (chunk := await request.content.readany()):
                    content += chunk
                    too_large = len(content) > limits.max_manifest_bytes
        except TimeoutError as error:
            raise Unavailable(f"the manifest did not arrive within {limits.idle_s:g} s") from error
        if too_large:
            raise Refusal(Code.SIZE_INVALID, f"a manifest may have {limits.max_manifest_bytes} bytes here")
        return bytes(content)

    async def _require_references(self, push: Push, manifest: Manifest | Index) -> None:
        """All it points at must be here and visible to the pusher. Raises Refusal 400 MANIFEST_BLOB_UNKNOWN."""
        for descriptor in _needed(manifest):
            size = await self._size(push, descriptor, manifests=isinstance(manifest, Index))
            if size is None:
                raise Refusal(
                    Code.MANIFEST_BLOB_UNKNOWN,
                    f"{push.repository} has no {descriptor.digest}, which the manifest points at; push it first",
                    detail=str(descriptor.digest),
                )
            if size != descriptor.size:
                raise Refusal(
                    Code.MANIFEST_INVALID,
                    f"{descriptor.digest} has {size} bytes, the manifest says {descriptor.size}",
                )

    async def _size(self, push: Push, descriptor: Descriptor, *, manifests: bool) -> int | None:
        if manifests:
            stored = await self._catalogue.manifest(push.repository, descriptor.digest, push.viewer)
            size = None if stored is None else stored.size
        else:
            size = await self._catalogue.blob_size(push.repository, descriptor.digest, push.viewer)
        return size if size is not None and self._store.exists(descriptor.digest) else None

    async def _tag(self, push: Push, tag: str, manifest: Manifest | Index) -> None:
        """Raises Refusal with the gate's words. In `staging/` the tag is set once the gate has taken the work."""
        given = await self._registry.gate.tagged(push.repository, tag, manifest, push.account)
        if given.status != 201:
            raise refusal_to_push(given)
        if push.namespace is Namespace.STAGING:
            await self._catalogue.put_tag(push.repository, tag, manifest.digest, push.account)


def _refuse_names(push: Push, reference: Digest | str, request: web.Request) -> None:
    """Raises Refusal for ways to name a manifest that would go round the gate."""
    if "tag" in request.query:
        raise Refusal(Code.DENIED, "tags are not given as parameters here: push the manifest by its tag")
    if push.namespace is Namespace.TRUSTED and isinstance(reference, str) and is_reserved_tag(reference):
        raise Refusal(Code.DENIED, f"the tag {reference!r} is reserved: the gate writes adm-…, sha256-… and sha512-…")


def _parse(raw: bytes, reference: Digest | str, content_type: str | None) -> Manifest | Index:
    """Raises Refusal 400: not a manifest, or not the one whose digest was named."""
    if isinstance(reference, Digest) and not reference.matches(raw):
        raise Refusal(
            Code.DIGEST_INVALID, f"the manifest's digest is {Digest.of(raw, reference.algorithm)}, expected {reference}"
        )
    algorithm = reference.algorithm if isinstance(reference, Digest) else "sha256"
    try:
        return parse_manifest(raw, content_type, algorithm=algorithm)
    except BadInput as error:
        raise Refusal(Code.MANIFEST_INVALID, str(error)) from error


def _needed(manifest: Manifest | Index) -> tuple[Descriptor, ...]:
    """What must have been pushed before: children, or configuration and layers other than non-distributable ones."""
    if isinstance(manifest, Index):
        return tuple({d.digest: d for d in manifest.manifests}.values())
    return tuple(d for d in manifest.references if d.media_type not in media.NON_DISTRIBUTABLE)


def _pointed_at(manifest: Manifest | Index) -> tuple[tuple[Digest, int], ...]:
    every = manifest.manifests if isinstance(manifest, Index) else manifest.references
    return tuple({d.digest: d.size for d in every}.items())


def _record(manifest: Manifest | Index) -> StoredManifest:
    """`artifact_type` is what the referrers list shows: an image without one is known by its configuration's type."""
    artifact_type = manifest.artifact_type
    if artifact_type is None and isinstance(manifest, Manifest):
        artifact_type = manifest.config.media_type
    return StoredManifest(
        digest=manifest.digest,
        media_type=manifest.media_type,
        size=len(manifest.raw),
        artifact_type=artifact_type,
        subject=manifest.subject.digest if manifest.subject else None,
        annotations=manifest.annotations,
    )


def _unknown(repository: str, reference: Digest | str) -> Refusal:
    return Refusal(Code.MANIFEST_UNKNOWN, f"{repository} has no manifest {reference}")
