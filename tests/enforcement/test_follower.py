"""Hosts against a real log on disk: what a lying or broken log does is refused, each with its own words."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from gef_registry.enforcement import follower as follower_module
from gef_registry.enforcement.decide import Reason, decide
from gef_registry.enforcement.follower import Follower
from gef_registry.enforcement.http_fetch import HttpFetch, gate_url
from gef_registry.enforcement.view import View, fold
from gef_registry.enforcement.view_directory import Pin, ViewDirectory
from gef_registry.errors import BadInput, GefError, NotFound, Unavailable, VerificationFailed
from gef_registry.signing.statement import Admission
from gef_registry.transparency.commit import Entry
from gef_registry.transparency.layout import statement_file
from gef_registry.transparency.reader import DirectoryFetch
from gef_registry.transparency.sequencer import Sequencer
from tests.fakes.signer import NOW, ORIGIN, Signer, admission, digest

SIGNER = Signer()


class Gate:
    """A log in a directory, its writer, and what it serves; every path can be bent."""

    def __init__(self, directory: Path, signer: Signer = SIGNER) -> None:
        self.directory, self.signer, self.now = directory, signer, NOW
        self.keys = signer.keyset_raw
        self.bent: dict[str, bytes | GefError] = {}
        self.asked: list[str] = []

    async def __aenter__(self) -> Gate:
        self.log = await Sequencer.open(
            self.directory, ORIGIN, self.signer.log_signer, self.signer.cosigner, lambda: self.now
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.log.close()

    async def add(self, *entries: Entry | Admission) -> None:
        await self.log.append([e if isinstance(e, Entry) else self.signer.entry(e) for e in entries])

    async def fetch(self, path: str) -> bytes:
        self.asked.append(path)
        if path in self.bent:
            answer = self.bent[path]
            if isinstance(answer, GefError):
                raise answer
            return answer
        if path == "keys":
            return self.keys
        return await DirectoryFetch(self.directory)(path)

    def follower(self, view: Path) -> Follower:
        return Follower(view, self.fetch, self.signer.fingerprint, lambda: self.now)


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with Gate(tmp_path / "log") as gate:
        yield gate


def reason(view: View | None, word: str = "image", now: int = NOW) -> Reason:
    return decide(view, digest=digest(word), now=now).reason


def filler(count: int, start: int = 0) -> list[Entry]:
    return [SIGNER.revocation(digest(f"filler {n}"), "filler") for n in range(start, start + count)]


def evidence(view: Path) -> list[str]:
    return sorted(path.name.partition("-")[2] for path in (view / "evidence").iterdir())


async def test_a_host_follows_the_log_and_fetches_only_what_is_new(gate: Gate, tmp_path: Path) -> None:
    await gate.add(*filler(300), admission())
    host = gate.follower(tmp_path / "view")
    view = await host.sync()
    assert reason(view) is Reason.ADMITTED
    gate.asked.clear()
    await gate.add(SIGNER.revocation(digest("image")))
    assert reason(await host.sync()) is Reason.REVOKED
    assert "statements/000" not in gate.asked and "tile/entries/000" not in gate.asked
    gate.asked.clear()
    await host.sync()
    assert gate.asked == ["keys", "checkpoint"]


@pytest.mark.slow
async def test_a_view_on_disk_is_enough_without_the_gate(gate: Gate, tmp_path: Path) -> None:
    for n in range(0, 520, 130):
        await gate.add(*filler(130, n), admission(f"image{n}"))
        await gate.follower(tmp_path / "view").sync()
    again = gate.follower(tmp_path / "view")
    gate.asked.clear()
    view = await again.load()
    assert gate.asked == []
    assert view == await gate.follower(tmp_path / "fresh").sync()
    assert view is not None and view.size == 524
    assert {path.name for path in (tmp_path / "view/tile/entries").rglob("*") if path.is_file()} == {"000", "001", "12"}


async def test_there_is_no_view_before_the_first_sync(gate: Gate, tmp_path: Path) -> None:
    assert await gate.follower(tmp_path / "view").load() is None


async def test_only_the_pinned_root_is_believed(gate: Gate, tmp_path: Path) -> None:
    gate.keys = Signer().keyset_raw
    with pytest.raises(VerificationFailed, match="pinned is"):
        await gate.follower(tmp_path / "view").sync()
    assert not (tmp_path / "view/checkpoint").exists()


async def test_case_24_a_checkpoint_of_another_log_or_key_is_refused(gate: Gate, tmp_path: Path) -> None:
    async with Gate(tmp_path / "other", Signer()) as other:
        await other.add(*filler(1))
        gate.bent["checkpoint"] = await other.fetch("checkpoint")
    with pytest.raises(VerificationFailed, match="no signature of a known key"):
        await gate.follower(tmp_path / "view").sync()


async def test_case_25_a_log_that_shrank_is_a_rollback_and_both_notes_are_kept(gate: Gate, tmp_path: Path) -> None:
    await gate.add(admission())
    early = await gate.fetch("checkpoint")
    await gate.add(SIGNER.revocation(digest("image")))
    host = gate.follower(tmp_path / "view")
    await host.sync()
    gate.bent["checkpoint"] = early
    with pytest.raises(VerificationFailed, match="rolled back"):
        await host.sync()
    assert evidence(tmp_path / "view") == ["rollback-0", "rollback-1"]
    assert (tmp_path / "view/evidence" / f"{NOW}-rollback-1").read_bytes() == early
    assert reason(await gate.follower(tmp_path / "view").load()) is Reason.REVOKED


async def test_case_25_another_root_at_the_same_size_is_a_fork(gate: Gate, tmp_path: Path) -> None:
    await gate.add(admission())
    host = gate.follower(tmp_path / "view")
    await host.sync()
    async with Gate(tmp_path / "forked") as forked:
        await forked.add(admission("other"))
        gate.bent["checkpoint"] = await forked.fetch("checkpoint")
    with pytest.raises(VerificationFailed, match="it forked"):
        await host.sync()
    assert evidence(tmp_path / "view") == ["fork-0", "fork-1"]
    assert host.view is None
    gate.bent.clear()
    with pytest.raises(VerificationFailed, match="the log forked"):
        await host.sync()
    with pytest.raises(VerificationFailed, match="the log forked"):
        await gate.follower(tmp_path / "view").load()


async def test_case_26_a_log_whose_history_was_rewritten_is_refused(gate: Gate, tmp_path: Path) -> None:
    await gate.add(admission(), SIGNER.revocation(digest("image")))
    host = gate.follower(tmp_path / "view")
    await host.sync()
    async with Gate(tmp_path / "rewritten") as rewritten:  # the same keys, the revocation left out
        await rewritten.add(admission(), admission("other"), admission("third"))
        liar = Follower(tmp_path / "view", rewritten.fetch, SIGNER.fingerprint, lambda: NOW)
        with pytest.raises(VerificationFailed, match="history was rewritten"):
            await liar.sync()
    assert evidence(tmp_path / "view") == ["rewritten-0", "rewritten-1"]
    assert reason(await gate.follower(tmp_path / "view").load()) is Reason.REVOKED


async def test_case_23_entries_that_do_not_give_the_signed_root_are_refused(gate: Gate, tmp_path: Path) -> None:
    await gate.add(admission(), SIGNER.revocation(digest("image")))
    bundle = await gate.fetch("tile/entries/000.p/2")
    gate.bent["tile/entries/000.p/2"] = bundle.replace(b"a key was found", b"a keY was found")
    with pytest.raises(VerificationFailed, match="do not give the root"):
        await gate.follower(tmp_path / "view").sync()
    assert not (tmp_path / "view/checkpoint").exists()


async def test_case_27_a_frozen_checkpoint_ages(gate: Gate, tmp_path: Path) -> None:
    await gate.add(admission())
    host = gate.follower(tmp_path / "view")
    gate.bent["checkpoint"] = await gate.fetch("checkpoint")
    gate.now = NOW + 25 * 3600
    assert reason(await host.sync(), now=gate.now) is Reason.VIEW_TOO_OLD
    del gate.bent["checkpoint"]
    await gate.log.refresh_cosignature()
    assert reason(await host.sync(), now=gate.now) is Reason.ADMITTED
    assert reason(await gate.follower(tmp_path / "view").load(), now=gate.now) is Reason.ADMITTED


async def test_case_27_an_older_note_of_the_same_tree_does_not_make_a_view_older(gate: Gate, tmp_path: Path) -> None:
    await gate.add(admission())
    early = await gate.fetch("checkpoint")
    gate.now = NOW + 600
    await gate.log.refresh_cosignature()
    host = gate.follower(tmp_path / "view")
    await host.sync()
    gate.bent["checkpoint"] = early
    assert (await host.sync()).cosigned_at == NOW + 600
    loaded = await gate.follower(tmp_path / "view").load()
    assert loaded is not None and loaded.cosigned_at == NOW + 600


async def test_case_27_a_clock_behind_the_log_is_refused_while_syncing_and_deciding(gate: Gate, tmp_path: Path) -> None:
    await gate.add(admission())
    host = gate.follower(tmp_path / "view")
    await host.sync()
    gate.now = NOW - 3600
    with pytest.raises(VerificationFailed, match="clock"):
        await host.sync()
    assert reason(await gate.follower(tmp_path / "view").load(), now=gate.now) is Reason.CLOCK_SET_BACK


async def test_a_checkpoint_that_nobody_cosigned_brings_news_but_no_freshness(gate: Gate, tmp_path: Path) -> None:
    await gate.add(admission())
    host = gate.follower(tmp_path / "view")
    await host.sync()
    gate.now = NOW - 200  # the gate's clock is behind what it cosigned: it signs, but does not cosign
    await gate.add(SIGNER.revocation(digest("image")))
    gate.now = NOW
    view = await host.sync()
    assert (view.size, view.cosigned_at) == (2, NOW)
    assert reason(view) is Reason.REVOKED
    assert await gate.follower(tmp_path / "view").load() == view
    with pytest.raises(VerificationFailed, match="not cosigned"):
        await gate.follower(tmp_path / "new host").sync()
    gate.now = NOW + 60
    await gate.log.refresh_cosignature()
    assert (await host.sync()).cosigned_at == NOW + 60
    assert await gate.follower(tmp_path / "view").load() == host.view


@pytest.mark.parametrize("how", ["empty line", "file gone", "bundle refused"])
async def test_case_28_a_withheld_statement_is_not_admitted_until_it_is_served(
    gate: Gate, tmp_path: Path, how: str
) -> None:
    entry, other = SIGNER.entry(admission()), SIGNER.entry(admission("other"))
    await gate.add(entry, other)
    hidden = tmp_path / "log" / statement_file(entry.statement_id)
    match how:
        case "empty line":
            gate.bent["statements/000"] = b"\n" + other.statement + b"\n"
            gate.bent[f"statement/{entry.statement_id}"] = NotFound("gone")
        case "file gone":
            hidden.rename(tmp_path / "hidden")
        case "bundle refused":
            gate.bent["statements/000"] = Unavailable("answered 500")
            gate.bent[f"statement/{entry.statement_id}"] = NotFound("gone")
    host = gate.follower(tmp_path / "view")
    view = await host.sync()
    assert reason(view) is Reason.WITHHELD
    assert reason(view, "other") is Reason.ADMITTED
    assert await gate.follower(tmp_path / "view").load() == view
    gate.bent.clear()
    if how == "file gone":
        (tmp_path / "hidden").rename(hidden)
    assert reason(await host.sync()) is Reason.ADMITTED
    assert await gate.follower(tmp_path / "view").load() == host.view


async def test_case_28_an_altered_statement_is_not_admitted(gate: Gate, tmp_path: Path) -> None:
    entry = SIGNER.entry(admission())
    await gate.add(entry)
    (tmp_path / "log" / statement_file(entry.statement_id)).write_bytes(SIGNER.entry(admission("evil")).statement)
    view = await gate.follower(tmp_path / "view").sync()
    assert reason(view) is Reason.ALTERED
    assert reason(view, "evil") is Reason.ALTERED


async def test_case_28_a_revocation_cannot_be_withheld(gate: Gate, tmp_path: Path) -> None:
    await gate.add(admission(), SIGNER.revocation(digest("image")))
    gate.bent["statements/000"] = SIGNER.entry(admission()).statement + b"\n\n"
    assert reason(await gate.follower(tmp_path / "view").sync()) is Reason.REVOKED


@pytest.mark.parametrize("path", ["checkpoint", "keys", "statements/000", "tile/entries/000.p/1"])
async def test_a_gate_that_is_away_leaves_the_view_as_it_was(gate: Gate, tmp_path: Path, path: str) -> None:
    host = gate.follower(tmp_path / "view")
    await host.sync()
    await gate.add(admission())
    gate.bent[path] = Unavailable("no route")
    gate.bent[f"statement/{SIGNER.entry(admission()).statement_id}"] = Unavailable("no route")
    with pytest.raises(Unavailable):
        await host.sync()
    loaded = await gate.follower(tmp_path / "view").load()
    assert loaded is not None and loaded.size == 0


async def test_an_older_or_contradicting_key_set_is_refused(gate: Gate, tmp_path: Path) -> None:
    host = gate.follower(tmp_path / "view")
    await host.sync()
    other = Signer(keys={**Signer().keys, **{p: SIGNER.keys[p] for p in SIGNER.keys if p in ("root", "log")}})
    gate.keys = other.keyset_raw
    with pytest.raises(VerificationFailed, match="two different key sets"):
        await host.sync()


@pytest.mark.parametrize("name", ["tile/entries/000.p/2", "statements/000", "checkpoint", "keyset.json"])
async def test_a_view_that_was_altered_on_disk_is_refused_or_changes_nothing(
    gate: Gate, tmp_path: Path, name: str
) -> None:
    await gate.add(admission(), SIGNER.revocation(digest("image")))
    await gate.follower(tmp_path / "view").sync()
    file = tmp_path / "view" / name
    original = file.read_bytes()
    for position in range(0, len(original), 37):
        file.write_bytes(original[:position] + bytes([original[position] ^ 1]) + original[position + 1 :])
        try:
            view = await gate.follower(tmp_path / "view").load()
        except VerificationFailed:
            continue
        assert reason(view) is Reason.REVOKED
    file.unlink()
    if name == "checkpoint":
        assert await gate.follower(tmp_path / "view").load() is None
    else:
        with pytest.raises(VerificationFailed, match="missing"):
            await gate.follower(tmp_path / "view").load()


async def test_a_crash_between_any_two_files_leaves_a_view_that_loads_and_syncs(gate: Gate, tmp_path: Path) -> None:
    await gate.add(*filler(10), admission())
    view = tmp_path / "view"
    await gate.follower(view).sync()
    await gate.add(*filler(5, 10), SIGNER.revocation(digest("image")))
    shutil.copytree(view, tmp_path / "before")
    writes: list[str] = []
    real = ViewDirectory.write

    class Crash(Exception):
        pass

    for crash_at in range(10):
        shutil.rmtree(view)
        shutil.copytree(tmp_path / "before", view)
        host = gate.follower(view)
        writes.clear()

        def write(self: ViewDirectory, name: str, data: bytes, crash_at: int = crash_at) -> None:
            if len(writes) == crash_at:
                raise Crash
            writes.append(name)
            real(self, name, data)

        host._files.__class__ = type("Crashing", (ViewDirectory,), {"write": write})
        try:
            await host.sync()
        except Crash:
            loaded = await gate.follower(view).load()
            assert reason(loaded) is (Reason.REVOKED if "checkpoint" in writes else Reason.ADMITTED)
            assert reason(await gate.follower(view).sync()) is Reason.REVOKED
        else:
            break
    else:
        raise AssertionError("never got through")
    assert writes[-2:] == ["checkpoint", "folded"] and len(writes) == 4


async def test_a_kept_fold_spares_the_signatures_and_is_never_stale(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, child = (
        admission("index", child_digests=(digest("child"),)),
        admission("child", index_digest=digest("index")),
    )
    await gate.add(index, child, admission("other", expires_at=NOW + 9, trial=True), SIGNER.revocation(digest("other")))
    await gate.add(admission(digest=digest("second"), tag="1.0.0"), admission(digest=digest("third"), tag="1.0.0"))
    view = await gate.follower(tmp_path / "view").sync()
    folds = 0

    def counting(*arguments: object) -> View:
        nonlocal folds
        folds += 1
        return fold(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(follower_module, "fold", counting)
    assert await gate.follower(tmp_path / "view").load() == view and folds == 0
    kept = (tmp_path / "view/folded").read_bytes()
    for spoiled in (b"", kept[:-1], kept.replace(b"demo/other", b"demo/OTHER"), kept.replace(b"true", b"null")):
        assert spoiled != kept
        (tmp_path / "view/folded").write_bytes(spoiled)
        assert await gate.follower(tmp_path / "view").load() == view
    assert folds == 4
    await gate.add(SIGNER.revocation(digest("index")))
    assert reason(await gate.follower(tmp_path / "view").sync(), "child") is Reason.REVOKED
    (tmp_path / "view/folded").write_bytes(kept)  # of before the revocation
    assert reason(await gate.follower(tmp_path / "view").load(), "child") is Reason.REVOKED


async def test_two_processes_do_not_update_one_view_at_once(gate: Gate, tmp_path: Path) -> None:
    with ViewDirectory(tmp_path / "view").locked(), pytest.raises(Unavailable, match="another process"):
        await gate.follower(tmp_path / "view").sync()
    await gate.follower(tmp_path / "view").sync()


def test_a_pin_is_read_back(tmp_path: Path) -> None:
    files = ViewDirectory(tmp_path)
    assert files.pin() is None
    files.write_pin(Pin("https://gate.example.org", SIGNER.fingerprint))
    assert files.pin() == Pin("https://gate.example.org", SIGNER.fingerprint)
    (tmp_path / "pin.json").write_text(json.dumps({"gate": 1}))
    with pytest.raises(VerificationFailed, match="missing"):
        files.pin()


# ---------------------------------------------------------------------- over HTTP


async def _serve(gate: Gate, bent: dict[str, web.Response]) -> tuple[web.AppRunner, str]:
    async def answer(request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if path == "slow":
            await asyncio.sleep(10)
        if path in bent:
            return bent[path]
        try:
            return web.Response(body=await gate.fetch(path))
        except NotFound:
            raise web.HTTPNotFound from None

    app = web.Application()
    app.router.add_get("/log/{path:.+}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def test_a_host_follows_over_http(gate: Gate, tmp_path: Path) -> None:
    await gate.add(*filler(260), admission())
    runner, url = await _serve(gate, {})
    try:
        async with HttpFetch(url) as fetch:
            view = await Follower(tmp_path / "view", fetch, SIGNER.fingerprint, lambda: NOW).sync()
        assert reason(view) is Reason.ADMITTED
    finally:
        await runner.cleanup()


async def test_answers_over_http_are_bounded_and_translated(gate: Gate) -> None:
    bent = {
        "keys": web.Response(body=b"x" * 200_000),
        "checkpoint": web.Response(status=302, headers={"Location": "http://169.254.169.254/"}),
        "broken": web.Response(status=500),
    }
    runner, url = await _serve(gate, bent)
    try:
        async with HttpFetch(url + "/", timeout_s=0.3) as fetch:
            for path, error, words in (
                ("keys", VerificationFailed, "more than"),
                ("checkpoint", Unavailable, "answered 302"),
                ("broken", Unavailable, "answered 500"),
                ("statement/" + "0" * 64, NotFound, "is not there"),
                ("slow", Unavailable, "no answer in time"),
            ):
                with pytest.raises(error, match=words):
                    await fetch(path)
    finally:
        await runner.cleanup()
    async with HttpFetch(url) as fetch:
        with pytest.raises(Unavailable, match="cannot reach"):
            await fetch("checkpoint")


@pytest.mark.parametrize(
    "text", ["gate.example.org", "ftp://gate", "https://", "https://user@gate", "https://gate/?q", ""]
)
def test_what_is_no_address_of_a_gate_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        gate_url(text)
