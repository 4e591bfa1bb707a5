"""Experience, kept as whole episodes.

A rollout is T steps in each of N environments. Its steps are grouped by episode; an episode that
began in an earlier rollout is given from its first step, so that every policy reads its own context
with the weights it has now. Only the steps of this rollout are learned from, each once per epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from llarp_cli.backbones.transfer import to_device
from llarp_cli.learning.gae import advantages
from llarp_cli.policy.contract import Fragments


@dataclass
class Trajectory:
    """One episode so far.

    Attributes:
        instruction: its sentence.
        steps: where its steps lie in the rollout's arrays, from the episode's first.
        by_expert: the expert acts in it.
    """

    instruction: str
    steps: list[int] = field(default_factory=list)
    by_expert: bool = False


@dataclass(frozen=True)
class Finished:
    """An episode that ended during the rollout.

    Attributes:
        family: of its task.
        success: whether the goal was reached.
        total_reward: undiscounted, unscaled.
        length: steps.
        invalid_skills: steps whose skill's precondition did not hold.
        by_expert: the expert acted in it.
    """

    family: str
    success: bool
    total_reward: float
    length: int
    invalid_skills: int
    by_expert: bool


@dataclass
class Rollout:
    """P steps: first `kept` ones of earlier rollouts (context only), then T·N new ones, time by time.

    Attributes:
        trajectories: every episode with a new step.
        features: [P, ...], what `perceive` returned.
        actions: int64 [P].
        kept: steps of earlier rollouts.
        log_probs, values, rewards, next_values: float32 [T, N] of the new steps.
        ends: bool [T, N], the episode ended with the step.
        labels: int64 [T, N], the expert's choices, or None where it was not asked.
        finished: the episodes that ended.
    """

    trajectories: list[Trajectory]
    features: Tensor
    actions: Tensor
    kept: int
    log_probs: Tensor
    values: Tensor
    rewards: Tensor
    next_values: Tensor
    ends: Tensor
    labels: Tensor | None
    finished: list[Finished]

    def learned_lengths(self) -> list[int]:
        """New steps of each trajectory."""
        return [sum(step >= self.kept for step in trajectory.steps) for trajectory in self.trajectories]

    def targets(self, *, gamma: float, gae_lambda: float, reward_scale: float) -> tuple[Tensor, Tensor]:
        """Advantages and returns [T, N] of the scaled rewards."""
        gained = advantages(
            self.rewards * reward_scale, self.values, self.next_values, self.ends, gamma=gamma, gae_lambda=gae_lambda
        )
        return gained, gained + self.values

    def fragments(self, chosen: Sequence[int]) -> tuple[Fragments, Tensor]:
        """Some trajectories as the policy reads them.

        Returns:
            the fragments, and int64 [S'] where their learned steps lie in the flattened [T, N] arrays.
        """
        fragments, steps = pack([self.trajectories[i] for i in chosen], self.features, self.actions, self.kept)
        return fragments, steps.index_select(0, fragments.learned) - self.kept


def pack(trajectories: Sequence[Trajectory], features: Tensor, actions: Tensor, kept: int) -> tuple[Fragments, Tensor]:
    """Trajectories whose steps lie in `features` and `actions` [P, ...] as fragments, and their steps int64 [S]."""
    listed = np.array([step for trajectory in trajectories for step in trajectory.steps], np.int64)
    before = [step for trajectory in trajectories for step in [-1, *trajectory.steps][: len(trajectory.steps)]]
    steps = to_device(listed, actions.device)
    previous = to_device(np.array(before, np.int64), actions.device)
    fragments = Fragments(
        features=features[steps],
        instructions=[trajectory.instruction for trajectory in trajectories],
        lengths=[len(trajectory.steps) for trajectory in trajectories],
        previous_actions=torch.where(previous < 0, previous, actions[previous.clamp(min=0)]),
        learned=to_device(np.flatnonzero(listed >= kept), actions.device),
    )
    return fragments, steps
