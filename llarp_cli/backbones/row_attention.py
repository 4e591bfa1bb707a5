"""Attention of a rollout's tokens on a CPU, each over its own row of the cache: no padding, masks or copies.

A step adds a token or a few to every row, so there is little to multiply and much to read: matrix products of this
shape take several times as long as reading each row's keys and values once.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

COMPILED = {"nogil": True, "fastmath": {"contract", "nsz", "arcp", "reassoc"}, "error_model": "numpy", "cache": True}
_f = np.float32
_LOG2_E = _f(1.4426950408889634)
_LOWEST = _f(-126.0)
_NO_WINDOW = 1 << 30


@numba.njit(**COMPILED)
def _weights(scores, halves, powers, count):
    """Turn scores into their softmax; `halves` and `powers` are one scratch buffer seen as integers and floats.

    exp is a power of two, made from its bits, times a polynomial of the fraction that is left: 2e-7 relative.
    """
    highest = scores[0]
    for i in range(count):
        highest = max(highest, scores[i])
    for i in range(count):
        exponent = max((scores[i] - highest) * _LOG2_E, _LOWEST)
        whole = np.floor(exponent + _f(0.5))
        rest = exponent - whole
        power = _f(1.5403530e-4)
        power = power * rest + _f(1.3333558e-3)
        power = power * rest + _f(9.6181291e-3)
        power = power * rest + _f(5.5504109e-2)
        power = power * rest + _f(2.4022651e-1)
        power = power * rest + _f(6.9314718e-1)
        scores[i] = power * rest + _f(1.0)
        halves[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    total = _f(0.0)
    for i in range(count):
        scores[i] *= powers[i]
        total += scores[i]
    for i in range(count):
        scores[i] /= total


@numba.njit(**COMPILED)
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
            for w in range(count):
                product = _f(0.0)
                for d in range(size):
                    product += query[s, h, d] * own_keys[first + w, d]
                scores[w] = product * scaling
            _weights(scores, halves, powers, count)
            for d in range(size):
                out[s, h, d] = _f(0.0)
            for w in range(count):
                for d in range(size):
                    out[s, h, d] += scores[w] * own_values[first + w, d]


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
