"""Backup and restore: one moment of records and log, whatever grows meanwhile; nothing strange is unpacked, nothing signed."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gef_registry.errors import BadInput, Conflict, GefError, NotFound, Unavailable, VerificationFailed
from gef_registry.store import backup, migrate
from gef_registry.store.backup import MARK, back_up, confirm, restore, signing_refusal, tree_size
from gef_registry.store.catalogue import SqlCatalogue
from gef_registry.store.database import Database, sqlite_url
from gef_registry.transparency.audit import audit
from gef_registry.transparency.note import CosignatureSigner, NoteSigner
from gef_registry.transparency.sequencer import Entry, Sequencer

ORIGIN = "gate.example"
LOG = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"L" * 32))
COSIGNER = CosignatureSigner(f"{ORIGIN}/cosigner", Ed25519PrivateKey.from_private_bytes(b"C" * 32))
OpenLog = Callable[[Path], Awaitable[Sequencer]]


def entry(number: int) -> Entry:
    statement = b'{"statement": %d}' % number
    name = hashlib.sha256(statement).hexdigest()
    return Entry(f"leaf {number} of {name}".encode(), statement, name)


def statement_id_of(leaf: bytes) -> str:
    return leaf.decode().rpartition(" ")[2]


@pytest.fixture(autouse=True)
def _no_power_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here pulls the plug, so the disk need not be waited for."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture
async def open_log() -> AsyncIterator[OpenLog]:
    opened: list[Sequencer] = []

    async def open_log(data: Path) -> Sequencer:
        opened.append(await Sequencer.open(data / "log", ORIGIN, LOG, COSIGNER, lambda: 1_700_000_000.0))
        return opened[-1]

    yield open_log
    for log in opened:
        await log.close()


@pytest.fixture
def data(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "data"))


@pytest.fixture(scope="module")
def original(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gate's data: records, a log of 20 entries, a blob, keys."""
    directory = tmp_path_factory.mktemp("original")
    shutil.copy(migrated, directory / "gate.db")

    async def fill() -> None:
        log = await Sequencer.open(directory / "log", ORIGIN, LOG, COSIGNER, lambda: 1_700_000_000.0)
        await log.append([entry(n) for n in range(20)])
        await log.close()

    asyncio.run(fill())
    for name, content in {
        "keys/admission.pem": "secret",
        "keys/keyset.json": "{}",
        "blobs/sha256/ab/abcd": "bytes",
        "uploads/half": "half",
        "cache/facts": "facts",
    }.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (directory / "keys/admission.pem").chmod(0o600)
    return directory


def require_clean(data: Path) -> int:
    report = audit(data / "log", ORIGIN, LOG.verifier, COSIGNER.verifier, statement_id_of, lambda leaf, statement: None)
    assert report.findings == ()
    return report.entries


@pytest.mark.slow
async def test_a_restored_gate_has_the_same_records_blobs_keys_and_log(
    data: Path, tmp_path: Path, open_log: OpenLog
) -> None:
    database = await Database.open(sqlite_url(data / "gate.db"))
    upload = await SqlCatalogue(database).create_upload("r", "ada")
    done: list[int] = []
    made = back_up(data, tmp_path / "backup.tar", progress=done.append)
    await database.close()
    assert made.tree_size == 20
    assert sum(done) >= made.bytes
    assert restore(tmp_path / "backup.tar", tmp_path / "new") == made
    new = tmp_path / "new"
    assert (new / "blobs/sha256/ab/abcd").read_text() == "bytes"
    assert (new / "keys/admission.pem").read_text() == "secret"
    assert not (new / "uploads").exists()
    assert not (new / "cache").exists()
    assert require_clean(new) == 20
    database = await Database.open(sqlite_url(new / "gate.db"))
    assert await SqlCatalogue(database).upload(upload.id) == upload
    await database.close()
    log = await open_log(new)
    assert [a.index for a in await log.append([entry(19), entry(20)])] == [19, 20]


