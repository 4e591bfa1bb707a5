"""Where the time goes: seconds by part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

WAITING = "waiting"
"""Part of a group of environments that is done before the other: see `collector`."""

PARTS: tuple[str, ...] = ("environment", "vision", "llm", WAITING, "update")


class Clock:
    """Adds up wall-clock seconds by part, in one thread.

    A GPU works through what is queued for it while the clock goes on; waiting for it counts where its results are
    fetched: its vision with the language model, whose actions are the first to be needed.

    Attributes:
        seconds: part → seconds since the last `read`.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        begun = perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += perf_counter() - begun

    def add(self, other: Clock, share: float = 1.0) -> None:
        """Take over the seconds of another clock, which starts again from zero.

        Args:
            share: what counts of them: 1/n of each of n that ran at the same time, so that all parts still add up
                to the time that has passed.
        """
        for part, seconds in other.read().items():
            self.seconds[part] += share * seconds

    def read(self) -> dict[str, float]:
        """The seconds by part since the last reading, which start again from zero."""
        seconds = self.seconds
        self.seconds = dict.fromkeys(PARTS, 0.0)
        return seconds
