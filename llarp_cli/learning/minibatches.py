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
    shared = dealt(random.permutation(len(learned)).tolist(), learned, groups)
    random.shuffle(shared)
    return shared


def dealt(order: Sequence[int], sizes: Sequence[int], groups: int) -> list[list[int]]:
    """Share indices into `sizes` out so that groups are about as large, the largest first, equals in order."""
    shared: list[list[int]] = [[] for _ in range(groups)]
    totals = [0] * groups
    for index in sorted(order, key=lambda i: -sizes[i]):
        least = totals.index(min(totals))
        shared[least].append(index)
        totals[least] += sizes[index]
    return shared
