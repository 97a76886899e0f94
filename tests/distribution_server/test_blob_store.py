"""The blob store by itself: durable names, resumed uploads, quarantine, scrubbing, a full disk."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gef_registry.distribution import upload_files
from gef_registry.distribution.blobs import SMALL_BYTES, BlobStore
from gef_registry.errors import BadInput, NotFound, Unavailable, VerificationFailed
from gef_registry.oci.digest import Digest
from tests.parts.require import require

UPLOAD = "0123456789abcdef0123"
CONTENT = b"a layer" * 1000
LARGE = os.urandom(SMALL_BYTES * 3 + 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    opened = BlobStore(tmp_path)
    yield opened
    opened.close()


async def pieces(content: bytes, size: int = 1 << 16) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def append(store: BlobStore, content: bytes, upload: str = UPLOAD) -> int:
    async with store.hold(upload) as held:
        await held.append(pieces(content), at_most=1 << 30, idle_s=5)
        return held.offset


async def commit(store: BlobStore, digest: Digest, upload: str = UPLOAD) -> int:
    async with store.hold(upload) as held:
        return await store.commit(held, digest)


def path_of(directory: Path, digest: Digest) -> Path:
    return directory / "blobs" / digest.algorithm / digest.hex[:2] / digest.hex


def files(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


async def test_a_blob_is_where_its_digest_says_and_nothing_else_is_left(store: BlobStore, tmp_path: Path) -> None:
    digest = Digest.of(CONTENT)
    await store.begin(UPLOAD)
    assert await append(store, CONTENT) == len(CONTENT)
    assert await commit(store, digest) == len(CONTENT)
    assert files(tmp_path) == [f"blobs/sha256/{digest.hex[:2]}/{digest.hex}"]
    assert await store.size(digest) == len(CONTENT)
    assert b"".join([chunk async for chunk in store.chunks(digest)]) == CONTENT
    assert oct(path_of(tmp_path, digest).parent.stat().st_mode)[-3:] == "700"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_an_upload_goes_on_in_another_process(tmp_path: Path, algorithm: str) -> None:
    digest = Digest.of(LARGE, algorithm)
    first = BlobStore(tmp_path)
    await first.begin(UPLOAD)
    await append(first, LARGE[:1_000_000])
    first.close()
    second = BlobStore(tmp_path)
    async with second.hold(UPLOAD) as held:
        assert held.offset == 1_000_000
    await append(second, LARGE[1_000_000:])
    assert await commit(second, digest) == len(LARGE)
    assert await second.read_verified(digest, len(LARGE)) == LARGE
    second.close()


@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=6), restart=st.sets(st.integers(0, 6)))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_however_an_upload_is_cut_and_restarted_its_digest_is_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], restart: set[int]
) -> None:
    directory = tmp_path_factory.mktemp("store")
    store = BlobStore(directory)
    await store.begin(UPLOAD)
    edges = [0, *sorted(cuts), len(CONTENT)]
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        if number in restart:
            store.close()
            store = BlobStore(directory)
        assert await append(store, CONTENT[start:end]) == end
    assert await commit(store, Digest.of(CONTENT)) == len(CONTENT)
    assert await store.read_verified(Digest.of(CONTENT), 1 << 20) == CONTENT
    store.close()


async def test_bytes_changed_behind_a_running_upload_are_found_when_they_are_served(
    store: BlobStore, tmp_path: Path
) -> None:
    digest = Digest.of(LARGE)
    await store.begin(UPLOAD)
    await append(store, LARGE)
    with (tmp_path / "uploads" / UPLOAD).open("r+b") as file:
        file.write(b"altered")
    fresh = BlobStore(tmp_path)  # the running hash is gone: what is on disk is hashed
    with pytest.raises(VerificationFailed):
        await commit(fresh, digest)
    fresh.close()
    assert files(tmp_path) == []


async def test_more_than_was_announced_is_refused_and_what_fitted_is_kept(store: BlobStore) -> None:
    await store.begin(UPLOAD)
    async with store.hold(UPLOAD) as held:
        with pytest.raises(upload_files.TooLarge):
            await held.append(pieces(CONTENT, 1000), at_most=2500, idle_s=5)
        assert held.offset == 2000


async def test_a_sender_that_falls_silent_is_told_and_its_bytes_are_kept(store: BlobStore) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield b"some"
        await asyncio.sleep(60)

    await store.begin(UPLOAD)
    async with store.hold(UPLOAD) as held:
        with pytest.raises(Unavailable, match="resumed"):
            await held.append(silent(), at_most=100, idle_s=0.05)
        assert held.offset == 4


async def test_an_append_that_is_cancelled_leaves_a_whole_offset(store: BlobStore) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            started.set()
            await asyncio.sleep(0)

    async def run() -> None:
        async with store.hold(UPLOAD) as held:
            await held.append(endless(), at_most=1 << 40, idle_s=5)

    await store.begin(UPLOAD)
    task = asyncio.ensure_future(run())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.hold(UPLOAD) as held:
        rest, digest = b"the end", Digest.of(b"x" * held.offset + b"the end")
        assert held.offset % 65536 == 0
    await append(store, rest)
    await commit(store, digest)


async def test_two_processes_never_write_to_one_upload(store: BlobStore, tmp_path: Path) -> None:
    other = BlobStore(tmp_path)
    await store.begin(UPLOAD)
    async with store.hold(UPLOAD):
        with pytest.raises(Unavailable, match="another request"):
            await append(other, CONTENT)
    assert await append(other, CONTENT) == len(CONTENT)
    other.close()


@pytest.mark.parametrize("upload", ["..", "a/b" * 8, "x" * 200, "", "put-" + "0" * 32, "ä" * 20])
async def test_an_id_is_never_a_path(store: BlobStore, upload: str) -> None:
    with pytest.raises(BadInput):
        await store.begin(upload)


async def test_an_upload_that_is_gone_is_not_found(store: BlobStore) -> None:
    with pytest.raises(NotFound):
        await append(store, CONTENT)
    await store.discard(UPLOAD)  # harmless


async def test_scrubbing_finds_what_was_altered_and_what_is_in_memory_does_not_hide_it(
    store: BlobStore, tmp_path: Path
) -> None:
    good, bad = Digest.of(LARGE), Digest.of(CONTENT)
    await store.put(good, LARGE)
    await store.put(bad, CONTENT)
    path_of(tmp_path, bad).write_bytes(CONTENT[:-1] + b"X")
    assert [digest async for digest in store.scrub()] == [bad]
    assert list(store.digests()) == [good]
    assert [digest async for digest in store.scrub()] == []
    assert len(files(tmp_path / "quarantine")) == 1


async def test_a_large_blob_altered_after_it_was_served_is_hashed_again(store: BlobStore, tmp_path: Path) -> None:
    digest = Digest.of(LARGE)
    await store.put(digest, LARGE)
    with await store.open(digest) as blob:
        assert blob.on_disk
    with path_of(tmp_path, digest).open("r+b") as file:
        file.seek(2_000_000)
        file.write(bytes([LARGE[2_000_000] ^ 1]))
    with pytest.raises(NotFound):
        await store.open(digest)
    assert await store.size(digest) is None


async def test_content_is_put_only_under_its_own_digest(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(VerificationFailed):
        await store.put(Digest.of(b"other"), CONTENT)
    assert files(tmp_path) == []


async def test_many_pushes_of_the_same_content_end_in_one_whole_blob(store: BlobStore, tmp_path: Path) -> None:
    digest = Digest.of(CONTENT)
    await asyncio.gather(*(store.put(digest, CONTENT) for _ in range(20)))
    assert files(tmp_path) == [f"blobs/sha256/{digest.hex[:2]}/{digest.hex}"]
    assert await store.read_verified(digest, len(CONTENT)) == CONTENT


async def test_a_removed_blob_is_gone(store: BlobStore) -> None:
    digest = Digest.of(CONTENT)
    await store.put(digest, CONTENT)
    await store.remove(digest)
    assert await store.size(digest) is None and not store.exists(digest)
    await store.remove(digest)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
async def test_a_disk_that_fails_at_any_step_is_unavailable_and_leaves_nothing(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, failing: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    digest = Digest.of(CONTENT)
    await store.begin(UPLOAD)
    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "replace") if failing == "replace" else (os, failing)), fail)
        with pytest.raises(Unavailable, match="full" if code != errno.EIO else "failed"):
            await append(store, CONTENT)
            await commit(store, digest)
        with pytest.raises(Unavailable):
            await store.put(digest, CONTENT)
    assert [name for name in files(tmp_path) if name.startswith("blobs/")] == []
    assert files(tmp_path) == []
    await store.put(digest, CONTENT)
    assert await store.read_verified(digest, len(CONTENT)) == CONTENT


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    require("a small file system", os.geteuid() == 0, "mounting a tmpfs needs root")
    directory = tmp_path / "disk"
    directory.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", directory], check=False, timeout=30)
    require("a small file system", done.returncode == 0, "this machine lets nobody mount a tmpfs")
    yield directory
    subprocess.run(["umount", "--lazy", directory], check=True, timeout=30)


@pytest.mark.real
async def test_a_full_disk_refuses_the_push_in_words_keeps_the_rest_and_frees_the_room(small_disk: Path) -> None:
    store = BlobStore(small_disk)
    kept = Digest.of(LARGE)
    await store.put(kept, LARGE)
    for _ in range(3):
        await store.begin(UPLOAD)
        with pytest.raises(Unavailable, match="disk is full"):
            await append(store, os.urandom(7 << 20))
        assert list((small_disk / "uploads").iterdir()) == []
    assert await store.read_verified(kept, len(LARGE)) == LARGE
    other = os.urandom(2 << 20)
    await store.begin(UPLOAD)
    await append(store, other)
    await commit(store, Digest.of(other))
    store.close()
