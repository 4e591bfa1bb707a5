"""`llarp bench rollout`: acting in all environments for the length of a rollout."""

from __future__ import annotations

from typing import Any

from llarp_cli.bench.layouts import Ours, Reference
from llarp_cli.bench.measure import measure
from llarp_cli.bench.meter import Sample, Shares, median
from llarp_cli.bench.workload import Workload, load, threads

WARM_UP = 2
"""Rollouts that are not measured: episodes that begin together drift apart, and everything is compiled."""


class Rollouts:
    """A layout, collecting."""

    def __init__(self, layout: Ours | Reference):
        self.layout = layout
        self.name = layout.name
        self.steps = layout.ppo.rollout_steps * layout.parts.workload.num_envs

    def begin(self) -> None:
        self.layout.reset()
        for _ in range(WARM_UP):
            self.layout.rollout()

    def run(self) -> int:
        self.layout.rollout()
        return self.steps

    def watch(self, shares: Shares) -> None:
        self.layout.watch(shares)


def bench_rollout(workload: Workload, *, recompute: bool = False) -> dict[str, Any]:
    """Measure rollouts; see `measure` for what is returned.

    A rollout of ours contains making the cache anew for the episodes under way, as after an update: "rebuild_seconds"
    and "rebuild_core_seconds" of "ours". The reference layout goes on with the keys and values of earlier weights; the
    ratios of acting alone, when ours does too, are "ratio_acting" and "ratio_core_acting", likewise with "_recompute".

    Args:
        recompute: measure acting without a cache too ("recompute", "ratio_recompute").
    """
    with threads(workload.threads):
        parts = load(workload)
        layouts = [Rollouts({"ours": Ours, "reference": Reference}[name](parts)) for name in workload.layouts]
        if recompute:
            layouts.append(Rollouts(Reference(parts, recompute=True)))
        for layout in layouts:
            layout.begin()
        told = measure(parts, layouts, workload.num_envs * workload.rollout_steps)
        for layout in layouts:
            for environment in layout.layout.environments:
                environment.close()
    if "ours" in told:
        ours = next(layout.layout for layout in layouts if isinstance(layout.layout, Ours))
        _tell_rebuilding(told, ours.rebuilt[WARM_UP : WARM_UP + workload.repeat])
    return {"measured": "rollout", **told}


def _tell_rebuilding(told: dict[str, Any], rebuilt: list[Sample]) -> None:
    """Add what making the cache anew takes, and the ratios without it."""
    for clock, prefix in (("seconds", "ratio"), ("core_seconds", "ratio_core")):
        ours = told["ours"][f"rebuild_{clock}"] = median(rebuilt, lambda sample, clock=clock: getattr(sample, clock))
        for other, suffix in (("reference", ""), ("recompute", "_recompute")):
            if other in told:
                told[f"{prefix}_acting{suffix}"] = round(told[other][clock] / (told["ours"][clock] - ours), 3)
