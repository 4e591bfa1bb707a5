"""Attention of a rollout's tokens on a CPU, each over its own row of the cache: no padding, masks or copies.

A step adds a token or a few to every row, so there is little to multiply and much to read: matrix products of this
shape take several times as long as reading each row's keys and values once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llarp_cli.backbones.kernels import combination, compiled, products, softmax

_f = np.float32
_NO_WINDOW = 1 << 30


@compiled
def _extend(query, key, value, keys, values, row, slot, window, scaling, out):
    tokens, heads, size = query.shape
    key_heads = key.shape[1]
    longest = 0
    for s in range(tokens):
        longest = max(longest, slot[s] + 1)
        for h in range(key_heads):
            for d in range(size):
                keys[row[s], h, slot[s], d] = key[s, h, d]
                values[row[s], h, slot[s], d] = value[s, h, d]
    scores = np.empty(longest, np.float32)
    halves = np.empty(longest, np.int32)
    powers = halves.view(np.float32)
    for s in range(tokens):
        first = max(0, slot[s] + 1 - window)
        count = slot[s] + 1 - first
        for h in range(heads):
            own_keys = keys[row[s], h // (heads // key_heads)]
            own_values = values[row[s], h // (heads // key_heads)]
            products(query[s, h], own_keys[first:], count, scaling, scores)
            softmax(scores, halves, powers, count)
            combination(scores, own_values[first:], count, out[s, h])


def extend_rows(
    query: NDArray[np.float32],
    key: NDArray[np.float32],
    value: NDArray[np.float32],
    store: NDArray[np.float32],
    row: NDArray[np.int64],
    slot: NDArray[np.int64],
    *,
    scaling: float,
    window: int | None,
) -> NDArray[np.float32]:
    """Write new keys and values into a layer's store, and let their tokens attend to their rows up to themselves.

    Args:
        query: [S, heads, D].
        key, value: [S, key heads, D].
        store: [2, rows, key heads, slots, D], changed in place.
        row, slot: [S], each token's.
        window: how many slots a token sees, its own included; None for all.

    Returns:
        [S, heads, D].
    """
    out = np.empty(query.shape, np.float32)
    _extend(query, key, value, store[0], store[1], row, slot, window or _NO_WINDOW, _f(scaling), out)
    return out
