"""The home's own vision encoder, as a plugin: small, frozen, shipped with its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llarp_cli.errors import UsageProblem

if TYPE_CHECKING:
    from llarp_cli.config import VisionOptions
    from llarp_cli.vision.home_encoder import HomeEncoder

CELL = 16
"""Pixels of the picture per cell of the network's feature map."""

SHIPPED = Path(__file__).parent / "weights" / "home-2.safetensors"


@dataclass(frozen=True)
class HomePlugin:
    """Entry point `home` of `llarp.vision`."""

    summary: str = "small convolutional encoder trained on renders of the embedded home's training homes"
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def load(self, options: VisionOptions, device: Any) -> HomeEncoder:
        """The shipped encoder, one made by `llarp pretrain-vision` (a path), or random weights ("random").

        Raises:
            UsageProblem: the file is missing or is not such an encoder; or see `check_shape`.
        """
        from llarp_cli.vision.home_encoder import HomeEncoder

        check_shape(options.image_size, options.tokens)
        return HomeEncoder.load(options.weights or str(SHIPPED), options.image_size, options.tokens, device)


def check_shape(
    image_size: int, tokens: int = 1, keys: tuple[str, str] = ("vision.image_size=", "vision.tokens=")
) -> None:
    """Refuse pictures that do not divide into whole cells, and tokens that they cannot give.

    Args:
        keys: how the two are typed.

    Raises:
        UsageProblem: the size is no multiple of 16, or K no square of at most one token per cell.
    """
    cells, rest = divmod(image_size, CELL)
    if rest:
        raise UsageProblem(
            f"{keys[0]}{image_size}: the home encoder wants a multiple of {CELL}", f"write {keys[0]}{cells * CELL}"
        )
    grid = math.isqrt(tokens)
    if grid * grid != tokens or grid > cells:
        raise UsageProblem(
            f"{keys[1]}{tokens}: the home encoder gives a square number of tokens, at most {cells**2} for pictures of "
            f"{image_size} pixels",
            f"write {keys[1]}{min(grid, cells) ** 2}",
        )


home = HomePlugin()
