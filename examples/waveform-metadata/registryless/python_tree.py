"""The files a CPython of this machine needs to run elsewhere: program, standard library, shared libraries.

Everything lands where a `python` base image has it (`/usr/local/bin/python3`), with libraries where the dynamic
linker looks without configuration. Left out: tests, IDLE, Tk, the installer, byte code, static libraries. For each
file of a Debian package the package's record (`/var/lib/dpkg/status.d`) and copyright come along, so that an
inventory of the image tells the truth.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from registryless.layers import Entry

_LEFT_OUT = {
    "__pycache__", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests",
    "tkinter", "turtledemo",
}  # fmt: skip
_LEFT_OUT_MODULE = re.compile(r"(_tkinter|_test\w*|_ctypes_test|_xxtestfuzz|xxlimited\w*)\.")
_RESOLVED = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)
_MISSING = re.compile(r"^\s*(\S+) => not found$", re.MULTILINE)
_PASSWD = b"root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
_GROUP = b"root:x:0:\nnogroup:x:65534:\n"


def version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def program() -> Path:
    """The interpreter itself, not a link or a virtual environment's copy."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))


def identity() -> str:
    """What the base layer is made from, without reading it all: Python and the libraries it starts with."""
    files = [program(), *shared_libraries([program()])]
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return f"{sys.version} {platform.machine()} {sorted(stats)}"


def python_tree(extensions: Iterable[Path]) -> dict[str, Entry]:
    """The base layer. `extensions`: more shared objects (of the packages) whose system libraries must be there."""
    library = f"usr/local/lib/python{version()}"
    tree = {
        f"usr/local/bin/python{version()}": Entry(source=program(), mode=0o755),
        "usr/local/bin/python3": Entry(link=f"python{version()}"),
        "usr/local/bin/python": Entry(link="python3"),
        f"{library}/site-packages": Entry(mode=0o755),
        "etc/passwd": Entry(content=_PASSWD),
        "etc/group": Entry(content=_GROUP),
        "tmp": Entry(mode=0o1777),
    }
    standard = Path(sysconfig.get_path("stdlib"))
    for file in _standard_library(standard):
        tree[f"{library}/{file.relative_to(standard)}"] = Entry(source=file)
    modules = [entry.source for path, entry in tree.items() if ".so" in path and entry.source]
    libraries = sorted(shared_libraries([program(), *modules, *extensions]))
    c_library = next(path.parent for path in libraries if path.name.startswith("libc.so"))
    for found in libraries:
        tree[_place(found, c_library)] = Entry(source=Path(os.path.realpath(found)), mode=0o755)
    tree |= _package_records(libraries)
    release = Path("/etc/os-release")
    if release.exists():
        tree["etc/os-release"] = Entry(content=release.read_bytes())
    return tree


def shared_libraries(objects: Iterable[Path]) -> set[Path]:
    """The system's libraries that these programs and shared objects load, as the dynamic linker resolves them.

    Libraries that packages bring themselves (below a `*.libs` directory) are not the system's; one of them alone
    may not find the next, which is loaded before it by then."""
    found: set[Path] = set()
    objects = sorted(set(objects))
    brought = {path.name for path in objects}
    for start in range(0, len(objects), 50):
        batch = objects[start : start + 50]
        said = subprocess.run(["ldd", *map(str, batch)], capture_output=True, text=True, check=False).stdout
        if missing := sorted(set(_MISSING.findall(said)) - brought):
            raise SystemExit(f"libraries not found on this machine: {', '.join(missing)}")
        found |= {Path(path) for path in _RESOLVED.findall(said)}
    return {path for path in found if not any(part.endswith(".libs") for part in path.parts)}


def _place(library: Path, c_library: Path) -> str:
    """Where in the image: the dynamic linker at its fixed path, the C library's neighbours beside it, all others too."""
    if library.name.startswith("ld-"):
        return str(library).lstrip("/")
    return f"{os.path.realpath(c_library).lstrip('/')}/{library.name}"


def _standard_library(root: Path) -> Iterator[Path]:
    for folder, directories, names in os.walk(root):
        directories[:] = sorted(
            d for d in directories if d not in _LEFT_OUT and not d.startswith(f"config-{version()}")
        )
        for name in sorted(names):
            if not name.endswith((".a", ".pyc", ".exe")) and not _LEFT_OUT_MODULE.match(name):
                yield Path(folder) / name


def _package_records(libraries: Iterable[Path]) -> dict[str, Entry]:
    tree: dict[str, Entry] = {}
    for package in sorted({name for path in libraries if (name := _owner(path))}):
        record = subprocess.run(["dpkg-query", "--status", package], capture_output=True, check=True).stdout
        name = package.partition(":")[0]
        tree[f"var/lib/dpkg/status.d/{name}"] = Entry(content=record)
        copyright_file = Path("/usr/share/doc") / name / "copyright"
        if copyright_file.is_file():
            tree[f"usr/share/doc/{name}/copyright"] = Entry(content=copyright_file.read_bytes())
    return tree


def _owner(path: Path) -> str | None:
    """The Debian package a file belongs to. Its name may be recorded with or without the merged `/usr`."""
    real = os.path.realpath(path)
    for name in dict.fromkeys((real, real.removeprefix("/usr"), str(path))):
        try:
            said = subprocess.run(["dpkg-query", "--search", name], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return None
        if said.returncode == 0:
            return said.stdout.partition(": ")[0].split(",")[0]
    return None
