"""Outcomes and a policy in, a verdict out. The heart of judging: pure, total, and the same for the same input.

    deny       a finding denies; nothing outweighs that
    undecided  something the policy requires could not be established: a check that crashed or never ran, an integrity
               check without evidence, a scanner that the policy insists on
    review     a finding asks for a person, or the policy wants approvals for every image
    admit      none of these

An unknown outcome is a finding of its own, with the action the policy gives to not knowing; no waiver lifts it.
A finding of an integrity check (`waivable` is false) always denies. A check nobody has heard of counts as one.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gef_registry.checks.model import CheckInfo, CheckResult, Finding, Outcome, Severity
from gef_registry.oci.digest import Digest
from gef_registry.policy import match, waivers
from gef_registry.policy.model import (
    POLICY_CHECKS,
    SCANNER_CHECK,
    VULNERABILITY_FAMILY,
    Policy,
    ScannerRequirement,
    Waiver,
)
from gef_registry.policy.skip import is_skipped
from gef_registry.policy.verdict import Action, Decision, JudgedFinding, Verdict
from gef_registry.policy.wording import plain

SOON = datetime.timedelta(days=14)
MAX_REASONS = 20
SHOWN_SKIPS = 5
_STRENGTH = {action: rank for rank, action in enumerate(Action)}
_EXPIRED, _UNUSED, _EXPIRES_SOON = POLICY_CHECKS
_NOT_CHECKS = ("POL-", VULNERABILITY_FAMILY)


@dataclass(frozen=True, slots=True)
class _Case:
    """One image before one policy at one moment."""

    policy: Policy
    results: tuple[CheckResult, ...]
    known: Mapping[str, CheckInfo]
    waivers: tuple[Waiver, ...]
    at: datetime.datetime
    skipped: frozenset[str]


def decide(
    policy: Policy,
    results: Sequence[CheckResult],
    *,
    repository: str | None,
    at: datetime.datetime,
    known: Mapping[str, CheckInfo],
    skipped: frozenset[str] = frozenset(),
    digest: Digest | None = None,
) -> Verdict:
    """What `policy` makes of `results` for an image of `repository` (None: not said) with `digest`, at the moment `at`.

    `known` are all checks there are: one that is neither among the results nor `skipped` nor off has not run, and
    that is an error. `at` has a time zone.
    """
    assert at.tzinfo is not None, "the moment of a verdict has a time zone"
    case = _Case(
        policy=match.effective(policy, repository),
        results=tuple(result for result in results if not is_skipped(result.id, skipped)),
        known=known,
        waivers=tuple(w for w in policy.waivers if waivers.concerns(w, repository=repository, digest=digest)),
        at=at,
        skipped=skipped,
    )
    findings = [_judged(case, finding) for result in case.results for finding in result.findings]
    findings += [_unestablished(case, result) for result in case.results if result.outcome is Outcome.UNKNOWN]
    scanner_finding, scanner_gap = _scanner(case)
    findings += scanner_finding
    findings += [_judged(case, finding) for finding in _housekeeping(case)]
    findings.sort(key=_order)
    gaps = [*_gaps(case), *scanner_gap]
    decision, reasons = _conclude(case, findings, gaps)
    approvals = max(1, case.policy.approvals) if decision is Decision.REVIEW else 0
    return Verdict(decision, tuple(reasons), tuple(findings), case.results, approvals)


def action_for(policy: Policy, check: str, severity: Severity, known: Mapping[str, CheckInfo]) -> Action:
    """What a finding leads to before waivers: its rule, else its family's, else its severity; integrity always denies."""
    info = known.get(check)
    if info is None or not info.waivable:
        return Action.DENY
    rule = policy.rule_for(check)
    by_severity = policy.severities[severity]
    if rule is None:
        return by_severity
    if rule.action is not None:
        return rule.action
    return _stronger(by_severity, rule.at_least) if rule.at_least is not None else by_severity


