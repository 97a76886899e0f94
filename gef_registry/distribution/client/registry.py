"""The registry client: OCI distribution-spec 1.1 from the client's side, over any number of registries.

Digests are computed here from the bytes received; `Docker-Content-Digest` is a claim, and one that contradicts the bytes is
VerificationFailed (registries have been seen to serve altered manifests under the old digest). Every request is bounded in
time and size; idempotent ones are retried. Errors: NotFound, Denied, Conflict, BadInput (the registry does not accept
it), Unavailable, VerificationFailed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from gef_registry.distribution.client import downloads, listing, uploads
from gef_registry.distribution.client.answers import Answer
from gef_registry.distribution.client.credentials import Credentials, NoCredentials
from gef_registry.distribution.client.exchange import Call, Exchange
from gef_registry.distribution.client.settings import ClientSettings
from gef_registry.distribution.client.uploads import Content, Outcome, UploadSession
from gef_registry.errors import BadInput, NotFound, Unavailable, VerificationFailed
from gef_registry.oci import media, strict_json
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import MAX_MANIFEST_BYTES, Descriptor, Index, Manifest, parse_manifest
from gef_registry.oci.reference import Reference

_ACCEPT = {"Accept": ", ".join(media.ACCEPT)}
_PUSH = ("pull", "push")


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest as received: its bytes, the digest of those bytes, and the media type the registry gave."""

    raw: bytes
    digest: Digest
    media_type: str | None

    @property
    def descriptor(self) -> Descriptor:
        """Raises BadInput when the bytes are not a manifest or index."""
        return self.parsed.descriptor

    @property
    def parsed(self) -> Manifest | Index:
        """Raises BadInput."""
        return parse_manifest(
            self.raw, self.media_type, algorithm=self.digest.algorithm, what=f"manifest {self.digest}"
        )


@dataclass(frozen=True, slots=True)
class PutAnswer:
    """What a registry said to a manifest: `subject` is set when it keeps referrers itself (OCI-Subject)."""

    digest: Digest
    subject: Digest | None


