#!/usr/bin/env python3
"""Builds the image of the Dockerfile beside this file without any registry, engine or root.

    build_without_registry.py --output oci:DIR[:TAG]
    build_without_registry.py --output docker-archive:FILE[:NAME:TAG]

Three layers: this machine's own Python with the system libraries it and the packages need; the packages of
requirements.txt, each checked against its hash; the collector. Labels, user, environment and entry point are read from
the Dockerfile, so the two builds cannot drift apart. The same inputs give the same digest (times are SOURCE_DATE_EPOCH,
or 0). The two heavy layers are kept in ${GEF_REGISTRY_CACHE:-~/.cache/gef-registry}/layers.

Needs Linux with `ldd`, and gef-registry installed (it reads the Dockerfile). Prints the digest of the manifest last.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gef_registry.service.dockerfile import DockerfileImage, read_dockerfile

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from registryless import layers, python_tree, wheels, writing  # noqa: E402
from registryless.layers import Entry, Layer  # noqa: E402

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_SERVICE = "opt/service"
_USER = 65534


def declarations() -> DockerfileImage:
    """What the Dockerfile declares; anything in it that only a build could tell would be missing from the image."""
    image = read_dockerfile((HERE / "Dockerfile").read_text())
    unknown = [label for label, value in image.labels.items() if value.value is None]
    if image.problems or unknown or not image.labels_complete or image.user is None or image.entrypoint is None:
        raise SystemExit(f"the Dockerfile cannot be read completely: {[*image.problems, *unknown]}")
    return image


def image_config(declared: DockerfileImage, made: list[Layer], created: str) -> dict[str, Any]:
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    env |= {name: located.value or "" for name, located in declared.env.items()}
    inner: dict[str, Any] = {
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": {label: located.value for label, located in declared.labels.items()},
        "User": declared.user.value if declared.user else "",
        "Entrypoint": list(declared.entrypoint.value) if declared.entrypoint else [],
        "WorkingDir": "/",
    }
    if declared.cmd:
        inner["Cmd"] = list(declared.cmd.value)
    return {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": created,
        "config": inner,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in made]},
        "history": [{"created": created, "created_by": layer.created_by} for layer in made],
    }


def heavy_layers(cache: Path) -> list[Layer]:
    """Python and the packages: from the cache, or made together, since the packages decide some system libraries."""
    requirements = HERE / "requirements.txt"
    sources = "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted((HERE / "registryless").glob("*.py")))
    key = f"{sources} {python_tree.identity()} {hashlib.sha256(requirements.read_bytes()).hexdigest()}"
    with tempfile.TemporaryDirectory(prefix="waveform-metadata-") as scratch:
        unpacked = Path(scratch) / "lib"

        def packages() -> dict[str, Entry]:
            if not unpacked.exists():
                downloads = Path(scratch) / "wheels"
                downloads.mkdir()
                wheels.unpack(wheels.fetch(requirements, downloads), unpacked)
            tree = wheels.package_tree(unpacked, f"{_SERVICE}/lib")
            return tree | {f"{_SERVICE}/requirements.txt": Entry(source=requirements)}

        def base() -> dict[str, Entry]:
            extensions = [entry.source for entry in packages().values() if entry.source and wheels.is_shared(entry.source)]
            return python_tree.python_tree(extensions)

        return [
            layers.cached_layer(cache, f"base {key}", f"FROM this machine's Python {platform.python_version()}", base),
            layers.cached_layer(cache, f"packages {key}", "RUN pip install -r requirements.txt", packages),
        ]


def code_layer(cache: Path) -> Layer:
    collector = (HERE / "collector.py").read_bytes()
    tree = {
        f"{_SERVICE}/collector.py": Entry(content=collector),
        "input": Entry(mode=0o755),
        "output": Entry(mode=0o755, owner=_USER),
    }
    key = f"code {hashlib.sha256(collector).hexdigest()}"
    return layers.cached_layer(cache, key, "COPY collector.py /opt/service/collector.py", lambda: tree)


def write(output: str, config: dict[str, Any], made: list[Layer], version: str) -> None:
    form, _, rest = output.partition(":")
    path, _, name = rest.partition(":")
    encoded = writing.encode(config)
    if form == "oci" and path:
        target = {"architecture": config["architecture"], "os": config["os"]}
        writing.write_oci(Path(path), name or version, encoded, made, target)
    elif form == "docker-archive" and path:
        writing.write_docker_archive(Path(path), name or f"waveform-metadata:{version}", encoded, made)
    else:
        raise SystemExit(f"--output: expected oci:DIR[:TAG] or docker-archive:FILE[:NAME:TAG], got {output!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", action="append", required=True, metavar="FORM:PATH[:NAME]", help="may be given again")
    home = os.environ.get("GEF_REGISTRY_CACHE") or str(Path.home() / ".cache" / "gef-registry")
    parser.add_argument("--cache", type=Path, default=Path(home) / "layers", help="where heavy layers are kept")
    chosen = parser.parse_args()
    declared = declarations()
    made = [*heavy_layers(chosen.cache), code_layer(chosen.cache)]
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = image_config(declared, made, created)
    for output in chosen.output:
        write(output, config, made, str(declared.labels["eudat.gef.service.version"].value))
    for layer in made:
        print(f"{layer.digest}  {layer.size / 1e6:7.1f} MB, unpacked {layer.unpacked_size / 1e6:7.1f} MB  {layer.created_by}")
    print(writing.digest_of(writing.manifest_of(writing.encode(config), made)))


if __name__ == "__main__":
    main()
