"""Why a check's findings lead where they lead, in words: for `policy explain` and `checks list`."""

from __future__ import annotations

from dataclasses import dataclass

from gef_registry.checks.model import CheckInfo
from gef_registry.policy.decide import action_for, action_for_unknown
from gef_registry.policy.model import SCANNER_CHECK, Policy, ScannerRequirement, family_of
from gef_registry.policy.verdict import Action


@dataclass(frozen=True, slots=True)
class Explanation:
    """The action for a finding of the check's usual severity, the action for not knowing, and what decides both."""

    action: str
    unknown: str
    because: str


def explain(policy: Policy, info: CheckInfo) -> Explanation:
    """What `policy` (already narrowed to a repository) makes of one check."""
    if info.id == SCANNER_CHECK:
        action = {ScannerRequirement.NOTE: "info", ScannerRequirement.REVIEW: "review"}.get(policy.scanner, "undecided")
        return Explanation(action, action, f"scanner.required: {policy.scanner.value}")
    if not info.waivable:
        return Explanation(Action.DENY.value, "undecided", "guards integrity")
    action = action_for(policy, info.id, info.severity, {info.id: info}).value
    return Explanation(action, action_for_unknown(policy, info.id).value, _because(policy, info))


def _because(policy: Policy, info: CheckInfo) -> str:
    severity = f"severity {info.severity.value}: {policy.severities[info.severity].value}"
    rule = policy.rule_for(info.id)
    if rule is None:
        return severity
    name = info.id if info.id in policy.rules else f"{family_of(info.id)}*"
    if rule.action is not None:
        return f"rule {name}: {rule.action.value}"
    if rule.at_least is not None:
        return f"rule {name}: at least {rule.at_least.value}; {severity}"
    return severity