class RegistryClient:
    """Safe concurrently inside one event loop. Close it, or use it as `async with`."""

    def __init__(self, settings: ClientSettings | None = None, credentials: Credentials | None = None) -> None:
        self._exchange = Exchange(settings or ClientSettings(), credentials or NoCredentials())
        self._referrer_locks: dict[tuple[str, Digest], asyncio.Lock] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._exchange.close()

    # Manifests

    async def head_manifest(self, reference: Reference) -> Digest | None:
        """The digest the registry *claims* for a reference, for noticing change cheaply; None when it claims none, or
        does not answer HEAD. Raises NotFound."""
        call = Call("HEAD", reference, _manifest_path(reference), str(reference), headers=_ACCEPT)
        answer = await self._exchange.fetch(call, expected=(200, 400, 405, 501))
        return _claimed(answer) if answer.status == 200 else None

    async def resolve(self, reference: Reference) -> FetchedManifest:
        """What a name means now, resolved once: HEAD, then GET by the digest claimed, hashed here. Registries that do not
        answer HEAD are asked with GET alone."""
        if reference.digest is not None:
            return await self.manifest(reference)
        claimed = await self.head_manifest(reference)
        if claimed is not None and claimed.algorithm == "sha256":
            return await self.manifest(reference.at(claimed))
        return await self.manifest(reference)

    async def manifest(self, reference: Reference) -> FetchedManifest:
        """By digest when the reference has one (verified), else by tag. At most 4 MiB."""
        call = Call(
            "GET", reference, _manifest_path(reference), str(reference), headers=_ACCEPT, max_body=MAX_MANIFEST_BYTES
        )
        answer = await self._exchange.fetch(call)
        claimed = _claimed(answer)
        wanted = reference.digest or Digest.of(answer.body)
        for promised in filter(None, (wanted, claimed)):
            promised.require(answer.body, f"manifest {reference}")
        return FetchedManifest(answer.body, wanted, answer.headers.get("Content-Type"))

    async def put_manifest(self, reference: Reference, raw: bytes, media_type: str) -> PutAnswer:
        """Stores these very bytes under the tag, or under the digest when the reference has no tag. Waits as long as a
        gate may judge. NotFound: the registry lacks a blob or child it needs."""
        digest = Digest.of(raw, reference.digest.algorithm if reference.digest else "sha256")
        if reference.digest is not None and reference.digest != digest:
            raise VerificationFailed(f"{reference}: the bytes to store have the digest {digest}")
        target = reference.tag or str(digest)
        call = Call(
            "PUT", reference, f"/v2/{reference.repository}/manifests/{target}", f"storing {reference}", actions=_PUSH,
            headers={"Content-Type": media_type}, body=lambda: raw,
            timeout_s=self._exchange.settings.manifest_patience_s,
        )  # fmt: skip
        answer = await self._exchange.fetch(call, expected=(201, 200))
        stored = _claimed(answer)
        if stored is not None and stored.algorithm == digest.algorithm and stored != digest:
            raise VerificationFailed(f"{reference}: the registry stored {stored}, sent was {digest}")
        return PutAnswer(digest, _digest_or_none(answer.headers.get("OCI-Subject")))

    async def put_referrer(self, reference: Reference, raw: bytes, media_type: str) -> PutAnswer:
        """Stores a manifest with a `subject` by digest, and enters it in the fallback tag where the registry has no
        referrers API. Concurrent calls on one client are ordered; other writers of that tag are not."""
        parsed = parse_manifest(raw, media_type)
        if parsed.subject is None:
            raise BadInput("a referrer needs a subject")
        here = Reference(reference.host, reference.repository)
        answer = await self.put_manifest(here, raw, media_type)
        if answer.subject is None:
            lock = self._referrer_locks.setdefault((f"{here}", parsed.subject.digest), asyncio.Lock())
            async with lock:
                await self._enter_referrer(here, parsed, parsed.subject.digest)
        return answer

    async def delete_manifest(self, reference: Reference) -> None:
        """By digest (with all its tags), or by tag where the registry can. Raises NotFound, Denied (not offered)."""
        call = Call(
            "DELETE", reference, _manifest_path(reference), f"deleting {reference}", actions=("pull", "push", "delete")
        )
        await self._exchange.fetch(call, expected=(202, 204, 200))

    # Blobs

    async def head_blob(self, reference: Reference, digest: Digest) -> int | None:
        """The size of a blob in a repository, as the registry says; None when it is not there."""
        call = Call("HEAD", reference, f"/v2/{reference.repository}/blobs/{digest}", f"blob {digest} of {reference}")
        try:
            answer = await self._exchange.fetch(call)
        except NotFound:
            return None
        length = answer.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 19):
            raise Unavailable(f"blob {digest} of {reference}: the registry gives no size")
        return int(length)

    def blob(self, reference: Reference, descriptor: Descriptor, *, verify: bool = True) -> AsyncIterator[bytes]:
        """A blob in pieces of at most 1 MiB, resumed where connections break. Exactly `descriptor.size` bytes or
        VerificationFailed; with `verify` also the digest, which is known only after the last piece."""
        return downloads.stream_blob(self._exchange, reference, descriptor, verify=verify)

    async def mount_blob(self, reference: Reference, digest: Digest, source: str) -> UploadSession | None:
        """Asks for a blob of the repository `source`. None: mounted. A session: not mounted, upload the bytes into it."""
        return await uploads.start_upload(self._exchange, reference, mount=digest, source=source)

    async def upload_blob(
        self, reference: Reference, descriptor: Descriptor, content: Content, *,
        source: str | None = None, session: UploadSession | None = None, chunked: bool = False,
    ) -> Outcome:  # fmt: skip
        """Makes sure a blob is there: looks, tries to mount from the repository `source`, else uploads `content`
        (see `content_of_file`) in one PUT or in chunks. Verified on the way; never held in memory."""
        if session is None:
            if await self.head_blob(reference, descriptor.digest) == descriptor.size:
                return "exists"
            if source is not None:
                session = await self.mount_blob(reference, descriptor.digest, source)
                if session is None:
                    return "mounted"
        await uploads.upload(self._exchange, reference, descriptor, content, session=session, chunked=chunked)
        return "uploaded"

    # Lists

    async def tags(self, reference: Reference, *, limit: int = 100_000) -> list[str]:
        return await listing.list_tags(self._exchange, reference, limit=limit)

    async def referrers(
        self, reference: Reference, subject: Digest, *, artifact_type: str | None = None, limit: int = 1000
    ) -> tuple[Descriptor, ...]:
        """Descriptors of manifests that name `subject`, by the API or the fallback tag; nothing of them is verified."""
        return await listing.list_referrers(
            self._exchange, reference, subject, artifact_type=artifact_type, limit=limit
        )

    async def _enter_referrer(self, here: Reference, entry: Manifest | Index, subject: Digest) -> None:
        index = await listing.fallback_index(self._exchange, here, subject)
        known = list(strict_json.load_object(index.raw, what="referrers").get("manifests") or []) if index else []
        if any(item.get("digest") == str(entry.digest) for item in known):
            return
        document = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [*known, _referrer(entry)]}
        tag = listing.fallback_tag(subject)
        await self.put_manifest(
            Reference(here.host, here.repository, tag), strict_json.canonical(document), media.OCI_INDEX
        )


def _referrer(entry: Manifest | Index) -> dict[str, Any]:
    """A descriptor as the referrers index wants it: the artifact type falls back to the configuration's media type."""
    implied = entry.config.media_type if isinstance(entry, Manifest) else None
    descriptor = Descriptor(
        entry.media_type, entry.digest, len(entry.raw), entry.annotations, artifact_type=entry.artifact_type or implied
    )
    return descriptor.as_json()


def _manifest_path(reference: Reference) -> str:
    return f"/v2/{reference.repository}/manifests/{reference.target}"


def _claimed(answer: Answer) -> Digest | None:
    """The digest header; a malformed one is as good as none."""
    return _digest_or_none(answer.headers.get("Docker-Content-Digest"))


def _digest_or_none(text: str | None) -> Digest | None:
    try:
        return Digest.parse(text) if text else None
    except BadInput:
        return None
