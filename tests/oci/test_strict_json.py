"""JSON is read in one way or not at all, and quickly however hostile."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput
from gef_registry.oci import strict_json

_MEGABYTES = 4 << 20


def refused(content: bytes, match: str, *, fold_case: bool = False) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        strict_json.loads(content, what="it", fold_case=fold_case)
    assert len(str(caught.value)) < 400


def test_a_key_that_occurs_twice_is_refused() -> None:
    refused(b'{"a": 1, "a": 1}', "occurs twice.*'a'")
    refused(b'[{"b": {"a": 1, "\\u0061": 2}}]', "occurs twice")


def test_keys_that_differ_in_case_collide_only_when_asked() -> None:
    content = '{"layers": 1, "Layerſ": 2}'.encode()
    assert len(strict_json.loads(content, what="it")) == 2
    refused(content, "occurs twice", fold_case=True)


@pytest.mark.parametrize("text", [b"NaN", b"[Infinity]", b'{"a": -Infinity}', b"1e999", b"-1e999"])
def test_numbers_that_json_does_not_have_are_refused(text: bytes) -> None:
    refused(text, "is not JSON|out of range")


def test_an_integer_of_thousands_of_digits_is_refused() -> None:
    refused(b"9" * 5000, "5000 digits")
    assert strict_json.loads(b"9" * 100, what="it") == int("9" * 100)


@pytest.mark.parametrize("text", [b'"\\ud800"', b'{"\\udfff": 1}', b'[["a\\udc00b"]]'])
def test_half_of_a_surrogate_pair_is_refused(text: bytes) -> None:
    refused(text, "surrogate")


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert strict_json.loads(b'"\\ud83d\\ude00"', what="it") == "\U0001f600"


@pytest.mark.parametrize(
    "content",
    [b"\xff", b'"\xc3\x28"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", b'{"a": 1} x', b"", b"{'a': 1}", b"[1,]", b'"\n"'],
)
def test_what_is_not_utf8_json_is_refused(content: bytes) -> None:
    refused(content, "not UTF-8|not JSON")


def test_a_document_over_its_size_is_refused() -> None:
    with pytest.raises(BadInput, match="at most 10"):
        strict_json.loads(b'"' + b"a" * 20 + b'"', what="it", max_bytes=10)


@pytest.mark.parametrize("content", [b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000, b"[" * 65 + b"]" * 65])
def test_deep_nesting_is_refused_without_recursion(content: bytes) -> None:
    refused(content, "nested deeper than 64")


def test_the_deepest_nesting_allowed_is_read() -> None:
    assert strict_json.loads(b"[" * 64 + b"]" * 64, what="it")
    assert len(strict_json.loads(b'["' + b"[" * 500 + b'", "\\"[[["' + b',{"a":[]}' * 200 + b"]", what="it")) == 202


@pytest.mark.parametrize(
    "content",
    [
        b"[" * _MEGABYTES,
        b"[[[[" * 30 + b'"' + b'\\"' * (_MEGABYTES // 2 - 100),
        (b"[" * 70 + b'"",' * (_MEGABYTES // 12))[:_MEGABYTES],
        b"]" * _MEGABYTES,
    ],
    ids=["brackets", "an unclosed string of quotes", "empty strings", "closing brackets"],
)
def test_megabytes_of_hostile_brackets_end(content: bytes) -> None:
    refused(content, "nested deeper|not JSON")


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(_json)
@settings(max_examples=80)
def test_any_document_is_read_as_the_standard_library_reads_it(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert strict_json.loads(text.encode(), what="it") == value
    assert strict_json.loads(strict_json.canonical(value), what="it") == value


@given(st.binary(max_size=60) | st.text('[]{}",:\\u0aeE1-. ntf', max_size=60).map(str.encode))
@settings(max_examples=120)
def test_any_bytes_are_json_or_bad_input(content: bytes) -> None:
    try:
        value = strict_json.loads(content, what="it")
    except BadInput:
        return
    assert json.loads(content) == value


def test_canonical_form_sorts_keys_and_refuses_floats() -> None:
    assert strict_json.canonical({"b": [True, None], "a": "é"}) == '{"a":"é","b":[true,null]}'.encode()
    with pytest.raises(BadInput):
        strict_json.canonical({"a": [math.pi]})


@pytest.mark.parametrize("content", [b"[]", b"1", b'"a"', b"null"])
def test_an_object_is_required_where_one_is_expected(content: bytes) -> None:
    with pytest.raises(BadInput, match="expected a JSON object"):
        strict_json.load_object(content, what="it")
