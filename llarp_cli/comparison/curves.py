"""How success in training grew with environment steps, and when it was first good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llarp_cli.learning.success import SuccessAverage

DRAWN = {"steps", "stage", "episodes", "success"}
"""What a curve needs of an update."""


@dataclass(frozen=True)
class Curve:
    """Running success in training over environment steps, of one run or of the mean over several.

    Attributes:
        steps: after each update, steps labelled by the expert included.
        mean, low, high: of success; low and high are the lowest and highest run.
        labelled: steps in the imitation stage, in which the expert labels every step.
    """

    steps: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    labelled: int

    def at(self, steps: int) -> float | None:
        """The mean at a number of steps; None where there is none."""
        return dict(zip(self.steps, self.mean, strict=True)).get(steps)

    def best(self) -> tuple[int, float] | None:
        """The steps at which the mean is highest, and that mean."""
        if not self.steps:
            return None
        success, steps = max(zip(self.mean, (-s for s in self.steps), strict=True))
        return -steps, success

    def reached(self, threshold: float) -> int | None:
        """The steps after which the mean is at least the threshold for the first time."""
        return next((s for s, mean in zip(self.steps, self.mean, strict=True) if mean >= threshold), None)


def curve_of(updates: Sequence[dict[str, Any]]) -> Curve:
    """One run's curve. Episodes in which the expert acted do not count; before the average is settled there is none."""
    average = SuccessAverage()
    steps, mean = [], []
    for update in updates:
        average.add(update["episodes"], update["episodes"] * (update["success"] or 0.0))
        success = average.value()
        if success is not None and average.settled:
            steps.append(update["steps"])
            mean.append(success)
    labelled = max((update["steps"] for update in updates if update["stage"] == "imitation"), default=0)
    return Curve(tuple(steps), tuple(mean), tuple(mean), tuple(mean), labelled)


def band(curves: Sequence[Curve]) -> Curve:
    """Mean, lowest and highest of several runs, where all of them have a running average.

    Args:
        curves: at least one.
    """
    means = [dict(zip(curve.steps, curve.mean, strict=True)) for curve in curves]
    steps = [s for s in curves[0].steps if all(s in mean for mean in means)]
    columns = [[mean[s] for mean in means] for s in steps]
    return Curve(
        tuple(steps),
        tuple(sum(column) / len(column) for column in columns),
        tuple(min(column) for column in columns),
        tuple(max(column) for column in columns),
        curves[0].labelled,
    )
