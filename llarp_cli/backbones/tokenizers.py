"""Texts to token ids: a pretrained tokenizer, or one that needs no file, for random weights."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any


class PretrainedTokenizer:
    """A tokenizer of transformers, with its special tokens, never truncating."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self.size = len(tokenizer)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        return self._tokenizer(list(texts), padding=False, truncation=False)["input_ids"]


class WordTokenizer:
    """Words and punctuation to ids by checksum, behind a start token: alike on every machine.

    Args:
        size: ids are below it; 0 and 2 are never used, 1 is the start.
    """

    def __init__(self, size: int):
        self.size = size

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        return [[1, *map(self._id, re.findall(r"\w+|[^\w\s]", text))] if text.strip() else [] for text in texts]

    def _id(self, word: str) -> int:
        return 3 + zlib.crc32(word.encode()) % (self.size - 3)
