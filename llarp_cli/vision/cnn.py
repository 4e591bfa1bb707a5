"""Small convolutional encoders trained with the policy, for when nothing pretrained should or can help."""

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
    """Entry points `cnn` and `cnn-flat` of `llarp.vision`."""

    name: str
    summary: str
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def load(self, options: VisionOptions, device: Any) -> CNNEncoder:
        """A fresh encoder, its weights drawn from torch's global generator.

        Raises:
            UsageProblem: weights are named, or K is not a square or more than the picture has cells.
        """
        from llarp_cli.vision.cnn_encoder import FLAT_STRIDE, STRIDE, CNNEncoder

        if options.weights not in (None, "random"):
            raise UsageProblem(
                f"vision.weights = {options.weights}: the cnn is trained with the policy and takes none",
                "leave vision.weights out",
            )
        if self.name == "cnn-flat":
            if options.image_size < FLAT_STRIDE:
                raise UsageProblem(
                    f"vision.image_size = {options.image_size}: cnn-flat wants {FLAT_STRIDE} pixels or more",
                    f"write vision.image_size={FLAT_STRIDE}",
                )
            return CNNEncoder(self.name, options.image_size, options.tokens, device)
        grid = math.isqrt(options.tokens)
        if grid * grid != options.tokens or grid > options.image_size // STRIDE:
            raise UsageProblem(
                f"vision.tokens = {options.tokens}: the cnn gives a square number of tokens, at most "
                f"{(options.image_size // STRIDE) ** 2} for pictures of {options.image_size} pixels",
                "write vision.tokens=1 or 4",
            )
        return CNNEncoder(self.name, options.image_size, options.tokens, device)


cnn = CNNPlugin("cnn", "small convolutional encoder trained with the policy; nothing pretrained")
cnn_flat = CNNPlugin("cnn-flat", "as cnn, but it tells where in the picture things are")
