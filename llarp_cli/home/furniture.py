"""What stands in a home: furniture, doors and drawers, walls and floors, as rows of primitives.

Every piece is in its own frame: origin on the floor under its centre, its front facing local +z
(so somebody before it, looking at it, has local +x at the right hand). Metres.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llarp_cli.home.primitives import (
    BLUE,
    BOX,
    CYLINDER,
    RED,
    ROD,
    SPHERE,
    Colour,
    Rows,
    box,
    built,
    span,
)
from llarp_cli.home.semantics import labelled
from llarp_cli.home.styles import USUAL, Style

Span = tuple[float, float]
Part = tuple[int, Span, Span, Span, "Colour | str", int]
"""Kind, from where to where along the piece's x, y and z, colour or the name of one in `Style`, and a quarter turn
(0 or 90 degrees: a rod that lies along z is one turned by 90)."""

HINGE: tuple[float, float, float] = (-0.40, 0.0, 0.33)
"""Where the fridge door's frame has its origin, in the fridge's frame: the left edge as seen from the front.
Turning the door by a positive heading opens it toward the front."""

DRAWER_BOXES: dict[str, tuple[float, float, float, float, float, float]] = {
    "left drawer": (-0.76, 0.695, 0.06, 0.385, 0.085, 0.225),
    "middle drawer": (0.0, 0.54, 0.06, 0.215, 0.075, 0.225),
    "right drawer": (0.70, 0.695, 0.06, 0.265, 0.085, 0.225),
    "bottom drawer": (1.38, 0.36, 0.06, 0.305, 0.085, 0.225),
}
"""The room inside each closed drawer, in the counter's frame: centre x, y, z, half extents x, y, z.
An open drawer's is further along local +z by as much as it is open."""

WALL_HEIGHT = 2.5
DOORWAY_HEIGHT = 2.05

_WHITE: Colour = (0.95, 0.95, 0.93)
_STEEL: Colour = (0.74, 0.77, 0.80)
_BRIGHT_STEEL: Colour = (0.86, 0.88, 0.90)
_DARK_STEEL: Colour = (0.36, 0.38, 0.42)
_GLOW: Colour = (1.00, 0.98, 0.88)
_INK: Colour = (0.07, 0.07, 0.09)
_GLASS: Colour = (0.16, 0.18, 0.21)
_BURNER: Colour = (0.25, 0.26, 0.29)
# Above 1: boxes that shine.
_LIGHT: Colour = (1.50, 1.44, 1.24)
_SKY: Colour = (0.88, 1.02, 1.12)
_HILLS: Colour = (0.72, 0.90, 0.62)
_ICE: Colour = (0.93, 0.97, 0.99)
SHELF_GLASS: Colour = (0.70, 0.83, 0.91)
_CRISPER: Colour = (0.80, 0.89, 0.86)
DRAWER_WOOD: Colour = (0.84, 0.72, 0.54)
_DRAWER_SIDES: Colour = (0.74, 0.62, 0.45)
_BARK: Colour = (0.40, 0.30, 0.19)
_SOIL: Colour = (0.26, 0.19, 0.14)
_LEAF: Colour = (0.33, 0.55, 0.30)
_LEAF_LIGHT: Colour = (0.43, 0.64, 0.35)
_LEAF_DARK: Colour = (0.24, 0.43, 0.26)
_NOTE: Colour = (0.97, 0.93, 0.74)


def _legs(x: float, z: float, top: float, thick: float, colour: Colour | str) -> list[Part]:
    """Four square legs whose outer corners are at ±x, ±z."""
    low, high = ((-x, thick - x), (x - thick, x)), ((-z, thick - z), (z - thick, z))
    return [(BOX, across, (0.0, top), along, colour, 0) for across in low for along in high]


