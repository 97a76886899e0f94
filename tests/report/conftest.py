"""One report with a bit of everything in it."""

from __future__ import annotations

import datetime

import pytest

from gef_registry.checks.model import CheckResult, Finding, Location, Outcome, Severity, Visibility
from gef_registry.oci.digest import Digest
from gef_registry.policy.model import Policy
from gef_registry.policy.verdict import Action, Decision, JudgedFinding, Verdict
from gef_registry.report.model import Report, Subject, Tool, compose

AT = datetime.datetime(2026, 12, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture
def report() -> Report:
    key = Finding(
        "SEC-001",
        Severity.CRITICAL,
        "a private key lies in a layer",
        Location("linux/amd64", "sha256:" + "ab" * 32, "root/.ssh/id\x1b[2J_rsa", Visibility.DELETED),
        "Build again without it and revoke the key.",
        ("NIST SP 800-190 4.1.4",),
        "pem",
    )
    label = Finding("LBL-021", Severity.MEDIUM, "[bold]no \u202emarkup[/bold]", Location(line=7), "Correct the key.")
    waived = Finding("HIS-002", Severity.MEDIUM, "curl piped to a shell")
    off = Finding("CFG-001", Severity.INFO, "no health check")
    verdict = Verdict(
        Decision.DENY,
        ("SEC-001: a private key lies in a layer",),
        (
            JudgedFinding(key, Action.DENY),
            JudgedFinding(key.on("linux/arm64"), Action.DENY),
            JudgedFinding(label, Action.REVIEW),
            JudgedFinding(waived, Action.INFO, "W-1"),
            JudgedFinding(off, Action.OFF),
        ),
        (CheckResult("USR-001", Outcome.PASS), CheckResult("SEC-001", Outcome.FAIL, (key,))),
    )
    policy = Policy("default", "owner", b"x", Digest.of(b"x"), {})
    subject = Subject("oci:/tmp/x", Digest.of(b"i"), "application/x", ("linux/amd64", "linux/arm64"))
    return compose(
        subject=subject, verdict=verdict, policy=policy, at=AT, tools=[Tool("gef-registry", "1")],
        skipped=frozenset({"vulnerabilities"}), timings={"gather": 0.1234567},
    )  # fmt: skip
