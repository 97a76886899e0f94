"""The `WWW-Authenticate` grammar."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.distribution.client.challenge import Challenge, parse_challenges
from gef_registry.errors import BadInput

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"'


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            HUB,
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ('Basic realm="a, b=c"', [("basic", {"realm": "a, b=c"})]),
        ("BASIC Realm=plain", [("basic", {"realm": "plain"})]),
        (
            'Bearer realm="x" , service = "y",Basic realm="z"',
            [("bearer", {"realm": "x", "service": "y"}), ("basic", {"realm": "z"})],
        ),
        ('Negotiate, Basic realm="z"', [("negotiate", {}), ("basic", {"realm": "z"})]),
        ('Basic realm="a \\"quoted\\" \\\\ word"', [("basic", {"realm": 'a "quoted" \\ word'})]),
        ("", []),
        (" , ,", []),
    ],
)
def test_challenges_are_read_as_written(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(c.scheme, dict(c.parameters)) for c in parse_challenges([header])] == expected


def test_a_token68_is_kept_apart_from_parameters() -> None:
    assert parse_challenges(["Negotiate oYG2MIGz==, Basic realm=a"])[0].token68 == "oYG2MIGz=="


@pytest.mark.parametrize(
    "header",
    [
        'Bearer realm="open',
        'Bearer realm="a" service="b"',
        "=x",
        'Bearer realm="a",realm="b"',
        "a" * 20_000,
        'Bearer realm=a b c"',
    ],
)
def test_what_the_grammar_does_not_allow_is_refused(header: str) -> None:
    with pytest.raises(BadInput):
        parse_challenges([header])


_name = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
_value = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


@given(
    st.lists(
        st.tuples(_name, st.dictionaries(_name.map(str.lower), _value, min_size=1, max_size=4)), min_size=1, max_size=3
    )
)
@settings(max_examples=40)
def test_what_is_written_by_the_grammar_is_read_back(challenges: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} " + ", ".join(f"{k}={quoted(v)}" for k, v in found.items()) for scheme, found in challenges
    )
    assert parse_challenges([header]) == tuple(Challenge(scheme.lower(), found) for scheme, found in challenges)
    assert [dict(c.parameters) for c in parse_challenges([header])] == [found for _, found in challenges]


@given(st.text('Bearl ="\\,\t=x/', max_size=60) | st.text(max_size=40))
@settings(max_examples=100)
def test_any_text_is_challenges_or_bad_input(header: str) -> None:
    try:
        found = parse_challenges([header])
    except BadInput:
        return
    assert all(c.scheme for c in found)
