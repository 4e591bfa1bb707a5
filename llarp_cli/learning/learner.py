"""One update: several epochs of minibatches over a rollout, with either loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor

from llarp_cli.backbones.activations import TensorMemory
from llarp_cli.errors import LlarpError
from llarp_cli.learning.microbatches import MicroBatches, out_of_memory
from llarp_cli.learning.minibatches import even_groups
from llarp_cli.learning.ppo import Loss
from llarp_cli.learning.rollouts import Rollout
from llarp_cli.learning.side_by_side import SideBySide
from llarp_cli.policy.contract import Policy

LossOf = Callable[[Tensor, Tensor, Tensor], Loss]
"""(logits [S, A], values [S], where these steps lie in the rollout [S]) → their loss."""


class NotFinite(LlarpError):
    """A loss or gradient that is no longer a number; the weights are still those before it."""


class Learner:
    """AdamW on what the policy trains, over one or several processes.

    Several processes learn exactly as one with all their environments: each step counts the same,
    however unevenly steps fall on processes, minibatches and micro-batches. Gradients are exchanged here, once per
    minibatch and not by a wrapper during the pass backward: there are few of them, for the language model has none,
    and a process that runs out of memory half-way leaves the others nothing to wait for.

    On a GPU an update is queued from its first minibatch to its last without waiting for any: a step whose gradient
    is not finite, and all after it, are skipped there, and the figures are fetched once, at the end.

    Args:
        policy: its parameters are all that is trained and synchronised.
        accelerator: device and processes.
        weight_decay: AdamW's.
        seed: of the order of minibatches.

    Attributes:
        micro_batches: how minibatches are cut where memory is short.
    """

    def __init__(self, policy: Policy, accelerator: Accelerator, *, weight_decay: float, seed: int):
        self.policy = policy
        self.accelerator = accelerator
        optimizer = torch.optim.AdamW(policy.parameters(), weight_decay=weight_decay, eps=1e-5, fused=True)
        self.optimizer = accelerator.prepare(optimizer)
        self.random = np.random.Generator(np.random.PCG64(seed))
        self.micro_batches = MicroBatches(accelerator.device)
        self._side_by_side = SideBySide(policy, accelerator.device)
        if accelerator.num_processes > 1:
            for parameter in policy.parameters():
                parameter.data.copy_(broadcast(parameter.data))

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
            NotFinite: a gradient is infinite or not a number; nothing of its minibatch or of later ones was applied.
            LlarpError: memory does not hold the gradients of a single episode.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        lengths = rollout.learned_lengths()
        minibatches = min(minibatches, rollout.rewards.shape[1])
        zero = torch.zeros((), device=self.accelerator.device)
        sums: dict[str, Tensor] = {}
        seen, norms = zero, zero
        spoiled = _Spoiled(zero)
        # Torch's fused optimizers skip a step where this is 1, as its scaler of gradients wants it.
        self.optimizer.optimizer.found_inf = spoiled.flag
        for epoch in range(epochs):
            groups = even_groups(lengths, minibatches, self.random)
            if recompute and epoch == 0:
                self._recompute(rollout, groups)
            counts = self.total(torch.tensor([float(sum(lengths[i] for i in chosen)) for chosen in groups]).to(zero))
            for chosen, count in zip(groups, counts, strict=True):
                total, figures = self._gradients(rollout, chosen, loss_of, count)
                norm = self.accelerator.clip_grad_norm_(self.policy.parameters(), max_grad_norm)
                spoiled.look(norm, total / count)
                self.optimizer.step()
                self.optimizer.zero_grad()
                for name, value in figures.items():
                    sums[name] = sums.get(name, zero) + value
                norms = norms + norm
            seen = seen + counts.sum()
        totals = self.total(torch.stack([value.to(zero) for value in sums.values()])) if sums else zero[None]
        seen, norms, broken, norm, loss, *totals = torch.cat(
            [torch.stack([seen, norms, spoiled.flag, spoiled.norm, spoiled.loss]), totals]
        ).tolist()
        if broken:
            raise NotFinite(f"the gradient became {norm} (loss {loss:.4g})")
        means = {name: total / seen for name, total in zip(sums, totals, strict=False)}
        return {**means, "grad_norm": norms / (epochs * minibatches)}

    def _gradients(
        self, rollout: Rollout, chosen: list[int], loss_of: LossOf, count: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Leave a minibatch's gradients in the parameters, added up over micro-batches and processes.

        Returns:
            the loss's sum and the sums of its figures, of this process.
        """
        while True:
            parts = self._cut(rollout, chosen)
            told = None
            try:
                told = self._backward(rollout, parts, loss_of, count)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # From here on the error is gone, and with it what its frames held.
            if self._exchange(failed=told is None):
                return told
            self.optimizer.zero_grad()
            if told is None:
                self.micro_batches.halve(len(parts), len(chosen))

    def _cut(self, rollout: Rollout, chosen: list[int]) -> list[list[int]]:
        if not self.micro_batches.planned:
            self.micro_batches.plan(self._bytes_per_step(rollout))
        return self.micro_batches.cut(chosen, [len(rollout.trajectories[i].steps) for i in chosen])

    def _bytes_per_step(self, rollout: Rollout) -> float:
        """Memory that gradients take, measured on the rollout's longest episode; random numbers stay as they were."""
        steps = [len(trajectory.steps) for trajectory in rollout.trajectories]
        device = self.accelerator.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), TensorMemory() as memory:
            fragments, _ = rollout.fragments([steps.index(max(steps))])
            logits, values = self.policy.evaluate(fragments)
            (logits.sum() + values.sum()).backward()
            del logits, values, fragments
        self.optimizer.zero_grad()
        return memory.peak / max(steps)

    def _backward(
        self, rollout: Rollout, parts: list[list[int]], loss_of: LossOf, count: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        total, sums = torch.zeros_like(count), {}

        def loss_of_part(part: list[int]) -> tuple[Tensor, Loss]:
            fragments, steps = rollout.fragments(part)
            logits, values = self.policy.evaluate(fragments)
            loss = loss_of(logits[fragments.learned], values[fragments.learned], steps)
            return loss.total / count, loss

        for part in parts:
            shares = self._side_by_side.parts(part, [len(rollout.trajectories[i].steps) for i in part])
            for loss in self._side_by_side.gradients(shares, loss_of_part, self.accelerator.backward):
                total = total + loss.total.detach()
                for name, value in loss.sums.items():
                    sums[name] = sums.get(name, 0.0) + value
        return total, sums

    def _exchange(self, *, failed: bool) -> bool:
        """Add the gradients up over processes, unless one of them failed; whether none did."""
        if self.accelerator.num_processes == 1:
            return not failed
        parameters = list(self.policy.parameters())
        flat = torch.cat(
            [torch.zeros(1, device=self.accelerator.device)]
            + [(torch.zeros_like(p) if failed or p.grad is None else p.grad).flatten() for p in parameters]
        )
        flat[0] = float(failed)
        flat = self.total(flat)
        if flat[0] > 0:
            return False
        for parameter, gradient in zip(parameters, flat[1:].split([p.numel() for p in parameters]), strict=True):
            parameter.grad = gradient.view_as(parameter)
        return True

    def _recompute(self, rollout: Rollout, groups: list[list[int]]) -> None:
        log_probs, values = rollout.log_probs.view(-1), rollout.values.view(-1)
        actions = rollout.actions[rollout.kept :]
        # Cut as for gradients, since a product of another size may round otherwise.
        for part in (part for chosen in groups for part in self._cut(rollout, chosen)):
            fragments, steps = rollout.fragments(part)
            with torch.no_grad():
                logits, now = self.policy.evaluate(fragments)
            taken = torch.log_softmax(logits[fragments.learned], -1).gather(-1, actions[steps].unsqueeze(-1))
            log_probs[steps], values[steps] = taken.squeeze(-1), now[fragments.learned]

    def total(self, value: Tensor) -> Tensor:
        """The sum over processes."""
        return self.accelerator.reduce(value, "sum")


class _Spoiled:
    """Whether a gradient was not finite, and the norm and loss where it first was not; all on the device.

    Attributes:
        flag: 1 from then on, else 0; changed in place.
    """

    def __init__(self, zero: Tensor):
        self.flag, self.norm, self.loss = zero.clone(), zero, zero

    def look(self, norm: Tensor, loss: Tensor) -> None:
        first = ~torch.isfinite(norm) & (self.flag == 0)
        self.norm, self.loss = torch.where(first, norm, self.norm), torch.where(first, loss, self.loss)
        self.flag.masked_fill_(first, 1.0)
