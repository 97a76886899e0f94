"""The label contract alone, asked of a Dockerfile before a build or of an image without reading its layers.

The report lists every other check as skipped, so that nobody takes it for a full one.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace

from gef_registry.checks import labels
from gef_registry.checks import run as checks
from gef_registry.checks.model import CheckInfo, CheckResult, Finding, Location, Outcome, Severity
from gef_registry.facts.limits import Limits
from gef_registry.facts.model import ImageFacts, Passwd, PasswdState, PlatformFacts
from gef_registry.facts.structure import read_structure
from gef_registry.oci.digest import Digest
from gef_registry.oci.source import Source
from gef_registry.policy.decide import decide
from gef_registry.policy.model import POLICY_CHECKS, VULNERABILITIES, Policy
from gef_registry.report.model import Report, Subject, compose
from gef_registry.service.catalogue import BY_ID
from gef_registry.service.model import LabelProblem
from gef_registry.service.precheck import Precheck, check_dockerfile
from gef_registry.wiring.judging import own_tools
from gef_registry.wiring.policies import known_checks

DOCKERFILE = "text/x-dockerfile"
MAX_DOCKERFILE_BYTES = 1 << 20


def judge_dockerfile(
    text: str, name: str, *, policy: Policy, repository: str | None, at: datetime.datetime
) -> tuple[Report, Precheck]:
    """The findings an image built from this file would have about its labels, with line numbers. Raises BadInput."""
    precheck = check_dockerfile(text)
    results = [_result(check.info, precheck) for check in labels.CHECKS]
    subject = Subject(name, Digest.of(text.encode("utf-8", "surrogatepass")), DOCKERFILE, ())
    return _report(subject, results, policy=policy, repository=repository, at=at, digest=None), precheck


async def judge_labels(source: Source, *, policy: Policy, repository: str | None, at: datetime.datetime) -> Report:
    """The findings about the labels of an image; only manifests and configurations are read."""
    structure = await read_structure(source, Limits())
    platforms = tuple(
        PlatformFacts(
            platform=planned.platform,
            manifest=planned.manifest.descriptor,
            config=planned.config,
            config_digest=planned.manifest.config.digest,
            layers=(),
            passwd=Passwd(PasswdState.UNRESOLVED, reason="layers were not read"),
        )
        for planned in structure.platforms
    )
    facts = ImageFacts(structure.subject, platforms, problems=tuple(structure.problems))
    results = checks.run(facts, at=at, checks=labels.CHECKS)
    subject = Subject(
        source.name, facts.subject.digest, facts.subject.media_type, tuple(dict.fromkeys(p.name for p in platforms))
    )
    return _report(subject, results, policy=policy, repository=repository, at=at, digest=facts.subject.digest)


def _report(
    subject: Subject,
    results: list[CheckResult] | tuple[CheckResult, ...],
    *,
    policy: Policy,
    repository: str | None,
    at: datetime.datetime,
    digest: Digest | None,
) -> Report:
    known = label_checks()
    others = frozenset(known_checks().keys() - known.keys()) | {VULNERABILITIES}
    policy = _without_approvals(policy)
    verdict = decide(policy, results, repository=repository, at=at, known=known, skipped=others, digest=digest)
    return compose(subject=subject, verdict=verdict, policy=policy, at=at, tools=own_tools(), skipped=others)


def _without_approvals(policy: Policy) -> Policy:
    """Labels alone are no submission: nobody has to approve what has nothing wrong with it."""
    repositories = tuple(replace(rules, approvals=None) for rules in policy.repositories)
    return replace(policy, approvals=0, repositories=repositories)


def label_checks() -> Mapping[str, CheckInfo]:
    return {info.id: info for info in (*(check.info for check in labels.CHECKS), *POLICY_CHECKS)}


def _result(info: CheckInfo, precheck: Precheck) -> CheckResult:
    findings = tuple(
        _finding(info, located.value, located.line) for located in precheck.problems if located.value.code == info.id
    )
    if findings:
        return CheckResult(info.id, Outcome.FAIL, findings)
    if not precheck.image.labels_complete and BY_ID[info.id].by_absence:
        return CheckResult(info.id, Outcome.UNKNOWN, reason="some label keys are known only after the build")
    return CheckResult(info.id, Outcome.PASS)


def _finding(info: CheckInfo, problem: LabelProblem, line: int) -> Finding:
    """As the check of an image words it, with the line it is about."""
    message = problem.message if problem.label in problem.message else f"{problem.label}: {problem.message}"
    suggestion = f" Did you mean {problem.suggestion}?" if problem.suggestion else ""
    return Finding(
        check=info.id,
        severity=Severity(problem.severity),
        message=message,
        location=Location(line=line),
        remediation=problem.remediation + suggestion,
        references=info.references,
        evidence=problem.label or problem.message,
    )
