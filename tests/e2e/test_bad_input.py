"""P9: whatever comes in, the answer is clear, the exit code right, time and memory bounded, and the gate goes on.

Memory is the peak of the real process (VmHWM of the gate, ru_maxrss of a command).
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.parts.gate import PROGRAM, ROOT, SERVE, Account, Answer, Gate, command, with_the_clock_off
from tests.parts.images import BuiltImage, canonical, digest_of, good_service, layer, write_layout
from tests.parts.process import free_port
from tests.parts.require import require

pytestmark = pytest.mark.real

MEMORY_KB = 600 * 1024
REPOSITORY = "trusted/demo/bad"
DAY_S = 24 * 3600


@pytest.fixture(scope="module")
def ada(gate: Gate) -> Account:
    return gate.account("ada", "author", "demo")


@pytest.fixture(autouse=True)
def _the_gate_goes_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test that uses the module's gate: it is there, small, and a good image passes."""
    yield
    if "gate" not in request.fixturenames:
        return
    gate: Gate = request.getfixturevalue("gate")
    ada: Account = request.getfixturevalue("ada")
    assert gate.push(good_service(), "trusted/demo/good", "1.0.0", ada).status == 201
    assert gate.process is not None
    status = Path(f"/proc/{gate.process.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    assert int(peak[1]) < MEMORY_KB


def with_layer(blob: bytes, diff_id: str | None = None) -> BuiltImage:
    """The good service with one more layer blob that is taken as it is."""
    image = good_service()
    manifest, config = json.loads(image.manifest), json.loads(image.config)
    manifest["layers"].append(
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest_of(blob), "size": len(blob)}
    )
    config["rootfs"]["diff_ids"].append(diff_id or digest_of(blob))
    config["history"].append({"created": "2024-01-01T00:00:00Z", "created_by": "COPY more / # buildkit"})
    return with_config(
        replace(image, manifest=canonical(manifest), blobs={**image.blobs, digest_of(blob): blob}), config
    )


def with_config(image: BuiltImage, config: dict[str, Any] | bytes) -> BuiltImage:
    raw = config if isinstance(config, bytes) else canonical(config)
    manifest = json.loads(image.manifest)
    manifest["config"] = {**manifest["config"], "digest": digest_of(raw), "size": len(raw)}
    blobs = {digest: data for digest, data in image.blobs.items() if digest != image.config_digest}
    return replace(image, manifest=canonical(manifest), config=raw, blobs={**blobs, digest_of(raw): raw})


# Uploads that lie


