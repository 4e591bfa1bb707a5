"""The objective of proximal policy optimisation (Schulman et al. 2017). Pure: numbers in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """A loss summed over steps, so that batches of unequal size and several processes add up.

    Attributes:
        total: what to differentiate, summed over the steps.
        sums: detached figures to report, summed over the steps likewise.
    """

    total: Tensor
    sums: dict[str, Tensor]


def value_loss(values: Tensor, returns: Tensor, old_values: Tensor | None = None, clip: float = 0.0) -> Tensor:
    """Half the squared error of each step, [S].

    With `old_values`, a value may profit only from moving up to `clip` away from its old one (the larger of
    the clipped and the unclipped error counts).
    """
    errors = (values - returns).square()
    if old_values is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        errors = torch.maximum(errors, (near - returns).square())
    return 0.5 * errors


def ppo_loss(
    logits: Tensor,
    values: Tensor,
    *,
    actions: Tensor,
    old_log_probs: Tensor,
    old_values: Tensor,
    advantages: Tensor,
    returns: Tensor,
    clip: float,
    clip_value: bool,
    value_coefficient: float,
    entropy_coefficient: float,
) -> Loss:
    """The clipped surrogate objective (eq. 7) with value loss and entropy bonus (eq. 9), as a loss.

    Args:
        logits: [S, A] of the policy as it is now.
        values: [S] likewise.
        actions: int64 [S], taken.
        old_log_probs, old_values: [S], when they were taken.
        advantages, returns: [S].
    """
    log_probs = torch.log_softmax(logits, -1)
    taken = log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    log_ratio = taken - old_log_probs
    ratio = log_ratio.exp()
    surrogate = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    critic = value_loss(values, returns, old_values if clip_value else None, clip)
    total = (-surrogate + value_coefficient * critic - entropy_coefficient * entropy).sum()
    with torch.no_grad():
        sums = {
            "policy_loss": -surrogate.sum(),
            "value_loss": critic.sum(),
            "entropy": entropy.sum(),
            # The low-variance, never negative estimate of KL(old || new).
            "approx_kl": (ratio - 1 - log_ratio).sum(),
            "clip_fraction": ((ratio - 1).abs() > clip).float().sum(),
        }
    return Loss(total, sums)
