"""The gate as a real process on its own data directory, and what people do with it: accounts, pushes, questions.

    gate = Gate.start(tmp_path / "data", tmp_path / "gate.log", policy="strict")
    ada = gate.account("ada", "author", "demo")
    answer = gate.push(good_service(), "trusted/demo/tool", "1.0.0", ada)          # raw HTTP, as a client would
    gate.kill(); gate.start_again()                                            # the same data, the same port

Nothing here imports the product: it is started as `python -m gef_registry`, and asked over HTTP.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.parts.images import BuiltImage, BuiltIndex
from tests.parts.process import Process, Tool, free_port

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-m", "gef_registry")
SERVE = (*PROGRAM, "serve")
START_S = 60.0
ACCEPT = ", ".join(
    f"application/vnd.{kind}"
    for kind in (
        "oci.image.manifest.v1+json",
        "oci.image.index.v1+json",
        "docker.distribution.manifest.v2+json",
        "docker.distribution.manifest.list.v2+json",
    )
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody of the gate. `token` is the registry token, the password of `docker login`."""

    name: str
    token: str

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.name}:{self.token}".encode()).decode()

    @property
    def credentials(self) -> str:
        return f"{self.name}:{self.token}"


def request(
    url: str, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None, timeout_s: float = 120
) -> Answer:
    """One request, without redirects or proxies. Raises OSError or HTTPException when the server goes away."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body or None, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def with_the_clock_off(seconds: float) -> tuple[str, ...]:
    """The program on a machine whose clock is wrong by so many seconds."""
    code = f"import time; real = time.time; time.time = lambda: real() + {seconds}; import gef_registry.cli as cli; cli.main()"
    return sys.executable, "-c", code


def command(
    *words: str | Path, check: int | None = 0, env: Mapping[str, str] | None = None, timeout_s: float = 120,
    program: Sequence[str] = PROGRAM,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """`gef-registry WORDS`. `check`: the exit code expected; another one is an AssertionError with the output."""
    done = subprocess.run(
        [*program, *map(str, words)], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **(env or {})}, timeout=timeout_s,
    )  # fmt: skip
    shown = f"gef-registry {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    assert check is None or done.returncode == check, shown
    assert "Traceback" not in done.stderr, shown
    return done


@dataclass(slots=True)
class Gate:
    """A gate's data, address and process. After `kill` or `stop` it can be started again, by this program or another."""

    data: Path
    log: Path
    port: int
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    process: Process | None = None
    starter: Callable[..., Process] = Process.start
    _api_tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    def start(
        cls, data: Path, log: Path, *, policy: str | None = None, arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None, program: Sequence[str | Path] = SERVE, port: int | None = None,
    ) -> Gate:  # fmt: skip
        words = (*(("--policy", policy) if policy else ()), *arguments)
        gate = cls(data, log, port or free_port(), tuple(words), env or {})
        gate.start_again(program)
        return gate

    def start_again(self, program: Sequence[str | Path] = SERVE, **env: str) -> None:
        """Starts on the same data and port and waits until it answers. `program` takes the arguments of `serve`."""
        self.process = self.launch(program, **env)
        self.process.wait_until_http(f"{self.url}/healthz", timeout_s=START_S)

    def launch(self, program: Sequence[str | Path] = SERVE, **env: str) -> Process:
        """Starts it without waiting; for gates that are to refuse."""
        words = [*program, "--data", self.data, "--listen", f"127.0.0.1:{self.port}", *self.arguments]
        return self.starter(words, log=self.log, env={**self.env, **env}, cwd=ROOT, dies_with_parent=True)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self.process is not None:
            self.process.kill()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self.process.stop(timeout_s=20) if self.process is not None else 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    # People

    def account(self, name: str, role: str, *communities: str) -> Account:
        words = [word for community in communities for word in ("--community", community)]
        done = command("account", "add", name, "--role", role, *words, "--data", self.data)
        return Account(name, done.stdout.split()[-1])

    def accounts(self, *wanted: tuple[str, ...]) -> list[Account]:
        """Several at once: (name, role, community...). The command takes a second to start, so they run together."""
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda one: self.account(*one), wanted))

    def api_token(self, account: Account) -> str:
        """An account's token for the API, issued when it is first wanted."""
        if account.name not in self._api_tokens:
            done = command("account", "token", account.name, "--data", self.data)
            self._api_tokens[account.name] = done.stdout.split()[-1]
        return self._api_tokens[account.name]

    def client_env(self, account: Account) -> dict[str, str]:
        """What `submit`, `status`, `review` and `revoke` need to act as an account."""
        return {"GEF_REGISTRY_CLIENT__GATE": self.url, "GEF_REGISTRY_CLIENT__TOKEN": self.api_token(account)}

    @property
    def fingerprint(self) -> str:
        """The root key's, as the operator would read it to a host."""
        shown = command("keys", "show", "--data", self.data, "--json").stdout
        return str(json.loads(shown)["root"])

    # Questions

    def ask(
        self, path: str, account: Account | None = None, method: str = "GET", body: bytes = b"",
        headers: Mapping[str, str] | None = None, timeout_s: float = 120,
    ) -> Answer:  # fmt: skip
        sent = dict(headers or {})
        if account is not None:
            is_registry = path.startswith(("/v2/", "/token"))
            sent["Authorization"] = account.basic if is_registry else f"Bearer {self.api_token(account)}"
        return request(f"{self.url}{path}", method, body, sent, timeout_s)

    def post_json(self, path: str, document: object, account: Account | None = None, method: str = "POST") -> Answer:
        body = json.dumps(document).encode()
        return self.ask(path, account, method, body, {"Content-Type": "application/json"})

    def manifest(self, repository: str, reference: str, account: Account | None = None) -> Answer:
        return self.ask(f"/v2/{repository}/manifests/{reference}", account, headers={"Accept": ACCEPT})

    def blob(self, repository: str, digest: str, account: Account | None = None) -> Answer:
        return self.ask(f"/v2/{repository}/blobs/{digest}", account)

    def submissions(self, account: Account, **query: str) -> list[dict[str, Any]]:
        answer = self.ask(f"/api/v1/submissions?{urlencode({'limit': 500, **query})}", account)
        assert answer.status == 200, answer.text
        found: list[dict[str, Any]] = answer.json["submissions"]
        return found

    def submission_of(self, digest: str, account: Account) -> dict[str, Any]:
        """The newest submission of a digest."""
        return next(one for one in self.submissions(account) if one["digest"] == digest)

    def wait_for(self, digest: str, account: Account, *states: str, timeout_s: float = 60) -> dict[str, Any]:
        """The submission of a digest once it is in one of the states."""
        last: list[Any] = []

        def reached() -> bool:
            last[:] = [one for one in self.submissions(account) if one["digest"] == digest]
            return bool(last) and last[0]["state"] in states

        until(reached, f"{digest} being {' or '.join(states)}", timeout_s, lambda: str(last))
        found: dict[str, Any] = last[0]
        return found

    # Pushes

    def push(
        self, image: BuiltImage | BuiltIndex, repository: str, tag: str, account: Account, timeout_s: float = 240
    ) -> Answer:
        """Uploads everything and puts the manifest by tag; the answer to that, or the first refusal before it."""
        for child in getattr(image, "images", ()):
            refused = self.upload(child, repository, account) or self.put(child, repository, child.digest, account)
            if refused.status != 201:
                return refused
        if isinstance(image, BuiltImage) and (early := self.upload(image, repository, account)) is not None:
            return early
        return self.put(image, repository, tag, account, timeout_s)

    def upload(self, image: BuiltImage, repository: str, account: Account) -> Answer | None:
        """The blobs; None when all are there, else the answer that refused one."""
        for digest, data in image.blobs.items():
            answer = self.upload_blob(data, repository, digest, account)
            if answer.status != 201:
                return answer
        return None

    def upload_blob(self, data: bytes, repository: str, digest: str, account: Account) -> Answer:
        return self.ask(f"/v2/{repository}/blobs/uploads/?digest={digest}", account, "POST", data)

    def put(
        self, image: BuiltImage | BuiltIndex, repository: str, reference: str, account: Account, timeout_s: float = 240
    ) -> Answer:
        headers = {"Content-Type": image.media_type}
        path = f"/v2/{repository}/manifests/{reference}"
        return self.ask(path, account, "PUT", image.manifest, headers, timeout_s)

    def skopeo_copy(
        self, skopeo: Tool, source: str, name: str, account: Account, *flags: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return skopeo(
            "copy", "--insecure-policy", "--dest-tls-verify=false", "--dest-creds", account.credentials, *flags,
            source, f"docker://{self.host}/{name}", check=check,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Host:
    """A machine that follows a gate with a view of its own, through the command line."""

    view: Path

    @classmethod
    def init(cls, view: Path, gate: Gate, url: str | None = None) -> Host:
        fingerprint = gate.fingerprint
        command("host", "init", "--gate", url or gate.url, "--fingerprint", fingerprint, "--view", view)
        return cls(view)

    def verify(
        self, what: str, *flags: str | Path, check: int | None = None, clock_off_s: float = 0
    ) -> subprocess.CompletedProcess[str]:
        program = with_the_clock_off(clock_off_s) if clock_off_s else PROGRAM
        return command("verify", what, "--view", self.view, *flags, check=check, program=program)

    def sync(self, check: int | None = 0) -> subprocess.CompletedProcess[str]:
        return command("host", "sync", "--view", self.view, check=check)


@contextlib.contextmanager
def lying_proxy(url: str, alter: Callable[[str, Answer], Answer]) -> Iterator[str]:
    """An address that answers as `url` does, except for what `alter(path, answer)` makes of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = alter(self.path, request(f"{url}{self.path}"))
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def until(
    ready: Callable[[], bool], what: str, timeout_s: float = 60, shown: Callable[[], str] = lambda: ""
) -> None:
    """Returns when `ready()` is true; AssertionError when time is up."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < deadline, f"no {what} after {timeout_s} s {shown()}"
        time.sleep(0.05)


class Background:
    """A call on a thread whose outcome is asked for later: a push that a crash interrupts."""

    def __init__(self, call: Callable[[], Answer]) -> None:
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.answer = self._call()
        except (OSError, http.client.HTTPException) as error:
            self.error = error

    def join(self, timeout_s: float = 120) -> Answer | None:
        """The answer; None when the server went away before it."""
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "a request that never ended"
        return self.answer
