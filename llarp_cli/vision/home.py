"""The home's own vision encoder, as a plugin: small, frozen, shipped with its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llarp_cli.errors import UsageProblem

if TYPE_CHECKING:
    from llarp_cli.config import VisionOptions
    from llarp_cli.vision.home_encoder import HomeEncoder

SHIPPED = Path(__file__).parent / "weights" / "home-1.safetensors"


@dataclass(frozen=True)
class HomePlugin:
    """Entry point `home` of `llarp.vision`."""

    summary: str = "small convolutional encoder trained on renders of the embedded home's training homes"
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def load(self, options: VisionOptions, device: Any) -> HomeEncoder:
        """The shipped encoder, one made by `llarp pretrain-vision` (a path), or random weights ("random").

        Raises:
            UsageProblem: the file is missing or is not such an encoder, or K is not a square up to 16.
        """
        from llarp_cli.vision.home_encoder import HomeEncoder

        if options.tokens not in (1, 4, 16):
            raise UsageProblem(
                f"vision.tokens = {options.tokens}: the home encoder gives 1, 4 or 16 tokens",
                "write vision.tokens=1, 4 or 16",
            )
        if options.image_size % 16:
            raise UsageProblem(
                f"vision.image_size = {options.image_size}: the home encoder wants a multiple of 16",
                "write vision.image_size=128",
            )
        return HomeEncoder.load(options.weights or str(SHIPPED), options.image_size, options.tokens, device)


home = HomePlugin()
