"""An independent verifier, golang.org/x/mod/sumdb, agrees with our checkpoint, tiles, entries and proofs."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gef_registry.transparency.merkle import root
from gef_registry.transparency.note import NoteSigner
from gef_registry.transparency.sequencer import Entry, Sequencer
from tests.parts.require import require
from tests.parts.tools import cache_directory

pytestmark = pytest.mark.real
SOURCE = Path(__file__).parent.parent / "data/transparency/gocheck"


@pytest.fixture(name="gocheck", scope="module")
def _gocheck() -> Path:
    """The checker, built once for each version of its source, outside the repository."""
    go = shutil.which("go")
    require("gocheck", go is not None, "Go is not installed", obtainable=False)
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(SOURCE.iterdir()))).hexdigest()[:16]
    binary = cache_directory() / "gocheck" / digest / "gocheck"
    if not binary.exists():
        command = [str(go), "build", "-mod=readonly", "-buildvcs=false", "-o", str(binary), "."]
        built = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=280)
        require("gocheck", built.returncode == 0, f"go build failed: {built.stderr[-500:]}")
    return binary


def encoded(hashes: list[bytes]) -> list[str]:
    return [base64.b64encode(h).decode() for h in hashes]


async def proofs(log: Sequencer) -> dict[str, Any]:
    size = log.size()
    read_hash = log._state.tree.read_hash
    return {
        "inclusion": [
            {"index": index, "size": at, "proof": encoded(await log.inclusion_proof(index, at))}
            for at in {1, size // 3 + 1, size}
            for index in range(0, at, max(1, at // 12))
        ],
        "consistency": [
            {
                "old": old, "new": new, "proof": encoded(await log.consistency_proof(old, new)),
                "oldRoot": encoded([root(old, read_hash)])[0], "newRoot": encoded([root(new, read_hash)])[0],
            }
            for new in {1, size // 2 + 1, size}
            for old in range(1, new + 1, max(1, new // 15))
        ],
    }  # fmt: skip


def run(gocheck: Path, directory: Path, vkey: str, given: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = [str(gocheck), str(directory), vkey]
    return subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("size", [1, 2, 7, 256, 257, 700])
async def test_the_log_satisfies_an_independent_verifier(
    gocheck: Path, open_log: Callable[[], Awaitable[Sequencer]], entry: Callable[..., Entry], log_signer: NoteSigner,
    tmp_path: Path, size: int,
) -> None:  # fmt: skip
    log = await open_log()
    for start in range(0, size, 300):
        await log.append([entry(n) for n in range(start, min(size, start + 300))])
    given = await proofs(log)
    checked = run(gocheck, tmp_path / "log", log_signer.verifier.vkey, given)
    assert checked.returncode == 0, checked.stderr
    expected = f"ok size={size} inclusion={len(given['inclusion'])} consistency={len(given['consistency'])} unverified=1\n"
    assert checked.stdout == expected


async def test_the_independent_verifier_does_find_a_changed_tile_or_proof(
    gocheck: Path, open_log: Callable[[], Awaitable[Sequencer]], entry: Callable[..., Entry], log_signer: NoteSigner,
    tmp_path: Path,
) -> None:  # fmt: skip
    log = await open_log()
    await log.append([entry(n) for n in range(5)])
    given = await proofs(log)
    given["inclusion"][-1]["index"] -= 1
    assert "differs from x/mod's" in run(gocheck, tmp_path / "log", log_signer.verifier.vkey, given).stderr
    (tmp_path / "log/tile/0/000.p/5").write_bytes(bytes(160))
    assert run(gocheck, tmp_path / "log", log_signer.verifier.vkey, await proofs(log)).returncode == 1
