"""Attention on a CPU, compiled: its arithmetic for one query, over keys and values that lie row by row, and what is
built of it.

All in one file, since numba keeps a function for as long as the function's own file stays as it is, whatever happens to
those that it calls.
"""

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


@compiled
def attend_rows(query, key, value, keys, values, row, slot, window, scaling, out):
    """`row_attention.extend_rows`, into `out`."""
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


@compiled
def _gather(prefix, first, length, new, token, tokens, head, out):
    """A head's keys, or values, of an instruction and behind them those of an episode."""
    size = out.shape[1]
    for i in range(length):
        for j in range(size):
            out[i, j] = prefix[head, first + i, j]
    for i in range(tokens):
        for j in range(size):
            out[length + i, j] = new[token + i, head, j]


@compiled
def _longest(tokens, instructions):
    """Of the episodes, in tokens, without and with their instructions."""
    alone, together = 0, 0
    for e in range(len(instructions)):
        length = tokens[e + 1] - tokens[e]
        alone = max(alone, length)
        together = max(together, length + instructions[e, 1] - instructions[e, 0])
    return alone, together


@compiled
def attend_episodes(query, key, value, prefix, tokens, instructions, places, scaling, window, weights, out):
    """`EpisodeAttention.forward`, with the weights of each head of each episode, [T, P + T] one after another."""
    _, heads, size = query.shape
    group = heads // key.shape[1]
    _, slots = _longest(tokens, instructions)
    keys, values = np.empty((slots, size), np.float32), np.empty((slots, size), np.float32)
    halves = np.empty(slots, np.int32)
    powers = halves.view(np.float32)
    for e in range(len(instructions)):
        begin, count = tokens[e], tokens[e + 1] - tokens[e]
        first, length = instructions[e, 0], instructions[e, 1] - instructions[e, 0]
        width = length + count
        for head in range(heads):
            if head % group == 0:
                _gather(prefix[0], first, length, key, begin, count, head // group, keys)
                _gather(prefix[1], first, length, value, begin, count, head // group, values)
            for t in range(count):
                row = weights[places[e] + (head * count + t) * width :][:width]
                end = length + t + 1
                start = max(0, end - window)
                row[:start] = _f(0.0)
                row[end:] = _f(0.0)
                products(query[begin + t, head], keys[start:], end - start, scaling, row[start:])
                softmax(row[start:], halves, powers, end - start)
                combination(row[start:], values[start:], end - start, out[begin + t, head])


@compiled
def attend_episodes_backward(
    gradient,
    query,
    key,
    value,
    prefix,
    weights,
    tokens,
    instructions,
    places,
    scaling,
    window,
    of_query,
    of_key,
    of_value,
):
    """`EpisodeAttention.backward`: gradients of queries, keys and values; the instructions' are not asked for."""
    _, heads, size = query.shape
    group = heads // key.shape[1]
    most, slots = _longest(tokens, instructions)
    keys, values = np.empty((slots, size), np.float32), np.empty((slots, size), np.float32)
    scores = np.empty(slots, np.float32)
    # Of one key head, by its own tokens: gradients of scores, and weights, of all queries; these are in step order.
    to_scores, to_weights = np.empty((most, most * group), np.float32), np.empty((most, most * group), np.float32)
    queries, gradients = np.empty((most * group, size), np.float32), np.empty((most * group, size), np.float32)
    for e in range(len(instructions)):
        begin, count = tokens[e], tokens[e + 1] - tokens[e]
        first, length = instructions[e, 0], instructions[e, 1] - instructions[e, 0]
        width = length + count
        for key_head in range(key.shape[1]):
            _gather(prefix[0], first, length, key, begin, count, key_head, keys)
            _gather(prefix[1], first, length, value, begin, count, key_head, values)
            for t in range(count):
                for member in range(group):
                    head = key_head * group + member
                    row = weights[places[e] + (head * count + t) * width :][:width]
                    end = length + t + 1
                    start = max(0, end - window)
                    products(gradient[begin + t, head], values[start:], end - start, _f(1.0), scores[start:])
                    mean = _f(0.0)
                    for w in range(start, end):
                        mean += row[w] * scores[w]
                    for w in range(start, end):
                        scores[w] = row[w] * (scores[w] - mean) * scaling
                    combination(scores[start:], keys[start:], end - start, of_query[begin + t, head])
                    place = t * group + member
                    for j in range(size):
                        queries[place, j] = query[begin + t, head, j]
                        gradients[place, j] = gradient[begin + t, head, j]
                    for w in range(max(length, start), end):
                        to_scores[w - length, place] = scores[w]
                        to_weights[w - length, place] = row[w]
            for w in range(count):
                start, seeing = w * group, (min(count, w + window) - w) * group
                combination(to_scores[w, start:], queries[start:], seeing, of_key[begin + w, key_head])
                combination(to_weights[w, start:], gradients[start:], seeing, of_value[begin + w, key_head])
