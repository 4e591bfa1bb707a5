"""A small convolutional encoder trained with the policy, for when nothing pretrained should help."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llarp_cli.errors import UsageProblem

if TYPE_CHECKING:
    from llarp_cli.config import VisionOptions
    from llarp_cli.vision.cnn_encoder import CNNEncoder


@dataclass(frozen=True)
class CNNPlugin:
    """Entry point `cnn` of `llarp.vision`."""

    summary: str = "small convolutional encoder trained with the policy; nothing pretrained"
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def load(self, options: VisionOptions, device: Any) -> CNNEncoder:
        """A fresh encoder, its weights drawn from torch's global generator.

        Raises:
            UsageProblem: weights are named, or K is not a square or more than the picture has cells.
        """
        from llarp_cli.vision.cnn_encoder import STRIDE, CNNEncoder

        if options.weights not in (None, "random"):
            raise UsageProblem(
                f"vision.weights = {options.weights}: the cnn is trained with the policy and takes none",
                "leave vision.weights out",
            )
        grid = math.isqrt(options.tokens)
        if grid * grid != options.tokens or grid > options.image_size // STRIDE:
            raise UsageProblem(
                f"vision.tokens = {options.tokens}: the cnn gives a square number of tokens, at most "
                f"{(options.image_size // STRIDE) ** 2} for pictures of {options.image_size} pixels",
                "write vision.tokens=1 or 4",
            )
        return CNNEncoder(options.image_size, options.tokens, device)


cnn = CNNPlugin()
