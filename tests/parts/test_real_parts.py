"""The real parts work on this machine: an engine loads, runs, pushes and pulls; each client does its part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parts.conformance import run_conformance
from tests.parts.dockerd import Dockerd
from tests.parts.images import good_service, index_of, write_docker_archive, write_layout
from tests.parts.process import Process, Tool, http_status
from tests.parts.registry import DockerRegistry

pytestmark = pytest.mark.real
StartRegistry = Callable[..., DockerRegistry]
INDEX = index_of([good_service(), good_service(architecture="arm64")])


def test_the_engine_loads_and_runs_an_image_built_in_python(dockerd: Dockerd, busybox: str, tmp_path: Path) -> None:
    name = "example/word-count:1.0.0"
    dockerd.cli("load", "--input", write_docker_archive(tmp_path / "image.tar", good_service(runs=True), name))
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a.txt").write_text("three short words\n")
    (tmp_path / "output").mkdir()
    (tmp_path / "output").chmod(0o777)
    volumes = ["--volume", f"{tmp_path}/input:/input:ro", "--volume", f"{tmp_path}/output:/output"]
    dockerd.cli("run", "--rm", "--read-only", "--cap-drop", "ALL", *volumes, name)
    assert (tmp_path / "output" / "a.txt.count").read_text() == "3\n"
    refused = dockerd.cli("run", "--rm", name, check=False)
    assert refused.returncode == 3
    assert "no input in /input" in refused.stderr


def test_the_tiny_image_runs_too(dockerd: Dockerd, tmp_path: Path) -> None:
    dockerd.cli("load", "--input", write_docker_archive(tmp_path / "image.tar", good_service(), "example/tiny:1"))
    assert dockerd.cli("run", "--rm", "example/tiny:1").returncode == 0


def test_the_engine_pushes_to_and_pulls_from_a_loopback_registry(
    dockerd: Dockerd, docker_registry: StartRegistry, tmp_path: Path
) -> None:
    name = f"{docker_registry().host}/example/service:1.0.0"
    image = good_service()
    dockerd.cli("load", "--input", write_docker_archive(tmp_path / "image.tar", image, name))
    assert "digest: sha256:" in dockerd.cli("push", name).stdout
    dockerd.cli("rmi", name)
    dockerd.cli("pull", name)
    identity = dockerd.cli("image", "inspect", "--format", "{{.Id}}", name).stdout.strip()
    assert identity == image.config_digest


@pytest.fixture
def pushed(skopeo: Tool, docker_registry: StartRegistry, tmp_path: Path) -> str:
    """The name of an index of two platforms that skopeo copied into a registry."""
    write_layout(tmp_path / "oci", INDEX, "1")
    name = f"{docker_registry().host}/example/service:1"
    source = f"oci:{tmp_path}/oci:1"
    skopeo("copy", "--all", "--insecure-policy", "--dest-tls-verify=false", source, f"docker://{name}")
    return name


def test_skopeo_copies_an_index_as_it_is(skopeo: Tool, pushed: str) -> None:
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{pushed}").stdout
    assert raw.encode() == INDEX.manifest


def test_crane_reads_an_index(crane: Tool, pushed: str) -> None:
    assert crane("digest", pushed).stdout.strip() == INDEX.digest


def test_cosign_starts(cosign: Tool) -> None:
    assert "GitVersion" in cosign("version").stdout


def test_the_conformance_suite_tells_right_from_wrong(
    oci_conformance: Tool, docker_registry: StartRegistry, tmp_path: Path
) -> None:
    results = run_conformance(oci_conformance, docker_registry().host, tmp_path)
    assert (results["Ping"], results["Image"], results["Index"]) == ("Pass", "Pass", "Pass")
    assert results["Referrers"] != "Pass"  # of distribution 1.1, which docker-registry 2.8 does not have


def test_containerd_pulls_its_platform_of_an_index(ctr: Tool, pushed: str) -> None:
    ctr("images", "pull", "--plain-http", "--platform", "linux/amd64", pushed)
    assert INDEX.digest in ctr("images", "list").stdout


def test_a_registry_takes_more_configuration(docker_registry: StartRegistry) -> None:
    (closed := {"auth": {"htpasswd": {"realm": "tests", "path": "/dev/null"}}})
    assert http_status(f"{docker_registry(closed).url}/v2/") == 401


def test_a_process_is_killed_with_its_children(start_process: Callable[..., Process]) -> None:
    process = start_process(["sh", "-c", "sleep 600 & echo started; wait"])
    process.wait_until_prints("started")
    assert process.kill() == -9
    assert not process.running


def test_a_process_that_ends_early_shows_what_it_said(start_process: Callable[..., Process]) -> None:
    process = start_process(["sh", "-c", "echo no disk >&2; exit 4"])
    with pytest.raises(AssertionError, match=r"ended with 4 before its readiness:\n.*no disk"):
        process.wait_until(lambda: False, "its readiness")
