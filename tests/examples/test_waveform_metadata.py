"""The waveform example: its declarations are complete, its failures loud, and the built image computes ObsPy's numbers."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from gef_registry.service.precheck import check_dockerfile
from tests.parts.dockerd import Dockerd

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "waveform-metadata"
SAMPLES = ROOT / "tests" / "data" / "mseed"
IMAGE = "waveform-metadata:1.0.0"
# What an execution host gives a service, and nothing more.
CONFINED = (
    "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
    "--memory", "1g",
)  # fmt: skip

# ObsPy asked directly, inside the same image: one line of JSON for each file.
ASK = """
import sys, json
from obspy.signal.quality_control import MSEEDMetadata
for file in sys.argv[1:]:
    print(json.dumps(json.loads(MSEEDMetadata([file], add_flags=True).get_json_meta())))
"""


def collect(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The collector under this Python, which has no ObsPy: only what comes before the first file is read."""
    command = [sys.executable, str(EXAMPLE / "collector.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_dockerfile_keeps_the_label_contract() -> None:
    checked = check_dockerfile((EXAMPLE / "Dockerfile").read_text())
    assert checked.problems == ()
    assert checked.service is not None
    assert [port.path for port in (*checked.service.inputs, *checked.service.outputs)] == ["/input", "/output"]
    assert checked.image.user is not None
    assert checked.image.user.value == "65534:65534"


def test_the_base_image_has_no_unpinned_default() -> None:
    arguments = re.findall(r"^(?:ARG|FROM) .*$", (EXAMPLE / "Dockerfile").read_text(), re.MULTILINE)
    assert arguments == ["ARG BASE", "FROM ${BASE}"]


def test_every_package_is_pinned_and_hashed() -> None:
    text = (EXAMPLE / "requirements.txt").read_text()
    packages = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    unpinned = [p for p in packages if not re.match(r"[a-z0-9-]+==[^ ]+ \\\n    --hash=sha256:[0-9a-f]{64}", p)]
    assert len(packages) > 10
    assert unpinned == []
    direct = (EXAMPLE / "requirements.in").read_text().split()
    assert all(any(package.startswith(f"{pin} ") for package in packages) for pin in direct)


def test_no_input_directory_is_a_failure(tmp_path: Path) -> None:
    done = collect("--input", str(tmp_path / "absent"), "--output", str(tmp_path / "out"))
    assert (done.returncode, "does not exist" in done.stderr) == (2, True)


def test_an_empty_input_directory_is_a_failure_and_a_link_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to("/etc/hostname")
    done = collect("--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"))
    assert (done.returncode, "there is no file in the input" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def layers(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield importlib.import_module("registryless.layers")
    for name in [name for name in sys.modules if name.partition(".")[0] == "registryless"]:
        del sys.modules[name]


def test_a_layer_depends_on_its_contents_only(layers: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    one = {"b": layers.Entry(content=b"b"), "a/c": layers.Entry(source=tmp_path / "file")}
    two = dict(reversed(list(one.items())))
    first = layers.cached_layer(tmp_path / "1", "key", "made", lambda: one)
    second = layers.cached_layer(tmp_path / "2", "key", "made", lambda: two)
    assert (first.digest, first.diff_id) == (second.digest, second.diff_id)


def test_a_damaged_layer_in_the_cache_is_made_anew(layers: ModuleType, tmp_path: Path) -> None:
    tree = {"a": layers.Entry(content=b"a")}
    first = layers.cached_layer(tmp_path, "key", "made", lambda: tree)
    first.file.write_bytes(b"damaged")
    assert layers.cached_layer(tmp_path, "key", "made", lambda: tree) == first
    assert first.file.read_bytes() != b"damaged"


@pytest.fixture(scope="module")
def image(dockerd: Dockerd, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image built without a registry and loaded into the engine. Slow once: its heavy layers are cached."""
    archive = tmp_path_factory.mktemp("waveform") / "image.tar"
    script = [sys.executable, str(EXAMPLE / "build_without_registry.py")]
    subprocess.run([*script, "--output", f"docker-archive:{archive}:{IMAGE}"], check=True, stdout=subprocess.DEVNULL)
    dockerd.cli("load", "--input", archive, timeout_s=300)
    archive.unlink()
    return IMAGE


@pytest.fixture
def volumes(tmp_path: Path) -> list[str]:
    """`input` and `output` below the test's directory, as the ports of the service."""
    (tmp_path / "input").mkdir()
    (tmp_path / "output").mkdir()
    (tmp_path / "output").chmod(0o777)
    return ["--volume", f"{tmp_path}/input:/input:ro", "--volume", f"{tmp_path}/output:/output"]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_image_describes_the_samples_with_the_numbers_of_obspy(
    dockerd: Dockerd, image: str, volumes: list[str], tmp_path: Path
) -> None:
    for sample in SAMPLES.iterdir():
        (tmp_path / "input" / sample.name).write_bytes(sample.read_bytes())
    dockerd.cli("run", "--rm", *CONFINED, *volumes, image)
    names = sorted(sample.name for sample in SAMPLES.iterdir())
    summary = json.loads((tmp_path / "output" / "summary.json").read_bytes())
    assert [entry["file"] for entry in summary["files"]] == names
    assert [entry["num_samples"] for entry in summary["files"]] == [86354, 86466, 86363]

    asked = ["--entrypoint", "python3", *volumes, image, "-c", ASK, *(f"/input/{name}" for name in names)]
    for name, answer in zip(names, dockerd.cli("run", "--rm", *CONFINED, *asked).stdout.splitlines(), strict=True):
        expected = json.loads(answer)
        document = json.loads((tmp_path / "output" / "metadata" / f"{name}.json").read_bytes())
        for key in ("wfmetadata_id", "files"):  # random, and a path: the service names the content and the file instead
            del expected[key], document[key]
        del document["sha256"]
        assert document == expected


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_truncated_file_fails_and_leaves_no_summary(
    dockerd: Dockerd, image: str, volumes: list[str], tmp_path: Path
) -> None:
    good, bad = sorted(SAMPLES.iterdir())[:2]
    (tmp_path / "input" / "good").write_bytes(good.read_bytes())
    (tmp_path / "input" / "truncated").write_bytes(bad.read_bytes()[:-100])
    done = dockerd.cli("run", "--rm", *CONFINED, *volumes, image, check=False)
    assert done.returncode == 1
    assert "cannot read truncated as miniSEED" in done.stderr
    assert not (tmp_path / "output" / "summary.json").exists()


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_image_without_input_fails(dockerd: Dockerd, image: str) -> None:
    done = dockerd.cli("run", "--rm", *CONFINED, image, check=False)
    assert (done.returncode, "there is no file in the input" in done.stderr) == (2, True)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_image_runs_as_nobody(dockerd: Dockerd, image: str) -> None:
    ask = "import os; print(os.getuid(), os.getgid())"
    assert dockerd.cli("run", "--rm", "--entrypoint", "python3", image, "-c", ask).stdout.split() == ["65534", "65534"]
