"""The Merkle tree of RFC 6962: hashes, roots, inclusion and consistency proofs.

A *node* (level, index) is the hash of the complete subtree over leaves `index << level` up to `(index + 1) << level`;
level 0 are leaf hashes. Proofs are built from any `ReadHash` that knows the complete nodes of a tree, and verified
with the algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2. What disagrees raises VerificationFailed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gef_registry.errors import BadInput, VerificationFailed

HASH_SIZE = 32
MAX_SIZE = 1 << 62
EMPTY_ROOT = hashlib.sha256(b"").digest()

ReadHash = Callable[[int, int], bytes]
"""(level, index) -> the hash of that complete node."""


def leaf_hash(leaf: bytes) -> bytes:
    """RFC 6962, section 2.1: the hash of a leaf's bytes."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962, section 2.1: the hash of two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """A compact range from leaf 0: the roots of the complete subtrees of a tree, the largest first.

    All that is needed to go on hashing a tree whose leaves are no longer at hand.
    """

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE or len(self.nodes) != self.size.bit_count():
            raise BadInput(f"a frontier of size {self.size} cannot have {len(self.nodes)} nodes")
        if any(len(node) != HASH_SIZE for node in self.nodes):
            raise BadInput(f"every node of a frontier has {HASH_SIZE} bytes")

    def extend(self, leaf_hashes: Iterable[bytes]) -> Frontier:
        """The frontier after appending these leaf hashes."""
        size, nodes = self.size, list(self.nodes)
        for node in leaf_hashes:
            bits = size
            while bits & 1:
                node = node_hash(nodes.pop(), node)
                bits >>= 1
            nodes.append(node)
            size += 1
        return Frontier(size, tuple(nodes))

    def root(self) -> bytes:
        """The root hash of the tree."""
        return _fold(self.nodes)


class Tree:
    """All complete nodes of a tree, in memory: 64 bytes for each leaf. Grows at the end, can be cut back."""

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        for node in leaf_hashes:
            self.append(node)

    @property
    def size(self) -> int:
        return len(self._levels[0]) // HASH_SIZE

    def append(self, leaf: bytes) -> None:
        """Adds one leaf hash, and every node that it completes."""
        if len(leaf) != HASH_SIZE:
            raise BadInput(f"a leaf hash has {HASH_SIZE} bytes, got {len(leaf)}")
        index, level, node = self.size, 0, leaf
        self._levels[0] += node
        while index & 1:
            node = node_hash(bytes(self._levels[level][-2 * HASH_SIZE : -HASH_SIZE]), node)
            index, level = index >> 1, level + 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += node

    def truncate(self, size: int) -> None:
        """Forgets all leaves from `size` on."""
        for level, nodes in enumerate(self._levels):
            del nodes[(size >> level) * HASH_SIZE :]

    def read_hash(self, level: int, index: int) -> bytes:
        """The hash of a complete node. Raises BadInput when the tree has no such node."""
        if 0 <= level < len(self._levels):
            node = bytes(self._levels[level][index * HASH_SIZE : (index + 1) * HASH_SIZE])
            if index >= 0 and len(node) == HASH_SIZE:
                return node
        raise BadInput(f"a tree of {self.size} leaves has no complete node {level}/{index}")

    def hashes(self, level: int, start: int, count: int) -> bytes:
        """`count` consecutive nodes of one level, concatenated."""
        if level < len(self._levels):
            data = bytes(self._levels[level][start * HASH_SIZE : (start + count) * HASH_SIZE])
            if len(data) == count * HASH_SIZE:
                return data
        raise BadInput(f"a tree of {self.size} leaves has no nodes {level}/{start} to {start + count}")

    def root(self, size: int | None = None) -> bytes:
        """The root of the tree of the first `size` leaves, by default of all."""
        return root(self.size if size is None else size, self.read_hash)


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """The root over leaf hashes; of none, the hash of nothing."""
    return Frontier().extend(leaf_hashes).root()


def root(size: int, read_hash: ReadHash) -> bytes:
    """The root of the tree of `size` leaves."""
    return _range_hash(0, size, read_hash) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read_hash: ReadHash) -> list[bytes]:
    """RFC 6962, section 2.1.1: the hashes from the leaf's sibling up to the root's child."""
    if not 0 <= index < size <= MAX_SIZE:
        raise BadInput(f"no leaf {index} in a tree of {size} leaves")
    low, high = 0, size
    path: list[bytes] = []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range_hash(middle, high, read_hash))
            high = middle
        else:
            path.append(_range_hash(low, middle, read_hash))
            low = middle
    return path[::-1]


def consistency_proof(old: int, new: int, read_hash: ReadHash) -> list[bytes]:
    """RFC 6962, section 2.1.2. Empty for equal sizes and from the empty tree."""
    if not 0 <= old <= new <= MAX_SIZE:
        raise BadInput(f"no consistency proof from {old} to {new} leaves")
    if old in (0, new):
        return []
    low, high, from_root = 0, new, True
    path: list[bytes] = []
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_range_hash(middle, high, read_hash))
            high = middle
        else:
            path.append(_range_hash(low, middle, read_hash))
            low, from_root = middle, False
    if not from_root:
        path.append(_range_hash(low, high, read_hash))
    return path[::-1]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], expected_root: bytes) -> None:
    """Checks that the leaf hash is leaf `index` of the tree (size, root). Raises VerificationFailed."""
    if not 0 <= index < size <= MAX_SIZE:
        raise VerificationFailed(f"inclusion proof: no leaf {index} in a tree of {size} leaves")
    _require_hashes(proof, leaf, expected_root)
    fn, sn, node = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            raise VerificationFailed(f"inclusion proof of leaf {index} in {size}: {len(proof)} hashes are too many")
        if fn & 1 or fn == sn:
            node = node_hash(sibling, node)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = node_hash(node, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn or node != expected_root:
        raise VerificationFailed(f"inclusion proof of leaf {index} does not lead to the root of the tree of {size}")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Checks that the tree (old, old_root) is a prefix of (new, new_root). Raises VerificationFailed."""
    wrong = VerificationFailed(f"the tree of {new} leaves does not continue the tree of {old} leaves: history changed")
    if not 0 <= old <= new <= MAX_SIZE:
        raise VerificationFailed(f"consistency proof: {new} leaves cannot continue {old}")
    _require_hashes(proof, old_root, new_root)
    if old in (0, new):
        if proof or old_root != (new_root if old else EMPTY_ROOT) or (not new and new_root != EMPTY_ROOT):
            raise wrong
        return
    path = [old_root, *proof] if old.bit_count() == 1 else list(proof)
    if not path:
        raise wrong
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for node in path[1:]:
        if sn == 0:
            raise wrong
        if fn & 1 or fn == sn:
            first, second = node_hash(node, first), node_hash(node, second)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, node)
        fn, sn = fn >> 1, sn >> 1
    if sn or first != old_root or second != new_root:
        raise wrong


def _require_hashes(proof: Sequence[bytes], *others: bytes) -> None:
    if len(proof) > 2 * 63 or any(len(h) != HASH_SIZE for h in (*proof, *others)):
        raise VerificationFailed(f"a proof is made of hashes of {HASH_SIZE} bytes, two for each level at most")


def _split(count: int) -> int:
    """The largest power of two smaller than count, for count > 1."""
    return 1 << ((count - 1).bit_length() - 1)


def _range_hash(low: int, high: int, read_hash: ReadHash) -> bytes:
    """The tree hash of leaves low to high, where low is a multiple of a power of two not below high - low."""
    nodes: list[bytes] = []
    while low < high:
        level = (high - low).bit_length() - 1
        nodes.append(read_hash(level, low >> level))
        low += 1 << level
    return _fold(nodes)


def _fold(nodes: Sequence[bytes]) -> bytes:
    if not nodes:
        return EMPTY_ROOT
    node = nodes[-1]
    for left in reversed(nodes[:-1]):
        node = node_hash(left, node)
    return node
