"""Instruction prefixes: keys and values computed once per text, kept in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

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

    def lend(self) -> None:
        """To the current stream of a GPU; see `lend`."""
        lend(self.keys_values)


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

    def lend(self) -> None:
        """Likewise."""
        lend(self.hidden)


def lend(tensor: Tensor) -> None:
    """Keep a GPU's memory from being given away before the current stream is done with it, even if the store lets go
    of the tensor by then: memory belongs to the stream in which it was taken, which may be another."""
    if tensor.is_cuda:
        tensor.record_stream(torch.cuda.current_stream(tensor.device))


class PrefixStore:
    """The prefixes (or text features) used last, by text, up to `limit` bytes. Several threads may use it."""

    def __init__(self, limit: int):
        self.limit = limit
        self.size = 0
        self._kept: OrderedDict[str, InstructionPrefix | TextFeatures] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, text: str) -> InstructionPrefix | TextFeatures | None:
        with self._lock:
            if text in self._kept:
                self._kept.move_to_end(text)
            return self._kept.get(text)

    def add(self, text: str, prefix: InstructionPrefix | TextFeatures) -> None:
        with self._lock:
            if text in self._kept:  # two threads read it at the same time
                return
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
