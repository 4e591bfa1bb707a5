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

from llarp_cli.backbones.kernels import attend_episodes, attend_episodes_backward
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
        attend_episodes(
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
        attend_episodes_backward(
            *(x.detach().numpy() for x in (gradient.contiguous(), query, key, value, prefix, weights)),
            *(episodes.tokens, episodes.instructions, episodes.weights(query.shape[1]), ctx.scaling, ctx.window),
            *(x.numpy() for x in found),
        )
        return *found, None, None, None, None
