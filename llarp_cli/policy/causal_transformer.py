"""A causal transformer, all of it trained: what `transformer` learns in place of the frozen language model.

The usual one: normalisation before each part (as in GPT-2), rotary positions (Su et al. 2021), GELU. Tokens are
packed, episode after episode in one [S, D] matrix; only attention sees padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

WEIGHT_SCALE = 0.02
"""Standard deviation of the weights at first, word embeddings included."""


class Places:
    """Where S packed tokens lie: the next tokens of E sequences.

    Args:
        starts: how many tokens precede, in each sequence.
        lengths: tokens of each, at least 1.
        device: torch device.
    """

    def __init__(self, starts: Sequence[int], lengths: Sequence[int], device: torch.device):
        first, counts = np.asarray(starts, np.int64), np.asarray(lengths, np.int64)
        self.sequences, self.queries, self.width = len(counts), int(counts.max()), int((first + counts).max())
        row = np.repeat(np.arange(self.sequences), counts)
        step = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.whole = not first.any()
        self.slots = torch.from_numpy(first[row] + step).to(device)
        self.rows = torch.from_numpy(row).to(device)
        self.padded = torch.from_numpy(row * self.queries + step).to(device)
        query = torch.from_numpy(first[:, None] + np.arange(self.queries))
        self.seen = (torch.arange(self.width) <= query[:, :, None]).unsqueeze(1).to(device)

    def pad(self, x: Tensor) -> Tensor:
        """[S, D] to [E, T, D]."""
        padded = x.new_zeros(self.sequences * self.queries, x.shape[1]).index_copy(0, self.padded, x)
        return padded.view(self.sequences, self.queries, -1)

    def unpad(self, x: Tensor) -> Tensor:
        """[E, T, D] to [S, D]."""
        return x.flatten(0, 1).index_select(0, self.padded)


class EpisodeCache:
    """Keys and values of R episodes so far, [layers, 2, R, slots, D], filled in place.

    Attributes:
        lengths: int64 [R], tokens so far; slots from there on hold leftovers.
    """

    def __init__(self, rows: int):
        self.lengths = np.zeros(rows, np.int64)
        self._store: Tensor | None = None

    def make_room(self, layers: int, slots: int, like: Tensor) -> None:
        """Hold so many tokens an episode."""
        held = 0 if self._store is None else self._store.shape[3]
        if slots > held:
            grown = like.new_zeros(layers, 2, len(self.lengths), -(-slots // 32) * 32, like.shape[1])
            if self._store is not None:
                grown[:, :, :, :held] = self._store
            self._store = grown

    def join(self, layer: int, rows: Tensor, places: Places, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write new keys and values [S, D] of the named rows; all of theirs so far, [E, W, D]."""
        own = rows[places.rows]
        joined = []
        for held, new in zip(self._store[layer], (key, value), strict=True):
            held[own, places.slots] = new
            joined.append(held[rows, : places.width])
        return joined[0], joined[1]


class Block(nn.Module):
    """Attention, then an MLP, each added to what it read."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(
        self, x: Tensor, places: Places, angles: Tensor, layer: int, cache: EpisodeCache | None, rows: Tensor | None
    ) -> Tensor:
        """[S, D] to [S, D]; `angles` [S, D per head / 2] are those of the tokens' positions."""
        query, key, value = self.query_key_value(self.attention_norm(x)).chunk(3, dim=-1)
        query, key = self._rotated(query, angles), self._rotated(key, angles)
        if cache is None:
            keys, values = places.pad(key), places.pad(value)
        else:
            keys, values = cache.join(layer, rows, places, key, value)
        gathered = functional.scaled_dot_product_attention(
            self._split(places.pad(query)),
            self._split(keys),
            self._split(values),
            attn_mask=None if places.whole else places.seen,
            is_causal=places.whole,
        )
        x = x + self.attention_out(places.unpad(gathered.transpose(1, 2).flatten(2)))
        return x + self.mlp_out(functional.gelu(self.mlp_in(self.mlp_norm(x))))

    def _split(self, x: Tensor) -> Tensor:
        """[E, T, D] to [E, heads, T, D per head]."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _rotated(self, x: Tensor, angles: Tensor) -> Tensor:
        """Turn each pair of numbers of each head of [S, D] by its angle."""
        one, other = x.unflatten(1, (self.heads, 2, -1)).unbind(2)
        sin, cos = angles.sin()[:, None], angles.cos()[:, None]
        return torch.stack([one * cos - other * sin, one * sin + other * cos], 2).flatten(1)


class CausalTransformer(nn.Module):
    """Tokens to final hidden states; a token sees those before it in its episode, and itself.

    Args:
        layers: of attention and MLP.
        width: D.
        heads: of attention; D / heads is even.
    """

    def __init__(self, layers: int, width: int, heads: int):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self._pairs = width // heads // 2
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=WEIGHT_SCALE)
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            for linear in (block.attention_out, block.mlp_out):
                nn.init.normal_(linear.weight, std=WEIGHT_SCALE / math.sqrt(2 * layers))

    def forward(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Whole episodes.

        Args:
            tokens: [S, D] packed.
            lengths: of E episodes, summing to S.

        Returns:
            [S, D].
        """
        return self._run(tokens, Places([0] * len(lengths), lengths, tokens.device), None, None)

    def extend(self, tokens: Tensor, lengths: Sequence[int], cache: EpisodeCache, rows: Sequence[int]) -> Tensor:
        """The next tokens of some episodes of a cache, which is filled: equal to `forward` of the whole episodes.

        Args:
            tokens: [S, D] packed.
            lengths: of the named rows' new tokens.
            rows: distinct.
        """
        named = np.asarray(rows, np.int64)
        places = Places(cache.lengths[named], lengths, tokens.device)
        cache.make_room(len(self.blocks), places.width, tokens)
        hidden = self._run(tokens, places, cache, torch.from_numpy(named).to(tokens.device))
        cache.lengths[named] += np.asarray(lengths, np.int64)
        return hidden

    def _run(self, x: Tensor, places: Places, cache: EpisodeCache | None, rows: Tensor | None) -> Tensor:
        speeds = 10_000.0 ** -(torch.arange(self._pairs, device=x.device) / self._pairs)
        angles = places.slots[:, None] * speeds
        for layer, block in enumerate(self.blocks):
            x = block(x, places, angles, layer, cache, rows)
        return self.norm(x)
