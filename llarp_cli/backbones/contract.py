"""What a backbone plugin fulfils. Importing this needs no torch.

A step of an episode is K observation tokens, preceded by one action token where A = 1. Capacities
and lengths here count tokens, not steps. "Packed" means the tokens of all episodes one after
another in one [S, D] matrix, so that linear layers never see padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from llarp_cli.config import BackboneOptions


@dataclass(frozen=True)
class BackboneIdentity:
    """Which frozen weights a policy was trained around.

    Attributes:
        name: the plugin's name as typed.
        weights: hub id, path or "random".
        revision: hub commit, where known.
        hash: SHA-256 over the loaded parameters (types, shapes and bytes).
    """

    name: str
    weights: str
    revision: str | None
    hash: str


class Prefix(Protocol):
    """One instruction's keys and values at every layer; opaque to all but its backbone.

    Attributes:
        length: tokens.
    """

    @property
    def length(self) -> int: ...


class RowCache(Protocol):
    """Rollout cache: R rows, each with its own instruction and its own number of tokens so far."""

    def reset(self, rows: Sequence[int], prefixes: Sequence[Any]) -> None:
        """Start rows afresh behind their instructions; the other rows are untouched."""


class Backbone(Protocol):
    """A language model. Not an `nn.Module`, so that nothing saves or synchronises its weights.

    Frozen: no parameter has a gradient; dropout is off; the weights' hash never changes. Where `trained` is a
    module, it holds updates beside those weights, which the policy owns, trains and saves; then `encode` and
    `forward` let gradients flow to it wherever gradients are on.

    Attributes:
        identity: which weights.
        hidden_size: D.
        device, dtype: of activations.
        context_length: tokens that fit, instruction included.
        layers, heads: of its transformer.
        token_scale: standard deviation of the word embeddings, to which observation tokens are scaled.
        vocabulary_size: of the tokenizer.
        parameters: how many it has, all frozen.
        trained: updates of the weights, or None.
    """

    identity: BackboneIdentity
    hidden_size: int
    device: torch.device
    dtype: torch.dtype
    context_length: int
    layers: int
    heads: int
    token_scale: float
    vocabulary_size: int
    parameters: int

    @property
    def trained(self) -> nn.Module | None: ...

    def tokenize(self, instructions: Sequence[str]) -> list[list[int]]:
        """Token ids of each instruction, as the backbone reads them."""

    def encode(self, instructions: Sequence[str]) -> Sequence[Prefix]:
        """The instruction prefixes; equal texts share one, kept in bounded memory until the weights change.
        With gradient, and made anew each time, where something is trained and gradients are on.

        Raises:
            UsageProblem: an instruction alone exceeds the context.
        """

    def text_features(self, instructions: Sequence[str]) -> list[Tensor]:
        """Final hidden states [P, D] of each instruction's own P tokens, without gradient, as the frozen weights
        give them; equal texts are read once and kept in bounded memory.

        Raises:
            UsageProblem: an instruction exceeds the context.
        """

    def forward(self, tokens: Tensor, lengths: Sequence[int], prefixes: Sequence[Any]) -> Tensor:
        """Final hidden states of packed observation tokens.

        Args:
            tokens: [S, D], episode after episode; gradients flow to it.
            lengths: tokens of each of E episodes, summing to S.
            prefixes: the E instructions, as `encode` gave them.

        Returns:
            [S, D] after the model's final normalisation.
        """

    def open_cache(self, rows: int, capacity: int) -> RowCache:
        """A rollout cache for `rows` episodes of up to `capacity` tokens each behind their instructions."""

    def extend(
        self, tokens: Tensor, lengths: Sequence[int], cache: Any, rows: Sequence[int], *, keep: bool = True
    ) -> Tensor:
        """`forward` for the next tokens of some rows, reading and filling the cache; no gradient.

        Args:
            tokens: [S, D] packed.
            lengths: new tokens of each named row, summing to S.
            cache: as `open_cache` gave it.
            rows: distinct rows of it.
            keep: False leaves the cache as it was, as if these tokens had not been read.

        Returns:
            [S, D], equal to what `forward` gives for the same tokens in full context.
        """

    def weights_hash(self) -> str:
        """The hash of the parameters as they are now; equals `identity.hash` for ever."""


class BackbonePlugin(Protocol):
    """What an entry point of `llarp.backbones` names. Its module must not import torch at top level.

    Attributes:
        summary: one line for `llarp plugins`.
        weights: hub id of the default weights, or None where they are made or carried.
        requires: importable modules it needs beyond the core's.
        extra: the pip extra that brings them.
    """

    @property
    def summary(self) -> str: ...
    @property
    def weights(self) -> str | None: ...
    @property
    def requires(self) -> tuple[str, ...]: ...
    @property
    def extra(self) -> str | None: ...

    def load(self, options: BackboneOptions, device: Any) -> Backbone:
        """Build the backbone and its frozen weights.

        Raises:
            UsageProblem: weights cannot be had (what was tried, and how to pass `--weights`).
        """
