"""The recurrent baseline: an LSTM that acts on pictures and an instruction summed up in one vector.

It sees the same features and has the same adapter and heads as the policy it is compared with. It reads either
with word embeddings of its own, learned from scratch through the same tokenizer, or with the frozen language
model, whose hidden states a small learned module sums up (LSTM-Flan and LSTM-LLaMA: Szot et al. 2024, section 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from llarp_cli.backbones.contract import Backbone
from llarp_cli.config import AdapterOptions, LSTMOptions
from llarp_cli.policy.adapter import Adapter
from llarp_cli.policy.contract import Decision, Fragments
from llarp_cli.policy.parts import Frozen, choose
from llarp_cli.rearrangement.skills import REPERTOIRE
from llarp_cli.repertoire import Repertoire
from llarp_cli.vision.contract import VisionEncoder

WORD_SIZE = 128
HIDDEN_SIZE = 512

QUERIES, READER_HEADS = 4, 8
"""Of the module that sums up a language model's hidden states."""


class WordReader(nn.Module):
    """One vector per instruction from its words: embeddings, then the last states of a two-way GRU.

    Args:
        backbone: its tokenizer is used.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        self._tokenize = backbone.tokenize
        self.words = nn.Embedding(backbone.vocabulary_size, WORD_SIZE)
        self.gru = nn.GRU(WORD_SIZE, HIDDEN_SIZE // 2, batch_first=True, bidirectional=True)

    def prepare(self, instructions: Sequence[str]) -> None:
        """Nothing is kept."""

    def forward(self, instructions: Sequence[str]) -> Tensor:
        """E instructions to float32 [E, HIDDEN_SIZE]."""
        device = self.words.weight.device
        token_ids = self._tokenize(instructions)
        padded = pad_sequence([torch.tensor(ids, device=device) for ids in token_ids], batch_first=True)
        lengths = torch.tensor([len(ids) for ids in token_ids])
        packed = pack_padded_sequence(self.words(padded), lengths, batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed)
        return last.transpose(0, 1).flatten(1)


class BackboneReader(nn.Module):
    """One vector per instruction from the frozen language model's hidden states.

    Learned queries attend to them, a perceiver of one layer (Jaegle et al. 2021; the resampler of Alayrac et al.
    2022): what they gather is concatenated.

    Args:
        backbone: reads each instruction once.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        self._text_features = backbone.text_features
        # Hidden states differ by orders of magnitude in scale, between models and between features.
        self.input_norm = nn.LayerNorm(backbone.hidden_size)
        self.project = nn.Linear(backbone.hidden_size, HIDDEN_SIZE)
        self.queries = nn.Parameter(torch.randn(QUERIES, HIDDEN_SIZE))
        self.attention = nn.MultiheadAttention(HIDDEN_SIZE, READER_HEADS, batch_first=True)
        self.summary = nn.Sequential(
            nn.LayerNorm(QUERIES * HIDDEN_SIZE), nn.Linear(QUERIES * HIDDEN_SIZE, HIDDEN_SIZE), nn.Tanh()
        )

    def prepare(self, instructions: Sequence[str]) -> None:
        """Have the language model read them."""
        self._text_features(instructions)

    def forward(self, instructions: Sequence[str]) -> Tensor:
        """E instructions to float32 [E, HIDDEN_SIZE]."""
        features = self._text_features(instructions)
        lengths = torch.tensor([len(one) for one in features], device=self.queries.device)
        words = self.project(self.input_norm(pad_sequence(features, batch_first=True).float()))
        beyond = torch.arange(words.shape[1], device=words.device) >= lengths[:, None]
        queries = self.queries.expand(len(features), -1, -1)
        gathered, _ = self.attention(queries, words, words, key_padding_mask=beyond, need_weights=False)
        return self.summary(gathered.flatten(1))


@dataclass
class LSTMState:
    """Rollout state of B episodes: encoded instructions, hidden and cell states, each [B, HIDDEN_SIZE]."""

    instructions: Tensor
    hidden: Tensor
    cell: Tensor


