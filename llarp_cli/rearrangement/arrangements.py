"""Where everything stands at the start of an episode: the task's objects and clutter, in a scene.

Whole millimetres and millidegrees throughout, so that the same draws give the same arrangement on every
machine. Objects stand apart on the open surfaces; those a task needs are also in view from where the robot
stands before their surface.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episodes import Arrangement, PlacedObject, Required, Task
from llarp_cli.rearrangement.simulator import AssetSize, Scene
from llarp_cli.rearrangement.vocabulary import ASSETS, CATEGORIES, JOINTS, RECEPTACLES, SURFACES, TARGETS

FULL_TURN = 360_000
GAP = 10
"""Millimetres kept free between two footprints."""
CAMERA_AHEAD, CAMERA_HEIGHT = 250, 1200
"""Where the robot's camera is, millimetres from its base."""
TARGET_REACH, OBJECT_REACH = 2100, 1600
"""Millimetres: a little more than within which the robot is at a target, or at an object (`facts`)."""
SECOND_INSTANCES = ("block", "cup")
"""With 35 objects, a home has one object of every category and a second one of these."""

_SCALE = 1_000_000
_ATTEMPTS = 20
"""Arrangements begun anew before a scene is called too crowded."""
_SPOTS = 8
"""Spots tried on one surface before another is tried."""
_SQUEEZED = (100, 100, 100, 90, 80, 70, 60, 50, 40)
"""Per cent of a new object's radius that is kept free of others, round after round until it finds a spot.

Footprints are circles, most things are narrower: the later rounds serve homes with many more than 35 objects.
"""
_FIRST_RECEPTACLE = len(TARGETS) - len(RECEPTACLES)


class _Standing(NamedTuple):
    """An object that has its place: its asset, footprint and height, its centre, whether the task needs it."""

    asset: str
    radius: int
    tall: int
    x: int
    z: int
    needed: bool


