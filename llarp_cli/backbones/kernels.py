"""Attention's arithmetic on a CPU, compiled: of one query, over keys and values that lie row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

COMPILED = {"nogil": True, "fastmath": {"contract", "nsz", "arcp", "reassoc"}, "error_model": "numpy"}
_f = np.float32
_LOG2_E = _f(1.4426950408889634)
_LOWEST = _f(-126.0)


def compiled(function: Callable[..., Any]) -> Any:
    """A function compiled for this processor when it is first called, and kept for later programs."""
    try:
        return numba.njit(cache=True, **COMPILED)(function)
    except RuntimeError:  # no folder to keep it in can be written
        return numba.njit(**COMPILED)(function)


@compiled
def softmax(scores, halves, powers, count):
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


@compiled
def products(vector, rows, count, scaling, out):
    """out[i] = scaling · vector · rows[i]; four rows at a time, for which the vector is read once."""
    size, i = rows.shape[1], 0
    while i + 4 <= count:
        a, b, c, d = _f(0.0), _f(0.0), _f(0.0), _f(0.0)
        for j in range(size):
            a += vector[j] * rows[i, j]
            b += vector[j] * rows[i + 1, j]
            c += vector[j] * rows[i + 2, j]
            d += vector[j] * rows[i + 3, j]
        out[i], out[i + 1], out[i + 2], out[i + 3] = a * scaling, b * scaling, c * scaling, d * scaling
        i += 4
    while i < count:
        a = _f(0.0)
        for j in range(size):
            a += vector[j] * rows[i, j]
        out[i] = a * scaling
        i += 1


@compiled
def combination(weights, rows, count, out):
    """out = the sum of weights[i] · rows[i]; four rows at a time, for which `out` is read and written once."""
    size, i = rows.shape[1], 0
    for j in range(size):
        out[j] = _f(0.0)
    while i + 4 <= count:
        a, b, c, d = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        for j in range(size):
            out[j] += a * rows[i, j] + b * rows[i + 1, j] + c * rows[i + 2, j] + d * rows[i + 3, j]
        i += 4
    while i < count:
        a = weights[i]
        for j in range(size):
            out[j] += a * rows[i, j]
        i += 1
