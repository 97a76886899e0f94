"""Runs checks over facts. Every check gives exactly one result, in the order of the catalogue, whatever happens in it."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence

from gef_registry.checks.catalogue import BUILT_IN
from gef_registry.checks.check import Check
from gef_registry.checks.model import CheckResult, Outcome
from gef_registry.facts.model import ImageFacts

_FAMILIES = {"vulnerabilities": "VUL-"}


def run(
    facts: ImageFacts,
    *,
    at: datetime.datetime,
    checks: Sequence[Check] = BUILT_IN,
    selected: Collection[str] | None = None,
    skip: Collection[str] = (),
) -> tuple[CheckResult, ...]:
    """The results for the moment `at`. `selected`: only these ids run (None: all); `skip`: these do not, by id or family
    name (`vulnerabilities`). What does not run is *not_applicable*; what raises, or answers for another check, is *error*.
    """
    assert at.tzinfo is not None, "the moment of a verdict has a time zone"
    results = []
    for check in checks:
        name = check.info.id
        if name in skip or any(family in skip and name.startswith(prefix) for family, prefix in _FAMILIES.items()):
            results.append(CheckResult(name, Outcome.NOT_APPLICABLE, reason="left out on request"))
        elif selected is not None and name not in selected:
            results.append(CheckResult(name, Outcome.NOT_APPLICABLE, reason="not selected"))
        else:
            results.append(_guarded(check, facts, at))
    return tuple(results)


def _guarded(check: Check, facts: ImageFacts, at: datetime.datetime) -> CheckResult:
    """A check that crashed did not look: that is an error outcome, and its message may hold anything, so it is not shown."""
    try:
        result = check.inspect(facts, at)
    except Exception as error:
        return CheckResult(check.info.id, Outcome.ERROR, reason=f"the check crashed ({type(error).__name__})")
    if not isinstance(result, CheckResult) or result.id != check.info.id:
        return CheckResult(check.info.id, Outcome.ERROR, reason="the check gave no result of its own")
    if any(finding.check != check.info.id for finding in result.findings):
        return CheckResult(check.info.id, Outcome.ERROR, reason="the check gave findings of another check")
    return result
