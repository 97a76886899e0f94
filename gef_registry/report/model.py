"""The report as a value: everything a format may show, and nothing that differs between two runs but `timings`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gef_registry.checks.model import CheckResult
from gef_registry.oci.digest import Digest
from gef_registry.policy.model import Policy
from gef_registry.policy.verdict import Decision, JudgedFinding, Verdict

SCHEMA_VERSION = "1.0"
SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Subject:
    """What was judged: the name it was asked for by, and what that name meant. `platforms` as `linux/amd64`."""

    reference: str
    digest: Digest
    media_type: str
    platforms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """A program whose answer went into the verdict; `database` identifies its data, when it has any."""

    name: str
    version: str
    database: str | None = None


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check and its outcome; `skipped` when the caller asked to leave it out."""

    id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Report:
    """`schemas/report.schema.json` says what the fields mean; `timings` are seconds by step, the only free part."""

    subject: Subject
    decision: Decision
    reasons: tuple[str, ...]
    policy_name: str
    policy_digest: Digest
    evaluated_at: datetime.datetime
    checks: tuple[CheckLine, ...]
    findings: tuple[JudgedFinding, ...]
    tools: tuple[Tool, ...]
    timings: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def skipped(self) -> tuple[str, ...]:
        """What the caller asked to leave out; a report that has any is no evidence for an admission."""
        return tuple(line.id for line in self.checks if line.outcome == SKIPPED)

    def without_timings(self) -> Report:
        """The part that two machines can compare byte by byte."""
        return replace(self, timings={})


def compose(
    *,
    subject: Subject,
    verdict: Verdict,
    policy: Policy,
    at: datetime.datetime,
    tools: Sequence[Tool],
    skipped: frozenset[str] = frozenset(),
    timings: Mapping[str, float] | None = None,
) -> Report:
    """A report of one verdict. Findings keep the verdict's order; checks and tools are ordered by name."""
    lines = [*map(_line, verdict.results), *(CheckLine(name, SKIPPED) for name in skipped)]
    return Report(
        subject=subject,
        decision=verdict.decision,
        reasons=verdict.reasons,
        policy_name=policy.name,
        policy_digest=policy.digest,
        evaluated_at=at.astimezone(datetime.UTC),
        checks=tuple(sorted(lines, key=lambda line: line.id)),
        findings=verdict.findings,
        tools=tuple(sorted(tools, key=lambda tool: (tool.name, tool.version))),
        timings=dict(timings or {}),
    )


def _line(result: CheckResult) -> CheckLine:
    return CheckLine(result.id, result.outcome.value)
