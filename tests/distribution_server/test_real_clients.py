"""Clients that are not ours against the embedded registry, and the specification's own conformance suite."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import sys
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gef_registry.distribution.ports import PushAnswer
from gef_registry.distribution.server import Limits
from gef_registry.oci.digest import Digest
from tests.fakes.registry_http import ALICE, RegistryUnderTest, running_registry
from tests.parts.dockerd import Dockerd
from tests.parts.images import BuiltImage, BuiltIndex, build_oci_layout, good_service, index_of
from tests.parts.layouts import write_docker_archive, write_layout
from tests.parts.process import Process, Tool, free_port

pytestmark = pytest.mark.real

REPOSITORIES = pytest.mark.parametrize("repository", ["staging/seismo/tool", "trusted/seismo/tool"])
PASSWORD = "alice-password"


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[RegistryUnderTest]:
    async with running_registry(tmp_path / "content", Limits()) as running:
        yield running


@pytest.fixture
def image(tmp_path: Path) -> tuple[Path, BuiltImage]:
    built = good_service()
    return write_layout(tmp_path / "image", built, "1.0"), built


@pytest.fixture
def index(tmp_path: Path) -> tuple[Path, BuiltIndex]:
    built = index_of([good_service(), good_service(architecture="arm64")])
    return write_layout(tmp_path / "index", built, "1.0"), built


async def digest_in_registry(registry: RegistryUnderTest, repository: str) -> str:
    answer = await registry.call("GET", f"/v2/{repository}/manifests/1.0", ALICE)
    assert answer.status == 200
    return answer.headers["Docker-Content-Digest"]


@REPOSITORIES
async def test_skopeo_copies_an_image_there_and_back(
    registry: RegistryUnderTest, skopeo: Tool, image: tuple[Path, BuiltImage], tmp_path: Path, repository: str
) -> None:
    layout, built = image
    name = f"docker://{registry.host}/{repository}:1.0"
    await skopeo.run(
        "copy",
        "--preserve-digests",
        "--dest-tls-verify=false",
        f"--dest-creds=alice:{PASSWORD}",
        f"oci:{layout}:1.0",
        name,
    )
    assert await digest_in_registry(registry, repository) == built.digest
    await skopeo.run(
        "copy",
        "--preserve-digests",
        "--src-tls-verify=false",
        f"--src-creds=alice:{PASSWORD}",
        name,
        f"oci:{tmp_path / 'back'}:1.0",
    )
    back = json.loads((tmp_path / "back" / "index.json").read_text())
    assert [entry["digest"] for entry in back["manifests"]] == [built.digest]


@REPOSITORIES
async def test_skopeo_copies_every_platform(
    registry: RegistryUnderTest, skopeo: Tool, index: tuple[Path, BuiltIndex], tmp_path: Path, repository: str
) -> None:
    layout, built = index
    name = f"docker://{registry.host}/{repository}:1.0"
    await skopeo.run(
        "copy",
        "--all",
        "--preserve-digests",
        "--dest-tls-verify=false",
        f"--dest-creds=alice:{PASSWORD}",
        f"oci:{layout}:1.0",
        name,
    )
    assert await digest_in_registry(registry, repository) == built.digest
    await skopeo.run(
        "copy",
        "--all",
        "--preserve-digests",
        "--src-tls-verify=false",
        f"--src-creds=alice:{PASSWORD}",
        name,
        f"dir:{tmp_path / 'back'}",
    )
    assert (tmp_path / "back" / "manifest.json").read_bytes() == built.manifest


@REPOSITORIES
async def test_crane_pushes_and_pulls_an_index(
    registry: RegistryUnderTest, crane: Tool, index: tuple[Path, BuiltIndex], tmp_path: Path, repository: str
) -> None:
    layout, _ = index
    name = f"{registry.host}/{repository}:1.0"
    await crane.run("auth", "login", "-u", "alice", "-p", PASSWORD, registry.host)
    await crane.run("push", "--insecure", "--index", layout, name)
    # crane pushes the layout's own index.json as an index around ours
    assert (await crane.run("digest", "--insecure", name)).stdout.strip() == await digest_in_registry(
        registry, repository
    )
    await crane.run("validate", "--insecure", "--remote", name)
    await crane.run("pull", "--insecure", "--format=oci", name, tmp_path / "back")
    tags = await crane.run("ls", "--insecure", f"{registry.host}/{repository}")
    assert tags.stdout.split() == ["1.0"]
    assert await crane.run("copy", "--insecure", name, f"{registry.host}/staging/seismo/copy:1.0")
    assert (await crane.run("digest", "--insecure", f"{registry.host}/staging/seismo/copy:1.0")).stdout == (
        await crane.run("digest", "--insecure", name)
    ).stdout


@REPOSITORIES
async def test_docker_pushes_and_pulls(
    registry: RegistryUnderTest, dockerd: Dockerd, tmp_path: Path, repository: str
) -> None:
    docker = dockerd.client(tmp_path / "docker")
    await docker.run("login", "-u", "alice", "--password-stdin", registry.host, stdin=PASSWORD)
    name = f"{registry.host}/{repository}:1.0"
    archive = write_docker_archive(tmp_path / "image.tar", good_service(docker=True), name)
    await docker.run("load", "-i", archive)
    pushed = await docker.run("push", name)
    digest = await digest_in_registry(registry, repository)
    assert f"1.0: digest: {digest}" in pushed.stdout
    identity = (await docker.run("inspect", "--format", "{{.Id}}", name)).stdout
    await docker.run("rmi", name)
    await docker.run("pull", name)
    assert (await docker.run("inspect", "--format", "{{.Id}}", name)).stdout == identity
    await docker.run("rmi", name)


async def test_docker_prints_why_a_push_was_refused(
    registry: RegistryUnderTest, dockerd: Dockerd, tmp_path: Path
) -> None:
    docker = dockerd.client(tmp_path / "docker")
    await docker.run("login", "-u", "alice", "--password-stdin", registry.host, stdin=PASSWORD)
    registry.gate.verdicts["1.0"] = PushAnswer(403, "refused: USR-001 runs as root; see https://gate/report/7")
    name = f"{registry.host}/trusted/seismo/tool:1.0"
    archive = write_docker_archive(tmp_path / "image.tar", good_service(docker=True), name)
    await docker.run("load", "-i", archive)
    refused = await docker.run("push", name, check=False)
    assert refused.returncode == 1
    assert "denied: refused: USR-001 runs as root; see https://gate/report/7" in refused.stderr + refused.stdout
    elsewhere = f"{registry.host}/library/tool:1.0"
    await docker.run("tag", name, elsewhere)
    outside = await docker.run("push", elsewhere, check=False)
    assert outside.returncode == 1 and "no right to push" in outside.stderr + outside.stdout
    await docker.run("rmi", name, elsewhere)


async def test_a_docker_login_with_a_wrong_password_fails(
    registry: RegistryUnderTest, dockerd: Dockerd, tmp_path: Path
) -> None:
    docker = dockerd.client(tmp_path / "docker")
    done = await docker.run("login", "-u", "alice", "--password-stdin", registry.host, stdin="wrong", check=False)
    assert done.returncode == 1 and "unauthorized" in done.stderr.lower()


@REPOSITORIES
async def test_ctr_pushes_and_pulls(registry: RegistryUnderTest, ctr: Tool, tmp_path: Path, repository: str) -> None:
    built = build_oci_layout(tmp_path / "layout", tag="1.0")
    name = f"{registry.host}/{repository}:1.0"
    archive = tmp_path / "image.tar"
    await asyncio.to_thread(_tar, tmp_path / "layout", archive)
    await ctr.run("image", "import", "--index-name", name, archive)
    await ctr.run("image", "push", "--plain-http", "--user", f"alice:{PASSWORD}", name)
    await ctr.run("image", "rm", name)
    await ctr.run("content", "fetch", "--plain-http", "--user", f"alice:{PASSWORD}", name)
    assert (await registry.call("GET", f"/v2/{repository}/manifests/{built.digest}", ALICE)).body == built.manifest


def _tar(directory: Path, archive: Path) -> None:
    with tarfile.open(archive, "w") as tar:
        for path in sorted(directory.rglob("*")):
            tar.add(path, path.relative_to(directory))


# As a process of its own


@pytest.fixture
def start_registry(tmp_path: Path, start_process: Callable[..., Process]) -> Callable[[], tuple[str, Process]]:
    """`start_registry()`: the registry as a process on a directory that the next one inherits."""
    (tmp_path / "data").mkdir()

    def start() -> tuple[str, Process]:
        port = free_port()
        process = start_process(
            [sys.executable, "-m", "tests.fakes.registry_process", tmp_path / "data", str(port)],
            cwd=Path(__file__).parents[2],
        )
        process.wait_until_prints("serving")
        return f"127.0.0.1:{port}", process

    return start


def test_the_conformance_suite_finds_no_failure(
    start_registry: Callable[[], tuple[str, Process]], oci_conformance: Tool, tmp_path: Path
) -> None:
    host, process = start_registry()
    environment = {
        **oci_conformance.env,
        "OCI_REGISTRY": host,
        "OCI_TLS": "disabled",
        "OCI_REPO1": "staging/conformance/one",
        "OCI_REPO2": "staging/conformance/two",
        "OCI_USERNAME": "pusher",
        "OCI_PASSWORD": "pusher-password",
        "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
        "OCI_API_BLOBS_DIGEST_HEADER": "true",
        "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
        "OCI_RESULTS_DIR": str(tmp_path / "results"),
    }
    done = Tool(oci_conformance.words, environment)(check=False)
    summary = done.stdout.partition("OCI Conformance Result:")[2]
    counts = {key: int(value) for key, value in re.findall(r"^ +(Pass|FAIL|Skip|Error)\.+: +(\d+)$", summary, re.M)}
    assert (done.returncode, counts["FAIL"], counts["Error"]) == (0, 0, 0), summary
    assert counts["Pass"] > 850 and counts["Skip"] <= 2, (
        summary
    )  # anonymous mounts: a blob is never found without its source
    assert "Traceback" not in process.output


def test_a_killed_registry_goes_on_with_the_upload_where_it_was(
    start_registry: Callable[[], tuple[str, Process]], tmp_path: Path
) -> None:
    content = os.urandom(24 << 20)
    digest = Digest.of(content)
    for round_number in range(3):
        repository = f"staging/seismo/round{round_number}"
        host, process = start_registry()
        _, headers, _ = request(host, "POST", f"/v2/{repository}/blobs/uploads/")
        location = headers["location"]
        send_part_of_a_patch(host, location, content, stop_after=(round_number + 1) * 6 << 20, process=process)
        host, process = start_registry()
        status, headers, _ = request(host, "GET", location)
        assert status == 204
        offset = int(headers["range"].removeprefix("0-")) + 1
        assert 0 < offset < len(content)
        more = {"Content-Range": f"{offset}-{len(content) - 1}"}
        assert request(host, "PATCH", location, content[offset:], more)[0] == 202
        assert request(host, "PUT", f"{location}?digest={digest}")[0] == 201
        status, _, body = request(host, "GET", f"/v2/{repository}/blobs/{digest}")
        assert status == 200 and hashlib.sha256(body).hexdigest() == digest.hex
        assert list((tmp_path / "data" / "content" / "uploads").iterdir()) == []
        process.kill()


def request(
    host: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request(method, path, body, {"Authorization": AUTHORIZATION, **(headers or {})})
    response = connection.getresponse()
    answer = response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()
    connection.close()
    return answer


AUTHORIZATION = "Basic cHVzaGVyOnB1c2hlci1wYXNzd29yZA=="  # pusher:pusher-password


def send_part_of_a_patch(host: str, location: str, content: bytes, *, stop_after: int, process: Process) -> None:
    """Announces all of `content`, sends a part of it, and kills the registry in the middle."""
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port)), timeout=30) as connection:
        head = (
            f"PATCH {location} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {AUTHORIZATION}\r\n"
            f"Content-Length: {len(content)}\r\nContent-Range: 0-{len(content) - 1}\r\n\r\n"
        )
        connection.sendall(head.encode() + content[:stop_after])
        upload = location.rpartition("/")[2]
        files = Path(str(process.popen.args[3])) / "content" / "uploads" / upload  # type: ignore[index]
        process.wait_until(lambda: files.stat().st_size >= stop_after // 2, "half of what was sent on disk")
        os.killpg(process.pid, signal.SIGKILL)
        process.popen.wait(10)
