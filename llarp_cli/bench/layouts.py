"""The two ways of working, side by side: each collects rollouts and learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from llarp_cli.bench.meter import Sample, Shares, timed
from llarp_cli.bench.objective import ppo_objective
from llarp_cli.bench.reference import (
    INSTRUCTION_TOKENS,
    MINIBATCHES,
    ReferenceCollector,
    ReferenceLearner,
    ReferencePolicy,
    ReferenceRollout,
    StockModel,
    as_reference,
)
from llarp_cli.bench.workload import Parts
from llarp_cli.learning.clock import Clock
from llarp_cli.learning.collector import Collector
from llarp_cli.learning.learner import Learner
from llarp_cli.learning.rollouts import Rollout


class Ours:
    """Packed tokens behind prefixes computed once; see `learning`.

    Attributes:
        rebuilt: what making the cache anew took, after each rollout.
    """

    name = "ours"

    def __init__(self, parts: Parts):
        load = parts.workload
        self.ppo = parts.workload.recipe().ppo
        self.parts = parts
        self.device = parts.accelerator.device
        self.policy = parts.policy()
        self.environments = parts.environments()
        self.collector = Collector(
            self.policy,
            self.environments,
            device=self.device,
            clock=Clock(),
            seed=load.seed,
            limit_ends=self.ppo.limit_ends,
        )
        self.learner = Learner(self.policy, parts.accelerator, weight_decay=self.ppo.weight_decay, seed=load.seed)
        self.rebuilt: list[Sample] = []
        self._begun = {name: value.clone() for name, value in self.policy.state_dict().items()}

    def reset(self) -> None:
        self.collector.reset()

    def rollout(self) -> Rollout:
        """Collect, and make the cache anew from the episodes under way, as after an update."""
        rollout = self.collector.collect(self.ppo.rollout_steps)
        self.rebuilt.append(timed(self.collector.rebuild, self.device))
        return rollout

    def update(self, rollout: Rollout) -> int:
        """All epochs on one rollout, from the first weights; how many different steps were learned from."""
        self.policy.load_state_dict(self._begun)
        self.learner.optimizer.optimizer.state.clear()
        self.learner.update(
            rollout,
            ppo_objective(rollout, self.ppo),
            lr=self.ppo.lr,
            epochs=self.ppo.epochs,
            minibatches=self.ppo.minibatches,
            max_grad_norm=self.ppo.max_grad_norm,
            recompute=self.policy.frozen.backbone.dtype != torch.float32,
        )
        return rollout.rewards.numel()

    def watch(self, shares: Shares) -> None:
        self.collector.in_turn = True
        watch_shared(shares, self.parts, self.environments)
        backbone = self.policy.frozen.backbone
        shares.watch(backbone, "encode", "prefix")
        shares.watch(backbone, "forward", "forward")
        shares.watch(backbone, "extend", "forward")
        shares.watch(self.learner.optimizer, "step", "optimiser")


class Reference:
    """See `reference`.

    Args:
        recompute: act without a cache; then its name is "recompute".
    """

    def __init__(self, parts: Parts, *, recompute: bool = False):
        load = parts.workload
        self.name = "recompute" if recompute else "reference"
        self.ppo = parts.workload.recipe().ppo
        self.parts = parts
        self.device = parts.accelerator.device
        padded_to = load.instruction_tokens if load.environment == "synthetic" else INSTRUCTION_TOKENS
        stock = StockModel(parts.backbone, padded_to, load.longest)
        self.policy = ReferencePolicy(parts.policy(), stock, recompute=recompute)
        self.environments = [parts.environment()]
        self.collector = ReferenceCollector(self.policy, self.environments[0], seed=load.seed)
        self.learner = ReferenceLearner(
            self.policy,
            parts.accelerator,
            fragments=load.fragments or max(1, load.num_envs // MINIBATCHES),
            weight_decay=self.ppo.weight_decay,
            seed=load.seed,
        )
        self._begun = {name: value.clone() for name, value in self.policy.policy.state_dict().items()}

    def reset(self) -> None:
        self.collector.reset()

    def rollout(self) -> ReferenceRollout:
        with self.policy.stock.attention():
            return self.collector.collect(self.ppo.rollout_steps)

    def update(self, rollout: Rollout) -> int:
        """All epochs on all of a rollout of ours, from the first weights; how many steps were learned from."""
        self.policy.policy.load_state_dict(self._begun)
        self.learner.optimizer.state.clear()
        return self.learn(as_reference(rollout, self.policy), drawn=None)

    def learn(self, collected: ReferenceRollout, drawn: int | None) -> int:
        with self.policy.stock.attention():
            return self.learner.update(
                collected,
                ppo_objective(collected.rollout, self.ppo),
                lr=self.ppo.lr,
                epochs=self.ppo.epochs,
                max_grad_norm=self.ppo.max_grad_norm,
                drawn=drawn,
            )

    def watch(self, shares: Shares) -> None:
        watch_shared(shares, self.parts, self.environments)
        shares.watch(self.policy, "start", "prefix")
        shares.watch(self.policy, "append", "forward")
        shares.watch(self.policy, "read", "forward")
        shares.watch(self.learner.optimizer, "step", "optimiser")


def watch_shared(shares: Shares, parts: Parts, environments: Sequence[Any]) -> None:
    """What both layouts count alike."""
    for environment in environments:
        shares.watch(environment, "step", "environment")
        if parts.workload.environment == "home":
            shares.watch(environment.simulator, "render", "render")
    shares.watch(parts.encoder, "perceive", "vision")
    shares.watch(parts.accelerator, "backward", "backward")
    shares.watch(parts.accelerator, "clip_grad_norm_", "optimiser")
