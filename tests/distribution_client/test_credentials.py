"""What docker and podman leave behind is found, helpers are spoken to, and no secret shows."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from gef_registry.distribution.client.credentials import Credential, DockerConfig, ask_helper
from gef_registry.errors import Unavailable

SECRET = "pa:ss wörd"


def encoded(name: str, password: str) -> str:
    return base64.b64encode(f"{name}:{password}".encode()).decode()


def config(tmp_path: Path, **document: Any) -> DockerConfig:
    (tmp_path / "config.json").write_text(json.dumps(document))
    return DockerConfig(tmp_path / "config.json", helper_timeout_s=5)


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()

    def write(name: str, script: str) -> None:
        program = tmp_path / "bin" / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return write


@pytest.mark.parametrize(
    "key", ["example.org", "https://example.org", "https://example.org/v2/", "http://example.org/v1/"]
)
async def test_an_entry_is_found_under_every_spelling_of_its_host(tmp_path: Path, key: str) -> None:
    found = await config(tmp_path, auths={key: {"auth": encoded("ada", SECRET)}}).find("example.org", "a/b")
    assert found == Credential("ada", SECRET)
    assert found is not None
    assert base64.b64decode(found.basic).decode() == f"ada:{SECRET}"


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"])
async def test_docker_hub_goes_by_its_old_names(tmp_path: Path, key: str) -> None:
    found = await config(tmp_path, auths={key: {"auth": encoded("ada", "x")}}).find("docker.io", "library/a")
    assert found == Credential("ada", "x")


@pytest.mark.parametrize("key", ["example.org:5000", "sub.example.org", "example.org.evil.org", "ample.org"])
async def test_an_entry_of_another_host_is_not_taken(tmp_path: Path, key: str) -> None:
    assert await config(tmp_path, auths={key: {"auth": encoded("ada", "x")}}).find("example.org", "a") is None


async def test_the_longest_repository_prefix_wins(tmp_path: Path) -> None:
    auths = {"example.org": {"auth": encoded("all", "x")}, "example.org/team": {"auth": encoded("team", "x")}}
    found = config(tmp_path, auths=auths)
    assert await found.find("example.org", "team/app") == Credential("team", "x")
    assert await found.find("example.org", "teamwork/app") == Credential("all", "x")


async def test_identity_and_registry_tokens_are_kept(tmp_path: Path) -> None:
    auths = {
        "a.org": {"identitytoken": "idt", "auth": encoded("<token>", "")},
        "b.org": {"registrytoken": "rt"},
        "c.org": {},
    }
    found = config(tmp_path, auths=auths)
    assert (await found.find("a.org", "x")) == Credential("<token>", "", "idt")
    assert (await found.find("b.org", "x")) == Credential(bearer_token="rt")
    assert (await found.find("c.org", "x")) is None


async def test_no_file_means_no_credentials(tmp_path: Path) -> None:
    assert await DockerConfig(tmp_path / "none.json").find("example.org", "a") is None
    assert await DockerConfig.of_user({}).find("example.org", "a") is None


async def test_the_environment_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    for path, name in ((tmp_path / ".docker", "home"), (tmp_path, "config")):
        (path / "config.json").write_text(json.dumps({"auths": {"a.org": {"auth": encoded(name, "x")}}}))
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"a.org": {"auth": encoded("file", "x")}}}))
    environment = {"HOME": str(tmp_path)}
    for name, changes in (
        ("home", {}), ("config", {"DOCKER_CONFIG": str(tmp_path)}), ("file", {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}),
    ):  # fmt: skip
        environment |= changes
        assert await DockerConfig.of_user(environment).find("a.org", "x") == Credential(name, "x")


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"auths":{"a.org":{"auth":"%%%"}}}', b'{"auths":{"a.org":{"auth":"/w=="}}}']
)
async def test_a_broken_file_is_said_and_not_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(Unavailable) as caught:
        await DockerConfig(tmp_path / "config.json").find("a.org", "x")
    assert "%%%" not in str(caught.value)


async def test_a_helper_of_the_host_wins_over_the_store_and_the_file(tmp_path: Path, helper: Any) -> None:
    helper("one", 'read server; echo "{\\"Username\\": \\"$server\\", \\"Secret\\": \\"s1\\"}"')
    helper("two", 'echo \'{"Username": "<token>", "Secret": "s2"}\'')
    helper("none", "echo credentials not found in native keychain; exit 1")
    document = {
        "credHelpers": {"a.org": "one"},
        "credsStore": "two",
        "auths": {"a.org": {"auth": encoded("file", "x")}},
    }
    assert await config(tmp_path, **document).find("a.org", "x") == Credential("a.org", "s1")
    assert await config(tmp_path, **document).find("b.org", "x") == Credential(identity_token="s2")
    document["credsStore"], document["credHelpers"] = "none", {}
    assert await config(tmp_path, **document).find("a.org", "x") == Credential("file", "x")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo no; exit 2", "exit code 2"),
        ("echo '{}'", "no Username"),
        ("echo hello secret", "not JSON"),
        ("yes secret", "more than"),
        ("sleep 600", "no answer within"),
        ("sleep 600 & exec sleep 600", "no answer within"),
    ],
)
async def test_a_helper_that_misbehaves_is_ended_and_not_quoted(helper: Any, script: str, message: str) -> None:
    helper("bad", script)
    with pytest.raises(Unavailable, match=message) as caught:
        await ask_helper("bad", "a.org", timeout_s=0.3)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["../../bin/sh", "a/b", "", "-x", "a b", "none-such"])
async def test_only_plain_names_of_helpers_are_run(helper: Any, name: str) -> None:
    with pytest.raises(Unavailable):
        await ask_helper(name, "a.org", timeout_s=1)


def test_a_credential_does_not_show_its_secrets() -> None:
    shown = repr(Credential("ada", "geheim", "idt-geheim", "bt-geheim"))
    assert "ada" in shown
    assert "geheim" not in shown
