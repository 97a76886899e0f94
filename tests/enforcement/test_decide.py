"""What a host makes of a log: folding, and decisions with their own kind and words each."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.enforcement.decide import Decision, Reason, decide
from gef_registry.enforcement.names import Target, resolve
from gef_registry.enforcement.view import ProblemKind, View, fold
from gef_registry.errors import BadInput
from gef_registry.oci.digest import Digest
from gef_registry.signing.keys import Purpose
from gef_registry.signing.leaf import dsse_leaf
from gef_registry.signing.statement import Admission
from gef_registry.transparency.commit import Entry
from tests.fakes.signer import NOW, Signer, admission, digest, log_entries

SIGNER = Signer()


def view_of(*entries: Entry, view: View | None = None) -> View:
    start = view or View(cosigned_at=NOW - 60)
    return fold(start, log_entries(*entries, start=start.size), SIGNER.keyset)


def ask(view: View | None, what: Digest | str, **changes: int) -> Decision:
    now, max_age_s = changes.get("now", NOW), changes.get("max_age_s", 3600)
    if isinstance(what, Digest):
        return decide(view, digest=what, now=now, max_age_s=max_age_s)
    return decide(view, name=what, now=now, max_age_s=max_age_s)


def family(
    tag: str = "1.0.0", children: tuple[str, ...] = ("amd64", "arm64"), root: str = "index", **changes: int | None
) -> list[Admission]:
    """The admissions of an index and its children."""
    common = {"repository": "trusted/demo/multi", "tag": tag, "index_digest": digest(root), **changes}
    parts = [
        admission(word, config_digests=(digest(word + " config"),), platform=f"linux/{word}", **common)
        for word in children
    ]
    configs = tuple(digest(word + " config") for word in children)
    return [
        admission(root, child_digests=tuple(map(digest, children)), config_digests=configs, platform=None, **common),
        *parts,
    ]


def test_an_admitted_digest_its_name_and_its_image_id_are_allowed() -> None:
    view = view_of(SIGNER.entry(admission()), SIGNER.sig_entry(admission()))
    for what in (digest("image"), digest("image config"), "trusted/demo/image:1.0.0"):
        decision = ask(view, what)
        assert decision.allowed and decision.reason is Reason.ADMITTED, decision.message
        assert decision.admitted is not None and decision.admitted.index == 0
    assert not view.problems


def test_without_a_view_everything_is_refused() -> None:
    assert ask(None, digest("image")).reason is Reason.NO_VIEW


def test_what_was_never_admitted_is_refused() -> None:
    view = view_of(SIGNER.entry(admission()))
    assert ask(view, digest("other")).reason is Reason.NEVER_ADMITTED
    assert ask(view, "trusted/demo/image:2.0.0").reason is Reason.NAME_UNKNOWN


def test_a_revoked_digest_is_refused_with_its_reason_under_every_name() -> None:
    view = view_of(
        SIGNER.entry(admission()),
        SIGNER.entry(admission(tag="stable")),
        SIGNER.revocation(digest("image"), "CVE-2026-1"),
    )
    for what in (digest("image"), digest("image config"), "trusted/demo/image:1.0.0", "trusted/demo/image:stable"):
        decision = ask(view, what)
        assert decision.reason is Reason.REVOKED
        assert "CVE-2026-1" in decision.message and "log entry 2" in decision.message


def test_a_digest_revoked_before_it_was_ever_admitted_is_revoked() -> None:
    view = view_of(SIGNER.revocation(digest("image")))
    assert ask(view, digest("image")).reason is Reason.REVOKED
    assert ask(view_of(SIGNER.entry(admission()), view=view), digest("image")).reason is Reason.REVOKED


def test_only_an_admission_that_names_the_newest_revocation_counts_again() -> None:
    view = view_of(SIGNER.entry(admission()), SIGNER.revocation(digest("image")))
    for wrong in (None, 0, 2):
        again = view_of(SIGNER.entry(admission(tag="again", supersedes_revocation=wrong)), view=view)
        assert ask(again, digest("image")).reason is Reason.REVOKED
    back = view_of(SIGNER.entry(admission(tag="again", supersedes_revocation=1)), view=view)
    assert ask(back, digest("image")).allowed
    assert ask(back, "trusted/demo/image:again").allowed
    assert ask(back, "trusted/demo/image:1.0.0").reason is Reason.REVOKED, "a revocation ends the old name"
    ended = view_of(SIGNER.revocation(digest("image")), view=back)
    assert ask(ended, digest("image")).reason is Reason.REVOKED
    replayed = view_of(SIGNER.entry(admission(tag="again", supersedes_revocation=1)), view=ended)
    assert ask(replayed, digest("image")).reason is Reason.REVOKED


def test_a_revoked_index_takes_its_children_along() -> None:
    view = view_of(*map(SIGNER.entry, family()), SIGNER.revocation(digest("index")))
    for word in ("index", "amd64", "arm64", "amd64 config"):
        assert ask(view, digest(word)).reason is Reason.REVOKED, word


def test_a_child_lives_on_under_another_index_that_is_not_revoked() -> None:
    first, second = family(), family("2.0.0", ("amd64",), "index2")
    view = view_of(*map(SIGNER.entry, [*first, *second]), SIGNER.revocation(digest("index")))
    assert ask(view, digest("amd64")).allowed
    assert ask(view, digest("amd64 config")).allowed
    assert ask(view, digest("arm64")).reason is Reason.REVOKED
    assert ask(view, "trusted/demo/multi:1.0.0").reason is Reason.REVOKED
    assert ask(view, "trusted/demo/multi:2.0.0").allowed


def test_a_revoked_child_stops_its_index() -> None:
    view = view_of(*map(SIGNER.entry, family()), SIGNER.revocation(digest("arm64")))
    assert ask(view, digest("index")).reason is Reason.REVOKED
    assert str(digest("arm64")) in ask(view, digest("index")).message
    assert ask(view, digest("amd64")).allowed


def test_case_17_a_child_without_a_statement_of_its_own_is_not_admitted() -> None:
    index, amd64, _ = family()
    view = view_of(SIGNER.entry(index), SIGNER.entry(amd64))
    assert ask(view, digest("amd64")).allowed
    assert ask(view, digest("arm64")).reason is Reason.NEVER_ADMITTED
    assert ask(view, digest("arm64 config")).reason is Reason.NEVER_ADMITTED


def test_an_image_id_of_a_revoked_manifest_is_refused_even_if_another_manifest_has_it() -> None:
    shared = (digest("shared config"),)
    one, two = admission("one", config_digests=shared), admission("two", config_digests=shared)
    view = view_of(SIGNER.entry(one), SIGNER.entry(two), SIGNER.revocation(digest("one")))
    assert ask(view, digest("shared config")).reason is Reason.REVOKED
    assert ask(view, digest("two")).allowed


def test_a_name_never_changes_its_digest() -> None:
    view = view_of(
        SIGNER.entry(admission()),
        SIGNER.revocation(digest("image")),
        SIGNER.entry(admission(digest=digest("other"), supersedes_revocation=1)),
    )
    assert [problem.kind for problem in view.problems] == [ProblemKind.NAME_TAKEN]
    assert ask(view, digest("other")).reason is Reason.NEVER_ADMITTED
    assert ask(view, "trusted/demo/image:1.0.0").digest == digest("image")


def test_case_27_a_view_beyond_its_age_and_a_clock_set_back_are_refused() -> None:
    view = view_of(SIGNER.entry(admission()))
    assert ask(view, digest("image"), now=NOW - 60 + 3600).allowed
    assert ask(view, digest("image"), now=NOW - 60 + 3601).reason is Reason.VIEW_TOO_OLD
    assert ask(view, digest("image"), now=NOW - 60 - 300).allowed
    late = ask(view, digest("image"), now=NOW - 60 - 301)
    assert late.reason is Reason.CLOCK_SET_BACK and "set back" in late.message


def test_case_8_expired_and_future_admissions_are_refused_by_the_hosts_clock() -> None:
    view = view_of(SIGNER.entry(admission(expires_at=NOW)), SIGNER.entry(admission("later", verified_at=NOW + 1000)))
    assert ask(view, digest("image"), now=NOW - 1).allowed
    assert ask(view, digest("image")).reason is Reason.EXPIRED
    assert ask(view, digest("later")).reason is Reason.NOT_YET
    renewed = view_of(SIGNER.entry(admission(tag="renewed")), view=view)
    assert ask(renewed, digest("image")).allowed


def test_case_28_a_withheld_or_altered_statement_is_not_admitted_and_said_so() -> None:
    good, other = SIGNER.entry(admission()), SIGNER.entry(admission("other"))
    withheld = view_of(replace_statement(good, b""), other)
    assert ask(withheld, digest("image")).reason is Reason.WITHHELD
    assert "withholds" in ask(withheld, digest("image")).message
    assert ask(withheld, "trusted/demo/image:1.0.0").reason is Reason.WITHHELD
    assert ask(withheld, digest("other")).allowed
    altered = view_of(replace_statement(good, other.statement))
    assert ask(altered, digest("image")).reason is Reason.ALTERED
    assert "altered" in ask(altered, digest("image")).message


def replace_statement(entry: Entry, statement: bytes) -> Entry:
    """As a lying log serves it."""
    bent = object.__new__(Entry)
    for name, value in (("leaf", entry.leaf), ("statement", statement), ("statement_id", entry.statement_id)):
        object.__setattr__(bent, name, value)
    return bent


@pytest.mark.parametrize("purpose", [p for p in Purpose if p is not Purpose.ADMISSION])
def test_case_6_leaves_and_statements_of_other_keys_do_not_count(purpose: Purpose) -> None:
    envelope = SIGNER.sign(admission(), purpose)
    as_itself = Entry(dsse_leaf(envelope, SIGNER.keys[purpose].public), envelope.raw, envelope.statement_id)
    as_admission = Entry(
        dsse_leaf(envelope, SIGNER.keys[Purpose.ADMISSION].public), envelope.raw, envelope.statement_id
    )
    view = view_of(as_itself, as_admission)
    assert [p.kind for p in view.problems] == [ProblemKind.REFUSED] * 2
    assert ask(view, digest("image")).reason is Reason.NEVER_ADMITTED


def test_a_revocation_by_another_key_and_foreign_leaves_are_problems_and_change_nothing() -> None:
    foreign = Entry(b'{"kind":"gef-future","apiVersion":"9"}', b"x", "0" * 64)
    garbage = Entry(b"\x00\x01", b"x", "1" * 64)
    view = view_of(
        SIGNER.entry(admission()), SIGNER.revocation(digest("image"), purpose=Purpose.ADMISSION), foreign, garbage
    )
    assert [p.kind for p in view.problems] == [ProblemKind.REFUSED, ProblemKind.FOREIGN, ProblemKind.REFUSED]
    assert ask(view, digest("image")).allowed


def test_a_name_and_a_digest_must_agree() -> None:
    view = view_of(*map(SIGNER.entry, family()), SIGNER.entry(admission()))
    for word in ("index", "amd64", "arm64 config"):
        assert decide(view, digest=digest(word), name="trusted/demo/multi:1.0.0", now=NOW).allowed, word
    wrong = decide(view, digest=digest("image"), name="trusted/demo/multi:1.0.0", now=NOW)
    assert wrong.reason is Reason.NAME_MISMATCH


_KINDS = st.sampled_from(["admit", "revoke", "readmit", "stale readmit", "hide"])


@given(steps=st.lists(st.tuples(_KINDS, st.sampled_from("ab"), st.integers(0, 2)), max_size=14), cut=st.integers(0, 14))
@settings(max_examples=60, deadline=None)
def test_p5_the_fold_never_allows_a_revoked_digest_and_pieces_give_the_whole(
    steps: list[tuple[str, str, int]], cut: int
) -> None:
    entries: list[Entry] = []
    last_revocation: dict[str, int] = {}
    admitted_since: dict[str, bool] = {}
    for n, (kind, word, tag) in enumerate(steps):
        newest = last_revocation.get(word)
        if kind == "revoke":
            entries.append(SIGNER.revocation(digest(word), f"reason {n}"))
            last_revocation[word], admitted_since[word] = n, False
            continue
        supersedes = {"readmit": newest, "stale readmit": (newest or 0) + 1}.get(kind)
        entry = SIGNER.entry(admission(word, tag=f"{tag}.{n}", supersedes_revocation=supersedes))
        entries.append(replace_statement(entry, b"") if kind == "hide" else entry)
        if kind != "hide" and (newest is None or supersedes == newest):
            admitted_since[word] = True
    whole = view_of(*entries)
    parts = fold(view_of(*entries[:cut]), log_entries(*entries)[cut:], SIGNER.keyset)
    assert parts == whole
    for word in "ab":
        assert ask(whole, digest(word)).allowed is admitted_since.get(word, False)
        if word in last_revocation and not admitted_since[word]:
            assert ask(whole, digest(word)).reason is Reason.REVOKED


# ---------------------------------------------------------------------- what people call images


def order(tag: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", tag))


NAMED = view_of(
    SIGNER.entry(admission(tag="1.9.0")),
    SIGNER.entry(admission(digest=digest("new"), tag="1.10.0")),
    SIGNER.entry(admission(digest=digest("newest"), tag="2.0.0")),
    SIGNER.revocation(digest("newest")),
    SIGNER.entry(admission("twin", repository="trusted/one/twin")),
    SIGNER.entry(admission("twin2", repository="trusted/two/twin")),
    *map(SIGNER.entry, family()),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (str(digest("x")), Target(digest("x"))),
        ("trusted/demo/image:1.9.0", Target(None, "trusted/demo/image:1.9.0")),
        ("registry.example.org/trusted/demo/image:1.9.0", Target(None, "trusted/demo/image:1.9.0")),
        ("docker://mirror:5000/trusted/demo/image:1.9.0", Target(None, "trusted/demo/image:1.9.0")),
        ("localhost/demo/image:1.9.0", Target(None, "trusted/demo/image:1.9.0")),
        ("demo/image", Target(None, "trusted/demo/image:1.10.0")),
        ("image", Target(None, "trusted/demo/image:1.10.0")),
        ("one/twin", Target(None, "trusted/one/twin:1.0.0")),
        (f"image@{digest('newest')}", Target(digest("newest"), "trusted/demo/image:2.0.0")),
        (f"image:1.9.0@{digest('new')}", Target(digest("new"), "trusted/demo/image:1.9.0")),
        (f"h.example/multi@{digest('arm64')}", Target(digest("arm64"), "trusted/demo/multi:1.0.0")),
        ("nowhere/image:3", Target(None, "nowhere/image:3")),
    ],
)
def test_a_name_is_found_by_its_repository_wherever_it_is_pulled_from(text: str, expected: Target) -> None:
    assert resolve(NAMED, text, order) == expected


def test_a_name_of_several_repositories_is_asked_back() -> None:
    with pytest.raises(BadInput, match="trusted/one/twin, trusted/two/twin"):
        resolve(NAMED, "twin", order)


@pytest.mark.parametrize(
    "text", ["", "Image", "a b", "image:", "image:-x", "image@sha256:12", "SHA256:" + "0" * 64, "x" * 600]
)
def test_what_is_no_name_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        resolve(NAMED, text, order)


def test_a_digest_under_a_repository_that_never_had_it_is_refused() -> None:
    target = resolve(NAMED, f"demo/image@{digest('twin')}", order)
    assert not decide(NAMED, digest=target.digest, name=target.name, now=NOW).allowed


def test_an_old_view_is_another_value() -> None:
    before = view_of(SIGNER.entry(admission()))
    after = view_of(SIGNER.revocation(digest("image")), view=before)
    assert ask(before, digest("image")).allowed
    assert not ask(after, digest("image")).allowed
    assert replace(after, cosigned_at=NOW).size == 2
