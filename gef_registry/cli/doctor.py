"""`gef-registry doctor`: which settings are in force and from where, and which parts of this machine are usable."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

FAST_MODULES = ("isal", "re2", "zstandard", "uvloop")
NOT_USABLE = 3


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor() -> None:
    """Show settings with their origin, and what is missing. Secrets are masked."""
    from gef_registry.cli.tables import print_table
    from gef_registry.settings import entries, load_settings

    settings = load_settings()
    print_table(("setting", "value", "from"), [(e.name, e.value, e.origin) for e in entries(settings)])
    sys.stdout.write("\n")
    findings = list(_parts(settings.client.policy, settings.cache.directory))
    print_table(("part", "state", "detail"), findings)
    if any(state == "broken" for _, state, _ in findings):
        raise typer.Exit(NOT_USABLE)


def _parts(policy: str, cache: Path | None) -> Iterator[tuple[str, str, str]]:
    """Part, `ok`, `missing` (works without) or `broken` (does not), and a detail."""
    from gef_registry import __version__

    yield "gef-registry", "ok", __version__
    yield "python", "ok", f"{platform.python_version()} ({platform.machine()})"
    for module in FAST_MODULES:
        there = importlib.util.find_spec(module) is not None
        yield f"extra {module}", "ok" if there else "missing", "" if there else "slower without: gef-registry[fast]"
    yield _policy(policy)
    yield _cache(cache)
    trivy = shutil.which("trivy")
    yield "scanner", "ok" if trivy else "missing", trivy or "vulnerabilities are not looked for"
    yield _engine()


def _policy(name: str) -> tuple[str, str, str]:
    from gef_registry.errors import GefError
    from gef_registry.wiring.policies import load_named_policy

    try:
        loaded = load_named_policy(name)
    except GefError as error:
        return "policy", "broken", str(error)
    return "policy", "ok", f"{loaded.name} {loaded.digest}"


def _cache(directory: Path | None) -> tuple[str, str, str]:
    """A cache that others may write to could be made to lie."""
    if directory is None or not directory.exists():
        return "cache", "ok", f"{directory or 'in the user cache directory'}, made when needed"
    status = directory.stat()
    if status.st_mode & 0o022:
        return "cache", "broken", f"{directory} is writable for others: chmod go-w {directory}"
    if not os.access(directory, os.W_OK):
        return "cache", "missing", f"{directory} is not writable, so nothing is kept"
    return "cache", "ok", str(directory)


def _engine() -> tuple[str, str, str]:
    address = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if address.startswith("unix://"):
        there = Path(address.removeprefix("unix://")).is_socket()
        return (
            "engine",
            "ok" if there else "missing",
            address if there else f"{address}: docker-daemon: images cannot be read",
        )
    return "engine", "ok", f"{address} (not asked)"
