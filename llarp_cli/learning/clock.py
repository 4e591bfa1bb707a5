"""Where the time goes: seconds by part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import torch

PARTS: tuple[str, ...] = ("environment", "vision", "llm", "update")


class Clock:
    """Adds up wall-clock seconds by part; on a GPU it waits for the queued work at each part's end.

    Attributes:
        seconds: part → seconds since the last `read`.
    """

    def __init__(self, device: torch.device):
        self._cuda = device.type == "cuda"
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        begun = perf_counter()
        try:
            yield
        finally:
            if self._cuda:
                torch.cuda.synchronize()
            self.seconds[part] += perf_counter() - begun

    def read(self) -> dict[str, float]:
        """The seconds by part since the last reading, which start again from zero."""
        seconds = self.seconds
        self.seconds = dict.fromkeys(PARTS, 0.0)
        return seconds
