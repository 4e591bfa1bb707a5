"""`llarp bench rollout`: acting in all environments for the length of a rollout."""

from __future__ import annotations

from typing import Any

from llarp_cli.bench.layouts import Ours, Reference
from llarp_cli.bench.measure import measure
from llarp_cli.bench.meter import Shares
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

    A rollout of ours contains making the cache anew for the episodes under way, as after an update.

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
    return {"measured": "rollout", **told}
