"""Credentials of registries: what `docker login` and `podman login` leave behind, and credential helpers.

Reads `$REGISTRY_AUTH_FILE`, else `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. A `credHelpers` entry wins, then
`credsStore`, then `auths` (also by repository prefix, as containers-auth.json allows). Secrets never enter a `repr`.
Where a credential may be sent is decided by `tokens`, not here.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gef_registry.errors import BadInput, Unavailable
from gef_registry.oci import strict_json

_MAX_FILE = 1 << 20
_MAX_HELPER_OUTPUT = 64 << 10
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_HUB = "docker.io"
_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name with a password, an identity token (OAuth2 refresh token), or a ready bearer token."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    bearer_token: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, in every form that travels."""
        return tuple(
            filter(None, (self.password, self.identity_token, self.bearer_token, self.basic if self.password else ""))
        )

    @property
    def basic(self) -> str:
        """The value after `Basic `."""
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Credentials(Protocol):
    """Where the client finds credentials. Safe concurrently."""

    async def find(self, host: str, repository: str) -> Credential | None:
        """What to show for a repository on a registry, or None. Raises Unavailable when the store cannot be read."""
        ...


class NoCredentials:
    """Always anonymous."""

    async def find(self, host: str, repository: str) -> Credential | None:
        return None


@dataclass(frozen=True, slots=True)
class FixedCredentials:
    """Credentials by registry host, from configuration."""

    by_host: Mapping[str, Credential] = field(repr=False)

    async def find(self, host: str, repository: str) -> Credential | None:
        return self.by_host.get(host)


class DockerConfig:
    """The user's configuration file, read again for each lookup: a login between two is seen."""

    def __init__(self, path: Path, *, helper_timeout_s: float = 30) -> None:
        self._path = path
        self._helper_timeout_s = helper_timeout_s

    @classmethod
    def of_user(cls, environment: Mapping[str, str]) -> DockerConfig:
        """Where docker and podman would look in this environment."""
        if file := environment.get("REGISTRY_AUTH_FILE"):
            return cls(Path(file))
        directory = environment.get("DOCKER_CONFIG") or str(Path(environment.get("HOME", "/nonexistent")) / ".docker")
        return cls(Path(directory) / "config.json")

    async def find(self, host: str, repository: str) -> Credential | None:
        document = await asyncio.to_thread(self._load)
        keys = list(_HUB_KEYS) if host == _HUB else [host]
        helpers = _mapping(document, "credHelpers")
        for key in keys:
            if isinstance(helper := helpers.get(key), str):
                return await ask_helper(helper, keys[0], timeout_s=self._helper_timeout_s)
        store = document.get("credsStore")
        if isinstance(store, str) and store:
            found = await ask_helper(store, keys[0], timeout_s=self._helper_timeout_s)
            if found is not None:
                return found
        return self._from_auths(_mapping(document, "auths"), keys, repository)

    def _load(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                content = file.read(_MAX_FILE + 1)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be read: {error.strerror}") from error
        try:
            return strict_json.load_object(content, what=str(self._path), max_bytes=_MAX_FILE)
        except BadInput as error:
            raise Unavailable(error.message, hint="repair it, or log in again") from error

    def _from_auths(self, auths: Mapping[str, Any], hosts: list[str], repository: str) -> Credential | None:
        normal = {_normal_key(key): value for key, value in reversed(list(auths.items()))}
        for host in hosts:
            parts = [_normal_key(host), *repository.split("/")]
            for length in range(len(parts), 0, -1):
                entry = normal.get("/".join(parts[:length]))
                if isinstance(entry, dict) and (found := _credential(entry, self._path)) is not None:
                    return found
        return None


def _normal_key(key: str) -> str:
    """`https://HOST/v1/` and `HOST` are one registry."""
    bare = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    return re.sub(r"/v[12]$", "", bare)


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _credential(entry: Mapping[str, Any], path: Path) -> Credential | None:
    texts = {key: value for key, value in entry.items() if isinstance(value, str)}
    username, password = texts.get("username", ""), texts.get("password", "")
    if encoded := texts.get("auth"):
        try:
            username, _, password = base64.b64decode(encoded, validate=True).decode().rstrip("\0").partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Unavailable(f"{path}: an `auth` entry is not base64 of NAME:PASSWORD", hint="log in again") from error
    found = Credential(username, password, texts.get("identitytoken", ""), texts.get("registrytoken", ""))
    return found if found.secrets else None


async def ask_helper(name: str, server: str, *, timeout_s: float) -> Credential | None:
    """`docker-credential-NAME get`: the server on stdin, JSON on stdout. None when it knows nothing of that server."""
    if _HELPER_NAME.fullmatch(name) is None:
        raise Unavailable(f"{name[:80]!r} is not a credential helper's name")
    program = f"docker-credential-{name}"
    try:
        process = await asyncio.create_subprocess_exec(
            program, "get",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"the credential helper {program} cannot be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(timeout_s):
            output = await _converse(process, server)
            code = await process.wait()
    except TimeoutError as error:
        raise Unavailable(f"{program} gave no answer within {timeout_s:g} s") from error
    finally:
        await _end(process)
    if code != 0:
        if b"credentials not found" in output:
            return None
        raise Unavailable(f"{program} failed with exit code {code}", hint=f"try: echo {server} | {program} get")
    return _helper_answer(output, program)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kills the helper's whole group and reads its pipe to the end, since only then is the pipe closed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):  # somebody outside the group may hold the other end
            while await process.stdout.read(_MAX_HELPER_OUTPUT):
                pass
    await process.wait()


async def _converse(process: asyncio.subprocess.Process, server: str) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(server.encode())
        await process.stdin.drain()
    process.stdin.close()
    output = bytearray()
    while chunk := await process.stdout.read(_MAX_HELPER_OUTPUT):
        output += chunk
        if len(output) > _MAX_HELPER_OUTPUT:
            raise Unavailable(f"a credential helper printed more than {_MAX_HELPER_OUTPUT} bytes")
    return bytes(output)


def _helper_answer(output: bytes, program: str) -> Credential | None:
    try:
        answer = strict_json.load_object(output, what=program, max_bytes=_MAX_HELPER_OUTPUT)
    except BadInput:
        raise Unavailable(f"{program} printed something that is not JSON") from None
    username, secret = answer.get("Username"), answer.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str):
        raise Unavailable(f"{program} printed no Username and Secret")
    if not secret:
        return None
    return Credential(identity_token=secret) if username == "<token>" else Credential(username, secret)
