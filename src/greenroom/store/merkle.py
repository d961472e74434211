"""The tree of RFC 6962, so that an outsider can check the log with nothing but hashes.

Convention: hashes are 32 raw bytes; a leaf is SHA-256(0x00 ‖ entry), a node SHA-256(0x01 ‖ left ‖
right); the left subtree holds the largest power of two below n. Source: RFC 6962, sections 2.1 to
2.1.2; the verifiers follow RFC 9162, sections 2.1.3.2 and 2.1.4.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of one entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(n: int) -> int:
    return 1 << (n - 1).bit_length() - 1


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the tree's head over leaf hashes.

    >>> root([]).hex()[:8]
    'e3b0c442'
    """
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


class Tree:
    """A tree that grows by one leaf in O(log n), keeping only the full subtrees' heads."""

    def __init__(self) -> None:
        """Start empty."""
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf's hash."""
        size, head = 1, leaf
        while self._peaks and self._peaks[-1][0] == size:
            head = _node(self._peaks.pop()[1], head)
            size *= 2
        self._peaks.append((size, head))
        self.size += 1

    def after(self, leaf: bytes) -> Tree:
        """Return this tree with one leaf more, leaving this one as it is."""
        tree = Tree()
        tree.size, tree._peaks = self.size, list(self._peaks)
        tree.append(leaf)
        return tree

    def root(self) -> bytes:
        """Return the head of all leaves so far."""
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        head = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            head = _node(peak, head)
        return head


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree of all `leaves`."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*inclusion_proof(leaves[:k], index), root(leaves[k:])]
    return [*inclusion_proof(leaves[k:], index - k), root(leaves[:k])]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], head: bytes
) -> bool:
    """Tell whether `leaf` is entry `index` of the tree of `size` entries with `head`."""
    if not 0 <= index < size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = _node(p, r)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = _node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == head


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Return the proof that the tree of the first `old_size` leaves is a prefix of this one."""
    if not 0 < old_size <= len(leaves):
        raise IndexError(old_size)

    def sub(m: int, part: Sequence[bytes], is_complete: bool) -> list[bytes]:
        if m == len(part):
            return [] if is_complete else [root(part)]
        k = _split(len(part))
        if m <= k:
            return [*sub(m, part[:k], is_complete), root(part[k:])]
        return [*sub(m - k, part[k:], False), root(part[:k])]

    return sub(old_size, leaves, True)


def verify_consistency(
    old_size: int, size: int, old_head: bytes, head: bytes, proof: Sequence[bytes]
) -> bool:
    """Tell whether the tree (`size`, `head`) extends the tree (`old_size`, `old_head`)."""
    if old_size == size:
        return not proof and old_head == head
    if not 0 < old_size < size or not proof:
        return False
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_head)
    fn, sn = old_size - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = _node(c, fr), _node(c, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = _node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_head and sr == head
