"""From outcomes to a verdict: the table of decisions, waivers, and what holds for every policy."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.checks.model import CheckResult, Finding, Location, Outcome, Severity
from gef_registry.errors import BadInput
from gef_registry.oci.digest import Digest
from gef_registry.policy.decide import decide
from gef_registry.policy.load import load_policy
from gef_registry.policy.model import ScannerRequirement
from gef_registry.policy.skip import parse_skips
from gef_registry.policy.verdict import Action, Decision

HEAD = """\
apiVersion: gef-registry/v1
kind: Policy
metadata: {name: test, owner: somebody}
severities: {critical: deny, high: deny, medium: warn, low: warn, info: info}
"""
AT = datetime.datetime(2026, 12, 1, 12, tzinfo=datetime.UTC)
CHECKS = ("USR-001", "SEC-001", "SEC-003", "HIS-002", "LBL-021", "OCI-001")
SUBJECT = Digest.of(b"image")
ORDER = [Decision.ADMIT, Decision.REVIEW, Decision.UNDECIDED, Decision.DENY]


def finding(check, severity=Severity.HIGH, **where):
    return Finding(check, severity, f"{check} is wrong", Location(**where))


SCANNED = CheckResult("VUL-003", Outcome.PASS)


def results(*, finds=(), unknown=(), errors=(), without=(), scan=(SCANNED,)):
    """One result for each check: those that found something, know nothing or crashed, the others passed."""
    made = list(scan)
    for check in CHECKS:
        found = tuple(f for f in finds if f.check == check)
        if check in without:
            continue
        outcome = Outcome.FAIL if found else Outcome.UNKNOWN if check in unknown else Outcome.PASS
        if check in errors:
            made.append(CheckResult(check, Outcome.ERROR, found, "the parser crashed"))
        else:
            made.append(CheckResult(check, outcome, found, "no evidence" if check in unknown else ""))
    return made


@pytest.fixture
def judge(known):
    def run(policy, given_results=None, *, repository="gef/x", at=AT, skipped=frozenset(), digest=SUBJECT):
        given_results = results() if given_results is None else given_results
        return decide(policy, given_results, repository=repository, at=at, known=known, skipped=skipped, digest=digest)

    return run


def test_nothing_found_is_admitted_with_a_reason(load, judge):
    verdict = judge(load())
    assert verdict.decision is Decision.ADMIT
    assert verdict.reasons == ("no check speaks against it",)
    assert verdict.approvals == 0


@pytest.mark.parametrize(
    ("rest", "case", "decision"),
    [
        ("", {"finds": [finding("USR-001")]}, Decision.DENY),
        ("", {"finds": [finding("HIS-002", Severity.MEDIUM)]}, Decision.ADMIT),
        ("rules: {HIS-002: {action: review}}\n", {"finds": [finding("HIS-002", Severity.MEDIUM)]}, Decision.REVIEW),
        ("rules: {LBL-*: {at_least: review}}\n", {"finds": [finding("LBL-021", Severity.LOW)]}, Decision.REVIEW),
        ("rules: {LBL-*: {at_least: review}}\n", {"finds": [finding("LBL-021", Severity.HIGH)]}, Decision.DENY),
        ("rules: {LBL-*: {at_least: review}, LBL-021: {action: info}}\n", {"finds": [finding("LBL-021")]}, Decision.ADMIT),
        ("rules: {USR-001: {action: off}}\n", {"finds": [finding("USR-001")]}, Decision.ADMIT),
        ("rules: {USR-001: {action: off}}\n", {"errors": ["USR-001"]}, Decision.ADMIT),
        ("", {"errors": ["USR-001"]}, Decision.UNDECIDED),
        ("", {"errors": ["USR-001"], "finds": [finding("SEC-003")]}, Decision.DENY),
        ("rules: {HIS-002: {action: review}}\n", {"errors": ["USR-001"], "finds": [finding("HIS-002")]}, Decision.UNDECIDED),
        ("", {"without": ["SEC-003"]}, Decision.UNDECIDED),
        ("", {"without": CHECKS}, Decision.UNDECIDED),
        ("", {"unknown": ["USR-001"]}, Decision.ADMIT),
        ("unknown: review\n", {"unknown": ["USR-001"]}, Decision.REVIEW),
        ("unknown: deny\n", {"unknown": ["USR-001"]}, Decision.DENY),
        ("rules: {USR-001: {action: deny, unknown: review}}\n", {"unknown": ["USR-001"]}, Decision.REVIEW),
        ("", {"unknown": ["OCI-001"]}, Decision.UNDECIDED),
        ("severities_off", {"finds": [finding("OCI-001", Severity.INFO)]}, Decision.DENY),
        ("approvals: 2\n", {}, Decision.REVIEW),
    ],
)  # fmt: skip
def test_the_table_of_decisions(load, judge, rest, case, decision):
    policy = load("" if rest == "severities_off" else rest)
    if rest == "severities_off":
        policy = dataclasses.replace(policy, severities=dict.fromkeys(Severity, Action.OFF))
    verdict = judge(policy, results(**case))
    assert verdict.decision is decision
    assert verdict.reasons
    assert verdict.approvals == (max(1, policy.approvals) if decision is Decision.REVIEW else 0)


def test_an_unknown_outcome_is_listed_as_a_warning_with_its_reason(load, judge):
    verdict = judge(load(), results(unknown=["USR-001"]))
    (judged,) = verdict.findings
    assert (judged.action, judged.finding.message) == (Action.WARN, "not established: no evidence")
    assert verdict.reasons == ("no check speaks against it; 1 warning",)


def test_p3_a_failure_that_names_no_finding_is_not_admitted(load, judge):
    answers = [CheckResult("USR-001", Outcome.FAIL) if r.id == "USR-001" else r for r in results()]
    assert judge(load(), answers).decision is Decision.UNDECIDED


def test_a_result_of_an_unheard_of_check_denies(load, judge):
    extra = CheckResult("XXX-001", Outcome.FAIL, (finding("XXX-001", Severity.INFO),))
    assert judge(load(), [*results(), extra]).decision is Decision.DENY


@pytest.mark.parametrize(
    ("required", "decision", "action"),
    [("note", Decision.ADMIT, Action.INFO), ("review", Decision.REVIEW, Action.REVIEW), ("undecided", Decision.UNDECIDED, None)],
)  # fmt: skip
@pytest.mark.parametrize("answer", [(), (CheckResult("VUL-003", Outcome.ERROR, reason="database too old"),)])
def test_a_missing_or_failed_scanner_is_what_the_policy_says(load, judge, required, decision, action, answer):
    policy = dataclasses.replace(load(), scanner=ScannerRequirement(required))
    verdict = judge(policy, results(scan=answer))
    assert verdict.decision is decision
    assert [judged.action for judged in verdict.findings] == ([action] if action else [])
    assert "vulnerabilities" in " ".join(verdict.reasons) or required == "note"


def test_vulnerabilities_left_out_are_left_out_and_said_so(load, judge):
    policy = dataclasses.replace(load(), scanner=ScannerRequirement.UNDECIDED)
    verdict = judge(policy, results(scan=()), skipped=frozenset({"vulnerabilities"}))
    assert verdict.decision is Decision.ADMIT
    assert "left out on request: vulnerabilities" in verdict.reasons


def test_a_skipped_check_neither_speaks_nor_is_missed(load, judge):
    found = results(finds=[finding("USR-001")])
    verdict = judge(load(), found, skipped=frozenset({"USR-001"}))
    assert verdict.decision is Decision.ADMIT
    assert "USR-001" not in {result.id for result in verdict.results}


def test_integrity_checks_and_unknown_ids_cannot_be_skipped(known):
    assert parse_skips(["usr-001", "vulnerabilities"], known) == {"USR-001", "vulnerabilities"}
    for name, says in (
        ("OCI-001", "integrity"),
        ("VUL-001", "integrity"),
        ("USR-01", "USR-001"),
        ("vulnerability", "vulnerabilities"),
    ):
        with pytest.raises(BadInput, match=says):
            parse_skips([name], known)


def waiver(match, *, rule="USR-001", created="2026-11-01", expires="2027-01-31"):
    return (
        f"waivers:\n- {{id: W-1, rule: {rule}, match: {match}, owner: jane, "
        f"reason: the entry point drops privileges, created: {created}, expires: {expires}}}\n"
    )


FOUND = finding("USR-001", path="etc/passwd", platform="linux/amd64")


@pytest.mark.parametrize(
    ("match", "lifts"),
    [
        ("{repository: gef/*}", True),
        ("{repository: other/*}", False),
        ("{path: etc/*}", True),
        ("{path: usr/*}", False),
        ("{platform: linux/amd64}", True),
        ("{platform: linux/arm64}", False),
        (f"{{digest: '{SUBJECT}'}}", True),
        (f"{{digest: '{Digest.of(b'other')}'}}", False),
        (f"{{fingerprint: '{FOUND.fingerprint}'}}", True),
        (f"{{fingerprint: '{'0' * 64}'}}", False),
        ("{repository: gef/*, path: usr/*}", False),
    ],
)
def test_a_waiver_lifts_exactly_what_all_its_matchers_fit(load, judge, match, lifts):
    verdict = judge(load(waiver(match)), results(finds=[FOUND]))
    assert (verdict.decision is Decision.ADMIT) is lifts
    judged = next(j for j in verdict.findings if j.finding.check == "USR-001")
    assert judged.waiver == ("W-1" if lifts else None)
    assert judged.action is (Action.INFO if lifts else Action.DENY)
    assert ("excused by waiver: W-1" in verdict.reasons) is lifts


@pytest.mark.parametrize(
    ("at", "lifts", "also"),
    [
        ("2026-10-31T23:59:59+00:00", False, None),
        ("2026-11-01T00:00:00+00:00", True, None),
        ("2027-01-31T23:59:59+00:00", True, "POL-003"),
        ("2027-02-01T00:00:00+00:00", False, "POL-001"),
        ("2027-02-01T00:30:00+01:00", True, "POL-003"),
    ],
)
def test_a_waiver_holds_from_its_first_to_the_end_of_its_last_day(load, judge, at, lifts, also):
    policy = load(waiver("{path: etc/passwd}"))
    verdict = judge(policy, results(finds=[FOUND]), at=datetime.datetime.fromisoformat(at))
    assert (verdict.decision is Decision.ADMIT) is lifts
    assert [j.finding.check for j in verdict.findings if j.finding.check != "USR-001"] == ([also] if also else [])


def test_a_waiver_that_excuses_nothing_is_noted(load, judge):
    policy = load(waiver("{repository: gef/*}"))
    assert [j.finding.check for j in judge(policy).findings] == ["POL-002"]
    assert not judge(policy, repository="elsewhere/x").findings
    assert not judge(policy, repository=None).findings


def test_p3_no_waiver_lifts_an_unknown_outcome(load, judge):
    policy = load("unknown: deny\n" + waiver("{repository: gef/*}"))
    assert judge(policy, results(unknown=["USR-001"])).decision is Decision.DENY


def test_a_policy_may_make_an_expired_waiver_weigh_more(load, judge):
    policy = load("rules: {POL-001: {action: deny}}\n" + waiver("{repository: gef/*}"))
    assert judge(policy, at=datetime.datetime(2027, 6, 1, tzinfo=datetime.UTC)).decision is Decision.DENY


def test_reasons_are_bounded_and_hide_nothing(load, judge):
    found = [dataclasses.replace(finding("USR-001"), message=f"a\x1b[31m\u202e{n}") for n in range(50)]
    verdict = judge(load(), results(finds=found))
    assert len(verdict.reasons) == 21
    assert verdict.reasons[0].startswith("USR-001: a\\x1b[31m\\u{202e}")
    assert verdict.reasons[-1] == "… and 30 more, all in the report"


severities = st.sampled_from(list(Severity))
actions = st.sampled_from(list(Action))
findings = st.builds(
    finding, st.sampled_from(CHECKS), severities, path=st.sampled_from([None, "etc/passwd", "usr/x"]),
    platform=st.sampled_from([None, "linux/amd64"]),
)  # fmt: skip
cases = st.fixed_dictionaries(
    {
        "finds": st.lists(findings, max_size=4),
        "unknown": st.sets(st.sampled_from(CHECKS), max_size=2),
        "errors": st.sets(st.sampled_from(CHECKS), max_size=1),
    }
)


@pytest.fixture(scope="module")
def waived(known):
    """A policy with a waiver, for hypothesis to vary."""
    return load_policy((HEAD + waiver("{path: etc/*}")).encode(), known=known)


@st.composite
def policies(draw, base):
    return dataclasses.replace(
        base,
        severities={severity: draw(actions) for severity in Severity},
        unknown=draw(actions),
        scanner=draw(st.sampled_from(list(ScannerRequirement))),
        approvals=draw(st.integers(0, 2)),
    )


@settings(max_examples=40)
@given(data=st.data())
def test_a_further_denying_finding_never_makes_it_better(data, known, waived):
    policy = data.draw(policies(waived))
    case = data.draw(cases)
    before = decide(policy, results(**case), repository="gef/x", at=AT, known=known)
    worse = {**case, "finds": [*case["finds"], finding("OCI-001", Severity.CRITICAL)]}
    after = decide(policy, results(**worse), repository="gef/x", at=AT, known=known)
    assert ORDER.index(after.decision) >= ORDER.index(before.decision)
    assert after.decision is Decision.DENY


@settings(max_examples=40)
@given(data=st.data())
def test_the_same_question_has_one_answer_whatever_the_order(data, known, waived):
    policy = data.draw(policies(waived))
    answers = results(**data.draw(cases))
    shuffled = data.draw(st.permutations(answers))
    one = decide(policy, answers, repository="gef/x", at=AT, known=known)
    other = decide(policy, shuffled, repository="gef/x", at=AT, known=known)
    assert (one.decision, one.findings, one.approvals) == (other.decision, other.findings, other.approvals)
    assert sorted(one.reasons) == sorted(other.reasons)


@settings(max_examples=40)
@given(data=st.data())
def test_P3_what_could_not_be_established_is_never_a_yes(data, known, waived):
    policy = data.draw(policies(waived))
    case = data.draw(cases)
    scan = data.draw(st.sampled_from([(), (SCANNED,)]))
    verdict = decide(policy, results(**case, scan=scan), repository="gef/x", at=AT, known=known)
    assert verdict.reasons
    missing = case["errors"] or "OCI-001" in {r.id for r in verdict.results if r.outcome is Outcome.UNKNOWN}
    if missing:
        assert verdict.decision in (Decision.UNDECIDED, Decision.DENY)
    if not scan and policy.scanner is ScannerRequirement.UNDECIDED:
        assert verdict.decision in (Decision.UNDECIDED, Decision.DENY)
    for result in verdict.results:
        if result.outcome is Outcome.UNKNOWN:
            assert any(j.finding.check == result.id and j.finding.evidence == "unknown" for j in verdict.findings)
