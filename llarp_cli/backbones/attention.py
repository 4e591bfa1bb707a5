"""Attention for packed tokens: the linears of a stock model see no padding, only attention does.

A model whose attention implementation is `PACKED` is called with all tokens in one row, [1, S, D], and a
position for each, within a `Pass`, which knows the sequences the tokens belong to and the keys and values
that precede them. A token's slot among its sequence's keys is its position, so one rule serves everywhere:
a query attends to the slots up to its own, within the layer's sliding window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface

from llarp_cli.backbones.transfer import to_device

PACKED = "llarp_packed"


def flat_index(row: np.ndarray, heads: int, size: int, slot: np.ndarray, device: torch.device) -> Tensor:
    """int64 [S·heads]: where all heads of S places (row, slot) lie in [rows, heads, size] flattened."""
    index = (row[:, None] * heads + np.arange(heads)) * size + slot[:, None]
    return to_device(index.reshape(-1), device)


class Layout:
    """Where each of S packed tokens lies, for all layers of one call.

    Args:
        starts: slot of the first token of each of E sequences, i.e. how many tokens precede it.
        lengths: tokens of each sequence, summing to S; 0 is allowed.
        causal: a token sees the slots up to its own; False: all slots of its sequence.
        width: slots per sequence (W); as many as are needed where left out.
        queries: padded tokens per sequence (T); as many as are needed where left out.
        aligned: the first tokens of all sequences lie in one slot, `begin`, and what precedes them ends there,
            so that slots are positions moved on.
    """

    def __init__(
        self,
        starts: Sequence[int],
        lengths: Sequence[int],
        *,
        causal: bool = True,
        width: int | None = None,
        queries: int | None = None,
        aligned: bool = False,
    ):
        counts = np.asarray(lengths, dtype=np.int64)
        first = np.asarray(starts, dtype=np.int64)
        self.begin = int(first.max())
        self.shift = self.begin - first if aligned else np.zeros_like(first)
        self.sequences = len(counts)
        self.queries = queries or int(counts.max())
        self.width = width or int((first + self.shift + counts).max())
        self.row = np.repeat(np.arange(self.sequences), counts)
        self.step = np.arange(len(self.row)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.position = first[self.row] + self.step
        self.slot = self.position + self.shift[self.row]
        self.full = bool((counts == self.queries).all())
        self._first, self._ends, self._causal = first + self.shift, first + self.shift + counts, causal
        self.lengths = counts
        # A model may be spread over devices: each has masks and indices of its own.
        self._masks: dict[tuple[int | None, torch.device], Tensor] = {}
        self._indices: dict[tuple[str, int, torch.device], Tensor] = {}

    def mask(self, window: int | None, dtype: torch.dtype, device: torch.device) -> Tensor:
        """What is added to the scores [E, key heads, group, T, W], of shape [E, 1, 1, T, W]."""
        if (window, device) not in self._masks:
            # Padded queries repeat the last real one, so that no row is masked everywhere.
            query = np.minimum(self._first[:, None] + np.arange(self.queries), self._ends[:, None] - 1)[:, :, None]
            key = np.arange(self.width)
            seen = (
                key <= query
                if self._causal
                else np.broadcast_to(key < self._ends[:, None, None], query.shape[:2] + key.shape)
            )
            if window is not None:
                seen = seen & (key > query - window)
            seen = seen & (key >= self.shift[:, None, None])
            unseen = to_device(~seen[:, None, None], device)
            mask = torch.zeros(unseen.shape, dtype=dtype, device=device)
            self._masks[window, device] = mask.masked_fill_(unseen, torch.finfo(dtype).min)
        return self._masks[window, device]

    def query_index(self, heads: int, device: torch.device) -> Tensor:
        """int64 [S·heads]: where each token's heads lie in [E, heads, T] flattened."""
        if ("query", heads, device) not in self._indices:
            index = flat_index(self.row, heads, self.queries, self.step, device)
            self._indices["query", heads, device] = index
        return self._indices["query", heads, device]

    def key_index(self, heads: int, device: torch.device) -> Tensor:
        """int64 [S·heads]: where each token's heads lie in [E, heads, W] flattened."""
        if ("key", heads, device) not in self._indices:
            self._indices["key", heads, device] = flat_index(self.row, heads, self.width, self.slot, device)
        return self._indices["key", heads, device]

    def padding_index(self, heads: int, device: torch.device) -> Tensor:
        """int64 [E·heads·T]: which row of [S, heads] flattened fills each of [E, heads, T]; a sequence's last token
        fills what is left."""
        if ("padding", heads, device) not in self._indices:
            step = np.minimum(np.arange(self.queries), self.lengths[:, None] - 1)
            token = (np.cumsum(self.lengths) - self.lengths)[:, None] + step
            # A sequence without tokens is filled with anything.
            index = token.clip(0)[:, None, :] * heads + np.arange(heads)[:, None]
            self._indices["padding", heads, device] = to_device(index.reshape(-1), device)
        return self._indices["padding", heads, device]

    def pad(self, x: Tensor) -> Tensor:
        """[S, heads, D] → [E, heads, T, D], filled up with a sequence's last token."""
        _, heads, size = x.shape
        if self.full:
            return x.reshape(self.sequences, self.queries, heads, size).transpose(1, 2)
        padded = x.reshape(-1, size).index_select(0, self.padding_index(heads, x.device))
        return padded.view(self.sequences, heads, self.queries, size)

    def pad_with_zeros(self, x: Tensor) -> Tensor:
        """The same, filled up with zeros."""
        _, heads, size = x.shape
        if self.full:
            return self.pad(x)
        padded = x.new_zeros(self.sequences * heads * self.queries, size)
        padded.index_copy_(0, self.query_index(heads, x.device), x.reshape(-1, size))
        return padded.view(self.sequences, heads, self.queries, size)

    def unpad(self, x: Tensor) -> Tensor:
        """[E, heads, T, D] → [S, heads, D]."""
        _, heads, _, size = x.shape
        if self.full:
            return x.transpose(1, 2).reshape(-1, heads, size)
        return x.reshape(-1, size).index_select(0, self.query_index(heads, x.device)).view(-1, heads, size)


