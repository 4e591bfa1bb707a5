"""Vision models of transformers, frozen: by name (`clip`, `dinov2`, `siglip`, `vit-b`), `hf:ORG/NAME` or `hf:PATH`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llarp_cli.errors import UsageProblem
from llarp_cli.vision.preparation import CLIP, HALVES, IMAGENET, Preparation

if TYPE_CHECKING:
    from llarp_cli.config import VisionOptions
    from llarp_cli.vision.hub_encoder import HubEncoder


@dataclass(frozen=True)
class TransformersVision:
    """A `VisionPlugin` over a vision model of transformers.

    Attributes:
        summary: one line for `llarp plugins`.
        weights: hub id of the default weights.
        architecture: transformers' configuration, `model_type` included, for `vision.weights=random`; empty where the
            files at `weights` say it.
        preparation: what the model expects of a picture, where its files do not say it.
        requires: importable modules it needs beyond the core's.
        extra: the pip extra that brings them.
    """

    summary: str
    weights: str = ""
    architecture: Mapping[str, Any] | None = None
    preparation: Preparation | None = None
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def load(self, options: VisionOptions, device: Any) -> HubEncoder:
        """The model; `vision.weights` names another place for its files, or "random" for its architecture alone.

        Raises:
            UsageProblem: the model cannot be had or sees no pictures, or has no K tokens to give.
        """
        from llarp_cli.vision.hub_encoder import HubEncoder

        return HubEncoder.load(self, options, device)


class HubPlugin(TransformersVision):
    """Takes the weights from the name itself."""

    def load(self, options: VisionOptions, device: Any) -> HubEncoder:
        """The named model; see `TransformersVision.load`."""
        source = (options.name or "").partition(":")[2]
        if not source:
            raise UsageProblem(
                f"vision encoder '{options.name}' names no model", "write hf:ORG/NAME, or hf:PATH for a local folder"
            )
        return TransformersVision.load(replace(self, weights=source), options, device)


VIT_B = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}

hf = HubPlugin(summary="any vision model of transformers: hf:ORG/NAME from the hub, hf:PATH from a folder")

clip = TransformersVision(
    summary="CLIP ViT-B/16 (86M)",
    weights="openai/clip-vit-base-patch16",
    architecture={"model_type": "clip_vision_model", **VIT_B, "image_size": 224, "patch_size": 16},
    preparation=Preparation(224, *CLIP, interpolation="bicubic"),
)

dinov2 = TransformersVision(
    summary="DINOv2 ViT-B/14 (87M)",
    weights="facebook/dinov2-base",
    architecture={
        "model_type": "dinov2",
        **{key: value for key, value in VIT_B.items() if key != "intermediate_size"},
        "image_size": 518,
        "patch_size": 14,
    },
    preparation=Preparation(224, *IMAGENET, resized=256, interpolation="bicubic"),
)

siglip = TransformersVision(
    summary="SigLIP ViT-B/16 (93M)",
    weights="google/siglip-base-patch16-224",
    architecture={"model_type": "siglip_vision_model", **VIT_B, "image_size": 224, "patch_size": 16},
    preparation=Preparation(224, *HALVES, interpolation="bicubic"),
)

vit_b = TransformersVision(
    summary="ViT-B/16 (86M) trained on ImageNet-21k",
    weights="google/vit-base-patch16-224-in21k",
    architecture={"model_type": "vit", **VIT_B, "image_size": 224, "patch_size": 16},
    preparation=Preparation(224, *HALVES),
)
