"""What a policy makes of outcomes: one of four decisions, always with reasons."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gef_registry.checks.model import CheckResult, Finding


class Action(enum.StrEnum):
    """What a finding leads to, strongest first."""

    DENY = "deny"
    REVIEW = "review"
    WARN = "warn"
    INFO = "info"
    OFF = "off"


class Decision(enum.StrEnum):
    ADMIT = "admit"
    REVIEW = "review"
    DENY = "deny"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class JudgedFinding:
    """A finding with the action policy gave it and the waiver that lifted it, if any."""

    finding: Finding
    action: Action
    waiver: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision. `reasons` is never empty; `approvals` is how many reviewers must agree before admission (0: none)."""

    decision: Decision
    reasons: tuple[str, ...]
    findings: tuple[JudgedFinding, ...]
    results: tuple[CheckResult, ...]
    approvals: int = 0