def test_p9_a_truncated_layer_is_not_stored(gate: Gate, ada: Account) -> None:
    data = os.urandom(1 << 16)
    answer = gate.upload_blob(data[:-100], REPOSITORY, digest_of(data), ada)
    assert (answer.status, answer.json["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    assert gate.blob(REPOSITORY, digest_of(data), ada).status == 404


def test_p9_a_manifest_under_a_wrong_digest_is_not_stored(gate: Gate, ada: Account) -> None:
    image = good_service()
    gate.upload(image, REPOSITORY, ada)
    wrong = digest_of(b"another")
    assert gate.put(image, REPOSITORY, wrong, ada).status == 400
    assert gate.manifest(REPOSITORY, wrong, ada).status == 404


def test_p9_a_manifest_whose_blobs_are_missing_is_not_stored(gate: Gate, ada: Account) -> None:
    image = with_layer(gzip.compress(b"never uploaded"))
    answer = gate.put(image, REPOSITORY, "1.0.0", ada)
    assert (answer.status, answer.json["errors"][0]["code"]) in (
        (400, "MANIFEST_BLOB_UNKNOWN"),
        (404, "MANIFEST_BLOB_UNKNOWN"),
    )


MANIFESTS: dict[str, Callable[[bytes], bytes]] = {
    "duplicate keys": lambda raw: b'{"config":{},' + raw[1:],
    "deep": lambda raw: raw[:-1] + b',"annotations":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "huge": lambda raw: raw[:-1] + b',"annotations":{"a":"' + b"x" * (8 << 20) + b'"}}',
    "not JSON": lambda raw: raw[:-5],
    "not UTF-8": lambda raw: raw[:-1] + b',"annotations":{"a":"\xff"}}',
    "a number that is none": lambda raw: raw.replace(b'"schemaVersion":2', b'"schemaVersion":NaN'),
}


@pytest.mark.parametrize("defect", MANIFESTS)
def test_p9_a_malformed_manifest_is_refused(gate: Gate, ada: Account, defect: str) -> None:
    image = good_service()
    gate.upload(image, REPOSITORY, ada)
    raw = MANIFESTS[defect](image.manifest)
    headers = {"Content-Type": image.media_type}
    answer = gate.ask(f"/v2/{REPOSITORY}/manifests/1.0.0", ada, "PUT", raw, headers)
    assert answer.status in (400, 413)
    assert len(answer.json["errors"]) == 1


def big_config() -> bytes:
    base = good_service().config[:-1]
    return base + b',"padding":"' + b"x" * (100 << 20) + b'"}'


CONFIGS: dict[str, Callable[[], bytes]] = {
    "duplicate keys": lambda: b'{"os":"linux",' + good_service().config[1:],
    "deep": lambda: good_service().config[:-1] + b',"deep":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    "100 MB": big_config,
    "not JSON": lambda: b"\x7fELF",
    "an array": lambda: b"[]",
}


@pytest.mark.parametrize("defect", CONFIGS)
def test_p9_an_image_with_a_malformed_config_is_never_admitted(
    gate: Gate, ada: Account, tmp_path: Path, defect: str
) -> None:
    image = with_config(good_service(), CONFIGS[defect]())
    tag = f"{list(CONFIGS).index(defect)}.1.0"
    answer = gate.push(image, REPOSITORY, tag, ada)
    assert answer.status in (400, 403, 413)
    assert answer.json["errors"][0]["message"]
    assert gate.manifest(REPOSITORY, tag).status == 404
    done = check(write_layout(tmp_path / "oci", image, "1"))
    assert done.code in (1, 3)
    assert done.peak_kb < MEMORY_KB


@dataclass(frozen=True, slots=True)
class Measured:
    code: int
    output: str
    peak_kb: int


def check(layout: Path) -> Measured:
    """`gef-registry check` of a layout, with nothing cached, and its peak memory."""
    env = {**os.environ, "XDG_CACHE_HOME": str(layout.parent / "cache"), "NO_COLOR": "1", "COLUMNS": "200"}
    log = layout.parent / "check.log"
    with log.open("wb") as out:
        child = subprocess.Popen([*PROGRAM, "check", f"oci:{layout}:1"], cwd=ROOT, stdout=out, stderr=out, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    output = log.read_text(errors="replace")
    assert "Traceback" not in output
    return Measured(child.returncode, output, usage.ru_maxrss)


def bomb() -> tuple[bytes, int]:
    """10 GB in 10 MB: a tar entry whose content is one gzip member of zeros, again and again."""
    zeros = bytes(64 << 20)
    member, times = gzip.compress(zeros, 9, mtime=0), 160
    import tarfile

    info = tarfile.TarInfo("bomb")
    info.size = len(zeros) * times
    head = gzip.compress(info.tobuf(tarfile.GNU_FORMAT), mtime=0)
    return head + member * times + gzip.compress(bytes(1024), mtime=0), info.size


def test_p9_ten_gigabytes_in_ten_megabytes_are_refused_in_bounded_memory(gate: Gate, ada: Account, tmp_path: Path) -> None:
    blob, size = bomb()
    assert size > 10e9
    assert len(blob) < 12e6
    image = with_layer(blob, digest_of(b"unknown"))
    answer = gate.push(image, REPOSITORY, "10.0.0", ada)
    assert answer.status == 403
    assert gate.manifest(REPOSITORY, "10.0.0").status == 404
    done = check(write_layout(tmp_path / "oci", image, "1"))
    assert done.code in (1, 3)
    assert done.peak_kb < MEMORY_KB
    assert sum(f.stat().st_size for f in gate.data.rglob("*") if f.is_file()) < 512 << 20


LAYERS: dict[str, Callable[[], bytes]] = {
    "cut off": lambda: gzip.compress(layer({"a": os.urandom(1 << 18)}), mtime=0)[:-1000],
    "not gzip": lambda: os.urandom(5000),
    "not a tar": lambda: gzip.compress(os.urandom(5000), mtime=0),
    "another diff_id": lambda: gzip.compress(layer({"a": b"a"}), mtime=0),
}


@pytest.mark.parametrize("defect", LAYERS)
def test_p9_an_image_whose_layer_cannot_be_read_is_never_admitted(
    gate: Gate, ada: Account, tmp_path: Path, defect: str
) -> None:
    image = with_layer(LAYERS[defect](), digest_of(defect.encode()))
    tag = f"{list(LAYERS).index(defect)}.2.0"
    answer = gate.push(image, REPOSITORY, tag, ada)
    assert answer.status == 403
    assert "denied" in answer.text or "could not be decided" in answer.text
    assert check(write_layout(tmp_path / "oci", image, "1")).code in (1, 3)


# Registries that are none


@contextlib.contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A listening socket whose connections are handed to `behave`; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            held.append(connection)
            with contextlib.suppress(OSError):
                behave(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)
        for connection in held:
            connection.close()


def says(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\n") -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        connection.close()

    return behave


WRONG: dict[str, Callable[[socket.socket], None]] = {
    "a web page": says(b"<html>Welcome</html>"),
    "another manifest": says(good_service(user="root").manifest),
    "a truncated answer": says(b"x" * 10, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-Ignored: "),
    "not HTTP": lambda connection: (connection.sendall(b"SSH-2.0-OpenSSH\r\n"), connection.close())[0],
    "an error": says(b"oops", b"HTTP/1.1 500 Internal Server Error\r\n"),
    "nothing": lambda connection: connection.close(),
}


@pytest.mark.parametrize("how", WRONG)
def test_p9_a_registry_that_answers_wrongly_decides_nothing(how: str) -> None:
    with serving(WRONG[how]) as address:
        image = f"docker://{address}/library/tool@{good_service().digest}"
        done = command("check", image, check=None, env={"GEF_REGISTRY_SOURCES__PLAIN_HTTP": address})
        assert done.returncode in (1, 3)
        assert done.stderr.startswith("error: ") or "UNDECIDED" in done.stdout
        assert "ADMIT" not in done.stdout


def test_p9_a_registry_that_is_not_there_decides_nothing(
    gate: Gate, ada: Account, start_gate: Callable[..., Gate]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    done = command("check", f"docker://{address}/library/tool:1", check=3)
    assert address in done.stderr
    lists = {f"GEF_REGISTRY_SOURCES__{name}": address for name in ("REGISTRIES", "PRIVATE", "PLAIN_HTTP")}
    other = start_gate(env=lists)
    client = other.client_env(other.account("ada", "author", "demo"))
    done = command("submit", f"docker://{address}/library/tool:1", "--as", "trusted/demo/x:1.0.0", env=client, check=3)
    assert address in done.stderr
    assert other.submissions(Account("ada", "")) == []


def test_p9_a_registry_that_never_answers_is_given_up() -> None:
    with serving(lambda connection: None) as address:
        image = f"docker://{address}/library/tool:1"
        env = {"GEF_REGISTRY_SOURCES__PLAIN_HTTP": address, "GEF_REGISTRY_CLIENT__TIMEOUT_S": "1"}
        done = command("check", image, check=3, env=env)
        assert address in done.stderr
        assert "no answer within" in done.stderr


# A machine that fails


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = shutil.which("mount")
    require("mount", mount is not None and os.geteuid() == 0, "a small tmpfs needs root", obtainable=False)
    directory = tmp_path / "disk"
    directory.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", directory], capture_output=True, check=False
    )
    require("tmpfs", made.returncode == 0, made.stderr.decode(), obtainable=False)
    yield directory
    subprocess.run(["umount", "--lazy", directory], check=True)


def test_p9_a_full_disk_is_a_clear_refusal_and_nothing_is_lost(small_disk: Path, tmp_path: Path) -> None:
    gate = Gate.start(small_disk / "data", tmp_path / "gate.log")
    try:
        ada = gate.account("ada", "author", "demo")
        good = good_service()
        assert gate.push(good, REPOSITORY, "1.0.0", ada).status == 201
        big = os.urandom(40 << 20)
        answer = big_push(gate, big, ada)
        assert answer is None or answer.status in (403, 413, 500, 503, 507)
        if answer is not None:
            assert re.search("space|full|disk", answer.text)
        assert gate.manifest(REPOSITORY, "1.0.0").body == good.manifest
        assert all(gate.blob(REPOSITORY, digest).body == data for digest, data in good.blobs.items())
        fill(small_disk)
        again = gate.push(good_service(files={"x": "1"}), REPOSITORY, "2.0.0", ada)
        assert again.status != 201
        (small_disk / "fill").unlink()
        gate.kill()
        gate.start_again()
        assert gate.push(good_service(files={"x": "1"}), REPOSITORY, "2.0.0", ada).status == 201
        assert gate.manifest(REPOSITORY, "1.0.0").body == good.manifest
        command("log", "audit", "--data", gate.data)
        assert "Traceback" not in gate.log.read_text()
    finally:
        gate.stop()


def big_push(gate: Gate, data: bytes, account: Account) -> Answer | None:
    """None when the gate closed the connection rather than read what it cannot keep."""
    try:
        return gate.upload_blob(data, REPOSITORY, digest_of(data), account)
    except OSError:
        return None


def fill(disk: Path) -> None:
    with (disk / "fill").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))


def refused(gate: Gate, program: tuple[str, ...] = SERVE) -> tuple[int, str]:
    """Starts a gate that is to refuse; its exit code and what it said."""
    before = len(gate.log.read_bytes())
    process = gate.launch(program)
    code = process.wait(60)
    return code, gate.log.read_bytes()[before:].decode()


@pytest.fixture
def stopped(start_gate: Callable[..., Gate], tmp_path: Path) -> Gate:
    """A gate with one image, stopped."""
    gate = start_gate()
    ada = gate.account("ada", "author", "demo")
    assert gate.push(good_service(), REPOSITORY, "1.0.0", ada).status == 201
    gate.stop()
    return gate


def test_p9_a_corrupt_database_is_named_and_nothing_starts(stopped: Gate) -> None:
    database = stopped.data / "gate.db"
    for leftover in ("gate.db-wal", "gate.db-shm"):
        (stopped.data / leftover).unlink(missing_ok=True)
    with database.open("r+b") as file:
        file.write(os.urandom(8192))
    code, said = refused(stopped)
    assert code == 3
    assert "error: " in said
    assert str(database) in said


@pytest.mark.parametrize("name", ["log.pem", "admission.pem", "keyset.json"])
def test_p9_a_missing_key_is_named_and_nothing_starts(stopped: Gate, name: str) -> None:
    (stopped.data / "keys" / name).unlink()
    code, said = refused(stopped)
    assert code in (1, 3)
    assert str(stopped.data / "keys" / name) in said
    assert not (stopped.data / "keys" / name).exists(), "never a new key in silence"


def test_p9_a_damaged_log_is_named_and_nothing_starts(stopped: Gate) -> None:
    head = stopped.data / "log" / "checkpoint"
    head.write_bytes(head.read_bytes().replace(b"\n2\n", b"\n3\n"))
    code, said = refused(stopped)
    assert code in (1, 3)
    assert "error: " in said


def test_p9_a_second_gate_on_the_same_data_is_refused(gate: Gate, ada: Account) -> None:
    second = replace(gate, port=free_port(), process=None)
    code, said = refused(second)
    assert code == 3
    assert f"another gate is running on {gate.data}" in said


def test_p9_an_address_in_use_is_refused(gate: Gate, ada: Account, tmp_path: Path) -> None:
    other = Gate(tmp_path / "other", tmp_path / "other.log", gate.port)
    other.log.touch()
    code, said = refused(other)
    assert code == 3
    assert f"cannot listen on {gate.host}" in said


def test_p9_a_gate_whose_clock_was_set_back_signs_nothing_until_it_is_right(stopped: Gate) -> None:
    ada = stopped.account("bob", "author", "demo")
    image = good_service(labels={"eudat.gef.service.version": "2.0.0"})
    stopped.start_again((*with_the_clock_off(-DAY_S), "serve"))
    answer = stopped.push(image, REPOSITORY, "2.0.0", ada)
    assert answer.status == 403
    assert "clock was set back" in answer.text
    assert "clock was set back" in stopped.ask("/readyz").text
    assert stopped.manifest(REPOSITORY, "1.0.0").status == 200
    stopped.stop()
    stopped.start_again()
    assert stopped.push(image, REPOSITORY, "2.0.0", ada).status == 201


def test_p9_the_limit_of_memory_means_something() -> None:
    """The measure itself: a child that takes more is seen to."""
    child = subprocess.Popen([sys.executable, "-c", f"x = bytearray({MEMORY_KB} * 1024 + (1 << 20))"])
    _, _, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    assert usage.ru_maxrss > MEMORY_KB
    assert resource.getpagesize() > 0
