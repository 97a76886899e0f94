"""Push and pull of a 1 GiB layer: the embedded registry beside docker-registry 2.8, in pairs, medians and ratios.

    python -m benchmarks.registry_transfer [--size-mib 1024] [--rounds 5] [--client crane|skopeo]

Each round pushes a layer nobody has seen (its first bytes change) to both, in alternating order, and pulls it back.
`curl` times the blob alone. Ratios of one run count; absolute figures drift with the machine. Asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.parts import tools
from tests.parts.images import build_image
from tests.parts.layouts import write_layout
from tests.parts.process import Process, Tool, free_port
from tests.parts.registry import start_docker_registry

CREDENTIALS = ("pusher", "pusher-password")
OPERATIONS = ("push", "pull", "curl")


def embedded(directory: Path) -> tuple[str, Process]:
    port = free_port()
    directory.mkdir()
    process = Process.start(
        [sys.executable, "-m", "tests.fakes.registry_process", directory, str(port)], log=directory / "log",
        dies_with_parent=True,
    )  # fmt: skip
    process.wait_until_prints("serving")
    return f"127.0.0.1:{port}", process


class Transfers:
    """One client's commands, timed."""

    def __init__(self, client: str, work: Path) -> None:
        self._client = client
        self._tool: Tool = tools.tool(client, work / "home")
        self._work = work

    def login(self, host: str) -> None:
        words = ("auth", "login") if self._client == "crane" else ("login", "--tls-verify=false")
        self._tool(*words, "-u", CREDENTIALS[0], "-p", CREDENTIALS[1], host)

    def push(self, layout: Path, image: str) -> float:
        if self._client == "crane":
            return timed(lambda: self._tool("push", "--insecure", layout, image, timeout_s=900))
        words = ("copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}:1", f"docker://{image}")
        return timed(lambda: self._tool(*words, timeout_s=900))

    def pull(self, image: str) -> float:
        target = self._work / "pulled"
        shutil.rmtree(target, ignore_errors=True)
        if self._client == "crane":
            return timed(lambda: self._tool("pull", "--insecure", "--format=oci", image, target, timeout_s=900))
        words = ("copy", "--quiet", "--src-tls-verify=false", f"docker://{image}", f"oci:{target}:1")
        return timed(lambda: self._tool(*words, timeout_s=900))


def timed(work: Callable[[], object]) -> float:
    os.sync()  # what the last measurement wrote is not to be paid for in this one
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def curl(host: str, repository: str, digest: str) -> float:
    command = Tool(("curl",), {})
    url = f"http://{host}/v2/{repository}/blobs/{digest}"
    return timed(lambda: command("-fsS", "-u", ":".join(CREDENTIALS), "-o", "/dev/null", url))


def cpu_seconds(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def measure(work: Path, size_mib: int, rounds: int, client: str) -> None:
    host, ours = embedded(work / "embedded")
    theirs = start_docker_registry(work / "docker-registry")
    registries = {"embedded": (host, ours), "docker-registry 2.8": (theirs.host, theirs.process)}
    times: dict[str, dict[str, list[float]]] = {name: {op: [] for op in OPERATIONS} for name in registries}
    cpu: dict[str, list[float]] = {name: [] for name in registries}
    transfers = Transfers(client, work)
    transfers.login(host)
    for number in range(rounds):
        layout = work / f"layout-{number}"
        image = build_image(config={}, layers=[os.urandom(size_mib << 20)], compression="none")
        write_layout(layout, image, "1")
        order = list(registries) if number % 2 else list(reversed(registries))
        repository = f"staging/bench/round{number}"
        for name in order:
            where, process = registries[name]
            before = cpu_seconds(process)
            times[name]["push"].append(transfers.push(layout, f"{where}/{repository}:1"))
            cpu[name].append(cpu_seconds(process) - before)
        for name in order:
            where, _ = registries[name]
            times[name]["pull"].append(transfers.pull(f"{where}/{repository}:1"))
            times[name]["curl"].append(curl(where, repository, image.layer_digests[0]))
        shutil.rmtree(layout)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    show(times, cpu, {name: peak_mib(process) for name, (_, process) in registries.items()}, size_mib, client)
    ours.stop()
    theirs.process.stop()


def show(
    times: dict[str, dict[str, list[float]]], cpu: dict[str, list[float]], peak: dict[str, int], size: int, client: str
) -> None:
    print(f"\n{size} MiB random layer, {client}, median of {len(next(iter(cpu.values())))} paired rounds\n")
    print("| | embedded s | MiB/s | docker-registry 2.8 s | MiB/s | ratio of times (below 1: ours is faster) |")
    print("|---|---|---|---|---|---|")
    for op in OPERATIONS:
        a, b = (statistics.median(times[name][op]) for name in times)
        ratio = statistics.median([x / y for x, y in zip(*(times[name][op] for name in times), strict=True)])
        print(f"| {op} | {a:.2f} | {size / a:.0f} | {b:.2f} | {size / b:.0f} | {ratio:.2f} |")
    a, b = (statistics.median(values) for values in cpu.values())
    print(f"| server CPU of a push | {a:.2f} | | {b:.2f} | | {a / b:.2f} |")
    a, b = peak.values()
    print(f"| server peak memory MiB | {a} | | {b} | | {a / b:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--client", choices=("crane", "skopeo"), default="crane")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gef-bench-") as work:
        measure(Path(work), given.size_mib, given.rounds, given.client)


if __name__ == "__main__":
    main()
