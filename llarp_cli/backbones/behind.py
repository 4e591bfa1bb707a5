"""Observation tokens behind their instructions: what learning computes, with gradient to the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from llarp_cli.backbones.attention import Attending, Layout, Pass, attention_weights, weighted
from llarp_cli.backbones.episode_attention import EpisodeAttention, Episodes
from llarp_cli.backbones.prefixes import InstructionPrefix

PADDED_TOGETHER = 0.75
"""Episodes of at least this share of the longest one's tokens are padded to its length, in attention."""

PADDED_ANYWAY = 96
"""So are others, up to so many tokens of padding: that costs less than attention of their own."""


class ForwardPass(Pass):
    """Observation tokens behind their instructions, with gradient to the tokens.

    Where attention is computed by matrix products, episodes of similar length are padded together. Tokens are to be
    given in `order`, an int64 [S] of their places in the packed tokens of all episodes.

    Attributes:
        compiled: attention is compiled for the processor, wherever a layer's has nothing unusual.
    """

    def __init__(self, lengths: Sequence[int], prefixes: Sequence[InstructionPrefix]):
        counts = np.asarray(lengths)
        ends = np.cumsum(counts)
        groups = _similar(counts)
        super().__init__([Layout([prefixes[e].length for e in group], counts[group], aligned=True) for group in groups])
        self.order = np.concatenate([np.arange(ends[e] - counts[e], ends[e]) for group in groups for e in group])
        self._groups = [[prefixes[e] for e in group] for group in groups]
        kept = [prefix.keys_values for prefix in prefixes]
        self.compiled = all(x.device.type == "cpu" and x.dtype == torch.float32 and not x.requires_grad for x in kept)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Attending) -> Tensor:
        if self.compiled and query.device.type == "cpu" and how.softcap is None and how.sinks is None:
            prefix = self._episodes.prefixes[layer]
            return EpisodeAttention.apply(query, key, value, prefix, self._episodes, how.scaling, how.window)
        stores = [store[layer].to(query.device) for store in self._stores]
        return _Attention.apply(query, key, value, self.layouts, how, *stores)

    @cached_property
    def _episodes(self) -> Episodes:
        lengths = [length for layout in self.layouts for length in layout.lengths]
        return Episodes(lengths, [prefix for group in self._groups for prefix in group])

    @cached_property
    def _stores(self) -> list[Tensor]:
        return [_store(prefixes, layout) for prefixes, layout in zip(self._groups, self.layouts, strict=True)]


def _store(prefixes: Sequence[InstructionPrefix], layout: Layout) -> Tensor:
    """Room for keys and values of all layers, [layers, 2, E, heads, W, D], with the prefixes in their slots."""
    layers, _, heads, _, size = prefixes[0].keys_values.shape
    # What pads counts for nothing, but must be finite.
    store = prefixes[0].keys_values.new_zeros(layers, 2, len(prefixes), heads, layout.width, size)
    for row, prefix in enumerate(prefixes):
        store[:, :, row, :, layout.shift[row] : layout.begin] = prefix.keys_values
    return store


class _Attention(torch.autograd.Function):
    """Attention of one layer, with its gradient written out.

    So that keys and values are written beside those of the prefix instead of copied with them, gradients are computed
    for the new ones alone, and padding is filled without an operation of its own.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, layouts: Sequence[Layout], how: Attending, *stores: Tensor
    ) -> Tensor:
        """From [S, heads, D] to [S, heads, D]; `stores` [2, E, key heads, W, D] hold the prefixes."""
        sizes = [len(layout.slot) for layout in layouts]
        ctx.layouts, ctx.how, ctx.sizes = layouts, how, sizes
        ctx.prefixes_learn = ctx.needs_input_grad[5]
        # Not saved as other tensors are: all layers' are views of one, which the next layer writes to.
        ctx.filled = [store.clone() if ctx.prefixes_learn else store for store in stores]
        saved, out = [], []
        parts = (x.split(sizes) for x in (query * how.scaling, key, value))
        for layout, (keys, values), q, k, v in zip(layouts, ctx.filled, *parts, strict=True):
            index = layout.key_index(keys.shape[1], keys.device)
            for slots, new in ((keys, k), (values, v)):
                slots.view(-1, slots.shape[3]).index_copy_(0, index, new.reshape(len(index), -1))
            padded = layout.pad(q).contiguous()
            weights = attention_weights(padded, keys, layout.mask(how.window, q.dtype, q.device), how)
            out.append(layout.unpad(weighted(weights.to(v.dtype), values, q.shape[1])))
            saved += [padded, weights]
        ctx.save_for_backward(*saved)
        return torch.cat(out) if len(out) > 1 else out[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        how, saved = ctx.how, iter(ctx.saved_tensors)
        of_tokens: list[tuple[Tensor, Tensor, Tensor]] = []
        of_stores: list[Tensor | None] = []
        for layout, of_out, (keys, values), query, weights in zip(
            ctx.layouts, gradient.split(ctx.sizes), ctx.filled, saved, saved, strict=True
        ):
            rows, shape = len(weights), keys.shape
            grouped = query.view(rows, -1, shape[3])
            g = layout.pad_with_zeros(of_out).reshape(rows, -1, shape[3])
            of_weights = g @ values.reshape(rows, -1, shape[3]).transpose(1, 2)
            scores = _through_softmax(of_weights, weights, how, grouped, keys.reshape(rows, -1, shape[3])).to(g.dtype)
            of_query = layout.unpad((scores @ keys.reshape(rows, -1, shape[3])).view(query.shape)) * how.scaling
            # Of the slots before the first own one only where the prefixes learn, too.
            first = 0 if ctx.prefixes_learn else layout.begin
            of_keys = (scores[..., first:].transpose(1, 2) @ grouped).view(*shape[:2], -1, shape[3])
            of_values = (weights[..., first:].to(g.dtype).transpose(1, 2) @ g).view(*shape[:2], -1, shape[3])
            own = slice(layout.begin - first, None)
            of_tokens.append((of_query, layout.unpad(of_keys[:, :, own]), layout.unpad(of_values[:, :, own])))
            if ctx.prefixes_learn:
                of_store = torch.stack([of_keys, of_values])
                of_store[..., own, :] = 0
                of_stores.append(of_store)
            else:
                of_stores.append(None)
        joined = (torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*of_tokens, strict=True))
        return *joined, None, None, *of_stores


def _through_softmax(gradient: Tensor, weights: Tensor, how: Attending, query: Tensor, key: Tensor) -> Tensor:
    """From the gradient of the weights to that of the scores, [E · key heads, group · T, W]."""
    # Where a weight goes to nothing, none of the gradient does: the softmax over the rest has the same form.
    of_scores = torch._softmax_backward_data(gradient.to(weights.dtype), weights, -1, weights.dtype)
    if how.softcap is not None:
        of_scores *= 1 - torch.tanh(query @ key.transpose(1, 2) / how.softcap).square()
    return of_scores


def _similar(counts: np.ndarray) -> list[np.ndarray]:
    """Episodes that have tokens, longest first, in groups of similar length."""
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    groups = []
    while len(order):
        longest = counts[order[0]]
        alike = (counts[order] >= PADDED_TOGETHER * longest) | ((longest - counts[order]).cumsum() <= PADDED_ANYWAY)
        groups.append(order[alike])
        order = order[~alike]
    return groups
