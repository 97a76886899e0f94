"""Facts of whole images: every platform, each layer once, nothing believed, nothing that is wrong passed over."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gef_registry.errors import NotFound, Unavailable, VerificationFailed
from gef_registry.facts.cache import DirectoryCache
from gef_registry.facts.gather import gather
from gef_registry.facts.limits import Limits
from gef_registry.facts.model import Fate, ImageFacts, PasswdState, ProblemKind
from gef_registry.oci.layout import layout_directory
from tests.fakes.memory_source import MemorySource
from tests.parts.images import (
    OCI_CONFIG,
    OCI_INDEX,
    BuiltImage,
    BuiltIndex,
    build_image,
    build_oci_layout,
    canonical,
    digest_of,
    good_service,
    index_of,
    layer,
)

KINDS = ProblemKind


def kinds(facts: ImageFacts) -> set[ProblemKind]:
    return {problem.kind for problem in facts.problems}


def changed(image: BuiltImage, **changes: Any) -> BuiltImage:
    """The image with fields of its manifest replaced."""
    manifest = canonical({**json.loads(image.manifest), **changes})
    return BuiltImage(manifest, image.config, image.blobs, image.media_type, image.tars, image.platform)


def with_config(image: BuiltImage, config: bytes) -> BuiltImage:
    blobs = {**image.blobs, digest_of(config): config}
    descriptor = {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)}
    manifest = canonical({**json.loads(image.manifest), "config": descriptor})
    return BuiltImage(manifest, config, blobs, image.media_type, image.tars, image.platform)


class Bar:
    """A progress that keeps what it was told."""

    def __init__(self) -> None:
        self.total = self.done = self.layers = 0

    def start(self, total_bytes: int) -> None:
        self.total = total_bytes

    def layer(self, name: str) -> None:
        self.layers += 1

    def advance(self, amount: int) -> None:
        self.done += amount


async def test_a_good_image_has_facts_and_no_problems() -> None:
    image = good_service()
    facts = await gather(MemorySource(image))
    (platform,) = facts.platforms
    assert facts.problems == ()
    assert str(facts.subject.digest) == image.digest
    assert platform.name == "linux/amd64"
    assert str(platform.config_digest) == image.config_digest
    assert [str(found.content.diff_id) for found in platform.layers if found.content] == image.diff_ids
    assert platform.passwd.state is PasswdState.PRESENT
    assert facts.uncompressed_bytes == sum(map(len, image.tars))


async def test_an_oci_layout_on_disk_gives_the_same_facts(tmp_path: Path) -> None:
    built = build_oci_layout(tmp_path / "oci", platforms=["linux/amd64", "linux/arm64"])
    source = layout_directory("layout", tmp_path / "oci")
    facts = await gather(source)
    await source.close()
    assert facts == await gather(MemorySource(built))
    assert [platform.name for platform in facts.platforms] == ["linux/amd64", "linux/arm64"]


async def test_layers_that_platforms_share_are_read_once() -> None:
    source = MemorySource(index_of([good_service(), good_service(architecture="arm64")]))
    bar = Bar()
    facts = await gather(source, progress=bar)
    assert facts.problems == ()
    layers = {str(layer.descriptor.digest) for platform in facts.platforms for layer in platform.layers}
    assert {digest: source.fetched[digest] for digest in layers} == dict.fromkeys(layers, 1)
    assert (bar.total, bar.layers) == (bar.done, len(layers))


async def test_a_key_in_a_deleted_file_is_seen_with_its_fate(pem_key: bytes) -> None:
    image = good_service(layers=[layer({"root/id": pem_key}), layer(whiteouts=["root/id"])])
    (platform,) = (await gather(MemorySource(image))).platforms
    (key,) = platform.layer_keys
    assert (key.layer, str(key.diff_id), key.fate) == (2, image.diff_ids[2], Fate.DELETED)


async def test_keys_in_words_of_the_configuration_are_seen_with_their_place(pem_key: bytes) -> None:
    text = pem_key.decode()
    image = good_service(
        env=["PATH=/bin", f"KEY={text}"], labels={"note": text}, cmd=["echo", text], entrypoint=["/bin/service"],
        history=[{"created_by": "COPY"}, {"created_by": f"RUN echo '{text}'"}],
    )  # fmt: skip
    (platform,) = (await gather(MemorySource(image))).platforms
    places = {key.place for key in platform.config_keys}
    assert places == {"the variable KEY", "the label note", "history entry 2", "the command"}


async def test_known_facts_come_from_the_cache_and_blobs_are_hashed_again(tmp_path: Path) -> None:
    cache = DirectoryCache(tmp_path)
    source = MemorySource(good_service())
    first = await gather(source, cache=cache)
    assert await gather(source, cache=cache) == first
    assert set(source.fetched.values()) == {2}
    digest = str(first.platforms[0].layers[0].descriptor.digest)
    source.blobs[digest] = source.blobs[digest][:-1] + b"!"
    assert kinds(await gather(source, cache=cache)) == {KINDS.DIGEST_MISMATCH}


async def test_a_forged_diff_id_does_not_fetch_anothers_facts(tmp_path: Path) -> None:
    cache = DirectoryCache(tmp_path)
    clean, bad = layer({"clean": b"1"}), layer({"bad": b"2"})
    honest = build_image(config={}, layers=[clean])
    assert (await gather(MemorySource(honest), cache=cache)).problems == ()
    lie = {"type": "layers", "diff_ids": [digest_of(clean)]}
    forged = build_image(config={"rootfs": lie}, layers=[bad])
    for _ in range(2):
        assert kinds(await gather(MemorySource(forged), cache=cache)) == {KINDS.DIFF_ID_MISMATCH}


async def test_a_bomb_in_the_cache_is_still_bounded_by_the_budget(tmp_path: Path) -> None:
    cache, image = DirectoryCache(tmp_path), good_service()
    limits = Limits(uncompressed_bytes=sum(map(len, image.tars)) * 3 // 2)
    assert (await gather(MemorySource(image), cache=cache, limits=limits)).problems == ()
    more = good_service(layers=[layer({"more": b"x" * limits.uncompressed_bytes})])
    assert kinds(await gather(MemorySource(more), cache=cache, limits=limits)) == {KINDS.LIMIT_EXCEEDED}


def _second_layer_gone(source: MemorySource, image: BuiltImage) -> None:
    del source.blobs[image.layer_digests[1]]


def _layer_swapped(source: MemorySource, image: BuiltImage) -> None:
    first, second = image.layer_digests[:2]
    source.blobs[second] = source.blobs[first].ljust(len(source.blobs[second]), b"\0")[: len(source.blobs[second])]


def _layer_truncated(source: MemorySource, image: BuiltImage) -> None:
    source.blobs[image.layer_digests[0]] = source.blobs[image.layer_digests[0]][:-20]


def _config_altered(source: MemorySource, image: BuiltImage) -> None:
    source.blobs[image.config_digest] = image.config.replace(b"65534", b"00000")


def _config_gone(source: MemorySource, image: BuiltImage) -> None:
    del source.blobs[image.config_digest]


def _manifest_altered(source: MemorySource, image: BuiltImage) -> None:
    source.blobs[image.digest] = image.manifest + b" "


def _source_says_it_lies(source: MemorySource, image: BuiltImage) -> None:
    source.fail[image.layer_digests[0]] = VerificationFailed("other bytes")


STORE_DEFECTS = {
    _second_layer_gone: KINDS.MISSING,
    _layer_swapped: KINDS.DIGEST_MISMATCH,
    _layer_truncated: KINDS.SIZE_MISMATCH,
    _config_altered: KINDS.DIGEST_MISMATCH,
    _config_gone: KINDS.MISSING,
    _manifest_altered: KINDS.DIGEST_MISMATCH,
    _source_says_it_lies: KINDS.DIGEST_MISMATCH,
}


@pytest.mark.parametrize("defect", STORE_DEFECTS, ids=lambda defect: defect.__name__.strip("_"))
async def test_what_a_store_lost_or_altered_is_a_problem(defect: Any) -> None:
    image = good_service(layers=[layer({"extra": b"1" * 5000})])
    source = MemorySource(image)
    defect(source, image)
    assert kinds(await gather(source)) == {STORE_DEFECTS[defect]}


async def test_a_registry_that_cannot_be_reached_is_no_fact_about_the_image() -> None:
    image = good_service()
    source = MemorySource(image)
    source.fail[image.layer_digests[0]] = Unavailable("the registry is down")
    with pytest.raises(Unavailable):
        await gather(source)


async def test_a_subject_that_is_not_there_is_said_so() -> None:
    source = MemorySource(good_service())
    source.blobs.clear()
    with pytest.raises(NotFound):
        await gather(source)


async def test_a_crash_of_our_own_reading_is_no_verdict() -> None:
    image = good_service()
    source = MemorySource(image)
    source.fail[image.layer_digests[0]] = RuntimeError("bug")
    facts = await gather(source)
    assert kinds(facts) == {KINDS.UNREADABLE_HERE}
    assert "bug" not in facts.problems[0].message


async def test_a_registry_that_stalls_meets_the_clock() -> None:
    image = good_service()
    source = MemorySource(image, chunk=10)
    source.stall = image.layer_digests[0]
    with pytest.raises(Unavailable, match="took longer"):
        await gather(source, limits=Limits(wall_clock_s=0.2))


async def test_whoever_goes_away_stops_the_reading() -> None:
    image = good_service()
    source = MemorySource(image, chunk=10)
    source.stall = image.layer_digests[0]
    task = asyncio.create_task(gather(source))
    while not source.fetched[image.layer_digests[0]]:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


LAYER = "application/vnd.oci.image.layer"


def relabelled(media_type: str, **more: Any) -> BuiltImage:
    image = good_service()
    layers = json.loads(image.manifest)["layers"]
    return changed(image, layers=[layers[0], {**layers[1], "mediaType": media_type, **more}])


IMAGES = {
    "an unknown layer type": (relabelled("application/x-squashfs"), KINDS.UNSUPPORTED_CONTENT),
    "a foreign layer": (relabelled(f"{LAYER}.nondistributable.v1.tar+gzip"), KINDS.FOREIGN_LAYER),
    "a layer with urls": (relabelled(f"{LAYER}.v1.tar+gzip", urls=["https://example.org/l"]), KINDS.FOREIGN_LAYER),
    "plain claimed, gzip sent": (relabelled(f"{LAYER}.v1.tar"), KINDS.MALFORMED_ARCHIVE),
    "zstd claimed, gzip sent": (relabelled(f"{LAYER}.v1.tar+zstd"), KINDS.CORRUPT_COMPRESSION),
    "other embedded data": (relabelled(f"{LAYER}.v1.tar+gzip", data="AAAA"), KINDS.DIGEST_MISMATCH),
    "an artifact": (changed(good_service(), artifactType="application/x-thing"), KINDS.NOT_AN_IMAGE),
    "a sha512 layer": (relabelled(f"{LAYER}.v1.tar+gzip", digest="sha512:" + "0" * 128), KINDS.UNSUPPORTED_CONTENT),
    "a layer too few": (changed(good_service(), layers=json.loads(good_service().manifest)["layers"][:1]), KINDS.LAYER_COUNT_MISMATCH),
    "no manifest at all": (changed(good_service(), schemaVersion=1), KINDS.MALFORMED_MANIFEST),
    "image and index at once": (changed(good_service(), manifests=[]), KINDS.MALFORMED_MANIFEST),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
async def test_what_nobody_here_can_read_is_never_passed_over(name: str) -> None:
    image, kind = IMAGES[name]
    assert kinds(await gather(MemorySource(image))) == {kind}


CONFIGS = {
    "duplicate keys": b'{"os":"linux","os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}',
    "keys that differ in case": b'{"os":"linux","OS":"linux","rootfs":{"type":"layers","diff_ids":[]}}',
    "deep nesting": b'{"rootfs":{"type":"layers","diff_ids":[]},"x":' + b"[" * 70_000 + b"]" * 70_000 + b"}",
    "no UTF-8": b'{"os":"\xff","rootfs":{"type":"layers","diff_ids":[]}}',
    "a NUL": b'{"os":"a\\u0000","rootfs":{"type":"layers","diff_ids":[]}}',
    "another rootfs": b'{"os":"linux","rootfs":{"type":"snapshots","diff_ids":[]}}',
    "no JSON": b"FROM scratch",
    "a list": b"[]",
}


@pytest.mark.parametrize("name", CONFIGS)
async def test_a_malformed_configuration_is_a_problem(name: str) -> None:
    facts = await gather(MemorySource(with_config(good_service(), CONFIGS[name])))
    assert kinds(facts) == {KINDS.MALFORMED_CONFIG}
    assert facts.platforms[0].config is None


async def test_a_configuration_of_100_megabytes_is_not_even_read() -> None:
    image = good_service()
    descriptor = {"mediaType": OCI_CONFIG, "digest": image.config_digest, "size": 100 << 20}
    source = MemorySource(changed(image, config=descriptor))
    assert kinds(await gather(source)) == {KINDS.MALFORMED_CONFIG}
    assert source.fetched[image.config_digest] == 0


def index(*entries: dict[str, Any], images: tuple[BuiltImage, ...] = ()) -> BuiltIndex:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
    return BuiltIndex(canonical(document), images, OCI_INDEX)


def entry(image: BuiltImage, platform: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {**image.descriptor, "platform": platform or image.platform, **more}


UNKNOWN = {"os": "unknown", "architecture": "unknown"}
ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}


def attestation(media_type: str = "application/vnd.in-toto+json") -> BuiltImage:
    image = build_image(
        config={"os": "unknown", "architecture": "unknown"}, layers=[b'{"_type":"x"}'], compression="none"
    )
    return changed(image, layers=[{**json.loads(image.manifest)["layers"][0], "mediaType": media_type}])


async def test_attestations_are_recorded_verified_and_not_judged_as_images() -> None:
    image, evidence = good_service(), attestation()
    built = index(entry(image), entry(evidence, UNKNOWN, annotations=ATTESTATION), images=(image, evidence))
    source = MemorySource(built)
    facts = await gather(source)
    assert facts.problems == ()
    assert (len(facts.platforms), len(facts.attestations)) == (1, 1)
    source.blobs[evidence.layer_digests[0]] = b'{"_type":"y"}'
    assert kinds(await gather(source)) == {KINDS.DIGEST_MISMATCH}


async def test_an_image_in_the_clothes_of_an_attestation_is_refused() -> None:
    image = good_service()
    built = index(entry(image), entry(image, UNKNOWN, annotations=ATTESTATION), images=(image,))
    assert kinds(await gather(MemorySource(built))) == {KINDS.UNSUPPORTED_CONTENT}


ONE, TWO = good_service(), good_service(files={"x": b"2"})
NESTED = index_of([ONE])
INDEXES = {
    "two images for one platform": (index(entry(ONE), entry(TWO), images=(ONE, TWO)), KINDS.AMBIGUOUS_INDEX),
    "no platform and no attestation": (index(entry(ONE, UNKNOWN), images=(ONE,)), KINDS.AMBIGUOUS_INDEX),
    "another platform than the configuration": (
        index(entry(ONE, {"os": "linux", "architecture": "arm64"}), images=(ONE,)), KINDS.AMBIGUOUS_INDEX,
    ),
    "an empty index": (index(), KINDS.NOT_AN_IMAGE),
    "a child that is missing": (index(entry(ONE), entry(TWO, {"os": "linux", "architecture": "arm64"}), images=(ONE,)), KINDS.MISSING),
    "an index inside": (BuiltIndex(canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [NESTED.descriptor]}), (NESTED,), OCI_INDEX), KINDS.NESTED_INDEX),  # type: ignore[arg-type]
    "a child with another size": (index({**entry(ONE), "size": 5}, images=(ONE,)), KINDS.SIZE_MISMATCH),
}  # fmt: skip


@pytest.mark.parametrize("name", INDEXES)
async def test_an_index_that_is_not_clear_is_a_problem(name: str) -> None:
    built, kind = INDEXES[name]
    assert kinds(await gather(MemorySource(built))) == {kind}


async def test_a_layer_list_or_index_without_end_is_not_read() -> None:
    image = good_service()
    assert kinds(await gather(MemorySource(image), limits=Limits(layers=1))) == {KINDS.LIMIT_EXCEEDED}
    built = index_of([image, good_service(architecture="arm64")])
    assert kinds(await gather(MemorySource(built), limits=Limits(children=1))) == {KINDS.LIMIT_EXCEEDED}


async def test_stored_layers_that_are_too_large_together_are_not_even_fetched() -> None:
    image = good_service()
    source = MemorySource(image)
    assert kinds(await gather(source, limits=Limits(uncompressed_bytes=300))) == {KINDS.LIMIT_EXCEEDED}
    assert all(source.fetched[digest] == 0 for digest in image.layer_digests)


async def test_one_bad_platform_spoils_an_index_whose_first_is_good() -> None:
    good, bad = good_service(), good_service(architecture="arm64", layers=[layer({"x": b"y" * 3000})])
    source = MemorySource(index_of([good, bad]))
    source.blobs[bad.layer_digests[-1]] = b"!" * len(source.blobs[bad.layer_digests[-1]])
    (problem,) = (await gather(source)).problems
    assert (problem.kind, problem.platform) == (KINDS.DIGEST_MISMATCH, "linux/arm64")
