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
from typing import Any

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
    """

    def __init__(
        self,
        starts: Sequence[int],
        lengths: Sequence[int],
        *,
        causal: bool = True,
        width: int | None = None,
        queries: int | None = None,
    ):
        counts = np.asarray(lengths, dtype=np.int64)
        first = np.asarray(starts, dtype=np.int64)
        self.sequences = len(counts)
        self.queries = queries or int(counts.max())
        self.width = width or int((first + counts).max())
        self.row = np.repeat(np.arange(self.sequences), counts)
        self.step = np.arange(len(self.row)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.slot = first[self.row] + self.step
        self.full = bool((counts == self.queries).all())
        self._first, self._ends, self._causal = first, first + counts, causal
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

    def pad(self, x: Tensor) -> Tensor:
        """[S, heads, D] → [E, heads, T, D]."""
        _, heads, size = x.shape
        if self.full:
            return x.reshape(self.sequences, self.queries, heads, size).transpose(1, 2)
        padded = x.new_zeros(self.sequences * heads * self.queries, size)
        padded = padded.index_copy(0, self.query_index(heads, x.device), x.reshape(-1, size))
        return padded.view(self.sequences, heads, self.queries, size)

    def unpad(self, x: Tensor) -> Tensor:
        """[E, heads, T, D] → [S, heads, D]."""
        _, heads, _, size = x.shape
        if self.full:
            return x.transpose(1, 2).reshape(-1, heads, size)
        return x.reshape(-1, size).index_select(0, self.query_index(heads, x.device)).view(-1, heads, size)


class Pass:
    """One call of the model, made `with` it. Subclasses say which keys and values precede the new ones.

    Not a keyword of the call, because some families' layers do not hand keywords on to their attention.

    Attributes:
        layouts: where the tokens lie: the first tokens by the first layout, and so on.
        positions: of all S tokens.
    """

    def __init__(self, layouts: Sequence[Layout]):
        self.layouts = layouts
        self.positions = np.concatenate([layout.slot for layout in layouts])
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

    def join(self, layer: int, part: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """New keys and values [s, heads, D] of a layer, for one layout → all of them [E, heads, W, D]."""
        raise NotImplementedError


_CURRENT: ContextVar[Pass | None] = ContextVar("the pass that is being made", default=None)


def current_pass() -> Pass | None:
    """The pass that is being made, if any."""
    return _CURRENT.get()


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scaling: float,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Softmax attention with grouped key heads, which are not repeated.

    Plain products are faster than torch's fused kernels at these sizes on a CPU (a few queries, tens of keys).

    Args:
        query: [E, H, T, D].
        key, value: [E, H / group, W, D].
        mask: added to the scores, [E, 1, 1, T, W].
        softcap: scores stay within this, by tanh.
        sinks: [H], of each head the score of attending to nothing.

    Returns:
        [E, H, T, D].
    """
    sequences, heads, queries, size = query.shape
    key_heads, width = key.shape[1], key.shape[2]
    grouped = (query * scaling).reshape(sequences, key_heads, -1, size)
    scores = grouped @ key.transpose(2, 3)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.view(sequences, key_heads, -1, queries, width) + mask
    if sinks is not None:
        nothing = sinks.to(scores.dtype).view(1, key_heads, -1, 1, 1).expand(*scores.shape[:4], 1)
        scores = torch.cat([scores, nothing], -1)
    weights = torch.softmax(scores, -1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
    weights = weights[..., :width]
    return (weights.reshape(sequences, key_heads, -1, width) @ value).view(sequences, heads, queries, -1)


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
    sizes = [len(layout.slot) for layout in packed.layouts]
    parts = [x[0].transpose(0, 1).split(sizes) for x in (query, key, value)]
    out = []
    for part, (layout, q, k, v) in enumerate(zip(packed.layouts, *parts, strict=True)):
        keys, values = packed.join(layer, part, k, v)
        mask = layout.mask(sliding_window, query.dtype, query.device)
        out.append(layout.unpad(attend(layout.pad(q), keys, values, mask, scaling, softcap, s_aux)))
    return torch.cat(out)[None, ..., :value_size], None


AttentionInterface.register(PACKED, packed_attention)
