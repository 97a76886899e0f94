"""Image configurations: read as the engine (Go) would read them, or refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput
from gef_registry.oci.config import MAX_CONFIG_BYTES, ImageConfig, parse_config
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Platform
from tests.parts.images import good_service

ROOTFS = {"type": "layers", "diff_ids": [f"sha256:{'a' * 64}"]}


def parse(config: Any = None, **document: Any) -> ImageConfig:
    base = {"os": "linux", "architecture": "amd64", "rootfs": ROOTFS, **document}
    return parse_config(json.dumps(base if config is None else {**base, "config": config}).encode())


def test_a_service_image_is_read_whole() -> None:
    image = good_service()
    found = parse_config(image.config)
    assert str(found.digest) == image.config_digest
    assert found.raw == image.config
    assert found.platform == Platform("linux", "amd64")
    assert found.user == "65534:65534"
    assert found.has_command
    assert dict(found.labels) == image.labels
    assert [str(d) for d in found.diff_ids] == image.diff_ids
    assert len(found.history) == len(image.diff_ids)


def test_an_empty_configuration_has_no_command_and_no_labels() -> None:
    found = parse()
    assert (found.user, found.has_command, dict(found.labels), found.history) == ("", False, {}, ())
    assert parse({"Cmd": None, "Entrypoint": [], "Labels": None, "Volumes": None}).has_command is False


def test_fields_in_other_letters_are_read_as_go_reads_them() -> None:
    found = parse({"USER": "root", "labels": {"a": "b"}}, HISTORY=[{"Created_By": "x", "EMPTY_LAYER": True}])
    assert found.user == "root"
    assert dict(found.labels) == {"a": "b"}
    assert found.history[0].created_by == "x"
    assert found.history[0].empty_layer


def test_label_keys_keep_their_case() -> None:
    assert set(parse({"Labels": {"A": "1", "a": "2"}}).labels) == {"A", "a"}


@pytest.mark.parametrize(
    "document",
    [
        {"config": {"User": "65534", "user": "0"}},
        {"config": {}, "Config": {}},
        {"config": {"Uſer": "0", "User": "1"}},
        {"rootfs": {**ROOTFS, "DIFF_IDS": []}},
        {"history": [{"created_by": "a", "Created_by": "b"}]},
    ],
)
def test_two_spellings_of_one_field_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="differ only in letter case"):
        parse(**document)


@pytest.mark.parametrize(
    "document",
    [
        {"config": []}, {"config": {"User": 5}}, {"config": {"User": "a\0"}}, {"config": {"Cmd": "sh"}},
        {"config": {"Cmd": ["a\0b"]}}, {"config": {"Env": {"a": "b"}}}, {"config": {"Labels": []}},
        {"config": {"Labels": {"a": 1}}}, {"config": {"Volumes": ["/a"]}}, {"rootfs": None}, {"rootfs": {"type": "x"}},
        {"rootfs": {"type": "layers", "diff_ids": ["sha256:1"]}}, {"rootfs": {"type": "layers", "diff_ids": [1]}},
        {"rootfs": {"type": "y" * 10_000}}, {"history": {}}, {"history": ["x"]}, {"os": 1}, {"created": []},
        {"history": [{"created_by": 1}]},
    ],
)  # fmt: skip
def test_wrong_types_are_refused_briefly(document: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as caught:
        parse(**document)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b'{"a":1,"a":2}', b"\xff{}", b"[" * 100_000])
def test_what_is_not_one_strict_object_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInput):
        parse_config(raw)


def test_a_configuration_of_a_hundred_megabytes_is_refused_by_its_size() -> None:
    with pytest.raises(BadInput, match="at most"):
        parse_config(bytes(MAX_CONFIG_BYTES + 1))


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["User", "user", "Cmd", "Labels", "type", "diff_ids", "created_by"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["config", "rootfs", "history", "os", "created", "Config"]), _junk, max_size=4))
@settings(max_examples=80)
def test_any_document_is_read_or_bad_input(document: dict[str, Any]) -> None:
    raw = json.dumps({"rootfs": ROOTFS, **document}).encode()
    with contextlib.suppress(BadInput):
        assert parse_config(raw).digest == Digest.of(raw)
