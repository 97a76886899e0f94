"""LBL-nnn: one check for each way in which labels can break the label contract; the contract itself is in `service/`."""

from __future__ import annotations

import functools

from gef_registry.checks.check import Check, Seen, finding, on_each_config
from gef_registry.checks.model import CheckInfo, Finding, Severity
from gef_registry.facts.model import PlatformFacts
from gef_registry.oci.config import ImageConfig
from gef_registry.service import contract
from gef_registry.service.catalogue import KINDS, ProblemKind
from gef_registry.service.model import LabelProblem

_REFERENCES = ("GEF label contract v1",)


def _info(kind: ProblemKind) -> CheckInfo:
    return CheckInfo(
        id=kind.id,
        slug=kind.slug,
        title=kind.title,
        severity=Severity(kind.severity),
        rationale=kind.rationale,
        remediation=kind.remediation,
        references=_REFERENCES,
    )


@functools.lru_cache(maxsize=16)
def _problems(labels: tuple[tuple[str, str], ...], has_command: bool) -> tuple[LabelProblem, ...]:
    """The labels are read once, not once for each kind of problem."""
    return contract.parse(dict(labels), has_command=has_command).problems


def _check(kind: ProblemKind) -> Check:
    info = _info(kind)

    def look(platform: PlatformFacts, config: ImageConfig) -> Seen:
        problems = _problems(tuple(config.labels.items()), config.has_command)
        return Seen(tuple(_finding(info, problem) for problem in problems if problem.code == kind.id))

    return on_each_config(info, look)


def _finding(info: CheckInfo, problem: LabelProblem) -> Finding:
    message = f"{problem.label}: {problem.message}" if problem.label not in problem.message else problem.message
    remediation = (
        f"{problem.remediation} Did you mean {problem.suggestion}?" if problem.suggestion else problem.remediation
    )
    return finding(
        info,
        message,
        severity=Severity(problem.severity),
        remediation=remediation,
        evidence=problem.label or problem.message,
    )


CHECKS = tuple(_check(kind) for kind in KINDS)