def action_for_unknown(policy: Policy, check: str) -> Action:
    """What it leads to that a check found no evidence either way."""
    rule = policy.rule_for(check)
    if rule is not None and rule.unknown is not None:
        return rule.unknown
    return Action.OFF if rule is not None and rule.action is Action.OFF else policy.unknown


def _judged(case: _Case, finding: Finding) -> JudgedFinding:
    action = action_for(case.policy, finding.check, finding.severity, case.known)
    waiver = next(iter(_lifting(case, finding)), None)
    if waiver is None or _STRENGTH[action] >= _STRENGTH[Action.INFO]:
        return JudgedFinding(finding, action)
    return JudgedFinding(finding, Action.INFO, waiver.id)


def _lifting(case: _Case, finding: Finding) -> list[Waiver]:
    info = case.known.get(finding.check)
    if info is None or not info.waivable:
        return []
    return [w for w in case.waivers if waivers.is_in_force(w, case.at) and waivers.excuses(w, finding)]


def _unestablished(case: _Case, result: CheckResult) -> JudgedFinding:
    info = case.known.get(result.id)
    finding = Finding(
        check=result.id,
        severity=info.severity if info else Severity.HIGH,
        message=f"not established: {result.reason or 'the image holds no evidence'}",
        remediation=info.remediation if info else "",
        evidence="unknown",
    )
    return JudgedFinding(finding, action_for_unknown(case.policy, result.id))


def _gaps(case: _Case) -> Iterator[str]:
    """What could not be established although it had to be."""
    for result in case.results:
        if result.id.startswith(VULNERABILITY_FAMILY) or _is_off(case.policy, result.id, case.known):
            continue
        if result.outcome is Outcome.ERROR:
            yield f"{result.id} could not be checked: {result.reason or 'the check failed'}"
        elif result.outcome is Outcome.FAIL and not result.findings:
            yield f"{result.id} failed without saying what it found"
        elif result.outcome is Outcome.UNKNOWN and _guards_integrity(result.id, case.known):
            yield f"{result.id} guards integrity and could not be established: {result.reason or 'no evidence'}"
    ran = {result.id for result in case.results}
    for check in sorted(case.known.keys() - ran):
        if not (check.startswith(_NOT_CHECKS) or check in case.skipped or _is_off(case.policy, check, case.known)):
            yield f"{check} did not run"


def _guards_integrity(check: str, known: Mapping[str, CheckInfo]) -> bool:
    return check not in known or not known[check].waivable


def _is_off(policy: Policy, check: str, known: Mapping[str, CheckInfo]) -> bool:
    rule = policy.rule_for(check)
    return rule is not None and rule.action is Action.OFF and not _guards_integrity(check, known)


def _scanner(case: _Case) -> tuple[list[JudgedFinding], list[str]]:
    """What it comes to when nobody could look for vulnerabilities: a finding, or a gap where the policy insists."""
    if is_skipped(SCANNER_CHECK, case.skipped):
        return [], []
    answers = [result for result in case.results if result.id.startswith(VULNERABILITY_FAMILY)]
    failed = [result for result in answers if result.outcome is Outcome.ERROR]
    if answers and not failed:
        return [], []
    why = failed[0].reason or "the scanner failed" if failed else "no scanner looked at this image"
    message = f"known vulnerabilities were not looked for: {why}"
    if case.policy.scanner is ScannerRequirement.UNDECIDED:
        return [], [f"{message}; the policy requires it"]
    action = Action.REVIEW if case.policy.scanner is ScannerRequirement.REVIEW else Action.INFO
    info = case.known.get(SCANNER_CHECK)
    finding = Finding(
        check=SCANNER_CHECK,
        severity=info.severity if info else Severity.HIGH,
        message=message,
        remediation=info.remediation if info else "",
        references=info.references if info else (),
        evidence="scanner",
    )
    return [JudgedFinding(finding, action)], []


