"""A Docker engine of the tests' own: its own containerd, data root, sockets and client configuration.

Nothing of it touches an engine the machine may have: no shared socket, no bridge, no firewall rule. Containers get
no network (`--bridge none`), which is what a service is promised by default. A loopback registry is reached by the
engine itself over plain http (127.0.0.0/8 is insecure by default).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.parts.process import Process, Tool

_CONTAINERD_CONFIG = """\
version = 2
root = "{root}/containerd"
state = "{root}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{root}/containerd.sock"
[ttrpc]
  address = "{root}/containerd.sock.ttrpc"
"""


@dataclass(frozen=True, slots=True)
class Dockerd:
    """A running engine. `cli("run", ...)` is the docker command talking to it with a private configuration."""

    root: Path
    process: Process
    containerd: Process
    cli: Tool

    @property
    def host(self) -> str:
        return f"unix://{self.root}/docker.sock"

    @property
    def containerd_address(self) -> str:
        return f"{self.root}/containerd.sock"

    def client(self, config: Path) -> Tool:
        """The docker command with another client configuration: another account after `docker login`."""
        config.mkdir(parents=True, exist_ok=True)
        return Tool(self.cli.words, {**self.cli.env, "DOCKER_CONFIG": str(config)})

    def containers(self) -> list[str]:
        return self.cli("ps", "--all", "--quiet").stdout.split()

    def storage_driver(self) -> str:
        return str(json.loads(self.cli("info", "--format", "{{json .}}").stdout)["Driver"])


def missing() -> str | None:
    """Why an engine cannot be started here, or None."""
    absent = [name for name in ("dockerd", "containerd", "docker", "runc") if _program(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed: scripts/install-packages (docker.io, containerd)"
    if os.geteuid() != 0:
        return "dockerd needs root"
    return None


@contextlib.contextmanager
def running_dockerd(*flags: str) -> Iterator[Dockerd]:
    """Starts containerd and dockerd (with more `flags`), yields them ready, removes every container and both.

    overlay2 where the kernel allows it, else vfs. On a failure the end of both logs is in the error."""
    root = Path(tempfile.mkdtemp(prefix="gef-dockerd-"))  # short: a unix socket's path has 107 characters at most
    containerd: Process | None = None
    engine: Process | None = None
    try:
        containerd = _start_containerd(root)
        cli = Tool(
            (_program("docker") or "docker",),
            {"DOCKER_HOST": f"unix://{root}/docker.sock", "DOCKER_CONFIG": str(root / "client")},
        )
        (root / "client").mkdir()
        try:
            engine = _start_engine(root, "overlay2", cli, flags)
        except AssertionError:
            engine = _start_engine(root, "vfs", cli, flags)
        dockerd = Dockerd(root, engine, containerd, cli)
        yield dockerd
        if left := dockerd.containers():
            cli("rm", "--force", "--volumes", *left, check=False)
    finally:
        for process in (engine, containerd):
            if process is not None:
                process.stop(timeout_s=20)
        _unmount_below(root)
        shutil.rmtree(root, ignore_errors=True)


def _start_containerd(root: Path) -> Process:
    config = root / "containerd.toml"
    config.write_text(_CONTAINERD_CONFIG.format(root=root))
    process = Process.start(
        [_program("containerd") or "containerd", "--config", config], log=root / "containerd.log", dies_with_parent=True
    )
    process.wait_until(lambda: (root / "containerd.sock").exists(), "its socket", timeout_s=60)
    return process


def _start_engine(root: Path, driver: str, cli: Tool, flags: tuple[str, ...]) -> Process:
    process = Process.start(
        [
            _program("dockerd") or "dockerd",
            "--host", f"unix://{root}/docker.sock",
            "--data-root", root / f"data-{driver}",
            "--exec-root", root / "exec",
            "--pidfile", root / "docker.pid",
            "--config-file", _empty_config(root),
            "--containerd", root / "containerd.sock",
            "--storage-driver", driver,
            "--bridge", "none", "--iptables=false", "--ip6tables=false", "--userland-proxy=false",
            "--shutdown-timeout", "5",
            *flags,
        ],
        log=root / "dockerd.log", dies_with_parent=True,
    )  # fmt: skip
    try:
        process.wait_until(
            lambda: cli("version", check=False, timeout_s=20).returncode == 0, "answer to `docker version`", 60
        )
    except AssertionError:
        process.stop()
        raise
    return process


def _empty_config(root: Path) -> Path:
    config = root / "daemon.json"  # never the machine's /etc/docker/daemon.json
    config.write_text("{}")
    return config


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/usr/local/bin")


def _unmount_below(root: Path) -> None:
    """What a killed engine leaves mounted, deepest first; only below our own temporary directory."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{root}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
