"""Uploads: one request, chunks or a stream; mounts (OCI distribution 1.1, end-4 to end-6, end-11, end-13, end-14).

A session belongs to the account and the repository that began it; for anybody else it does not exist. A mount without
the right to its source begins a session (202), since clients give up at 403. `Location` is a path, so no `Host` header is
believed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from gef_registry.distribution.answers import answer
from gef_registry.distribution.codes import Code, Refusal
from gef_registry.distribution.ports import Upload
from gef_registry.distribution.registry import Push, Registry, digest_of
from gef_registry.distribution.upload_files import TooLarge, UploadFile
from gef_registry.distribution.uploads import chunk_length, upload_range
from gef_registry.errors import NotFound, Unavailable, VerificationFailed
from gef_registry.oci.digest import Digest


class UploadRoutes:
    """Handlers of `/v2/<name>/blobs/uploads/…`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store = registry.store
        self._catalogue = registry.catalogue
        self._limits = registry.limits

    async def begin(self, request: web.Request) -> web.StreamResponse:
        push = await self._registry.admit_push(request)
        if "mount" in request.query and await self._mount(request, push):
            return _created(push.repository, digest_of(request.query["mount"]))
        digest = digest_of(request.query["digest"]) if "digest" in request.query else None
        upload = await self._new_session(push)
        if digest is None:
            return self._progress(upload, 202, 0)
        return await self._finish(request, push, upload, digest, resumable=False)

    async def append(self, request: web.Request) -> web.StreamResponse:
        push = await self._registry.admit_push(request)
        upload = await self._session(request, push)
        async with self._held(upload) as file:
            try:
                await self._receive(request, upload, file)
            finally:
                if file.path.exists():
                    await self._catalogue.record_offset(upload.id, file.offset)
                else:
                    await self._catalogue.remove_upload(upload.id)
            return self._progress(upload, 202, file.offset)

    async def finish(self, request: web.Request) -> web.StreamResponse:
        push = await self._registry.admit_push(request)
        upload = await self._session(request, push)
        if "digest" not in request.query:
            raise Refusal(Code.DIGEST_INVALID, "an upload is finished with ?digest=<the blob's digest>")
        return await self._finish(request, push, upload, digest_of(request.query["digest"]), resumable=True)

    async def status(self, request: web.Request) -> web.StreamResponse:
        push = await self._registry.admit_push(request)
        upload = await self._session(request, push)
        async with self._held(upload) as file:
            return self._progress(upload, 204, file.offset)

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        push = await self._registry.admit_push(request)
        upload = await self._session(request, push)
        await self._end(upload)
        return answer(204)

    async def _mount(self, request: web.Request, push: Push) -> bool:
        """Gives the repository a blob that the caller can read in another one, if so."""
        digest, source = digest_of(request.query["mount"]), request.query.get("from", push.repository)
        if not push.caller.may("pull", source):
            return False
        size = await self._catalogue.blob_size(source, digest, push.viewer)
        if size is None or await self._store.size(digest) != size:
            return False
        await self._catalogue.link_blob(push.repository, digest, size, push.account)
        return True

    async def _new_session(self, push: Push) -> Upload:
        limit = self._limits.max_uploads_per_account
        if await self._catalogue.count_uploads(push.account) >= limit:
            raise Refusal(
                Code.TOOMANYREQUESTS,
                f"the account {push.account!r} has {limit} uploads open; finish or cancel some, or wait till they expire",
                headers={"Retry-After": "30"},
            )
        upload = await self._catalogue.create_upload(push.repository, push.account)
        try:
            await self._store.begin(upload.id)
        except Unavailable:
            await self._catalogue.remove_upload(upload.id)
            raise
        return upload

    async def _session(self, request: web.Request, push: Push) -> Upload:
        upload = await self._catalogue.upload(request.match_info["upload"])
        if upload is None or (upload.repository, upload.account) != (push.repository, push.account):
            raise _unknown()
        return upload

    @asynccontextmanager
    async def _held(self, upload: Upload) -> AsyncIterator[UploadFile]:
        """The upload's file; a session whose file is gone ends here, 404."""
        async with AsyncExitStack() as stack:
            try:
                file = await stack.enter_async_context(self._store.hold(upload.id))
            except NotFound as error:
                await self._catalogue.remove_upload(upload.id)
                raise _unknown() from error
            yield file

    async def _receive(self, request: web.Request, upload: Upload, file: UploadFile) -> None:
        """Appends the request's body. Raises Refusal: out of order, contradicting lengths, too large."""
        try:
            expected = chunk_length(request.headers.get("Content-Range"), request.content_length, file.offset)
        except Refusal as refusal:
            refusal.headers.setdefault("Location", _location(upload))
            raise
        room = self._limits.max_blob_bytes - file.offset
        if expected is not None and expected > room:
            await file.discard()  # it can never be finished
            raise self._too_large()
        before, at_most = file.offset, room if expected is None else expected
        try:
            received = await file.append(_body(request), at_most=at_most, idle_s=self._limits.idle_s)
        except TooLarge as error:
            if at_most == room:
                await file.discard()
                raise self._too_large() from error
            raise Refusal(Code.SIZE_INVALID, error.message, status=400) from error
        if expected is not None and received != expected:
            raise Refusal(
                Code.SIZE_INVALID,
                f"{received} bytes arrived after byte {before}, {expected} were announced; resume at the offset",
                status=400,
            )

    async def _finish(
        self, request: web.Request, push: Push, upload: Upload, digest: Digest, *, resumable: bool
    ) -> web.StreamResponse:
        async with self._held(upload) as file:
            try:
                await self._receive(request, upload, file)
                size = await self._store.commit(file, digest)
            except VerificationFailed as error:
                await self._catalogue.remove_upload(upload.id)
                raise Refusal(Code.DIGEST_INVALID, error.message) from error
            except BaseException:
                if not resumable:
                    await file.discard()
                if not file.path.exists():
                    await self._catalogue.remove_upload(upload.id)
                raise
        # The link is what makes the blob the account's; after a crash before it, the client uploads again.
        await self._catalogue.link_blob(push.repository, digest, size, push.account)
        await self._catalogue.remove_upload(upload.id)
        return _created(push.repository, digest)

    async def _end(self, upload: Upload) -> None:
        await self._store.discard(upload.id)
        await self._catalogue.remove_upload(upload.id)

    def _too_large(self) -> Refusal:
        return Refusal(Code.SIZE_INVALID, f"a blob may have {self._limits.max_blob_bytes} bytes here")

    @staticmethod
    def _progress(upload: Upload, status: int, offset: int) -> web.Response:
        return answer(
            status,
            {"Location": _location(upload), "Range": upload_range(offset), "Docker-Upload-Uuid": upload.id},
        )


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    """What comes, as it comes, without joining what the socket gave."""
    while not request.content.at_eof():
        chunk, _ = await request.content.readchunk()
        if chunk:
            yield chunk


def _location(upload: Upload) -> str:
    return f"/v2/{upload.repository}/blobs/uploads/{upload.id}"


def _created(repository: str, digest: Digest) -> web.Response:
    return answer(201, {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": str(digest)})


def _unknown() -> Refusal:
    return Refusal(Code.BLOB_UPLOAD_UNKNOWN, "no such upload: it has ended, was cancelled or has expired; begin again")
