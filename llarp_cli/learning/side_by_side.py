"""A minibatch's gradients on all cores of a CPU: each computes those of some episodes, and they are added up.

Torch's own threads share out every operation and meet after each; most of a pass's are too small for that. Here they
meet once per minibatch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import torch
from torch import Tensor, nn

from llarp_cli.backbones.lora import LoraWeights
from llarp_cli.learning.minibatches import dealt
from llarp_cli.learning.ppo import Loss

LossOfPart = Callable[[list[int]], tuple[Tensor, Loss]]
"""Episodes → what is to be differentiated, and their loss."""

STEPS_EACH = 128
"""Fewer than this are not worth a thread of their own: matrix products of few rows are slow, and each thread reads
all weights."""


class SideBySide:
    """Computes gradients of parts of a minibatch at once, and always adds them up in the same order.

    On a GPU, and for a policy that draws random numbers as it learns, whose order threads would leave to chance, all
    is done in one thread.

    Args:
        policy: whose gradients.
    """

    def __init__(self, policy: nn.Module, device: torch.device):
        draws = any(isinstance(part, (nn.Dropout, LoraWeights)) for part in policy.modules())
        self._alone = draws or device.type != "cpu"
        self._parameters = list(policy.parameters())
        self._workers = ThreadPoolExecutor(initializer=torch.set_num_threads, initargs=(1,))

    def parts(self, chosen: Sequence[int], steps: Sequence[int]) -> list[list[int]]:
        """Episodes shared out among torch's threads; all in one part where they are few.

        Args:
            chosen: the episodes.
            steps: of each.
        """
        count = 1 if self._alone else min(torch.get_num_threads(), sum(steps) // STEPS_EACH, len(chosen))
        if count <= 1:
            return [list(chosen)]
        return [[chosen[i] for i in part] for part in dealt(range(len(chosen)), steps, count)]

    def gradients(
        self, parts: Sequence[list[int]], loss_of_part: LossOfPart, backward: Callable[[Tensor], None]
    ) -> list[Loss]:
        """Add the parts' gradients to the parameters'; their losses.

        Args:
            parts: episodes of each.
            backward: adds the gradients of the first part, in this thread.
        """
        first, *others = parts
        threads = torch.get_num_threads()
        if others:
            torch.set_num_threads(1)
        running = [self._workers.submit(self._apart, other, loss_of_part) for other in others]
        try:
            scaled, loss = loss_of_part(first)
            backward(scaled)
            losses = [loss]
            for loss, gradients in map(Future.result, running):
                losses.append(loss)
                for parameter, gradient in zip(self._parameters, gradients, strict=True):
                    if gradient is not None:
                        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
            return losses
        finally:
            wait(running)
            torch.set_num_threads(threads)

    def _apart(self, part: list[int], loss_of_part: LossOfPart) -> tuple[Loss, tuple[Tensor | None, ...]]:
        scaled, loss = loss_of_part(part)
        return loss, torch.autograd.grad(scaled, self._parameters, allow_unused=True)
