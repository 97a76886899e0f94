"""Session fixtures for the real parts. Each skips, or fails when real parts are required, if its part is missing.

Hypothesis profiles: `default` has no deadlines (two busy cores are no bug) and repeats itself exactly under CI=true;
`fuzz` looks much longer (`make fuzz`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.parts import dockerd as dockerd_part
from tests.parts import registry as registry_part
from tests.parts import tools
from tests.parts.dockerd import Dockerd
from tests.parts.process import Process, Tool
from tests.parts.registry import DockerRegistry
from tests.parts.require import require

settings.register_profile(
    "default",
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    derandomize=os.environ.get("CI") == "true",
)
settings.register_profile(
    "fuzz", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], max_examples=2000
)
settings.load_profile("default")


def _tool(name: str, factory: pytest.TempPathFactory, *words: str) -> Tool:
    why = tools.missing(name)
    require(name, why is None, why or "", obtainable=tools.buildable(name))
    return tools.tool(name, factory.mktemp(name), *words)


@pytest.fixture(scope="session")
def dockerd() -> Iterator[Dockerd]:
    """A Docker engine of our own: `.host`, `.cli(...)`, `.client(config_directory)`, `.containerd_address`."""
    why = dockerd_part.missing()
    require("dockerd", why is None, why or "")
    with dockerd_part.running_dockerd() as engine:
        yield engine


@pytest.fixture
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., DockerRegistry]]:
    """`docker_registry(extra_configuration=None)` starts one more; all end with the test."""
    why = registry_part.missing()
    require("docker-registry", why is None, why or "")
    started: list[DockerRegistry] = []

    def start(extra: Mapping[str, Any] | None = None) -> DockerRegistry:
        started.append(registry_part.start_docker_registry(tmp_path_factory.mktemp("registry"), extra))
        return started[-1]

    yield start
    for registry in started:
        registry.process.stop()


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """`start_process(argv, log=None, env=None, cwd=None)`: a child that never outlives the test."""
    started: list[Process] = []

    def start(argv: list[str | Path], log: Path | None = None, **options: Any) -> Process:
        started.append(Process.start(argv, log=log or tmp_path / f"process-{len(started)}.log", **options))
        return started[-1]

    yield start
    for process in started:
        process.stop(timeout_s=5)


@pytest.fixture(scope="session")
def skopeo(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return _tool("skopeo", tmp_path_factory)


@pytest.fixture(scope="session")
def crane(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return _tool("crane", tmp_path_factory)


@pytest.fixture(scope="session")
def cosign(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return _tool("cosign", tmp_path_factory)


@pytest.fixture(scope="session")
def oci_conformance(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """The conformance suite of the distribution specification; it is configured by OCI_* variables."""
    return _tool("oci-conformance", tmp_path_factory)


@pytest.fixture(scope="session")
def ctr(dockerd: Dockerd, tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """containerd's client on the containerd of `dockerd`, in a namespace of its own."""
    return _tool("ctr", tmp_path_factory, "--address", dockerd.containerd_address, "--namespace", "tests")


@pytest.fixture(scope="session")
def busybox() -> str:
    """Needed by `good_service(runs=True)`."""
    program = shutil.which("busybox", path="/bin:/usr/bin")
    require("busybox", program is not None, "not installed: scripts/install-packages (busybox-static)")
    assert program is not None
    return program
