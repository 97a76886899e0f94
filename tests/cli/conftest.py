"""The command line, run in this process: what it prints and the code it ends with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gef_registry.cli import main
from tests.parts.images import good_service, index_of, write_docker_archive, write_layout, write_oci_archive

AT = "2026-12-01T12:00:00Z"


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """Runs a command with a home, a cache and a directory of its own, far from the settings of whoever runs the tests."""
    for name in ("GEF_REGISTRY_CONFIG", "NO_COLOR", "DOCKER_HOST", "GEF_REGISTRY_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))

    def command(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capfd.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0 if code is None else 1, captured.out, captured.err)

    yield command


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`good`, `bad`, `multi` (layouts), `good.tar` (oci-archive), `docker.tar` (docker-archive)."""
    directory = tmp_path_factory.mktemp("images")
    write_layout(directory / "good", good_service(), "1.0.0")
    write_layout(directory / "bad", good_service(user="root", labels={"eudat.gef.service.name": None}), "1.0.0")
    write_layout(directory / "multi", index_of([good_service(), good_service(architecture="arm64")]), "1.0.0")
    write_oci_archive(directory / "good.tar", good_service(), "1.0.0")
    write_docker_archive(directory / "docker.tar", good_service(), "example/service:1.0.0")
    return directory
