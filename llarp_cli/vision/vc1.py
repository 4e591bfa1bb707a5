"""VC-1, the paper's vision encoder: a ViT-B/16 trained as a masked autoencoder on egocentric video.

Majumdar et al., "Where are we in the search for an Artificial Visual Cortex for Embodied Intelligence?", 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llarp_cli.vision.preparation import IMAGENET, Preparation

if TYPE_CHECKING:
    from llarp_cli.config import VisionOptions
    from llarp_cli.vision.hub_encoder import HubEncoder

RELEASED = "facebook/vc1-base"

PREPARATION = Preparation(224, *IMAGENET, resized=256, interpolation="bicubic")
"""As in its release: the middle 224 of 256 pixels."""


@dataclass(frozen=True)
class VC1Plugin:
    """Entry point `vc1` of `llarp.vision`."""

    summary: str = "VC-1 ViT-B/16 (86M), the paper's: class token, or patches; from the hub or its released file"
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def load(self, options: VisionOptions, device: Any) -> HubEncoder:
        """The encoder; `vision.weights` names the released file (`vc1_vitb.pth`), a folder that holds it or a hub id
        in place of `facebook/vc1-base`, or is "random".

        Raises:
            UsageProblem: the weights cannot be had or are something else, or there are no K tokens to give.
        """
        from llarp_cli.vision.hub_encoder import HubEncoder
        from llarp_cli.vision.vc1_weights import load_vc1

        place = options.weights or RELEASED
        return HubEncoder(load_vc1(place, options.name), False, PREPARATION, options, place, device)


vc1 = VC1Plugin()
