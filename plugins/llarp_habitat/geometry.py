"""From a survey's facts to what the benchmark needs of a scene: boxes, standing poses, where objects may start.

The robot stands on the navigation mesh, facing its target, at the place nearest to it from which everything on or in
the target is in reach; where there is none, at the one from which most is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llarp_cli.errors import LlarpError
from llarp_cli.home.camera import AHEAD, HEIGHT, PITCH
from llarp_cli.home.scenes import PICK_BEARING, PICK_REACH, half_view
from llarp_cli.rearrangement.facts import DRAWER_RECEPTACLES, TARGET_REACH
from llarp_cli.rearrangement.simulator import Scene
from llarp_cli.rearrangement.vocabulary import JOINTS, RECEPTACLES, SURFACES, TARGETS

FAR_AWAY = 900_000
"""Where what a scene does not have is, millimetres along x and z: out of reach from everywhere."""
FEWEST_STARTS = 5

_JOINT_OF = dict(DRAWER_RECEPTACLES)
_INSIDES = ("fridge", "left drawer", "right drawer")
_BELOW, _ABOVE, _ABOVE_INSIDE = 0.03, 0.30, 0.15
"""How far a box reaches below and above its surface at least, metres: objects' origins are above what they stand on."""
_FROM_DOOR = 0.9
"""The robot stands so far from handles if it can, metres: doors swing."""
_TARGET_REACH = TARGET_REACH - 0.1
_IN_VIEW = 0.6
"""So much of a target must be in the robot's line of sight, where that is possible anywhere."""
_STEP = 0.04
"""Between the places of a surface that are looked at, metres."""
_SMALLEST = 0.06
"""Half extents of the least that objects may start on, metres."""


@dataclass(frozen=True)
class Known:
    """A scene, and what only its simulator needs.

    Attributes:
        scene: for the benchmark.
        targets: float [16, 3], metres.
        floor: height of the ground, metres.
        heights: float [11], of the receptacles' surfaces, metres.
        low, high: corners of the ground, x and z, metres.
    """

    scene: Scene
    targets: NDArray[np.float64]
    floor: float
    heights: NDArray[np.float64]
    low: tuple[float, float]
    high: tuple[float, float]


