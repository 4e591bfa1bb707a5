"""Pictures, sentences and episodes that cost nothing, so that the policy alone is measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WORDS = (
    *("the", "a", "to", "in", "on", "at", "of", "for", "and", "with", "from", "one", "two", "table", "room", "house"),
    *("book", "ball", "water", "door", "black", "white", "red", "green", "small", "large", "old", "new", "left"),
    *("right", "up", "down", "go", "find", "take", "bring", "put", "move", "see", "open"),
)
"""Words that most vocabularies hold whole."""

PICTURES = 8
FEATURES = 768


def sentences(
    tokenize: Callable[[Sequence[str]], list[list[int]]], tokens: int, different: int, seed: int
) -> Iterator[str]:
    """Instructions of exactly so many tokens, without end.

    Args:
        tokenize: texts to token ids.
        tokens: of each, start and end marks included.
        different: how many; 0 repeats none on purpose.

    Raises:
        ValueError: words and marks cannot come to so few tokens.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    marks = len(tokenize(["the"])[0]) - 1
    known: list[str] = []
    while True:
        if different and len(known) == different:
            yield known[random.integers(different)]
            continue
        words = [str(word) for word in random.choice(WORDS, max(tokens - marks, 1))]
        while (length := len(tokenize([" ".join(words)])[0])) != tokens:
            if length > tokens and len(words) == 1:
                raise ValueError(f"no instruction of {tokens} tokens: marks and a word are {length}")
            words = words[:-1] if length > tokens else [*words, "the"]
        known.append(" ".join(words))
        yield known[-1]


@dataclass(frozen=True)
class SyntheticEpisode:
    """What metrics say of an episode."""

    family: str = "synthetic"


class SyntheticEnvironment:
    """N episodes of lengths drawn evenly, each ending by itself; whatever is done earns chance rewards.

    It stands in for `RearrangementVectorEnv` in the collection of rollouts.

    Args:
        num_envs: N.
        image_size: side of the random pictures, pixels.
        lengths: shortest and longest episode.
        instructions: gives each episode its sentence.
        seed: of lengths, pictures and rewards.
    """

    def __init__(
        self, num_envs: int, image_size: int, lengths: tuple[int, int], instructions: Iterator[str], seed: int
    ):
        self.num_envs = num_envs
        self._lengths = lengths
        self._instructions = instructions
        self._coming: deque[str] = deque()
        self._random = np.random.Generator(np.random.PCG64(seed))
        shape = (PICTURES, num_envs, image_size, image_size, 3)
        self._pictures = self._random.integers(0, 256, shape, np.uint8)
        self._taken = np.zeros(num_envs, np.int64)
        self._limits = np.zeros(num_envs, np.int64)
        self._texts = [""] * num_envs
        self._shown = 0

    def reset(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin episodes in all rows."""
        self._begin(np.arange(self.num_envs))
        return self._observation(), {}

    def step(self, actions: NDArray[np.integer]) -> tuple[Any, ...]:
        """One step in each row, as `RearrangementVectorEnv.step`."""
        self._taken += 1
        done = self._taken >= self._limits
        stats = {"success": False, "return": 0.0, "invalid_skills": 0}
        finished = [
            (int(row), SyntheticEpisode(), {**stats, "length": int(self._taken[row])}) for row in np.flatnonzero(done)
        ]
        self._begin(np.flatnonzero(done))
        rewards = self._random.standard_normal(self.num_envs).astype(np.float32)
        return self._observation(), rewards, done, np.zeros(self.num_envs, bool), {"finished": finished}

    def upcoming(self, count: int) -> list[str]:
        """The sentences of the episodes that begin next."""
        while len(self._coming) < count:
            self._coming.append(next(self._instructions))
        return list(self._coming)[:count]

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints, whose size is measured."""
        return {"taken": self._taken, "limits": self._limits}

    def close(self) -> None:
        """Nothing to give back."""

    def _begin(self, rows: NDArray[np.intp]) -> None:
        shortest, longest = self._lengths
        self._limits[rows] = self._random.integers(shortest, longest + 1, len(rows))
        self._taken[rows] = 0
        for row in rows:
            self._texts[row] = self._coming.popleft() if self._coming else next(self._instructions)

    def _observation(self) -> dict[str, Any]:
        self._shown = (self._shown + 1) % PICTURES
        return {"rgb": self._pictures[self._shown], "instruction": tuple(self._texts)}


class SyntheticEncoder:
    """Ready-made features of the size of a ViT-B's; fulfils `VisionEncoder`.

    A picture's first byte says which of 256 feature vectors it has.
    """

    name, weights, hash, renderer, trained = "synthetic", "random", "", None, None
    image_size, tokens, feature_size = 16, 1, FEATURES

    def __init__(self, device: torch.device):
        generator = torch.Generator().manual_seed(0)
        self._table = torch.randn(256, 1, FEATURES, generator=generator).half().to(device)

    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Half-precision features [B, 1, 768]."""
        return self._table[torch.from_numpy(rgb[:, 0, 0, 0].astype(np.int64)).to(self._table.device)]
