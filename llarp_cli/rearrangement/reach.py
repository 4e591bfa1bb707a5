"""From where what is in reach: one home's geometry, as the planner uses it.

Sets of poses are whole numbers, one bit per pose: those that the robot takes before each target, and where it is
now. Where an object that is put down comes to rest is left to chance, so that it may be in reach or surely be so.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from llarp_cli.rearrangement.execution import FIRST_RECEPTACLE
from llarp_cli.rearrangement.facts import (
    DRAWER_RECEPTACLES,
    OBJECT_BEARING,
    OBJECT_REACH,
    TARGET_BEARING,
    TARGET_REACH,
    Facts,
    within,
)
from llarp_cli.rearrangement.simulator import Simulator
from llarp_cli.rearrangement.vocabulary import OPEN_JOINT, RECEPTACLES, TARGETS

HERE = len(TARGETS)
"""The pose where the robot is now."""

AS_NOW = -2
"""An object's place: where it is now."""
IN_HAND = -1
"""An object's place: the gripper. Others are receptacles."""

_JOINT_OF = dict(DRAWER_RECEPTACLES)
_RECEPTACLE_OF = {joint: receptacle for receptacle, joint in DRAWER_RECEPTACLES}
_CORNERS = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])


class Reach:
    """What is in reach from where, in one home.

    Args:
        simulator: the homes.
        facts: of their present state.
        home: which of them.
        stands: float [16, 3], the robot's pose (x, z in metres, heading in radians) after `go_to` each target.

    Attributes:
        categories: of the objects, -1 for padding.
        drawers: the joint of the drawer each object lies in, -1 for none.
        held: the object in the hand, -1 for none.
        on_now: the receptacles each object is on.
        opened: joints that are not closed, as bits.
        ajar: those neither open nor closed, as bits: no skill moves them.
        at_target: per target, the poses that are at it.
        at_any: poses that are at some receptacle.
    """

    def __init__(self, simulator: Simulator, facts: Facts, home: int, stands: NDArray[np.float64]):
        self.categories: list[int] = simulator.categories[home].tolist()
        self.drawers: list[int] = simulator.drawers[home].tolist()
        self.held = int(facts.held[home])
        self.on_now = [set(np.flatnonzero(on).tolist()) for on in facts.on[home]]
        self.opened = _bits(~facts.closed[home])
        self.ajar = _bits(~facts.closed[home] & ~facts.opened[home])

        poses = np.concatenate([stands, simulator.robot[home : home + 1]])
        boxes = simulator.boxes[home]
        self.at_target = _seen_from(poses, simulator.targets[home], TARGET_REACH, TARGET_BEARING)
        self.at_any = 0
        for mask in self.at_target[FIRST_RECEPTACLE:]:
            self.at_any |= mask
        positions = simulator.positions[home]
        self._as_it_is = _seen_from(poses, positions, OBJECT_REACH, OBJECT_BEARING)
        self._drawn_out = list(self._as_it_is)
        shut_in = [
            m for m, joint in enumerate(self.drawers) if joint in _RECEPTACLE_OF and not self.opened >> joint & 1
        ]
        if shut_in:
            way = np.array([_way_out(boxes, self.drawers[m], facts.joints[home]) for m in shut_in])
            moved = _seen_from(poses, positions[shut_in] + way, OBJECT_REACH, OBJECT_BEARING)
            for m, mask in zip(shut_in, moved, strict=True):
                self._drawn_out[m] = mask
        out = np.zeros(len(RECEPTACLES))
        self._put_in = _put_down(poses, boxes, out)
        for receptacle, joint in DRAWER_RECEPTACLES:
            out[receptacle] = facts.joints[home, joint] if self.ajar >> joint & 1 else OPEN_JOINT[joint]
        self._put_out = _put_down(poses, boxes, out)

    def pickable(self, m: int, place: int, opened: int) -> tuple[int, int]:
        """Poses from which an object that is in a place can surely be picked, and those from which it might be.

        Args:
            m: the object.
            place: AS_NOW or a receptacle.
            opened: joints that are not closed, as bits.
        """
        joint = self.drawer(m, place)
        if joint >= 0 and not opened >> joint & 1:
            return 0, 0
        return self.once_open(m, place)

    def once_open(self, m: int, place: int) -> tuple[int, int]:
        """The same, were its drawer open."""
        return (self._drawn_out[m],) * 2 if place == AS_NOW else self._put_out[place]

    def at_object(self, m: int, place: int, opened: int) -> tuple[int, int]:
        """Poses that are surely at an object, and those that might be."""
        if place == IN_HAND:
            return -1, -1
        joint = self.drawer(m, place)
        if joint < 0 or opened >> joint & 1:
            return self.once_open(m, place)
        return (self._as_it_is[m],) * 2 if place == AS_NOW else self._put_in[place]

    def drawer(self, m: int, place: int) -> int:
        """The joint of the drawer that an object is in, -1 for none."""
        return self.drawers[m] if place == AS_NOW else _JOINT_OF.get(place, -1)


