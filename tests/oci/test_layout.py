"""OCI layouts, as directories and as tars: what is found, what is refused, and that nothing outside can be reached."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from gef_registry.errors import BadInput, GefError, NotFound, Unavailable, VerificationFailed
from gef_registry.oci.digest import Digest
from gef_registry.oci.layout import CHUNK_BYTES, LayoutSource, layout_archive, layout_directory
from gef_registry.oci.manifest import Descriptor, Manifest, parse_manifest
from tests.parts.images import (
    BuiltImage,
    FileSpec,
    good_service,
    index_of,
    layer,
    raw_tar,
    write_layout,
    write_oci_archive,
)
from tests.parts.process import Tool

IMAGE = good_service()
OTHER = good_service(user="1000")


def blob_file(root: Path, digest: str) -> Path:
    return root / "blobs" / "sha256" / digest.removeprefix("sha256:")


def rewrite_index(root: Path, manifests: list[dict[str, Any]], **fields: Any) -> None:
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests, **fields}))


async def read_all(source: LayoutSource, descriptor: Descriptor) -> bytes:
    return b"".join([chunk async for chunk in source.blob(descriptor)])


async def check_whole(source: LayoutSource, image: BuiltImage) -> None:
    """The image and every blob of it come out as they went in."""
    resolved = await source.resolve()
    assert str(resolved.digest) == image.digest
    raw, media_type = await source.manifest(resolved.digest)
    assert raw == image.manifest
    manifest = parse_manifest(raw, media_type)
    assert isinstance(manifest, Manifest)
    for descriptor in manifest.references:
        assert await read_all(source, descriptor) == image.blobs[str(descriptor.digest)]
    await source.close()
    await source.close()


async def failing(source: LayoutSource) -> GefError:
    with pytest.raises(GefError) as caught:
        await source.resolve()
    await source.close()
    return caught.value


@pytest.mark.parametrize("tag", ["1.0.0", None])
async def test_a_directory_is_read_whole_with_and_without_its_tag(tmp_path: Path, tag: str | None) -> None:
    await check_whole(layout_directory("oci:x", write_layout(tmp_path / "a", IMAGE, "1.0.0"), tag), IMAGE)


@pytest.mark.parametrize("tag", ["1.0.0", None])
async def test_a_tar_is_read_whole_with_and_without_its_tag(tmp_path: Path, tag: str | None) -> None:
    await check_whole(layout_archive("oci:x", write_oci_archive(tmp_path / "a.tar", IMAGE, "1.0.0"), tag), IMAGE)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
async def test_a_tar_made_with_tar_of_a_directory_is_read(tmp_path: Path, form: int) -> None:
    write_layout(tmp_path / "a", IMAGE, "1.0.0")
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        tar.add(tmp_path / "a", arcname=".")
    await check_whole(layout_archive("oci:x", tmp_path / "a.tar"), IMAGE)


async def test_two_tags_are_told_apart_and_listed(tmp_path: Path) -> None:
    root = write_layout(write_layout(tmp_path / "a", IMAGE, "one"), OTHER, "two")
    await check_whole(layout_directory("oci:x", root, "two"), OTHER)
    nameless = await failing(layout_directory("oci:x", root))
    assert isinstance(nameless, BadInput)
    assert "one, two" in str(nameless)
    unknown = await failing(layout_directory("oci:x", root, "three"))
    assert isinstance(unknown, NotFound)
    assert "one, two" in str(unknown)


async def test_an_image_can_be_named_by_its_digest_also_when_no_index_lists_it(tmp_path: Path) -> None:
    root = write_layout(write_layout(tmp_path / "a", IMAGE, "one"), OTHER, "two")
    await check_whole(layout_directory("oci:x", root, digest=Digest.parse(IMAGE.digest)), IMAGE)
    rewrite_index(root, [])
    await check_whole(layout_directory("oci:x", root, digest=Digest.parse(IMAGE.digest)), IMAGE)
    assert isinstance(await failing(layout_directory("oci:x", root)), NotFound)
    assert isinstance(await failing(layout_directory("oci:x", root, digest=Digest.of(b""))), NotFound)
    config = await failing(layout_directory("oci:x", root, digest=Digest.parse(IMAGE.config_digest)))
    assert isinstance(config, Unavailable)


async def test_an_index_of_platforms_is_resolved_to_the_index(tmp_path: Path) -> None:
    index = index_of([IMAGE, good_service(architecture="arm64")])
    source = layout_directory("oci:x", write_layout(tmp_path / "a", index, "1"), "1")
    assert str((await source.resolve()).digest) == index.digest
    assert (await source.manifest(Digest.parse(IMAGE.digest)))[0] == IMAGE.manifest


async def test_a_tag_in_a_nested_index_is_found(tmp_path: Path) -> None:
    root = write_layout(tmp_path / "a", IMAGE)
    inner = {"annotations": {"org.opencontainers.image.ref.name": "deep"}, **IMAGE.descriptor}
    raw = json.dumps({"schemaVersion": 2, "manifests": [inner]}).encode()
    digest = Digest.of(raw)
    blob_file(root, str(digest)).write_bytes(raw)
    nested = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": str(digest), "size": len(raw)}
    absent = {**nested, "digest": str(Digest.of(b"absent"))}
    rewrite_index(root, [absent, nested, nested])
    await check_whole(layout_directory("oci:x", root, "deep"), IMAGE)


async def test_one_tag_on_two_images_is_refused(tmp_path: Path) -> None:
    root = write_layout(write_layout(tmp_path / "a", IMAGE, "one"), OTHER, "two")
    name = {"annotations": {"org.opencontainers.image.ref.name": "same"}}
    rewrite_index(root, [{**IMAGE.descriptor, **name}, {**OTHER.descriptor, **name}])
    error = await failing(layout_directory("oci:x", root, "same"))
    assert isinstance(error, BadInput)
    assert IMAGE.digest in str(error)


async def test_what_is_missing_says_so(tmp_path: Path) -> None:
    for source in (layout_directory("oci:x", tmp_path / "none"), layout_archive("oci:x", tmp_path / "none.tar")):
        error = await failing(source)
        assert isinstance(error, NotFound)
        assert "none" in str(error)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("oci-layout", None),
        ("oci-layout", b'{"imageLayoutVersion":"2.0.0"}'),
        ("oci-layout", b"{}"),
        ("oci-layout", b" " * 5000),
        ("index.json", None),
        ("index.json", b"{"),
        ("index.json", b"[]"),
        ("index.json", IMAGE.manifest),
        ("index.json", b'{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1,"mediaType":"a"}]}'),
        ("index.json", b" " * (5 << 20)),
    ],
)
async def test_a_broken_layout_is_unavailable_not_the_users_words(
    tmp_path: Path, file: str, content: bytes | None
) -> None:
    root = write_layout(tmp_path / "a", IMAGE, "1")
    (root / file).unlink() if content is None else (root / file).write_bytes(content)
    assert type(await failing(layout_directory("oci:x", root, "1"))) is Unavailable


async def test_a_manifest_with_other_bytes_is_refused(tmp_path: Path) -> None:
    root = write_layout(tmp_path / "a", IMAGE, "1")
    blob_file(root, IMAGE.digest).write_bytes(OTHER.manifest)
    source = layout_directory("oci:x", root, "1")
    with pytest.raises(VerificationFailed):
        await source.manifest((await source.resolve()).digest)


@pytest.mark.parametrize("what", ["link", "directory link", "fifo", "directory"])
async def test_nothing_but_regular_files_is_opened(tmp_path: Path, what: str) -> None:
    root = write_layout(tmp_path / "a", IMAGE, "1")
    target = blob_file(root, IMAGE.layer_digests[0])
    (tmp_path / "secret").write_bytes(target.read_bytes())
    if what == "directory link":
        (root / "blobs" / "sha256").rename(tmp_path / "elsewhere")
        (root / "blobs" / "sha256").symlink_to(tmp_path / "elsewhere")
    else:
        target.unlink()
        if what == "link":
            target.symlink_to(tmp_path / "secret")
        elif what == "fifo":
            os.mkfifo(target)
        else:
            target.mkdir()
    source = layout_directory("oci:x", root, "1")
    with pytest.raises(Unavailable):
        await read_all(source, Descriptor("x", Digest.parse(IMAGE.layer_digests[0]), 10))


async def test_the_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    write_layout(tmp_path / "a", IMAGE, "1")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    await check_whole(layout_directory("oci:x", tmp_path / "b"), IMAGE)


async def test_a_blob_comes_in_chunks_and_never_far_beyond_its_stated_size(tmp_path: Path) -> None:
    root = write_layout(tmp_path / "a", IMAGE, "1")
    content = os.urandom(3 * CHUNK_BYTES + 5)
    digest = Digest.of(content)
    blob_file(root, str(digest)).write_bytes(content)
    source = layout_directory("oci:x", root, "1")
    sizes = [len(chunk) async for chunk in source.blob(Descriptor("x", digest, len(content)))]
    assert sizes == [CHUNK_BYTES] * 3 + [5]
    assert len(await read_all(source, Descriptor("x", digest, 10))) == CHUNK_BYTES + 10
    with pytest.raises(NotFound):
        await read_all(source, Descriptor("x", Digest.of(b"absent"), 10))


async def test_a_reader_that_stops_early_leaves_no_file_open(tmp_path: Path) -> None:
    root = write_layout(tmp_path / "a", IMAGE, "1")
    source = layout_directory("oci:x", root, "1")
    before = len(os.listdir("/proc/self/fd"))
    stream = source.blob(Descriptor("x", Digest.parse(IMAGE.layer_digests[0]), 10))
    await anext(aiter(stream))
    await stream.aclose()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before


def archive_with(tmp_path: Path, *extra: tuple[str, FileSpec]) -> Path:
    write_oci_archive(tmp_path / "plain.tar", IMAGE, "1")
    with tarfile.open(tmp_path / "plain.tar") as tar:
        entries = [(m.name, FileSpec(tar.extractfile(m).read())) for m in tar]  # type: ignore[union-attr]
    (tmp_path / "a.tar").write_bytes(raw_tar([*entries, *extra]))
    return tmp_path / "a.tar"


async def test_a_name_twice_in_a_tar_is_refused(tmp_path: Path) -> None:
    error = await failing(layout_archive("oci:x", archive_with(tmp_path, ("./index.json", FileSpec(b"{}")))))
    assert type(error) is Unavailable
    assert "twice" in str(error)


async def test_names_that_point_outside_a_tar_mean_nothing(tmp_path: Path) -> None:
    archive = archive_with(tmp_path, ("../index.json", FileSpec(b"{}")), ("blobs/../../oci-layout", FileSpec(b"{}")))
    await check_whole(layout_archive("oci:x", archive), IMAGE)


async def test_links_in_a_tar_lead_only_inside_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    digests = {name: str(Digest.of(name.encode())) for name in ("inside", "outside", "loop")}
    links = [
        (f"blobs/sha256/{digests['inside'][7:]}", FileSpec(kind="symlink", target="../../oci-layout")),
        (f"blobs/sha256/{digests['outside'][7:]}", FileSpec(kind="symlink", target=str(tmp_path / "secret"))),
        (f"blobs/sha256/{digests['loop'][7:]}", FileSpec(kind="symlink", target=digests["loop"][7:])),
    ]
    source = layout_archive("oci:x", archive_with(tmp_path, *links))
    assert b"imageLayoutVersion" in await read_all(source, Descriptor("x", Digest.parse(digests["inside"]), 100))
    for name in ("outside", "loop"):
        with pytest.raises((NotFound, Unavailable)):
            await read_all(source, Descriptor("x", Digest.parse(digests[name]), 100))
    await source.close()


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz"])
async def test_a_compressed_tar_is_refused_with_the_way_to_unpack_it(tmp_path: Path, kind: str) -> None:
    magic = {"gzip": gzip.compress(b"x"), "zstd": b"\x28\xb5\x2f\xfd", "bzip2": b"BZh9", "xz": b"\xfd7zXZ\0"}[kind]
    (tmp_path / "a.tar").write_bytes(magic + bytes(600))
    error = await failing(layout_archive("oci:x", tmp_path / "a.tar"))
    assert type(error) is Unavailable
    assert f"compressed with {kind}" in str(error)


def damaged(name: str, whole: bytes) -> bytes:
    header = whole[:512]

    def with_field(start: int, value: bytes) -> bytes:
        block = bytearray(header)
        block[start : start + len(value)] = value
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block) + whole[512:]

    return {
        "empty": b"",
        "short": whole[:100],
        "text": b"hello " * 200,
        "cut inside a member": whole[: len(whole) // 2 + 77],
        "checksum": header[:10] + b"X" + header[11:] + whole[512:],
        "octal": with_field(124, b"9999999999 "),
        "negative": with_field(124, b"\xff" * 12),
        "huge": with_field(124, b"\x80" + b"\x7f" * 11),
        "beyond the end": with_field(124, b"77777777777 "),
        "sparse": with_field(156, b"S"),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "empty",
        "short",
        "text",
        "cut inside a member",
        "checksum",
        "octal",
        "negative",
        "huge",
        "beyond the end",
        "sparse",
    ],
)
async def test_a_damaged_tar_is_unavailable(tmp_path: Path, name: str) -> None:
    whole = write_oci_archive(tmp_path / "whole.tar", IMAGE, "1").read_bytes()
    (tmp_path / "a.tar").write_bytes(damaged(name, whole))
    assert type(await failing(layout_archive("oci:x", tmp_path / "a.tar"))) is Unavailable


@pytest.mark.parametrize(
    "records",
    [
        b"9 path=a",
        b"0 path=a\n",
        b"99 path=a\n",
        b"x path=a\n",
        b"20 GNU.sparse.map=1\n",
        b"11 size=-5\n",
        b"999999999999999 a=b\n",
    ],
)
async def test_a_damaged_pax_header_is_unavailable(tmp_path: Path, records: bytes) -> None:
    out = io.BytesIO()
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    out.write(info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512))
    out.write(layer({"oci-layout": b"x"}))
    (tmp_path / "a.tar").write_bytes(out.getvalue())
    assert type(await failing(layout_archive("oci:x", tmp_path / "a.tar"))) is Unavailable


async def test_a_pax_header_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        file.truncate(1 << 33)
    error = await failing(layout_archive("oci:x", tmp_path / "a.tar"))
    assert "extended header" in str(error)


async def test_a_directory_or_a_pipe_is_not_an_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        assert type(await failing(layout_archive("oci:x", path))) is Unavailable


@pytest.mark.real
async def test_what_skopeo_writes_is_read(tmp_path: Path, skopeo: Tool) -> None:
    index = index_of([IMAGE, good_service(architecture="arm64")])
    write_layout(tmp_path / "a", index, "1")
    for target in (f"oci:{tmp_path}/b:1", f"oci-archive:{tmp_path}/b.tar:1"):
        skopeo("copy", "--all", "--insecure-policy", f"oci:{tmp_path}/a:1", target)
    for source in (layout_directory("b", tmp_path / "b", "1"), layout_archive("b", tmp_path / "b.tar", "1")):
        assert str((await source.resolve()).digest) == index.digest
        assert (await source.manifest(Digest.parse(IMAGE.digest)))[0] == IMAGE.manifest
        content = await read_all(source, Descriptor("x", Digest.parse(IMAGE.layer_digests[0]), 1 << 20))
        assert content == IMAGE.blobs[IMAGE.layer_digests[0]]
        await source.close()
