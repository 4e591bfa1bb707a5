"""Cutting a minibatch into micro-batches that memory holds; their gradients add up to the minibatch's."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llarp_cli.backbones.sizing import usable_memory
from llarp_cli.errors import LlarpError


class MicroBatches:
    """Into how many micro-batches a minibatch is cut: by what it is thought to need, and by what has failed.

    The number is a power of two, so that it seldom depends on a little more or less free memory. Where memory is
    ample it is 1, and a run is the same to the last bit as any other of its seed; where it is short, a run may cut
    otherwise than another did, and round otherwise.

    Args:
        device: where gradients are computed.

    Attributes:
        most: the largest number so far.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._steps_at_once: float | None = None
        self._least = 1
        self.most = 1

    @property
    def planned(self) -> bool:
        return self._steps_at_once is not None

    def plan(self, bytes_per_step: float) -> None:
        """Compare what a step needs with the memory that is free now."""
        self._steps_at_once = max(1.0, usable_memory(self._device) / max(bytes_per_step, 1.0))

    def cut(self, chosen: Sequence[int], steps: Sequence[int]) -> list[list[int]]:
        """Share a minibatch's episodes out among micro-batches of about as many steps.

        Args:
            chosen: the episodes.
            steps: of each, those that are only context included.

        Returns:
            episodes by micro-batch, each in one, none empty; a single micro-batch keeps their order.
        """
        parts = self._least
        while self._steps_at_once is not None and parts * self._steps_at_once < sum(steps):
            parts *= 2
        parts = min(parts, len(chosen))
        self.most = max(self.most, parts)
        if parts == 1:
            return [list(chosen)]
        dealt: list[list[int]] = [[] for _ in range(parts)]
        sizes = [0] * parts
        for place in sorted(range(len(chosen)), key=lambda place: -steps[place]):
            least = sizes.index(min(sizes))
            dealt[least].append(chosen[place])
            sizes[least] += steps[place]
        return dealt

    def halve(self, parts: int, episodes: int) -> None:
        """So many micro-batches were too few: remember to make twice as many.

        Raises:
            LlarpError: each was a single episode already.
        """
        if parts >= episodes:
            raise LlarpError(
                f"{self._device.type} memory does not hold the gradients of a single episode",
                "set backbone.gradient_checkpointing=true, backbone.quantization=4bit, or adapter.action_tokens=0 "
                "and vision.tokens=1",
            )
        self._least = 2 * parts
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of whichever device."""
    told = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        sign in told for sign in ("DefaultCPUAllocator: can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )
