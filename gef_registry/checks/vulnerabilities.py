"""VUL-001: whether anybody looked for known vulnerabilities at all. What that means is the policy's to say."""

from __future__ import annotations

import datetime

from gef_registry.checks.check import Check, shown
from gef_registry.checks.model import CheckInfo, CheckResult, Outcome, Severity
from gef_registry.facts.model import ImageFacts

INFO = CheckInfo(
    id="VUL-001",
    slug="vulnerabilities-not-established",
    title="Nobody looked for known vulnerabilities",
    severity=Severity.HIGH,
    rationale="Without a scanner and a current database nothing is known about the software inside the image; "
    "not knowing is not the same as there being none.",
    remediation="Install a supported scanner and its database, or have a reviewer decide.",
    references=("NIST SP 800-190 4.1.1",),
    waivable=False,
)


def _inspect(facts: ImageFacts, at: datetime.datetime) -> CheckResult:
    if facts.scan is None:
        return CheckResult(INFO.id, Outcome.ERROR, reason="no scanner is configured")
    if facts.scan.problem:
        return CheckResult(INFO.id, Outcome.ERROR, reason=shown(facts.scan.problem, 300))
    return CheckResult(INFO.id, Outcome.PASS)


CHECK = Check(INFO, _inspect)
