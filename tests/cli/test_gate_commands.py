"""submit, status, review and revoke against a gate on a loopback port, through the real command line."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from aiohttp import web
from typer.testing import CliRunner

from gef_registry.admission.states import State
from gef_registry.cli import application
from gef_registry.cli.failures import ending
from gef_registry.errors import BadInput, Unavailable
from gef_registry.web.access import HttpAccess
from gef_registry.web.app import build_app
from gef_registry.wiring.gate_client import GateClient, gate_address
from tests.fakes.gate_ports import MemoryGate, digest_of, finding


class Serving:
    """An application in a thread of its own, since commands run their own loops."""

    def __init__(self, application: web.Application) -> None:
        self._loop = asyncio.new_event_loop()
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def gate() -> MemoryGate:
    return MemoryGate()


@pytest.fixture
def url(gate: MemoryGate) -> Iterator[str]:
    serving = Serving(build_app(gate.ports, gate.issuer, HttpAccess(gate.accounts, gate.issuer, gate.origin), []))
    yield serving.url
    serving.stop()


@pytest.fixture
def run(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEF_REGISTRY_GATE", url)

    def act(*words: str, as_: str | None = "ada") -> tuple[int, str]:
        """The exit code and everything printed."""
        if as_ is None:
            monkeypatch.delenv("GEF_REGISTRY_TOKEN", raising=False)
        else:
            monkeypatch.setenv("GEF_REGISTRY_TOKEN", f"gefa_{as_}")
        result = CliRunner().invoke(application(), list(words))
        output, code = result.output, result.exit_code
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            with pytest.raises(SystemExit) as ended, ending():
                raise result.exception
            code, output = int(ended.value.code or 0), output + capfd.readouterr().err
        assert "gefa_" not in output
        return code, output

    return act


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (State.ADMITTED, 0),
        (State.DENIED, 1),
        (State.REJECTED, 1),
        (State.CONFLICT, 1),
        (State.REVOKED, 1),
        (State.UNDECIDED, 3),
        (State.JUDGING, 3),
        (State.WAITING, 4),
    ],
)
def test_status_answers_with_the_state_as_exit_code(run, gate: MemoryGate, state: State, code: int) -> None:
    submission = gate.submission(state=state, reasons=("because of that",))
    got, output = run("status", submission.id)
    assert (got, "because of that" in output, state.value in output) == (code, True, True)
    assert run("status", "trusted/seis/waveform:1.0.0")[0] == code


def test_anybody_may_ask_for_an_admitted_name(run, gate: MemoryGate) -> None:
    gate.submission()
    assert run("status", "trusted/seis/waveform:1.0.0", as_=None)[0] == 0
    assert run("status", "trusted/seis/waveform:2.0.0", as_=None)[0] == 3
    code, output = run("status", as_=None)
    assert code == 1 and "GEF_REGISTRY_TOKEN" in output
    for bad in ("staging/a/b:1", "trusted/a/b:x y", "../whoami"):
        assert run("status", bad)[0] == 2


def test_status_lists_ones_own_and_speaks_json(run, gate: MemoryGate) -> None:
    gate.submission()
    gate.submission("other", State.DENIED, account="mallory", repository="trusted/other/x")
    code, output = run("status", "--format", "json")
    assert code == 0 and [s["id"] for s in json.loads(output)["submissions"]] == ["s0001"]
    assert "s0001" in run("status")[1]
    assert run("status", "--format", "xml")[0] == 2
    assert run("status", "--watch")[0] == 2


def test_submit_waits_for_the_decision(run, gate: MemoryGate) -> None:
    words = ("submit", "registry.example.org/tool:1", "--as", "trusted/seis/tool:1.0.0")
    code, output = run(*words, "--format", "json")
    assert code == 0
    made = gate.records.rows[json.loads(output)["id"]]
    gate.records.put(replace(made, state=State.WAITING))
    assert run(*words, "--wait")[0] == 4
    assert run("submit", "evil.example/tool:1", "--as", "trusted/seis/tool:2")[0] == 2
    assert run("submit", "registry.example.org/tool:1", "--as", "trusted/seis/tool")[0] == 2
    assert run(*words, as_="mallory")[0] == 1


def test_watching_survives_a_gate_that_is_away_for_a_moment(run, gate: MemoryGate) -> None:
    submission = gate.submission(state=State.DENIED)
    gate.failing.fail += ["get"]
    assert run("status", submission.id)[0] == 3
    gate.failing.fail += []
    real, calls = gate.records.get, []

    async def flaky(submission_id: str):
        calls.append(submission_id)
        if len(calls) == 2:
            raise Unavailable("the store is away")
        return await real(submission_id)

    gate.records.get = flaky  # type: ignore[method-assign]
    assert run("status", submission.id, "--watch")[0] == 1
    assert len(calls) >= 3


def test_a_reviewer_lists_looks_and_decides(run, gate: MemoryGate) -> None:
    waiting = gate.submission(
        state=State.WAITING, findings=[finding("CFG-007", "review", "odd \x1b[31m path", remediation="Say why.")]
    )
    second = gate.submission("second", State.WAITING, tag="2")
    assert waiting.id in run("review", "list", as_="rita")[1]
    code, output = run("review", "show", waiting.id, as_="rita")
    assert code == 0 and "Say why." in output and "CFG-007" in output and "\x1b" not in output
    assert run("review", "approve", waiting.id, as_="ada")[0] == 1
    assert run("review", "approve", waiting.id, "--comment", "good", as_="rita")[0] == 0
    assert run("review", "approve", waiting.id, as_="rita")[0] == 1
    assert run("review", "reject", second.id, "--comment", "no licence", as_="rita")[0] == 0
    assert gate.records.rows[second.id].state is State.REJECTED
    assert run("review", "show", "nothing", as_="rita")[0] == 3


def test_revoke_takes_a_digest_or_a_name(run, gate: MemoryGate, url: str) -> None:
    for number in ("1.0.0", "2.0.0", "3.0.0"):
        gate.submission(number, tag=number)
    assert run("revoke", "trusted/seis/waveform:1.0.0", "--reason", "x")[0] == 1
    host = url.removeprefix("http://")
    for what, word in (
        (f"{host}/trusted/seis/waveform:1.0.0", "1.0.0"),
        (str(digest_of("2.0.0")), "2.0.0"),
        (f"trusted/seis/waveform@{digest_of('3.0.0')}", "3.0.0"),
    ):
        code, output = run("revoke", what, "--reason", "a key", as_="rita")
        assert code == 0 and str(digest_of(word)) in output and "entry" in output
    assert run("revoke", "trusted/seis/waveform", "--reason", "x", as_="rita")[0] == 2
    assert run("revoke", "sha256:short", "--reason", "x", as_="rita")[0] == 2


def test_no_gate_or_none_that_answers_is_said_clearly(run, monkeypatch) -> None:
    monkeypatch.delenv("GEF_REGISTRY_GATE")
    code, output = run("status")
    assert code == 2 and "GEF_REGISTRY_GATE" in output
    code, output = run("status", "--gate", "http://127.0.0.1:1")
    assert code == 3 and "cannot be reached" in output


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://gate.example.org/", "https://gate.example.org"),
        ("gate.example.org:8443", "https://gate.example.org:8443"),
        ("localhost:8080", "http://localhost:8080"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_addresses_of_gates(text: str, address: str) -> None:
    assert gate_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://gate.example.org",
        "ftp://x",
        "https://u:p@x",
        "https://x/path",
        "https://x?q",
        "https://x:99999",
        "http://127.0.0.1.evil.example",
    ],
)
def test_what_would_show_the_token_to_others_is_no_address(text: str) -> None:
    with pytest.raises(BadInput):
        gate_address(text)


async def answering(handler) -> tuple[web.AppRunner, str]:
    application = web.Application()
    application.add_routes([web.get("/{path:.*}", handler)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(text="<html>not a gate</html>", content_type="text/html"),
        lambda: web.Response(status=404, text="nginx"),
        lambda: web.Response(status=302, headers={"Location": "https://evil.example/"}),
        lambda: web.Response(text="[1]"),
        lambda: web.Response(text='{"a":1,"a":2}'),
    ],
)
async def test_whatever_is_no_gate_is_unavailable_not_an_answer(answer) -> None:
    async def handler(request: web.Request) -> web.Response:
        return answer()

    runner, url = await answering(handler)
    async with GateClient(url, "gefa_x") as client:
        with pytest.raises(Unavailable):
            await client.get("/api/v1/whoami")
    await runner.cleanup()


async def test_a_slow_or_endless_answer_is_given_up(monkeypatch) -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    runner, url = await answering(slow)
    async with GateClient(url, timeout_s=0.05) as client:
        with pytest.raises(Unavailable, match="did not answer"):
            await client.get("/")
    await runner.cleanup()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(64):
            await response.write(b" " * 4096)
        return response

    from gef_registry.errors import VerificationFailed
    from gef_registry.wiring import gate_client

    monkeypatch.setattr(gate_client, "MAX_ANSWER_BYTES", 100_000)
    runner, url = await answering(endless)
    async with GateClient(url) as client:
        with pytest.raises(VerificationFailed):
            await client.get("/")
    await runner.cleanup()
