"""What comes in from other registries: hidden bytes stay hidden, indexes are bounded, deliveries wait their turn."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from gef_registry.admission.bell import Bell
from gef_registry.admission.desk import Desk
from gef_registry.admission.rights import Account, Role
from gef_registry.distribution.blobs import BlobStore
from gef_registry.distribution.ports import Viewer
from gef_registry.errors import BadInput, Denied, GefError
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.database import Database, sqlite_url
from gef_registry.store.diary import SqlDeliveries
from gef_registry.store.submissions import SqlSubmissions
from gef_registry.wiring import intake
from gef_registry.wiring.intake import HookSource, Intake, IntakeConfig
from tests.parts.images import BuiltImage, good_service

MALLORY = Account("mallory", Role.AUTHOR, frozenset({"evil"}))
TARGET = "trusted/evil/tool"


class Upstream:
    """A registry that serves what it is given, and nothing else."""

    def __init__(self) -> None:
        self.manifests: dict[str, tuple[bytes, str]] = {}
        self.blobs: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.host = ""

    def hold(self, image: BuiltImage, tag: str, *, blobs: bool = True) -> None:
        self.put(image.manifest, image.media_type, tag)
        if blobs:
            self.blobs.update(image.blobs)

    def put(self, raw: bytes, media_type: str, tag: str | None = None) -> Digest:
        digest = Digest.of(raw)
        for name in filter(None, (str(digest), tag)):
            self.manifests[name] = raw, media_type
        return digest

    async def manifest(self, request: web.Request) -> web.Response:
        found = self.manifests.get(request.match_info["reference"])
        self.fetched.append(request.match_info["reference"])
        return web.Response(body=found[0], content_type=found[1]) if found else web.Response(status=404)

    async def blob(self, request: web.Request) -> web.Response:
        found = self.blobs.get(request.match_info["digest"])
        return web.Response(body=found) if found is not None else web.Response(status=404)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    registry = Upstream()
    app = web.Application()
    app.router.add_get("/v2/{name:.+}/manifests/{reference}", registry.manifest)
    app.router.add_get("/v2/{name:.+}/blobs/{digest}", registry.blob)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    registry.host = f"127.0.0.1:{runner.addresses[0][1]}"
    yield registry
    await runner.cleanup()


class Place:
    """A gate's store with an intake in front."""

    def __init__(self, database: Database, directory: Path, host: str) -> None:
        self.catalogue = SqlCatalogue(database)
        self.submissions = SqlSubmissions(database)
        self.deliveries = SqlDeliveries(database)
        self.blobs = BlobStore(directory)
        desk = Desk(self.submissions, self.submissions, Bell(), lambda: datetime.now(UTC), queue_limit=2)
        config = IntakeConfig(
            registries=frozenset({host}),
            private=frozenset({host}),
            plain_http=frozenset({host}),
            hooks={"distribution": HookSource(host, "secret")},
        )
        self.intake = Intake(config, self.blobs, self.catalogue, desk, self.deliveries)


@pytest.fixture
async def place(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Place]:
    database = await Database.open(sqlite_url(tmp_path / "gate.db"))
    here = Place(database, tmp_path / "content", upstream.host)
    yield here
    here.blobs.close()
    await database.close()


async def test_an_image_comes_in_as_the_submitters_candidate(place: Place, upstream: Upstream) -> None:
    image = good_service()
    upstream.hold(image, "1.0")
    submission = await place.intake.submit(f"{upstream.host}/x/tool:1.0", f"{TARGET}:1.0", MALLORY)
    assert str(submission.request.digest) == image.digest
    assert await place.catalogue.manifest(TARGET, submission.request.digest, Viewer("mallory")) is not None
    assert await place.catalogue.manifest(TARGET, submission.request.digest, Viewer()) is None


async def test_p1_naming_the_digest_of_hidden_bytes_does_not_make_them_readable(
    place: Place, upstream: Upstream
) -> None:
    secret = b"somebody else's candidate layer"
    digest = Digest.of(secret)
    await place.blobs.put(digest, secret)
    await place.catalogue.link_blob("trusted/seismo/wf", digest, len(secret), "ada")
    image = good_service()
    document = json.loads(image.manifest)
    document["layers"].append({"mediaType": media.OCI_LAYER, "digest": str(digest), "size": len(secret)})
    upstream.blobs.update(image.blobs)
    upstream.put(json.dumps(document).encode(), image.media_type, "1.0")
    with pytest.raises(GefError):
        await place.intake.submit(f"{upstream.host}/x/tool:1.0", f"{TARGET}:1.0", MALLORY)
    assert await place.catalogue.blob_size(TARGET, digest, Viewer("mallory")) is None


async def test_p9_an_index_inside_an_index_and_one_of_too_many_are_refused(place: Place, upstream: Upstream) -> None:
    empty = upstream.put(
        json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": []}).encode(), media.OCI_INDEX
    )
    entry = {"mediaType": media.OCI_INDEX, "digest": str(empty), "size": 10}
    nested = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [entry]}
    upstream.put(json.dumps(nested).encode(), media.OCI_INDEX, "nested")
    with pytest.raises(BadInput, match="index inside an index"):
        await place.intake.submit(f"{upstream.host}/x/tool:nested", f"{TARGET}:1.0", MALLORY)
    many = {**nested, "manifests": [entry] * (intake.MAX_CHILDREN + 1)}
    upstream.put(json.dumps(many).encode(), media.OCI_INDEX, "many")
    upstream.fetched.clear()
    with pytest.raises(BadInput, match="at most"):
        await place.intake.submit(f"{upstream.host}/x/tool:many", f"{TARGET}:1.0", MALLORY)
    assert str(empty) not in upstream.fetched


async def test_a_registry_that_is_not_listed_and_a_foreign_community_are_refused(
    place: Place, upstream: Upstream
) -> None:
    with pytest.raises(Denied, match=r"\[sources\]"):
        await place.intake.submit("registry.example/x/tool:1.0", f"{TARGET}:1.0", MALLORY)
    with pytest.raises(Denied, match="own community"):
        await place.intake.submit(f"{upstream.host}/x/tool:1.0", "trusted/seismo/wf:1.0", MALLORY)
    assert upstream.fetched == []


async def test_p6_a_delivery_that_cannot_be_acted_upon_waits_and_holds_nobody_up(
    place: Place, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gef_registry.web.webhooks.events import PushEvent

    good = good_service()
    upstream.hold(good, "2.0")
    broken = Digest.of(b"nowhere")
    for tag, digest in (("1.0", str(broken)), ("2.0", good.digest)):
        pushed = PushEvent(f"e-{tag}", "staging/seismo/wf", Digest.parse(digest), tag, media.OCI_MANIFEST)
        await place.deliveries.keep("distribution", pushed.event, pushed.body)

    async def unreachable(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    follow = place.intake._follow

    async def failing_for_the_first(hook: HookSource, delivery: object, pushed: PushEvent) -> str:
        if pushed.tag == "1.0":
            await unreachable()
        return await follow(hook, delivery, pushed)  # type: ignore[arg-type]

    monkeypatch.setattr(place.intake, "_follow", failing_for_the_first)
    for delivery in await place.deliveries.waiting():
        await place.intake._act(delivery)
    assert [s.request.tag for s in await place.submissions.listing()] == ["2.0"]
    assert await place.deliveries.waiting() == []  # the first is put off, not lost
    await place.deliveries.put_off(1, -1.0)
    (again,) = await place.deliveries.waiting()
    assert again.attempts == 2