class _Top:
    """A surface being filled."""

    def __init__(self, name: str, row: list[int], stand: list[int], floor: int):
        self.name = name
        self.floor = floor
        self.x, self.height, self.z, heading, self.half_x, self.half_z, _ = row
        self.cos, self.sin = turn(heading)
        cos, sin = turn(stand[2])
        self.camera = (_moved(stand[0], cos * CAMERA_AHEAD), _moved(stand[1], sin * CAMERA_AHEAD))
        self.standing: list[_Standing] = []

    def place(self, asset: str, radius: int, tall: int, needed: bool, draws: Draws) -> bool:
        """Stand an object at a random free spot; false where none was found."""
        # The rectangle holds origins, and the top goes on beyond it: a large thing in a small sink may overhang.
        free_x = max(self.half_x - radius, self.half_x // 4)
        free_z = max(self.half_z - radius, self.half_z // 4)
        for _ in range(_SPOTS):
            u, v = draws.below(2 * free_x + 1) - free_x, draws.below(2 * free_z + 1) - free_z
            x = _moved(self.x, self.cos * u - self.sin * v)
            z = _moved(self.z, self.sin * u + self.cos * v)
            if self._apart(x, z, radius + GAP):
                one = _Standing(asset, radius, tall, x, z, needed)
                if self._in_view(one):
                    self.standing.append(one)
                    return True
        return False

    def _apart(self, x: int, z: int, reach: int) -> bool:
        # Asked of a few hundred spots per episode: a plain loop takes half the time of all().
        for _, radius, _, other_x, other_z, _ in self.standing:
            between = reach + radius
            if (x - other_x) * (x - other_x) + (z - other_z) * (z - other_z) < between * between:
                return False
        return True

    def _in_view(self, one: _Standing) -> bool:
        """Whether it neither hides what the task needs, nor is needed and hidden."""
        for other in self.standing:
            if (one.needed and self._hides(other, one)) or (other.needed and self._hides(one, other)):
                return False
        return True

    def _hides(self, front: _Standing, behind: _Standing) -> bool:
        """Whether one object stands in the camera's line of sight to the middle of another.

        Seen from above the line is blocked within the front object's radius plus half the other's; it passes over
        the front object if it is still above its top when leaving its footprint.
        """
        to_x, to_z = behind.x - self.camera[0], behind.z - self.camera[1]
        by_x, by_z = front.x - self.camera[0], front.z - self.camera[1]
        square = to_x * to_x + to_z * to_z
        along = to_x * by_x + to_z * by_z
        if not 0 < along < square:
            return False
        aside = to_x * by_z - to_z * by_x
        width = front.radius + behind.radius // 2
        if aside * aside > width * width * square:
            return False
        leaving = min(square, along + front.radius * (math.isqrt(square) + 1))
        above = CAMERA_HEIGHT + self.floor - self.height
        return (above - front.tall) * square < (above - behind.tall // 2) * leaving


@lru_cache(maxsize=4096)
def turn(heading: int) -> tuple[int, int]:
    """Cosine and sine of a heading in millidegrees, in whole millionths."""
    angle = math.radians(heading % FULL_TURN / 1000)
    return round(math.cos(angle) * _SCALE), round(math.sin(angle) * _SCALE)


def arrange(task: Task, scene: Scene, sizes: Mapping[str, AssetSize], objects: int, draws: Draws) -> Arrangement:
    """An arrangement in which a task can be done and is not yet done.

    Args:
        task: what will be asked.
        scene: where.
        sizes: asset → size.
        objects: how many objects in all; 35 is one of every category, a second block and a second cup. With
            fewer, those the task needs and random others.
        draws: where randomness comes from; the same draws give the same arrangement.

    Raises:
        UsageProblem: the task needs more objects than `objects`.
        LlarpError: the scene's surfaces have no room for them.
    """
    if objects < len(task.required):
        raise UsageProblem(
            f"tasks.objects is {objects}, but a task of '{task.family}' needs {len(task.required)} objects",
            f"set tasks.objects to {len(task.required)} or more",
        )
    for attempt in range(_ATTEMPTS):
        tops = _tops(scene)
        crowded = _stand_all(task, tops, sizes, objects, draws)
        if crowded is None:
            break
        if attempt == _ATTEMPTS - 1:
            raise LlarpError(f"no room for {crowded} in scene {scene.name}", "ask for fewer objects")
    standing = sorted(
        (one.asset, one.x, top.height + sizes[one.asset].rest_height, one.z, top.name)
        for top in tops
        for one in top.standing
    )
    placed = tuple(PlacedObject(asset, (x, y, z), draws.below(FULL_TURN), name) for asset, x, y, z, name in standing)
    x, z = draws.choice(_starts(task, scene, tops))
    joints = tuple(round(task.joints.get(name, 0.0) * 1000) for name in JOINTS)
    return Arrangement(scene.name, placed, joints, (x, z, draws.below(FULL_TURN)))


def _tops(scene: Scene) -> list[_Top]:
    """The scene's surfaces that have room for anything, empty."""
    stands = scene.stands.tolist()
    return [
        _Top(name, row, stands[_FIRST_RECEPTACLE + RECEPTACLES.index(name)], scene.floor)
        for name, row in zip(SURFACES, scene.surfaces.tolist(), strict=True)
        if row[4] and row[5]
    ]


def _stand_all(
    task: Task, tops: Sequence[_Top], sizes: Mapping[str, AssetSize], objects: int, draws: Draws
) -> str | None:
    """Stand the task's objects and then the clutter on empty surfaces; what found no room where, or None."""
    for required in task.required:
        asset = draws.choice(ASSETS[required.category])
        allowed = _allowed(required, tops)
        if not _stand(asset, sizes[asset], allowed, True, draws):
            return f"{asset} on {', '.join(top.name for top in allowed)}"
    clutter = [draws.choice(ASSETS[category]) for category in _clutter(task, objects - len(task.required), draws)]
    for asset in sorted(clutter, key=lambda asset: -sizes[asset].radius):  # the large ones while there is room
        if not _stand(asset, sizes[asset], tops, False, draws):
            return f"{asset} on any surface"
    return None


def _allowed(required: Required, tops: Sequence[_Top]) -> list[_Top]:
    if required.receptacle is not None:
        return [top for top in tops if top.name == required.receptacle]
    return [top for top in tops if top.name not in required.avoid]


def _starts(task: Task, scene: Scene, tops: Sequence[_Top]) -> list[list[int]]:
    """Where the robot may start.

    Raises:
        LlarpError: the task wants it away from what it asks for, and nowhere is far enough.
    """
    starts = scene.starts.tolist()
    if not task.start_away:
        return starts
    boxes = [scene.boxes[RECEPTACLES.index(name)].tolist() for slot, name in task.slots.items() if "target" in slot]
    avoided = [(x, z, TARGET_REACH) for x, _, z, *_ in boxes]
    avoided += [(one.x, one.z, OBJECT_REACH) for top in tops for one in top.standing if one.needed]
    far = [(x, z) for x, z in starts if all((x - at) ** 2 + (z - by) ** 2 > reach * reach for at, by, reach in avoided)]
    if not far:
        raise LlarpError(f"the robot cannot start out of reach of what '{task.instruction}' asks for in {scene.name}")
    return far


def _clutter(task: Task, count: int, draws: Draws) -> list[str]:
    """The categories of the objects beyond those the task needs."""
    needed = {required.category for required in task.required}
    others = [category for category in CATEGORIES if category not in needed and category not in task.unique]
    chosen = draws.shuffled(others)[:count]
    seconds = [category for category in SECOND_INSTANCES if category not in task.unique]
    chosen += seconds[: count - len(chosen)]
    while len(chosen) < count:
        chosen.append(draws.choice(others))
    return chosen


def _stand(asset: str, size: AssetSize, tops: Sequence[_Top], needed: bool, draws: Draws) -> bool:
    """Stand an object on one of the surfaces, each equally likely as long as it has room; false if none has."""
    for percent in _SQUEEZED:
        radius = size.radius * percent // 100
        untried = list(tops)
        while untried:
            if untried.pop(draws.below(len(untried))).place(asset, radius, size.height, needed, draws):
                return True
    return False


def _moved(origin: int, scaled: int) -> int:
    return origin + (scaled + _SCALE // 2) // _SCALE
