"""How fast `check` looks at an image, and how much memory it takes.

    .venv/bin/python benchmarks/check_speed.py [--megabytes 300] [--runs 3]

Builds an image (many small files and some large ones, gzip ratio near 3) as one layer and as four layers in OCI layouts,
then judges each three times in fresh processes: first with an empty cache, then with the layers' facts cached. Prints a
table; asserts nothing. Peers (dockle, trivy) are measured beside it where they are on PATH.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CHILD = """
import asyncio, datetime, json, re, sys, time
from pathlib import Path
from gef_registry.checks.run import run
from gef_registry.facts.cache import DirectoryCache
from gef_registry.facts.gather import gather
from gef_registry.oci.layout import layout_directory

async def main():
    source = layout_directory("benchmark", Path(sys.argv[1]))
    facts = await gather(source, cache=DirectoryCache(Path(sys.argv[2])))
    results = run(facts, at=datetime.datetime.now(datetime.UTC))
    await source.close()
    assert not facts.problems, facts.problems
    return facts.uncompressed_bytes

start, processor = time.perf_counter(), time.process_time()
size = asyncio.run(main())
seconds, processor = time.perf_counter() - start, time.process_time() - processor
peak = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024  # since exec; ru_maxrss is not
print(json.dumps([seconds, size, peak, processor]))
"""


def tree(seed: int, megabytes: float) -> bytes:
    """A tar of text-like and binary files, about three times larger than its gzip."""
    rng = random.Random(seed)
    words = [bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 10))) for _ in range(900)]
    out, total, number = io.BytesIO(), 0, 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        while total < megabytes * 1e6:
            size = min(int(rng.lognormvariate(8.75, 1.4)), 4_000_000)
            text = b" ".join(rng.choices(words, k=size // 7 + 1))[: size * 4 // 5]
            body = text + rng.randbytes((size - len(text)) // 4)
            info = tarfile.TarInfo(f"usr/lib/package{number % 97}/module{number % 1009}/file{number}.py")
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
            total += len(body)
            number += 1
    return out.getvalue()


def write_layout(directory: Path, megabytes: float, layers: int) -> tuple[int, int]:
    """Writes the image; returns stored and uncompressed bytes."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    descriptors, diff_ids, plain = [], [], 0
    for number in range(layers):
        tar = tree(number, megabytes / layers)
        plain += len(tar)
        diff_ids.append("sha256:" + hashlib.sha256(tar).hexdigest())
        descriptors.append(put(gzip.compress(tar, 6, mtime=0), _LAYER))
    config = {
        "architecture": "amd64", "os": "linux", "config": {"User": "65534", "Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }  # fmt: skip
    manifest = {
        "schemaVersion": 2, "mediaType": _MANIFEST, "config": put(json.dumps(config).encode(), _CONFIG), "layers": descriptors,
    }  # fmt: skip
    entry = put(json.dumps(manifest).encode(), _MANIFEST)
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}))
    return sum(int(str(d["size"])) for d in descriptors), plain


def child(layout: Path, cache: Path) -> tuple[float, int, float]:
    done = subprocess.run([sys.executable, "-c", _CHILD, layout, cache], check=True, capture_output=True, text=True)
    seconds, _, peak, processor_seconds = json.loads(done.stdout)
    return seconds, peak, processor_seconds


def peer(argv: list[str]) -> tuple[float, int] | None:
    """Seconds and peak memory of another program, if it is there and succeeds."""
    if shutil.which(argv[0]) is None:
        return None
    start = time.perf_counter()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return (time.perf_counter() - start, usage.ru_maxrss * 1024) if process.returncode == 0 else None


def row(name: str, seconds: float, plain: int, rss: int, note: str = "") -> str:
    return f"{name:<38} {seconds:8.2f} s {plain / 1e6 / seconds:8.0f} MB/s {rss / 1e6:8.0f} MB   {note}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=float, default=300)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'':<38} {'time':>10} {'speed':>13} {'peak memory':>11}")
    with tempfile.TemporaryDirectory() as name:
        for layers in (1, 4):
            layout = Path(name) / f"layout{layers}"
            stored, plain = write_layout(layout, arguments.megabytes, layers)
            first, cached = [], []
            for number in range(arguments.runs):
                cache = Path(name) / f"cache{layers}-{number}"
                first.append(child(layout, cache))
                cached.append(child(layout, cache))
            cold = statistics.median(run[0] for run in first)
            warm = statistics.median(run[0] for run in cached)
            what = f"{plain / 1e6:.0f} MB, gzip {plain / stored:.1f}:1, {layers} layer{'s' if layers > 1 else ''}"
            processor = statistics.median(run[2] for run in first)
            print(
                row(
                    what,
                    cold,
                    plain,
                    max(run[1] for run in first),
                    f"{processor:.2f} s of processor time, {plain / 1e6 / processor:.0f} MB/s of it",
                )
            )
            print(row("  facts cached", warm, plain, max(run[1] for run in cached), f"{warm / cold:.0%} of the first"))
            for argv in (
                ["trivy", "image", "--input", str(layout), "--scanners", "secret", "--quiet", "--format", "json"],
                ["dockle", "--input", str(layout), "--quiet"],
            ):
                if measured := peer(argv):
                    print(row(f"  {argv[0]}", measured[0], plain, measured[1]))


if __name__ == "__main__":
    main()
