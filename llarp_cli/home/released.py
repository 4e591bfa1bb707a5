"""The 34 released plans, recovered from where objects lie in the released episodes.

Kitchen and the four movable pieces are where they were; which side of a piece is its front, the walls,
the chair and the decoration cannot be recovered and are made up.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources

from llarp_cli.home.layouts import (
    FOOTPRINTS,
    FRIDGE_LEFT,
    FRIDGE_RIGHT,
    MOVABLE,
    Layout,
    Piece,
    Point,
    Polygon,
    Room,
    Wall,
    clear,
    footprint,
    front_zone,
    kitchen,
    kitchen_zone,
    movable_piece,
    rectangle,
    turn,
    wall_rectangles,
)
from llarp_cli.home.procedural import Plan
from llarp_cli.rearrangement.draws import Draws

_KITCHEN: dict[str, tuple[int, int, Point]] = {
    "v3_sc0": (578, 6687, FRIDGE_RIGHT),
    "v3_sc3": (-2154, 1948, FRIDGE_LEFT),
}
_ROOM: dict[str, Room] = {"v3_sc0": (-2650, -1400, 4600, 8100), "v3_sc3": (-2600, -2000, 4600, 8150)}

# In v3_sc0 the counter stands in the middle of the flat; behind it, where no furniture is, are walls.
_WALLS: dict[str, tuple[Wall, ...]] = {
    "v3_sc0": (Wall(180, 4050, 180, 8100), Wall(-2650, 4100, 130, 4100)),
    "v3_sc3": (),
}
_BEHIND: dict[str, tuple[Polygon, ...]] = {
    "v3_sc0": (((-2650, 4100), (180, 4100), (180, 8100), (-2650, 8100)),),
    "v3_sc3": (),
}
_NOTHING_HANGS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "v3_sc0": ((2, 4300, 7250), (3, 0, 4100)),
    "v3_sc3": ((3, 4000, 5000),),
}
"""Where an inner wall or the fridge stands against an outer wall: its side, from, to."""


@lru_cache(maxsize=1)
def _facts() -> dict[str, dict[str, tuple[int, int, int]]]:
    """Scene → movable piece → centre x, z and heading of the long side of its object area.

    Fitted to the object positions of the released episodes, good to a few centimetres; v3_sc3_staging_17 to 20 cm.
    In v3_sc0_staging_01 two pieces are moved apart by 7 and 4 cm, so that they do not overlap.
    """
    return json.loads(resources.files("llarp_cli.home").joinpath("data/released_layouts.json").read_text("utf-8"))


def released_names() -> tuple[str, ...]:
    """The names of the released plans."""
    return tuple(_facts())


def released(name: str, attempt: int = 0) -> Layout | None:
    """A released plan, or None where this attempt finds no place for the chair."""
    house = name[:6]
    plan = Plan(_ROOM[house], Draws("released home", name, attempt))
    x, z, fridge = _KITCHEN[house]
    counter, cold = kitchen(x, z, 270_000, fridge)
    plan.keep(counter, kitchen_zone(counter, cold))
    plan.keep(cold)
    for wall in _WALLS[house]:
        plan.walls.append(wall)
        plan.taken.extend(wall_rectangles(wall))
    plan.taken.extend(_BEHIND[house])
    for side, start, end in _NOTHING_HANGS[house]:
        plan.hung[side].append((start, end))
    facts = _facts()[name]
    fixed = [polygon for wall in plan.walls for polygon in wall_rectangles(wall)]
    fixed += [footprint(counter), footprint(cold)]
    for kind in MOVABLE:
        others = [footprint(Piece(other, *facts[other])) for other in MOVABLE if other != kind]
        piece = faced(kind, facts[kind], plan.room, [*fixed, *others])
        plan.keep(piece, front_zone(piece))
    return plan.finished(name) if plan.furniture("chair") else None


def faced(kind: str, place: tuple[int, int, int], room: Room, blocked: list[Polygon]) -> Piece:
    """A movable piece, its front toward free floor and, where both sides have that, toward the middle of the room.

    Args:
        kind: one of `MOVABLE`.
        place: centre x, z of its object area, and the heading of its long side in millidegrees.
        room: where it stands.
        blocked: what else stands there.
    """
    x, z, yaw = place
    to_x, to_z = (room[0] + room[2]) // 2 - x, (room[1] + room[3]) // 2 - z

    def preference(piece: Piece) -> tuple[int, int]:
        edge = FOOTPRINTS[piece.kind][3]
        free = edge + 100
        while free < edge + 1500 and clear(rectangle(piece, -400, 400, edge + 1, free), blocked):
            free += 100
        cos, sin = turn(piece.heading)
        return free, to_z * cos - to_x * sin

    return max((movable_piece(kind, x, z, heading) for heading in (yaw, yaw + 180_000)), key=preference)
