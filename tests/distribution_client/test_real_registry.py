"""The client against Debian's docker-registry (distribution 2.8): what skopeo pushed is read, what we push skopeo reads."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gef_registry.distribution.client import (
    ClientSettings,
    Credential,
    FixedCredentials,
    RegistryClient,
    content_of_bytes,
    content_of_file,
)
from gef_registry.errors import Denied, NotFound, VerificationFailed
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor, Index, Manifest
from gef_registry.oci.reference import Reference
from tests.parts.images import good_service, index_of, write_layout
from tests.parts.process import Tool
from tests.parts.registry import DockerRegistry

pytestmark = pytest.mark.real
StartRegistry = Callable[..., DockerRegistry]
IMAGE = good_service()
INDEX = index_of([IMAGE, good_service(architecture="arm64")])


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    async with RegistryClient() as made:
        yield made


async def push(client: RegistryClient, where: Reference, *, chunked: bool = False) -> None:
    """The index with everything it needs."""
    for image in INDEX.images:
        for digest, content in image.blobs.items():
            descriptor = Descriptor("x", Digest.parse(digest), len(content))
            await client.upload_blob(where, descriptor, content_of_bytes(content), chunked=chunked)
        await client.put_manifest(Reference(where.host, where.repository), image.manifest, image.media_type)
    await client.put_manifest(where, INDEX.manifest, INDEX.media_type)


async def test_what_skopeo_pushes_is_read_with_every_blob(
    docker_registry: StartRegistry, skopeo: Tool, client: RegistryClient, tmp_path: Path
) -> None:
    registry = docker_registry()
    write_layout(tmp_path / "oci", INDEX, "1")
    target = f"docker://{registry.host}/team/app:1"
    skopeo("copy", "--all", "--insecure-policy", "--dest-tls-verify=false", f"oci:{tmp_path}/oci:1", target)
    where = Reference.parse(f"{registry.host}/team/app:1")
    fetched = await client.resolve(where)
    assert (fetched.raw, str(fetched.digest)) == (INDEX.manifest, INDEX.digest)
    assert isinstance(fetched.parsed, Index)
    for child in fetched.parsed.manifests:
        manifest = (await client.manifest(where.at(child.digest))).parsed
        assert isinstance(manifest, Manifest)
        for descriptor in manifest.references:
            assert await client.head_blob(where, descriptor.digest) == descriptor.size
            content = b"".join([piece async for piece in client.blob(where, descriptor)])
            assert descriptor.digest.matches(content)
    assert await client.tags(where) == ["1"]


@pytest.mark.parametrize("chunked", [True, False])
async def test_what_we_push_skopeo_reads(
    docker_registry: StartRegistry, skopeo: Tool, client: RegistryClient, chunked: bool
) -> None:
    where = Reference.parse(f"{docker_registry().host}/team/app:1")
    await push(client, where, chunked=chunked)
    shown = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{where}").stdout
    assert json.loads(shown) == json.loads(INDEX.manifest)


async def test_a_blob_of_many_chunks_arrives_whole(docker_registry: StartRegistry, tmp_path: Path) -> None:
    where = Reference.parse(f"{docker_registry().host}/a")
    (tmp_path / "blob").write_bytes(content := os.urandom(1_000_003))
    descriptor = Descriptor("x", Digest.of(content), len(content))
    async with RegistryClient(ClientSettings(chunk_bytes=100_000)) as client:
        await client.upload_blob(where, descriptor, content_of_file(tmp_path / "blob"), chunked=True)
        assert b"".join([piece async for piece in client.blob(where, descriptor)]) == content


async def test_a_blob_is_mounted_from_another_repository_or_not(
    docker_registry: StartRegistry, client: RegistryClient
) -> None:
    host = docker_registry().host
    staging, trusted = Reference(host, "staging/a"), Reference(host, "trusted/a")
    blob = Descriptor("x", Digest.of(b"layer"), 5)
    await client.upload_blob(staging, blob, content_of_bytes(b"layer"))
    assert await client.upload_blob(trusted, blob, content_of_bytes(b"never read"), source="staging/a") == "mounted"
    assert await client.upload_blob(trusted, blob, content_of_bytes(b"never read"), source="staging/a") == "exists"
    other = Descriptor("x", Digest.of(b"other"), 5)
    assert await client.upload_blob(trusted, other, content_of_bytes(b"other"), source="staging/a") == "uploaded"


async def test_a_manifest_altered_in_the_registrys_storage_is_noticed(
    docker_registry: StartRegistry, client: RegistryClient
) -> None:
    registry = docker_registry()
    where = Reference.parse(f"{registry.host}/team/app:1")
    await push(client, where)
    data = registry.storage / f"docker/registry/v2/blobs/sha256/{INDEX.digest[7:9]}/{INDEX.digest[7:]}/data"
    data.write_bytes(data.read_bytes().replace(b"arm64", b"arm65"))
    with pytest.raises(VerificationFailed):
        await client.resolve(where)


async def test_a_layer_altered_in_the_registrys_storage_is_noticed(
    docker_registry: StartRegistry, client: RegistryClient
) -> None:
    registry = docker_registry()
    where = Reference.parse(f"{registry.host}/team/app:1")
    await push(client, where)
    digest = IMAGE.layer_digests[0]
    data = registry.storage / f"docker/registry/v2/blobs/sha256/{digest[7:9]}/{digest[7:]}/data"
    content = data.read_bytes()
    data.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(VerificationFailed):
        async for _ in client.blob(where, Descriptor("x", Digest.parse(digest), len(content))):
            pass


async def test_a_manifest_without_its_blobs_is_not_found_and_names_what_lacks(
    docker_registry: StartRegistry, client: RegistryClient
) -> None:
    where = Reference.parse(f"{docker_registry().host}/team/app:1")
    with pytest.raises(NotFound, match="lacks a blob"):
        await client.put_manifest(where, IMAGE.manifest, IMAGE.media_type)


async def test_referrers_use_the_tag_schema_here_and_a_digest_can_be_deleted(
    docker_registry: StartRegistry, client: RegistryClient
) -> None:
    where = Reference.parse(f"{docker_registry().host}/team/app:1")
    await push(client, where)
    subject = Digest.parse(INDEX.digest)
    empty = Descriptor(media.OCI_EMPTY, Digest.of(b"{}"), 2)
    await client.upload_blob(where, empty, content_of_bytes(b"{}"))
    document = {
        "schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "artifactType": media.SIGSTORE_BUNDLE,
        "config": empty.as_json(), "layers": [empty.as_json()],
        "subject": {"mediaType": INDEX.media_type, "digest": INDEX.digest, "size": len(INDEX.manifest)},
    }  # fmt: skip
    answer = await client.put_referrer(where, json.dumps(document).encode(), media.OCI_MANIFEST)
    found = await client.referrers(where, subject, artifact_type=media.SIGSTORE_BUNDLE)
    assert [d.digest for d in found] == [answer.digest]
    await client.delete_manifest(Reference(where.host, where.repository, None, subject))
    with pytest.raises(NotFound):
        await client.resolve(where)


async def test_a_registry_with_passwords_wants_the_right_one(docker_registry: StartRegistry, tmp_path: Path) -> None:
    bcrypt_of_geheim = "$2b$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu"
    (tmp_path / "htpasswd").write_text(f"ada:{bcrypt_of_geheim}\n")
    registry = docker_registry({"auth": {"htpasswd": {"realm": "tests", "path": str(tmp_path / "htpasswd")}}})
    where = Reference.parse(f"{registry.host}/team/app:1")
    async with RegistryClient(credentials=FixedCredentials({registry.host: Credential("ada", "geheim")})) as client:
        await push(client, where)
        assert str((await client.resolve(where)).digest) == INDEX.digest
    async with RegistryClient(credentials=FixedCredentials({registry.host: Credential("ada", "verkehrt")})) as client:
        with pytest.raises(Denied, match="not authenticated") as caught:
            await client.resolve(where)
    assert "verkehrt" not in str(caught.value)
