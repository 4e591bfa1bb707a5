"""One update: several epochs of minibatches over a rollout, with either loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from llarp_cli.errors import LlarpError
from llarp_cli.learning.minibatches import even_groups
from llarp_cli.learning.ppo import Loss
from llarp_cli.learning.rollouts import Rollout
from llarp_cli.policy.contract import Policy

LossOf = Callable[[Tensor, Tensor, Tensor], Loss]
"""(logits [S, A], values [S], where these steps lie in the rollout [S]) → their loss."""


class NotFinite(LlarpError):
    """A loss or gradient that is no longer a number; the weights are still those before it."""


class Learner:
    """AdamW on what the policy trains, over one or several processes.

    Several processes learn exactly as one with all their environments: each step counts the same,
    however unevenly steps fall on processes and minibatches.

    Args:
        policy: its parameters are all that is trained and synchronised; called, it evaluates fragments.
        accelerator: device and processes.
        weight_decay: AdamW's.
        seed: of the order of minibatches.
    """

    def __init__(self, policy: Policy, accelerator: Accelerator, *, weight_decay: float, seed: int):
        self.policy = policy
        self.accelerator = accelerator
        optimizer = torch.optim.AdamW(policy.parameters(), weight_decay=weight_decay, eps=1e-5, fused=True)
        self.evaluate, self.optimizer = accelerator.prepare(policy, optimizer)
        self.random = np.random.Generator(np.random.PCG64(seed))

    def update(
        self,
        rollout: Rollout,
        loss_of: LossOf,
        *,
        lr: float,
        epochs: int,
        minibatches: int,
        max_grad_norm: float,
        recompute: bool = False,
    ) -> dict[str, float]:
        """Learn from every new step of the rollout once per epoch.

        Args:
            recompute: first replace the rollout's log-probabilities and values by those of the update path.
                Below float32 the two paths round differently, and the ratio must be 1 before the first step.

        Returns:
            the loss's figures as means over steps and epochs, and `grad_norm` before clipping, a mean over minibatches.

        Raises:
            NotFinite: a gradient is infinite or not a number; nothing of its minibatch was applied.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        lengths = rollout.learned_lengths()
        minibatches = min(minibatches, rollout.rewards.shape[1])
        processes = self.accelerator.num_processes
        sums: dict[str, Tensor] = {}
        seen, norms = 0.0, 0.0
        for epoch in range(epochs):
            groups = even_groups(lengths, minibatches, self.random)
            if recompute and epoch == 0:
                self._recompute(rollout, groups)
            for chosen in groups:
                fragments, steps = rollout.fragments(chosen)
                logits, values = self.evaluate(fragments)
                loss = loss_of(logits[fragments.learned], values[fragments.learned], steps)
                count = self.total(torch.tensor(float(len(steps)), device=steps.device))
                # Data-parallel training averages the processes' gradients: multiply to get their sum.
                self.accelerator.backward(loss.total * (processes / count))
                norm = self.accelerator.clip_grad_norm_(self.policy.parameters(), max_grad_norm)
                if not torch.isfinite(norm):
                    self.optimizer.zero_grad()
                    raise NotFinite(
                        f"the gradient became {float(norm)} (loss {float(loss.total.detach()) / len(steps):.4g})"
                    )
                self.optimizer.step()
                self.optimizer.zero_grad()
                for name, value in loss.sums.items():
                    sums[name] = sums.get(name, 0.0) + value
                seen += float(count)
                norms += float(norm)
        means = {name: float(self.total(value)) / seen for name, value in sums.items()}
        return {**means, "grad_norm": norms / (epochs * minibatches)}

    def _recompute(self, rollout: Rollout, groups: list[list[int]]) -> None:
        log_probs, values = rollout.log_probs.view(-1), rollout.values.view(-1)
        actions = rollout.actions[rollout.kept :]
        for chosen in groups:
            fragments, steps = rollout.fragments(chosen)
            with torch.no_grad():
                logits, now = self.policy.evaluate(fragments)
            taken = torch.log_softmax(logits[fragments.learned], -1).gather(-1, actions[steps].unsqueeze(-1))
            log_probs[steps], values[steps] = taken.squeeze(-1), now[fragments.learned]

    def total(self, value: Tensor) -> Tensor:
        """The sum over processes."""
        return self.accelerator.reduce(value, "sum")
