"""The rows everything in a home is drawn from: coloured boxes, cylinders and ellipsoids.

A primitive is one float32 row of `WIDTH` columns. Frame: metres, +y up; a heading is an angle in
radians from +x toward +z, so that a row's local +x axis points along (cos, 0, sin) and its local +z
axis along (-sin, 0, cos). Rows are plain numbers, so a furnished home is one array and moving a
thing is `placed`.

Kinds:
    BOX: half extents along its local x, y, z.
    CYLINDER: upright; half extents radius along x, half height, radius along z (unequal: an ellipse).
    SPHERE: radii along its local x, y, z (unequal: an ellipsoid).
    ROD: a cylinder lying along its local x; half extents half length, radius along y, radius along z.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BOX, CYLINDER, SPHERE, ROD = 0, 1, 2, 3

KIND = 0
X, Y, Z = 1, 2, 3
HALF_X, HALF_Y, HALF_Z = 4, 5, 6
COS, SIN = 7, 8
RED, GREEN, BLUE = 9, 10, 11
BOUND = 12
"""Radius of a sphere about the centre that holds the primitive."""
OWNER = 13
"""Index of the small object the row belongs to, -1 for everything else."""
WIDTH = 14

Colour = tuple[float, float, float]
Rows = NDArray[np.float32]


def _row(kind: int, centre: Any, half: Any, colour: Colour, heading: float) -> Rows:
    hx, hy, hz = half
    if kind == BOX:
        bound = math.sqrt(hx * hx + hy * hy + hz * hz)
    elif kind == CYLINDER:
        bound = math.hypot(max(hx, hz), hy)
    elif kind == SPHERE:
        bound = max(half)
    else:
        bound = math.hypot(hx, max(hy, hz))
    # Rounded up, so that nothing of the primitive is ever outside its bound.
    bound *= 1.0001
    return np.array([[kind, *centre, *half, math.cos(heading), math.sin(heading), *colour, bound, -1]], np.float32)


def box(x: float, y: float, z: float, hx: float, hy: float, hz: float, colour: Colour, heading: float = 0.0) -> Rows:
    """One box, float32 [1, WIDTH]: centre and half extents in metres, colour in 0..1."""
    return _row(BOX, (x, y, z), (hx, hy, hz), colour, heading)


def cylinder(x: float, y: float, z: float, radius: float, half_height: float, colour: Colour) -> Rows:
    """One upright cylinder, float32 [1, WIDTH]."""
    return _row(CYLINDER, (x, y, z), (radius, half_height, radius), colour, 0.0)


def sphere(x: float, y: float, z: float, radius: float, colour: Colour) -> Rows:
    """One sphere, float32 [1, WIDTH]."""
    return _row(SPHERE, (x, y, z), (radius, radius, radius), colour, 0.0)


def span(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], colour: Colour) -> Rows:
    """One unturned box from its two ends along x, y and z, float32 [1, WIDTH]."""
    centre = [(low + high) / 2 for low, high in (x, y, z)]
    half = [abs(high - low) / 2 for low, high in (x, y, z)]
    return _row(BOX, centre, half, colour, 0.0)


def built(parts: Iterable[tuple[int, Any, Any, Colour, float]]) -> Rows:
    """Rows from a table of (kind, centre, half extents, colour, turn in degrees), float32 [p, WIDTH]."""
    return np.concatenate([_row(kind, at, half, colour, math.radians(turn)) for kind, at, half, colour, turn in parts])


def placed(rows: Rows, x: float, y: float, z: float, heading: float, owner: int | None = None) -> Rows:
    """Local rows turned by `heading` about +y and then moved to (x, y, z), as new rows [p, WIDTH].

    `owner`, if given, becomes their owner.
    """
    cos, sin = math.cos(heading), math.sin(heading)
    out = rows.copy()
    out[:, X] = x + cos * rows[:, X] - sin * rows[:, Z]
    out[:, Y] = y + rows[:, Y]
    out[:, Z] = z + sin * rows[:, X] + cos * rows[:, Z]
    out[:, COS] = cos * rows[:, COS] - sin * rows[:, SIN]
    out[:, SIN] = sin * rows[:, COS] + cos * rows[:, SIN]
    if owner is not None:
        out[:, OWNER] = owner
    return out
