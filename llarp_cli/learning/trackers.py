"""Training's figures in TensorBoard, trackio or Weights & Biases, beside `metrics.jsonl`, which stays the source.

Nothing a tracker does can fail a run or change it: whatever it raises becomes one warning, and it is left out from
there on; what it draws from the global random generators is given back.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, Protocol

from llarp_cli.config import Recipe
from llarp_cli.learning.checkpoint import random_states, restore_random_states
from llarp_cli.runs import RunDirectory

PROJECT = "llarp"
"""What runs are filed under, where a tracker files them."""


class Tracker(Protocol):
    """One of them, begun."""

    def log(self, figures: dict[str, float], steps: int) -> None:
        """One update's figures, at so many environment steps."""

    def finish(self) -> None:
        """The run has come to an end."""


class TensorBoard:
    """Event files in the run's folder `tensorboard`: `tensorboard --logdir runs`."""

    def __init__(self, run: RunDirectory, recipe: Recipe, steps: int):
        from torch.utils.tensorboard import SummaryWriter

        # What was written after the checkpoint that a resumed run goes on from is passed over.
        self._writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=steps + 1 if steps else None)

    def log(self, figures: dict[str, float], steps: int) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, steps)
        self._writer.flush()

    def finish(self) -> None:
        self._writer.close()


class Trackio:
    """Trackio's project `llarp`: `trackio show`."""

    def __init__(self, run: RunDirectory, recipe: Recipe, steps: int):
        self._trackio = importlib.import_module("trackio")
        self._trackio.init(PROJECT, name=identity(run), config=recipe.model_dump(mode="json"), resume="allow")

    def log(self, figures: dict[str, float], steps: int) -> None:
        self._trackio.log(figures, step=steps)

    def finish(self) -> None:
        self._trackio.finish()


class WeightsAndBiases:
    """The project `llarp` of Weights & Biases, or of what `WANDB_PROJECT` names; `WANDB_MODE=offline` keeps it here."""

    def __init__(self, run: RunDirectory, recipe: Recipe, steps: int):
        wandb = importlib.import_module("wandb")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=identity(run),
            name=run.path.resolve().name,
            dir=str(run.path),
            config=recipe.model_dump(mode="json"),
            resume="allow",
            settings=wandb.Settings(silent=True, init_timeout=60, login_timeout=30),
        )

    def log(self, figures: dict[str, float], steps: int) -> None:
        self._run.log(figures, step=steps)

    def finish(self) -> None:
        self._run.finish()


TRACKERS: dict[str, Callable[[RunDirectory, Recipe, int], Tracker]] = {
    "tensorboard": TensorBoard,
    "trackio": Trackio,
    "wandb": WeightsAndBiases,
}
"""A recipe's name for it, and its extra → what begins it: the run, its recipe, the steps already taken."""

FINISH_SECONDS = 60.0
"""How long a tracker may take to send what it has not sent yet."""


class Trackers:
    """Those that a recipe names, of one run.

    Args:
        names: keys of TRACKERS.
        run: whose figures they get.
        recipe: the run's.
        steps: already taken, where it goes on.
        warn: told a line about each that fails, once.
    """

    def __init__(
        self, names: Sequence[str], run: RunDirectory, recipe: Recipe, steps: int, warn: Callable[[str], None]
    ):
        self._warn = warn
        self._begun: dict[str, Tracker] = {}
        for name in names:
            with self._unharmed(name):
                self._begun[name] = TRACKERS[name](run, recipe, steps)

    def log(self, line: dict[str, Any]) -> None:
        """One line of `metrics.jsonl`."""
        figures = flattened(line)
        for name, tracker in list(self._begun.items()):
            with self._unharmed(name):
                tracker.log(figures, line["steps"])

    def finish(self) -> None:
        """The run has come to an end, whichever."""
        for name, tracker in list(self._begun.items()):
            with self._unharmed(name):
                _within(FINISH_SECONDS, tracker.finish)
        self._begun.clear()

    @contextmanager
    def _unharmed(self, name: str) -> Iterator[None]:
        """Whatever a tracker does in here, the run goes on as if it had not; one that raises is left out after."""
        states = random_states()
        try:
            with redirect_stdout(sys.stderr):
                yield
        except (Exception, SystemExit) as error:
            self._begun.pop(name, None)
            with suppress(OSError):  # the disk is full, which the run finds out by itself
                self._warn(
                    f"warning: tracker '{name}' is left out from here on: {_reason(name, error)}; metrics.jsonl goes on"
                )
        finally:
            restore_random_states(states)


def identity(run: RunDirectory) -> str:
    """A name that no other run has, and that a resumed run keeps."""
    name, started = run.path.resolve().name, str(run.facts().get("started"))
    return f"{name[:80]}-{hashlib.blake2b(f'{name} {started}'.encode(), digest_size=3).hexdigest()}"


def _within(seconds: float, do: Callable[[], None]) -> None:
    """Do something that may wait for a network, and wait for it only so long.

    Raises:
        TimeoutError: it takes longer.
    """
    problems: list[BaseException] = []

    def work() -> None:
        try:
            do()
        except (Exception, SystemExit) as error:
            problems.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"it does not finish within {seconds:.0f} seconds")
    if problems:
        raise problems[0]


def flattened(line: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a line: {"seconds": {"llm": 1.5}} becomes {"seconds/llm": 1.5}; what is none is left out."""
    figures: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, dict):
            figures |= flattened(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and math.isfinite(value):
            figures[f"{prefix}{name}"] = value
    figures.pop("steps", None)  # that is the axis
    return figures


def _reason(name: str, error: BaseException) -> str:
    """What a tracker raised, in a line."""
    if isinstance(error, ModuleNotFoundError):
        return f"it needs the package '{error.name}': pip install 'llarp[{name}]'"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
