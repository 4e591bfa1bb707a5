"""The robot as others see it, and where they see it from.

Its own camera never shows it. The camera that watches it looks over whichever shoulder shows more, and walls (with
what hangs on them), lamps and plants before it are left out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from llarp_cli.home.camera import watching_cameras
from llarp_cli.home.primitives import (
    BOUND,
    BOX,
    COS,
    CYLINDER,
    HALF_X,
    HALF_Z,
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

_HANGS = [SEMANTIC_IDS[name] for name in ("picture", "print", "clock", "shelf", "window", "TV panel", "door")]
_SHELTER = [SEMANTIC_IDS[name] for name in ("wall", "ceiling")]
_ABOUT = np.array([(x, y, z) for x in (-0.3, 0.9) for y in (0.1, 0.7, 1.4) for z in (-0.9, 0.0, 0.9)])
"""Points about the robot, in its own frame, between which and the camera no wall stays."""
_HUNG = 0.25
"""What hangs on a wall is no further from it, metres."""
_LIGHT = [SEMANTIC_IDS[name] for name in ("lamp", "plant", "pendant")]
_WIDE = 0.6
"""The parts of one of those are no further apart, metres."""


def watching_camera(rows: Rows, robot: NDArray[np.float64]) -> tuple[Rows, NDArray[np.float32], NDArray[np.float32]]:
    """What the camera over the robot's shoulder sees, and where it is.

    Args:
        rows: everything in the home, float32 [p, WIDTH].
        robot: x, z in metres, heading in radians.

    Returns:
        the rows to draw; position float32 [1, 3]; rotation float32 [1, 3, 3].
    """
    sides = [watching_cameras(robot[None], side) for side in (1.0, -1.0)]
    shown = [seen_from_outside(rows, robot, position[0]) for position, _ in sides]
    hidden = [
        _crossed(kept[: len(kept) - len(ROBOT)], position[0].astype(np.float64), _points(robot)).any(axis=0).sum()
        for kept, (position, _) in zip(shown, sides, strict=True)
    ]
    best = int(np.argmin(hidden))
    return shown[best], *sides[best]


def seen_from_outside(rows: Rows, robot: NDArray[np.float64], camera: NDArray[np.float32]) -> Rows:
    """The rows of a home with its robot, and without the walls between it and a camera, nor furniture that hides it.

    Args:
        rows: everything in the home, float32 [p, WIDTH].
        robot: x, z in metres, heading in radians.
        camera: its position, float32 [3].
    """
    points = _points(robot)
    hit = _crossed(rows, camera.astype(np.float64), points).any(axis=1)
    between = np.isin(rows[:, OWNER], _SHELTER) & hit
    hanging = np.isin(rows[:, OWNER], _HANGS) & _near(rows, rows[between], _HUNG)
    light = np.isin(rows[:, OWNER], _LIGHT)
    light &= _near(rows, rows[light & hit], _WIDE)
    kept = rows[~(between | hanging | light)]
    x, z, heading = robot
    body = np.array([(x, 0.75, z), (x, 1.2, z)])
    pieces = np.unique(kept[_crossed(kept, camera.astype(np.float64), body).any(axis=1), OWNER])
    kept = kept[(kept[:, OWNER] >= 0) | ~np.isin(kept[:, OWNER], pieces)]
    return np.concatenate([kept, placed(ROBOT, x, 0.0, z, heading)])


def _points(robot: NDArray[np.float64]) -> NDArray[np.float64]:
    """What should be seen of the robot and its surroundings, [m, 3]."""
    x, z, heading = robot
    cos, sin = math.cos(heading), math.sin(heading)
    return _ABOUT @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]) + np.array([x, 0, z])


def _crossed(rows: Rows, start: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which boxes (or boxes around what is round) the lines from `start` to `ends` [m, 3] cross: bool [p, m]."""
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
    return (enter <= leave) & (rows[:, None, BOUND] > 0)


def _near(rows: Rows, others: Rows, distance: float) -> NDArray[np.bool_]:
    """Which rows' middles are no further on the floor from any of the other rows' boxes than that: bool [p]."""
    dx, dz = (rows[None, :, axis] - others[:, None, axis] for axis in (X, Z))
    cos, sin = others[:, None, COS], others[:, None, SIN]
    along = np.maximum(np.abs(cos * dx + sin * dz) - others[:, None, HALF_X], 0)
    across = np.maximum(np.abs(cos * dz - sin * dx) - others[:, None, HALF_Z], 0)
    return (np.hypot(along, across) <= distance).any(axis=0)