def _bits(flags: NDArray[np.bool_]) -> int:
    return sum(1 << i for i in np.flatnonzero(flags).tolist())


def _seen_from(poses: NDArray[np.float64], points: NDArray[np.float64], reach: float, bearing: float) -> list[int]:
    """For each point [P, 3], the poses from which it is within reach."""
    found = within(poses, np.broadcast_to(points, (len(poses), *points.shape)), reach, bearing)
    return (found * (1 << np.arange(len(poses)))[:, None]).sum(axis=0).tolist()


def _way_out(boxes: NDArray[np.float64], joint: int, joints: NDArray[np.float64]) -> tuple[float, float, float]:
    """How far an object in a drawer moves when it is opened: along the drawer's local z."""
    heading = boxes[_RECEPTACLE_OF[joint], 3]
    distance = OPEN_JOINT[joint] - joints[joint]
    return -math.sin(heading) * distance, 0.0, math.cos(heading) * distance


def _put_down(
    poses: NDArray[np.float64], boxes: NDArray[np.float64], out: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """For each receptacle, the poses from which something put down there is surely in reach, and perhaps.

    The sector that is in reach is convex: all of a box is in it when its corners are. From its own pose what is on a
    receptacle is mostly in reach, but not always.

    Args:
        poses: float [P, 3].
        boxes: float [11, 7].
        out: float [11], how far each is drawn out along its local z, metres.
    """
    sin, cos = np.sin(boxes[:, 3]), np.cos(boxes[:, 3])
    half_x, half_z = boxes[:, 4], boxes[:, 6]
    x, z = boxes[:, 0] - sin * out, boxes[:, 2] + cos * out

    across, along = half_x[:, None] * _CORNERS[:, 0], half_z[:, None] * _CORNERS[:, 1]
    corners = np.zeros((len(boxes), 4, 3))
    corners[:, :, 0] = x[:, None] + across * cos[:, None] - along * sin[:, None]
    corners[:, :, 2] = z[:, None] + across * sin[:, None] + along * cos[:, None]
    seen = _seen_from(poses, corners.reshape(-1, 3), OBJECT_REACH, OBJECT_BEARING)

    by_x, by_z = poses[:, 0, None] - x, poses[:, 1, None] - z
    beyond_x = np.maximum(np.abs(by_x * cos + by_z * sin) - half_x, 0)
    beyond_z = np.maximum(np.abs(by_z * cos - by_x * sin) - half_z, 0)
    perhaps = np.hypot(beyond_x, beyond_z) <= OBJECT_REACH
    # All corners beyond one edge of the sector: none of the box is in it.
    to_x = corners[:, :, 0] - poses[:, 0, None, None]
    to_z = corners[:, :, 2] - poses[:, 1, None, None]
    for side in (-OBJECT_BEARING, OBJECT_BEARING):
        edge = poses[:, 2, None, None] + side
        inward = (np.sin(edge) * to_x - np.cos(edge) * to_z) * math.copysign(1, side)
        perhaps &= (inward >= 0).any(axis=2)
    found = []
    for r in range(len(boxes)):
        a, b, c, d = seen[4 * r : 4 * r + 4]
        sure = a & b & c & d
        found.append((sure, _bits(perhaps[:, r]) | sure | 1 << FIRST_RECEPTACLE + r))
    return found
