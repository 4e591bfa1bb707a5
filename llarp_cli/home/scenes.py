"""From a plan to what the benchmark needs of it: receptacle boxes, standing poses, free floor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llarp_cli.errors import LlarpError, UsageProblem, unknown
from llarp_cli.home.camera import AHEAD, HEIGHT, PITCH
from llarp_cli.home.free_floor import clearance, obstacles, starts
from llarp_cli.home.furniture import DRAWER_BOXES
from llarp_cli.home.layouts import (
    FOOTPRINTS,
    FULL_TURN,
    ROBOT_RADIUS,
    SOFA_AHEAD,
    STAND_OFF,
    Layout,
    Piece,
    Room,
    inside,
    world,
)
from llarp_cli.home.procedural import procedural
from llarp_cli.home.recovered import recovered, recovered_places
from llarp_cli.home.released import released, released_names
from llarp_cli.rearrangement.simulator import Scene
from llarp_cli.rearrangement.vocabulary import JOINTS, RECEPTACLES, SURFACES

ATTEMPTS = 200
PICK_REACH = 1480
"""A little less than the 1.5 m within which the robot can pick, millimetres."""
PICK_BEARING = 0.98
"""A little less than the 1.0 radians to either side of straight ahead, likewise."""

_THICKNESS = 20
"""Half the thickness of the flat things one still wants to see."""


@dataclass(frozen=True)
class Home:
    """A plan with everything derived from it.

    Attributes:
        layout: the plan.
        scene: what the benchmark needs.
        targets: int [16, 3], where each navigation target is, millimetres.
    """

    layout: Layout
    scene: Scene
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class _Area:
    """Where objects lie on (or in) a piece, millimetres in its own frame.

    Attributes:
        piece: the furniture it belongs to.
        x, y, z: centre of the surface.
        half_x, half_z: half extents.
        below, above: how far the box in which an origin counts reaches below and above the surface.
        stand: the robot's preferred place in the piece's frame, x and z; nearer ones are tried next.
        sides: on which sides it may stand, in quarter turns from the front; only 0 unless the area is in the middle.
        rim: how high its near edge rises above the surface.
    """

    piece: str
    x: int
    y: int
    z: int
    half_x: int
    half_z: int
    below: int
    above: int
    stand: tuple[int, int]
    sides: tuple[int, ...] = (0,)
    rim: int = 0


def _drawer(name: str, stand: tuple[int, int]) -> _Area:
    x, y, z, half_x, half_y, half_z = (round(1000 * value) for value in DRAWER_BOXES[name])
    return _Area("kitchen counter", x, y - half_y, z, half_x, half_z, 30, 2 * half_y, stand)


AREAS: dict[str, _Area] = {
    "chair": _Area("chair", 0, 460, 10, 210, 200, 30, 270, (0, STAND_OFF["chair"])),
    "black table": _Area("black table", 0, 762, 0, 705, 435, 30, 270, (0, STAND_OFF["black table"]), (0, 2, 1, 3)),
    "brown table": _Area("brown table", 0, 934, 0, 635, 400, 30, 270, (0, STAND_OFF["brown table"]), (0, 2, 1, 3)),
    "TV stand": _Area("TV stand", 0, 626, 0, 760, 245, 30, 270, (0, STAND_OFF["TV stand"]), (0, 2)),
    "sink": _Area("kitchen counter", 0, 706, 0, 185, 125, 30, 270, (0, 670), rim=160),
    "right counter": _Area("kitchen counter", 1035, 859, 0, 745, 310, 30, 270, (1035, 1060)),
    "left counter": _Area("kitchen counter", -760, 859, 0, 455, 310, 30, 270, (-760, 960)),
    "sofa": _Area("sofa", 0, 404, SOFA_AHEAD, 745, 265, 30, 270, (0, STAND_OFF["sofa"])),
    # From the right, past the open door and outside its swing.
    "fridge": _Area("fridge", 0, 950, -10, 310, 220, 30, 270, (350, 1150)),
    "left drawer": _drawer("left drawer", (-760, 1250)),
    "right drawer": _drawer("right drawer", (700, 1250)),
}
"""Receptacle → its object area."""

HANDLES: dict[str, tuple[str, tuple[int, int, int], tuple[int, int]]] = {
    **{
        name: ("kitchen counter", (round(1000 * x), round(1000 * y) + 20, 350), (round(1000 * x), 1250))
        for name, (x, y, *_) in DRAWER_BOXES.items()
    },
    "fridge": ("fridge", (320, 1100, 405), (320, 1180)),
}
"""Joint → the piece, where its handle is in the piece's frame (x, y, z), and where the robot stands (x, z)."""


@lru_cache(maxsize=2048)
def furnished(name: str) -> Home:
    """The home of that name: "home-<number>", a released one, or one whose name tells its plan (`recovered`).

    Raises:
        UsageProblem: there is no such home.
        LlarpError: what its name tells leaves the robot no room.
    """
    if name in released_names():
        plans = (released(name, attempt) for attempt in range(ATTEMPTS))
    elif recovered_places(name) is not None:
        plans = (recovered(name, attempt) for attempt in range(ATTEMPTS))
    else:
        stem, _, number = name.partition("-")
        if stem != "home" or not number.isdecimal() or len(number) > 18 or str(int(number)) != number:
            raise _no_such(name)
        plans = (procedural(int(number), attempt) for attempt in range(ATTEMPTS))
    for layout in plans:
        derived = layout and _derived(layout)
        if derived:
            return derived
    raise LlarpError(f"scene '{name}' cannot be furnished", "choose another one")


def _no_such(name: str) -> UsageProblem:
    problem = unknown("scene", name, released_names())
    return UsageProblem(problem.message, f"home-0, home-1, ... are procedural; {problem.hint}")


