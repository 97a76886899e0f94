"""The import rules: who may import whom. The figures are the levels of the design; a broken rule prints its chain."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "gef_registry"

# package -> packages (or single modules) of ours it may import, besides itself.
_BASE = {"errors", "resources"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "resources": {"errors"},
    "settings": _BASE,
    "oci": _BASE,
    "service": _BASE,
    "transparency": _BASE,
    "signing": {"errors", "oci"},
    "facts": {"errors", "oci"},
    "distribution": {"errors", "oci"},
    "checks": {"errors", "oci", "service", "facts.model", "resources"},
    "enforcement": {"errors", "oci", "signing", "transparency"},
    "execution": {"errors", "oci", "service", "signing", "enforcement", "distribution.client"},
    "policy": {"errors", "oci", "checks.model", "resources"},
    "report": {"errors", "oci", "checks.model", "resources", "policy", "facts.model"},
    "admission": {"errors", "oci", "service", "facts", "checks", "policy", "signing", "transparency"},
}
# The models and ports below the edges; store and web see the same ones, and not each other.
_BELOW_EDGES = {*_BASE, "settings", "oci", "service", "transparency", "signing", "facts", "distribution", "checks"}
_BELOW_EDGES |= {"policy", "report", "admission", "enforcement"}
ALLOWED["store"] = ALLOWED["web"] = _BELOW_EDGES
ALLOWED["wiring"] = _BELOW_EDGES | {"execution", "store", "web"}
ALLOWED["processes"] = ALLOWED["wiring"] | {"wiring"}
ALLOWED["cli"] = ALLOWED["processes"] | {"processes"}

# Rooms where nothing may reach the outside: values in, values out.
PURE = (
    "errors",
    "service",
    "oci.digest",
    "oci.reference",
    "oci.media",
    "oci.manifest",
    "oci.config",
    "oci.strict_json",
    "facts.model",
    "checks",
    "policy",
    "report",
    "signing",
    "transparency.merkle",
    "transparency.tiles",
    "transparency.note",
    "transparency.proofs",
    "admission.states",
    "admission.review",
    "admission.ports",
    "enforcement.view",
    "enforcement.view_codec",
    "enforcement.names",
    "enforcement.decide",
)
OUTSIDE = {
    "asyncio",
    "aiohttp",
    "socket",
    "subprocess",
    "sqlite3",
    "sqlalchemy",
    "docker",
    "os",
    "shutil",
    "tempfile",
    "urllib.request",
    "http.client",
    "time",
    "threading",
    "multiprocessing",
}


def modules() -> dict[str, Path]:
    """Dotted name below the package -> file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


def imports(path: Path, *, top_level_only: bool = False) -> list[tuple[str, int]]:
    """Absolute names a file imports, with line numbers; `if TYPE_CHECKING` counts too."""
    tree = ast.parse(path.read_text())
    names: list[tuple[str, int]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write it out"
            module = node.module or ""
            names += [(f"{module}.{alias.name}", node.lineno) for alias in node.names]
    return names


def allowed(room: str, target: str) -> bool:
    return target.split(".")[0] == room or any(target == a or target.startswith(a + ".") for a in ALLOWED[room])


def chains() -> list[str]:
    broken = []
    for name, path in modules().items():
        room = name.split(".")[0]
        if room in ("__main__", "_data"):
            continue
        assert room in ALLOWED, f"{path}: room {room!r} is not in the design"
        for target, line in imports(path):
            if not target.startswith("gef_registry."):
                continue
            ours = target.removeprefix("gef_registry.")
            if ours.startswith("__version__"):
                continue
            if not allowed(room, ours):
                broken.append(
                    f"{path.relative_to(PACKAGE.parent)}:{line}: {room} -> {ours} (may: {', '.join(sorted(ALLOWED[room]))})"
                )
    return broken


def test_every_import_follows_the_levels_of_the_design() -> None:
    assert not chains(), "\n" + "\n".join(chains())


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_reach_nothing_outside(room: str) -> None:
    broken = [
        f"{path.relative_to(PACKAGE.parent)}:{line}: imports {target}"
        for name, path in modules().items()
        if name == room or name.startswith(room + ".")
        for target, line in imports(path)
        if any(target == o or target.startswith(o + ".") for o in OUTSIDE)
    ]
    assert not broken, "\n" + "\n".join(broken)


def test_web_never_touches_the_store_or_docker() -> None:
    broken = [
        f"{path.name}:{line}: {target}"
        for name, path in modules().items()
        if name.split(".")[0] == "web"
        for target, line in imports(path)
        if target.startswith(("gef_registry.store", "docker", "sqlalchemy"))
    ]
    assert not broken, broken