@dataclass(frozen=True)
class _Box:
    """An upright box: centre x, y, z; heading of its local x axis; half extents. A drawer opens along its local +z."""

    x: float
    y: float
    z: float
    heading: float
    half_x: float
    half_y: float
    half_z: float

    def points(self, u: NDArray[np.float64], v: NDArray[np.float64], out: float = 0.0) -> NDArray[np.float64]:
        """x, z of places u along its local x and v along its local z, metres, drawn out by so much: [..., 2]."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        return np.stack([self.x + cos * u - sin * (v + out), self.z + sin * u + cos * (v + out)], axis=-1)


def known(name: str, facts: dict[str, Any]) -> Known:
    """A scene from its survey.

    Args:
        name: its name.
        facts: see `worker.survey.survey`.

    What the robot cannot come near to counts as absent; its box is where it is.

    Raises:
        LlarpError: the robot has no room, or comes near to fewer than two surfaces.
    """
    starts = np.round(np.array(facts["starts"], float).reshape(-1, 2) * 1000).astype(np.int64)
    if len(starts) < FEWEST_STARTS:
        raise LlarpError(f"scene '{name}' has no room for the robot", "use another scene, or clear its floor")
    boxes = {receptacle: _box(receptacle, given, facts["joints"]) for receptacle, given in facts["receptacles"].items()}
    heights = np.array([facts["receptacles"].get(r, {"surface": 0.0})["surface"] for r in RECEPTACLES], float)
    rows = np.zeros((len(RECEPTACLES), 7), np.int64)
    rows[:, [0, 2]] = FAR_AWAY
    targets = np.full((len(TARGETS), 3), FAR_AWAY / 1000)
    stands = np.zeros((len(TARGETS), 3), np.int64)
    stands[:] = (*starts[0], 0)
    absent = set(TARGETS)
    for receptacle, box in boxes.items():
        row = RECEPTACLES.index(receptacle)
        rows[row] = _whole(box)
        number = len(JOINTS) + row
        targets[number] = box.x, box.y, box.z
        above = heights[row] - facts["floor"]
        slide = facts["joints"].get(receptacle, {}).get("slide", (0.0, 0.0, 0.0))
        out = math.hypot(slide[0], slide[2])
        stand = _stand(receptacle, facts["places"][receptacle], targets[number], box, above, out)
        if stand is not None:
            stands[number] = stand
            absent.discard(receptacle)
    for joint, given in facts["joints"].items():
        number = JOINTS.index(joint)
        targets[number] = given["handle"]
        stand = _stand(f"{joint} handle", facts["places"][f"{joint} handle"], targets[number], None)
        if stand is not None:
            stands[number] = stand
            absent.discard(f"{joint} handle")
    surfaces = np.zeros((len(SURFACES), 7), np.int64)
    for i, surface in enumerate(SURFACES):
        if surface not in absent:
            stand = stands[TARGETS.index(surface)] / 1000
            surfaces[i] = _surface(boxes[surface], heights[RECEPTACLES.index(surface)] - facts["floor"], stand)
            surfaces[i, 1] = round(1000 * heights[RECEPTACLES.index(surface)])
    if (surfaces[:, 4] > 0).sum() < 2:
        raise LlarpError(
            f"in scene '{name}' objects can be seen and reached on fewer than two surfaces",
            "name other receptacles in the description, or clear the floor before them",
        )
    scene = Scene(name, rows, surfaces, stands, starts, frozenset(absent), round(1000 * facts["floor"]))
    return Known(scene, targets, facts["floor"], heights, tuple(facts["low"]), tuple(facts["high"]))


def _box(receptacle: str, given: dict[str, Any], joints: dict[str, Any]) -> _Box:
    """A receptacle's box, upright, reaching far enough for what stands in it."""
    axes, centre, surface = np.array(given["axes"], float), given["centre"], given["surface"]
    up = int(np.abs(axes[:, 1]).argmax())
    first, second = (axes[axis] for axis in range(3) if axis != up)
    joint = _JOINT_OF.get(RECEPTACLES.index(receptacle))
    slide = np.array(joints[JOINTS[joint]]["slide"]) if joint is not None and JOINTS[joint] in joints else np.zeros(3)
    if abs(first @ slide) * np.linalg.norm(second) > abs(second @ slide) * np.linalg.norm(first):
        first, second = second, first
    heading = math.atan2(first[2], first[0])
    if -math.sin(heading) * slide[0] + math.cos(heading) * slide[2] < 0:
        heading += math.pi
    low = min(centre[1] - abs(axes[up, 1]), surface - _BELOW)
    above = _ABOVE_INSIDE if receptacle in _INSIDES else _ABOVE
    high = max(centre[1] + abs(axes[up, 1]), surface + above)
    return _Box(
        centre[0],
        (low + high) / 2,
        centre[2],
        heading % (2 * math.pi),
        math.hypot(first[0], first[2]),
        (high - low) / 2,
        math.hypot(second[0], second[2]),
    )


def _whole(box: _Box) -> tuple[int, ...]:
    """A row of `Scene.boxes`."""
    lengths = (box.half_x, box.half_y, box.half_z)
    heading = round(math.degrees(box.heading) * 1000) % 360_000
    return *(round(1000 * value) for value in (box.x, box.y, box.z)), heading, *(round(1000 * h) for h in lengths)


def _stand(
    target: str,
    places: list[list[float]],
    at: NDArray[np.float64],
    box: _Box | None,
    height: float = 0.0,
    out: float = 0.0,
) -> tuple[int, int, int] | None:
    """The pose before a target: x, z, heading; None where the robot cannot come near to it.

    `height` is that of the box's surface above the floor, `out` how far a drawer opens.
    """
    found = np.array(places, float).reshape(-1, 3)
    distance = np.hypot(found[:, 0] - at[0], found[:, 1] - at[2])
    near = (distance <= _TARGET_REACH) & (distance > 1e-3)
    found, distance = found[near], distance[near]
    if not len(found):
        return None
    heading = np.arctan2(at[2] - found[:, 1], at[0] - found[:, 0])
    if box is None:
        worth = (distance >= _FROM_DOOR).astype(float)
    else:
        grid = np.linspace(-0.8, 0.8, 5)
        u, v = (axis.ravel() for axis in np.meshgrid(grid * box.half_x, grid * box.half_z))
        drawer = target in JOINTS and target != "fridge"
        points = box.points(u, v, out if drawer else 0.0)
        good = _in_reach(found, heading, points)
        if not drawer and target != "fridge":
            good &= _in_view(found, heading, points, height)
        worth = good.mean(axis=1)
    worth = worth * np.where(found[:, 2] >= _IN_VIEW, 1.0, 0.3)
    best = np.flatnonzero(worth >= worth.max() - 1e-9)
    chosen = best[distance[best].argmin()]
    x, z = found[chosen, :2]
    return round(1000 * x), round(1000 * z), round(math.degrees(heading[chosen]) * 1000) % 360_000


