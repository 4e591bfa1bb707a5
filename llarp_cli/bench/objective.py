"""PPO's loss over a rollout's steps, the same for both layouts."""

from __future__ import annotations

from torch import Tensor

from llarp_cli.config import PPOOptions
from llarp_cli.learning.learner import LossOf
from llarp_cli.learning.ppo import Loss, ppo_loss
from llarp_cli.learning.rollouts import Rollout


def ppo_objective(rollout: Rollout, ppo: PPOOptions) -> LossOf:
    """The loss of some steps, given their logits and values as they are now."""
    gained, returns = rollout.targets(gamma=ppo.gamma, gae_lambda=ppo.gae_lambda, reward_scale=ppo.reward_scale)
    gained, returns = gained.flatten(), returns.flatten()
    actions = rollout.actions[rollout.kept :]
    log_probs, values_then = rollout.log_probs.flatten(), rollout.values.flatten()

    def loss_of(logits: Tensor, values: Tensor, steps: Tensor) -> Loss:
        return ppo_loss(
            logits,
            values,
            actions=actions[steps],
            old_log_probs=log_probs[steps],
            old_values=values_then[steps],
            advantages=gained[steps],
            returns=returns[steps],
            clip=ppo.clip,
            clip_value=ppo.clip_value,
            value_coefficient=ppo.value_coefficient,
            entropy_coefficient=ppo.entropy_coefficient,
        )

    return loss_of