def _drawer(name: str, width: float) -> list[Part]:
    """An open-top box with a front and a bar to pull, `width` wide, closed, in the counter's frame."""
    x, y, z, hx, hy, hz = DRAWER_BOXES[name]
    floor, rim, side, front, half = y - hy, y + hy, 0.015, z + hz, width / 2
    return [
        (BOX, (x - hx - side, x + hx + side), (floor - side, floor), (z - hz - side, front), DRAWER_WOOD, 0),
        (BOX, (x - hx - side, x - hx), (floor, rim), (z - hz - side, front), _DRAWER_SIDES, 0),
        (BOX, (x + hx, x + hx + side), (floor, rim), (z - hz - side, front), _DRAWER_SIDES, 0),
        (BOX, (x - hx, x + hx), (floor, rim), (z - hz - side, z - hz), _DRAWER_SIDES, 0),
        (BOX, (x - hx - 0.035, x + hx + 0.035), (floor - 0.035, rim + 0.03), (front, front + 0.035), "front", 0),
        (BOX, (x - hx, x + hx), (floor, rim - 0.005), (front + 0.035, front + 0.04), "panel", 0),
        (ROD, (x - half, x + half), (y + 0.004, y + 0.036), (front + 0.049, front + 0.081), _DARK_STEEL, 0),
        (BOX, (x - half + 0.01, x - half + 0.025), (y + 0.01, y + 0.03), (front + 0.04, front + 0.065), _DARK_STEEL, 0),
        (BOX, (x + half - 0.025, x + half - 0.01), (y + 0.01, y + 0.03), (front + 0.04, front + 0.065), _DARK_STEEL, 0),
    ]


def _door(x0: float, x1: float, y0: float, y1: float, z: float) -> list[Part]:
    """A cupboard door with an inset panel, its back at z."""
    return [
        (BOX, (x0, x1), (y0, y1), (z, z + 0.015), "front", 0),
        (BOX, (x0 + 0.06, x1 - 0.06), (y0 + 0.06, y1 - 0.06), (z + 0.015, z + 0.018), "panel", 0),
    ]