class LSTMPolicy(nn.Module):
    """An LSTM over visual features and an encoded instruction.

    Args:
        backbone: it or its tokenizer reads, and it names the device.
        encoder: the vision encoder.
        options: the adapter's sizes.
        lstm: how it reads.
        repertoire: what it chooses from.
    """

    def __init__(
        self,
        backbone: Backbone,
        encoder: VisionEncoder,
        options: AdapterOptions,
        lstm: LSTMOptions | None = None,
        repertoire: Repertoire = REPERTOIRE,
    ):
        super().__init__()
        self.frozen = Frozen(backbone, encoder)
        self.image_size = encoder.image_size
        self.repertoire = repertoire
        self.num_actions = len(repertoire.skills)
        self.adapter = Adapter(
            encoder.trained, encoder.feature_size, encoder.tokens, HIDDEN_SIZE, 1.0, self.num_actions, options
        )
        reads = (lstm or LSTMOptions()).instruction
        self.reader = WordReader(backbone) if reads == "words" else BackboneReader(backbone)
        self.core = nn.LSTM((self.adapter.tokens_per_step + 1) * HIDDEN_SIZE, HIDDEN_SIZE)
        self.to(backbone.device)

    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """See `Policy.perceive`."""
        return self.frozen.perceive(rgb)

    def prepare(self, instructions: Sequence[str]) -> None:
        """See `Policy.prepare`."""
        self.reader.prepare(instructions)

    def initial_state(self, rows: int) -> LSTMState:
        """See `Policy.initial_state`."""
        blank = torch.zeros(rows, HIDDEN_SIZE, device=self.frozen.backbone.device)
        return LSTMState(blank, blank.clone(), blank.clone())

    @torch.no_grad()
    def act(
        self,
        features: Tensor,
        instructions: Sequence[str],
        state: LSTMState,
        starts: NDArray[np.bool_],
        previous_actions: NDArray[np.int64],
        *,
        deterministic: bool = False,
        generator: Any = None,
    ) -> Decision:
        """See `Policy.act`."""
        fresh = np.flatnonzero(starts).tolist()
        if fresh:
            state.instructions[fresh] = self._read([instructions[row] for row in fresh])
            state.hidden[fresh] = 0.0
            state.cell[fresh] = 0.0
        inputs = self._inputs(features, torch.as_tensor(previous_actions), state.instructions)
        output, (hidden, cell) = self.core(inputs[None], (state.hidden[None], state.cell[None]))
        state.hidden, state.cell = hidden[0], cell[0]
        logits, values = self.adapter.decide(output[0])
        return choose(logits, values, deterministic, generator)

    @torch.no_grad()
    def values_after(self, state: LSTMState, rows: Sequence[int], features: Tensor, previous_actions: Tensor) -> Tensor:
        """See `Policy.values_after`."""
        chosen = list(rows)
        inputs = self._inputs(features, previous_actions, state.instructions[chosen])
        output, _ = self.core(inputs[None], (state.hidden[None, chosen], state.cell[None, chosen]))
        return self.adapter.decide(output[0])[1]

    @torch.no_grad()
    def rebuild(self, state: LSTMState, fragments: Fragments) -> None:
        """See `Policy.rebuild`. Rows without steps are left as they are: `act` starts them afresh."""
        rows = [row for row, steps in enumerate(fragments.lengths) if steps]
        if not rows:
            return
        lengths = [fragments.lengths[row] for row in rows]
        instructions = self._read([fragments.instructions[row] for row in rows])
        _, hidden, cell = self._run(fragments, lengths, instructions)
        state.instructions[rows], state.hidden[rows], state.cell[rows] = instructions, hidden, cell

    def evaluate(self, fragments: Fragments) -> tuple[Tensor, Tensor]:
        """See `Policy.evaluate`."""
        outputs, _, _ = self._run(fragments, fragments.lengths, self._read(fragments.instructions))
        return self.adapter.decide(outputs)

    def _read(self, instructions: Sequence[str]) -> Tensor:
        """Encoded instructions [E, HIDDEN_SIZE]; equal texts are read once."""
        place = {text: i for i, text in enumerate(dict.fromkeys(instructions))}
        encoded = self.reader(list(place))
        return encoded[[place[text] for text in instructions]]

    def _inputs(self, features: Tensor, previous_actions: Tensor, instructions: Tensor) -> Tensor:
        """What the core sees of S steps: all their tokens beside the encoded instruction."""
        device = instructions.device
        tokens = self.adapter.tokens(features.to(device), previous_actions.to(device))
        return torch.cat([tokens.flatten(1), instructions], dim=1)

    def _run(self, fragments: Fragments, lengths: Sequence[int], instructions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run E episodes from their first steps: outputs [S, HIDDEN_SIZE], then last hidden and cell states
        [E, HIDDEN_SIZE]."""
        counts = torch.tensor(lengths)
        spread = instructions.repeat_interleave(counts.to(instructions.device), dim=0)
        inputs = self._inputs(fragments.features, fragments.previous_actions, spread)
        padded = pad_sequence(inputs.split(list(lengths)))
        packed = pack_padded_sequence(padded, counts, enforce_sorted=False)
        outputs, (hidden, cell) = self.core(packed)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True)
        real = torch.arange(outputs.shape[1]) < counts[:, None]
        return outputs[real.to(outputs.device)], hidden[0], cell[0]
