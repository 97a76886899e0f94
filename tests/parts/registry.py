"""Debian's docker-registry (distribution 2.8) on a free loopback port with its own storage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parts.process import Process, free_port

PROGRAM = "docker-registry"


@dataclass(frozen=True, slots=True)
class DockerRegistry:
    """A running registry. `host` as in an image reference, `url` for http, `storage` its blobs and links on disk."""

    host: str
    url: str
    storage: Path
    process: Process


def missing() -> str | None:
    return None if shutil.which(PROGRAM) else f"{PROGRAM} not installed: scripts/install-packages"


def start_docker_registry(directory: Path, extra: Mapping[str, Any] | None = None) -> DockerRegistry:
    """`extra` is merged deeply into the configuration: `{"auth": {"token": {...}}}`, `{"notifications": {...}}`."""
    port = free_port()
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "config.yml"
    file.write_text(json.dumps(_merged(config, extra or {}), indent=1))  # JSON is YAML
    process = Process.start([PROGRAM, "serve", file], log=directory / "registry.log", dies_with_parent=True)
    try:
        process.wait_until_http(f"http://127.0.0.1:{port}/v2/", statuses=(200, 401))
    except AssertionError:
        process.kill()
        raise
    return DockerRegistry(f"127.0.0.1:{port}", f"http://127.0.0.1:{port}", directory / "storage", process)


def _merged(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in extra.items():
        here = result.get(key)
        result[key] = _merged(here, value) if isinstance(here, dict) and isinstance(value, Mapping) else value
    return result
