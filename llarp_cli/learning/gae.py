"""Generalised advantage estimation (Schulman et al. 2016, eq. 16)."""

from __future__ import annotations

import torch
from torch import Tensor


def advantages(
    rewards: Tensor, values: Tensor, next_values: Tensor, ends: Tensor, *, gamma: float, gae_lambda: float
) -> Tensor:
    """Advantages of T steps in N environments; `advantages + values` are the returns to regress to.

    Args:
        rewards: [T, N], of each step.
        values: [T, N], V of the state each step was taken in.
        next_values: [T, N], V of the state each step led to: 0 where that state is terminal, the value
            of the cut-off state where the episode was truncated and would go on.
        ends: bool [T, N], the episode ended with this step, either way; nothing flows back across it.
        gamma: discount.
        gae_lambda: 1 gives discounted returns, 0 one-step errors.

    Returns:
        [T, N].
    """
    errors = rewards + gamma * next_values - values
    carried = gamma * gae_lambda * (~ends)
    result = torch.empty_like(errors)
    running = torch.zeros_like(errors[0])
    for t in reversed(range(len(errors))):
        running = errors[t] + carried[t] * running
        result[t] = running
    return result


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns); 1 is perfect, 0 no better than a constant; nan for constant returns."""
    variance = returns.var(unbiased=False)
    if variance == 0:
        return float("nan")
    return float(1 - (returns - values).var(unbiased=False) / variance)
