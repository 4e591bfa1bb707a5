"""What a vision model expects of a picture. Importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Preparation:
    """From a square picture to a model's input.

    Attributes:
        side: pixels of the input.
        mean, std: per channel, of values in [0, 1].
        resized: side to which the picture is brought before its middle is cut out; None is `side`, and nothing is cut.
        interpolation: of resizing, with antialiasing.
    """

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resized: int | None = None
    interpolation: Literal["nearest-exact", "bilinear", "bicubic"] = "bilinear"


HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""Means and standard deviations that families share."""
