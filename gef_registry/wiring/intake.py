"""Brings images in from other registries: what `submit` names, and what a webhook hinted at.

A reference is resolved once and copied by digest, every byte hashed by us, into the embedded registry as the submitter's
candidate; then it is a submission like any other. Only registries on the operator's list are asked, and never at an
address that the list's policy forbids: names from outside (an image, a webhook's body) choose no host.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from gef_registry.admission.desk import Desk, QueueFull, check_trusted_name
from gef_registry.admission.ports import Request, Submission
from gef_registry.admission.rights import HOOK_PREFIX, STAGING, Account, ServiceName, rights
from gef_registry.distribution.addresses import AddressPolicy
from gef_registry.distribution.blobs import BlobStore
from gef_registry.distribution.client import ClientSettings, Credentials, FetchedManifest, NoCredentials, RegistryClient
from gef_registry.distribution.ports import Catalogue, StoredManifest, Viewer
from gef_registry.errors import BadInput, Denied, GefError, Unavailable
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor, Index, Manifest
from gef_registry.oci.reference import Reference, RegistryImage, parse_image_name
from gef_registry.store.diary import Delivery, SqlDeliveries
from gef_registry.web.webhooks.events import PushEvent
from gef_registry.web.webhooks.senders import parse_delivery

log = logging.getLogger(__name__)

MAX_IMAGE_BYTES = 100 << 30  # of one image as stored, all platforms
MAX_CHILDREN = 128
MAX_FETCH_S = 3600.0
AT_A_TIME = 4
IDLE_S = 60.0
POLL_S = 1.0
RETRY_S = 30.0
MAX_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class HookSource:
    """A sender of webhooks: the registry it speaks for, and the secret it must show. `registry` is `name[:port]`."""

    registry: str
    secret: str


@dataclass(frozen=True, slots=True)
class IntakeConfig:
    """Which registries may be asked. `private` ones may have private or loopback addresses; `plain_http` no TLS."""

    registries: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()
    plain_http: frozenset[str] = frozenset()
    hooks: Mapping[str, HookSource] = field(default_factory=dict)
    credentials: Credentials | None = None

    def is_listed(self, host: str) -> bool:
        return host in self.registries or any(hook.registry == host for hook in self.hooks.values())


class Intake:
    """Pulls images into the embedded registry and hands them to the desk."""

    def __init__(
        self, config: IntakeConfig, blobs: BlobStore, catalogue: Catalogue, desk: Desk, deliveries: SqlDeliveries
    ) -> None:
        self._config = config
        self._blobs = blobs
        self._catalogue = catalogue
        self._desk = desk
        self._deliveries = deliveries
        self._turn = asyncio.Semaphore(AT_A_TIME)

    async def submit(self, image: str, name: str, account: Account) -> Submission:
        """`image` from a listed registry, to be admitted as `name` (`trusted/<community>/<service>:<tag>`).

        Raises BadInput (names), Denied (registry not listed, no right to the name), NotFound, Unavailable,
        VerificationFailed (the registry lies)."""
        target, _, tag = name.rpartition(":")
        check_trusted_name(target, tag)
        if "push" not in rights(account, target):
            raise Denied(f"{account.name} may not submit to {target}", hint="authors submit to their own community")
        parsed = parse_image_name(image)
        if not isinstance(parsed, RegistryImage):
            raise BadInput(f"{image[:200]!r} is not on a registry", hint="push local images with docker or skopeo")
        return await self._bring(parsed.reference, target, target, tag, account.name, "submit")

    async def run(self) -> None:
        """Acts on stored webhook deliveries, oldest first, until cancelled. One that cannot be acted upon now is put
        off, a little longer each time, and holds nobody up."""
        while True:
            try:
                waiting = await self._deliveries.waiting()
                for delivery in waiting:
                    await self._act(delivery)
            except Unavailable as error:
                log.warning("webhook deliveries wait: %s", error)
                waiting = []
            if not waiting:
                await asyncio.sleep(POLL_S)

    async def _act(self, delivery: Delivery) -> None:
        """A delivery is a hint: what it says changed is read again from the registry it speaks for."""
        hook = self._config.hooks.get(delivery.sender)
        if hook is None:
            await self._deliveries.done(delivery.id, "this sender is no longer configured")
            return
        try:
            outcomes = [await self._follow(hook, delivery, event) for event in _events(delivery)]
        except (Unavailable, QueueFull) as error:
            await self._put_off(delivery, str(error))
        except Exception as error:
            # A fault of ours; the gate goes on, and so does this delivery, later.
            log.exception("webhook of %s, delivery %s", delivery.sender, delivery.event)
            await self._put_off(delivery, type(error).__name__)
        else:
            await self._deliveries.done(delivery.id, "; ".join(outcomes) or "nothing in it concerns us")

    async def _put_off(self, delivery: Delivery, why: str) -> None:
        if delivery.attempts + 1 >= MAX_ATTEMPTS:
            log.error("webhook of %s, delivery %s is given up: %s", delivery.sender, delivery.event, why)
            await self._deliveries.done(delivery.id, f"given up after {MAX_ATTEMPTS} attempts: {why}")
            return
        log.warning("webhook of %s, delivery %s waits: %s", delivery.sender, delivery.event, why)
        await self._deliveries.put_off(delivery.id, min(RETRY_S * (delivery.attempts + 1), 3600.0))

    async def _follow(self, hook: HookSource, delivery: Delivery, event: PushEvent) -> str:
        what = f"{event.repository}:{event.tag or event.digest}"
        try:
            name = ServiceName.parse(event.repository)
            if name.space != STAGING or event.tag is None:
                return f"{what}: not a tag of {STAGING}/"
            check_trusted_name(name.trusted, event.tag)
            reference = Reference(hook.registry, event.repository, event.tag)
            account = HOOK_PREFIX + delivery.sender
            submission = await self._bring(reference, event.repository, name.trusted, event.tag, account, "hook")
        except (Unavailable, QueueFull):
            raise
        except GefError as error:
            log.warning("webhook of %s, %s: %s", delivery.sender, what, error)
            return f"{what}: {error}"
        return f"{what}: {submission.id}"

    async def _bring(
        self, reference: Reference, held_in: str, target: str, tag: str, account: str, source: str
    ) -> Submission:
        if not self._config.is_listed(reference.host):
            raise Denied(
                f"images are not fetched from {reference.host}",
                hint="its operator lists them as [sources] registries; or push the image here",
            )
        async with self._turn, self._client(reference.host) as client:
            try:
                async with asyncio.timeout(MAX_FETCH_S):
                    fetched = await client.resolve(reference)
                    pinned = reference.at(fetched.digest)
                    request = _request(fetched, target, tag, account, held_in, source)
                    await self._desk.check(request)
                    await _Copy(client, self._blobs, self._catalogue, held_in, account).image(pinned, fetched)
            except TimeoutError as error:
                raise Unavailable(f"{reference} could not be fetched within {MAX_FETCH_S:.0f} s") from error
        return await self._desk.submit(request)

    def _client(self, host: str) -> RegistryClient:
        addresses = None if host in self._config.private else AddressPolicy()
        settings = ClientSettings(addresses=addresses, plain_http=self._config.plain_http)
        return RegistryClient(settings, self._config.credentials or NoCredentials())


class _Copy:
    """One image on its way in: children before their index, blobs before their manifest.

    Bounded in children and bytes. A blob that the store has is taken over only when the submitter may see it in this
    very repository: otherwise naming a digest would be a way to read what somebody else has not published.
    """

    def __init__(
        self, client: RegistryClient, blobs: BlobStore, catalogue: Catalogue, repository: str, account: str
    ) -> None:
        self._client = client
        self._blobs = blobs
        self._catalogue = catalogue
        self._repository = repository
        self._account = account
        self._bytes = 0
        self._seen: set[Digest] = set()

    async def image(self, reference: Reference, fetched: FetchedManifest) -> None:
        document = fetched.parsed
        if isinstance(document, Index):
            if len(document.manifests) > MAX_CHILDREN:
                raise BadInput(f"{reference}: an index of {len(document.manifests)} manifests, at most {MAX_CHILDREN}")
            for child in document.manifests:
                await self._child(reference.at(child.digest))
            await self._keep(fetched, document, document.manifests)
        else:
            await self._manifest(reference, fetched, document)

    async def _child(self, reference: Reference) -> None:
        fetched = await self._client.manifest(reference)
        document = fetched.parsed
        if isinstance(document, Index):
            raise BadInput(f"{reference} is an index inside an index")
        if fetched.digest not in self._seen:
            self._seen.add(fetched.digest)
            await self._manifest(reference, fetched, document)

    async def _manifest(self, reference: Reference, fetched: FetchedManifest, document: Manifest) -> None:
        for descriptor in document.references:
            if descriptor.digest not in self._seen:
                self._seen.add(descriptor.digest)
                await self._blob(reference, descriptor)
        await self._keep(fetched, document, document.references)

    async def _keep(
        self, fetched: FetchedManifest, document: Manifest | Index, references: Sequence[Descriptor]
    ) -> None:
        await self._blobs.put(fetched.digest, fetched.raw)
        await self._catalogue.put_manifest(
            self._repository, _stored(document), self._account, tuple((d.digest, d.size) for d in references)
        )

    async def _blob(self, reference: Reference, descriptor: Descriptor) -> None:
        self._bytes += descriptor.size
        if self._bytes > MAX_IMAGE_BYTES:
            raise BadInput(f"{reference}: more than {MAX_IMAGE_BYTES} bytes in all, no image may have so many")
        viewer = Viewer(self._account)
        visible = await self._catalogue.blob_size(self._repository, descriptor.digest, viewer) == descriptor.size
        if not visible or await self._blobs.size(descriptor.digest) != descriptor.size:
            await self._fetch(reference, descriptor)
        await self._catalogue.link_blob(self._repository, descriptor.digest, descriptor.size, self._account)

    async def _fetch(self, reference: Reference, descriptor: Descriptor) -> None:
        record = await self._catalogue.create_upload(self._repository, self._account)
        await self._blobs.begin(record.id)
        try:
            async with self._blobs.hold(record.id) as upload:
                chunks: AsyncIterator[bytes] = self._client.blob(reference, descriptor)
                await upload.append(chunks, at_most=descriptor.size, idle_s=IDLE_S)
                await self._blobs.commit(upload, descriptor.digest)
        except BaseException:
            await self._blobs.discard(record.id)
            raise
        finally:
            await self._catalogue.remove_upload(record.id)


def _request(fetched: FetchedManifest, target: str, tag: str, account: str, held_in: str, source: str) -> Request:
    document = fetched.parsed
    return Request(
        repository=target,
        tag=tag,
        digest=fetched.digest,
        media_type=document.media_type,
        size=len(fetched.raw),
        account=account,
        held_in=held_in,
        source=source,
    )


def _events(delivery: Delivery) -> list[PushEvent]:
    try:
        return parse_delivery(delivery.sender, delivery.body)
    except BadInput as error:
        log.warning("webhook of %s: %s", delivery.sender, error)
        return []


def _stored(document: Manifest | Index) -> StoredManifest:
    return StoredManifest(
        digest=document.digest,
        media_type=document.media_type,
        size=len(document.raw),
        artifact_type=document.artifact_type,
        subject=document.subject.digest if document.subject else None,
        annotations=document.annotations,
    )
