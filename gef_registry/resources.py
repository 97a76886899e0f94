"""Finds the files shipped with the package: policies and JSON Schemas.

In a wheel they live under `gef_registry/_data`; in a source checkout at the top of the tree.
"""

from __future__ import annotations

from pathlib import Path

from gef_registry.errors import NotFound

_PACKAGE = Path(__file__).resolve().parent


def resource_directory(kind: str) -> Path:
    """The directory of shipped files of one kind, `policies` or `schemas`. Raises NotFound."""
    for candidate in (_PACKAGE / "_data" / kind, _PACKAGE.parent / kind):
        if candidate.is_dir():
            return candidate
    raise NotFound(f"the shipped {kind} are missing beside {_PACKAGE}", hint="reinstall gef-registry")


def read_resource(kind: str, name: str) -> bytes:
    """The bytes of one shipped file, for example `read_resource("policies", "default.yaml")`. Raises NotFound."""
    path = resource_directory(kind) / name
    if not path.is_file():
        known = ", ".join(sorted(p.name for p in resource_directory(kind).iterdir()))
        raise NotFound(f"no shipped {kind} file is called {name!r}; there are: {known}")
    return path.read_bytes()
