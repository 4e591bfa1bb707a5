"""Episodes of a gymnasium environment: seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from llarp_cli.environments.contract import Seeds


@dataclass
class SeededEpisode:
    """What `env.reset(seed=...)` begins.

    Attributes:
        id: split and seed.
        split: its name.
        family: the environment's name, for tables.
        seed: of the reset.
        instruction: the sentence; "" until it has begun.
    """

    id: str
    split: str
    family: str
    seed: int
    instruction: str = ""


def fixed_episodes(family: str, split: str, seeds: Seeds, count: int) -> list[SeededEpisode]:
    """The first so many episodes of a split."""
    return [
        SeededEpisode(f"{split}-{seed}", split, family, seed)
        for seed in range(seeds.first, min(seeds.end, seeds.first + count))
    ]


def fingerprint(episodes: Sequence[SeededEpisode]) -> str:
    """SHA-256 of which episodes these are, in hexadecimal."""
    lines = (f"{episode.family}\t{episode.split}\t{episode.seed}\n" for episode in episodes)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class DrawnEpisodes:
    """Training episodes without end, drawn from a split by number.

    Args:
        family: the environment's name.
        split, seeds: drawn from.
        seed: another one draws others.
        start, stride: the first number, and from one to the next; processes and groups take turns.

    Attributes:
        position: number of the next episode; set it to resume.
    """

    def __init__(self, family: str, split: str, seeds: Seeds, seed: int, start: int, stride: int):
        self._family, self._split, self._seeds, self._seed, self._stride = family, split, seeds, seed, stride
        self.position = start

    def __call__(self) -> SeededEpisode:
        """The next episode."""
        digest = hashlib.blake2b(f"{self._split}/{self._seed}/{self.position}".encode(), digest_size=8).digest()
        seed = self._seeds.first + int.from_bytes(digest, "big") % self._seeds.count
        self.position += self._stride
        return SeededEpisode(f"{self._split}-{seed}", self._split, self._family, seed)


class ListedEpisodes:
    """Given episodes, each once.

    Attributes:
        position: index of the next one.
    """

    def __init__(self, episodes: Sequence[SeededEpisode]):
        self._episodes = episodes
        self.position = 0

    def __call__(self) -> SeededEpisode | None:
        """The next episode; None when there are no more."""
        if self.position >= len(self._episodes):
            return None
        self.position += 1
        return self._episodes[self.position - 1]