class Attending(NamedTuple):
    """How a layer attends.

    Attributes:
        scaling: of the scores.
        window: how many slots back a token sees, itself included; None: all.
        softcap: scores stay within this, by tanh.
        sinks: [H], of each head the score of attending to nothing.
    """

    scaling: float
    window: int | None
    softcap: float | None
    sinks: Tensor | None


class Pass:
    """One call of the model, made `with` it. Subclasses say which keys and values precede the new ones.

    Not a keyword of the call, because some families' layers do not hand keywords on to their attention.

    Attributes:
        layouts: where the tokens lie: the first tokens by the first layout, and so on.
        positions: of all S tokens.
    """

    def __init__(self, layouts: Sequence[Layout]):
        self.layouts = layouts
        self.positions = np.concatenate([layout.position for layout in layouts])
        self.layer = 0
        self._outer: Token[Pass | None] | None = None

    def __enter__(self) -> Pass:
        self._outer = _CURRENT.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._outer)

    @contextmanager
    def at_layer(self, layer: int) -> Iterator[None]:
        """Within, the next attention is that of this layer: for making a part of the pass once more, perhaps when it
        is over and in another thread, as the gradient's recomputation of a layer is."""
        self.layer = layer
        outer = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(outer)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Attending) -> Tensor:
        """Attention of a layer, from [S, heads, D] to [S, heads, D]."""
        sizes = [len(layout.slot) for layout in self.layouts]
        parts = (x.split(sizes) for x in (query, key, value))
        out = []
        for part, (layout, q, k, v) in enumerate(zip(self.layouts, *parts, strict=True)):
            keys, values = self.join(layer, part, k, v)
            mask = layout.mask(how.window, query.dtype, query.device)
            weights = attention_weights(layout.pad(q * how.scaling), keys, mask, how)
            out.append(layout.unpad(weighted(weights.to(values.dtype), values, query.shape[1])))
        return torch.cat(out)

    def join(self, layer: int, part: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """New keys and values [s, heads, D] of a layer, for one layout → all of them [E, heads, W, D]."""
        raise NotImplementedError


_CURRENT: ContextVar[Pass | None] = ContextVar("the pass that is being made", default=None)


def current_pass() -> Pass | None:
    """The pass that is being made, if any."""
    return _CURRENT.get()


def attention_weights(query: Tensor, key: Tensor, mask: Tensor, how: Attending) -> Tensor:
    """What each query takes of each value; key heads are shared by groups of heads, and not repeated.

    Plain products are faster than torch's fused kernels at these sizes on a CPU (a few queries, tens of keys).

    Args:
        query: [E, H, T, D], scaled.
        key: [E, key heads, W, D].
        mask: added to the scores, [E, 1, 1, T, W].

    Returns:
        at least float32 [E · key heads, H / key heads · T, W].
    """
    sequences, _, queries, size = query.shape
    key_heads, width = key.shape[1], key.shape[2]
    scores = query.reshape(sequences * key_heads, -1, size) @ key.reshape(-1, width, size).transpose(1, 2)
    if how.softcap is not None:
        scores = how.softcap * torch.tanh(scores / how.softcap)
    scores = scores.view(sequences, key_heads, -1, queries, width) + mask
    if how.sinks is not None:
        nothing = how.sinks.to(scores.dtype).view(1, key_heads, -1, 1, 1).expand(*scores.shape[:4], 1)
        scores = torch.cat([scores, nothing], -1)
    weights = torch.softmax(scores, -1, dtype=torch.promote_types(scores.dtype, torch.float32))
    return weights[..., :width].reshape(sequences * key_heads, -1, width)


def weighted(weights: Tensor, value: Tensor, heads: int) -> Tensor:
    """Sums of values [E, key heads, W, D] by weights [E · key heads, group · T, W] → [E, heads, T, D]."""
    return (weights @ value.reshape(-1, *value.shape[2:])).view(len(value), heads, -1, value.shape[3])


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The attention implementation that transformers calls in each layer, on [1, heads, S, D]."""
    packed = current_pass()
    layer = packed.layer
    packed.layer += 1
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    value_size = value.shape[-1]
    if value_size < key.shape[-1]:  # keys and values are kept in one tensor
        value = functional.pad(value, (0, key.shape[-1] - value_size))
    how = Attending(scaling, sliding_window, softcap, s_aux)
    out = packed.attend(layer, *(x.squeeze(0).transpose(0, 1) for x in (query, key, value)), how)
    return out[None, ..., :value_size], None


AttentionInterface.register(PACKED, packed_attention)