def _derived(layout: Layout) -> Home | None:
    """Everything derived from a plan; None where some standing pose is taken or cannot be reached."""
    pieces = {name: layout.piece(name) for name in {area.piece for area in AREAS.values()}}
    blocked = obstacles(layout)
    stands, targets, boxes, surfaces = [], [], [], []
    for name in JOINTS:
        kind, (x, y, z), stand = HANDLES[name]
        at = world(pieces[kind], x, z)
        targets.append((at[0], y, at[1]))
        stands.append(_stand(pieces[kind], stand, (x, z), (0,), layout.room, blocked))
    for name in RECEPTACLES:
        area = AREAS[name]
        piece = pieces[area.piece]
        box = _box(piece, area)
        boxes.append(box)
        targets.append(box[:3])
        stands.append(_stand(piece, area.stand, (area.x, area.z), area.sides, layout.room, blocked))
    if None in stands:
        return None
    for name in SURFACES:
        row = RECEPTACLES.index(name)
        surfaces.append(_surface(AREAS[name], boxes[row], stands[len(JOINTS) + row]))
    poses = np.array(stands, np.int64)
    free = starts(layout, blocked, poses)
    if free is None:
        return None
    scene = Scene(layout.name, np.array(boxes, np.int64), np.array(surfaces, np.int64), poses, free)
    return Home(layout, scene, np.array(targets, np.int64))


def _box(piece: Piece, area: _Area) -> tuple[int, ...]:
    x, z = world(piece, area.x, area.z)
    y, half_y = area.y + (area.above - area.below) // 2, (area.above + area.below) // 2
    return x, y, z, piece.heading, area.half_x, half_y, area.half_z


def _stand(
    piece: Piece,
    preferred: tuple[int, int],
    aim: tuple[int, int],
    sides: tuple[int, ...],
    room: Room,
    blocked: NDArray[np.int64],
) -> tuple[int, int, int] | None:
    """The first free pose before a piece that looks at `aim`: side after side, nearer and nearer on each.

    `preferred` and `aim` are in the piece's frame; the pose is x, z, heading in the home's.
    """
    x0, x1, z0, z1 = FOOTPRINTS[piece.kind]
    for side in sides:
        turned = Piece(piece.kind, piece.x, piece.z, piece.heading + side * 90_000)
        edge = (z1, -x0, -z0, x1)[side]
        away = max(preferred[1], edge + ROBOT_RADIUS + 50) if side % 2 else preferred[1]
        for z in range(away, edge + ROBOT_RADIUS, -25):
            at = world(turned, preferred[0], z)
            if inside((at,), room) and clearance(blocked, *np.array(at)[:, None])[0] >= ROBOT_RADIUS**2:
                dx, dz = aim[0] - preferred[0], aim[1] - z
                bearing = -90_000 if dx == 0 else round(math.degrees(math.atan2(dz, dx)) * 1000)
                return *at, (turned.heading + bearing) % FULL_TURN
    return None


def _surface(area: _Area, box: tuple[int, ...], stand: tuple[int, int, int]) -> tuple[int, ...]:
    """The row of `Scene.surfaces`: its local +z points to the robot."""
    heading = (stand[2] - 90_000 + 180_000) % FULL_TURN
    across = (heading - box[3]) % 180_000 != 0
    half_x, half_z = (area.half_z, area.half_x) if across else (area.half_x, area.half_z)
    distance = math.isqrt((stand[0] - box[0]) ** 2 + (stand[1] - box[2]) ** 2)
    near, far, half_x = usable(half_x, half_z, area.y, distance, area.rim)
    ahead = (near + far) // 2
    x, z = world(Piece(area.piece, stand[0], stand[1], heading), 0, -ahead)
    return x, area.y, z, heading, half_x, (far - near) // 2, ahead


@lru_cache(maxsize=64)
def usable(half_x: int, half_z: int, y: int, distance: int, rim: int = 0) -> tuple[int, int, int]:
    """The largest rectangle of an area that the robot can both reach and see, straight ahead of it.

    Args:
        half_x, half_z: half extents of the area, millimetres.
        y: its height.
        distance: from the robot to its centre.
        rim: how high its near edge rises above it.

    Returns:
        distance of the near edge, distance of the far edge, half width; millimetres.
    """
    closest = nearest_in_view(half_z, y, distance, rim)
    best, chosen = 0, (0, 0, 0)
    for near in range(distance - half_z, distance + half_z - 50, 10):
        if near < closest:
            continue
        narrow = min(half_x, half_view(near, y), near * math.tan(PICK_BEARING))
        for far in range(near + 50, min(distance + half_z, PICK_REACH - 1) + 1, 10):
            half = int(min(narrow, math.sqrt(PICK_REACH**2 - far**2))) // 5 * 5
            if half * (far - near) > best:
                best, chosen = half * (far - near), (near, far, half)
    return chosen


def nearest_in_view(half_z: int, y: int, distance: int, rim: int) -> float:
    """How far ahead of it the robot begins to see an area: arguments as of `usable`, millimetres."""
    drop, ahead = HEIGHT * 1000 - y, AHEAD * 1000
    # Beyond the lower edge of the picture, and over the rim to a little above the surface.
    closest = drop * math.tan(math.pi / 4 - PITCH) + 30
    if rim:
        closest = max(closest, (distance - half_z - ahead) * (drop - _THICKNESS) / (drop - rim))
    return ahead + closest


def half_view(near: float, y: int) -> float:
    """How far to either side the robot sees at a distance ahead and a height, millimetres, with a little to spare."""
    return 0.94 * ((near - AHEAD * 1000) * math.cos(PITCH) + (HEIGHT * 1000 - y) * math.sin(PITCH))
