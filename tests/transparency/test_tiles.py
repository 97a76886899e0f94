"""Tile paths and contents of c2sp.org/tlog-tiles."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.transparency.layout import parse_statements_path, statement_file, statements_path
from gef_registry.transparency.merkle import Tree, consistency_proof, inclusion_proof, leaf_hash
from gef_registry.transparency.tiles import (
    Tile,
    bundles_between,
    decode_bundle,
    encode_bundle,
    format_index,
    hash_reader,
    parse_index,
    parse_tile,
    tile_data,
    tile_of_node,
    tiles_between,
)

TREE = Tree(leaf_hash(b"%d" % i) for i in range(1000))


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(63, 5, 255), "tile/63/005.p/255"),
        (Tile(None, 273, 112), "tile/entries/273.p/112"),
        (Tile(None, 1000), "tile/entries/x001/000"),
    ],
)
def test_paths_are_spelled_as_the_specification_spells_them(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert parse_tile(path) == tile


@given(st.none() | st.integers(0, 63), st.integers(0, 10**18 - 1), st.integers(1, 256))
def test_a_path_comes_back_as_the_tile_it_was_made_from(level: int | None, index: int, width: int) -> None:
    assert parse_tile(Tile(level, index, width).path) == Tile(level, index, width)
    assert parse_index(format_index(index)) == index
    assert parse_statements_path(statements_path(index)) == index


@given(st.text(alphabet="tile/enrs0123x.p\n ", max_size=30).map(lambda s: "tile/" + s))
def test_whatever_parses_has_exactly_this_spelling(path: str) -> None:
    try:
        tile = parse_tile(path)
    except BadInput:
        return
    assert tile.path == path


@pytest.mark.parametrize(
    "path",
    [
        "tile/64/000", "tile/00/000", "tile/0/0", "tile/0/0000", "tile/0/x000/001", "tile/0/001/002", "tile/0/x001",
        "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p", "tile/0/000/", "/tile/0/000",
        "tile/0/000\n", "tile/8/0/000/../000", "tile/data/000", "tile/0/٠٠٠", "tile/0/" + "x001/" * 6 + "000", "",
    ],
)  # fmt: skip
def test_other_spellings_are_refused(path: str) -> None:
    with pytest.raises(BadInput):
        parse_tile(path)


@pytest.mark.parametrize("name", ["A" * 64, "0" * 63, "0" * 65, "../" + "0" * 61, "0" * 64 + "\n", ""])
def test_a_statement_id_is_64_lower_case_digits(name: str) -> None:
    with pytest.raises(BadInput):
        statement_file(name)


def test_the_example_of_the_specification_has_these_tiles() -> None:
    tiles = list(tiles_between(0, 70_000))
    assert sum(t.level == 0 and t.width == 256 for t in tiles) == 273
    assert [t for t in tiles if t.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles_between(0, 256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_between(7, 7)) == list(bundles_between(7, 7)) == []


@settings(max_examples=50)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=5))
def test_growing_in_steps_writes_every_tile_that_the_last_size_needs(steps: list[int]) -> None:
    written: set[Tile] = set()
    size = 0
    for step in steps:
        written |= {*tiles_between(size, size + step), *bundles_between(size, size + step)}
        size += step
    assert {*tiles_between(0, size), *bundles_between(0, size)} <= written
    assert all(tile.end <= size for tile in written)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 1000), st.data())
def test_proofs_from_tiles_are_those_from_the_tree(size: int, data: st.DataObject) -> None:
    read_hash = hash_reader(size, {t: tile_data(t, TREE) for t in tiles_between(0, size)})
    index = data.draw(st.integers(0, size - 1))
    assert inclusion_proof(index, size, read_hash) == inclusion_proof(index, size, TREE.read_hash)
    assert consistency_proof(index, size, read_hash) == consistency_proof(index, size, TREE.read_hash)


def test_a_tile_of_another_length_is_refused() -> None:
    read_hash = hash_reader(3, {Tile(0, 0, 3): bytes(95)})
    with pytest.raises(VerificationFailed, match="95 bytes, expected 96"):
        read_hash(0, 0)
    with pytest.raises(BadInput):
        tile_of_node(0, 3, 3)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_comes_back_as_the_leaves_it_was_made_from(leaves: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(leaves), len(leaves)) == tuple(leaves)


@given(st.binary(max_size=60), st.integers(0, 20))
def test_any_bytes_are_a_bundle_or_are_refused(data: bytes, width: int) -> None:
    try:
        leaves = decode_bundle(data, width)
    except VerificationFailed:
        return
    assert encode_bundle(leaves) == data
    assert len(leaves) == width


def test_the_longest_leaf_fits_and_the_next_does_not() -> None:
    assert decode_bundle(encode_bundle([b"x" * 65535]), 1) == (b"x" * 65535,)
    with pytest.raises(BadInput):
        encode_bundle([b"x" * 65536])
    for width in (1, 3):
        with pytest.raises(VerificationFailed):
            decode_bundle(encode_bundle([b"a", b"b"]), width)
