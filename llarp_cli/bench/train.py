"""`llarp bench train`: rollouts and updates as in `llarp train`, and what a checkpoint comes to."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from llarp_cli.bench.layouts import Reference, watch_shared
from llarp_cli.bench.measure import MIB, measure
from llarp_cli.bench.meter import Shares
from llarp_cli.bench.workload import Parts, Workload, load, threads
from llarp_cli.learning.trainer import Trainer
from llarp_cli.policy.files import save_policy
from llarp_cli.runs import RunDirectory

WARM_UP = 2


class MeasuredTrainer(Trainer):
    """`llarp train`'s own trainer, one update at a time."""

    def once(self) -> None:
        """Collect and learn."""
        self.run.append_metrics(self._update())

    def save(self) -> Path:
        """Write a checkpoint; where it is."""
        self._save()
        return self.run.checkpoint(self.steps)


class OurTraining:
    """Training as `llarp train` does it."""

    name = "ours"

    def __init__(self, parts: Parts, folder: Path):
        load = parts.workload
        self.parts = parts
        self.steps = load.num_envs * load.rollout_steps
        self.environments = parts.environments()
        # More steps than are ever taken, so that the learning rate stays.
        recipe = load.recipe(steps=10**9)
        self.trainer = MeasuredTrainer(
            recipe,
            parts.policy(),
            self.environments,
            RunDirectory.create(folder, recipe, {}),
            parts.accelerator,
            save_policy=save_policy,
            below_float32=parts.backbone.dtype != torch.float32,
        )
        self.trainer.begin()

    def run(self) -> int:
        self.trainer.once()
        return self.steps

    def watch(self, shares: Shares) -> None:
        self.trainer.collector.in_turn = True
        watch_shared(shares, self.parts, self.environments)
        shares.watch(self.parts.backbone, "encode", "prefix")
        shares.watch(self.parts.backbone, "forward", "forward")
        shares.watch(self.parts.backbone, "extend", "forward")
        shares.watch(self.trainer.learner.optimizer, "step", "optimiser")

    def checkpoint_bytes(self) -> int:
        """Of everything in a checkpoint."""
        return sum(file.stat().st_size for file in self.trainer.save().rglob("*") if file.is_file())


class ReferenceTraining:
    """The same in the reference layout: an epoch draws as many fragments as there are environments."""

    name = "reference"

    def __init__(self, parts: Parts):
        self.parts = parts
        self.layout = Reference(parts)
        self.environments = self.layout.environments
        self.layout.reset()

    def run(self) -> int:
        return self.layout.learn(self.layout.rollout(), drawn=self.parts.workload.num_envs)

    def watch(self, shares: Shares) -> None:
        self.layout.watch(shares)

    def checkpoint_bytes(self) -> int:
        """Of the policy with its language model, and the optimiser's moments, as the release saves them."""
        moments = [value for state in self.layout.learner.optimizer.state.values() for value in state.values()]
        kept = [
            *self.parts.backbone.model.state_dict().values(),
            *self.layout.policy.policy.state_dict().values(),
            *moments,
        ]
        return sum(tensor.numel() * tensor.element_size() for tensor in kept)


def bench_train(workload: Workload) -> dict[str, Any]:
    """Measure training end to end; see `measure` for what is returned, and "checkpoint_mib" of each layout; and
    "micro_batches" into which memory had our minibatches cut at most.

    The ratio is of time per step that was learned from: the reference layout leaves part of its steps unused.
    """
    with threads(workload.threads), tempfile.TemporaryDirectory() as folder:
        parts = load(workload)
        layouts = [
            OurTraining(parts, Path(folder) / "run") if name == "ours" else ReferenceTraining(parts)
            for name in workload.layouts
        ]
        for layout in layouts:
            for _ in range(WARM_UP):
                layout.run()
        told = measure(parts, layouts, workload.num_envs * workload.rollout_steps)
        for layout in layouts:
            told[layout.name]["checkpoint_mib"] = round(layout.checkpoint_bytes() / MIB, 2)
            if isinstance(layout, OurTraining):
                told["micro_batches"] = layout.trainer.learner.micro_batches.most
            for environment in layout.environments:
                environment.close()
    return {"measured": "train", **told}
