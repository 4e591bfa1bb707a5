"""The shadow that a small object stands in: a dark, thin disc as long and wide as the object.

Nothing drawn is transparent, so a shadow has the colour of what it lies on, only darker. What an object stands on is
told by the height of its bottom.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llarp_cli.home.furniture import DRAWER_WOOD, SHELF_GLASS
from llarp_cli.home.primitives import COS, CYLINDER, HALF_X, HALF_Z, SIN, Colour, Rows, X, Y, Z, built
from llarp_cli.home.scenes import AREAS
from llarp_cli.home.semantics import SEMANTIC_IDS
from llarp_cli.home.shapes import ASSET_SHAPES, ASSET_SIZES
from llarp_cli.home.styles import Style

_SPREAD, _THICKNESS = 0.014, 0.0003
"""How far a shadow reaches beyond its object, and half its thickness; metres. Thinner than the hob."""

_SHADE = 0.70
_LEVEL = 0.03
"""An object stands on a ground when its bottom is no further from it, metres."""

_GROUNDS: dict[str, Colour | str] = {
    "chair": "chair",
    "black table": "inlay",
    "brown table": "brown",
    "TV stand": "oak",
    "right counter": "worktop",
    "left counter": "worktop",
    "sofa": "seat",
    "fridge": SHELF_GLASS,
    "left drawer": DRAWER_WOOD,
    "right drawer": DRAWER_WOOD,
}
"""Receptacle → the colour, or its name in `Style`, of what objects stand on there. In the sink there is no shadow:
most objects fill it."""

_HEIGHTS = np.array([AREAS[name].y for name in _GROUNDS]) / 1000
GROUNDS = len(_GROUNDS)
_PIECE = {"right counter": "kitchen counter", "left counter": "kitchen counter"}
GROUND_IDS = np.array([SEMANTIC_IDS[_PIECE.get(name, name)] for name in _GROUNDS])
"""Row of `shades` → what the shadow counts as in semantic pictures."""


def shadow(asset: str) -> Rows:
    """An asset's shadow, black, float32 [1, WIDTH] about the asset's origin."""
    rows = ASSET_SHAPES[asset]
    cos, sin = np.abs(rows[:, COS]), np.abs(rows[:, SIN])
    long, wide = rows[:, HALF_X] * cos + rows[:, HALF_Z] * sin, rows[:, HALF_X] * sin + rows[:, HALF_Z] * cos
    low_x, high_x = (rows[:, X] - long).min(), (rows[:, X] + long).max()
    low_z, high_z = (rows[:, Z] - wide).min(), (rows[:, Z] + wide).max()
    half = (high_x - low_x) / 2 + _SPREAD, _THICKNESS, (high_z - low_z) / 2 + _SPREAD
    disc = built([(CYLINDER, ((low_x + high_x) / 2, 0.0, (low_z + high_z) / 2), half, (0.0, 0.0, 0.0), 0.0)])
    disc[:, Y] -= ASSET_SIZES[asset].rest_height / 1000
    return disc


@lru_cache(maxsize=1024)
def shades(style: Style) -> NDArray[np.float32]:
    """The colours of shadows in a style, float32 [G, 3]; `ground` gives the row."""
    colours = [getattr(style, colour) if isinstance(colour, str) else colour for colour in _GROUNDS.values()]
    return _SHADE * np.array(colours, np.float32)


def ground(bottoms: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """What objects stand on whose lowest points are `bottoms` [n] metres above the floor.

    Returns:
        rows of `shades` [n], and whether they stand on anything [n].
    """
    apart = np.abs(bottoms[:, None] - _HEIGHTS)
    nearest = apart.argmin(axis=1)
    return nearest, apart[np.arange(len(bottoms)), nearest] < _LEVEL
