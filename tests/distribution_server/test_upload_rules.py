"""Offsets, ranges and pages, as pure rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.distribution.codes import Code, Refusal
from gef_registry.distribution.pages import page
from gef_registry.distribution.uploads import ByteRange, byte_range, chunk_length, upload_range

SIZES = st.integers(0, 1 << 40)


@given(offset=SIZES, length=st.integers(1, 1 << 30))
def test_a_chunk_that_starts_where_the_last_ended_is_taken_whole(offset: int, length: int) -> None:
    assert chunk_length(f"{offset}-{offset + length - 1}", length, offset) == length
    assert chunk_length(f"{offset}-{offset + length - 1}", None, offset) == length


@given(offset=SIZES, start=SIZES, length=st.integers(1, 1 << 30))
def test_a_chunk_that_starts_elsewhere_is_out_of_order(offset: int, start: int, length: int) -> None:
    if start == offset:
        start += 1
    with pytest.raises(Refusal) as refused:
        chunk_length(f"{start}-{start + length - 1}", length, offset)
    assert (refused.value.status, refused.value.headers["Range"]) == (416, upload_range(offset))


@given(chunks=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=20))
@settings(max_examples=50)
def test_whatever_order_chunks_come_in_only_the_gapless_sequence_is_stored(chunks: list[tuple[int, int]]) -> None:
    content, received = bytes(range(100)), b""
    for start, length in chunks:
        try:
            taken = chunk_length(f"{start}-{start + length - 1}", length, len(received))
        except Refusal:
            continue
        assert taken is not None
        received += content[start : start + taken]
    assert received == content[: len(received)]


@given(text=st.text(max_size=40), offset=SIZES)
def test_any_content_range_is_a_length_or_a_refusal(text: str, offset: int) -> None:
    try:
        length = chunk_length(text, None, offset)
    except Refusal as refusal:
        assert refusal.status in (400, 416)
    else:
        assert length is not None and length > 0


def test_headers_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(Refusal) as refused:
        chunk_length("0-9", 11, 0)
    assert (refused.value.code, refused.value.status) == (Code.SIZE_INVALID, 400)


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(Refusal):
        chunk_length("10-8", None, 10)


def test_an_empty_upload_is_closed_with_a_range_of_nothing() -> None:
    assert chunk_length("0-0", 0, 0) == 0


def test_a_body_without_a_range_has_the_length_it_says_or_any() -> None:
    assert chunk_length(None, 7, 3) == 7
    assert chunk_length(None, None, 3) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=500-1499", ByteRange(500, 500)),
        ("bytes=500-", ByteRange(500, 500)),
        ("bytes=-300", ByteRange(700, 300)),
        ("bytes=-3000", ByteRange(0, 1000)),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
    ],
)
def test_a_range_of_a_thousand_bytes(header: str | None, expected: ByteRange | None) -> None:
    assert byte_range(header, 1000) == expected


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5-4", "bytes=-0", "bytes=-", "bytes=a-b", "bytes=1000-2000"])
def test_a_range_that_cannot_be_satisfied_is_416_and_tells_the_size(header: str) -> None:
    with pytest.raises(Refusal) as refused:
        byte_range(header, 1000)
    assert (refused.value.status, refused.value.headers["Content-Range"]) == (416, "bytes */1000")


@given(header=st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}", fullmatch=True), size=st.integers(0, 9999))
def test_a_range_never_leaves_the_blob(header: str, size: int) -> None:
    try:
        wanted = byte_range(header, size)
    except Refusal:
        return
    assert wanted is not None and wanted.length > 0 and 0 <= wanted.start < wanted.start + wanted.length <= size


@given(names=st.sets(st.text("abcXYZ019._-", min_size=1, max_size=6), max_size=30), count=st.integers(1, 7))
@settings(max_examples=50)
def test_following_the_links_lists_everything_once(names: set[str], count: int) -> None:
    ordered, seen, query = sorted(names), list[str](), {"n": str(count)}
    while True:
        shown = page(ordered, query, path="/v2/x/tags/list", max_entries=5)
        assert len(shown.names) <= min(count, 5)
        seen += shown.names
        if shown.link is None:
            break
        query = {**query, "last": shown.names[-1]}
    assert seen == ordered


@pytest.mark.parametrize("n", ["-1", "x", "", "1" * 30, "²"])
def test_a_page_size_that_is_no_number_is_refused(n: str) -> None:
    with pytest.raises(Refusal):
        page(["a"], {"n": n}, path="/", max_entries=5)
