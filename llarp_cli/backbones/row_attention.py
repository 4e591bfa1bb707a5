"""Attention of a rollout's tokens on a CPU, each over its own row of the cache: no padding, masks or copies.

A step adds a token or a few to every row, so there is little to multiply and much to read: matrix products of this
shape take several times as long as reading each row's keys and values once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llarp_cli.backbones.kernels import attend_rows

_f = np.float32
_NO_WINDOW = 1 << 30


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
    attend_rows(query, key, value, store[0], store[1], row, slot, window or _NO_WINDOW, _f(scaling), out)
    return out
