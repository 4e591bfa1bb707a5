"""Instruction prefixes: keys and values computed once per text, kept in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from llarp_cli.backbones.attention import Layout, Pass


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


class PrefixStore:
    """The prefixes used last, by text, up to `limit` bytes."""

    def __init__(self, limit: int):
        self.limit = limit
        self.size = 0
        self._kept: OrderedDict[str, InstructionPrefix] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, text: str) -> InstructionPrefix | None:
        if text in self._kept:
            self._kept.move_to_end(text)
        return self._kept.get(text)

    def add(self, text: str, prefix: InstructionPrefix) -> None:
        self._kept[text] = prefix
        self.size += prefix.bytes
        while self.size > self.limit and len(self._kept) > 1:
            self.size -= self._kept.popitem(last=False)[1].bytes


class EncodePass(Pass):
    """The instructions themselves: nothing precedes them, and their keys and values are kept."""

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self._kept: list[Tensor] = []

    def join(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        self._kept.append(torch.stack((key, value)))
        return self.layout.pad(key), self.layout.pad(value)

    def prefixes(self, lengths: Sequence[int]) -> list[InstructionPrefix]:
        per_text = torch.stack(self._kept).split(list(lengths), dim=2)
        return [InstructionPrefix(kept.transpose(2, 3).contiguous()) for kept in per_text]


class ForwardPass(Pass):
    """Observation tokens behind their instructions, with gradient to the tokens."""

    def __init__(self, layout: Layout, prefixes: Sequence[InstructionPrefix]):
        super().__init__(layout)
        layers, _, heads, _, size = prefixes[0].keys_values.shape
        self._base = prefixes[0].keys_values.new_zeros(layers, 2, layout.sequences, heads, layout.width, size)
        for row, prefix in enumerate(prefixes):
            self._base[:, :, row, :, : prefix.length] = prefix.keys_values

    def join(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        base_keys, base_values = self._base[layer]
        return self._behind(base_keys, key), self._behind(base_values, value)

    def _behind(self, base: Tensor, new: Tensor) -> Tensor:
        heads, size = new.shape[1:]
        index = self.layout.key_index(heads)
        return base.view(-1, size).index_copy(0, index, new.reshape(-1, size)).view(base.shape)
