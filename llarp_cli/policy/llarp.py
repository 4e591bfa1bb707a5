"""The LLaRP policy: pictures become tokens behind an instruction in a frozen language model (§3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llarp_cli.backbones.contract import Backbone, Prefix, RowCache
from llarp_cli.config import AdapterOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.policy.adapter import Adapter
from llarp_cli.policy.contract import Decision, Fragments
from llarp_cli.policy.float16 import entering, leaving, reduce_gradients
from llarp_cli.policy.parts import Frozen, choose
from llarp_cli.rearrangement.skills import REPERTOIRE
from llarp_cli.repertoire import Repertoire
from llarp_cli.vision.contract import VisionEncoder


@dataclass
class LLaRPState:
    """Rollout state: the backbone's keys and values of B episodes so far."""

    cache: RowCache
    rows: int


class LLaRPPolicy(nn.Module):
    """A language model that acts. Only `adapter` has parameters, and `updates` where the recipe wants LoRA.

    Args:
        backbone: the language model.
        encoder: the vision encoder.
        options: the adapter's sizes.
        repertoire: what it chooses from.
    """

    def __init__(
        self,
        backbone: Backbone,
        encoder: VisionEncoder,
        options: AdapterOptions,
        repertoire: Repertoire = REPERTOIRE,
    ):
        super().__init__()
        self.frozen = Frozen(backbone, encoder)
        self.image_size = encoder.image_size
        self.repertoire = repertoire
        self.num_actions = len(repertoire.skills)
        self.adapter = Adapter(
            encoder.trained,
            encoder.feature_size,
            encoder.tokens,
            backbone.hidden_size,
            backbone.token_scale,
            self.num_actions,
            options,
        )
        self.updates = backbone.trained
        if self.updates is not None and backbone.dtype == torch.float16:
            reduce_gradients(self.updates)
        # What is seen after the last skill is read too, for its value.
        self.capacity = (repertoire.steps + 1) * self.adapter.tokens_per_step
        self.to(backbone.device)

    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """See `Policy.perceive`."""
        return self.frozen.perceive(rgb)

    @torch.no_grad()
    def prepare(self, instructions: Sequence[str]) -> None:
        """See `Policy.prepare`."""
        self._prefixes(instructions)

    def initial_state(self, rows: int) -> LLaRPState:
        """See `Policy.initial_state`."""
        return LLaRPState(self.frozen.backbone.open_cache(rows, self.capacity), rows)

    @torch.no_grad()
    def act(
        self,
        features: Tensor,
        instructions: Sequence[str],
        state: LLaRPState,
        starts: NDArray[np.bool_],
        previous_actions: NDArray[np.int64],
        *,
        deterministic: bool = False,
        generator: Any = None,
    ) -> Decision:
        """See `Policy.act`.

        Raises:
            UsageProblem: an instruction leaves no room for an episode in the backbone's context.
        """
        fresh = np.flatnonzero(starts).tolist()
        if fresh:
            state.cache.reset(fresh, self._prefixes([instructions[row] for row in fresh]))
        tokens = self._tokens(features, torch.as_tensor(previous_actions))
        rows = range(state.rows)
        hidden = self.frozen.backbone.extend(tokens, [self.adapter.tokens_per_step] * state.rows, state.cache, rows)
        logits, values = self.adapter.decide(self._readouts(hidden))
        return choose(logits, values, deterministic, generator)

    @torch.no_grad()
    def values_after(
        self, state: LLaRPState, rows: Sequence[int], features: Tensor, previous_actions: Tensor
    ) -> Tensor:
        """See `Policy.values_after`."""
        tokens = self._tokens(features, previous_actions)
        lengths = [self.adapter.tokens_per_step] * len(rows)
        hidden = self.frozen.backbone.extend(tokens, lengths, state.cache, rows, keep=False)
        return self.adapter.decide(self._readouts(hidden))[1]

    @torch.no_grad()
    def rebuild(self, state: LLaRPState, fragments: Fragments) -> None:
        """See `Policy.rebuild`. Rows without steps are left as they are: `act` starts them afresh."""
        rows = [row for row, steps in enumerate(fragments.lengths) if steps]
        if not rows:
            return
        state.cache.reset(rows, self._prefixes([fragments.instructions[row] for row in rows]))
        tokens = self._tokens(fragments.features, fragments.previous_actions)
        lengths = [fragments.lengths[row] * self.adapter.tokens_per_step for row in rows]
        self.frozen.backbone.extend(tokens, lengths, state.cache, rows)

    def evaluate(self, fragments: Fragments) -> tuple[Tensor, Tensor]:
        """See `Policy.evaluate`."""
        tokens = self._tokens(fragments.features, fragments.previous_actions)
        lengths = [steps * self.adapter.tokens_per_step for steps in fragments.lengths]
        hidden = self.frozen.backbone.forward(tokens, lengths, self._prefixes(fragments.instructions))
        return self.adapter.decide(self._readouts(hidden))

    def _tokens(self, features: Tensor, previous_actions: Tensor) -> Tensor:
        """Packed tokens [S * tokens per step, D] as the backbone takes them."""
        backbone = self.frozen.backbone
        tokens = self.adapter.tokens(features.to(backbone.device), previous_actions.to(backbone.device))
        return entering(tokens.flatten(0, 1), backbone.dtype)

    def _readouts(self, hidden: Tensor) -> Tensor:
        """The hidden state [S, D] at the last token of each step, float32."""
        last = hidden.unflatten(0, (-1, self.adapter.tokens_per_step))[:, -1]
        return leaving(last, self.frozen.backbone.dtype)

    def _prefixes(self, instructions: Sequence[str]) -> Sequence[Prefix]:
        backbone = self.frozen.backbone
        prefixes = backbone.encode(instructions)
        longest = max(prefix.length for prefix in prefixes)
        if longest + self.capacity > backbone.context_length:
            raise UsageProblem(
                f"an instruction of {longest} tokens and {self.repertoire.steps + 1} observations of "
                f"{self.adapter.tokens_per_step} do not fit the "
                f"{backbone.context_length} tokens of backbone '{backbone.identity.name}'",
                "shorten the instruction",
            )
        return prefixes
