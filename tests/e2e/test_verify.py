"""P5: a host runs only what was admitted, is not revoked, and is so by a view young enough; each refusal says which it is.

The gate and the log are real; where the log must lie, a proxy or another gate with the same keys lies for it.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parts.gate import Account, Answer, Gate, Host, command, lying_proxy
from tests.parts.images import BuiltImage, good_service

pytestmark = pytest.mark.real

REPOSITORY = "trusted/demo/verified"
DAY_S = 24 * 3600
_counter = itertools.count(1)


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def ada(gate: Gate) -> Account:
    return gate.account("ada", "author", "demo")


@pytest.fixture(scope="module")
def grace(gate: Gate) -> Account:
    return gate.account("grace", "reviewer")


def admit(gate: Gate, author: Account) -> BuiltImage:
    version = f"{next(_counter)}.0.0"
    image = good_service(labels={"eudat.gef.service.version": version})
    assert gate.push(image, REPOSITORY, version, author).status == 201
    return image


@pytest.fixture
def admitted(gate: Gate, ada: Account) -> BuiltImage:
    return admit(gate, ada)


@pytest.fixture
def host(gate: Gate, admitted: BuiltImage, tmp_path: Path) -> Host:
    """A new host that has seen the admission."""
    return Host.init(tmp_path / "view", gate)


def test_p5_an_admitted_digest_is_accepted_by_digest_name_and_image_id(host: Host, admitted: BuiltImage) -> None:
    version = admitted.labels["eudat.gef.service.version"]
    names = admitted.digest, f"{REPOSITORY}:{version}", admitted.config_digest, f"{REPOSITORY}@{admitted.digest}"
    for what in names:
        assert "ADMITTED" in host.verify(what, "--offline", check=0).stdout


def test_p5_an_unadmitted_digest_is_refused(gate: Gate, ada: Account, host: Host) -> None:
    denied = good_service(user="root")
    assert gate.push(denied, REPOSITORY, "99.0.0", ada).status == 403
    refused = host.verify(denied.digest, check=1)
    assert "never_admitted" in refused.stdout
    assert f"{denied.digest} was never admitted" in refused.stdout
    assert f"no image was ever admitted as {REPOSITORY}:99.0.0" in host.verify(f"{REPOSITORY}:99.0.0", check=1).stdout


def test_p5_a_name_with_another_digest_is_refused(gate: Gate, ada: Account, host: Host, admitted: BuiltImage) -> None:
    other = admit(gate, ada)
    version = admitted.labels["eudat.gef.service.version"]
    refused = host.verify(f"{REPOSITORY}:{version}@{other.digest}", check=1)
    assert "name_mismatch" in refused.stdout


def test_p5_a_revoked_digest_is_refused_with_the_reason(
    gate: Gate, grace: Account, host: Host, admitted: BuiltImage
) -> None:
    done = command("revoke", admitted.digest, "--reason", "wrong calibration", env=gate.client_env(grace))
    assert f"revoked {admitted.digest}" in done.stdout
    version = admitted.labels["eudat.gef.service.version"]
    for what in (admitted.digest, admitted.config_digest, f"{REPOSITORY}:{version}"):
        refused = host.verify(what, check=1)
        assert "(revoked)" in refused.stdout
        assert "was revoked at" in refused.stdout
        assert "by grace: wrong calibration" in refused.stdout
    assert gate.manifest(REPOSITORY, version).status == 403
    assert "wrong calibration" in gate.manifest(REPOSITORY, version).text
    assert gate.manifest(REPOSITORY, admitted.digest).status == 200


def test_p5_a_view_beyond_its_age_decides_nothing(host: Host, admitted: BuiltImage) -> None:
    assert host.verify(admitted.digest, "--offline", clock_off_s=DAY_S - 600).returncode == 0
    refused = host.verify(admitted.digest, "--offline", clock_off_s=DAY_S + 600, check=1)
    assert "view_too_old" in refused.stdout
    assert "a revocation could be missing" in refused.stdout
    assert host.verify(admitted.digest, "--offline", "--max-age-h", "48", clock_off_s=DAY_S + 600).returncode == 0


def test_p5_a_clock_set_back_does_not_make_a_view_young(host: Host, admitted: BuiltImage) -> None:
    refused = host.verify(admitted.digest, "--offline", clock_off_s=-DAY_S, check=1)
    assert "the clock was set back" in refused.stdout
    online = host.verify(admitted.digest, clock_off_s=-DAY_S)
    assert online.returncode in (1, 3)
    assert "clock" in said(online)


def test_p5_a_gate_that_is_away_does_not_stop_a_host(gate: Gate, host: Host, admitted: BuiltImage) -> None:
    gate.stop()
    try:
        accepted = host.verify(admitted.digest, check=0)
        assert "the gate could not be asked" in said(accepted)
    finally:
        gate.start_again()


def without_view(tmp_path: Path) -> Host:
    return Host(tmp_path / "no view")


def test_p5_a_host_without_a_view_says_so_with_its_own_code(tmp_path: Path, admitted: BuiltImage) -> None:
    assert "there is no view" in said(without_view(tmp_path).verify(admitted.digest, "--offline", check=3))


def test_p5_another_root_key_is_not_pinned(gate: Gate, tmp_path: Path) -> None:
    wrong = "sha256:" + "0" * 64
    done = command("host", "init", "--gate", gate.url, "--fingerprint", wrong, "--view", tmp_path / "v", check=1)
    assert wrong in done.stderr


# A log that lies


@pytest.mark.parametrize("lie", ["withheld", "altered"])
def test_p5_a_hidden_statement_is_no_admission(
    gate: Gate, ada: Account, admitted: BuiltImage, tmp_path: Path, lie: str
) -> None:
    other = admit(gate, ada)
    theirs = [p for p in (gate.data / "log" / "statement").rglob("*") if p.is_file() and is_about(p, admitted)]
    ours = next(p for p in (gate.data / "log" / "statement").rglob("*") if p.is_file() and is_about(p, other))

    def alter(path: str, answer: Answer) -> Answer:
        if path.startswith("/log/statements/"):
            return Answer(404, {}, b"")
        if path.startswith("/log/statement/") and path.rpartition("/")[2] in {p.name for p in theirs}:
            return Answer(404, {}, b"") if lie == "withheld" else Answer(200, {}, ours.read_bytes())
        return answer

    with lying_proxy(gate.url, alter) as url:
        host = Host.init(tmp_path / "view", gate, url)
        refused = host.verify(admitted.digest, check=1)
        assert f"statement_{lie}" in refused.stdout
        host.verify(other.digest, check=0)


def is_about(file: Path, image: BuiltImage) -> bool:
    import base64
    import json

    document = json.loads(file.read_bytes())
    signed = base64.b64decode(document["payload"]) if "payload" in document else file.read_bytes()
    return image.digest.removeprefix("sha256:").encode() in signed


@pytest.mark.parametrize("what", ["tile/entries/", "checkpoint"])
def test_p5_one_wrong_byte_in_the_log_is_refused(gate: Gate, admitted: BuiltImage, tmp_path: Path, what: str) -> None:
    def alter(path: str, answer: Answer) -> Answer:
        if not path.startswith(f"/log/{what}") or answer.status != 200:
            return answer
        body = bytearray(answer.body)
        body[len(body) // 2] ^= 1
        return Answer(200, {}, bytes(body))

    with lying_proxy(gate.url, alter) as url:
        done = command(
            "host", "init", "--gate", url, "--fingerprint", gate.fingerprint, "--view", tmp_path / "v", check=1
        )
        assert "error: " in done.stderr


# The gate itself lies: an older copy of its data, with all its keys, comes back at the same address


def test_p5_a_gate_that_changed_its_past_is_refused_and_each_way_has_its_name(
    start_gate: Callable[..., Gate], tmp_path: Path
) -> None:
    gate = start_gate()
    ada = gate.account("ada", "author", "demo")
    gate.stop()
    shutil.copytree(gate.data, tmp_path / "older")
    gate.start_again()
    last = admit(gate, ada)
    followed = Host.init(tmp_path / "view", gate)
    assert followed.verify(last.digest).returncode == 0
    gate.stop()
    shutil.rmtree(gate.data)
    shutil.copytree(tmp_path / "older", gate.data)
    gate.start_again()
    messages = "the log shrank", "two different histories of 2 entries: it forked", "the log's history was rewritten"
    for way, message in enumerate(messages):
        shutil.copytree(tmp_path / "view", tmp_path / f"view-{way}")
        host = Host(tmp_path / f"view-{way}")
        assert message in host.verify(last.digest, check=1).stderr
        if "forked" in message:  # two signed notes of one size are a proof for good; the others could be a bad copy
            assert host.verify(last.digest, "--offline").returncode != 0, "a proven fork ends all decisions by the view"
        other = admit(gate, ada)
        assert host.verify(other.digest).returncode != 0
