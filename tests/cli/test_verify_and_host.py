"""The commands of a host and of the log, against a gate's log served over HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gef_registry.cli import main
from gef_registry.errors import NotFound, VerificationFailed
from gef_registry.signing import dsse, leaf
from gef_registry.signing.keys import Purpose
from gef_registry.signing.revocation import Revocation, revocation_leaf
from gef_registry.signing.statement import PAYLOAD_TYPE, admission_statement
from gef_registry.transparency.commit import Entry
from gef_registry.transparency.layout import statement_file
from gef_registry.transparency.reader import DirectoryFetch
from gef_registry.transparency.sequencer import Sequencer
from gef_registry.wiring.host import pin_gate, version_order
from gef_registry.wiring.keyring import Identity, Keyring, open_keyring
from tests.fakes.signer import ORIGIN, admission, digest

Run = Callable[..., tuple[int, str, str]]


class Gate:
    """A data directory with keys and a log, and a web server on it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        identity = Identity(f"https://{ORIGIN}/", ORIGIN, ORIGIN)
        self.ring: Keyring = open_keyring(data / "keys", identity, now=int(time.time()) - 1000, may_create=True)
        self.add()

    def add(self, *entries: Entry, at: float | None = None) -> None:
        async def append() -> None:
            clock = time.time if at is None else lambda: at
            log = await Sequencer.open(self.data / "log", ORIGIN, self.ring.log_signer(), self.ring.cosigner(), clock)
            await log.append(entries)
            await log.refresh_cosignature()
            await log.close()

        asyncio.run(append())

    def admission(self, word: str = "image", **changes: object) -> Entry:
        what = admission(word, verified_at=int(time.time()) - 10, **changes)
        key = self.ring[Purpose.ADMISSION]
        envelope = dsse.sign(admission_statement(what), PAYLOAD_TYPE, key)
        return Entry(leaf.dsse_leaf(envelope, key.public), envelope.raw, envelope.statement_id)

    def revocation(self, word: str = "image") -> Entry:
        made = Revocation(digest(word), "a key was found", int(time.time()), "reviewer")
        raw = revocation_leaf(made, self.ring[Purpose.REVOCATION])
        return Entry(raw, raw, leaf.statement_id_of(raw))

    @contextmanager
    def serving(self) -> Iterator[str]:
        fetch, keys = DirectoryFetch(self.data / "log"), self.ring.keyset_raw

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.removeprefix("/log/")
                try:
                    body = keys if path == "keys" else fetch.read(path)
                except NotFound:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

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


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "data")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs one command in this process: exit code, stdout, stderr. The view is in `tmp_path / "view"`."""
    monkeypatch.setenv("GEF_REGISTRY_VIEW", str(tmp_path / "view"))
    monkeypatch.setenv("COLUMNS", "200")

    def command(*words: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), shown.out, shown.err

    return command


def test_a_host_pins_a_gate_and_verifies_by_name_and_digest(gate: Gate, run: Run) -> None:
    gate.add(gate.admission(), gate.admission("other"), gate.revocation("other"))
    with gate.serving() as url:
        code, out, _ = run("host", "init", "--gate", url, "--fingerprint", gate.ring.root_fingerprint)
        assert code == 0 and gate.ring.root_fingerprint in out
        for reference in (str(digest("image")), f"{ORIGIN}/trusted/demo/image:1.0.0", "demo/image", "image"):
            code, out, err = run("verify", reference)
            assert (code, "ADMITTED" in out) == (0, True), out + err
        code, out, _ = run("verify", "other")
        assert code == 1 and "REFUSED" in out and "a key was found" in out
        code, out, _ = run("verify", str(digest("nobody")))
        assert code == 1 and "never admitted" in out
        code, out, _ = run("host", "status")
        assert code == 0 and "3 entries" in out


def test_json_says_everything_a_program_needs(gate: Gate, run: Run) -> None:
    gate.add(gate.admission(trial=True))
    with gate.serving() as url:
        fingerprint = gate.ring.root_fingerprint
        code, out, _ = run("verify", "image", "--gate", url, "--fingerprint", fingerprint, "--format", "json")
    document = json.loads(out)
    assert code == 0 and document["allowed"] is True and document["reason"] == "admitted"
    assert document["digest"] == str(digest("image"))
    assert document["admission"]["name"] == "trusted/demo/image:1.0.0"
    assert document["admission"]["trial"] is True and document["admission"]["log_index"] == 0


def test_a_gate_that_is_away_stops_nobody_whose_view_is_young_enough(gate: Gate, run: Run) -> None:
    gate.add(gate.admission())
    with gate.serving() as url:
        run("host", "init", "--gate", url, "--fingerprint", gate.ring.root_fingerprint)
    code, out, _ = run("verify", "image")
    assert code == 0 and "could not be asked" in out
    assert run("verify", "image", "--offline")[0] == 0
    code, _, err = run("host", "sync")
    assert code == 3 and "cannot reach" in err


def test_a_view_beyond_its_age_and_a_clock_set_back_are_refused(
    gate: Gate, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.add(gate.admission())
    with gate.serving() as url:
        run("host", "init", "--gate", url, "--fingerprint", gate.ring.root_fingerprint)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 30 * 3600)
    code, out, _ = run("verify", "image", "--offline")
    assert code == 1 and "view_too_old" in out
    assert run("verify", "image", "--offline", "--max-age-h", "48")[0] == 0
    assert run("host", "status")[0] == 1
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    code, out, _ = run("verify", "image", "--offline")
    assert code == 1 and "clock was set back" in out


def test_without_a_view_there_is_nothing_to_decide_by(run: Run) -> None:
    for words in (("verify", "image"), ("verify", "image", "--offline"), ("host", "status"), ("host", "sync")):
        code, _, err = run(*words)
        assert code == 3 and "no view" in err, words


def test_a_gate_is_pinned_by_its_fingerprint_only(gate: Gate, run: Run, tmp_path: Path) -> None:
    with gate.serving() as url:
        code, _, err = run("host", "init", "--gate", url)
        assert code == 2 and gate.ring.root_fingerprint in err and "--fingerprint" in err
        code, _, err = run("host", "init", "--gate", url, "--fingerprint", "sha256:" + "0" * 64)
        assert code == 1 and "pinned is" in err
        assert run("host", "init", "--gate", url, "--fingerprint", "abc")[0] == 2
        assert not (tmp_path / "view/pin.json").exists()
        assert run("host", "init", "--gate", url, "--fingerprint", gate.ring.root_fingerprint)[0] == 0
    other = Gate(tmp_path / "other")
    with other.serving() as url:
        code, _, err = run("host", "init", "--gate", url, "--fingerprint", other.ring.root_fingerprint)
        assert code == 1 and "follows the gate" in err


def test_a_person_may_confirm_the_fingerprint_instead(gate: Gate, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(yes: bool) -> Callable[[str, str], bool]:
        return lambda _, fingerprint: asked.append(fingerprint) is None and yes

    with gate.serving() as url:
        with pytest.raises(VerificationFailed, match="nothing was pinned"):
            asyncio.run(pin_gate(tmp_path / "view", url, None, answer(False)))
        assert not (tmp_path / "view").exists()
        pin, _ = asyncio.run(pin_gate(tmp_path / "view", url, None, answer(True)))
        assert asyncio.run(pin_gate(tmp_path / "view", url, None, None))[0] == pin, (
            "what is pinned needs no more asking"
        )
    assert asked == [gate.ring.root_fingerprint] * 2


def test_a_rewritten_history_is_refused_although_the_view_is_young(gate: Gate, run: Run, tmp_path: Path) -> None:
    gate.add(gate.admission(), gate.revocation())
    with gate.serving() as url:
        run("host", "init", "--gate", url, "--fingerprint", gate.ring.root_fingerprint)
        (gate.data / "log").rename(tmp_path / "true log")
        gate.add(gate.admission(), gate.admission("other"), gate.admission("third"))
        pin = json.loads((tmp_path / "view/pin.json").read_text())
        assert pin["gate"] == url
        code, _, err = run("verify", "image")
    assert code == 1 and "history was rewritten" in err


@pytest.mark.parametrize("how", ["withheld", "altered"])
def test_a_hidden_statement_has_its_own_refusal(gate: Gate, run: Run, how: str) -> None:
    entry, other = gate.admission(), gate.admission("other")
    gate.add(entry, other)
    file = gate.data / "log" / statement_file(entry.statement_id)
    if how == "withheld":
        file.unlink()
    else:
        file.write_bytes(other.statement)
    with gate.serving() as url:
        run("host", "init", "--gate", url, "--fingerprint", gate.ring.root_fingerprint)
        code, out, err = run("verify", "image")
        assert code == 1 and f"statement_{how}" in out, out + err
        assert run("verify", "other")[0] == 0


# ---------------------------------------------------------------------- log and keys


def test_an_audit_of_a_good_log_is_clean(gate: Gate, run: Run) -> None:
    gate.add(gate.admission(), gate.revocation())
    code, out, _ = run("log", "audit", "--data", gate.data)
    assert code == 0 and "2 entries" in out and "in order" in out


def test_an_audit_finds_what_was_changed(gate: Gate, run: Run) -> None:
    entry = gate.admission()
    gate.add(entry)
    file = gate.data / "log" / statement_file(entry.statement_id)
    file.write_bytes(gate.admission("evil").statement)
    code, out, _ = run("log", "audit", "--data", gate.data)
    assert code == 1 and "WRONG" in out and "leaf 0" in out
    file.write_bytes(entry.statement)
    (tile,) = (gate.data / "log/tile/0").rglob("1")
    tile.write_bytes(bytes(32))
    code, out, _ = run("log", "audit", "--data", gate.data)
    assert code == 1 and "WRONG" in out and "tile" in out


def test_an_audit_finds_what_no_host_would_count(gate: Gate, run: Run) -> None:
    gate.add(gate.admission(), gate.admission(digest=digest("another under the same name")))
    code, out, _ = run("log", "audit", "--data", gate.data)
    assert code == 1 and "for ever" in out


def test_a_digest_is_proven(gate: Gate, run: Run, tmp_path: Path) -> None:
    gate.add(gate.admission(), gate.admission("other"), gate.revocation())
    code, out, err = run("log", "prove", digest("image"), "--data", gate.data)
    assert code == 0 and out.count("c2sp.org/tlog-proof@v1") == 2 and "revoked" in err
    assert run("log", "prove", digest("other"), "--data", gate.data, "-o", tmp_path / "proof")[0] == 0
    assert (tmp_path / "proof").read_text().startswith("c2sp.org/tlog-proof@v1\nindex 1\n")
    code, _, err = run("log", "prove", digest("nobody"), "--data", gate.data)
    assert code == 3 and "no entry about" in err


def test_keys_are_shown_without_their_private_parts(gate: Gate, run: Run) -> None:
    code, out, _ = run("keys", "show", "--data", gate.data)
    assert code == 0 and gate.ring.root_fingerprint in out and "PRIVATE" not in out
    code, out, _ = run("keys", "show", "--data", gate.data, "--json")
    assert {key["purpose"] for key in json.loads(out)["keys"]} == {
        "admission",
        "revocation",
        "log",
        "cosigner",
        "token",
    }


def test_the_highest_version_is_last() -> None:
    tags = ["1.10.0", "latest", "1.9.0", "2.0.0-rc.1", "2.0.0"]
    assert sorted(tags, key=version_order) == ["latest", "1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0"]
