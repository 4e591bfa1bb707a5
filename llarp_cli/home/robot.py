"""The robot as others see it, and where they see it from.

Its own camera never shows it. From outside, walls (and what hangs on them) between camera and robot are left out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from llarp_cli.home.primitives import (
    BOX,
    COS,
    CYLINDER,
    HALF_X,
    OWNER,
    ROD,
    SIN,
    SPHERE,
    Colour,
    Rows,
    X,
    Z,
    built,
    placed,
)
from llarp_cli.home.semantics import SEMANTIC_IDS, labelled

_SHELL: Colour = (0.94, 0.94, 0.93)
_DARK: Colour = (0.20, 0.21, 0.24)
_JOINT: Colour = (0.95, 0.45, 0.08)
_GLASS: Colour = (0.10, 0.35, 0.55)

# On wheels, looking along its local +x: a body, a head where the camera is, an arm to where it holds things.
ROBOT: Rows = labelled(
    built(
        [
            (CYLINDER, (0, 0.05, 0), (0.25, 0.05, 0.25), _DARK, 0),
            (CYLINDER, (0, 0.20, 0), (0.27, 0.11, 0.27), _SHELL, 0),
            (CYLINDER, (0, 0.32, 0), (0.22, 0.02, 0.22), _JOINT, 0),
            (BOX, (-0.06, 0.64, 0), (0.11, 0.32, 0.14), _SHELL, 0),
            (BOX, (0.052, 0.66, 0), (0.006, 0.22, 0.10), _DARK, 0),
            (CYLINDER, (-0.05, 1.01, 0), (0.06, 0.07, 0.06), _DARK, 0),
            (BOX, (-0.02, 1.20, 0), (0.12, 0.12, 0.17), _SHELL, 0),
            (BOX, (0.105, 1.21, 0), (0.006, 0.07, 0.14), _DARK, 0),
            (SPHERE, (0.112, 1.21, 0.06), (0.02, 0.035, 0.035), _GLASS, 0),
            (SPHERE, (0.112, 1.21, -0.06), (0.02, 0.035, 0.035), _GLASS, 0),
            (SPHERE, (-0.03, 0.88, 0.19), (0.075, 0.075, 0.075), _JOINT, 0),
            (ROD, (0.10, 0.86, 0.19), (0.13, 0.045, 0.045), _SHELL, 0),
            (SPHERE, (0.23, 0.86, 0.19), (0.055, 0.055, 0.055), _JOINT, 0),
            (ROD, (0.29, 0.89, 0.11), (0.10, 0.038, 0.038), _SHELL, -52),
            (BOX, (0.36, 0.91, 0), (0.03, 0.02, 0.07), _DARK, 0),
            (BOX, (0.42, 0.92, 0.06), (0.05, 0.012, 0.012), _DARK, 0),
            (BOX, (0.42, 0.92, -0.06), (0.05, 0.012, 0.012), _DARK, 0),
        ]
    ),
    "robot",
)
"""float32 [p, WIDTH]: its base at the origin."""

_HANGS = [SEMANTIC_IDS[name] for name in ("picture", "print", "clock", "window", "TV panel", "door")]
_SHELTER = [SEMANTIC_IDS[name] for name in ("wall", "ceiling")]
_ABOUT = np.array([(x, y, z) for x in (-0.3, 0.9) for y in (0.1, 0.7, 1.4) for z in (-0.9, 0.0, 0.9)])
"""Points about the robot, in its own frame, between which and the camera no wall stays."""
_HUNG = 0.25
"""What hangs on a wall is no further from it, metres."""


def seen_from_outside(rows: Rows, robot: NDArray[np.float64], camera: NDArray[np.float32]) -> Rows:
    """The rows of a home with its robot, and without the walls between it and a camera.

    Args:
        rows: everything in the home, float32 [p, WIDTH].
        robot: x, z in metres, heading in radians.
        camera: its position, float32 [3].
    """
    x, z, heading = robot
    cos, sin = math.cos(heading), math.sin(heading)
    points = _ABOUT @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]) + np.array([x, 0, z])
    shelter = np.flatnonzero(np.isin(rows[:, OWNER], _SHELTER))
    between = shelter[_hit(rows[shelter], camera.astype(np.float64), points)]
    hanging = np.flatnonzero(np.isin(rows[:, OWNER], _HANGS))
    near = _distance(rows[between], rows[hanging][:, [X, Z]]).min(axis=0, initial=np.inf) < _HUNG
    kept = np.delete(rows, np.concatenate([between, hanging[near]]), axis=0)
    return np.concatenate([kept, placed(ROBOT, x, 0.0, z, heading)])


def _hit(rows: Rows, start: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which boxes a line from `start` to any of `ends` [m, 3] passes: bool [p]."""
    from_start, way = start - rows[:, None, X : Z + 1], (ends - start)[None]
    enter, leave = np.zeros((len(rows), len(ends))), np.ones((len(rows), len(ends)))
    cos, sin = rows[:, None, COS], rows[:, None, SIN]
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis in range(3):
            at, along = (
                v[..., 1]
                if axis == 1
                else (cos * v[..., 0] + sin * v[..., 2] if axis == 0 else cos * v[..., 2] - sin * v[..., 0])
                for v in (from_start, way)
            )
            half = rows[:, None, HALF_X + axis]
            first, second = (-half - at) / along, (half - at) / along
            enter, leave = np.fmax(enter, np.fmin(first, second)), np.fmin(leave, np.fmax(first, second))
    return (enter <= leave).any(axis=1)


def _distance(walls: Rows, points: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far points [m, 2] on the floor are from walls: [p, m]."""
    dx, dz = (points[None, :, i] - walls[:, None, (X, Z)[i]] for i in range(2))
    cos, sin = walls[:, None, COS], walls[:, None, SIN]
    along = np.maximum(np.abs(cos * dx + sin * dz) - walls[:, None, HALF_X], 0)
    across = np.maximum(np.abs(cos * dz - sin * dx) - walls[:, None, HALF_X + 2], 0)
    return np.hypot(along, across)
