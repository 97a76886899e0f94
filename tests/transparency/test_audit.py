"""An audit finds every kind of damage, says where, and finds nothing in a sound log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.transparency.audit import AuditReport, audit, is_behind
from gef_registry.transparency.merkle import EMPTY_ROOT
from gef_registry.transparency.note import Checkpoint, CosignatureSigner, NoteSigner, open_checkpoint
from gef_registry.transparency.sequencer import Entry, Sequencer

OpenLog = Callable[[], Awaitable[Sequencer]]
MakeEntry = Callable[..., Entry]
RunAudit = Callable[..., AuditReport]


@pytest.fixture(name="run_audit")
def _run_audit(
    tmp_path: Path, origin: str, log_signer: NoteSigner, cosigner: CosignatureSigner, statement_id: Callable[[bytes], str]
) -> RunAudit:
    def run(
        statement_id_of: Callable[[bytes], str] = statement_id,
        check: Callable[[bytes, bytes], str | None] = lambda leaf, statement: None,
    ) -> AuditReport:
        return audit(tmp_path / "log", origin, log_signer.verifier, cosigner.verifier, statement_id_of, check)

    return run


@pytest.fixture(name="directory")
async def _directory(open_log: OpenLog, entry: MakeEntry, tmp_path: Path) -> Path:
    """A log of 257 leaves: a full bundle, a partial one, three tiles."""
    log = await open_log()
    await log.append([entry(n) for n in range(256)])
    await log.append([entry(256)])
    await log.close()
    return tmp_path / "log"


def kinds(report: AuditReport) -> list[tuple[str, str]]:
    return [(f.kind, f.where) for f in report.findings]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


async def test_a_sound_log_has_no_findings_and_the_figures_tell_its_size(directory: Path, run_audit: RunAudit) -> None:
    report = run_audit()
    assert report.is_clean
    assert (report.entries, report.tiles, report.statements) == (257, 3, 257)
    assert report.checkpoint is not None and report.checkpoint.size == 257
    assert report.cosigned_at == 1_700_000_000
    assert report.bytes_hashed > 257 * 64


async def test_an_empty_log_is_sound(open_log: OpenLog, run_audit: RunAudit) -> None:
    await open_log()
    assert run_audit().is_clean


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("checkpoint", ("checkpoint", "checkpoint")),
        ("signed-head", ("head", "signed-head")),
        ("tile/0/000", ("tile", "tile/0/000")),
        ("tile/0/001.p/1", ("tile", "tile/0/001.p/1")),
        ("tile/1/000.p/1", ("tile", "tile/1/000.p/1")),
        ("tile/entries/000", ("root", "checkpoint")),
        ("statements/000", ("bundle", "statements/000")),
    ],
)
async def test_a_changed_file_is_found(directory: Path, run_audit: RunAudit, path: str, expected: tuple[str, str]) -> None:
    flip(directory / path)
    assert expected in kinds(run_audit())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("checkpoint", ("checkpoint", "checkpoint")),
        ("signed-head", ("head", "signed-head")),
        ("tile/0/000", ("tile", "tile/0/000")),
        ("tile/entries/000", ("entry", "tile/entries/000")),
        ("statement-ids/001", ("statement", "statement-ids/001")),
    ],
)
async def test_a_missing_file_is_found(directory: Path, run_audit: RunAudit, path: str, expected: tuple[str, str]) -> None:
    (directory / path).unlink()
    assert expected in kinds(run_audit())


async def test_a_withheld_statement_and_one_that_does_not_match_are_found(
    directory: Path, run_audit: RunAudit, entry: MakeEntry
) -> None:
    withheld, changed = entry(3).statement_id, entry(256).statement_id
    (directory / f"statement/{withheld[:2]}/{withheld}").unlink()
    flip(directory / f"statement/{changed[:2]}/{changed}")

    def check(leaf: bytes, statement: bytes) -> str | None:
        number = int(leaf.split()[1])
        return None if statement == entry(number).statement else "other content"

    report = run_audit(check=check)
    assert kinds(report) == [("statement", "leaf 3"), ("bundle", "statements/000"), ("statement", "leaf 256")]
    assert "withheld" in report.findings[0].message
    assert "other content" in report.findings[2].message
    assert report.statements == 256


async def test_a_leaf_that_names_another_statement_or_none_is_found(directory: Path, run_audit: RunAudit, entry: MakeEntry) -> None:
    def statement_id_of(leaf: bytes) -> str:
        if leaf == entry(1).leaf:
            raise BadInput("not a leaf of ours")
        return entry(5).statement_id if leaf == entry(2).leaf else leaf.decode().rpartition(" ")[2]

    found = kinds(run_audit(statement_id_of))
    assert ("statement", "leaf 1") in found
    assert ("statement", "leaf 2") in found
    assert ("statement", "leaf 3") not in found


async def test_a_left_over_partial_tile_must_agree_with_the_tree(directory: Path, run_audit: RunAudit) -> None:
    for kind in ("0", "entries"):
        (directory / f"tile/{kind}/000.p").mkdir()
    hashes = (directory / "tile/0/000").read_bytes()
    (directory / "tile/0/000.p/7").write_bytes(hashes[: 7 * 32])
    assert run_audit().is_clean
    (directory / "tile/0/000.p/9").write_bytes(hashes[32 : 10 * 32])
    (directory / "tile/entries/000.p/2").write_bytes(b"\0\1a\0\1b")
    assert kinds(run_audit()) == [("tile", "tile/0/000.p/9"), ("entry", "tile/entries/000.p/2")]


async def test_a_checkpoint_of_another_log_is_found(directory: Path, run_audit: RunAudit, log_signer: NoteSigner) -> None:
    text = Checkpoint("other.example", 0, EMPTY_ROOT).text
    (directory / "checkpoint").write_text(f"{text}\n{log_signer.sign(text)}")
    assert kinds(run_audit()) == [("checkpoint", "checkpoint")]


async def test_a_restored_directory_knows_that_it_is_old(
    directory: Path, origin: str, log_signer: NoteSigner, cosigner: CosignatureSigner, tmp_path: Path
) -> None:
    keys = (log_signer.verifier, cosigner.verifier)
    seen = open_checkpoint((directory / "checkpoint").read_bytes(), origin, *keys[:1]).checkpoint
    assert not is_behind(directory, seen, *keys)
    assert not is_behind(directory, Checkpoint(origin, 0, EMPTY_ROOT), *keys)
    assert is_behind(directory, Checkpoint(origin, 258, seen.root), *keys)
    assert is_behind(tmp_path / "empty", seen, *keys)
    with pytest.raises(VerificationFailed, match="forked"):
        is_behind(directory, Checkpoint(origin, 256, seen.root), *keys)
