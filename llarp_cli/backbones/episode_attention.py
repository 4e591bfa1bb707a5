"""Attention of whole episodes on a CPU, with its gradient: each behind its own instruction, without padding or masks.

An episode's heads are small: what is multiplied stays in the core's own cache from the scores to the weighted sums,
where matrix products over padded episodes would write and read it anew for each operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from llarp_cli.backbones.kernels import combination, compiled, products, softmax
from llarp_cli.backbones.prefixes import InstructionPrefix

_f = np.float32
_NO_WINDOW = 1 << 30


class Episodes:
    """Where E episodes and their instructions lie.

    Args:
        lengths: tokens of each, at least 1.
        prefixes: their instructions; the same object where they are equal.

    Attributes:
        tokens: int64 [E + 1], first tokens of episodes, and the end.
        instructions: int64 [E, 2], where each one's instruction begins and ends.
        prefixes: [layers, 2, key heads, sum of P, D per head], different instructions one after another.
    """

    def __init__(self, lengths: Sequence[int], prefixes: Sequence[InstructionPrefix]):
        different = list({id(prefix): prefix for prefix in prefixes}.values())
        ends = np.cumsum([prefix.length for prefix in different])
        place = {id(prefix): (end - prefix.length, end) for prefix, end in zip(different, ends, strict=True)}
        self.tokens = np.concatenate([[0], np.cumsum(lengths)])
        self.instructions = np.array([place[id(prefix)] for prefix in prefixes])
        self.prefixes = torch.cat([prefix.keys_values for prefix in different], 3)
        slots = np.asarray(lengths) * (np.asarray(lengths) + np.diff(self.instructions)[:, 0])
        self._slots = np.concatenate([[0], np.cumsum(slots)])

    def weights(self, heads: int) -> NDArray[np.int64]:
        """[E + 1]: where each episode's attention weights [heads, T, P + T] lie."""
        return self._slots * heads


class EpisodeAttention(torch.autograd.Function):
    """Attention of one layer, float32."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        prefix: Tensor,
        episodes: Episodes,
        scaling: float,
        window: int | None,
    ) -> Tensor:
        """From [S, heads, D] to [S, heads, D].

        Args:
            prefix: [2, key heads, sum of P, D], this layer's part of `episodes.prefixes`.
            window: how many tokens back a token sees, itself included; None: all.
        """
        ctx.episodes, ctx.scaling, ctx.window = episodes, _f(scaling), window or _NO_WINDOW
        places = episodes.weights(query.shape[1])
        query, key, value = (x.contiguous() for x in (query, key, value))
        weights, out = query.new_empty(places[-1]), torch.empty_like(query)
        ctx.save_for_backward(query, key, value, prefix, weights)
        _forward(
            *(x.detach().numpy() for x in (query, key, value, prefix)),
            *(episodes.tokens, episodes.instructions, places, ctx.scaling, ctx.window),
            *(x.numpy() for x in (weights, out)),
        )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        query, key, value, prefix, weights = ctx.saved_tensors
        episodes = ctx.episodes
        found = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        _backward(
            *(x.detach().numpy() for x in (gradient.contiguous(), query, key, value, prefix, weights)),
            *(episodes.tokens, episodes.instructions, episodes.weights(query.shape[1]), ctx.scaling, ctx.window),
            *(x.numpy() for x in found),
        )
        return *found, None, None, None, None


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
def _forward(query, key, value, prefix, tokens, instructions, places, scaling, window, weights, out):
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
def _backward(
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
