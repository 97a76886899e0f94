"""The catalogue keeps its rules, and running it gives one result for each check, whatever happens in one."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace

import pytest

from gef_registry.checks import integrity
from gef_registry.checks.catalogue import BUILT_IN, catalogue, known
from gef_registry.checks.check import Check
from gef_registry.checks.model import CheckInfo, CheckResult, Finding, Outcome, Severity
from gef_registry.checks.run import run
from gef_registry.errors import BadInput
from gef_registry.facts.model import ImageFacts, ProblemKind
from gef_registry.policy.model import SCANNER_CHECK
from gef_registry.service.catalogue import KINDS

AT = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
INFO = CheckInfo("XYZ-001", "xyz", "Title", Severity.LOW, "why", "what to do")
Make = Callable[..., ImageFacts]


def passing(facts: ImageFacts, at: datetime.datetime) -> CheckResult:
    return CheckResult("XYZ-001", Outcome.PASS)


def test_the_built_in_checks_keep_the_rules_of_the_catalogue() -> None:
    assert catalogue() == BUILT_IN
    assert {"USR-001", "SEC-001", "SEC-003", "HIS-002", "CFG-007", "OCI-001", "OCI-002", "TAR-001", "VUL-001"} <= set(
        known()
    )


def test_every_kind_of_label_problem_has_its_check() -> None:
    assert [name for name in known() if name.startswith("LBL-")] == [kind.id for kind in KINDS]


def test_every_kind_of_problem_belongs_to_one_integrity_check() -> None:
    assert set(integrity.OWNERS) == set(ProblemKind)
    assert {info.id for info in integrity.OWNERS.values()} == {check.info.id for check in integrity.CHECKS}


def test_integrity_cannot_be_waived_and_guidelines_can() -> None:
    fixed = {name for name, info in known().items() if not info.waivable}
    assert fixed == {"OCI-001", "OCI-002", "TAR-001", "TAR-005", "CFG-007", "VUL-001"}


def test_policies_and_the_catalogue_mean_the_same_scanner_check() -> None:
    assert SCANNER_CHECK in known()


def test_checks_of_others_join_by_the_same_rules() -> None:
    extra = Check(INFO, passing)
    assert catalogue([extra])[-1] is extra


@pytest.mark.parametrize(
    "info",
    [
        replace(INFO, id="USR-001"),
        replace(INFO, slug="root-user"),
        replace(INFO, id="POL-009"),
        replace(INFO, id="xyz-1"),
        replace(INFO, slug="Not A Slug"),
        replace(INFO, rationale=""),
    ],
)
def test_checks_that_break_the_rules_are_refused(info: CheckInfo) -> None:
    with pytest.raises(BadInput):
        catalogue([Check(info, passing)])


def test_a_plug_in_that_is_no_check_is_refused() -> None:
    with pytest.raises(BadInput, match="expected a Check"):
        catalogue(["USR-001"])  # type: ignore[list-item]


def crashing(facts: ImageFacts, at: datetime.datetime) -> CheckResult:
    raise RuntimeError("password=hunter2")


def answering_for_another(facts: ImageFacts, at: datetime.datetime) -> CheckResult:
    return CheckResult("USR-001", Outcome.PASS)


def blaming_another(facts: ImageFacts, at: datetime.datetime) -> CheckResult:
    return CheckResult("XYZ-001", Outcome.FAIL, (Finding("USR-001", Severity.LOW, "not mine"),))


def saying_nothing(facts: ImageFacts, at: datetime.datetime) -> CheckResult:
    return None  # type: ignore[return-value]


@pytest.mark.parametrize("inspect", [crashing, answering_for_another, blaming_another, saying_nothing])
def test_a_check_that_misbehaves_is_in_error_and_does_not_speak(
    make_facts: Make, inspect: Callable[..., CheckResult]
) -> None:
    (result,) = run(make_facts(), at=AT, checks=[Check(INFO, inspect)])
    assert result.outcome is Outcome.ERROR
    assert "hunter2" not in result.reason


def test_every_check_gives_one_result_in_the_order_of_the_catalogue(make_facts: Make) -> None:
    assert [result.id for result in run(make_facts(), at=AT)] == list(known())


def test_what_is_left_out_is_not_applicable_and_says_so(make_facts: Make) -> None:
    results = {r.id: r for r in run(make_facts(), at=AT, skip={"vulnerabilities", "USR-001"})}
    left_out = {name for name, r in results.items() if r.outcome is Outcome.NOT_APPLICABLE}
    assert left_out == {"VUL-001", "USR-001"}
    results = {r.id: r for r in run(make_facts(), at=AT, selected={"USR-001"})}
    assert {name for name, r in results.items() if r.outcome is not Outcome.NOT_APPLICABLE} == {"USR-001"}


def test_without_a_scanner_vulnerabilities_are_in_error(make_facts: Make) -> None:
    (result,) = (r for r in run(make_facts(), at=AT) if r.id == "VUL-001")
    assert (result.outcome, result.reason) == (Outcome.ERROR, "no scanner is configured")


def test_an_image_without_a_readable_platform_passes_nothing_but_what_does_not_ask_for_one(make_facts: Make) -> None:
    facts = replace(make_facts(), platforms=())
    passed = {r.id for r in run(facts, at=AT) if r.outcome is Outcome.PASS}
    assert passed == {"OCI-001", "OCI-004", "TAR-001", "TAR-005", "CFG-007"}
