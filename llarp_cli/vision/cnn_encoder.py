"""The networks behind the vision encoders `cnn` and `cnn-flat`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 256
STRIDE, FLAT_STRIDE = 16, 8
"""Pixels of the picture per cell of the feature map."""
MOST_CELLS = 8
"""To so many a side a larger feature map is averaged before it is read as a whole."""


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


class FlatCNN(nn.Module):
    """Pictures uint8 [B, H, W, 3] to features float32 [B, K, 256], each read off the whole feature map, cell by cell:
    where something is counts as much as what it is."""

    def __init__(self, image_size: int, tokens: int):
        super().__init__()
        cells = min(image_size // FLAT_STRIDE, MOST_CELLS)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 4, 4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(cells),
            nn.Conv2d(64, 32, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * cells * cells, tokens * FEATURES),
        )
        self.tokens = tokens
        # With torch's own beginnings a picture makes but 2% of what its features are; with these, a fifth.
        for layer in self.layers:
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.orthogonal_(layer.weight, math.sqrt(2))
                nn.init.zeros_(layer.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        pixels = pictures.permute(0, 3, 1, 2).float() / 255  # black, which is nothing in many worlds, says nothing
        return self.layers(pixels).unflatten(1, (self.tokens, FEATURES))


class CNNEncoder:
    """Fulfils `VisionEncoder`: pictures are stored as they are, and all of the network is trained.

    Args:
        name: "cnn" or "cnn-flat".
    """

    weights = "random"
    hash = ""
    renderer = None
    feature_size = FEATURES

    def __init__(self, name: str, image_size: int, tokens: int, device: Any):
        self.name = name
        self.image_size = image_size
        self.tokens = tokens
        made = SmallCNN(tokens) if name == "cnn" else FlatCNN(image_size, tokens)
        self.trained: nn.Module = made.to(device)

    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """A copy of the pictures [B, H, W, 3], since simulators reuse their buffer."""
        return torch.tensor(rgb)
