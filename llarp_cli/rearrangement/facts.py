"""What is true in N homes: the predicates that goals, preconditions and subgoals are made of.

All are read off poses (Szot et al. 2024, appendix; Habitat 2.0's metric predicates): an object is on
a receptacle when its origin is inside the receptacle's box, and the robot is at something when that is
near enough and far enough to the front.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from llarp_cli.rearrangement.simulator import Simulator
from llarp_cli.rearrangement.vocabulary import JOINTS, OPEN_JOINT, RECEPTACLES, TARGETS

TARGET_REACH = 2.0
"""Metres (horizontal) within which the robot is at a receptacle or handle."""
TARGET_BEARING = 1.57
"""Radians from straight ahead within which it is at one."""
OBJECT_REACH = 1.5
"""Metres (horizontal) within which an object can be picked."""
OBJECT_BEARING = 1.0
"""Radians from straight ahead within which an object can be picked."""

CLOSED_BELOW = 0.15
"""A joint is closed when its absolute value is below this (metres or radians)."""
OPENED_ABOVE = tuple(
    value - (0.15 if name == "fridge" else 0.10) for name, value in zip(JOINTS, OPEN_JOINT, strict=True)
)
"""A joint is open above this (metres or radians)."""

DRAWER_RECEPTACLES = tuple((RECEPTACLES.index(name), i) for i, name in enumerate(JOINTS) if name in RECEPTACLES[9:])
"""(receptacle, joint) of each drawer that things can be put in."""


def within(robot: NDArray[np.float64], points: NDArray[np.float64], reach: float, bearing: float) -> NDArray[np.bool_]:
    """Whether points are near a robot and ahead of it, heights ignored.

    Args:
        robot: [N, 3], x, z, heading.
        points: [N, P, 3], x, y, z.
        reach: metres, inclusive.
        bearing: radians to either side, inclusive, below π.
    """
    x = points[:, :, 0] - robot[:, 0, None]
    z = points[:, :, 2] - robot[:, 1, None]
    distance = np.sqrt(x * x + z * z)
    ahead = x * np.cos(robot[:, 2])[:, None] + z * np.sin(robot[:, 2])[:, None]
    return (distance <= reach) & (ahead >= math.cos(bearing) * distance)


def inside(positions: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points [N, M, 3] are inside oriented boxes [N, B, 7] (see `Simulator.boxes`): bool [N, M, B]."""
    cos, sin = np.cos(boxes[:, None, :, 3]), np.sin(boxes[:, None, :, 3])
    x = positions[:, :, None, 0] - boxes[:, None, :, 0]
    z = positions[:, :, None, 2] - boxes[:, None, :, 2]
    found = np.abs(positions[:, :, None, 1] - boxes[:, None, :, 1]) <= boxes[:, None, :, 5]
    found &= np.abs(x * cos + z * sin) <= boxes[:, None, :, 4]
    found &= np.abs(z * cos - x * sin) <= boxes[:, None, :, 6]
    return found


class Facts:
    """The predicates of all homes of a simulator, brought up to date by `refresh`.

    Attributes:
        on: bool [N, M, 11], the object is on or in the receptacle; never for a held object or padding.
        held: int16 [N], index of the held object, -1 for none.
        joints: float64 [N, 5], metres and radians.
        opened, closed: bool [N, 5], of the joints; a joint may be neither.
        at_target: bool [N, 16], the robot is at a receptacle or handle (2.0 m, 1.57 rad).
        at_object: bool [N, M], the robot is at an object (1.5 m, 1.0 rad); never for padding.
    """

    def __init__(self, simulator: Simulator):
        homes, objects = simulator.homes, simulator.max_objects
        self._simulator = simulator
        self.on = np.zeros((homes, objects, len(RECEPTACLES)), bool)
        self.held = np.full(homes, -1, np.int16)
        self.joints = np.zeros((homes, len(JOINTS)))
        self.opened = np.zeros((homes, len(JOINTS)), bool)
        self.closed = np.ones((homes, len(JOINTS)), bool)
        self.at_target = np.zeros((homes, len(TARGETS)), bool)
        self.at_object = np.zeros((homes, objects), bool)

    def refresh(self, homes: NDArray[np.intp], moved: NDArray[np.intp]) -> None:
        """Recompute after something changed.

        Args:
            homes: where the robot, an object or a joint may have changed.
            moved: those of them where an object or a joint may have.
        """
        simulator = self._simulator
        robot = simulator.robot[homes]
        real = simulator.categories[homes] >= 0
        self.at_target[homes] = within(robot, simulator.targets[homes], TARGET_REACH, TARGET_BEARING)
        self.at_object[homes] = within(robot, simulator.positions[homes], OBJECT_REACH, OBJECT_BEARING) & real

        self.held[moved] = simulator.held[moved]
        joints = simulator.joints[moved]
        self.joints[moved] = joints
        self.opened[moved] = joints > OPENED_ABOVE
        self.closed[moved] = np.abs(joints) < CLOSED_BELOW
        self.on[moved] = self._on(moved)

    def _on(self, homes: NDArray[np.intp]) -> NDArray[np.bool_]:
        simulator = self._simulator
        real = simulator.categories[homes] >= 0
        used = int(real.sum(axis=1).max(initial=0))  # padding comes last: leave out what is padding everywhere
        found = np.zeros((len(homes), real.shape[1], len(RECEPTACLES)), bool)
        found[:, :used] = inside(simulator.positions[homes, :used], simulator.boxes[homes])
        # A drawer's box stays where the closed drawer is; what lies in the drawer moves with it.
        for receptacle, joint in DRAWER_RECEPTACLES:
            found[:, :, receptacle] |= simulator.drawers[homes] == joint
        found &= real[:, :, None]
        held = simulator.held[homes]
        holding = np.flatnonzero(held >= 0)
        found[holding, held[holding]] = False
        return found
