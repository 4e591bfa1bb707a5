"""What is trained around the frozen language model: observation adapter, action decoder, value head.

LLaRP, §3.2: visual features are mapped into the model's word-embedding space by an MLP, and its final
hidden state at an observation is decoded by an MLP into the distribution over skills. Everything here
is float32, whatever the backbone's precision.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llarp_cli.config import AdapterOptions


class ObservationAdapter(nn.Module):
    """Visual features to tokens of the scale that the language model knows from words.

    Args:
        feature_size: F.
        hidden: width of the MLP.
        hidden_size: D.
        token_scale: standard deviation of the word embeddings.
    """

    def __init__(self, feature_size: int, hidden: int, hidden_size: int, token_scale: float):
        super().__init__()
        # Encoders differ by orders of magnitude in the scale of their features; the MLP should not care.
        self.input_norm = nn.LayerNorm(feature_size)
        self.mlp = nn.Sequential(nn.Linear(feature_size, hidden), nn.GELU(), nn.Linear(hidden, hidden_size))
        self.output_norm = nn.LayerNorm(hidden_size)
        self.token_scale = token_scale

    def forward(self, features: Tensor) -> Tensor:
        """Features [..., F], of any float type, to tokens float32 [..., D]."""
        hidden = self.mlp(self.input_norm(features.float()))
        return self.output_norm(hidden) * self.token_scale


class ActionTokens(nn.Module):
    """A learned token per skill, and one for the start of an episode, at word-embedding scale."""

    def __init__(self, num_actions: int, hidden_size: int, token_scale: float):
        super().__init__()
        self.table = nn.Embedding(num_actions + 1, hidden_size)
        self.token_scale = token_scale

    def forward(self, previous_actions: Tensor) -> Tensor:
        """Previous actions int64 [S], -1 at an episode's first step, to tokens float32 [S, D]."""
        return self.table(previous_actions + 1) * self.token_scale


class ActionDecoder(nn.Module):
    """Hidden states to one logit per skill; nearly uniform at first, so that exploration starts wide."""

    def __init__(self, hidden_size: int, decoder_hidden: int, num_actions: int):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.LayerNorm(hidden_size),
            nn.Linear(hidden_size, decoder_hidden),
            nn.GELU(),
            nn.Linear(decoder_hidden, num_actions),
        )
        nn.init.orthogonal_(self.mlp[-1].weight, gain=0.01)
        nn.init.zeros_(self.mlp[-1].bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states [S, D] to logits float32 [S, num_actions]."""
        return self.mlp(hidden.float())


class ValueHead(nn.Module):
    """Hidden states to the expected return."""

    def __init__(self, hidden_size: int, decoder_hidden: int):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.LayerNorm(hidden_size), nn.Linear(hidden_size, decoder_hidden), nn.GELU(), nn.Linear(decoder_hidden, 1)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states [S, D] to values float32 [S]."""
        return self.mlp(hidden.float()).squeeze(-1)


class Adapter(nn.Module):
    """All that is trained: steps to tokens on the way in, hidden states to logits and values on the way out.

    A step is K observation tokens, preceded by the previous action's token where `action_tokens` is 1.

    Args:
        vision: the vision encoder's trained module, from what `perceive` stored to [S, K, F]; None
            where stored features are used as they are.
        feature_size: F.
        tokens: K.
        hidden_size: D.
        token_scale: standard deviation of the word embeddings.
        num_actions: of the action decoder.
        options: widths, and whether there is an action token.
    """

    def __init__(
        self,
        vision: nn.Module | None,
        feature_size: int,
        tokens: int,
        hidden_size: int,
        token_scale: float,
        num_actions: int,
        options: AdapterOptions,
    ):
        super().__init__()
        self.tokens_per_step = tokens + options.action_tokens
        self.vision = vision
        self.observation = ObservationAdapter(feature_size, options.hidden, hidden_size, token_scale)
        self.action_tokens = ActionTokens(num_actions, hidden_size, token_scale) if options.action_tokens else None
        self.decoder = ActionDecoder(hidden_size, options.decoder_hidden, num_actions)
        self.value = ValueHead(hidden_size, options.decoder_hidden)

    def tokens(self, features: Tensor, previous_actions: Tensor) -> Tensor:
        """Tokens of S steps.

        Args:
            features: [S, ...] as the rollout buffer stores them.
            previous_actions: int64 [S], -1 at an episode's first step.

        Returns:
            float32 [S, tokens per step, D].
        """
        seen = features if self.vision is None else self.vision(features)
        tokens = self.observation(seen)
        if self.action_tokens is None:
            return tokens
        return torch.cat([self.action_tokens(previous_actions)[:, None], tokens], dim=1)

    def decide(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Logits float32 [S, num_actions] and values float32 [S] of hidden states [S, D]."""
        return self.decoder(hidden), self.value(hidden)
