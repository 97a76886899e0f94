"""Following a log through `Fetch`: from a directory, and from servers that lie or withhold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gef_registry.errors import NotFound, Unavailable, VerificationFailed
from gef_registry.transparency.merkle import Frontier, leaf_hash, verify_consistency, verify_inclusion
from gef_registry.transparency.note import CosignatureSigner, NoteSigner
from gef_registry.transparency.reader import DirectoryFetch, Fetch, LogReader
from gef_registry.transparency.sequencer import Entry, Sequencer
from gef_registry.transparency.tiles import encode_bundle

OpenLog = Callable[[], Awaitable[Sequencer]]
MakeEntry = Callable[..., Entry]
MakeReader = Callable[..., LogReader]


@pytest.fixture(name="reader")
def _reader(tmp_path: Path, origin: str, log_signer: NoteSigner, cosigner: CosignatureSigner) -> MakeReader:
    def make(fetch: Fetch | None = None) -> LogReader:
        return LogReader(fetch or DirectoryFetch(tmp_path / "log"), origin, log_signer.verifier, [cosigner.verifier])

    return make


def altered(fetch: Fetch, changes: dict[str, bytes | None]) -> Fetch:
    """A server that answers some paths otherwise; None means not there."""

    async def lying(path: str) -> bytes:
        data = changes.get(path, b"")
        if data is None:
            raise NotFound(path)
        return data if path in changes else await fetch(path)

    return lying


async def follow(reader: LogReader, start: Frontier) -> tuple[list[bytes], list[bytes], Frontier]:
    leaves: list[bytes] = []
    statements: list[bytes] = []
    until = (await reader.checkpoint()).checkpoint
    frontier = start
    async for step in reader.replay(start, until):
        assert step.first == start.size + len(leaves)
        leaves += step.leaves
        statements += step.statements
        frontier = step.frontier
    assert frontier.root() == until.root
    return leaves, statements, frontier


async def test_a_follower_replays_what_is_new_since_it_last_looked(
    open_log: OpenLog, entry: MakeEntry, reader: MakeReader
) -> None:
    log = await open_log()
    frontier, seen = Frontier(), 0
    for size in (0, 3, 3, 255, 257, 600):
        await log.append([entry(n) for n in range(seen, size)])
        leaves, statements, frontier = await follow(reader(), frontier)
        assert leaves == [entry(n).leaf for n in range(seen, size)]
        assert statements == [entry(n).statement for n in range(seen, size)]
        seen = size


async def test_proofs_from_fetched_tiles_verify(open_log: OpenLog, entry: MakeEntry, reader: MakeReader) -> None:
    log = await open_log()
    await log.append([entry(n) for n in range(300)])
    old = (await reader().checkpoint()).checkpoint
    await log.append([entry(n) for n in range(300, 530)])
    new = (await reader().checkpoint()).checkpoint
    for index in (0, 255, 256, 299, 529):
        proof = await reader().inclusion_proof(index, new.size)
        assert proof == await log.inclusion_proof(index)
        verify_inclusion(index, new.size, leaf_hash(entry(index).leaf), proof, new.root)
    proof = await reader().consistency_proof(old.size, new.size)
    verify_consistency(old.size, new.size, old.root, new.root, proof)


async def test_a_partial_tile_that_is_gone_is_read_from_the_full_one(
    open_log: OpenLog, entry: MakeEntry, reader: MakeReader
) -> None:
    log = await open_log()
    await log.append([entry(n) for n in range(200)])
    old = (await reader().checkpoint()).checkpoint
    await log.append([entry(n) for n in range(200, 256)])
    steps = [step async for step in reader().replay(Frontier(), old)]
    assert [len(step.leaves) for step in steps] == [200]
    verify_inclusion(7, 200, leaf_hash(entry(7).leaf), await reader().inclusion_proof(7, 200), old.root)


async def test_a_log_that_changed_or_withheld_something_is_refused(
    open_log: OpenLog, entry: MakeEntry, reader: MakeReader, tmp_path: Path
) -> None:
    log = await open_log()
    await log.append([entry(n) for n in range(5)])
    honest = DirectoryFetch(tmp_path / "log")
    leaves = [entry(n).leaf for n in range(5)]
    lines = b"".join(entry(n).statement + b"\n" for n in range(5))
    bundle, statements = "tile/entries/000.p/5", "statements/000"
    for changes, error in (
        ({bundle: encode_bundle([*leaves[:4], b"other"])}, VerificationFailed),
        ({bundle: encode_bundle(leaves[::-1])}, VerificationFailed),
        ({bundle: encode_bundle(leaves[:4])}, VerificationFailed),
        ({bundle: None}, Unavailable),
        ({statements: None}, Unavailable),
        ({statements: lines[:-1]}, VerificationFailed),
        ({statements: lines.partition(b"\n")[2]}, VerificationFailed),
        ({statements: lines + b"\n" * 256}, VerificationFailed),
    ):
        with pytest.raises(error):
            await follow(reader(altered(honest, changes)), Frontier())
    with pytest.raises(Unavailable):
        await reader(altered(honest, {"tile/0/000.p/5": None})).inclusion_proof(0, 5)
    with pytest.raises(VerificationFailed):
        await reader(altered(honest, {"tile/0/000.p/5": b"short"})).inclusion_proof(0, 5)


async def test_a_rewritten_or_shrunk_history_is_refused_by_who_saw_another(
    open_log: OpenLog, entry: MakeEntry, reader: MakeReader
) -> None:
    log = await open_log()
    await log.append([entry(n) for n in range(5)])
    other = Frontier().extend([leaf_hash(b"other")] * 3)
    with pytest.raises(VerificationFailed, match="do not give the root"):
        await follow(reader(), other)
    for size in (5, 6):
        with pytest.raises(VerificationFailed, match="does not continue"):
            await follow(reader(), Frontier().extend([leaf_hash(b"other")] * size))


async def test_a_directory_serves_only_what_its_checkpoint_covers(
    open_log: OpenLog, entry: MakeEntry, tmp_path: Path
) -> None:
    log = await open_log()
    await log.append([entry(0), entry(1)])
    for path in ("tile/0/000.p/3", "tile/entries/000", "tile/0/001.p/1"):
        (tmp_path / "log" / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "log" / path).write_bytes(b"left by a crash")
    fetch = DirectoryFetch(tmp_path / "log")
    assert await fetch(f"statement/{entry(0).statement_id}") == entry(0).statement
    assert await fetch("statements/000") == entry(0).statement + b"\n" + entry(1).statement + b"\n"
    for path in (
        "tile/0/000.p/3", "tile/entries/000", "tile/0/001.p/1", "statements/001", "signed-head", "lock", "", "/etc/passwd",
        "tile/0/../../signed-head", "statement/" + "0" * 64, "statement/../signed-head", "statements/0", "checkpoint/",
        "statement-ids/000", "tile/63/000", "../log/checkpoint",
    ):  # fmt: skip
        with pytest.raises(NotFound):
            await fetch(path)
    with pytest.raises(NotFound):
        await DirectoryFetch(tmp_path / "nothing")("tile/0/000")


async def test_one_statement_is_read_by_its_id(open_log: OpenLog, entry: MakeEntry, reader: MakeReader, tmp_path: Path) -> None:
    log = await open_log()
    await log.append([entry(0)])
    path = f"statement/{entry(0).statement_id}"
    assert await reader().statement(entry(0).statement_id) == entry(0).statement
    with pytest.raises(VerificationFailed):
        await reader(altered(DirectoryFetch(tmp_path), {path: bytes(2**20 + 1)})).statement(entry(0).statement_id)
