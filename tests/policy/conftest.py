"""A small catalogue of checks and a way to write policies short, for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from gef_registry.checks.model import CheckInfo, Severity
from gef_registry.policy.load import load_policy
from gef_registry.policy.model import POLICY_CHECKS, Policy

HEAD = """\
apiVersion: gef-registry/v1
kind: Policy
metadata: {name: test, owner: somebody}
severities: {critical: deny, high: deny, medium: warn, low: warn, info: info}
scanner: {required: note}
"""


def info(id_: str, severity: Severity = Severity.HIGH, *, waivable: bool = True) -> CheckInfo:
    return CheckInfo(id_, f"slug-{id_.lower()}", f"Title of {id_}", severity, "why", "do this", waivable=waivable)


@pytest.fixture(scope="session")
def known() -> Mapping[str, CheckInfo]:
    checks = (
        info("USR-001"),
        info("SEC-001", Severity.CRITICAL),
        info("SEC-003"),
        info("HIS-002", Severity.MEDIUM),
        info("LBL-021", Severity.MEDIUM),
        info("VUL-001", waivable=False),
        info("OCI-001", Severity.CRITICAL, waivable=False),
    )
    return {check.id: check for check in (*checks, *POLICY_CHECKS)}


@pytest.fixture
def load(known: Mapping[str, CheckInfo]) -> Callable[[str], Policy]:
    """Reads `HEAD` and what is added to it."""
    return lambda rest="": load_policy((HEAD + rest).encode(), known=known, what="test.yaml")
