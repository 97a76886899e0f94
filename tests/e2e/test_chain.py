"""The chain, with the programs people have: docker, skopeo, crane, ctr and cosign against a running gate, a host beside it.

A good image is admitted, pulled, verified and listed; a bad one is refused, and the client prints why; an admitted name keeps
its digest.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.parts.dockerd import Dockerd
from tests.parts.gate import Account, Gate, Host, command
from tests.parts.images import (
    CREATED,
    BuiltImage,
    build_image,
    good_service,
    index_of,
    layer,
    tiny_rootfs,
    write_docker_archive,
    write_layout,
)
from tests.parts.process import Tool

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "examples" / "waveform-metadata" / "build_without_registry.py"
SLIDES = ROOT / "tests" / "data" / "dockerfiles" / "slides" / "Dockerfile"


@pytest.fixture(scope="module")
def ada(gate: Gate) -> Account:
    return gate.account("ada", "author", "demo")


@pytest.fixture(scope="module")
def docker(dockerd: Dockerd, gate: Gate, ada: Account, tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """The docker command, logged in as ada."""
    client = dockerd.client(tmp_path_factory.mktemp("docker-ada"))
    client("login", "--username", ada.name, "--password-stdin", gate.host, stdin=ada.token)
    return client


@pytest.fixture(scope="module")
def anonymous(dockerd: Dockerd, tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return dockerd.client(tmp_path_factory.mktemp("docker-nobody"))


@pytest.fixture(scope="module")
def host(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host.init(tmp_path_factory.mktemp("host") / "view", gate)


@pytest.fixture(scope="module")
def waveform(dockerd: Dockerd, docker: Tool, gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The example, built without a registry, loaded, and pushed by its author; its full name."""
    archive = tmp_path_factory.mktemp("waveform") / "image.tar"
    output = f"docker-archive:{archive}:waveform-metadata:e2e"
    subprocess.run([sys.executable, BUILD, "--output", output], check=True, stdout=subprocess.DEVNULL)
    docker("load", "--input", archive, timeout_s=300)
    archive.unlink()
    name = f"{gate.host}/trusted/demo/waveform-metadata:1.0.0"
    docker("tag", "waveform-metadata:e2e", name)
    pushed = docker("push", name, timeout_s=400)
    assert "1.0.0: digest: sha256:" in pushed.stdout
    yield name
    docker("rmi", "--force", name, "waveform-metadata:e2e", check=False)


def repository(name: str) -> str:
    return name.partition("/")[2].rpartition(":")[0]


def test_what_an_author_pushed_with_docker_everybody_pulls(docker: Tool, anonymous: Tool, waveform: str) -> None:
    identity = docker("inspect", "--format", "{{.Id}}", waveform).stdout
    docker("rmi", waveform, "waveform-metadata:e2e")
    anonymous("pull", waveform, timeout_s=300)
    assert anonymous("inspect", "--format", "{{.Id}}", waveform).stdout == identity


