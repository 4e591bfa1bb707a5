"""Vision transformers without weights, to measure what seeing costs."""

from __future__ import annotations

from typing import Any

import torch

from llarp_cli.config import VisionOptions
from llarp_cli.vision.hub_encoder import HubEncoder, Preparation

RANDOM: dict[str, dict[str, int]] = {
    "vit-b": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "vit-tiny": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
}
"""Name → architecture; "vit-b" is that of VC-1 (the paper's encoder) and CLIP ViT-B/16."""

SIDE, PATCH = 224, 16


def random_vision(options: VisionOptions, device: Any) -> HubEncoder:
    """A ViT of random weights whose class token is read, at 224 pixels; half precision on a GPU."""
    from transformers import ViTConfig, ViTModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ViTModel(ViTConfig(image_size=SIDE, patch_size=PATCH, **RANDOM[options.name]), add_pooling_layer=False)
    preparation = Preparation(SIDE, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return HubEncoder(model.to(device), False, preparation, options, "random")