PARTS: dict[str, list[Part]] = {
    "chair": [
        (BOX, (-0.25, 0.25), (0.415, 0.46), (-0.25, 0.25), "chair", 0),
        (BOX, (-0.24, 0.24), (0.36, 0.415), (-0.24, 0.24), "brown", 0),
        *_legs(0.24, 0.24, 0.36, 0.05, "brown"),
        (BOX, (-0.19, 0.19), (0.84, 0.93), (-0.25, -0.215), "brown", 0),
        (BOX, (-0.19, 0.19), (0.64, 0.77), (-0.245, -0.215), "chair", 0),
        (BOX, (-0.24, -0.19), (0.46, 0.94), (-0.25, -0.205), "brown", 0),
        (BOX, (0.19, 0.24), (0.46, 0.94), (-0.25, -0.205), "brown", 0),
    ],
    "black table": [
        (BOX, (-0.75, 0.75), (0.722, 0.762), (-0.48, 0.48), "black", 0),
        (BOX, (-0.69, 0.69), (0.76, 0.76215), (-0.42, 0.42), "inlay", 0),
        (BOX, (-0.66, 0.66), (0.65, 0.722), (-0.40, 0.40), "inlay", 0),
        *_legs(0.72, 0.45, 0.722, 0.07, "black"),
    ],
    "brown table": [
        (BOX, (-0.68, 0.68), (0.8735, 0.9335), (-0.45, 0.45), "brown", 0),
        (BOX, (-0.68, 0.68), (0.9333, 0.9337), (-0.156, -0.148), "brown_dark", 0),
        (BOX, (-0.68, 0.68), (0.9333, 0.9337), (0.148, 0.156), "brown_dark", 0),
        (BOX, (-0.60, 0.60), (0.78, 0.8735), (-0.38, 0.38), "brown_dark", 0),
        *_legs(0.64, 0.41, 0.8735, 0.09, "brown_dark"),
    ],
    "TV stand": [
        (BOX, (-0.81, 0.81), (0.586, 0.626), (-0.28, 0.28), "oak", 0),
        (BOX, (-0.79, 0.79), (0.10, 0.586), (-0.27, 0.25), "oak_dark", 0),
        (BOX, (-0.77, -0.29), (0.12, 0.57), (0.25, 0.265), "oak", 0),
        (BOX, (0.29, 0.77), (0.12, 0.57), (0.25, 0.265), "oak", 0),
        (BOX, (-0.26, 0.26), (0.13, 0.56), (0.25, 0.255), _GLASS, 0),
        (BOX, (-0.26, 0.26), (0.33, 0.35), (0.25, 0.265), "oak", 0),
        (BOX, (-0.20, 0.10), (0.35, 0.41), (0.25, 0.262), _INK, 0),
        (BOX, (-0.34, -0.32), (0.30, 0.42), (0.265, 0.28), _DARK_STEEL, 0),
        (BOX, (0.32, 0.34), (0.30, 0.42), (0.265, 0.28), _DARK_STEEL, 0),
        (BOX, (-0.72, 0.72), (0.0, 0.10), (-0.22, 0.18), _INK, 0),
    ],
    "sofa": [
        (BOX, (-0.925, 0.925), (0.08, 0.27), (-0.45, 0.43), "sofa", 0),
        (BOX, (-0.745, -0.006), (0.27, 0.4035), (-0.20, 0.45), "seat", 0),
        (BOX, (0.006, 0.745), (0.27, 0.4035), (-0.20, 0.45), "seat", 0),
        (BOX, (-0.925, 0.925), (0.27, 0.74), (-0.45, -0.25), "sofa", 0),
        (ROD, (-0.925, 0.925), (0.68, 0.80), (-0.45, -0.25), "sofa", 0),
        (BOX, (-0.735, -0.006), (0.4035, 0.74), (-0.25, -0.175), "seat", 0),
        (BOX, (0.006, 0.735), (0.4035, 0.74), (-0.25, -0.175), "seat", 0),
        (BOX, (-0.925, -0.745), (0.27, 0.52), (-0.45, 0.43), "sofa", 0),
        (BOX, (0.745, 0.925), (0.27, 0.52), (-0.45, 0.43), "sofa", 0),
        (ROD, (-0.925, -0.745), (0.44, 0.60), (-0.45, 0.435), "sofa", 90),
        (ROD, (0.745, 0.925), (0.44, 0.60), (-0.45, 0.435), "sofa", 90),
        # Pillows in the corners, a throw over an arm.
        (SPHERE, (-0.72, -0.40), (0.44, 0.74), (-0.23, -0.11), "pillow", 0),
        (SPHERE, (0.41, 0.71), (0.44, 0.73), (-0.23, -0.11), "throw", 0),
        (BOX, (0.742, 0.93), (0.36, 0.53), (0.05, 0.30), "throw", 0),
        (ROD, (0.742, 0.93), (0.435, 0.607), (0.05, 0.30), "throw", 90),
        (BOX, (-0.87, 0.87), (0.0, 0.08), (-0.40, -0.34), "brown_dark", 0),
        (BOX, (-0.87, 0.87), (0.0, 0.08), (0.32, 0.38), "brown_dark", 0),
    ],
    "kitchen counter": [
        (BOX, (-1.23, 1.80), (0.10, 0.70), (-0.34, 0.29), "carcass", 0),
        (BOX, (-1.23, -0.21), (0.70, 0.819), (-0.34, 0.29), "carcass", 0),
        (BOX, (0.21, 1.80), (0.70, 0.819), (-0.34, 0.29), "carcass", 0),
        (BOX, (-1.23, 1.80), (0.0, 0.10), (-0.34, 0.24), _DARK_STEEL, 0),
        # The top, around the basin.
        (BOX, (-1.25, -0.205), (0.819, 0.859), (-0.34, 0.34), "worktop", 0),
        (BOX, (0.205, 1.82), (0.819, 0.859), (-0.34, 0.34), "worktop", 0),
        (BOX, (-0.205, 0.205), (0.819, 0.859), (-0.34, -0.145), "worktop", 0),
        (BOX, (-0.205, 0.205), (0.819, 0.859), (0.145, 0.34), "worktop", 0),
        # The basin: floor, four walls, drain.
        (BOX, (-0.205, 0.205), (0.70, 0.7058), (-0.145, 0.145), _BRIGHT_STEEL, 0),
        (BOX, (-0.205, -0.185), (0.70, 0.866), (-0.145, 0.145), _STEEL, 0),
        (BOX, (0.185, 0.205), (0.70, 0.866), (-0.145, 0.145), _STEEL, 0),
        (BOX, (-0.205, 0.205), (0.70, 0.866), (-0.145, -0.125), _STEEL, 0),
        (BOX, (-0.205, 0.205), (0.70, 0.866), (0.125, 0.145), _STEEL, 0),
        (CYLINDER, (-0.03, 0.03), (0.7050, 0.7062), (-0.03, 0.03), _DARK_STEEL, 0),
        # The tap: foot, neck, spout, mouth, lever.
        (CYLINDER, (-0.035, 0.035), (0.859, 0.885), (-0.255, -0.185), _STEEL, 0),
        (CYLINDER, (-0.020, 0.020), (0.86, 1.08), (-0.24, -0.20), _STEEL, 0),
        (ROD, (-0.020, 0.020), (1.052, 1.092), (-0.24, -0.03), _STEEL, 90),
        (CYLINDER, (-0.018, 0.018), (1.00, 1.075), (-0.066, -0.03), _STEEL, 0),
        (ROD, (0.015, 0.095), (0.912, 0.936), (-0.232, -0.208), _STEEL, 0),
        # Doors that stay shut, and a false front under the basin.
        *_door(-1.20, -0.33, 0.13, 0.555, 0.29),
        *_door(-0.25, 0.25, 0.13, 0.42, 0.29),
        (BOX, (-0.25, 0.25), (0.67, 0.80), (0.25, 0.305), "front", 0),
        *_door(0.41, 1.00, 0.13, 0.555, 0.29),
        # The hob, and the oven below it.
        (BOX, (1.14, 1.66), (0.858, 0.8594), (-0.24, 0.22), _GLASS, 0),
        (CYLINDER, (1.18, 1.38), (0.8593, 0.8597), (-0.21, -0.01), _BURNER, 0),
        (CYLINDER, (1.44, 1.62), (0.8593, 0.8597), (-0.20, -0.02), _BURNER, 0),
        (CYLINDER, (1.20, 1.36), (0.8593, 0.8597), (0.03, 0.19), _BURNER, 0),
        (CYLINDER, (1.42, 1.64), (0.8593, 0.8597), (0.00, 0.20), _BURNER, 0),
        (BOX, (1.05, 1.72), (0.48, 0.80), (0.29, 0.305), _STEEL, 0),
        (BOX, (1.11, 1.66), (0.51, 0.68), (0.305, 0.309), _GLASS, 0),
        (BOX, (1.13, 1.64), (0.70, 0.72), (0.305, 0.335), _BRIGHT_STEEL, 0),
        (BOX, (1.12, 1.30), (0.755, 0.785), (0.305, 0.325), _DARK_STEEL, 0),
        (BOX, (1.46, 1.49), (0.755, 0.785), (0.305, 0.325), _DARK_STEEL, 0),
        (BOX, (1.55, 1.58), (0.755, 0.785), (0.305, 0.325), _DARK_STEEL, 0),
    ],
    # Behind and above the counter, in its frame; it reaches into the wall.
    "splashback": [
        (BOX, (-1.25, 1.82), (0.859, 1.36), (-0.44, -0.337), "tiles", 0),
        (BOX, (-1.25, 1.82), (1.02, 1.03), (-0.4, -0.336), "grout", 0),
        (BOX, (-1.25, 1.82), (1.19, 1.20), (-0.4, -0.336), "grout", 0),
    ],
    "left cupboards": [
        (BOX, (-1.25, -0.36), (1.46, 2.16), (-0.44, -0.045), "carcass", 0),
        *_door(-1.24, -0.81, 1.47, 2.15, -0.045),
        *_door(-0.80, -0.37, 1.47, 2.15, -0.045),
        (BOX, (-1.20, -0.41), (1.44, 1.46), (-0.33, -0.20), _LIGHT, 0),
    ],
    "right cupboards": [
        (BOX, (0.36, 1.00), (1.46, 2.16), (-0.44, -0.045), "carcass", 0),
        *_door(0.37, 0.99, 1.47, 2.15, -0.045),
        (BOX, (0.41, 0.95), (1.44, 1.46), (-0.33, -0.20), _LIGHT, 0),
    ],
    "hood": [
        (BOX, (1.08, 1.72), (1.50, 1.60), (-0.44, 0.05), _STEEL, 0),
        (BOX, (1.26, 1.54), (1.60, 2.50), (-0.44, -0.12), _BRIGHT_STEEL, 0),
        (BOX, (1.16, 1.64), (1.494, 1.50), (-0.28, -0.02), _LIGHT, 0),
    ],
    "left drawer": _drawer("left drawer", 0.26),
    "middle drawer": _drawer("middle drawer", 0.18),
    "right drawer": _drawer("right drawer", 0.22),
    "bottom drawer": _drawer("bottom drawer", 0.22),
    "fridge": [
        (BOX, (-0.40, -0.37), (0.0, 1.85), (-0.36, 0.30), "fridge_dark", 0),
        (BOX, (0.37, 0.40), (0.0, 1.85), (-0.36, 0.30), "fridge_dark", 0),
        (BOX, (-0.37, 0.37), (1.79, 1.85), (-0.36, 0.30), "fridge_dark", 0),
        (BOX, (-0.37, 0.37), (0.0, 0.10), (-0.36, 0.30), _DARK_STEEL, 0),
        (BOX, (-0.40, 0.40), (0.0, 1.85), (-0.36, -0.34), "fridge_dark", 0),
        # Seen through the open door: lining, shelves, crisper, lamp.
        (BOX, (-0.37, 0.37), (0.10, 1.79), (-0.34, -0.32), _ICE, 0),
        (BOX, (-0.37, -0.36), (0.10, 1.79), (-0.32, 0.30), _ICE, 0),
        (BOX, (0.36, 0.37), (0.10, 1.79), (-0.32, 0.30), _ICE, 0),
        (BOX, (-0.36, 0.36), (0.10, 0.11), (-0.32, 0.30), _ICE, 0),
        (BOX, (-0.36, 0.36), (0.93, 0.95), (-0.32, 0.26), SHELF_GLASS, 0),
        (BOX, (-0.36, 0.36), (0.48, 0.50), (-0.32, 0.26), SHELF_GLASS, 0),
        (BOX, (-0.35, -0.01), (0.12, 0.36), (-0.30, 0.24), _CRISPER, 0),
        (BOX, (0.01, 0.35), (0.12, 0.36), (-0.30, 0.24), _CRISPER, 0),
        (BOX, (-0.20, 0.20), (1.76, 1.79), (-0.20, 0.20), _LIGHT, 0),
        (BOX, (-0.36, 0.36), (0.925, 0.955), (0.255, 0.268), _BRIGHT_STEEL, 0),
    ],
    # Outside, its handle, notes; inside, lining and racks.
    "fridge door": [
        (BOX, (0.0, 0.80), (0.04, 0.58), (-0.03, 0.03), "fridge", 0),
        (BOX, (0.0, 0.80), (0.60, 1.85), (-0.03, 0.03), "fridge", 0),
        (BOX, (0.01, 0.79), (0.56, 0.62), (-0.03, 0.02), "fridge_dark", 0),
        (BOX, (0.02, 0.78), (0.06, 1.83), (-0.034, -0.03), _ICE, 0),
        (BOX, (0.05, 0.75), (1.05, 1.13), (-0.11, -0.034), SHELF_GLASS, 0),
        (BOX, (0.05, 0.75), (0.66, 0.74), (-0.11, -0.034), SHELF_GLASS, 0),
        (BOX, (0.05, 0.75), (0.25, 0.33), (-0.11, -0.034), SHELF_GLASS, 0),
        (BOX, (0.70, 0.74), (0.80, 1.40), (0.06, 0.09), _DARK_STEEL, 0),
        (BOX, (0.70, 0.74), (0.82, 0.86), (0.03, 0.06), _DARK_STEEL, 0),
        (BOX, (0.70, 0.74), (1.34, 1.38), (0.03, 0.06), _DARK_STEEL, 0),
        (BOX, (0.22, 0.36), (1.28, 1.46), (0.03, 0.033), _NOTE, 0),
        (BOX, (0.40, 0.53), (1.37, 1.49), (0.03, 0.033), "art_ground", 0),
        (BOX, (0.41, 0.52), (1.38, 1.43), (0.033, 0.035), "art_shape", 0),
    ],
    "rug": [
        (BOX, (-0.90, 0.90), (0.0, 0.006), (-0.60, 0.60), "border", 0),
        (BOX, (-0.84, 0.84), (0.006, 0.008), (-0.54, 0.54), "rug", 0),
        (BOX, (-0.70, 0.70), (0.008, 0.0095), (-0.40, 0.40), "border", 0),
        (BOX, (-0.67, 0.67), (0.0095, 0.011), (-0.37, 0.37), "rug", 0),
    ],
    "sofa rug": [
        (BOX, (-1.15, 1.15), (0.0, 0.006), (-0.75, 0.75), "rug", 0),
        (BOX, (-1.05, -0.95), (0.006, 0.008), (-0.75, 0.75), "border", 0),
        (BOX, (0.95, 1.05), (0.006, 0.008), (-0.75, 0.75), "border", 0),
        (BOX, (-0.90, 0.90), (0.006, 0.008), (-0.04, 0.04), "border", 0),
    ],
    "mat": [
        (BOX, (-0.65, 0.65), (0.0, 0.006), (-0.24, 0.24), "border", 0),
        (BOX, (-0.59, 0.59), (0.006, 0.008), (-0.18, 0.18), "rug", 0),
    ],
    "lamp": [
        (CYLINDER, (-0.16, 0.16), (0.0, 0.03), (-0.16, 0.16), _DARK_STEEL, 0),
        (CYLINDER, (-0.018, 0.018), (0.02, 1.48), (-0.018, 0.018), _DARK_STEEL, 0),
        (CYLINDER, (-0.19, 0.19), (1.42, 1.58), (-0.19, 0.19), "shade", 0),
        (CYLINDER, (-0.15, 0.15), (1.58, 1.72), (-0.15, 0.15), "shade", 0),
        (CYLINDER, (-0.16, 0.16), (1.41, 1.42), (-0.16, 0.16), _GLOW, 0),
    ],
    # Above people's heads, over a table.
    "pendant": [
        (CYLINDER, (-0.008, 0.008), (2.20, 2.50), (-0.008, 0.008), _DARK_STEEL, 0),
        (CYLINDER, (-0.12, 0.12), (2.12, 2.22), (-0.12, 0.12), "shade", 0),
        (CYLINDER, (-0.20, 0.20), (1.99, 2.12), (-0.20, 0.20), "shade", 0),
        (CYLINDER, (-0.16, 0.16), (1.97, 1.99), (-0.16, 0.16), _GLOW, 0),
    ],
    "plant": [
        (CYLINDER, (-0.17, 0.17), (0.10, 0.34), (-0.17, 0.17), "pot", 0),
        (CYLINDER, (-0.14, 0.14), (0.0, 0.10), (-0.14, 0.14), "pot", 0),
        (CYLINDER, (-0.15, 0.15), (0.335, 0.345), (-0.15, 0.15), _SOIL, 0),
        (CYLINDER, (-0.025, 0.025), (0.30, 0.85), (-0.025, 0.025), _BARK, 0),
        (SPHERE, (-0.30, 0.06), (0.66, 1.00), (-0.24, 0.14), _LEAF_DARK, 0),
        (SPHERE, (-0.04, 0.32), (0.60, 0.94), (-0.10, 0.26), _LEAF, 0),
        (SPHERE, (-0.16, 0.24), (0.84, 1.22), (-0.24, 0.14), _LEAF_LIGHT, 0),
        (SPHERE, (-0.20, 0.12), (1.04, 1.42), (-0.14, 0.18), _LEAF, 0),
    ],
    "picture": [
        (BOX, (-0.35, 0.35), (1.25, 1.80), (0.0, 0.03), "brown_dark", 0),
        (BOX, (-0.32, 0.32), (1.28, 1.77), (0.03, 0.033), _WHITE, 0),
        (BOX, (-0.25, 0.25), (1.34, 1.71), (0.033, 0.035), "art_ground", 0),
        (BOX, (-0.25, 0.25), (1.34, 1.47), (0.035, 0.037), "art_shape", 0),
        (ROD, (0.02, 0.16), (1.51, 1.65), (0.033, 0.038), "art_sun", 90),
    ],
    "print": [
        (BOX, (-0.20, 0.20), (1.28, 1.82), (0.0, 0.025), _INK, 0),
        (BOX, (-0.18, 0.18), (1.30, 1.80), (0.025, 0.028), "art_ground", 0),
        (ROD, (-0.11, 0.11), (1.50, 1.72), (0.026, 0.031), "art_sun", 90),
        (BOX, (-0.11, 0.11), (1.38, 1.53), (0.028, 0.033), "art_shape", 0),
    ],
    "shelf": [
        (BOX, (-0.40, 0.40), (1.42, 1.45), (0.0, 0.20), "oak", 0),
        (BOX, (-0.30, -0.27), (1.34, 1.42), (0.0, 0.16), "oak_dark", 0),
        (BOX, (0.27, 0.30), (1.34, 1.42), (0.0, 0.16), "oak_dark", 0),
        (CYLINDER, (-0.30, -0.14), (1.45, 1.57), (0.03, 0.19), "pot", 0),
        (SPHERE, (-0.36, -0.08), (1.53, 1.78), (0.02, 0.20), _LEAF, 0),
        (SPHERE, (-0.20, 0.02), (1.50, 1.66), (0.06, 0.20), _LEAF_LIGHT, 0),
        (BOX, (0.08, 0.32), (1.45, 1.70), (0.02, 0.04), "brown_dark", 0),
        (BOX, (0.10, 0.30), (1.47, 1.68), (0.04, 0.043), "art_ground", 0),
        (BOX, (0.10, 0.30), (1.47, 1.55), (0.043, 0.046), "art_shape", 0),
    ],
    "clock": [
        (ROD, (-0.16, 0.16), (1.54, 1.86), (0.0, 0.03), "brown", 90),
        (ROD, (-0.14, 0.14), (1.56, 1.84), (0.02, 0.033), _WHITE, 90),
        (BOX, (-0.01, 0.01), (1.69, 1.80), (0.033, 0.036), _INK, 0),
        (BOX, (0.0, 0.07), (1.69, 1.71), (0.033, 0.036), _INK, 0),
    ],
    "window": [
        (BOX, (-0.60, 0.60), (0.95, 2.05), (0.0, 0.04), _WHITE, 0),
        (BOX, (-0.54, 0.54), (1.01, 1.99), (0.04, 0.043), _SKY, 0),
        (BOX, (-0.54, 0.54), (1.01, 1.26), (0.043, 0.045), _HILLS, 0),
        (BOX, (-0.02, 0.02), (1.01, 1.99), (0.04, 0.06), _WHITE, 0),
        (BOX, (-0.54, 0.54), (1.56, 1.59), (0.04, 0.055), _WHITE, 0),
        (BOX, (-0.64, 0.64), (0.91, 0.95), (0.0, 0.12), _WHITE, 0),
        (BOX, (-0.66, -0.46), (0.97, 2.10), (0.06, 0.10), "curtain", 0),
        (BOX, (0.46, 0.66), (0.97, 2.10), (0.06, 0.10), "curtain", 0),
        (ROD, (-0.69, 0.69), (2.10, 2.13), (0.065, 0.095), _DARK_STEEL, 0),
    ],
    "TV panel": [
        (BOX, (-0.60, 0.60), (0.92, 1.62), (0.0, 0.05), _INK, 0),
        (BOX, (-0.57, 0.57), (0.95, 1.59), (0.05, 0.053), (0.17, 0.22, 0.29), 0),
        (BOX, (-0.57, 0.10), (1.30, 1.59), (0.053, 0.055), (0.22, 0.28, 0.36), 0),
    ],
    # In the TV stand's frame: behind its back edge, where nothing is put down.
    "TV": [
        (BOX, (-0.08, 0.08), (0.0, 0.72), (-0.30, -0.285), _INK, 0),
        (BOX, (-0.55, 0.55), (0.69, 1.32), (-0.31, -0.285), _INK, 0),
        (BOX, (-0.52, 0.52), (0.72, 1.29), (-0.285, -0.282), (0.17, 0.22, 0.29), 0),
        (BOX, (-0.52, 0.10), (1.02, 1.29), (-0.282, -0.28), (0.22, 0.28, 0.36), 0),
    ],
    "door": [
        (BOX, (-0.50, 0.50), (0.0, 2.10), (0.0, 0.02), _WHITE, 0),
        (BOX, (-0.44, 0.44), (0.01, 2.04), (0.02, 0.035), "brown", 0),
        (BOX, (-0.32, 0.32), (1.12, 1.90), (0.035, 0.038), "brown_dark", 0),
        (BOX, (-0.32, 0.32), (0.16, 0.92), (0.035, 0.038), "brown_dark", 0),
        (BOX, (0.32, 0.40), (0.99, 1.03), (0.035, 0.08), _BRIGHT_STEEL, 0),
    ],
}
"""Piece → its parts. Outside width x, depth z and top y in metres: chair 0.50 x 0.50, seat 0.46;
black table 1.50 x 0.96, 0.762; brown table 1.36 x 0.90, 0.9335; TV stand 1.62 x 0.56, 0.626; sofa 1.85 x 0.90,
seat 0.4035 (its seat: 1.49 x 0.53 about z = 0.10); fridge 0.80 x 0.72, 1.85, with its main shelf at 0.95.

"kitchen counter" has its origin under the sink: x from -1.25 to 1.82, z within ±0.34, top 0.859; left part about
x = -0.76 (0.91 x 0.62), basin about x = 0 (0.37 x 0.25, its bottom at 0.7064), right part about x = 1.035
(1.49 x 0.62). The four drawers are in the counter's frame, closed; to open one, move it along local +z.
"fridge door" has its hinge at its origin (`HINGE` in the fridge's frame). What hangs on a wall has its back at
z = 0."""


