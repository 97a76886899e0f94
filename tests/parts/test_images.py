"""The builders themselves: other people's programs must accept what they write."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.parts.images import (
    BuiltIndex,
    build_image,
    build_oci_layout,
    good_service,
    index_of,
    layer,
    write_docker_archive,
    write_layout,
    write_oci_archive,
)
from tests.parts.layouts import blobs_of
from tests.parts.process import Tool


def test_the_same_arguments_give_the_same_digest() -> None:
    assert good_service().digest == good_service().digest
    assert good_service().digest != good_service(user="root").digest


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_every_descriptor_names_the_bytes_it_stands_for(compression: str) -> None:
    image = good_service(compression=compression)
    manifest = json.loads(image.manifest)
    for entry in (manifest["config"], *manifest["layers"]):
        blob = image.blobs[entry["digest"]]
        assert entry["digest"] == "sha256:" + hashlib.sha256(blob).hexdigest()
        assert entry["size"] == len(blob)
    assert json.loads(image.config)["rootfs"]["diff_ids"] == image.diff_ids


def test_a_label_set_to_none_is_removed() -> None:
    assert "eudat.gef.service.name" not in good_service(labels={"eudat.gef.service.name": None}).labels


def test_a_lying_rootfs_is_kept_as_given() -> None:
    lie = {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}
    image = build_image(config={"rootfs": lie}, layers=[layer({"a": b"a"})])
    assert json.loads(image.config)["rootfs"] == lie


def test_a_whiteout_is_an_empty_entry_beside_the_name() -> None:
    assert b"root/.ssh/.wh.id_rsa" in layer(whiteouts=["root/.ssh/id_rsa"])


def test_an_index_carries_the_platform_and_blobs_of_each_image() -> None:
    index = index_of([good_service(), good_service(architecture="arm64", variant="v8")])
    platforms = [entry["platform"] for entry in json.loads(index.manifest)["manifests"]]
    assert platforms == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    assert {index.digest, *(image.digest for image in index.images)} <= set(blobs_of(index))


@pytest.mark.real
def test_skopeo_reads_every_form_and_agrees_on_the_digest(skopeo: Tool, busybox: str, tmp_path: Path) -> None:
    image = good_service(runs=True)
    write_layout(tmp_path / "oci", image, "1.0.0")
    write_oci_archive(tmp_path / "oci.tar", image, "1.0.0")
    write_docker_archive(tmp_path / "docker.tar", image, "example/service:1.0.0")
    for name in (f"oci:{tmp_path}/oci:1.0.0", f"oci-archive:{tmp_path}/oci.tar:1.0.0"):
        assert json.loads(skopeo("inspect", name).stdout)["Digest"] == image.digest
    config = skopeo("inspect", "--config", "--raw", f"docker-archive:{tmp_path}/docker.tar").stdout
    assert json.loads(config) == json.loads(image.config)


@pytest.mark.real
def test_skopeo_reads_a_layout_of_several_platforms(skopeo: Tool, tmp_path: Path) -> None:
    index = build_oci_layout(tmp_path / "oci", platforms=["linux/amd64", "linux/arm64"], tag="2")
    assert isinstance(index, BuiltIndex)
    assert json.loads(skopeo("inspect", "--raw", f"oci:{tmp_path}/oci:2").stdout) == json.loads(index.manifest)
