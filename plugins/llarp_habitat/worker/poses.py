"""Headings, directions and cameras as Habitat wants them.

Frame: metres, +y up; a heading is an angle in radians from +x toward +z. Habitat turns about +y the other way round,
and its cameras look along their local -z.
"""

from __future__ import annotations

import math

import numpy as np

AHEAD, HEIGHT = 0.25, 1.2
"""Where the robot's camera is, metres from its base."""
LOOKS_AT = (0.75, 1.0)
"""The point it looks at: ahead of the base, and how high."""
HELD_AHEAD, HELD_HEIGHT = 0.55, 0.85
"""Where a held object is, metres from the base: in the lower middle of what the robot sees."""
WATCHES_FROM, WATCHES = (-1.55, 2.15, 0.75), (0.70, 0.70, -0.10)
"""Where the camera that watches the robot is and where it looks: ahead, up, to the right of the base."""
WATCHING_ANGLE = 75.0
"""Degrees across its picture."""


def about_up(heading: float) -> tuple[float, float, float, float]:
    """The quaternion x, y, z, w that turns local +x to a heading."""
    return 0.0, math.sin(-heading / 2), 0.0, math.cos(-heading / 2)


def point(robot: np.ndarray, place: tuple[float, float, float], floor: float) -> np.ndarray:
    """A place in the robot's frame (ahead, up, to the right) in the world's."""
    ahead, up, right = place
    cos, sin = math.cos(robot[2]), math.sin(robot[2])
    return np.array([robot[0] + ahead * cos - right * sin, floor + up, robot[1] + ahead * sin + right * cos])


def looking(eye: np.ndarray, at: np.ndarray) -> tuple[float, float, float, float]:
    """The quaternion x, y, z, w of a camera at `eye` that looks at `at`, upright."""
    back = eye - at
    back = back / np.linalg.norm(back)
    right = np.cross([0.0, 1.0, 0.0], back)
    length = np.linalg.norm(right)
    # Straight down: the picture's top is toward -z.
    right = right / length if length > 1e-6 else np.array([1.0, 0.0, 0.0])
    up = np.cross(back, right)
    return quaternion(np.stack([right, up, back], axis=1))


def quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """x, y, z, w of a rotation matrix."""
    trace = np.trace(rotation)
    # The largest of the four is found by its square, the others by dividing by it: never by a small number.
    squares = np.array([*(1 + 2 * np.diag(rotation) - trace), 1 + trace]) / 4
    largest = int(squares.argmax())
    found = np.empty(4)
    found[largest] = math.sqrt(max(squares[largest], 0.0))
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    if largest == 3:
        found[:3] = skew / (4 * found[3])
    else:
        found[3] = skew[largest] / (4 * found[largest])
        for other in range(3):
            if other != largest:
                found[other] = (rotation[largest, other] + rotation[other, largest]) / (4 * found[largest])
    return tuple(float(value) for value in found / np.linalg.norm(found))