async def test_what_only_its_owner_may_read_stays_so(data: Path, tmp_path: Path) -> None:
    back_up(data, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    for key in (tmp_path / "new/keys").iterdir():
        assert key.stat().st_mode & 0o777 == 0o600


async def test_a_backup_without_keys_has_none(data: Path, tmp_path: Path) -> None:
    back_up(data, tmp_path / "backup.tar", with_keys=False)
    with tarfile.open(tmp_path / "backup.tar") as tar:
        assert [name for name in tar.getnames() if name.startswith("keys")] == []
        assert {"log/checkpoint", "log/signed-head", "log/statement-ids/000"} <= set(tar.getnames())
        assert [name for name in tar.getnames() if "lock" in name or "tmp" in name] == []


@pytest.mark.slow
async def test_records_and_log_of_a_backup_agree_while_both_grow(data: Path, tmp_path: Path, open_log: OpenLog) -> None:
    """Each entry is recorded before it is logged and its place after; so in every backup the records know all that the
    log holds, and every place they call logged exists. The restored log opens, again and again."""
    log = await open_log(data)
    database = await Database.open(sqlite_url(data / "gate.db"))
    catalogue = SqlCatalogue(database)
    stop = asyncio.Event()

    async def write() -> None:
        number = 20
        while not stop.is_set():
            entries = [entry(number + n) for n in range(29)]
            intent = await catalogue.create_upload(f"stored/{number + 29}", "ada")
            await log.append(entries)
            number += 29
            await catalogue.record_offset(intent.id, number)
            await asyncio.sleep(0.01)

    writer = asyncio.create_task(write())
    sizes = []
    for n in range(3):
        archive, new = tmp_path / f"{n}.tar", tmp_path / f"new-{n}"
        sizes.append((await asyncio.to_thread(back_up, data, archive)).tree_size)
        restore(archive, new)
        assert require_clean(new) == sizes[-1]
        for _ in range(2):
            restored = await open_log(new)
            assert restored.size() == sizes[-1]
            await restored.close()
        records = await Database.open(sqlite_url(new / "gate.db"))
        async with records.read() as connection:
            rows = (await connection.exec_driver_sql("SELECT repository, offset FROM uploads")).all()
        await records.close()
        stored = [int(row.repository.removeprefix("stored/")) for row in rows]
        assert max(stored, default=20) >= sizes[-1], "the log holds what the records do not know"
        assert max((row.offset for row in rows), default=0) <= sizes[-1], "the records call logged what is not"
        while log.size() == sizes[-1] and not writer.done():
            await asyncio.sleep(0.005)
    stop.set()
    await writer
    assert sizes[-1] > sizes[0]
    await database.close()


@pytest.mark.slow
async def test_a_log_that_filled_its_tiles_while_it_was_copied_is_cut_at_the_head(
    data: Path, tmp_path: Path, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partial tile of 300 entries is gone and the full one holds more than the head signs."""
    log = await open_log(data)
    await log.append([entry(n) for n in range(20, 300)])
    real = backup.read_head

    def grow_after(directory: Path) -> object:
        head = real(directory)
        asyncio.run_coroutine_threadsafe(log.append([entry(n) for n in range(300, 520)]), loop).result()
        return head

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(backup, "read_head", grow_after)
    made = await asyncio.to_thread(back_up, data, tmp_path / "backup.tar")
    monkeypatch.setattr(backup, "read_head", real)
    assert made.tree_size == 300
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert require_clean(tmp_path / "new") == 300
    assert not (tmp_path / "new/log/statements/001").exists(), "a later history's statements would stay in the way"
    for _ in range(2):
        await (await open_log(tmp_path / "new")).close()
    other = await open_log(tmp_path / "new")
    await other.append([entry(n) for n in range(1000, 1230)])
    assert require_clean(tmp_path / "new") == 530


async def test_a_restored_gate_signs_nothing_until_it_is_confirmed(data: Path, tmp_path: Path) -> None:
    assert signing_refusal(data) is None
    back_up(data, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert (tmp_path / "new" / MARK).exists()
    assert "gef-registry restore --confirm" in str(signing_refusal(tmp_path / "new"))
    with pytest.raises(Conflict, match="seen a log of 21 entries, this backup holds 20"):
        confirm(tmp_path / "new", seen_size=21)
    assert signing_refusal(tmp_path / "new") is not None
    assert confirm(tmp_path / "new", seen_size=20) == 20
    assert signing_refusal(tmp_path / "new") is None
    with pytest.raises(Conflict, match="does not wait"):
        confirm(tmp_path / "new", seen_size=None)


@pytest.mark.slow
async def test_the_mark_of_a_restored_gate_is_not_taken_off_by_backing_it_up(data: Path, tmp_path: Path) -> None:
    back_up(data, tmp_path / "one.tar")
    restore(tmp_path / "one.tar", tmp_path / "new")
    back_up(tmp_path / "new", tmp_path / "two.tar")
    restore(tmp_path / "two.tar", tmp_path / "newer")
    assert signing_refusal(tmp_path / "newer") is not None


async def test_a_signed_head_ahead_of_its_checkpoint_counts(data: Path) -> None:
    """A crash between the two: hosts may have seen nothing of it, but it was signed."""
    head = (data / "log/signed-head").read_text()
    assert tree_size(data) == 20
    (data / "log/checkpoint").write_text((data / "log/checkpoint").read_text().replace("\n20\n", "\n19\n"))
    assert tree_size(data) == 20
    (data / "log/signed-head").write_text(head.replace("\n20\n", "\nmany\n"))
    with pytest.raises(VerificationFailed, match="signed-head is damaged"):
        tree_size(data)
    (data / "log/signed-head").write_text(head.replace("\n20\n", "\n18\n"))
    with pytest.raises(VerificationFailed, match="published more than"):
        tree_size(data)
    (data / "log/signed-head").unlink()
    with pytest.raises(VerificationFailed, match="lost signed-head"):
        tree_size(data)


async def test_a_head_that_was_signed_but_not_published_is_backed_up_with_its_checkpoint(
    data: Path, tmp_path: Path, open_log: OpenLog
) -> None:
    before = (data / "log/checkpoint").read_bytes()
    log = await open_log(data)
    await log.append([entry(n) for n in range(20, 40)])
    await log.close()
    (data / "log/checkpoint").write_bytes(before)
    assert back_up(data, tmp_path / "backup.tar").tree_size == 40
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert require_clean(tmp_path / "new") == 40


async def test_what_is_there_is_not_touched(data: Path, tmp_path: Path) -> None:
    (tmp_path / "backup.tar").write_text("precious")
    with pytest.raises(Conflict, match="exists"):
        back_up(data, tmp_path / "backup.tar")
    assert (tmp_path / "backup.tar").read_text() == "precious"
    back_up(data, tmp_path / "good.tar")
    before = sorted((path, path.stat().st_mtime_ns) for path in data.rglob("*"))
    with pytest.raises(Conflict, match="nothing is overwritten"):
        restore(tmp_path / "good.tar", data)
    with pytest.raises(Conflict):
        restore(tmp_path / "good.tar", tmp_path / "backup.tar")
    assert sorted((path, path.stat().st_mtime_ns) for path in data.rglob("*")) == before


async def test_an_interrupted_restore_is_told_as_such(data: Path, tmp_path: Path) -> None:
    back_up(data, tmp_path / "backup.tar")
    (tmp_path / ".new.restoring").mkdir()
    with pytest.raises(Conflict, match="interrupted restore"):
        restore(tmp_path / "backup.tar", tmp_path / "new")


async def test_what_is_no_gate_and_what_is_no_backup_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not a gate's data directory"):
        back_up(tmp_path, tmp_path / "backup.tar")
    with pytest.raises(NotFound, match="no backup"):
        restore(tmp_path / "none.tar", tmp_path / "new")
    (tmp_path / "text").write_text("not a tar file, but long enough to be read as one" * 20)
    with pytest.raises(BadInput, match="is not a backup"):
        restore(tmp_path / "text", tmp_path / "new")
    assert not (tmp_path / "new").exists()


async def test_a_database_that_stays_locked_stops_the_backup(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "HOLD_S", 0.02)
    with migrate.writes_held(data / "gate.db"), pytest.raises(Unavailable, match="cannot be held still"):
        back_up(data, tmp_path / "backup.tar")
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
async def test_an_archive_that_is_cut_off_is_refused_and_leaves_nothing(
    data: Path, tmp_path: Path, share: float
) -> None:
    back_up(data, tmp_path / "backup.tar")
    content = (tmp_path / "backup.tar").read_bytes()
    # Cut before the end marker of the tar format, which is only padding.
    used = len(content.rstrip(b"\0"))
    (tmp_path / "cut.tar").write_bytes(content[: int(used * share)])
    with pytest.raises((VerificationFailed, BadInput)):
        restore(tmp_path / "cut.tar", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / ".new.restoring").exists()


async def test_an_archive_from_which_a_file_was_taken_is_refused(data: Path, tmp_path: Path) -> None:
    back_up(data, tmp_path / "backup.tar")
    rewrite(tmp_path / "backup.tar", tmp_path / "less.tar", drop="blobs/sha256/ab/abcd")
    with pytest.raises(VerificationFailed, match="incomplete or was altered"):
        restore(tmp_path / "less.tar", tmp_path / "new")
    rewrite(tmp_path / "backup.tar", tmp_path / "endless.tar", drop="backup.json")
    with pytest.raises(VerificationFailed, match="ends before its table of contents"):
        restore(tmp_path / "endless.tar", tmp_path / "new")


def rewrite(source: Path, target: Path, *, drop: str) -> None:
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            if member.name != drop:
                new.addfile(member, old.extractfile(member))


def plain(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


HOSTILE = {
    "absolute": [plain("/etc/cron.d/gate")],
    "above": [plain("blobs/../../escaped")],
    "dots": [plain("..")],
    "nameless": [plain(".")],
    "a file of its own": [plain("admin-token")],
    "a database that is a directory": [plain("gate.db/x")],
    "a directory that is a file": [plain("keys")],
    "a mark": [plain(MARK)],
    "a link": [special("blobs/link", tarfile.SYMTYPE, "/etc")],
    "through a link": [special("blobs/link", tarfile.SYMTYPE, ".."), plain("blobs/link/escaped")],
    "a hard link": [special("keys/admission.pem", tarfile.LNKTYPE, "/etc/shadow")],
    "a device": [special("blobs/null", tarfile.CHRTYPE)],
    "a pipe": [special("blobs/pipe", tarfile.FIFOTYPE)],
    "a sparse file": [special("blobs/sparse", tarfile.GNUTYPE_SPARSE)],
    "twice": [plain("gate.db"), plain("gate.db", b"y")],
    "contents that are no document": [plain("backup.json", b"[")],
    "contents of another kind": [plain("backup.json", b"[1]")],
    "contents of a later format": [plain("backup.json", b'{"format": 2}')],
    "contents without end": [plain("backup.json", b" " * 70_000)],
    "contents that are a link": [special("backup.json", tarfile.SYMTYPE, "gate.db")],
    "something after the contents": [plain("backup.json", b"{}"), plain("gate.db")],
    "a long name": [plain("blobs/" + "a" * 2000)],
}


@pytest.mark.parametrize("defect", HOSTILE)
def test_a_hostile_archive_is_refused_and_writes_nothing_outside(defect: str, tmp_path: Path) -> None:
    archive = tmp_path / "hostile.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in HOSTILE[defect]:
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(GefError) as refused:
        restore(archive, tmp_path / "new")
    assert isinstance(refused.value, BadInput | VerificationFailed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hostile.tar"]
