"""The rollout cache: each row has its own instruction and its own number of tokens, and is reset alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llarp_cli.backbones.attention import Attending, Layout, Pass, flat_index
from llarp_cli.backbones.prefixes import InstructionPrefix
from llarp_cli.backbones.row_attention import extend_rows
from llarp_cli.backbones.steps import Steps
from llarp_cli.backbones.transfer import to_device

SPARE_PREFIX = 32
"""Slots set aside for instructions at first; a longer one makes the cache grow."""


class RowSlotCache:
    """Keys and values of `rows` episodes, [layers, 2, rows, key heads, slots, D per head], filled in place.

    A token's slot is its position. Slots from a row's length on hold leftovers, which nothing attends to.

    Args:
        rows: episodes.
        capacity: tokens per episode, behind its instruction.
    """

    def __init__(self, rows: int, capacity: int):
        self.rows = rows
        self.capacity = capacity
        self.prefix_lengths = np.zeros(rows, dtype=np.int64)
        self.lengths = np.zeros(rows, dtype=np.int64)
        self.keys_values: Tensor | None = None
        self._steps: Steps | None = None
        self._fewest = capacity

    def in_step(self, rows: np.ndarray, lengths: Sequence[int]) -> bool:
        """Whether these are all rows in order, with as many tokens in each, and as few as ever: a step, not several
        that are read again."""
        if len(rows) != self.rows or len(set(lengths)) != 1 or not (rows == np.arange(self.rows)).all():
            return False
        self._fewest = min(self._fewest, lengths[0])
        return lengths[0] == self._fewest

    def steps(self, model: Any, per_row: int, first_position: int, tokens: Tensor) -> Steps:
        """What takes steps of so many tokens like these in all rows; another one after the cache has grown."""
        if self._steps is None or self._steps.store is not self.keys_values or self._steps.per_row != per_row:
            self._steps = Steps(model, self.keys_values, per_row, first_position, tokens)
        return self._steps

    def reset(self, rows: Sequence[int], prefixes: Sequence[InstructionPrefix]) -> None:
        if not len(rows):
            return
        self._make_room(prefixes)
        for row, prefix in zip(rows, prefixes, strict=True):
            self.keys_values[:, :, row, :, : prefix.length] = prefix.keys_values
            self.prefix_lengths[row] = self.lengths[row] = prefix.length

    def _make_room(self, prefixes: Sequence[InstructionPrefix]) -> None:
        longest = max(prefix.length for prefix in prefixes)
        held = 0 if self.keys_values is None else self.keys_values.shape[4]
        if longest + self.capacity <= held:
            return
        slots = -(-max(longest, SPARE_PREFIX) // 16) * 16 + self.capacity
        layers, _, heads, _, size = prefixes[0].keys_values.shape
        grown = prefixes[0].keys_values.new_zeros(layers, 2, self.rows, heads, slots, size)
        if self.keys_values is not None:
            grown[:, :, :, :, :held] = self.keys_values
        self.keys_values = grown


class ExtendPass(Pass):
    """The next tokens of some rows, written into the cache and read with all that precede them."""

    def __init__(self, layout: Layout, cache: RowSlotCache, rows: np.ndarray):
        super().__init__([layout])
        self._store = cache.keys_values
        self._rows, self._row = rows, rows[layout.row]
        # The first rows in order, the common case, are read where they lie; others are copied out.
        self._in_order = bool((rows == np.arange(len(rows))).all())
        self._written: Tensor | None = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: Attending) -> Tensor:
        store = self._store[layer]
        kinds = {(x.device.type, x.dtype) for x in (query, key, value, store)}
        if kinds != {("cpu", torch.float32)} or how.softcap is not None or how.sinks is not None:
            return super().attend(layer, query, key, value, how)
        new = (x.contiguous().numpy() for x in (query, key, value))
        slot = self.layouts[0].slot
        return torch.from_numpy(
            extend_rows(*new, store.numpy(), self._row, slot, scaling=how.scaling, window=how.window)
        )

    def join(self, layer: int, part: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self._store[layer]
        return self._extended(keys, key), self._extended(values, value)

    def _extended(self, store: Tensor, new: Tensor) -> Tensor:
        layout, (_, heads, slots, size) = self.layouts[0], store.shape
        if self._written is None:
            self._written = flat_index(self._row, heads, slots, layout.slot, store.device)
        store.view(-1, size).index_copy_(0, self._written, new.reshape(-1, size).to(store.device))
        within = store[:, :, : layout.width]
        if self._in_order:
            return within[: layout.sequences].to(new.device)
        return within.index_select(0, to_device(self._rows, store.device)).to(new.device)
