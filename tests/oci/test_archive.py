"""`docker save` archives, old and new, and what happens to those that contradict themselves."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gef_registry.errors import BadInput, GefError, NotFound, Unavailable, VerificationFailed
from gef_registry.oci import media
from gef_registry.oci.archive import DockerArchiveSource
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor, Manifest, parse_manifest
from tests.parts.dockerd import Dockerd
from tests.parts.images import BuiltImage, FileSpec, good_service, raw_tar, write_docker_archive, write_layout
from tests.parts.process import Tool

IMAGE = good_service()
OTHER = good_service(user="1000")


def saved(file: Path, *images: tuple[BuiltImage, str | None], **changes: Any) -> Path:
    """A legacy archive of several images; `changes` alter the first entry of manifest.json."""
    entries: dict[str, FileSpec] = {}
    listing = []
    for image, name in images:
        config = f"{image.config_digest[7:]}.json"
        layers = [f"{d[7:]}/layer.tar" for d in image.diff_ids]
        entries |= {path: FileSpec(tar) for path, tar in zip(layers, image.tars, strict=True)}
        entries[config] = FileSpec(image.config)
        listing.append({"Config": config, "RepoTags": [name] if name else None, "Layers": layers})
    listing[0].update(changes)
    file.write_bytes(raw_tar([*entries.items(), ("manifest.json", FileSpec(json.dumps(listing).encode()))]))
    return file


async def whole(source: DockerArchiveSource) -> tuple[Manifest, dict[str, bytes]]:
    resolved = await source.resolve()
    raw, media_type = await source.manifest(resolved.digest)
    manifest = parse_manifest(raw, media_type)
    assert isinstance(manifest, Manifest)
    assert manifest.digest == resolved.digest
    blobs = {}
    for descriptor in manifest.references:
        content = b"".join([chunk async for chunk in source.blob(descriptor)])
        assert descriptor.digest.matches(content)
        assert descriptor.size == len(content)
        blobs[str(descriptor.digest)] = content
    await source.close()
    await source.close()
    return manifest, blobs


async def failing(path: Path, image: str | None = None) -> GefError:
    source = DockerArchiveSource("docker-archive:x", path, image)
    with pytest.raises(GefError) as caught:
        await source.resolve()
    await source.close()
    return caught.value


async def test_an_old_archive_gets_a_manifest_over_its_own_bytes(tmp_path: Path) -> None:
    file = write_docker_archive(tmp_path / "a.tar", IMAGE, "example/service:1.0.0")
    manifest, blobs = await whole(DockerArchiveSource("docker-archive:a.tar", file))
    assert str(manifest.config.digest) == IMAGE.config_digest
    assert [str(layer.digest) for layer in manifest.layers] == IMAGE.diff_ids
    assert {layer.media_type for layer in manifest.layers} == {media.DOCKER_LAYER}
    assert [blobs[d] for d in IMAGE.diff_ids] == list(IMAGE.tars)


async def test_the_same_content_gives_the_same_synthetic_digest(tmp_path: Path) -> None:
    one = write_docker_archive(tmp_path / "1.tar", IMAGE, "a:1")
    two = saved(tmp_path / "2.tar", (IMAGE, "b:2"))
    first, _ = await whole(DockerArchiveSource("x", one))
    second, _ = await whole(DockerArchiveSource("y", two))
    assert first.digest == second.digest


@pytest.mark.parametrize("asked", ["example/two:1", "docker.io/example/two:1"])
async def test_several_images_are_told_apart_by_name(tmp_path: Path, asked: str) -> None:
    file = saved(tmp_path / "a.tar", (IMAGE, "example/one:1"), (OTHER, "example/two:1"))
    manifest, _ = await whole(DockerArchiveSource("x", file, asked))
    assert str(manifest.config.digest) == OTHER.config_digest
    nameless, unknown = await failing(file), await failing(file, "example/three:1")
    assert isinstance(nameless, BadInput)
    assert isinstance(unknown, NotFound)
    for error in (nameless, unknown):
        assert "example/one:1, example/two:1" in str(error)


async def test_layers_that_are_links_to_others_are_followed_inside_the_tar(tmp_path: Path) -> None:
    tar = IMAGE.tars[0]
    image = good_service(layers=[tar])  # the first layer's bytes again
    config = json.loads(image.config)
    names = [f"{n}/layer.tar" for n in range(len(config["rootfs"]["diff_ids"]))]
    entries = [(name, FileSpec(content)) for name, content in zip(names, image.tars, strict=True)]
    entries[-1] = (names[-1], FileSpec(kind="symlink", target="../0/layer.tar"))
    listing = [{"Config": "c.json", "RepoTags": ["a:1"], "Layers": names}]
    file = tmp_path / "a.tar"
    file.write_bytes(
        raw_tar(
            [*entries, ("c.json", FileSpec(image.config)), ("manifest.json", FileSpec(json.dumps(listing).encode()))]
        )
    )
    manifest, _ = await whole(DockerArchiveSource("x", file))
    assert manifest.layers[0].digest == manifest.layers[-1].digest


async def test_compressed_layers_are_named_by_their_compressed_bytes(tmp_path: Path) -> None:
    packed = [gzip.compress(tar, mtime=0) for tar in IMAGE.tars]
    names = [f"{n}.tar.gz" for n in range(len(packed))]
    listing = [{"Config": "c.json", "RepoTags": None, "Layers": names}]
    file = tmp_path / "a.tar"
    entries = [(name, FileSpec(content)) for name, content in zip(names, packed, strict=True)]
    file.write_bytes(
        raw_tar(
            [*entries, ("c.json", FileSpec(IMAGE.config)), ("manifest.json", FileSpec(json.dumps(listing).encode()))]
        )
    )
    manifest, blobs = await whole(DockerArchiveSource("x", file))
    assert {layer.media_type for layer in manifest.layers} == {media.DOCKER_LAYER_GZIP}
    assert [blobs[str(layer.digest)] for layer in manifest.layers] == packed


def new_style(tmp_path: Path, image: BuiltImage, listed: BuiltImage, name: str = "example/service:1") -> Path:
    """What docker 25 and later save: a layout with a manifest.json beside it."""
    root = write_layout(tmp_path / "layout", image, "1")
    write_layout(root, listed, "1")
    index = {
        "schemaVersion": 2,
        "manifests": [{**image.descriptor, "annotations": {"io.containerd.image.name": f"docker.io/{name}"}}],
    }
    entries = [(f"blobs/sha256/{p.name}", FileSpec(p.read_bytes())) for p in sorted((root / "blobs/sha256").iterdir())]
    listing = [{"Config": f"blobs/sha256/{listed.config_digest[7:]}", "RepoTags": [name],
                "Layers": [f"blobs/sha256/{d[7:]}" for d in listed.layer_digests]}]  # fmt: skip
    entries += [
        ("oci-layout", FileSpec(b'{"imageLayoutVersion":"1.0.0"}')),
        ("index.json", FileSpec(json.dumps(index).encode())),
        ("manifest.json", FileSpec(json.dumps(listing).encode())),
    ]
    (tmp_path / "new.tar").write_bytes(raw_tar(entries))
    return tmp_path / "new.tar"


@pytest.mark.parametrize("asked", [None, "example/service:1"])
async def test_a_new_archive_is_the_layout_in_it(tmp_path: Path, asked: str | None) -> None:
    image = good_service(compression="none")
    manifest, _ = await whole(DockerArchiveSource("x", new_style(tmp_path, image, image), asked))
    assert str(manifest.digest) == image.digest


async def test_an_archive_that_would_load_as_another_image_elsewhere_is_refused(tmp_path: Path) -> None:
    error = await failing(new_style(tmp_path, IMAGE, OTHER))
    assert isinstance(error, VerificationFailed)
    assert "another image" in str(error)


async def test_a_layer_that_contradicts_its_diff_id_is_seen_by_whoever_reads_it(tmp_path: Path) -> None:
    lie = good_service(layers=[IMAGE.tars[1]])
    names = [f"{d[7:]}/layer.tar" for d in IMAGE.diff_ids]
    entries = [(name, FileSpec(lie.tars[0])) for name in names]
    listing = [{"Config": "c", "RepoTags": None, "Layers": names}]
    (tmp_path / "a.tar").write_bytes(
        raw_tar([*entries, ("c", FileSpec(IMAGE.config)), ("manifest.json", FileSpec(json.dumps(listing).encode()))])
    )
    source = DockerArchiveSource("x", tmp_path / "a.tar")
    raw, _ = await source.manifest((await source.resolve()).digest)
    parsed = parse_manifest(raw, None)
    assert isinstance(parsed, Manifest)
    content = b"".join([chunk async for chunk in source.blob(parsed.layers[-1])])
    assert not parsed.layers[-1].digest.matches(content)
    await source.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"Layers": ["x/layer.tar"]}, {"Layers": []}, {"Config": "none.json"}, {"Config": 5}, {"Layers": "x"},
        {"RepoTags": [5]}, {"Config": "manifest.json"}, {"Config": "../../etc/passwd"}, {"Layers": ["../x"] * 2},
    ],
)  # fmt: skip
async def test_a_listing_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    error = await failing(saved(tmp_path / "a.tar", (IMAGE, "a:1"), **changes))
    assert type(error) in (Unavailable, NotFound)


@pytest.mark.parametrize("listing", [b"{}", b"[", b"[1]", b"[]", b'[{"Config":"a","Config":"b"}]'])
async def test_a_broken_listing_is_refused(tmp_path: Path, listing: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(raw_tar([("manifest.json", FileSpec(listing))]))
    assert type(await failing(tmp_path / "a.tar")) in (Unavailable, NotFound)


async def test_a_missing_file_and_a_foreign_tar_say_so(tmp_path: Path) -> None:
    assert isinstance(await failing(tmp_path / "none.tar"), NotFound)
    (tmp_path / "a.tar").write_bytes(raw_tar([("readme", FileSpec(b"x"))]))
    assert "not a docker archive" in str(await failing(tmp_path / "a.tar"))


async def test_another_manifest_or_blob_is_not_there(tmp_path: Path) -> None:
    source = DockerArchiveSource("x", write_docker_archive(tmp_path / "a.tar", IMAGE))
    with pytest.raises(NotFound):
        await source.manifest(Digest.of(b"x"))
    with pytest.raises(NotFound):
        async for _ in source.blob(Descriptor("x", Digest.of(b"x"), 1)):
            pass
    await source.close()


@pytest.mark.real
async def test_what_skopeo_writes_is_read(tmp_path: Path, skopeo: Tool) -> None:
    write_layout(tmp_path / "a", IMAGE, "1")
    target = f"docker-archive:{tmp_path}/a.tar:example/service:1"
    skopeo("copy", "--insecure-policy", f"oci:{tmp_path}/a:1", target)
    manifest, _ = await whole(DockerArchiveSource("x", tmp_path / "a.tar", "example/service:1"))
    assert [str(layer.digest) for layer in manifest.layers] == IMAGE.diff_ids


@pytest.mark.real
async def test_what_the_engine_saves_is_read(tmp_path: Path, dockerd: Dockerd) -> None:
    image = good_service(layers=[IMAGE.tars[0]])  # a layer twice: the engine writes a link
    dockerd.cli("load", "--input", write_docker_archive(tmp_path / "a.tar", image, "example/saved:1"))
    dockerd.cli("save", "--output", tmp_path / "b.tar", "example/saved:1")
    manifest, _ = await whole(DockerArchiveSource("x", tmp_path / "b.tar"))
    assert str(manifest.config.digest) == image.config_digest
