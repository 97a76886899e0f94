"""Versions: syntax, SemVer 11 precedence, the highest one, and tags."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gef_registry.errors import BadInput
from gef_registry.service.version import differs_from_tag, highest, is_version, parse_version, suggest_version

# The example of SemVer 2.0.0 section 11, with short forms in their places.
ASCENDING = ["0", "0.1", "0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
             "1.0.0-beta.11", "1.0.0-rc.1", "1.0", "1.0.1", "1.2", "1.10.0", "2"]


def test_versions_are_ordered_by_semver_precedence() -> None:
    precedences = [parse_version(text).precedence for text in ASCENDING]
    assert all(lower < higher for lower, higher in pairwise(precedences))


def test_short_forms_are_padded_and_build_metadata_does_not_count() -> None:
    same = {parse_version(text).precedence for text in ("1", "1.0", "1.0.0", "1.0.0+a", "1.0.0+b.7")}
    assert len(same) == 1


@pytest.mark.parametrize("text", ["", "v1", "1.", ".1", "1.0.0.0", "01", "1.02", "1.0.0-", "1.0.0-01", "1.0-rc", "1.0.0+",
                                  "-1", "1 ", "１", "1\n", "1.0.0-a..b", "1.0.0+a+b", "9" * 65])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_version(text)


def test_the_highest_version_is_found_among_junk() -> None:
    assert highest(["1.9.0", "latest", "1.10.0-rc.1", "1.9.9", ""]) == "1.10.0-rc.1"
    assert highest(["latest"]) is None
    assert highest(["1.0", "1.0.0"]) == highest(["1.0.0", "1.0"])


@pytest.mark.parametrize("version, tag, differs", [
    ("1.0.0", "1.0.0", False), ("1.0.0", "v1.0.0", False), ("1.0", "1.0.0", False), ("1.0.0+a", "1.0.0_a", False),
    ("1.0.0", "latest", True), ("1.0.0", "1.0.1", True), ("1.0.0", "1.0.0-rc.1", True), ("1.0.0+a", "1.0.0", True),
    ("odd", "odd", False), ("odd", "1.0", True)])
def test_a_tag_differs_when_it_names_another_version(version: str, tag: str, differs: bool) -> None:
    assert differs_from_tag(version, tag) is differs


@given(st.text(max_size=80))
def test_any_text_is_a_version_or_not_and_a_suggestion_is_one(text: str) -> None:
    assert is_version(text) in (True, False)
    suggestion = suggest_version(text)
    assert suggestion is None or is_version(suggestion)
