"""The packages of requirements.txt: fetched by the ordinary installer, hash by hash, and unpacked as they are."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

from registryless.layers import Entry

_ROOTS = ("purelib", "platlib")


def fetch(requirements: Path, directory: Path) -> list[Path]:
    """Downloads exactly the pinned files; a hash that differs stops everything."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    subprocess.run([*command, "--requirement", str(requirements), "--dest", str(directory)], check=True)
    return sorted(directory.glob("*.whl"))


def unpack(wheels: list[Path], directory: Path) -> None:
    """Unpacks wheels into one directory, as an installer does with `--target`, without scripts, data and byte code."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                name = None if info.is_dir() else _target(info.filename)
                if name is None:
                    continue
                destination = directory / name
                destination.parent.mkdir(parents=True, exist_ok=True)
                destination.write_bytes(archive.read(info))


def package_tree(directory: Path, prefix: str) -> dict[str, Entry]:
    return {
        f"{prefix}/{file.relative_to(directory).as_posix()}": Entry(source=file, mode=0o755 if is_shared(file) else 0o644)
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }


def is_shared(file: Path) -> bool:
    return file.name.endswith(".so") or ".so." in file.name


def _target(name: str) -> str | None:
    """Where a wheel's member goes below the target, or None. A member that would leave it is refused."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        raise SystemExit(f"a wheel names a file outside itself: {name!r}")
    if parts[0].endswith(".data"):
        return "/".join(parts[2:]) if parts[1] in _ROOTS else None
    return None if name.endswith(".pyc") else name
