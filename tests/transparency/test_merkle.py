"""RFC 6962 hashing: published vectors, and the recursive definitions of the RFC as the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput, VerificationFailed
from gef_registry.transparency.merkle import (
    EMPTY_ROOT,
    Frontier,
    Tree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "data/transparency/rfc6962.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(root) for root in VECTORS["roots"]]
MANY = [leaf_hash(b"%d" % i) for i in range(700)]
TREE = Tree(MANY)


def split(count: int) -> int:
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def mth(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, over leaf hashes."""
    if len(hashes) < 2:
        return hashes[0] if hashes else EMPTY_ROOT
    k = split(len(hashes))
    return node_hash(mth(hashes[:k]), mth(hashes[k:]))


def path(m: int, hashes: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(hashes) == 1:
        return []
    k = split(len(hashes))
    return [*path(m, hashes[:k]), mth(hashes[k:])] if m < k else [*path(m - k, hashes[k:]), mth(hashes[:k])]


def subproof(m: int, hashes: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of section 2.1.2."""
    if m == len(hashes):
        return [] if whole else [mth(hashes)]
    k = split(len(hashes))
    if m <= k:
        return [*subproof(m, hashes[:k], whole), mth(hashes[k:])]
    return [*subproof(m - k, hashes[k:], False), mth(hashes[:k])]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference_tree(size: int) -> None:
    assert root_of(LEAVES[:size]) == ROOTS[size]
    assert Tree(LEAVES).root(size) == ROOTS[size]


@pytest.mark.parametrize("case", VECTORS["inclusion"])
def test_inclusion_proofs_are_those_of_the_reference_tree(case: dict[str, Any]) -> None:
    proof = [bytes.fromhex(h) for h in case["proof"]]
    assert inclusion_proof(case["index"], case["size"], Tree(LEAVES).read_hash) == proof
    verify_inclusion(case["index"], case["size"], LEAVES[case["index"]], proof, ROOTS[case["size"]])


@pytest.mark.parametrize("case", VECTORS["consistency"])
def test_consistency_proofs_are_those_of_the_reference_tree(case: dict[str, Any]) -> None:
    proof = [bytes.fromhex(h) for h in case["proof"]]
    assert consistency_proof(case["old"], case["new"], Tree(LEAVES).read_hash) == proof
    verify_consistency(case["old"], case["new"], ROOTS[case["old"]], ROOTS[case["new"]], proof)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.data())
def test_an_inclusion_proof_is_the_path_of_the_definition_and_verifies_for_this_leaf_alone(size: int, data: Any) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, TREE.read_hash)
    root = mth(MANY[:size])
    assert proof == path(index, MANY[:size])
    verify_inclusion(index, size, MANY[index], proof, root)
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index) if size > 1 else st.just(1))
    with pytest.raises(VerificationFailed):
        verify_inclusion(other, size, MANY[index], proof, root)
    with pytest.raises(VerificationFailed):
        verify_inclusion(index, size, MANY[other], proof, root)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.data())
def test_a_consistency_proof_is_that_of_the_definition_and_verifies_for_this_pair_alone(new: int, data: Any) -> None:
    old = data.draw(st.integers(1, new))
    proof = consistency_proof(old, new, TREE.read_hash)
    assert proof == (subproof(old, MANY[:new], True) if old < new else [])
    verify_consistency(old, new, TREE.root(old), TREE.root(new), proof)
    for forged in (node_hash(TREE.root(old), b"\0" * 32), EMPTY_ROOT):
        with pytest.raises(VerificationFailed):
            verify_consistency(old, new, forged, TREE.root(new), proof)
        with pytest.raises(VerificationFailed):
            verify_consistency(old, new, TREE.root(old), forged, proof)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2), st.data())
def test_a_changed_proof_never_verifies(size: int, old: int, how: int, data: Any) -> None:
    old = min(old, size)
    proofs = [inclusion_proof(old - 1, size, TREE.read_hash), consistency_proof(old, size, TREE.read_hash)]
    for number, proof in enumerate(proofs):
        at = data.draw(st.integers(0, max(0, len(proof) - 1)))
        changed = [*proof[:at], *proof[at + 1 :]] if how == 0 else [*proof[:at], b"\x55" * 32, *proof[at + (how == 1) :]]
        if changed == proof:
            continue
        with pytest.raises(VerificationFailed):
            if number:
                verify_consistency(old, size, TREE.root(old), TREE.root(size), changed)
            else:
                verify_inclusion(old - 1, size, MANY[old - 1], changed, TREE.root(size))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 90), max_size=6))
def test_a_frontier_and_a_tree_give_the_root_of_the_definition_however_they_grew(steps: list[int]) -> None:
    frontier, tree, size = Frontier(), Tree(), 0
    for step in steps:
        frontier = frontier.extend(MANY[size : size + step])
        for node in MANY[size : size + step]:
            tree.append(node)
        size += step
        assert frontier.size == tree.size == size
        assert frontier.root() == tree.root() == mth(MANY[:size])


def test_a_tree_cut_back_is_the_tree_it_was() -> None:
    tree = Tree(MANY)
    for size in (699, 512, 255, 3, 0):
        tree.truncate(size)
        assert tree.size == size
        assert tree.root() == mth(MANY[:size])
    tree.append(MANY[0])
    assert tree.root() == MANY[0]


def test_every_tree_continues_the_empty_one_and_only_with_its_root() -> None:
    verify_consistency(0, 5, EMPTY_ROOT, ROOTS[5], [])
    verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    for old_root, new_root, proof in (
        (ROOTS[1], ROOTS[5], []),
        (EMPTY_ROOT, ROOTS[5], [ROOTS[1]]),
    ):
        with pytest.raises(VerificationFailed):
            verify_consistency(0, 5, old_root, new_root, proof)
    with pytest.raises(VerificationFailed, match="history changed"):
        verify_consistency(0, 0, EMPTY_ROOT, ROOTS[5], [])


@pytest.mark.parametrize(("old", "new"), [(2, 1), (-1, 3), (1, 1 << 80)])
def test_impossible_sizes_are_refused(old: int, new: int) -> None:
    with pytest.raises(VerificationFailed):
        verify_consistency(old, new, ROOTS[1], ROOTS[2], [])
    with pytest.raises(BadInput):
        consistency_proof(old, new, TREE.read_hash)
    with pytest.raises(VerificationFailed):
        verify_inclusion(new + 1, old, LEAVES[0], [], ROOTS[1])
    with pytest.raises(BadInput):
        inclusion_proof(new + 1, old, TREE.read_hash)


def test_hashes_of_another_length_are_refused() -> None:
    with pytest.raises(VerificationFailed):
        verify_inclusion(0, 2, LEAVES[0], [LEAVES[1][:31]], ROOTS[2])
    with pytest.raises(BadInput):
        Tree([b"short"])
    with pytest.raises(BadInput):
        Frontier(3, (ROOTS[2],))
    with pytest.raises(BadInput):
        TREE.read_hash(0, len(MANY))
