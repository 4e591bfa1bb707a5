"""Instruction prefixes: keys and values computed once per text, kept in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llarp_cli.backbones.attention import Layout, Pass

PADDED_TOGETHER = 0.75
"""Episodes of at least this share of the longest one's tokens are padded to its length, in attention."""

PADDED_ANYWAY = 96
"""So are others, up to so many tokens of padding: that costs less than attention of their own."""


@dataclass(frozen=True)
class InstructionPrefix:
    """Keys and values of one instruction.

    Attributes:
        keys_values: [layers, 2, key heads, P, D per head].
    """

    keys_values: Tensor

    @property
    def length(self) -> int:
        return self.keys_values.shape[3]

    @property
    def bytes(self) -> int:
        return self.keys_values.numel() * self.keys_values.element_size()


@dataclass(frozen=True)
class TextFeatures:
    """Final hidden states of one instruction, read alone.

    Attributes:
        hidden: [P, D].
    """

    hidden: Tensor

    @property
    def bytes(self) -> int:
        return self.hidden.numel() * self.hidden.element_size()


class PrefixStore:
    """The prefixes (or text features) used last, by text, up to `limit` bytes."""

    def __init__(self, limit: int):
        self.limit = limit
        self.size = 0
        self._kept: OrderedDict[str, InstructionPrefix | TextFeatures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, text: str) -> InstructionPrefix | TextFeatures | None:
        if text in self._kept:
            self._kept.move_to_end(text)
        return self._kept.get(text)

    def add(self, text: str, prefix: InstructionPrefix | TextFeatures) -> None:
        self._kept[text] = prefix
        self.size += prefix.bytes
        while self.size > self.limit and len(self._kept) > 1:
            self.size -= self._kept.popitem(last=False)[1].bytes


class EncodePass(Pass):
    """The instructions themselves: nothing precedes them, and their keys and values are kept."""

    def __init__(self, layout: Layout):
        super().__init__([layout])
        self._kept: list[Tensor] = []

    def join(self, layer: int, part: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if key.shape != value.shape or (self._kept and key.shape != self._kept[0].shape[1:]):
            raise RuntimeError("its layers' keys and values differ in size")
        if layer == len(self._kept):  # not when a layer is recomputed
            kept = torch.stack((key, value))
            self._kept.append(kept.to(self._kept[0].device) if self._kept else kept)
        return self.layouts[part].pad(key), self.layouts[part].pad(value)

    def prefixes(self, lengths: Sequence[int]) -> list[InstructionPrefix]:
        per_text = torch.stack(self._kept).split(list(lengths), dim=2)
        return [InstructionPrefix(kept.transpose(2, 3).contiguous()) for kept in per_text]


class ForwardPass(Pass):
    """Observation tokens behind their instructions, with gradient to the tokens.

    Episodes of similar length are padded together. Tokens are to be given in `order`, an int64 [S] of their
    places in the packed tokens of all episodes.
    """

    def __init__(self, lengths: Sequence[int], prefixes: Sequence[InstructionPrefix]):
        counts = np.asarray(lengths)
        ends = np.cumsum(counts)
        groups = _similar(counts)
        super().__init__([Layout([prefixes[e].length for e in group], counts[group]) for group in groups])
        self.order = np.concatenate([np.arange(ends[e] - counts[e], ends[e]) for group in groups for e in group])
        self._bases = [self._base([prefixes[e] for e in group], part) for part, group in enumerate(groups)]

    def _base(self, prefixes: Sequence[InstructionPrefix], part: int) -> Tensor:
        """[layers, 2, E, heads, W, D] with the prefixes in their slots."""
        layers, _, heads, _, size = prefixes[0].keys_values.shape
        base = prefixes[0].keys_values.new_zeros(layers, 2, len(prefixes), heads, self.layouts[part].width, size)
        for row, prefix in enumerate(prefixes):
            base[:, :, row, :, : prefix.length] = prefix.keys_values
        return base

    def join(self, layer: int, part: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self._bases[part][layer]
        return self._behind(keys, key, part), self._behind(values, value, part)

    def _behind(self, base: Tensor, new: Tensor, part: int) -> Tensor:
        heads, size = new.shape[1:]
        index = self.layouts[part].key_index(heads, new.device)
        base = base.to(new.device)
        return base.view(-1, size).index_copy(0, index, new.reshape(-1, size)).view(base.shape)


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
