"""What a check says: findings and an outcome.

Outcomes are five, and only one of them is good news: *pass*; *fail* (findings say why); *unknown* (the image holds no
evidence); *error* (we could not look); *not_applicable*. Neither unknown nor error is ever pass.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, replace


class Severity(enum.StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for critical, 4 for info: sorts the worst first."""
        return list(Severity).index(self)


class Outcome(enum.StrEnum):
    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"
    ERROR = "error"
    NOT_APPLICABLE = "not_applicable"


class Visibility(enum.StrEnum):
    """What later layers did to the file a finding speaks of."""

    VISIBLE = "visible"
    DELETED = "deleted"
    OVERWRITTEN = "overwritten"


@dataclass(frozen=True, slots=True)
class Location:
    """Where in the image: `linux/amd64`, a layer's diff_id, a path without leading slash, a line (Dockerfile only)."""

    platform: str | None = None
    layer: str | None = None
    path: str | None = None
    visibility: Visibility | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `evidence` tells findings of one check and place apart; it is never a secret.

    `remediation` says what the author should do. `references` are standards and documents (CIS, NIST, specifications).
    """

    check: str
    severity: Severity
    message: str
    location: Location = Location()
    remediation: str = ""
    references: tuple[str, ...] = ()
    evidence: str = ""

    @property
    def fingerprint(self) -> str:
        """Stable across builds: no line numbers, no digests that each build changes."""
        key = "\0".join((self.check, self.location.platform or "", self.location.path or "", self.evidence))
        return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()

    def on(self, platform: str) -> Finding:
        """The same finding, located on one platform of an index."""
        return replace(self, location=replace(self.location, platform=platform))


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check says about one image (all its platforms). `reason` explains unknown, error, not_applicable."""

    id: str
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CheckInfo:
    """A check's page: what it looks for, why, and what to do. `waivable` is false for integrity rules."""

    id: str
    slug: str
    title: str
    severity: Severity
    rationale: str
    remediation: str
    references: tuple[str, ...] = ()
    waivable: bool = True
