"""`llarp bench update`: all epochs on one rollout, the same one for both layouts, from the same weights."""

from __future__ import annotations

from typing import Any

from llarp_cli.bench.layouts import Ours, Reference
from llarp_cli.bench.measure import measure
from llarp_cli.bench.meter import Shares
from llarp_cli.bench.workload import Workload, load, threads
from llarp_cli.learning.rollouts import Rollout

BEFORE = 2
"""Rollouts before the one that is learned from, so that some of its episodes began earlier."""


class Updates:
    """A layout, learning from one rollout over and over; each time from the first weights."""

    def __init__(self, layout: Ours | Reference, rollout: Rollout):
        self.layout = layout
        self.name = layout.name
        self.rollout = rollout

    def run(self) -> int:
        return self.layout.update(self.rollout)

    def watch(self, shares: Shares) -> None:
        self.layout.watch(shares)


def bench_update(workload: Workload) -> dict[str, Any]:
    """Measure updates; see `measure` for what is returned.

    Both layouts learn from every step of the rollout in every epoch, also the reference, which in training
    draws only some: so that they are compared at the same work.
    """
    with threads(workload.threads):
        parts = load(workload)
        ours = Ours(parts)
        ours.reset()
        for _ in range(BEFORE):
            ours.rollout()
        rollout = ours.rollout()
        layouts = [Updates(ours if name == "ours" else Reference(parts), rollout) for name in workload.layouts]
        for layout in layouts:
            layout.run()
        told = measure(parts, layouts, rollout.rewards.numel())
        for layout in layouts:
            for environment in layout.layout.environments:
                environment.close()
    return {"measured": "update", "episodes": len(rollout.trajectories), **told}