def _shaped(parts: list[Part]) -> tuple[Rows, NDArray[np.intp], list[str]]:
    """A piece's rows without the colours of a style; which rows those are, and the colours' names."""
    table, styled, names = [], [], []
    for kind, *spans, paint, turn in parts:
        centre = [(low + high) / 2 for low, high in spans]
        half = [(high - low) / 2 for low, high in spans]
        if turn:
            half = half[::-1]
        if isinstance(paint, str):
            styled.append(len(table))
            names.append(paint)
        table.append((kind, centre, half, _INK if isinstance(paint, str) else paint, turn))
    return built(table), np.array(styled, np.intp), names


_SHAPED = {piece: _shaped(parts) for piece, parts in PARTS.items()}


@lru_cache(maxsize=1024)
def furniture(style: Style) -> dict[str, Rows]:
    """Every piece in the colours of a style: its name → float32 [p, WIDTH]."""
    pieces = {}
    for piece, (shape, styled, names) in _SHAPED.items():
        rows = shape.copy()
        if names:
            rows[styled, RED : BLUE + 1] = [getattr(style, name) for name in names]
        pieces[piece] = labelled(rows, piece)
    return pieces


FURNITURE: dict[str, Rows] = furniture(USUAL)
"""Every piece in the usual colours."""


