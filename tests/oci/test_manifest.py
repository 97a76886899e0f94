"""Manifests and indexes: whatever could mean two things is refused, and nothing but BadInput ever leaves the parser."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import MAX_MANIFEST_BYTES, Index, Manifest, Platform, parse_manifest
from tests.parts.images import good_service, index_of

A = {"digest": f"sha256:{'a' * 64}", "size": 7}
CONFIG = {"mediaType": media.OCI_CONFIG, **A}
LAYER = {"mediaType": media.OCI_LAYER_GZIP, **A}
IMAGE: dict[str, Any] = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
INDEX: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": media.OCI_INDEX,
    "manifests": [{"mediaType": media.OCI_MANIFEST, **A, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}],
}  # fmt: skip


def parse(document: object, media_type: str | None = None) -> Manifest | Index:
    return parse_manifest(json.dumps(document).encode(), media_type)


def changed(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    merged = {**copy.deepcopy(document), **changes}
    return {key: value for key, value in merged.items() if value != "REMOVED"}


def test_an_image_keeps_its_bytes_and_is_named_by_them() -> None:
    image = good_service()
    found = parse_manifest(image.manifest, media.OCI_MANIFEST)
    assert isinstance(found, Manifest)
    assert found.raw == image.manifest
    assert str(found.digest) == image.digest
    assert [str(layer.digest) for layer in found.layers] == image.layer_digests
    assert found.is_image
    assert found.descriptor.size == len(image.manifest)
    assert found.references[0] == found.config


def test_an_index_names_the_platform_of_each_image() -> None:
    found = parse_manifest(index_of([good_service(), good_service(architecture="arm64", variant="v8")]).manifest, None)
    assert isinstance(found, Index)
    assert [d.platform for d in found.manifests] == [Platform("linux", "amd64"), Platform("linux", "arm64", "v8")]
    assert str(found.manifests[1].platform) == "linux/arm64/v8"


@pytest.mark.parametrize(("document", "implied"), [(IMAGE, media.OCI_MANIFEST), (INDEX, media.OCI_INDEX)])
def test_a_manifest_without_media_type_is_legal_as_umoci_writes_it(document: dict[str, Any], implied: str) -> None:
    assert parse(changed(document, mediaType="REMOVED")).media_type == implied
    assert parse(changed(document, mediaType="REMOVED"), implied).media_type == implied


def test_parameters_of_the_content_type_are_ignored() -> None:
    assert parse(IMAGE, f"{media.OCI_MANIFEST}; charset=utf-8").media_type == media.OCI_MANIFEST


def test_unknown_fields_are_tolerated() -> None:
    assert parse(changed(IMAGE, future={"x": [1.5]}))


def test_an_artifact_is_not_an_image() -> None:
    artifact = parse(changed(IMAGE, artifactType="application/x", subject=LAYER))
    assert isinstance(artifact, Manifest)
    assert not artifact.is_image
    assert artifact.subject is not None
    assert not parse(changed(IMAGE, config={"mediaType": "application/vnd.cncf.helm.config.v1+json", **A})).is_image  # type: ignore[union-attr]


BAD: dict[str, tuple[dict[str, Any], str | None]] = {
    "both kinds (CVE-2021-41190)": (changed(IMAGE, manifests=[]), None),
    "both kinds by spelling": (changed(IMAGE, Manifests=[]), None),
    "a known key in other letters": (changed(IMAGE, layers="REMOVED", LAYERS=[LAYER]), None),
    "a descriptor key in other letters": (changed(IMAGE, layers=[{**LAYER, "Digest": "x"}]), None),
    "neither kind": ({"schemaVersion": 2}, None),
    "schema 1": ({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": []}, None),
    "schema 1 inside schema 2": (changed(IMAGE, fsLayers=[]), None),
    "no schemaVersion": (changed(IMAGE, schemaVersion="REMOVED"), None),
    "schemaVersion as text": (changed(IMAGE, schemaVersion="2"), None),
    "schemaVersion true": (changed(IMAGE, schemaVersion=True), None),
    "schemaVersion as float": (changed(IMAGE, schemaVersion=2.0), None),
    "contradicting media types": (IMAGE, media.DOCKER_MANIFEST),
    "index type on an image": (changed(IMAGE, mediaType=media.OCI_INDEX), None),
    "image type on an index": (INDEX, media.OCI_MANIFEST),
    "unsupported type": (changed(IMAGE, mediaType="application/json"), None),
    "served as html": (changed(IMAGE, mediaType="REMOVED"), "text/html"),
    "media type a number": (changed(IMAGE, mediaType=5), None),
    "no config": (changed(IMAGE, config="REMOVED"), None),
    "config a list": (changed(IMAGE, config=[]), None),
    "layers an object": (changed(IMAGE, layers={}), None),
    "a layer that is text": (changed(IMAGE, layers=["x"]), None),
    "1001 layers": (changed(IMAGE, layers=[LAYER] * 1001), None),
    "no digest": (changed(IMAGE, layers=[{"mediaType": "x", "size": 1}]), None),
    "short digest": (changed(IMAGE, layers=[{**LAYER, "digest": "sha256:aa"}]), None),
    "a path as digest": (changed(IMAGE, layers=[{**LAYER, "digest": "sha256:../../etc/passwd"}]), None),
    "no size": (changed(IMAGE, layers=[{"mediaType": "x", "digest": A["digest"]}]), None),
    "negative size": (changed(IMAGE, layers=[{**LAYER, "size": -1}]), None),
    "huge size": (changed(IMAGE, layers=[{**LAYER, "size": 1 << 62}]), None),
    "size true": (changed(IMAGE, layers=[{**LAYER, "size": True}]), None),
    "size a float": (changed(IMAGE, layers=[{**LAYER, "size": 7.0}]), None),
    "no media type": (changed(IMAGE, layers=[A]), None),
    "annotations a list": (changed(IMAGE, annotations=[]), None),
    "annotation a number": (changed(IMAGE, annotations={"a": 1}), None),
    "urls text": (changed(IMAGE, layers=[{**LAYER, "urls": "http://x"}]), None),
    "subject a text": (changed(IMAGE, subject="x"), None),
    "platform text": (changed(INDEX, manifests=[{**LAYER, "platform": "linux"}]), None),
    "platform numbers": (changed(INDEX, manifests=[{**LAYER, "platform": {"os": 1}}]), None),
    "platform long": (changed(INDEX, manifests=[{**LAYER, "platform": {"os": "l" * 65}}]), None),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_ambiguous_or_malformed_is_refused(name: str) -> None:
    document, media_type = BAD[name]
    with pytest.raises(BadInput) as caught:
        parse(document, media_type)
    assert len(str(caught.value)) < 700


def test_messages_stay_short_however_long_the_value() -> None:
    for document in (changed(IMAGE, schemaVersion="x" * 100_000), changed(IMAGE, mediaType="x" * 100_000)):
        with pytest.raises(BadInput) as caught:
            parse(document, media.OCI_MANIFEST)
        assert len(str(caught.value)) < 700


def test_more_than_four_mebibytes_are_not_read() -> None:
    with pytest.raises(BadInput, match="at most"):
        parse_manifest(b" " * (MAX_MANIFEST_BYTES + 1), None)


def test_sha512_is_computed_when_asked() -> None:
    raw = json.dumps(IMAGE).encode()
    assert parse_manifest(raw, None, algorithm="sha512").digest == Digest.of(raw, "sha512")


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
    | st.sampled_from([CONFIG, LAYER, A["digest"], media.OCI_MANIFEST, media.OCI_INDEX, 2]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*IMAGE, *INDEX, *LAYER, "subject", "annotations", "urls", "platform", "x"]), inner, max_size=5),
    max_leaves=15,
)  # fmt: skip


@given(
    st.sampled_from([IMAGE, INDEX]),
    st.dictionaries(
        st.sampled_from([*IMAGE, "manifests", "subject", "annotations", "artifactType"]), _junk, max_size=3
    ),
    st.none() | st.sampled_from([*media.ACCEPT, "text/plain", ""]),
)
@settings(max_examples=120)
def test_mutated_manifests_are_read_or_bad_input(
    base: dict[str, Any], changes: dict[str, Any], given_type: str | None
) -> None:
    raw = json.dumps({**base, **changes}).encode()
    try:
        found = parse_manifest(raw, given_type)
    except BadInput:
        return
    assert found.digest == Digest.of(raw)
    assert (found.media_type in media.INDEXES) is isinstance(found, Index)


@given(st.binary(max_size=100) | _junk.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=50)
def test_arbitrary_bytes_are_bad_input(raw: bytes) -> None:
    with contextlib.suppress(BadInput):
        parse_manifest(raw, None)
