"""Policy files: what is understood, and how exactly a wrong one is refused."""

from __future__ import annotations

import datetime
import hashlib

import pytest

from gef_registry.checks.model import Severity
from gef_registry.errors import BadInput
from gef_registry.policy.load import load_policy
from gef_registry.policy.model import Rule, ScannerRequirement
from gef_registry.policy.verdict import Action
from gef_registry.resources import read_resource

WAIVER = """\
waivers:
  - id: W-1
    rule: USR-001
    match: {repository: "gef/raster-*"}
    owner: jane@example.org
    reason: the entry point drops privileges with gosu
    created: 2026-11-01
    expires: 2027-01-31
"""


@pytest.mark.parametrize("name", ["default", "strict", "development"])
def test_the_shipped_policies_load_and_are_called_as_their_files(name, known):
    raw = read_resource("policies", f"{name}.yaml")
    policy = load_policy(raw, known=known)
    assert policy.name == name
    assert policy.digest.hex == hashlib.sha256(raw).hexdigest()
    assert policy.raw == raw
    assert policy.description


def test_shipped_policies_ask_for_scanner_and_approvals_as_documented(known):
    read = {
        n: load_policy(read_resource("policies", f"{n}.yaml"), known=known)
        for n in ("default", "strict", "development")
    }
    assert {name: (p.scanner.value, p.approvals) for name, p in read.items()} == {
        "default": ("review", 0), "strict": ("undecided", 1), "development": ("note", 0),
    }  # fmt: skip
    for name in ("default", "strict"):
        assert read[name].rule_for("LBL-021") == Rule(at_least=Action.REVIEW)
    assert read["development"].severities == read["default"].severities


def test_everything_a_policy_can_say_is_read(load):
    policy = load(
        "unknown: review\napprovals: 2\ndatabase: {max_age_hours: 12}\nmax_waiver_days: 100\n"
        "limits: {uncompressed_bytes: 2GiB, entries: 10, ratio: 50}\n"
        "rules:\n  HIS-002: {action: off}\n  LBL-*: {at_least: review, unknown: deny}\n"
        "repositories:\n  - {repository: 'trusted/bio/*', approvals: 3, rules: {HIS-002: {action: deny}}}\n" + WAIVER
    )
    assert policy.unknown is Action.REVIEW
    assert (policy.approvals, policy.database_max_age_hours) == (2, 12)
    assert (policy.limits.uncompressed_bytes, policy.limits.entries, policy.limits.ratio) == (2 << 30, 10, 50)
    assert policy.rules["HIS-002"].action is Action.OFF
    assert policy.rules["LBL-*"].unknown is Action.DENY
    assert policy.repositories[0].approvals == 3
    assert policy.scanner is ScannerRequirement.NOTE
    assert policy.severities[Severity.MEDIUM] is Action.WARN
    (waiver,) = policy.waivers
    assert (waiver.match.repository, waiver.expires) == ("gef/raster-*", datetime.date(2027, 1, 31))


@pytest.mark.parametrize(
    ("rest", "place", "says"),
    [
        ("rules:\n  USR-01: {action: deny}\n", "line 7, column 3", "did you mean USR-001?"),
        ("rules:\n  slug-usr-001: {action: deny}\n", "line 7, column 3", "did you mean USR-001?"),
        ("rules:\n  XYZ-*: {action: deny}\n", "line 7, column 3", "no check is called"),
        ("rules:\n  USR-001: {action: denny}\n", "line 7, column 13", "'denny' is not one of: deny, review"),
        ("rules:\n  USR-001: {}\n", "line 7, column 3", "it says nothing"),
        ("rules:\n  USR-001: {action: warn, at_least: deny}\n", "line 7, column 3", "contradict"),
        ("rules:\n  OCI-001: {action: warn}\n", "line 7, column 3", "guards integrity"),
        ("ruels: {}\n", "line 6, column 1", "did you mean 'rules'?"),
        ("unknown: deny\nunknown: warn\n", "line 7, column 1", "occurs twice"),
        ("unknown: &a deny\n", "line 6, column 10", "anchors are not read"),
        ("unknown: *a\n", "line 6, column 10", "aliases are not read"),
        ("unknown: !!str deny\n", "line 6, column 10", "tags are not read"),
        ("approvals: 1.5\n", "line 6, column 12", "neither a whole number"),
        ("approvals: -1\n", "line 6, column 1", "-1 is less than the minimum"),
        ("---\nkind: Policy\n", "line 6, column 1", "second document"),
        ("rules: [\n", "line 7, column 1", "not YAML"),
        ("? [a]\n: b\n", "line 6, column 3", "a key must be a string"),
        (
            "repositories:\n  - {repository: 'a/*/x'}\n  - {repository: 'a/x/*'}\n",
            "line 8, column 6",
            "equally specific and fit the same names",
        ),
        (WAIVER.replace("USR-001", "OCI-001"), "line 8, column 5", "cannot be waived"),
        (WAIVER.replace("USR-001", "POL-001"), "line 8, column 5", "cannot be waived"),
        (WAIVER.replace("USR-001", "VUL-001"), "line 8, column 5", "cannot be waived"),
        (WAIVER.replace("USR-001", "USR-002"), "line 8, column 5", "did you mean USR-001?"),
        (WAIVER.replace("gef/raster-*", "**"), "line 9, column 13", "narrows nothing"),
        (WAIVER.replace('{repository: "gef/raster-*"}', "{}"), "line 9, column 5", "it says nothing"),
        (WAIVER.replace("USR-001", "SEC-001"), "line 9, column 5", "both path and fingerprint"),
        (WAIVER.replace("the entry point drops privileges with gosu", "because"), "line 11, column 5", "at least 20"),
        (WAIVER.replace("    owner: jane@example.org\n", ""), "line 7, column 5", "'owner' is missing"),
        (WAIVER.replace("2027-01-31", "2027-02-30"), "line 13, column 5", "not a day of the calendar"),
        (WAIVER.replace("2027-01-31", "2028-01-31"), "line 13, column 5", "at most 180"),
        (WAIVER.replace("2027-01-31", "2026-10-31"), "line 13, column 5", "is before"),
        (WAIVER + WAIVER.removeprefix("waivers:\n"), "line 14, column 5", "a second waiver is called W-1"),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused_with_its_place_and_what_to_write(load, rest, place, says):
    with pytest.raises(BadInput) as caught:
        load(rest)
    assert f"test.yaml, {place}: " in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"\n# only a comment\n", b"{}", b"null", b"---\n"])
def test_an_empty_policy_is_refused(raw, known):
    with pytest.raises(BadInput, match="empty"):
        load_policy(raw, known=known)


def test_a_policy_that_leaves_a_severity_open_is_refused(known):
    raw = b"apiVersion: gef-registry/v1\nkind: Policy\nmetadata: {name: a, owner: b}\nseverities: {critical: deny}\n"
    with pytest.raises(BadInput, match="line 4, column 1: severities: the key 'high' is missing"):
        load_policy(raw, known=known)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"a: " + b"x" * (300 << 10), "at most 262144 are read"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: \x00", "not allowed in YAML"),
        (b"[" * 500, "nested deeper"),
        (b"[" + b"a," * 30_000 + b"]", "more than 20000 values"),
        (b"a: &a [x]\nb: [*a,*a]", "anchors are not read"),
        (b"just text", "is not of type 'object'"),
    ],
)
@pytest.mark.slow
def test_hostile_yaml_is_refused_early(raw, says, known):
    with pytest.raises(BadInput, match=says):
        load_policy(raw, known=known)
