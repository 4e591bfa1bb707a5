"""`hf:ORG/NAME` and `hf:PATH`: any vision model of transformers (CLIP, DINOv2, SigLIP, ViT, ...), frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llarp_cli.errors import UsageProblem

if TYPE_CHECKING:
    from llarp_cli.config import VisionOptions
    from llarp_cli.vision.hub_encoder import HubEncoder


@dataclass(frozen=True)
class HubPlugin:
    """Entry point `hf` of `llarp.vision`."""

    summary: str = "any vision model of transformers: hf:ORG/NAME from the hub, hf:PATH from a folder"
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def load(self, options: VisionOptions, device: Any) -> HubEncoder:
        """The named model; `vision.weights` names another place for its files, or "random" for its
        architecture alone.

        Raises:
            UsageProblem: the model cannot be had or sees no pictures, or has no K tokens to give.
        """
        from llarp_cli.vision.hub_encoder import HubEncoder

        source = (options.name or "").partition(":")[2]
        if not source:
            raise UsageProblem(
                f"vision encoder '{options.name}' names no model", "write hf:ORG/NAME, or hf:PATH for a local folder"
            )
        return HubEncoder.load(source, options, device)


hf = HubPlugin()