def _in_reach(
    places: NDArray[np.float64], headings: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which points [n, 2] can be picked from which places [p, 2+] with headings [p]: bool [p, n]."""
    by = points[None] - places[:, None, :2]
    distance = np.hypot(by[..., 0], by[..., 1])
    ahead = by[..., 0] * np.cos(headings)[:, None] + by[..., 1] * np.sin(headings)[:, None]
    return (distance <= PICK_REACH / 1000) & (ahead >= math.cos(PICK_BEARING) * distance)


def _in_view(
    places: NDArray[np.float64], headings: NDArray[np.float64], points: NDArray[np.float64], height: float
) -> NDArray[np.bool_]:
    """Which points at a height above the floor are in the robot's picture, were nothing before them: bool [p, n]."""
    by = points[None] - places[:, None, :2]
    cos, sin = np.cos(headings)[:, None], np.sin(headings)[:, None]
    ahead, aside = by[..., 0] * cos + by[..., 1] * sin, np.abs(by[..., 1] * cos - by[..., 0] * sin)
    nearest = AHEAD + max(HEIGHT - height, 0.0) * math.tan(math.pi / 4 - PITCH) + 0.03
    return (ahead >= nearest) & (1000 * aside <= half_view(1000 * ahead, 1000 * height))


def _surface(box: _Box, height: float, stand: NDArray[np.float64]) -> tuple[int, ...]:
    """The row of `Scene.surfaces` (its height left out): the largest part of a box that is in reach and in view."""
    columns, rows = (np.arange(-half + _STEP / 2, half, _STEP) for half in (box.half_x, box.half_z))
    u, v = np.meshgrid(columns, rows, indexing="ij")
    heading = math.radians(stand[2])
    points = box.points(u, v)
    pose = stand[None, :2], np.array([heading]), points.reshape(-1, 2)
    good = (_in_reach(*pose) & _in_view(*pose, height)).reshape(u.shape)
    x0, x1, z0, z1 = _largest(good)
    half_x, half_z = (x1 - x0) * _STEP / 2, (z1 - z0) * _STEP / 2
    if min(half_x, half_z) < _SMALLEST:
        return (FAR_AWAY, 0, FAR_AWAY, 0, 0, 0, 0)
    middle_u, middle_v = -box.half_x + (x0 + x1) * _STEP / 2, -box.half_z + (z0 + z1) * _STEP / 2
    x, z = box.points(np.array(middle_u), np.array(middle_v))
    # Of the four ways to turn it, the one whose local +z points to the robot.
    turns = [box.heading + quarter * math.pi / 2 for quarter in range(4)]
    off = [-(stand[0] - x) * math.sin(turn) + (stand[1] - z) * math.cos(turn) for turn in turns]
    quarter = int(np.argmax(off))
    if quarter % 2:
        half_x, half_z = half_z, half_x
    heading = round(math.degrees(turns[quarter]) * 1000) % 360_000
    lengths = (half_x, half_z, off[quarter])
    return round(1000 * x), 0, round(1000 * z), heading, *(math.floor(1000 * length) for length in lengths)


def _largest(good: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The largest rectangle of true cells, first and last + 1 of its rows and columns."""
    best, chosen = 0, (0, 0, 0, 0)
    for first in range(len(good)):
        all_good = np.ones(good.shape[1], bool)
        for last in range(first, len(good)):
            all_good &= good[last]
            edges = np.flatnonzero(np.diff(np.concatenate([[0], all_good.astype(np.int8), [0]])))
            for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
                area = (last + 1 - first) * (end - start)
                if area > best:
                    best, chosen = area, (first, last + 1, start, end)
    return chosen
