"""Where the pictures are taken from: the robot's head, behind and above it, and a point high above the home.

A camera is a position and a rotation whose rows are its right, down and forward directions in the
world. The robot's camera is that of Language Rearrangement: 1.2 m high, 0.25 m ahead of the base,
looking at the point 0.75 m ahead and 1.0 m high (so about 21.8° down), 90° wide, square.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

HEIGHT = 1.2
AHEAD = 0.25
LOOKS_AT = (0.75, 1.0)
PITCH = math.atan2(HEIGHT - LOOKS_AT[1], LOOKS_AT[0] - AHEAD)
"""How far down the robot looks, radians."""

WATCHES_FROM, WATCHES = (-1.55, 2.15, 0.75), (0.70, 0.70, -0.10)
"""Where the camera that watches the robot is, and where it looks: ahead of the robot's base, above the floor and to
its right, metres. Over its shoulder, so that its body does not hide what it does."""
_WATCHING_ANGLE = math.radians(75)

_MAP_HEIGHT = 60.0


def focal(size: int) -> float:
    """The robot camera's focal length in pixels, for pictures of `size` by `size`: 90° across."""
    return size / 2


def robot_cameras(robot: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The cameras of N robots.

    Args:
        robot: float64 [N, 3], x and z in metres, heading in radians from +x toward +z.

    Returns:
        positions float32 [N, 3] and rotations float32 [N, 3, 3] (rows right, down, forward).
    """
    return _cameras(robot, (AHEAD, HEIGHT, 0.0), (LOOKS_AT[0], LOOKS_AT[1], 0.0))


def watching_focal(width: int) -> float:
    """The focal length of the camera that watches the robot, in pixels."""
    return width / 2 / math.tan(_WATCHING_ANGLE / 2)


def watching_cameras(robot: NDArray[np.float64], side: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cameras that look over N robots' right shoulders, with a `side` of -1 over their left; as `robot_cameras`."""
    (ahead, up, right), (aim_ahead, aim_up, aim_right) = WATCHES_FROM, WATCHES
    return _cameras(robot, (ahead, up, side * right), (aim_ahead, aim_up, side * aim_right))


def _cameras(
    robot: NDArray[np.float64], place: tuple[float, float, float], aim: tuple[float, float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cameras about N robots, from a place to an aim in their frames: ahead, up, to the right."""
    cos, sin = np.cos(robot[:, 2]), np.sin(robot[:, 2])
    ahead, up, right = (end - start for start, end in zip(place, aim, strict=True))
    level = math.hypot(ahead, right)
    length = math.hypot(level, up)
    positions = np.empty((len(robot), 3), np.float32)
    positions[:, 0] = robot[:, 0] + place[0] * cos - place[2] * sin
    positions[:, 1] = place[1]
    positions[:, 2] = robot[:, 1] + place[0] * sin + place[2] * cos
    # The viewing direction on the floor.
    x, z = (ahead * cos - right * sin) / level, (ahead * sin + right * cos) / level
    rotations = np.zeros((len(robot), 3, 3), np.float32)
    rotations[:, 0, 0], rotations[:, 0, 2] = -z, x
    rotations[:, 1, 0], rotations[:, 1, 1], rotations[:, 1, 2] = up / length * x, -level / length, up / length * z
    rotations[:, 2, 0], rotations[:, 2, 1], rotations[:, 2, 2] = level / length * x, up / length, level / length * z
    return positions, rotations


def map_camera(
    x0: float, z0: float, x1: float, z1: float, width: int, height: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """A camera straight above, whose picture holds the ground between two corners.

    It stands so high that the home looks nearly as on a plan. +x is to the right of the picture, +z to its bottom.

    Returns:
        position float32 [1, 3], rotation float32 [1, 3, 3], and the focal length in pixels.
    """
    position = np.array([[(x0 + x1) / 2, _MAP_HEIGHT, (z0 + z1) / 2]], np.float32)
    rotation = np.array([[[1, 0, 0], [0, 0, 1], [0, -1, 0]]], np.float32)
    return position, rotation, _MAP_HEIGHT * min(width / (x1 - x0), height / (z1 - z0))