def _housekeeping(case: _Case) -> Iterator[Finding]:
    """POL-001 to POL-003: waivers about this image that have expired, excuse nothing, or soon end."""
    found = [finding for result in case.results for finding in result.findings]
    looked = {result.id for result in case.results if result.outcome is not Outcome.ERROR}
    for waiver in case.waivers:
        needed = any(waivers.excuses(waiver, finding) for finding in found)
        if waivers.has_expired(waiver, case.at):
            message = f"waiver {waiver.id} for {waiver.rule} expired on {waiver.expires} (owner: {waiver.owner})"
            yield _about(_EXPIRED, waiver, message + ("; what it excused counts again" if needed else ""))
        elif needed and waivers.is_in_force(waiver, case.at):
            if waiver.expires - case.at.astimezone(datetime.UTC).date() < SOON:
                message = (
                    f"waiver {waiver.id} for {waiver.rule} holds only until {waiver.expires} (owner: {waiver.owner})"
                )
                yield _about(_EXPIRES_SOON, waiver, message)
        elif not needed and waiver.rule in looked:
            yield _about(_UNUSED, waiver, f"waiver {waiver.id} for {waiver.rule} excuses nothing in this image")


def _about(info: CheckInfo, waiver: Waiver, message: str) -> Finding:
    return Finding(info.id, info.severity, message, remediation=info.remediation, evidence=waiver.id)


def _conclude(case: _Case, findings: Sequence[JudgedFinding], gaps: Sequence[str]) -> tuple[Decision, list[str]]:
    """The strongest thing that speaks against admission, and everything that says so."""
    denying = _stated(findings, Action.DENY)
    if denying:
        return Decision.DENY, _bounded(denying)
    if gaps:
        return Decision.UNDECIDED, _bounded([plain(gap) for gap in gaps])
    reviewing = _stated(findings, Action.REVIEW)
    wanted = case.policy.approvals
    if wanted and not reviewing:
        people = "person" if wanted == 1 else "people"
        reviewing = [f"policy {case.policy.name} wants every image approved by {wanted} {people}"]
    notes = list(_notes(case, findings))
    if reviewing:
        return Decision.REVIEW, _bounded(reviewing) + notes
    warnings = sum(judged.action is Action.WARN for judged in findings)
    said = {0: "no check speaks against it", 1: "no check speaks against it; 1 warning"}
    return Decision.ADMIT, [said.get(warnings, f"no check speaks against it; {warnings} warnings"), *notes]


def _notes(case: _Case, findings: Sequence[JudgedFinding]) -> Iterator[str]:
    """What a reader of a good verdict must not overlook."""
    if case.skipped:
        few = len(case.skipped) <= SHOWN_SKIPS
        yield f"left out on request: {', '.join(sorted(case.skipped)) if few else f'{len(case.skipped)} checks'}"
    used = sorted({judged.waiver for judged in findings if judged.waiver is not None})
    if used:
        yield f"excused by waiver: {', '.join(used)}"


def _stated(findings: Sequence[JudgedFinding], action: Action) -> list[str]:
    """Each thing said once, worst first, with how many platforms or places share it left to the report."""
    said = (
        f"{judged.finding.check}: {plain(judged.finding.message)}" for judged in findings if judged.action is action
    )
    return list(dict.fromkeys(said))


def _bounded(reasons: list[str]) -> list[str]:
    if len(reasons) <= MAX_REASONS:
        return reasons
    return [*reasons[:MAX_REASONS], f"… and {len(reasons) - MAX_REASONS} more, all in the report"]


def _stronger(one: Action, other: Action) -> Action:
    return one if _STRENGTH[one] <= _STRENGTH[other] else other


def _order(judged: JudgedFinding) -> tuple[int, str, str, str, str, str, str, str]:
    finding = judged.finding
    location = finding.location
    return (
        finding.severity.rank, finding.check, location.platform or "", location.path or "", location.layer or "",
        finding.evidence, finding.message, judged.waiver or "",
    )  # fmt: skip
