"""Random draws that mean the same on every machine and under every numpy.

numpy promises the raw outputs of a bit generator for ever, but not what `Generator` makes of them; so
everything here is integer arithmetic on the raw 64-bit outputs of Philox, a counter-based generator
(Salmon et al. 2011), keyed by what the draws are for, e.g. `Draws("train", seed, index)`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_BLOCK = 64
_RANGE = 1 << 64


class Draws:
    """A stream of random values.

    Args:
        key: strings and whole numbers; the same key gives the same stream, another key an unrelated one.
    """

    def __init__(self, *key: str | int):
        text = "\x00".join(f"{type(part).__name__}:{part}" for part in key)
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        words = np.array([int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")], np.uint64)
        self._bits = np.random.Philox(key=words)
        self._block: list[int] = []

    def below(self, n: int) -> int:
        """A whole number in [0, n), each equally likely; n ≥ 1."""
        accepted = _RANGE - _RANGE % n
        while True:
            if not self._block:
                self._block = self._bits.random_raw(_BLOCK).tolist()
                self._block.reverse()
            value = self._block.pop()
            if value < accepted:
                return value % n

    def between(self, low: int, high: int) -> int:
        """A whole number in [low, high], both ends included."""
        return low + self.below(high - low + 1)

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, each equally likely."""
        return items[self.below(len(items))]

    def sample(self, items: Sequence[T], k: int) -> list[T]:
        """k different positions' items in random order; k ≤ len(items)."""
        pool = list(items)
        for i in range(k):
            j = i + self.below(len(pool) - i)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:k]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All the items in random order."""
        return self.sample(items, len(items))
