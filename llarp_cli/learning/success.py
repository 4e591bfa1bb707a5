"""Success in training as it is told: over so many of the latest episodes. Importing this needs no torch."""

from __future__ import annotations

from collections import deque

AVERAGED_EPISODES = 500
"""An average is over the latest updates that together have so many episodes."""


class SuccessAverage:
    """Success over the latest episodes in which the policy acted, by whole updates.

    Attributes:
        updates: of each the episodes and how many of them succeeded.
    """

    def __init__(self) -> None:
        self.updates: deque[list[float]] = deque()

    def add(self, episodes: int, successes: float) -> None:
        """One more update."""
        self.updates.append([episodes, successes])
        while self._episodes() - self.updates[0][0] >= AVERAGED_EPISODES:
            self.updates.popleft()

    def value(self) -> float | None:
        """A fraction; None before the first episode ends."""
        episodes = self._episodes()
        return sum(successes for _, successes in self.updates) / episodes if episodes else None

    @property
    def settled(self) -> bool:
        """Whether it is over enough episodes. Of the first few most are short, and so successes."""
        return self._episodes() >= AVERAGED_EPISODES

    def _episodes(self) -> float:
        return sum(episodes for episodes, _ in self.updates)
