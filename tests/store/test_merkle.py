import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.store.merkle import (
    Tree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

# The leaves that Certificate Transparency's own implementations test with, and the tree's head
# after all eight of them.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
EIGHT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def by_definition(entries: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, written as it stands there."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    k = 1
    while 2 * k < len(entries):
        k *= 2
    left, right = by_definition(entries[:k]), by_definition(entries[k:])
    return hashlib.sha256(b"\1" + left + right).digest()


def leaves_of(count: int) -> list[bytes]:
    return [leaf_hash(bytes([i])) for i in range(count)]


def flipped(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8 % len(out)] ^= 1 << bit % 8
    return bytes(out)


def test_the_empty_tree_and_the_empty_leaf() -> None:
    assert root([]) == hashlib.sha256(b"").digest()
    assert root([leaf_hash(b"")]) == hashlib.sha256(b"\0").digest()


def test_the_published_head() -> None:
    assert root(LEAVES).hex() == EIGHT


@pytest.mark.parametrize("size", range(9))
def test_heads_are_those_of_the_rfc(size: int) -> None:
    assert root(LEAVES[:size]) == by_definition(ENTRIES[:size])


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_growing_is_the_same_as_building(entries: list[bytes]) -> None:
    tree = Tree()
    for entry in entries:
        ahead = tree.after(leaf_hash(entry))
        before = tree.root()
        assert tree.root() == before
        tree.append(leaf_hash(entry))
        assert ahead.root() == tree.root() and ahead.size == tree.size
    assert tree.root() == by_definition(entries) and tree.size == len(entries)


@pytest.mark.parametrize("size", range(1, 34))
def test_every_inclusion_proof_verifies(size: int) -> None:
    leaves = leaves_of(size)
    head = root(leaves)
    for index, leaf in enumerate(leaves):
        proof = inclusion_proof(leaves, index)
        assert verify_inclusion(leaf, index, size, proof, head)
        assert not verify_inclusion(leaf, (index + 1) % size, size, proof, head) or size == 1
        assert not verify_inclusion(leaf, index, size, [*proof, head], head)
        assert not verify_inclusion(leaf, index, size, proof[:-1], head) or not proof


@pytest.mark.parametrize("size", range(1, 34))
def test_every_consistency_proof_verifies(size: int) -> None:
    leaves = leaves_of(size)
    head = root(leaves)
    for old in range(1, size + 1):
        proof = consistency_proof(leaves, old)
        assert verify_consistency(old, size, root(leaves[:old]), head, proof)
        assert not verify_consistency(old, size, root(leaves[:old]), head, [*proof, head])
        assert not verify_consistency(old, size, head, root([]), proof)


@given(st.data())
def test_a_tampered_inclusion_proof_does_not_verify(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 200))
    index = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(size)
    proof, head = inclusion_proof(leaves, index), root(leaves)
    parts = [leaves[index], head, *proof]
    at = data.draw(st.integers(0, len(parts) - 1))
    parts[at] = flipped(parts[at], data.draw(st.integers(0, 255)))
    assert not verify_inclusion(parts[0], index, size, parts[2:], parts[1])


@given(st.data())
def test_a_tampered_consistency_proof_does_not_verify(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 200))
    old = data.draw(st.integers(1, size - 1))
    leaves = leaves_of(size)
    parts = [root(leaves[:old]), root(leaves), *consistency_proof(leaves, old)]
    at = data.draw(st.integers(0, len(parts) - 1))
    parts[at] = flipped(parts[at], data.draw(st.integers(0, 255)))
    assert not verify_consistency(old, size, parts[0], parts[1], parts[2:])


@pytest.mark.parametrize("index", [-1, 8, 9])
def test_an_index_outside_has_no_proof(index: int) -> None:
    with pytest.raises(IndexError):
        inclusion_proof(LEAVES, index)
    assert not verify_inclusion(LEAVES[0], index, 8, [], root(LEAVES))


@pytest.mark.parametrize("old", [-1, 0, 9])
def test_a_tree_outside_has_no_consistency_proof(old: int) -> None:
    with pytest.raises(IndexError):
        consistency_proof(LEAVES, old)
    assert not verify_consistency(old, 8, root([]), root(LEAVES), [LEAVES[0]])
