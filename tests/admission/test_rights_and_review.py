"""Who may push, pull and review; four eyes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gef_registry.admission.desk import check_trusted_name
from gef_registry.admission.review import Opinion, Outcome, Review, outcome, require_comment, require_reviewer
from gef_registry.admission.rights import Account, Role, ServiceName, may_review, reviewed_prefixes, rights
from gef_registry.errors import BadInput, Denied

ADA = Account("ada", Role.AUTHOR, frozenset({"seismo"}))
BEN = Account("ben", Role.AUTHOR, frozenset({"climate"}))
ROSA = Account("rosa", Role.REVIEWER)
RAUL = Account("raul", Role.REVIEWER, frozenset({"climate"}))
ROOT = Account("root", Role.ADMIN)
OPS = Account("ops", Role.OPERATOR)
AT = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("account", "repository", "expected"),
    [
        (None, "trusted/seismo/wf", {"pull"}),
        (None, "staging/seismo/wf", set()),
        (None, "elsewhere/seismo/wf", set()),
        (ADA, "staging/seismo/wf", {"pull", "push", "delete"}),
        (ADA, "trusted/seismo/wf", {"pull", "push"}),
        (ADA, "trusted/climate/wf", {"pull"}),
        (ADA, "staging/climate/wf", set()),
        (BEN, "trusted/seismo/wf", {"pull"}),
        (ROSA, "staging/seismo/wf", {"pull"}),
        (RAUL, "staging/seismo/wf", set()),
        (RAUL, "staging/climate/wf", {"pull"}),
        (OPS, "trusted/seismo/wf", {"pull"}),
        (OPS, "staging/seismo/wf", set()),
        (ROOT, "trusted/seismo/wf", {"pull", "push"}),
    ],
)
def test_rights_follow_role_community_and_namespace(
    account: Account | None, repository: str, expected: set[str]
) -> None:
    assert rights(account, repository) == expected


def test_nobody_may_delete_in_trusted_not_even_an_administrator() -> None:
    for account in (None, ADA, BEN, ROSA, RAUL, ROOT, OPS):
        assert "delete" not in rights(account, "trusted/seismo/wf")


@pytest.mark.parametrize("name", ["trusted", "trusted/a", "trusted//b", "staging/a/", "x/a/b", "TRUSTED/a/b", ""])
def test_what_is_no_name_of_the_registry_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(BadInput, match="trusted/<community>/<service>"):
        ServiceName.parse(name)


def test_a_deeper_name_belongs_to_its_community() -> None:
    name = ServiceName.parse("staging/seismo/tools/wf")
    assert (name.community, name.service, name.trusted) == ("seismo", "tools/wf", "trusted/seismo/tools/wf")


def test_one_may_not_review_ones_own_image() -> None:
    with pytest.raises(Denied, match="somebody else"):
        require_reviewer(ROOT, submitter="root", repository="trusted/seismo/wf")


def test_authors_and_reviewers_of_other_communities_may_not_review() -> None:
    for account in (ADA, BEN, RAUL, OPS):
        with pytest.raises(Denied):
            require_reviewer(account, submitter="somebody", repository="trusted/seismo/wf")
    require_reviewer(ROSA, submitter="ada", repository="trusted/seismo/wf")


def test_a_rejection_needs_its_reason() -> None:
    with pytest.raises(BadInput, match="reason"):
        require_comment(Opinion.REJECT, "  ")
    require_comment(Opinion.APPROVE, "")


def opinions() -> st.SearchStrategy[list[Review]]:
    one = st.builds(Review, st.sampled_from("abcdef"), st.sampled_from(list(Opinion)), st.just(""), st.just(AT))
    return st.lists(one, max_size=8, unique_by=lambda review: review.reviewer)


@given(opinions(), st.integers(0, 4))
def test_approval_needs_the_quorum_of_other_people_and_no_rejection(reviews: list[Review], quorum: int) -> None:
    result = outcome(reviews, submitter="a", quorum=quorum)
    others = [review for review in reviews if review.reviewer != "a"]
    if result is Outcome.APPROVED:
        assert len({r.reviewer for r in others if r.opinion is Opinion.APPROVE}) >= max(1, quorum)
        assert all(r.opinion is Opinion.APPROVE for r in others)
    if result is Outcome.REJECTED:
        assert any(r.opinion is Opinion.REJECT for r in others)


@given(opinions())
def test_the_submitters_own_opinion_never_counts(reviews: list[Review]) -> None:
    own = Review("a", Opinion.APPROVE, "", AT)
    without = [review for review in reviews if review.reviewer != "a"]
    assert outcome([*without, own], submitter="a", quorum=1) == outcome(without, submitter="a", quorum=1)


def test_reviewers_see_candidates_of_their_communities_only() -> None:
    assert reviewed_prefixes(ROSA) == ("",)
    assert reviewed_prefixes(RAUL) == ("staging/climate/", "trusted/climate/")
    assert reviewed_prefixes(ADA) == () == reviewed_prefixes(OPS)
    assert may_review(ROSA, "trusted/seismo/wf") and not may_review(RAUL, "trusted/seismo/wf")


@pytest.mark.parametrize("tag", ["latest", "Latest", "stable", "adm-" + "0" * 64, "sha256-" + "0" * 64, "sha256-x.sig"])
def test_moving_and_reserved_tags_are_refused_in_trusted(tag: str) -> None:
    with pytest.raises(Denied):
        check_trusted_name("trusted/seismo/wf", tag)


def test_a_version_is_a_fine_tag() -> None:
    check_trusted_name("trusted/seismo/wf", "1.0.0")
