"""Where the pictures are taken from: the robot's head, and a point high above the home.

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
    cos, sin = np.cos(robot[:, 2]), np.sin(robot[:, 2])
    level, drop = math.cos(PITCH), math.sin(PITCH)
    positions = np.empty((len(robot), 3), np.float32)
    positions[:, 0] = robot[:, 0] + AHEAD * cos
    positions[:, 1] = HEIGHT
    positions[:, 2] = robot[:, 1] + AHEAD * sin
    rotations = np.empty((len(robot), 3, 3), np.float32)
    rotations[:, 0] = np.stack([-sin, np.zeros_like(sin), cos], axis=1)
    rotations[:, 1] = np.stack([-drop * cos, np.full_like(cos, -level), -drop * sin], axis=1)
    rotations[:, 2] = np.stack([level * cos, np.full_like(cos, -drop), level * sin], axis=1)
    return positions, rotations


def map_camera(
    x0: float, z0: float, x1: float, z1: float, size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """A camera straight above, whose square picture holds the ground between two corners.

    It stands so high that the home looks nearly as on a plan. +x is to the right of the picture, +z to its bottom.

    Returns:
        position float32 [1, 3], rotation float32 [1, 3, 3], and the focal length in pixels.
    """
    position = np.array([[(x0 + x1) / 2, _MAP_HEIGHT, (z0 + z1) / 2]], np.float32)
    rotation = np.array([[[1, 0, 0], [0, 0, 1], [0, -1, 0]]], np.float32)
    return position, rotation, size * _MAP_HEIGHT / max(x1 - x0, z1 - z0)
