"""Images that arrive by way of another registry: its webhooks are hints, `submit` fetches, and only from listed hosts."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts.gate import Account, Answer, Gate, command
from tests.parts.images import BuiltImage, good_service, write_layout
from tests.parts.process import Tool, free_port
from tests.parts.registry import DockerRegistry, start_docker_registry

pytestmark = [pytest.mark.real, pytest.mark.slow]

SECRET = "a-secret-of-the-hook-32-characters"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def registry(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """A real registry that tells the gate, which is not there yet, of every push."""
    endpoint = {
        "name": "gate", "url": f"http://127.0.0.1:{port}/hooks/distribution", "timeout": "2s", "threshold": 3,
        "backoff": "500ms", "headers": {"Authorization": [f"Bearer {SECRET}"]},
    }  # fmt: skip
    started = start_docker_registry(tmp_path_factory.mktemp("registry"), {"notifications": {"endpoints": [endpoint]}})
    yield started
    started.process.stop()


@pytest.fixture(scope="module")
def gate(start_gate: Callable[..., Gate], registry: DockerRegistry, port: int) -> Gate:
    env = {
        "GEF_REGISTRY_HOOKS__DISTRIBUTION_REGISTRY": registry.host,
        "GEF_REGISTRY_HOOKS__DISTRIBUTION_SECRET": SECRET,
        "GEF_REGISTRY_SOURCES__REGISTRIES": registry.host,
        "GEF_REGISTRY_SOURCES__PRIVATE": registry.host,
        "GEF_REGISTRY_SOURCES__PLAIN_HTTP": registry.host,
    }
    return start_gate(port=port, env=env)


@pytest.fixture(scope="module")
def admin(gate: Gate) -> Account:
    return gate.account("boss", "admin")


@pytest.fixture(scope="module")
def ada(gate: Gate) -> Account:
    return gate.account("ada", "author", "demo")


def copy(skopeo: Tool, image: BuiltImage, name: str, directory: Path) -> None:
    write_layout(directory / "oci", image, "1")
    skopeo(
        "copy", "--insecure-policy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{directory}/oci:1",
        f"docker://{name}",
    )  # fmt: skip


def titled(text: str, **changes: object) -> BuiltImage:
    return good_service(labels={"org.opencontainers.image.title": text}, **changes)  # type: ignore[arg-type]


def notify(gate: Gate, *events: dict[str, object], secret: str | None = SECRET) -> Answer:
    headers = {"Content-Type": "application/vnd.docker.distribution.events.v1+json"}
    if secret is not None:
        headers["Authorization"] = f"Bearer {secret}"
    return gate.ask("/hooks/distribution", None, "POST", json.dumps({"events": list(events)}).encode(), headers)


def push_event(image: BuiltImage, repository: str, tag: str, **changes: object) -> dict[str, object]:
    target = {
        "mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest), "repository": repository,
        "url": "http://169.254.169.254/latest/meta-data", "tag": tag,
    }  # fmt: skip
    request = {"id": "1", "addr": "10.0.0.1", "host": "evil.example.org", "method": "PUT", "useragent": "curl"}
    event = {"id": str(uuid.uuid4()), "timestamp": "2024-01-01T00:00:00Z", "action": "push", "request": request}
    return {**event, "target": target, **changes}


def test_a_push_to_the_other_registry_is_judged_and_admitted_here(
    gate: Gate, admin: Account, skopeo: Tool, registry: DockerRegistry, tmp_path: Path
) -> None:
    image = titled("hinted")
    copy(skopeo, image, f"{registry.host}/staging/demo/hinted:1.0.0", tmp_path)
    gate.wait_for(image.digest, admin, "admitted")
    assert gate.manifest("trusted/demo/hinted", "1.0.0").body == image.manifest
    assert all(gate.blob("trusted/demo/hinted", digest).body == data for digest, data in image.blobs.items())


def test_a_bad_push_there_is_denied_here(
    gate: Gate, admin: Account, skopeo: Tool, registry: DockerRegistry, tmp_path: Path
) -> None:
    image = titled("bad hint", user="root")
    copy(skopeo, image, f"{registry.host}/staging/demo/hinted:2.0.0", tmp_path)
    assert any("USR-001" in reason for reason in gate.wait_for(image.digest, admin, "denied")["reasons"])
    assert gate.manifest("trusted/demo/hinted", "2.0.0").status == 404


def test_twenty_deliveries_of_one_event_are_one_submission(
    gate: Gate, admin: Account, skopeo: Tool, registry: DockerRegistry, tmp_path: Path
) -> None:
    image = titled("repeated")
    copy(skopeo, image, f"{registry.host}/staging/demo/repeated:1.0.0", tmp_path)
    gate.wait_for(image.digest, admin, "admitted")
    event = push_event(image, "staging/demo/repeated", "1.0.0")
    answers = [notify(gate, event) for _ in range(20)]
    assert [answer.json["new"] for answer in answers] == [1] + [0] * 19
    assert len([one for one in gate.submissions(admin) if one["digest"] == image.digest]) == 1


def test_a_hint_is_read_again_and_what_it_says_is_not_believed(
    gate: Gate, admin: Account, skopeo: Tool, registry: DockerRegistry, tmp_path: Path
) -> None:
    true, claimed = titled("what is there"), titled("what the hint says")
    copy(skopeo, true, f"{registry.host}/elsewhere/service:1.0.0", tmp_path)  # a name that is no hint for us
    assert notify(gate, push_event(claimed, "staging/demo/absent", "1.0.0")).status == 200
    copy(skopeo, true, f"{registry.host}/staging/demo/true:1.0.0", tmp_path)
    assert notify(gate, push_event(claimed, "staging/demo/true", "1.0.0")).status == 200
    gate.wait_for(true.digest, admin, "admitted")
    assert gate.manifest("trusted/demo/true", "1.0.0").body == true.manifest
    assert [one for one in gate.submissions(admin) if one["digest"] == claimed.digest] == []


@pytest.mark.parametrize("secret", [None, "", "wrong", SECRET + "x", SECRET[:-1]])
def test_a_wrong_secret_is_401_and_nothing_is_kept(gate: Gate, secret: str | None) -> None:
    answer = notify(gate, push_event(titled("unasked"), "staging/demo/unasked", "1.0.0"), secret=secret)
    assert answer.status == 401
    assert SECRET not in answer.text


def test_a_hint_survives_a_crash(
    gate: Gate, admin: Account, skopeo: Tool, registry: DockerRegistry, tmp_path: Path
) -> None:
    image = titled("while the gate was away")
    gate.kill()
    copy(skopeo, image, f"{registry.host}/staging/demo/later:1.0.0", tmp_path)
    gate.start_again()  # the registry keeps the event and repeats it
    gate.wait_for(image.digest, admin, "admitted")
    another = titled("killed after the answer")
    copy(skopeo, another, f"{registry.host}/staging/demo/elsewhere-first:1.0.0", tmp_path / "2")
    assert notify(gate, push_event(another, "staging/demo/elsewhere-first", "1.0.0")).status == 200
    gate.kill()
    gate.start_again()
    gate.wait_for(another.digest, admin, "admitted")


# submit


def test_submit_fetches_from_a_listed_registry(
    gate: Gate, ada: Account, skopeo: Tool, registry: DockerRegistry, tmp_path: Path
) -> None:
    image = titled("submitted")
    copy(skopeo, image, f"{registry.host}/library/tool:7", tmp_path)
    env = gate.client_env(ada)
    source = f"docker://{registry.host}/library/tool:7"
    done = command("submit", source, "--as", "trusted/demo/submitted:1.0.0", "--wait", env=env)
    assert image.digest in done.stdout
    assert gate.manifest("trusted/demo/submitted", "1.0.0").body == image.manifest
    bad = titled("submitted, bad", user="root")
    copy(skopeo, bad, f"{registry.host}/library/tool:8", tmp_path / "bad")
    denied = f"docker://{registry.host}/library/tool:8"
    refused = command("submit", denied, "--as", "trusted/demo/submitted:2.0.0", "--wait", env=env, check=1)
    assert "USR-001" in refused.stdout + refused.stderr


def test_submit_asks_no_other_registry(
    gate: Gate, ada: Account, docker_registry: Callable[..., DockerRegistry]
) -> None:
    env = gate.client_env(ada)
    other = docker_registry()
    for source in (f"{other.host}/library/tool:1", "169.254.169.254/latest/meta-data:1", f"{gate.host}/trusted/a/b:1"):
        refused = command("submit", f"docker://{source}", "--as", "trusted/demo/other:1.0.0", env=env, check=1)
        assert "images are not fetched from" in refused.stderr
    assert "/v2/library" not in other.process.output


def test_submit_gives_no_right_that_a_push_would_not(gate: Gate, registry: DockerRegistry) -> None:
    eve = gate.client_env(gate.account("eve", "author", "elsewhere"))
    source = f"docker://{registry.host}/library/tool:7"
    refused = command("submit", source, "--as", "trusted/demo/submitted:3.0.0", env=eve, check=1)
    assert "may not submit" in refused.stderr


def test_a_listed_registry_on_the_loopback_is_asked_only_if_listed_as_private(
    start_gate: Callable[..., Gate], docker_registry: Callable[..., DockerRegistry]
) -> None:
    """What a name resolves to is a second gate: else a listed name could lead inside."""
    inside = docker_registry()
    port = inside.host.rpartition(":")[2]
    names = f"{inside.host},localhost:{port}"
    env = {"GEF_REGISTRY_SOURCES__REGISTRIES": names, "GEF_REGISTRY_SOURCES__PLAIN_HTTP": names}
    gate = start_gate(env=env)
    client = gate.client_env(gate.account("ada", "author", "demo"))
    before = inside.process.output
    for host in names.split(","):
        refused = command(
            "submit", f"docker://{host}/library/tool:1", "--as", "trusted/demo/x:1.0.0", env=client, check=None
        )
        assert refused.returncode in (1, 3)
        assert "address" in refused.stderr
    assert "/v2/" not in inside.process.output.removeprefix(before)