def wall(
    x0: float,
    z0: float,
    x1: float,
    z1: float,
    colour: Colour,
    gaps: tuple[tuple[float, float], ...] = (),
    height: float = WALL_HEIGHT,
    thickness: float = 0.1,
    above: bool = True,
) -> Rows:
    """A wall along the line from (x0, z0) to (x1, z1), float32 [p, WIDTH].

    `gaps` are doorways: (start, end) in metres from the first point, in rising order. Above each the wall goes on,
    if there is to be anything `above` doorways.
    """
    length = math.hypot(x1 - x0, z1 - z0)
    along_x, along_z, turn = (x1 - x0) / length, (z1 - z0) / length, math.atan2(z1 - z0, x1 - x0)

    def piece(start: float, end: float, low: float, high: float) -> Rows:
        middle = (start + end) / 2
        centre = (x0 + along_x * middle, (low + high) / 2, z0 + along_z * middle)
        return box(*centre, (end - start) / 2, (high - low) / 2, thickness / 2, colour, turn)

    solid = zip([0.0, *(end for _, end in gaps)], [*(start for start, _ in gaps), length], strict=True)
    pieces = [piece(start, end, 0.0, height) for start, end in solid if end > start]
    if above:
        pieces += [piece(start, end, DOORWAY_HEIGHT, height) for start, end in gaps]
    return np.concatenate(pieces)


def floor(x0: float, z0: float, x1: float, z1: float, colour: Colour) -> Rows:
    """A floor between two corners, its top at y = 0, float32 [1, WIDTH]."""
    return span((x0, x1), (-0.1, 0.0), (z0, z1), colour)


def ceiling(x0: float, z0: float, x1: float, z1: float, colour: Colour, height: float = WALL_HEIGHT) -> Rows:
    """A ceiling between two corners, its underside at `height`, float32 [1, WIDTH]."""
    return span((x0, x1), (height, height + 0.1), (z0, z1), colour)
