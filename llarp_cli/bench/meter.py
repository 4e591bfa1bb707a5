"""Clocks: seconds of wall and cores, shares by part, tokens through the language model, peak memory."""

from __future__ import annotations

import statistics
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Any

import psutil
import torch

PARTS: tuple[str, ...] = ("environment", "render", "vision", "prefix", "forward", "backward", "optimiser", "other")
"""Where time goes: the environment without its pictures, drawing them, the vision encoder, reading
instructions, the language model's forward passes, backward passes, clipping and optimiser, all else."""

WAITING = "waiting"
"""Time in which the main thread did not run: it waited for other threads, or for the machine."""


@dataclass
class Sample:
    """One timed run.

    Attributes:
        seconds: of the wall clock.
        core_seconds: of all cores, this process only.
        result: what the run returned.
    """

    seconds: float
    core_seconds: float
    result: Any


def timed(run: Callable[[], Any], device: torch.device) -> Sample:
    """Run and time; on a GPU, until its work is done."""
    _finish(device)
    wall, cores = perf_counter(), process_time()
    result = run()
    _finish(device)
    return Sample(perf_counter() - wall, process_time() - cores, result)


def median(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    return statistics.median(figure(sample) for sample in samples)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass
class Shares:
    """Seconds of the main thread by part, each counted once: a part within another is taken out of it.

    On a GPU every part waits for its own work, so that nothing overlaps: for shares, not for rates.
    """

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _since: float = 0.0
    _watched: list[tuple[Any, str]] = field(default_factory=list)

    def watch(self, owner: Any, method: str, part: str) -> None:
        """Count one object's method as a part, until `measure` ends."""
        original = getattr(owner, method)
        main = threading.main_thread()

        def counted(*arguments: Any, **options: Any) -> Any:
            if threading.current_thread() is not main:
                return original(*arguments, **options)
            self._enter(part)
            try:
                return original(*arguments, **options)
            finally:
                self._leave()

        setattr(owner, method, counted)
        self._watched.append((owner, method))

    def measure(self, run: Callable[[], Any]) -> dict[str, float]:
        """The share of each part in a run's wall time; they add up to 1."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        begun, before = perf_counter(), thread_time()
        self._since = self._now()
        self._open = []
        self._enter("other")
        try:
            run()
        finally:
            self._leave()
            for owner, method in self._watched:
                delattr(owner, method)
            self._watched.clear()
        wall = perf_counter() - begun
        # A core's clock may run a little ahead of the wall's.
        waited = 0.0 if self.device.type == "cuda" else max(0.0, wall - (thread_time() - before))
        whole = sum(self.seconds.values()) + waited
        return {part: value / whole for part, value in {**self.seconds, WAITING: waited}.items()}

    def _now(self) -> float:
        _finish(self.device)
        return perf_counter() if self.device.type == "cuda" else thread_time()

    def _charge(self) -> None:
        now = self._now()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def _enter(self, part: str) -> None:
        self._charge()
        self._open.append(part)

    def _leave(self) -> None:
        self._charge()
        self._open.pop()


@contextmanager
def counted_tokens(model: torch.nn.Module) -> Iterator[dict[str, int]]:
    """Counts the tokens, padding included, that the model reads within: "without_gradient", "with_gradient"."""
    counts = {"without_gradient": 0, "with_gradient": 0}

    def count(module: torch.nn.Module, arguments: Any, options: dict[str, Any]) -> None:
        embedded = options.get("inputs_embeds")
        shape = options["input_ids"].shape if embedded is None else embedded.shape[:2]
        learning = embedded is not None and embedded.requires_grad and torch.is_grad_enabled()
        counts["with_gradient" if learning else "without_gradient"] += shape.numel()

    hook = model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield counts
    finally:
        hook.remove()


class PeakMemory:
    """The most memory held since `begin`, bytes: of the GPU, or of this process where there is none.

    Where the system does not let a process forget its peak, it is that since the process began.
    """

    def __init__(self, device: torch.device):
        self._device = device

    def begin(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            return
        try:
            Path("/proc/self/clear_refs").write_text("5", "ascii")
        except OSError:
            return

    def read(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        try:
            status = Path("/proc/self/status").read_text("ascii")
        except OSError:
            return _most_ever()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


def _most_ever() -> int:
    """The most main memory that this process ever held, bytes, where there is no /proc to ask."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
