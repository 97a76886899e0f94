"""A policy as values: which findings matter where, what is asked of the scanner, and who excused what until when.

`load` makes these from YAML and guarantees what the fields say; nothing else constructs a `Policy` from outside input.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gef_registry.checks.model import CheckInfo, Severity
from gef_registry.oci.digest import Digest
from gef_registry.policy.verdict import Action

API_VERSION = "gef-registry/v1"
KIND = "Policy"

# What `skip` and reasons call the whole of the scanner's work; its checks have ids of this family.
VULNERABILITIES = "vulnerabilities"
VULNERABILITY_FAMILY = "VUL-"
SCANNER_CHECK = "VUL-001"  # whether anybody looked at all


class ScannerRequirement(enum.StrEnum):
    """What it means that nobody could look for vulnerabilities (no scanner, it failed, its database is too old)."""

    NOTE = "note"
    REVIEW = "review"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one check's findings lead to: a fixed `action`, or a floor under what their severity says.

    `unknown` replaces the policy's answer to the outcome *unknown*. At least one of the three is set, and never
    both of the first two.
    """

    action: Action | None = None
    at_least: Action | None = None
    unknown: Action | None = None


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a waiver narrows to: each part that is set must fit. `repository` and `path` are globs."""

    repository: str | None = None
    digest: Digest | None = None
    platform: str | None = None
    path: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Waiver:
    """A dated, owned, reasoned exception. It holds from the start of `created` to the end of `expires`, in UTC."""

    id: str
    rule: str
    match: Matcher
    owner: str
    reason: str
    created: datetime.date
    expires: datetime.date
    approved_by: str | None = None


@dataclass(frozen=True, slots=True)
class RepositoryRules:
    """What differs for repositories that fit a glob; of several globs the most specific one counts, alone."""

    repository: str
    rules: Mapping[str, Rule] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    approvals: int | None = None


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """How much of an image is looked at before TAR-001 speaks."""

    uncompressed_bytes: int = 20 << 30
    entries: int = 2_000_000
    ratio: int = 200


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy file. `digest` is the sha256 of its exact bytes, `raw`.

    `severities` has all five severities. Keys of `rules` are check ids, or families written `LBL-*`; an id wins over
    its family. `database_max_age_hours`: an older vulnerability database counts as none.
    """

    name: str
    owner: str
    raw: bytes
    digest: Digest
    severities: Mapping[Severity, Action] = field(hash=False)
    unknown: Action = Action.WARN
    rules: Mapping[str, Rule] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    repositories: tuple[RepositoryRules, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    limits: ContentLimits = ContentLimits()
    scanner: ScannerRequirement = ScannerRequirement.REVIEW
    database_max_age_hours: int = 48
    approvals: int = 0
    max_waiver_days: int = 180
    description: str = ""
    review_by: datetime.date | None = None

    def rule_for(self, check: str) -> Rule | None:
        """The rule of a check: its own, else its family's."""
        return self.rules.get(check) or self.rules.get(f"{family_of(check)}*")


def family_of(check: str) -> str:
    """`LBL-` for `LBL-003`."""
    return check.partition("-")[0] + "-"


# What a policy itself can find fault with. These ids never come out of a check; policies may set their actions.
POLICY_CHECKS: tuple[CheckInfo, ...] = (
    CheckInfo(
        id="POL-001",
        slug="waiver-expired",
        title="A waiver for this image has expired",
        severity=Severity.LOW,
        rationale="An exception ends on the day its owner promised. From then on what it excused counts again.",
        remediation="Fix what was excused and delete the waiver, or have it renewed with a new reason.",
    ),
    CheckInfo(
        id="POL-002",
        slug="waiver-unused",
        title="A waiver for this image excuses nothing",
        severity=Severity.INFO,
        rationale="An exception that nobody needs hides the next, unrelated finding it happens to fit.",
        remediation="Delete the waiver.",
    ),
    CheckInfo(
        id="POL-003",
        slug="waiver-expires-soon",
        title="A waiver this image needs expires within 14 days",
        severity=Severity.INFO,
        rationale="The day after, the image would be judged differently; better to know before.",
        remediation="Fix what is excused before the waiver ends.",
    ),
)
