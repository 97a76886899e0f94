"""The writer of the log: order, durability, idempotency, group commit, cosigning, refusal to fork."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gef_registry.errors import BadInput, Conflict, NotFound, Unavailable, VerificationFailed
from gef_registry.transparency.merkle import EMPTY_ROOT, leaf_hash, root_of, verify_consistency, verify_inclusion
from gef_registry.transparency.note import Checkpoint, CosignatureSigner, NoteSigner, SignedCheckpoint, open_checkpoint
from gef_registry.transparency.sequencer import Entry, Sequencer

OpenLog = Callable[[], Awaitable[Sequencer]]
MakeEntry = Callable[..., Entry]
Opened = Callable[[str], SignedCheckpoint]


@pytest.fixture(name="opened")
def _opened(origin: str, log_signer: NoteSigner, cosigner: CosignatureSigner) -> Opened:
    return lambda note: open_checkpoint(note, origin, log_signer.verifier, [cosigner.verifier])


async def test_a_new_log_publishes_an_empty_cosigned_tree(open_log: OpenLog, opened: Opened, tmp_path: Path) -> None:
    log = await open_log()
    signed = opened(log.checkpoint())
    assert (signed.checkpoint.size, signed.checkpoint.root) == (0, EMPTY_ROOT)
    assert signed.cosigned_at == log.cosigned_at() == 1_700_000_000
    assert (tmp_path / "log/checkpoint").read_text() == log.checkpoint()


async def test_an_append_is_published_when_it_returns(
    open_log: OpenLog, opened: Opened, entry: MakeEntry, tmp_path: Path
) -> None:
    log = await open_log()
    entries = [entry(n) for n in range(3)]
    answers = await log.append(entries)
    assert [a.index for a in answers] == [0, 1, 2]
    assert [a.leaf_hash for a in answers] == [leaf_hash(e.leaf) for e in entries]
    assert answers[0].checkpoint == (tmp_path / "log/checkpoint").read_text()
    signed = opened(answers[0].checkpoint)
    assert signed.checkpoint.root == root_of(leaf_hash(e.leaf) for e in entries)
    verify_inclusion(1, 3, answers[1].leaf_hash, await log.inclusion_proof(1), signed.checkpoint.root)
    for e in entries:
        assert (tmp_path / f"log/statement/{e.statement_id[:2]}/{e.statement_id}").read_bytes() == e.statement
        assert log.has_statement(e.statement_id)


async def test_a_known_leaf_keeps_its_index(open_log: OpenLog, entry: MakeEntry) -> None:
    log = await open_log()
    await log.append([entry(0), entry(1)])
    again = await log.append([entry(1), entry(2), entry(2), entry(0)])
    assert [a.index for a in again] == [1, 2, 2, 0]
    assert log.size() == 3
    assert await log.find(entry(2).leaf) == 2
    assert await log.find(b"unknown") is None
    note = log.checkpoint()
    assert (await log.append([entry(0)]))[0].checkpoint == note
    assert await log.append([]) == []


async def test_the_log_goes_on_where_it_was_closed(open_log: OpenLog, opened: Opened, entry: MakeEntry) -> None:
    log = await open_log()
    await log.append([entry(n) for n in range(300)])
    before = opened(log.checkpoint()).checkpoint
    await log.close()
    log = await open_log()
    assert opened(log.checkpoint()).checkpoint == before
    assert [a.index for a in await log.append([entry(299), entry(300)])] == [299, 300]
    after = opened(log.checkpoint()).checkpoint
    verify_consistency(300, 301, before.root, after.root, await log.consistency_proof(300, 301))


async def test_callers_that_wait_together_share_checkpoints(open_log: OpenLog, opened: Opened, entry: MakeEntry) -> None:
    log = await open_log()
    answers = await asyncio.gather(*(log.append([entry(n), entry(n + 1)]) for n in range(60)))
    assert log.size() == 61
    assert len({a.checkpoint for pair in answers for a in pair}) < 60
    found = {a.index: a.leaf_hash for pair in answers for a in pair}
    assert root_of(found[i] for i in range(61)) == opened(log.checkpoint()).checkpoint.root
    for pair in answers:
        for answer in pair:
            tree = opened(answer.checkpoint).checkpoint
            proof = await log.inclusion_proof(answer.index, tree.size)
            verify_inclusion(answer.index, tree.size, answer.leaf_hash, proof, tree.root)


async def test_a_caller_that_gave_up_waiting_harms_nobody(open_log: OpenLog, entry: MakeEntry) -> None:
    log = await open_log()
    tasks = [asyncio.create_task(log.append([entry(n)])) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(r, asyncio.CancelledError) for r in results[::2])
    again = await log.append([entry(n) for n in range(20)])
    assert sorted(a.index for a in again) == list(range(20))
    for number, result in enumerate(results):
        if not isinstance(result, BaseException):
            assert result[0].index == again[number].index


async def test_a_recorded_statement_never_changes(open_log: OpenLog, entry: MakeEntry, tmp_path: Path) -> None:
    log = await open_log()
    first = entry(0)
    await log.append([first])
    other = Entry(b"another leaf", b"other content", first.statement_id)
    other_id = Entry(first.leaf, b"x", "0" * 64)
    for wrong in (other, other_id, Entry(first.leaf, b"other content", first.statement_id)):
        with pytest.raises(Conflict):
            await log.append([entry(1), wrong])
    with pytest.raises(Conflict):
        await log.append([Entry(b"a", b"1", "1" * 64), Entry(b"b", b"2", "1" * 64)])
    assert log.size() == 1
    assert (tmp_path / f"log/statement/{first.statement_id[:2]}/{first.statement_id}").read_bytes() == first.statement
    assert [a.index for a in await log.append([Entry(b"second leaf", first.statement, first.statement_id)])] == [1]


async def test_one_caller_in_conflict_does_not_spoil_the_commit_of_others(open_log: OpenLog, entry: MakeEntry) -> None:
    log = await open_log()
    await log.append([entry(0)])
    wrong = Entry(b"wrong", b"other", entry(0).statement_id)
    results = await asyncio.gather(
        log.append([entry(1)]), log.append([entry(7), wrong]), log.append([entry(2)]), return_exceptions=True
    )
    assert isinstance(results[1], Conflict)
    assert log.size() == 3
    assert await log.find(entry(7).leaf) is None
    assert not log.has_statement(entry(7).statement_id)


@pytest.mark.parametrize(
    ("leaf", "statement", "statement_id"),
    [
        (b"", b"s", "0" * 64), (b"x" * 65536, b"s", "0" * 64), (b"l", b"", "0" * 64), (b"l", b"a\nb", "0" * 64),
        (b"l", b"x" * (2**20 + 1), "0" * 64), (b"l", b"s", "0" * 63), (b"l", b"s", "A" * 64), (b"l", b"s", "../" + "0" * 61),
    ],
)  # fmt: skip
def test_an_entry_that_could_not_be_served_is_refused(leaf: bytes, statement: bytes, statement_id: str) -> None:
    with pytest.raises(BadInput):
        Entry(leaf, statement, statement_id)


async def test_the_largest_entry_is_taken(open_log: OpenLog) -> None:
    log = await open_log()
    await log.append([Entry(b"x" * 65535, b"y" * 2**20, "a" * 64)])
    assert log.size() == 1


async def test_refreshing_vouches_for_the_same_tree_at_a_later_time(
    open_log: OpenLog, opened: Opened, entry: MakeEntry, clock: Any, tmp_path: Path
) -> None:
    log = await open_log()
    await log.append([entry(0)])
    before = opened(log.checkpoint())
    clock.now += 60
    after = opened(await log.refresh_cosignature())
    assert after.checkpoint == before.checkpoint
    assert after.cosigned_at == (before.cosigned_at or 0) + 60
    assert (tmp_path / "log/checkpoint").read_text() == after.note == log.checkpoint()


async def test_a_clock_set_back_is_never_cosigned(
    open_log: OpenLog, opened: Opened, entry: MakeEntry, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    log = await open_log()
    last = log.cosigned_at()
    note = log.checkpoint()
    clock.now -= 100
    assert await log.refresh_cosignature() == note
    assert "is behind the last cosigned time" in caplog.text

    answer = (await log.append([entry(0)]))[0]
    signed = opened(answer.checkpoint)
    assert signed.checkpoint.size == 1
    assert signed.cosigned_at is log.cosigned_at() is None

    await log.close()
    log = await open_log()
    assert opened(await log.refresh_cosignature()).cosigned_at is None, "the last time is remembered on disk"
    clock.now += 100
    assert opened(await log.refresh_cosignature()).cosigned_at == last


async def test_proofs_beyond_the_published_tree_are_not_found(open_log: OpenLog, entry: MakeEntry) -> None:
    log = await open_log()
    await log.append([entry(0), entry(1)])
    for index, size in ((2, None), (-1, None), (0, 3), (1, 1), (0, 0)):
        with pytest.raises(NotFound):
            await log.inclusion_proof(index, size)
    for old, new in ((0, 3), (2, 1), (-1, 1)):
        with pytest.raises(NotFound):
            await log.consistency_proof(old, new)


async def test_a_second_writer_is_refused_until_the_first_is_closed(open_log: OpenLog) -> None:
    first = await open_log()
    with pytest.raises(Unavailable, match="another process"):
        await open_log()
    await first.close()
    await open_log()


async def test_a_closed_log_takes_nothing(open_log: OpenLog, entry: MakeEntry) -> None:
    log = await open_log()
    waiting = asyncio.create_task(log.append([entry(0)]))
    await asyncio.sleep(0)
    await log.close()
    assert (await waiting)[0].index == 0
    await log.close()
    with pytest.raises(Unavailable):
        await log.append([entry(1)])
    with pytest.raises(Unavailable):
        await log.refresh_cosignature()


async def test_full_tiles_stay_and_partial_ones_go_when_the_full_one_is_there(
    open_log: OpenLog, entry: MakeEntry, tmp_path: Path
) -> None:
    log = await open_log()
    for start, end in ((0, 100), (100, 255)):
        await log.append([entry(n) for n in range(start, end)])
    assert sorted(p.name for p in (tmp_path / "log/tile/0/000.p").iterdir()) == ["100", "255"]
    await log.append([entry(255), entry(256)])
    full = {p: (p.stat().st_ino, p.read_bytes()) for p in tmp_path.glob("log/tile/*/000")}
    assert len(full) == 2
    assert not (tmp_path / "log/tile/0/000.p").exists()
    assert not (tmp_path / "log/tile/entries/000.p").exists()
    assert (tmp_path / "log/tile/1/000.p/1").read_bytes() == root_of(leaf_hash(entry(n).leaf) for n in range(256))
    assert (tmp_path / "log/statements/000").read_bytes() == b"".join(entry(n).statement + b"\n" for n in range(256))
    await log.append([entry(n) for n in range(257, 300)])
    assert full == {p: (p.stat().st_ino, p.read_bytes()) for p in tmp_path.glob("log/tile/*/000")}


async def damaged(open_log: OpenLog, entry: MakeEntry, path: Path) -> Path:
    log = await open_log()
    await log.append([entry(n) for n in range(5)])
    await log.close()
    return path / "log"


async def test_lost_or_changed_entries_stop_the_log(open_log: OpenLog, entry: MakeEntry, tmp_path: Path) -> None:
    directory = await damaged(open_log, entry, tmp_path)
    bundle = directory / "tile/entries/000.p/5"
    good = bundle.read_bytes()
    for bad in (good[:-1], good[:-1] + b"x", good + b"\0\0", b""):
        bundle.write_bytes(bad)
        with pytest.raises(VerificationFailed):
            await open_log()
    bundle.unlink()
    with pytest.raises(VerificationFailed, match="entries are gone"):
        await open_log()
    bundle.write_bytes(good)
    assert (await open_log()).size() == 5


async def test_a_lost_or_changed_signed_head_stops_the_log(open_log: OpenLog, entry: MakeEntry, tmp_path: Path) -> None:
    directory = await damaged(open_log, entry, tmp_path)
    head = directory / "signed-head"
    good = head.read_text()
    for bad in ("", "cosigned-at x\n" + good, good.replace("cosigned-at 1", "cosigned-at -1"), good.replace("\n5\n", "\n4\n")):
        head.write_text(bad)
        with pytest.raises(VerificationFailed):
            await open_log()
    head.unlink()
    with pytest.raises(VerificationFailed, match="lost signed-head"):
        await open_log()
    (directory / "checkpoint").unlink()
    with pytest.raises(VerificationFailed, match="lost signed-head"):
        await open_log()


async def test_a_head_older_than_the_published_checkpoint_stops_the_log(
    open_log: OpenLog, entry: MakeEntry, tmp_path: Path
) -> None:
    directory = await damaged(open_log, entry, tmp_path)
    old = (directory / "signed-head").read_bytes()
    log = await open_log()
    await log.append([entry(5)])
    await log.close()
    (directory / "signed-head").write_bytes(old)
    with pytest.raises(VerificationFailed, match="published 6 leaves"):
        await open_log()


async def test_a_published_checkpoint_of_another_history_stops_the_log(
    open_log: OpenLog, entry: MakeEntry, tmp_path: Path
) -> None:
    directory = await damaged(open_log, entry, tmp_path)
    shutil.move(directory, tmp_path / "first")
    log = await open_log()
    await log.append([entry(9)])
    await log.close()
    shutil.copy(tmp_path / "log/checkpoint", tmp_path / "first/checkpoint")
    shutil.rmtree(directory)
    shutil.move(tmp_path / "first", directory)
    with pytest.raises(VerificationFailed, match="do not give the root it published at 1"):
        await open_log()


async def test_another_key_or_origin_cannot_continue_a_log(
    open_log: OpenLog, entry: MakeEntry, tmp_path: Path, origin: str, cosigner: CosignatureSigner, clock: Any
) -> None:
    directory = await damaged(open_log, entry, tmp_path)
    other = NoteSigner(origin, Ed25519PrivateKey.generate())
    with pytest.raises(VerificationFailed, match="not signed by the log"):
        await Sequencer.open(directory, origin, other, cosigner, clock)
    assert (await open_log()).size() == 5, "a refused start gives the lock back"


async def test_a_log_knows_whether_it_is_an_old_copy(open_log: OpenLog, opened: Opened, entry: MakeEntry, origin: str) -> None:
    log = await open_log()
    await log.append([entry(0)])
    seen = opened(log.checkpoint()).checkpoint
    assert not log.is_behind(seen)
    assert log.is_behind(Checkpoint(origin, 2, seen.root))
    with pytest.raises(VerificationFailed, match="forked"):
        log.is_behind(Checkpoint(origin, 1, EMPTY_ROOT))
    with pytest.raises(VerificationFailed):
        log.is_behind(Checkpoint("other.example", 1, seen.root))
