"""What the renderer's compiled parts share: how they are compiled, the light, and how a pixel is kept.

A picture in the making is two flat buffers, row after row of `stride` entries (the width, rounded up to whole
vectors): the nearness of what is seen (inverse depth, 0 for nothing) and a word of its colour and owner. All shapes
are filled sixteen pixels at a time.

Pixels are counted from the middle of the first one. Pixel (x, y) looks along x * rays[0] + y * rays[1] + rays[2],
whose part along the viewing direction is 1: so inverse depth is linear in x and y across a flat face.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_f = np.float32
NEAR = _f(0.05)
"""Nothing nearer than this is drawn, metres."""
FARTHEST = _f(1.0 / 0.05)
LIGHT = (_f(0.26), _f(0.86), _f(0.44))
"""Where the light comes from, x, y, z."""
AMBIENT, DIRECT = _f(0.81), _f(0.19)
HALF, ZERO, ONE = _f(0.5), _f(0.0), _f(1.0)
BIG = _f(1e9)

COMPILED = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "arcp", "reassoc"}}


@njit(**COMPILED)
def packed(red, green, blue, owner):
    """Colour (from 0, above 255 counts as 255) and owner (-129..126) in one integer."""
    most = _f(255)
    red, green, blue = np.int32(min(red, most)), np.int32(min(green, most)), np.int32(min(blue, most))
    return np.uint32((owner + 1) << 24 | blue << 16 | green << 8 | red)


@njit(**COMPILED)
def rectangle(centre, reach_x, reach_y, reach_z, focal, width, height):
    """The part of the screen that can show what reaches so far about a centre, all in the camera's frame.

    Returns:
        left, right, top, bottom: pixels; those whose middle is from left to right and from top to bottom.
    """
    middle_x, middle_y = _f(width) * HALF - HALF, _f(height) * HALF - HALF
    left, right, top, bottom = ZERO, _f(width), ZERO, _f(height)
    front = centre[2] - reach_z
    if front >= NEAR:
        large, small = focal / front, focal / (centre[2] + reach_z)
        low, high = centre[0] - reach_x, centre[0] + reach_x
        left = max(left, low * (large if low < ZERO else small) + middle_x)
        right = min(right, high * (large if high > ZERO else small) + middle_x)
        low, high = centre[1] - reach_y, centre[1] + reach_y
        top = max(top, low * (large if low < ZERO else small) + middle_y)
        bottom = min(bottom, high * (large if high > ZERO else small) + middle_y)
    return left, right, top, bottom
