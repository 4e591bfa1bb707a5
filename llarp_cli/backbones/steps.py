"""A rollout's step in tensors of fixed shapes: recorded once on a GPU, replayed at every step.

A step has few tokens, and asking a GPU for its hundreds of small operations takes longer than computing them. Here
nothing but the contents of `tokens` and `starts` depends on the step, so that one graph serves them all. It attends
to every slot the cache has, which costs a GPU little.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llarp_cli.backbones.attention import Attending, Layout, Pass, attention_weights, weighted
from llarp_cli.backbones.transfer import to_device

_RECORDING = Lock()

WARM_UP = 2
"""Passes before a graph is recorded, in which libraries make what they keep."""


class StepPass(Pass):
    """As many new tokens in every row of a cache; where they go is read from `starts`, int64 [R]."""

    def __init__(self, store: Tensor, starts: Tensor, per_row: int):
        rows = store.shape[2]
        super().__init__([Layout([0] * rows, [per_row] * rows)])
        self._store = store
        _, _, _, heads, slots, _ = store.shape
        steps, all_slots = (torch.arange(count, device=store.device) for count in (per_row, slots))
        self.slot = starts[:, None] + steps
        lane = torch.arange(rows * heads, device=store.device).view(rows, 1, heads)
        self._written = (lane * slots + self.slot[:, :, None]).flatten()
        self._behind = self.slot[:, :, None] - all_slots
        self._masks: dict[int | None, Tensor] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Attending) -> Tensor:
        layout = self.layouts[0]
        for held, new in zip(self._store[layer], (key, value), strict=True):
            held.view(-1, held.shape[-1]).index_copy_(0, self._written, new.reshape(-1, held.shape[-1]))
        keys, values = self._store[layer]
        mask = self._mask(how.window, query.dtype)
        weights = attention_weights(layout.pad(query * how.scaling), keys, mask, how)
        return layout.unpad(weighted(weights.to(values.dtype), values, query.shape[1]))

    def _mask(self, window: int | None, dtype: torch.dtype) -> Tensor:
        if window not in self._masks:
            unseen = self._behind < 0
            if window is not None:
                unseen = unseen | (self._behind >= window)
            mask = torch.zeros(unseen.shape, dtype=dtype, device=unseen.device)
            self._masks[window] = mask.masked_fill(unseen, torch.finfo(dtype).min)[:, None, None]
        return self._masks[window]


class Steps:
    """The steps of all rows of a cache.

    Args:
        model: the stock model, its attention ours.
        store: the cache's keys and values.
        per_row: new tokens in each row.
        first_position: of the model's positions.
        like: tokens [S, D] of the type and on the device that they will have.
    """

    def __init__(self, model: Any, store: Tensor, per_row: int, first_position: int, like: Tensor):
        self.store, self.per_row = store, per_row
        self._model, self._first_position = model, first_position
        rows = store.shape[2]
        self.tokens = like.new_zeros(rows * per_row, like.shape[-1])
        self.starts = torch.zeros(rows, dtype=torch.int64, device=like.device)
        self._graph: Any = None
        self._hidden: Tensor | None = None

    def __call__(self, tokens: Tensor, starts: np.ndarray) -> Tensor:
        """Hidden states [R · per row, D] of the next tokens of all rows, written into the cache at `starts` [R]."""
        self.set(tokens, starts)
        if self.tokens.device.type != "cuda":
            return self.compute()
        with torch.cuda.device(self.tokens.device):
            if self._graph is None:
                self._record()
            self._graph.replay()
        return self._hidden.clone()

    def set(self, tokens: Tensor, starts: np.ndarray) -> None:
        """What the next `compute` is of."""
        self.tokens.copy_(tokens)
        self.starts.copy_(to_device(starts, self.starts.device))

    def compute(self) -> Tensor:
        """From `tokens` and `starts` to hidden states, on the device alone."""
        step = StepPass(self.store, self.starts, self.per_row)
        with step:
            return self._model(
                inputs_embeds=self.tokens[None],
                position_ids=(step.slot + self._first_position).view(1, -1),
                use_cache=False,
            ).last_hidden_state.squeeze(0)

    def _record(self) -> None:
        # Another group of rows may be at work in its own thread, and a process records one graph at a time.
        with _RECORDING:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP):
                    self.compute()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
                self._hidden = self.compute()
            self._graph = graph
