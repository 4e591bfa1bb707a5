"""Sharing whole episodes out among minibatches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def even_groups(learned: Sequence[int], groups: int, random: np.random.Generator) -> list[list[int]]:
    """Share episodes out so that every group learns from about as many steps; each episode in exactly one.

    The longest are dealt first, each to the group that has least so far; equals in random order.

    Args:
        learned: steps to learn from, of each episode, at least 1.
        groups: how many, at most `len(learned)`.

    Returns:
        indices into `learned`, no group empty.
    """
    shuffled = random.permutation(len(learned))
    dealt: list[list[int]] = [[] for _ in range(groups)]
    sizes = [0] * groups
    for index in sorted(shuffled.tolist(), key=lambda i: -learned[i]):
        least = sizes.index(min(sizes))
        dealt[least].append(index)
        sizes[least] += learned[index]
    random.shuffle(dealt)
    return dealt
