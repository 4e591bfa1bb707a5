"""A home from above: what the camera's renderer draws, without what hangs over people's heads."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from llarp_cli.home.camera import map_camera
from llarp_cli.home.primitives import BOUND, HALF_X, HALF_Y, HALF_Z, OWNER, Rows, X, Y, Z, box, cylinder, placed
from llarp_cli.home.scenes import furnished
from llarp_cli.home.semantics import labelled

OVERHEAD = 1.95
"""What begins higher up than this is left out: the ceiling, and the walls above doorways."""

ENLARGED = 1.25
"""How much larger than life objects are drawn."""

_MARGIN = 0.25
_ORANGE, _WHITE = (0.95, 0.45, 0.08), (1.0, 1.0, 1.0)

# An arrow on a disc, pointing along local +x.
_ROBOT: Rows = labelled(
    np.concatenate(
        [
            cylinder(0, 2.60, 0, 0.34, 0.02, _WHITE),
            cylinder(0, 2.64, 0, 0.30, 0.02, _ORANGE),
            box(-0.04, 2.68, 0, 0.19, 0.02, 0.045, _WHITE),
            box(0.10, 2.68, 0.07, 0.13, 0.02, 0.045, _WHITE, -math.radians(45)),
            box(0.10, 2.68, -0.07, 0.13, 0.02, 0.045, _WHITE, math.radians(45)),
        ]
    ),
    "robot",
)


def seen_from_above(
    scene: str, rows: Rows, robot: NDArray[np.float64], width: int, height: int
) -> tuple[Rows, tuple[NDArray[np.float32], NDArray[np.float32], float]]:
    """What a picture from above shows, +x to the right and +z to the bottom, the robot as an arrow.

    Args:
        scene: its name.
        rows: everything that stands in it, float32 [p, WIDTH].
        robot: x, z in metres, heading in radians.
        width, height: of the picture, pixels.

    Returns:
        the rows to draw, and the camera (see `map_camera`).
    """
    low = rows[:, Y] - rows[:, HALF_Y] < OVERHEAD
    shown = rows[low].copy()
    owned = shown[:, OWNER] >= 0
    shown[owned] = _enlarged(shown[owned])
    shown = np.concatenate([shown, placed(_ROBOT, robot[0], 0.0, robot[1], robot[2])])
    x0, z0, x1, z1 = (value / 1000 for value in furnished(scene).layout.room)
    return shown, map_camera(x0 - _MARGIN, z0 - _MARGIN, x1 + _MARGIN, z1 + _MARGIN, width, height)


def _enlarged(rows: Rows) -> Rows:
    """Objects drawn larger about their middles, on the ground they stand on."""
    owners = rows[:, OWNER].astype(np.intp)
    out = rows.copy()
    out[:, [HALF_X, HALF_Y, HALF_Z, BOUND]] *= ENLARGED
    counts = np.maximum(np.bincount(owners), 1)
    for column in (X, Z):
        middle = (np.bincount(owners, rows[:, column]) / counts)[owners]
        out[:, column] = middle + (rows[:, column] - middle) * ENLARGED
    floor = np.full(len(counts), np.inf)
    np.minimum.at(floor, owners, rows[:, Y] - rows[:, HALF_Y])
    out[:, Y] = floor[owners] + (rows[:, Y] - floor[owners]) * ENLARGED
    return out
