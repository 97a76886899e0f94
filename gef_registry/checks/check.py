"""What every check is: its page, and a function from facts to a result. Helpers for checks that look at each platform.

A check is pure: facts and the evaluation time in, a result out. What it says holds no secret and no raw text of the
image: paths and names from the image pass `shown`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

from gef_registry.checks.model import CheckInfo, CheckResult, Finding, Location, Outcome, Severity
from gef_registry.facts.model import ImageFacts, PlatformFacts
from gef_registry.oci.config import ImageConfig
from gef_registry.service.model import printable

Inspection = Callable[[ImageFacts, datetime.datetime], CheckResult]


@dataclass(frozen=True, slots=True)
class Check:
    """One entry of the catalogue. `inspect` takes the facts and the moment the verdict is for."""

    info: CheckInfo
    inspect: Inspection


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw on one platform. Findings make it a fail; else `outcome` counts, and `reason` explains it."""

    findings: tuple[Finding, ...] = ()
    outcome: Outcome = Outcome.PASS
    reason: str = ""


def on_each_platform(info: CheckInfo, look: Callable[[PlatformFacts], Seen]) -> Check:
    """A check that looks at each platform by itself; the worst of what it sees is the outcome."""

    def inspect(facts: ImageFacts, at: datetime.datetime) -> CheckResult:
        if not facts.platforms:
            return CheckResult(info.id, Outcome.ERROR, reason="no platform of the image could be read")
        seen = [(platform.name, look(platform)) for platform in facts.platforms]
        findings = tuple(finding.on(name) for name, one in seen for finding in one.findings)
        if findings:
            return CheckResult(info.id, Outcome.FAIL, findings)
        for outcome in (Outcome.ERROR, Outcome.UNKNOWN):
            reasons = [f"{name}: {one.reason}" for name, one in seen if one.outcome is outcome]
            if reasons:
                return CheckResult(info.id, outcome, reason="; ".join(reasons))
        return CheckResult(info.id, Outcome.PASS)

    return Check(info, inspect)


def on_each_config(info: CheckInfo, look: Callable[[PlatformFacts, ImageConfig], Seen]) -> Check:
    """As `on_each_platform`, for checks that need the configuration; without one they are in error."""

    def look_if_readable(platform: PlatformFacts) -> Seen:
        if platform.config is None:
            return Seen(outcome=Outcome.ERROR, reason="the configuration could not be read")
        return look(platform, platform.config)

    return on_each_platform(info, look_if_readable)


def finding(
    info: CheckInfo,
    message: str,
    *,
    severity: Severity | None = None,
    location: Location | None = None,
    remediation: str = "",
    evidence: str = "",
) -> Finding:
    """A finding of this check, with the severity, remediation and references of its page unless told otherwise."""
    return Finding(
        check=info.id,
        severity=severity or info.severity,
        message=message,
        location=location or Location(),
        remediation=remediation or info.remediation,
        references=info.references,
        evidence=evidence,
    )


def shown(text: str, limit: int = 120) -> str:
    """Text of the image as messages show it: control and bidirectional characters escaped, cut to a length."""
    return printable(text, limit=limit)
