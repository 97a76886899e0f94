"""One layer in one pass: every form of compression, every way to be damaged, every way to be too much."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from typing import Any

import pytest
import zstandard
from isal import isal_zlib

from gef_registry.facts import decompression
from gef_registry.facts.layers import BlobOutcome, LayerReader
from gef_registry.facts.limits import Budget, Limits
from gef_registry.facts.model import ProblemKind
from gef_registry.oci import media
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor
from tests.parts.images import compress
from tests.parts.tars import FileSpec, layer, raw_tar

TAR = layer({"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "data": b"0123456789" * 5000})
ENGINES = {"zlib": zlib, "isal": isal_zlib}


def read(
    stored: bytes, compression: str = "gzip", *, limits: Limits | None = None, chunk: int = 1 << 20,
    size: int | None = None, digest: Digest | None = None,
) -> BlobOutcome:  # fmt: skip
    descriptor = Descriptor(media.OCI_LAYER, digest or Digest.of(stored), len(stored) if size is None else size)
    reader = LayerReader(descriptor, compression, Budget(limits or Limits()))
    for start in range(0, len(stored), chunk):
        if not reader.feed(stored[start : start + chunk]):
            break
    return reader.finish()


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(decompression, "_fast", ENGINES[request.param] if request.param != "zlib" else None)
    return ENGINES[request.param]


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("chunk", [1, 700, 1 << 20])
def test_every_compression_gives_the_same_facts(compression: str, chunk: int) -> None:
    outcome = read(compress(TAR, compression), compression, chunk=chunk)
    assert outcome.problem is None
    assert outcome.content == read(TAR, "none").content
    assert outcome.content is not None
    assert outcome.content.diff_id == Digest.of(TAR)
    assert (outcome.content.size, outcome.content.entries) == (len(TAR), 3)


def test_gzip_of_several_members_is_read_as_engines_read_it(engine: Any) -> None:
    stored = b"".join(gzip.compress(TAR[start : start + 999], mtime=0) for start in range(0, len(TAR), 999))
    outcome = read(stored)
    assert outcome.content is not None
    assert outcome.content.diff_id == Digest.of(TAR)


GZ = gzip.compress(TAR, mtime=0)
DAMAGED = {
    "truncated": GZ[:-9],
    "a wrong checksum in the trailer": GZ[:-8] + b"\0\0\0\0" + GZ[-4:],
    "a wrong length in the trailer": GZ[:-4] + b"\0\0\0\1",
    "garbage after the end": GZ + b"garbage that is not gzip",
    "an archive that is not compressed": TAR,
    "zstd": zstandard.ZstdCompressor().compress(TAR),
    "nothing at all": b"",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_gzip_is_refused_whichever_engine_reads_it(engine: Any, name: str) -> None:
    for chunk in (5, 1 << 20):
        outcome = read(DAMAGED[name], chunk=chunk)
        assert (outcome.content, outcome.problem) == (None, ProblemKind.CORRUPT_COMPRESSION), name


def test_damaged_zstd_is_refused() -> None:
    assert read(b"no zstd at all", "zstd").problem is ProblemKind.CORRUPT_COMPRESSION
    truncated = zstandard.ZstdCompressor().compress(TAR)[:-20]
    outcome = read(truncated, "zstd")
    assert outcome.content is None or outcome.content.diff_id != Digest.of(TAR)


def test_a_compressed_layer_that_claims_to_be_plain_is_refused() -> None:
    assert read(GZ, "none").problem is ProblemKind.MALFORMED_ARCHIVE


def test_zstd_without_its_library_is_our_inability_and_not_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompression, "_zstandard", None)
    assert read(compress(TAR, "zstd"), "zstd").problem is ProblemKind.UNREADABLE_HERE


def test_bytes_that_contradict_the_descriptor_are_refused() -> None:
    assert read(GZ, digest=Digest.of(b"other")).problem is ProblemKind.DIGEST_MISMATCH
    assert read(GZ, size=len(GZ) - 1).problem is ProblemKind.SIZE_MISMATCH
    assert read(GZ, size=len(GZ) + 1).problem is ProblemKind.SIZE_MISMATCH


def test_a_wrong_digest_is_said_before_what_follows_from_it() -> None:
    assert read(GZ[:-9] + bytes(9), digest=Digest.of(GZ)).problem is ProblemKind.DIGEST_MISMATCH


BOMB = raw_tar([("zeros", FileSpec(bytes(40 << 20)))])


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_bomb_ends_at_its_ratio_and_not_at_its_size(engine: Any, compression: str) -> None:
    limits = Limits(ratio_floor_bytes=1 << 20)
    outcome = read(compress(BOMB, compression), compression, limits=limits)
    assert outcome.problem is ProblemKind.LIMIT_EXCEEDED
    assert "200 times" in outcome.message


@pytest.mark.slow
def test_ten_gigabytes_in_ten_megabytes_are_refused() -> None:
    header = tarfile.TarInfo("zeros")
    header.size = (8 << 30) - 1
    bomb = gzip.compress(header.tobuf(), mtime=0) + gzip.compress(bytes(10 << 20), mtime=0) * 1000
    outcome = read(bomb)
    assert (outcome.content, outcome.problem) == (None, ProblemKind.LIMIT_EXCEEDED)
    assert len(bomb) < 11 << 20


def test_a_high_ratio_below_the_floor_is_no_bomb() -> None:
    assert read(compress(raw_tar([("zeros", FileSpec(bytes(2 << 20)))]), "gzip")).problem is None


def test_layers_share_one_budget() -> None:
    budget = Budget(Limits(uncompressed_bytes=len(TAR) + 100))
    outcomes = []
    for _ in range(2):
        reader = LayerReader(Descriptor(media.OCI_LAYER_GZIP, Digest.of(GZ), len(GZ)), "gzip", budget)
        reader.feed(GZ)
        outcomes.append(reader.finish().problem)
    assert outcomes == [None, ProblemKind.LIMIT_EXCEEDED]
