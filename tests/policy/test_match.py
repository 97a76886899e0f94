"""Globs over names: what fits, which is most specific, which are a tie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gef_registry.policy.match import effective, fits, intersect, rules_for, ties
from gef_registry.policy.verdict import Action


@pytest.mark.parametrize(
    ("glob", "text", "expected"),
    [
        ("gef/*", "gef/raster", True),
        ("gef/*", "gef/a/b", False),
        ("gef/**", "gef/a/b", True),
        ("gef/raster-?", "gef/raster-1", True),
        ("gef/raster-?", "gef/raster-", False),
        ("**/id_rsa", "root/.ssh/id_rsa", True),
        ("a.c", "abc", False),
        ("a", "a*", False),
        ("a/b", "a/*", False),
        ("*", "", True),
    ],
)
def test_a_glob_fits_whole_names(glob, text, expected):
    assert fits(glob, text) is expected


def test_many_stars_take_no_exponential_time():
    assert not fits("**a" * 60 + "b", "a" * 4000)


globs = st.text(alphabet="ab/*?", max_size=8)


@given(globs, globs, st.text(alphabet="ab/", max_size=6))
def test_globs_that_fit_one_text_intersect(first, second, text):
    if fits(first, text) and fits(second, text):
        assert intersect(first, second)


@given(globs, globs)
def test_intersection_is_symmetric(first, second):
    assert intersect(first, second) == intersect(second, first)


def test_only_equally_specific_overlapping_globs_are_ties():
    assert ties(["trusted/bio/*", "trusted/geo/*"]) is None
    assert ties(["trusted/*", "trusted/bio"]) is None
    assert ties(["a/*/x", "a/x/*"]) == ("a/*/x", "a/x/*")


def test_the_most_specific_glob_counts_and_alone(load):
    policy = load(
        "approvals: 1\nrules: {HIS-002: {action: info}}\nrepositories:\n"
        "  - {repository: 'trusted/**', approvals: 2, rules: {USR-001: {action: review}}}\n"
        "  - {repository: 'trusted/bio/*', rules: {HIS-002: {action: deny}}}\n"
    )
    chosen = effective(policy, "trusted/bio/blast")
    assert chosen.rules["HIS-002"].action is Action.DENY
    assert "USR-001" not in chosen.rules
    assert chosen.approvals == 1
    assert effective(policy, "trusted/geo/x").approvals == 2
    assert effective(policy, None) is policy
    assert rules_for(policy, "other/x") is None
