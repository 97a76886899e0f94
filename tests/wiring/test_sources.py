"""Every form of name opens the source it means; the engine's answers are bounded and its absence is said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from gef_registry.errors import BadInput, NotFound, Unavailable
from gef_registry.oci.manifest import Manifest, parse_manifest
from gef_registry.oci.reference import parse_image_name
from gef_registry.oci.source import Source
from gef_registry.wiring.docker_daemon import DaemonSource, Engine
from gef_registry.wiring.sources import open_source
from tests.parts.dockerd import Dockerd
from tests.parts.images import good_service, write_docker_archive, write_layout, write_oci_archive
from tests.parts.process import Tool
from tests.parts.registry import DockerRegistry

IMAGE = good_service()
ID = IMAGE.config_digest
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def config_digest(source: Source) -> str:
    """Reads the manifest and every blob, checks them, and gives the image id."""
    resolved = await source.resolve()
    manifest = parse_manifest(*await source.manifest(resolved.digest))
    assert isinstance(manifest, Manifest)
    for descriptor in manifest.references:
        descriptor.digest.require(b"".join([chunk async for chunk in source.blob(descriptor)]), "blob")
    await source.close()
    return str(manifest.config.digest)


async def test_local_forms_open_the_file_they_name(tmp_path: Path) -> None:
    write_layout(tmp_path / "oci", IMAGE, "1")
    write_oci_archive(tmp_path / "oci.tar", IMAGE, "1")
    write_docker_archive(tmp_path / "docker.tar", IMAGE, "example/a:1")
    for name in (
        f"oci:{tmp_path}/oci:1", f"oci:{tmp_path}/oci@{IMAGE.digest}", f"oci-archive:{tmp_path}/oci.tar:1",
        f"docker-archive:{tmp_path}/docker.tar", f"docker-archive:{tmp_path}/docker.tar:example/a:1",
    ):  # fmt: skip
        source = open_source(parse_image_name(name), environment={})
        assert source.name == name
        assert await config_digest(source) == ID


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """`await engine(handler)`: an Engine API that behaves as told, on a unix socket; gives the DOCKER_HOST."""
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.UnixSite(runner, str(tmp_path / "engine.sock")).start()
        return f"unix://{tmp_path}/engine.sock"

    yield start
    for runner in runners:
        await runner.cleanup()


def engine_with(archive: bytes) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/images/example/a:1/json":
            return web.json_response({"Id": ID})
        assert request.path == f"/images/{ID}/get"
        return web.Response(body=archive)

    return handler


async def test_an_engines_image_is_pinned_by_its_id_and_its_spool_file_removed(
    engine: Callable[[Handler], Awaitable[str]], tmp_path: Path
) -> None:
    archive = write_docker_archive(tmp_path / "a.tar", IMAGE).read_bytes()
    (tmp_path / "spool").mkdir()
    host = await engine(engine_with(archive))
    name = parse_image_name("docker-daemon:example/a:1")
    source = open_source(name, environment={"DOCKER_HOST": host}, spool_directory=tmp_path / "spool")
    await asyncio.gather(source.resolve(), source.resolve())
    assert len(list((tmp_path / "spool").iterdir())) == 1
    assert await config_digest(source) == ID
    await source.close()
    assert list((tmp_path / "spool").iterdir()) == []


async def test_an_image_larger_than_the_bound_is_not_kept(
    engine: Callable[[Handler], Awaitable[str]], tmp_path: Path
) -> None:
    host = await engine(engine_with(bytes(5000)))
    (tmp_path / "spool").mkdir()
    source = DaemonSource("example/a:1", Engine.of(host, {}), spool_directory=tmp_path / "spool", max_bytes=4999)
    with pytest.raises(Unavailable, match="larger than 4999"):
        await source.resolve()
    assert list((tmp_path / "spool").iterdir()) == []
    await source.close()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, {}, NotFound),
        (500, {}, Unavailable),
        (200, {}, Unavailable),
        (200, {"Id": "x"}, Unavailable),
        (200, [], Unavailable),
    ],
)
async def test_an_engine_that_refuses_or_rambles_is_an_error(
    engine: Callable[[Handler], Awaitable[str]], status: int, body: object, expected: type[Exception]
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, body=json.dumps(body))

    source = DaemonSource("a", Engine.of(await engine(handler), {}))
    with pytest.raises(expected):
        await source.resolve()
    await source.close()


async def test_an_engine_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    for host in (f"unix://{tmp_path}/none.sock", "tcp://127.0.0.1:1"):
        source = DaemonSource("a", Engine.of(host, {}))
        with pytest.raises(Unavailable, match="does not answer"):
            await source.resolve()
        await source.close()


@pytest.mark.parametrize("host", ["ssh://user@host", "unix://relative", "npipe:////./pipe/docker", "tcp://"])
def test_an_engine_address_of_another_kind_is_refused(host: str) -> None:
    with pytest.raises(BadInput, match="neither"):
        Engine.of(host, {})


@pytest.mark.parametrize("name", ["../../etc", "a b", "a?b", "-a", "a" * 600])
def test_what_is_not_an_image_name_never_reaches_the_engine(name: str) -> None:
    with pytest.raises(BadInput):
        DaemonSource(name, Engine.of(None, {}))


@pytest.mark.real
async def test_a_real_engine_gives_the_image_it_loaded(dockerd: Dockerd, tmp_path: Path) -> None:
    dockerd.cli("load", "--input", write_docker_archive(tmp_path / "a.tar", IMAGE, "example/source:1"))
    for name in ("example/source:1", ID, ID[7:19]):
        source = open_source(parse_image_name(f"docker-daemon:{name}"), docker_host=dockerd.host)
        assert await config_digest(source) == ID


@pytest.mark.real
async def test_a_real_registry_gives_the_image_skopeo_pushed(
    docker_registry: Callable[..., DockerRegistry], skopeo: Tool, tmp_path: Path
) -> None:
    name = f"docker://{docker_registry().host}/example/a:1"
    write_layout(tmp_path / "oci", IMAGE, "1")
    skopeo("copy", "--insecure-policy", "--dest-tls-verify=false", f"oci:{tmp_path}/oci:1", name)
    source = open_source(parse_image_name(name), plain_http=True, environment={})
    assert str((await source.resolve()).digest) == IMAGE.digest
    assert await config_digest(source) == ID
