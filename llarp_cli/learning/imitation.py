"""Imitation of the searching planner by dataset aggregation (DAgger, Ross et al. 2011).

The policy acts and so visits its own mistakes; the expert says at every step what it would do there.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from llarp_cli.learning.ppo import Loss, value_loss


def imitation_loss(
    logits: Tensor, values: Tensor, *, labels: Tensor, returns: Tensor, value_coefficient: float
) -> Loss:
    """Cross-entropy on the expert's labels, and regression of the value to what was really earned.

    Args:
        logits: [S, A].
        values: [S].
        labels: int64 [S], the expert's choices.
        returns: [S], discounted, of the behaviour that was seen.
    """
    log_probs = torch.log_softmax(logits, -1)
    cross_entropy = functional.nll_loss(log_probs, labels, reduction="none")
    critic = value_loss(values, returns)
    total = (cross_entropy + value_coefficient * critic).sum()
    with torch.no_grad():
        sums = {
            "policy_loss": cross_entropy.sum(),
            "value_loss": critic.sum(),
            "entropy": -(log_probs.exp() * log_probs).sum(),
            "agreement": (logits.argmax(-1) == labels).float().sum(),
        }
    return Loss(total, sums)


def expert_share(steps: int, stage_steps: int, until: float) -> float:
    """The share of episodes begun now that the expert acts in: from 1 at the stage's start, falling linearly
    to 0 at the fraction `until` of it. 0 throughout where `until` is 0."""
    if until == 0:
        return 0.0
    return max(0.0, 1.0 - steps / (stage_steps * until))
