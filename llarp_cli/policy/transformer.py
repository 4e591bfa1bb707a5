"""The baseline `transformer`: a network of the language model's size, learned from scratch.

The same tokens in the same order as in `llarp`, through word embeddings and a causal transformer that start from
random weights and are trained whole, the reading of instructions included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llarp_cli.backbones.contract import Backbone
from llarp_cli.backbones.sizing import free_memory
from llarp_cli.config import AdapterOptions, TransformerOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.policy.adapter import Adapter
from llarp_cli.policy.causal_transformer import WEIGHT_SCALE, CausalTransformer, EpisodeCache
from llarp_cli.policy.contract import Decision, Fragments
from llarp_cli.policy.parts import Frozen, choose
from llarp_cli.rearrangement.skills import REPERTOIRE
from llarp_cli.repertoire import Repertoire
from llarp_cli.vision.contract import VisionEncoder

TRAINING_BYTES = 16
"""A trained parameter's memory: itself, its gradient and AdamW's two moments, in float32."""


@dataclass
class TransformerState:
    """Rollout state: keys and values of B episodes so far."""

    cache: EpisodeCache


class TransformerPolicy(nn.Module):
    """A transformer that learns words and deeds together. Of the backbone, only tokenizer, size and device are used.

    Args:
        backbone: what it is compared with.
        encoder: the vision encoder.
        options: the adapter's sizes.
        transformer: its own sizes, where they are not the backbone's.
        repertoire: what it chooses from.

    Raises:
        UsageProblem: there can be no transformer of that size, or none can be trained in this memory.
    """

    def __init__(
        self,
        backbone: Backbone,
        encoder: VisionEncoder,
        options: AdapterOptions,
        transformer: TransformerOptions | None = None,
        repertoire: Repertoire = REPERTOIRE,
    ):
        super().__init__()
        transformer = transformer or TransformerOptions()
        layers, heads = transformer.layers or backbone.layers, transformer.heads or backbone.heads
        width = transformer.width or backbone.hidden_size
        _check_size(layers, width, heads, backbone)
        self.frozen = Frozen(backbone, encoder)
        self.image_size = encoder.image_size
        self.repertoire = repertoire
        self.num_actions = len(repertoire.skills)
        self.adapter = Adapter(
            encoder.trained, encoder.feature_size, encoder.tokens, width, WEIGHT_SCALE, self.num_actions, options
        )
        self.words = nn.Embedding(backbone.vocabulary_size, width)
        nn.init.normal_(self.words.weight, std=WEIGHT_SCALE)
        self.core = CausalTransformer(layers, width, heads)
        self.to(backbone.device)

    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """See `Policy.perceive`."""
        return self.frozen.perceive(rgb)

    def prepare(self, instructions: Sequence[str]) -> None:
        """See `Policy.prepare`; nothing is kept, since every update changes how they are read."""

    def initial_state(self, rows: int) -> TransformerState:
        """See `Policy.initial_state`."""
        return TransformerState(EpisodeCache(rows))

    @torch.no_grad()
    def act(
        self,
        features: Tensor,
        instructions: Sequence[str],
        state: TransformerState,
        starts: NDArray[np.bool_],
        previous_actions: NDArray[np.int64],
        *,
        deterministic: bool = False,
        generator: Any = None,
    ) -> Decision:
        """See `Policy.act`."""
        fresh = np.flatnonzero(starts)
        if len(fresh):
            state.cache.lengths[fresh] = 0
            ids = self._tokenize([instructions[row] for row in fresh])
            self.core.extend(self._words(ids), [len(one) for one in ids], state.cache, fresh)
        tokens = self._observed(features, torch.as_tensor(previous_actions))
        rows = range(len(features))
        hidden = self.core.extend(tokens, [self.adapter.tokens_per_step] * len(rows), state.cache, rows)
        logits, values = self.adapter.decide(hidden.unflatten(0, (len(rows), -1))[:, -1])
        return choose(logits, values, deterministic, generator)

    @torch.no_grad()
    def values_after(
        self, state: TransformerState, rows: Sequence[int], features: Tensor, previous_actions: Tensor
    ) -> Tensor:
        """See `Policy.values_after`."""
        before = state.cache.lengths.copy()
        lengths = [self.adapter.tokens_per_step] * len(rows)
        hidden = self.core.extend(self._observed(features, previous_actions), lengths, state.cache, rows)
        state.cache.lengths[:] = before
        return self.adapter.decide(hidden.unflatten(0, (len(rows), -1))[:, -1])[1]

    @torch.no_grad()
    def rebuild(self, state: TransformerState, fragments: Fragments) -> None:
        """See `Policy.rebuild`. Rows without steps are left as they are: `act` starts them afresh."""
        rows = [row for row, steps in enumerate(fragments.lengths) if steps]
        if not rows:
            return
        texts, steps = [fragments.instructions[row] for row in rows], [fragments.lengths[row] for row in rows]
        tokens, lengths, _ = self._episodes(fragments, texts, steps)
        state.cache.lengths[rows] = 0
        self.core.extend(tokens, lengths, state.cache, rows)

    def evaluate(self, fragments: Fragments) -> tuple[Tensor, Tensor]:
        """See `Policy.evaluate`."""
        tokens, lengths, readouts = self._episodes(fragments, fragments.instructions, fragments.lengths)
        return self.adapter.decide(self.core(tokens, lengths)[readouts])

    def _tokenize(self, instructions: Sequence[str]) -> list[list[int]]:
        ids = self.frozen.backbone.tokenize(instructions)
        if not all(ids):
            raise UsageProblem("an instruction is empty", "say what is to be done")
        return ids

    def _words(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Packed tokens of some instructions."""
        return self.words(torch.tensor([one for text in ids for one in text], device=self.words.weight.device))

    def _observed(self, features: Tensor, previous_actions: Tensor) -> Tensor:
        """Packed tokens [S * tokens per step, D] of S steps."""
        device = self.words.weight.device
        return self.adapter.tokens(features.to(device), previous_actions.to(device)).flatten(0, 1)

    def _episodes(
        self, fragments: Fragments, instructions: Sequence[str], steps: Sequence[int]
    ) -> tuple[Tensor, list[int], Tensor]:
        """Episodes with their instructions before them: packed tokens [S', D], the episodes' lengths, and int64 [S]
        where each step's last token lies."""
        ids = self._tokenize(instructions)
        per_step = self.adapter.tokens_per_step
        both = torch.cat([self._words(ids), self._observed(fragments.features, fragments.previous_actions)])
        word, observed, order, readouts = 0, sum(map(len, ids)), [], []
        for text, count in zip(ids, steps, strict=True):
            behind = len(order) + len(text)
            readouts += range(behind + per_step - 1, behind + count * per_step, per_step)
            order += range(word, word + len(text))
            order += range(observed, observed + count * per_step)
            word, observed = word + len(text), observed + count * per_step
        device = both.device
        lengths = [len(text) + count * per_step for text, count in zip(ids, steps, strict=True)]
        return both[torch.tensor(order, device=device)], lengths, torch.tensor(readouts, device=device)


def _check_size(layers: int, width: int, heads: int, backbone: Backbone) -> None:
    if width % (2 * heads):
        raise UsageProblem(
            f"transformer.width = {width} cannot be shared out evenly to {heads} heads, in pairs",
            "set transformer.width and transformer.heads so that width / heads is even",
        )
    parameters = backbone.vocabulary_size * width + 12 * layers * width**2
    needed, free = TRAINING_BYTES * parameters, free_memory(backbone.device)
    if needed > free:
        raise UsageProblem(
            f"a transformer of {parameters:,} parameters takes {needed / 2**30:,.1f} GiB to train; "
            f"{free / 2**30:,.1f} GiB are free on {backbone.device.type}",
            "choose a smaller one: transformer.layers, transformer.width and transformer.heads",
        )
