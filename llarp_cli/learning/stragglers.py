"""Collecting ends early for processes that are late (DD-PPO: Wijmans et al. 2020, section 3).

An update waits for the slowest process. Once enough have collected all their steps, the others make do with those
that they have; each step counts the same in the update, however few a process brings.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import torch.distributed as dist
from accelerate.utils import broadcast_object_list

SHORTEST = 0.25
"""A process takes at least this share of its steps, as in DD-PPO."""


class Finishers:
    """Counts the processes that have collected all their steps, in a store that the first process keeps.

    Args:
        share: of the processes; the others may stop when so many have finished.
        process: this one's index.
        processes: how many there are, at least 2; all make theirs at the same time.
    """

    def __init__(self, share: float, *, process: int, processes: int):
        self._enough = share * processes
        address = [os.environ["MASTER_ADDR"], 0]
        store = None
        if process == 0:
            store = dist.TCPStore(address[0], 0, is_master=True, wait_for_workers=False)
            address[1] = store.port  # any free one
        broadcast_object_list(address)
        self._store = store or dist.TCPStore(address[0], address[1], is_master=False)
        self._process = process
        self._update = 0

    def enough(self) -> bool:
        """Whether enough have finished."""
        return self._store.add(f"finished/{self._update}", 0) >= self._enough

    def finish(self) -> None:
        """This process has finished; what comes next is its next collecting."""
        self._store.add(f"finished/{self._update}", 1)
        self._update += 1
        if self._process == 0 and self._update > 1:
            self._store.delete_key(f"finished/{self._update - 2}")  # every process is past that update


class Limit:
    """After how many steps all of a process's groups stop, whose threads ask before each step.

    Args:
        steps: at most.
        enough: asked from the shortest allowed number on; once it is true, the group that is furthest decides. None
            never stops early.
    """

    def __init__(self, steps: int, enough: Callable[[], bool] | None):
        self.steps = steps
        self._enough = enough
        self._shortest = max(1, round(SHORTEST * steps))
        self._furthest = 0
        self._lock = threading.Lock()

    def reached(self, step: int) -> bool:
        """Whether a group that has taken so many steps is to stop."""
        with self._lock:
            if self._enough is not None and self._shortest <= step < self.steps and self._enough():
                self.steps = max(self._furthest, step)
            if step < self.steps:
                self._furthest = max(self._furthest, step + 1)
            return step >= self.steps
