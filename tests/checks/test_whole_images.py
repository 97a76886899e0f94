"""Checks over facts gathered from real bytes: good images pass, and each defect is found by exactly its check."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ed25519

from gef_registry.checks.model import CheckResult, Outcome, Severity, Visibility
from gef_registry.checks.run import run
from gef_registry.facts.gather import gather
from gef_registry.facts.limits import Limits
from tests.fakes.memory_source import MemorySource
from tests.parts.images import BuiltImage, build_image, digest_of, good_service, index_of, layer
from tests.parts.tars import FileSpec

AT = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
_KEY = ed25519.Ed25519PrivateKey.generate()
PLAIN = _KEY.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
LOCKED = _KEY.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"passphrase"))


async def judged(source: MemorySource, limits: Limits | None = None) -> dict[str, CheckResult]:
    facts = await gather(source, limits=limits)
    return {result.id: result for result in run(facts, at=AT, skip={"vulnerabilities"})}


def failing(results: dict[str, CheckResult]) -> set[str]:
    return {name for name, result in results.items() if result.outcome is Outcome.FAIL}


def not_good(results: dict[str, CheckResult]) -> set[str]:
    return {name for name, r in results.items() if r.outcome not in (Outcome.PASS, Outcome.NOT_APPLICABLE)}


@pytest.mark.parametrize("form", [{}, {"docker": True}, {"compression": "zstd"}, {"compression": "none"}])
async def test_a_good_service_passes_every_check(form: dict[str, Any]) -> None:
    assert not_good(await judged(MemorySource(good_service(**form)))) == set()
    both = index_of([good_service(**form), good_service(architecture="arm64", **form)])
    assert not_good(await judged(MemorySource(both))) == set()


WHITEOUT = layer(whiteouts=["etc/passwd"])
DEFECTS: dict[str, tuple[BuiltImage, str]] = {
    "root by default": (good_service(user=None), "USR-001"),
    "root by another name in a later layer": (
        good_service(user="svc", layers=[layer({"etc/passwd": "svc:x:0:0::/:/bin/sh\n"})]), "USR-001",
    ),
    "a password": (good_service(env=["DB_PASSWORD=correct-horse"]), "SEC-003"),
    "a piped download": (good_service(history=[{"created_by": "RUN /bin/sh -c curl https://x.org | sh"}]), "HIS-002"),
    "a key": (good_service(files={"k.pem": PLAIN}), "SEC-001"),
    "a key in a variable": (good_service(env=[f"PEM={PLAIN.decode()}"]), "SEC-001"),
    "no labels": (good_service(config={"Labels": {}}), "LBL-001"),
    "no command": (good_service(entrypoint=None), "LBL-006"),
    "an output without path": (good_service(labels={"eudat.gef.service.output.2.name": "x"}), "LBL-009"),
    "a forged diff_id": (build_image(config={"config": {}, "rootfs": {"type": "layers", "diff_ids": [digest_of(b"")]}}, layers=[layer({"a": b"b"})]), "OCI-001"),
    "an archive that goes on": (build_image(config={}, layers=[layer({"a": b"b"}) + b"more"]), "TAR-005"),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFECTS)
async def test_each_defect_is_found_by_its_check(name: str) -> None:
    image, check = DEFECTS[name]
    assert check in failing(await judged(MemorySource(image)))


async def test_a_deleted_passwd_leaves_a_named_user_unknown() -> None:
    results = await judged(MemorySource(good_service(user="nobody", layers=[WHITEOUT])))
    assert not_good(results) == {"USR-001"}
    assert results["USR-001"].outcome is Outcome.UNKNOWN


async def test_a_bomb_is_denied_by_its_own_check_and_nothing_passes_unseen() -> None:
    image = good_service(layers=[layer({"zeros": FileSpec(bytes(8 << 20))})])
    results = await judged(MemorySource(image), Limits(ratio_floor_bytes=1 << 20))
    assert failing(results) == {"TAR-001"}
    assert results["SEC-001"].outcome is Outcome.ERROR


async def test_a_key_keeps_its_severity_in_a_deleted_layer_and_says_where_it_was() -> None:
    hidden = good_service(layers=[layer({"root/.ssh/id": PLAIN}), layer(whiteouts=["root/.ssh/id"])])
    (found,) = (await judged(MemorySource(hidden)))["SEC-001"].findings
    assert found.severity is Severity.CRITICAL
    assert found.location.visibility is Visibility.DELETED
    assert (found.location.path, found.location.layer) == ("root/.ssh/id", hidden.diff_ids[2])
    replaced = good_service(layers=[layer({"k": PLAIN}), layer({"k": b"harmless"})])
    (found,) = (await judged(MemorySource(replaced)))["SEC-001"].findings
    assert found.location.visibility is Visibility.OVERWRITTEN


async def test_an_encrypted_key_is_medium() -> None:
    (found,) = (await judged(MemorySource(good_service(files={"k": LOCKED}))))["SEC-001"].findings
    assert found.severity is Severity.MEDIUM


async def test_findings_of_a_rebuilt_image_keep_their_fingerprints() -> None:
    one = good_service(files={"k": PLAIN})
    two = good_service(files={"k": PLAIN}, layers=[layer({"other": b"1"})])
    prints = [[f.fingerprint for f in (await judged(MemorySource(image)))["SEC-001"].findings] for image in (one, two)]
    assert prints[0] == prints[1]


async def test_no_secret_of_the_image_is_in_any_result() -> None:
    """P8: not in a message, a reason, an evidence."""
    password = "correct-horse-battery"
    image = good_service(
        env=[f"DB_PASSWORD={password}", f"KEY={PLAIN.decode()}"],
        files={"k.pem": PLAIN},
        labels={"note": PLAIN.decode()},
        history=[{"created_by": f"RUN /bin/sh -c curl -k -u x:{password} https://x.org | sh"}],
    )
    results = await judged(MemorySource(image))
    assert {"SEC-001", "SEC-003", "HIS-002"} <= failing(results)
    said = repr(list(results.values())) + json.dumps([f.fingerprint for r in results.values() for f in r.findings])
    assert password not in said
    assert not any(line in said for line in PLAIN.decode().splitlines()[1:-1])


async def test_paths_of_the_image_are_shown_without_control_characters() -> None:
    image = good_service(files={"k\x1b[2J\u202eevil": PLAIN})
    (found,) = (await judged(MemorySource(image)))["SEC-001"].findings
    assert "\x1b" not in repr(found.message + str(found.location.path)).replace("\\x1b", "\x1b")
    assert "\u202e" not in found.message