def test_skopeo_copies_it_unchanged(gate: Gate, skopeo: Tool, waveform: str, tmp_path: Path) -> None:
    skopeo(
        "copy", "--insecure-policy", "--preserve-digests", "--src-tls-verify=false", f"docker://{waveform}",
        f"oci:{tmp_path}/copy:1.0.0", timeout_s=300,
    )  # fmt: skip
    [entry] = json.loads((tmp_path / "copy" / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == gate.manifest(repository(waveform), "1.0.0").headers["docker-content-digest"]


def test_a_host_accepts_it_by_its_own_view_online_and_offline(gate: Gate, host: Host, waveform: str) -> None:
    digest = gate.manifest(repository(waveform), "1.0.0").headers["docker-content-digest"]
    for what, flags in ((waveform, ()), (digest, ()), (f"{waveform}@{digest}", ("--offline",))):
        accepted = host.verify(what, *flags, check=0)
        assert "ADMITTED" in accepted.stdout
        assert digest in accepted.stdout


def test_anonymous_sees_it_in_the_list_of_services(gate: Gate, waveform: str) -> None:
    answer = gate.ask("/api/v1/services")
    assert answer.status == 200
    [service] = [one for one in answer.json["services"] if one["repository"] == repository(waveform)]
    assert service["version"] == "1.0.0"
    assert service["digest"] == gate.manifest(repository(waveform), "1.0.0").headers["docker-content-digest"]
    assert gate.ask(f"/services/{repository(waveform)}").status == 200


def private_key() -> str:
    return (
        ed25519.Ed25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def slides_image() -> BuiltImage:
    """What the Dockerfile of the slides builds, as far as it matters: its history, no labels, no user, ubuntu's command."""
    commands = [line for line in SLIDES.read_text().splitlines() if line.startswith("RUN ")]
    history = [{"created": CREATED, "created_by": "ADD rootfs.tar.xz / "}]
    history += [{"created": CREATED, "created_by": f"/bin/sh -c {c[4:]}", "empty_layer": True} for c in commands]  # type: ignore[dict-item]
    config = {"Cmd": ["/bin/bash"], "WorkingDir": "/usr/src/collector"}
    return build_image(config={"config": config, "history": history}, layers=[tiny_rootfs()])


BAD: dict[str, tuple[Callable[[], BuiltImage], tuple[str, ...]]] = {
    "root": (lambda: good_service(user="root"), ("USR-001", "root")),
    "no user": (lambda: good_service(user=None), ("USR-001", "names no user")),
    "no labels": (
        lambda: good_service(labels=dict.fromkeys(good_service().labels)),
        ("LBL-001", "no label begins with eudat.gef.service."),
    ),
    "a key in a deleted layer": (
        lambda: good_service(
            layers=[layer({"root/.ssh/id_ed25519": private_key()}), layer(whiteouts=["root/.ssh/id_ed25519"])]
        ),
        ("SEC-001", "root/.ssh/id_ed25519"),
    ),
    "the slides": (slides_image, ("LBL-001", "USR-001")),
}


@pytest.mark.parametrize("defect", BAD)
def test_docker_prints_why_an_image_is_refused(
    gate: Gate, docker: Tool, ada: Account, tmp_path: Path, defect: str
) -> None:
    make, reasons = BAD[defect]
    name = f"{gate.host}/trusted/demo/bad:{list(BAD).index(defect)}.0.0"
    docker("load", "--input", write_docker_archive(tmp_path / "image.tar", make(), name))
    refused = docker("push", name, check=False)
    docker("rmi", "--force", name)
    assert refused.returncode == 1
    said = refused.stderr + refused.stdout
    assert "denied: " in said
    for reason in reasons:
        assert reason in said
    tag = name.rpartition(":")[2]
    assert f"{gate.url}/submissions/" in said  # where the report is
    assert gate.manifest("trusted/demo/bad", tag).status == 404


def test_labels_check_refuses_the_dockerfile_of_the_slides_before_anything_is_built() -> None:
    done = command("labels", "check", SLIDES, check=1)
    assert "LBL-001: no label begins with eudat.gef.service." in done.stdout
    assert "LBL-006" in done.stdout


def test_another_digest_under_an_admitted_name_is_409_and_the_same_is_201(
    gate: Gate, docker: Tool, ada: Account, tmp_path: Path
) -> None:
    first, second = good_service(docker=True), good_service(docker=True, labels={"org.opencontainers.image.title": "2"})
    name = f"{gate.host}/trusted/demo/kept:1.0.0"
    for image, code in ((first, 0), (second, 1), (first, 0)):
        docker("load", "--input", write_docker_archive(tmp_path / "image.tar", image, name))
        pushed = docker("push", name, check=False)
        assert pushed.returncode == code, pushed.stderr
        docker("rmi", "--force", name)
        if code:
            assert "denied: " in pushed.stderr + pushed.stdout
            assert "trusted/demo/kept:1.0.0" in pushed.stderr + pushed.stdout
    admitted = gate.manifest("trusted/demo/kept", "1.0.0")
    again = gate.ask(
        "/v2/trusted/demo/kept/manifests/1.0.0", ada, "PUT", admitted.body,
        {"Content-Type": admitted.headers["content-type"]},
    )  # fmt: skip
    assert again.status == 201
    refused = gate.push(second, "trusted/demo/kept", "1.0.0", ada)
    assert refused.status == 409
    assert refused.json["errors"][0]["code"] == "DENIED"
    assert gate.manifest("trusted/demo/kept", "1.0.0").body == admitted.body


def test_a_push_to_staging_is_judged_in_the_background_and_then_trusted(
    gate: Gate, skopeo: Tool, ada: Account, host: Host, tmp_path: Path
) -> None:
    image = good_service(labels={"org.opencontainers.image.title": "from staging"})
    write_layout(tmp_path / "oci", image, "1")
    gate.skopeo_copy(skopeo, f"oci:{tmp_path}/oci:1", "staging/demo/background:1.0.0", ada, "--preserve-digests")
    gate.wait_for(image.digest, ada, "admitted")
    assert gate.manifest("trusted/demo/background", "1.0.0").body == image.manifest
    assert gate.manifest("staging/demo/background", "1.0.0").status in (401, 403, 404)
    host.verify("trusted/demo/background:1.0.0", check=0)


def test_a_bad_push_to_staging_succeeds_and_is_never_trusted(gate: Gate, ada: Account) -> None:
    image = good_service(user="root", labels={"org.opencontainers.image.title": "root from staging"})
    assert gate.push(image, "staging/demo/background", "2.0.0", ada).status == 201
    denied = gate.wait_for(image.digest, ada, "denied")
    assert any("USR-001" in reason for reason in denied["reasons"])
    assert gate.manifest("trusted/demo/background", "2.0.0").status == 404
    assert gate.manifest("staging/demo/background", "2.0.0", ada).status == 200


# Several platforms, by every client that can


@pytest.fixture
def index(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A layout with an index of two platforms, tagged 1.0.0; another one for each test."""
    labels = {"org.opencontainers.image.title": request.node.name}
    platforms = [good_service(architecture=a, labels=labels) for a in ("amd64", "arm64")]
    return write_layout(tmp_path / "index", index_of(platforms), "1.0.0")


def admitted_index(gate: Gate, host: Host, name: str, tag: str = "1.0.0") -> dict[str, object]:
    """What anonymous gets as the index: both children are readable, and a host accepts every digest."""
    answer = gate.manifest(name, tag)
    assert answer.status == 200
    document: dict[str, list[dict[str, str]]] = answer.json
    for child in document["manifests"]:
        assert gate.manifest(name, child["digest"]).status == 200
        host.verify(child["digest"], check=0)
    host.verify(f"{name}:{tag}@{answer.headers['docker-content-digest']}", "--offline", check=0)
    return document  # type: ignore[return-value]


def test_skopeo_pushes_all_platforms(gate: Gate, skopeo: Tool, ada: Account, host: Host, index: Path) -> None:
    gate.skopeo_copy(
        skopeo, f"oci:{index}:1.0.0", "trusted/demo/multi-skopeo:1.0.0", ada, "--all", "--preserve-digests"
    )
    assert len(admitted_index(gate, host, "trusted/demo/multi-skopeo")["manifests"]) == 2  # type: ignore[arg-type]


def test_crane_pushes_all_platforms(
    gate: Gate, crane: Tool, skopeo: Tool, ada: Account, host: Host, index: Path
) -> None:
    crane("auth", "login", "--username", ada.name, "--password", ada.token, gate.host)
    gate.skopeo_copy(skopeo, f"oci:{index}:1.0.0", "staging/demo/unjudged:sha256-x", ada, "--all", "--preserve-digests")
    name = f"{gate.host}/trusted/demo/multi-crane:1.0.0"
    crane("copy", "--insecure", f"{gate.host}/staging/demo/unjudged:sha256-x", name)
    assert len(admitted_index(gate, host, "trusted/demo/multi-crane")["manifests"]) == 2  # type: ignore[arg-type]
    crane("validate", "--insecure", "--remote", name)


def test_containerd_pushes_all_platforms(gate: Gate, ctr: Tool, ada: Account, host: Host, index: Path) -> None:
    name = f"{gate.host}/trusted/demo/multi-ctr:1.0.0"
    archive = index.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        for path in sorted(index.rglob("*")):
            tar.add(path, path.relative_to(index))
    ctr("image", "import", "--all-platforms", "--base-name", name.rpartition(":")[0], archive)
    ctr("image", "push", "--plain-http", "--user", ada.credentials, name)
    assert admitted_index(gate, host, "trusted/demo/multi-ctr")["manifests"]
    ctr("image", "rm", name)
    ctr("content", "fetch", "--plain-http", "--all-platforms", name)


def test_an_index_with_one_bad_child_is_refused_as_a_whole(gate: Gate, ada: Account) -> None:
    bad = index_of([good_service(), good_service(architecture="arm64", user="root")])
    refused = gate.push(bad, "trusted/demo/half", "1.0.0", ada)
    assert refused.status == 403
    assert "USR-001" in refused.text
    for digest in (bad.digest, *(image.digest for image in bad.images)):
        assert gate.manifest("trusted/demo/half", digest).status == 404


# Somebody else's verifier


@pytest.fixture(scope="module")
def trust(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The gate's admission key and the trusted root it serves, as files for cosign."""
    directory = tmp_path_factory.mktemp("trust")
    private = serialization.load_pem_private_key((gate.data / "keys" / "admission.pem").read_bytes(), None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (directory / "gate.pub").write_bytes(public)
    (directory / "trusted_root.json").write_bytes(gate.ask("/log/trusted_root.json").body)
    return directory / "gate.pub", directory / "trusted_root.json"


def test_cosign_verifies_an_admission_with_our_log_required(
    gate: Gate, cosign: Tool, ada: Account, trust: tuple[Path, Path]
) -> None:
    key, root = trust
    image = good_service(labels={"org.opencontainers.image.title": "for cosign"})
    assert gate.push(image, "trusted/demo/signed", "1.0.0", ada).status == 201
    common = ("--key", key, "--trusted-root", root, "--allow-http-registry")
    cosign("verify", *common, f"{gate.host}/trusted/demo/signed:1.0.0")
    kind = "https://slsa.dev/verification_summary/v1"
    shown = cosign("verify-attestation", "--type", kind, *common, f"{gate.host}/trusted/demo/signed@{image.digest}")
    assert "PASSED" in shown.stdout or shown.stdout


def test_cosign_refuses_it_under_another_gates_trusted_root(
    gate: Gate, start_gate: Callable[..., Gate], cosign: Tool, ada: Account, trust: tuple[Path, Path], tmp_path: Path
) -> None:
    other = start_gate()
    root = tmp_path / "root.json"
    root.write_bytes(other.ask("/log/trusted_root.json").body)
    image = good_service(labels={"org.opencontainers.image.title": "for cosign again"})
    assert gate.push(image, "trusted/demo/signed", "2.0.0", ada).status == 201
    name = f"{gate.host}/trusted/demo/signed@{image.digest}"
    refused = cosign(
        "verify", "--key", trust[0], "--trusted-root", root, "--allow-http-registry", name, check=False
    )  # fmt: skip
    assert refused.returncode != 0


def test_cosign_no_longer_accepts_what_was_revoked(
    gate: Gate, cosign: Tool, ada: Account, trust: tuple[Path, Path]
) -> None:
    key, root = trust
    grace = gate.account("grace", "reviewer")
    image = good_service(labels={"org.opencontainers.image.title": "to be revoked"})
    assert gate.push(image, "trusted/demo/signed", "3.0.0", ada).status == 201
    verify = ("verify", "--key", key, "--trusted-root", root, "--allow-http-registry")
    name = f"{gate.host}/trusted/demo/signed@{image.digest}"
    cosign(*verify, name)
    document = {"digest": image.digest, "reason": "wrong results"}
    assert gate.post_json("/api/v1/revocations", document, grace).status == 201
    assert cosign(*verify, name, check=False).returncode != 0
