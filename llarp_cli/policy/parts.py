"""What every learned policy shares: its frozen parts and how a skill is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llarp_cli.backbones.contract import Backbone
from llarp_cli.policy.contract import Decision, Policy
from llarp_cli.rearrangement.skills import REPERTOIRE
from llarp_cli.vision.contract import VisionEncoder

EPISODE_STEPS = REPERTOIRE.steps
"""The longest episode of the benchmark."""

READ_AHEAD = 15
"""Sentences of coming episodes that are read together with one that begins now, which makes 16."""


@dataclass(frozen=True)
class Frozen:
    """The parts that are never trained. A plain object, so that `nn.Module` neither saves, moves nor
    synchronises them."""

    backbone: Backbone
    encoder: VisionEncoder

    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Features of pictures [B, H, W, 3] as the rollout buffer stores them: [B, ...]."""
        return self.encoder.perceive(rgb)


class ReadAhead:
    """Has a policy read the sentences of coming episodes in groups, which is faster than one by one as they begin.

    Args:
        policy: reads them.
        environment: knows which come next.
    """

    def __init__(self, policy: Policy, environment: Any):
        self._policy = policy
        self._environment = environment
        self._read = -1

    def begun(self, episodes: int) -> None:
        """So many episodes have begun since."""
        self._read -= episodes

    def __call__(self, starting: Sequence[str]) -> None:
        """Read the sentences of episodes that begin now, unless they were foretold, and those of the next ones."""
        if starting and self._read < 0:
            coming = self._environment.upcoming(READ_AHEAD)
            self._policy.prepare([*coming, *starting])  # what is needed now is forgotten last
            self._read = len(coming)


def choose(logits: Tensor, values: Tensor, deterministic: bool, generator: Any) -> Decision:
    """Draw one action per row from softmax(logits), or take the likeliest.

    The draw is a race of exponential clocks, so that rounding in the logits changes an action only where
    two clocks tie. The noise is made where the generator lives.

    Args:
        logits: float32 [B, num_actions].
        values: float32 [B].
        deterministic: take the likeliest; the generator is not used.
        generator: torch generator, or None for the global one.
    """
    log_probs = logits.log_softmax(-1)
    if deterministic:
        actions = logits.argmax(-1)
    else:
        device = logits.device if generator is None else generator.device
        clocks = torch.empty(logits.shape, device=device).exponential_(generator=generator).to(logits.device)
        actions = (log_probs - clocks.log()).argmax(-1)
    return Decision(actions, log_probs.gather(-1, actions[:, None]).squeeze(-1), values, logits)
