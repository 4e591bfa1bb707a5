"""What a vision plugin fulfils. Importing this needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

    from llarp_cli.config import VisionOptions


class VisionEncoder(Protocol):
    """Pictures to features. Two parts: `perceive` is frozen and its result is what the rollout buffer
    stores; `trained`, where there is one, is a module that the adapter owns, trains and saves.

    Attributes:
        name, weights: which encoder.
        hash: SHA-256 of the frozen weights ("" where nothing is frozen).
        renderer: version of the pictures it was trained on, or None where any will do.
        image_size: side of the pictures it wants, pixels.
        tokens: K.
        feature_size: F of what `trained` (or, without one, `perceive`) returns.
        trained: module from what `perceive` returns to features [B, K, F], or None.
    """

    name: str
    weights: str
    hash: str
    image_size: int
    tokens: int
    feature_size: int

    @property
    def renderer(self) -> str | None: ...
    @property
    def trained(self) -> nn.Module | None: ...

    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """What to store of pictures [B, H, W, 3]: half-precision features [B, K, F], or, where `trained`
        needs them, the pictures themselves (uint8 [B, H, W, 3]). No gradient."""


class VisionPlugin(Protocol):
    """What an entry point of `llarp.vision` names. Its module must not import torch at top level.

    Attributes:
        summary: one line for `llarp plugins`.
        requires: importable modules it needs beyond the core's.
        extra: the pip extra that brings them.
    """

    @property
    def summary(self) -> str: ...
    @property
    def requires(self) -> tuple[str, ...]: ...
    @property
    def extra(self) -> str | None: ...

    def load(self, options: VisionOptions, device: Any) -> VisionEncoder:
        """Build the encoder.

        Raises:
            UsageProblem: weights cannot be had, or K tokens are more than it can give.
        """
