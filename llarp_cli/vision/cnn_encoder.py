"""The network behind the `cnn` vision encoder."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 256
STRIDE = 16
"""Pixels of the picture per cell of the feature map."""


class SmallCNN(nn.Module):
    """Pictures uint8 [B, H, W, 3] to features float32 [B, K, 256], K = n² cells of the picture."""

    def __init__(self, tokens: int):
        super().__init__()
        self.grid = math.isqrt(tokens)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 4, 4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(128, FEATURES, 1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        pixels = pictures.permute(0, 3, 1, 2).float() / 127.5 - 1
        # The maximum keeps an object of a few pixels that an average over the picture would drown.
        return functional.adaptive_max_pool2d(self.layers(pixels), self.grid).flatten(2).transpose(1, 2)


class CNNEncoder:
    """Fulfils `VisionEncoder`: pictures are stored as they are, and all of the network is trained."""

    name = "cnn"
    weights = "random"
    hash = ""
    renderer = None
    feature_size = FEATURES

    def __init__(self, image_size: int, tokens: int, device: Any):
        self.image_size = image_size
        self.tokens = tokens
        self.trained = SmallCNN(tokens).to(device)

    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """A copy of the pictures [B, H, W, 3], since simulators reuse their buffer."""
        return torch.tensor(rgb)
