"""Clients that are not ours, each with a home of its own so that no login or cache of the machine is used."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.parts.process import Tool

# program -> how it gets here
PROVIDED_BY = {
    "skopeo": "scripts/install-packages",
    "ctr": "scripts/install-packages (containerd)",
    "umoci": "scripts/install-packages",
    "crane": "scripts/install-go-tools crane (needs Go)",
    "cosign": "scripts/install-go-tools cosign (needs Go)",
    "oci-conformance": "scripts/install-go-tools conformance (needs Go)",
}


def cache_directory() -> Path:
    """Where scripts/install-go-tools and the examples keep what is slow to make; outside the repository."""
    return Path(os.environ.get("GEF_REGISTRY_CACHE") or Path.home() / ".cache" / "gef-registry")


def find(name: str) -> str | None:
    """The program's path: the pinned build in the cache first, then the machine's."""
    return shutil.which(name, path=str(cache_directory() / "bin")) or shutil.which(name)


def buildable(name: str) -> bool:
    """Whether this machine can have the program at all: those built from source need Go."""
    return "needs Go" not in PROVIDED_BY[name] or shutil.which("go") is not None


def missing(name: str) -> str | None:
    return None if find(name) else f"{name} not installed: {PROVIDED_BY[name]}"


def tool(name: str, home: Path, *words: str) -> Tool:
    """`name` with fixed first `words`. HOME, DOCKER_CONFIG and REGISTRY_AUTH_FILE are below `home`."""
    home.mkdir(parents=True, exist_ok=True)
    env = {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "DOCKER_CONFIG": str(home / ".docker"),
        "REGISTRY_AUTH_FILE": str(home / "auth.json"),
        "COSIGN_YES": "true",
    }
    return Tool((find(name) or name, *words), env)
