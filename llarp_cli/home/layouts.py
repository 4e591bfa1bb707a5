"""What stands where: the plan of a home in whole millimetres and millidegrees.

A plan holds no pictures and no poses of the robot: `scenes.py` derives those from it. All arithmetic
is on integers, so that a plan is the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from llarp_cli.home.styles import USUAL, Style

Point = tuple[int, int]
Polygon = tuple[Point, ...]
Room = tuple[int, int, int, int]
"""x0, z0, x1, z1: the inside of the outer walls."""

FULL_TURN = 360_000
SCALE = 1_000_000
"""Sines and cosines are whole millionths."""

FOOTPRINTS: dict[str, tuple[int, int, int, int]] = {
    "chair": (-250, 250, -250, 250),
    "black table": (-750, 750, -480, 480),
    "brown table": (-680, 680, -450, 450),
    "TV stand": (-810, 810, -280, 280),
    "sofa": (-925, 925, -450, 450),
    "kitchen counter": (-1250, 1820, -340, 360),
    "fridge": (-400, 400, -360, 430),
    "lamp": (-190, 190, -190, 190),
    "plant": (-340, 340, -300, 300),
}
"""Piece → the floor it covers in its own frame: low and high x, low and high z. Other pieces cover none."""

MOVABLE: tuple[str, ...] = ("black table", "brown table", "TV stand", "sofa")
"""The furniture that differs between the released plans."""

STAND_OFF: dict[str, int] = {"chair": 900, "black table": 1000, "brown table": 920, "TV stand": 1040, "sofa": 1130}
"""Piece → how far along its local +z the robot stands, from its origin: chosen to leave the largest rectangle of its
object area within reach and in view (`scenes.usable`); nearer to the brown table, whose top is almost at eye level."""

SOFA_AHEAD = 100
"""The centre of a sofa's object area is so far before its own, millimetres."""

FRIDGE_LEFT, FRIDGE_RIGHT = (-1700, 20), (2270, 20)
"""Where the fridge's origin is in the counter's frame, beyond its left or its right end."""

ROBOT_RADIUS = 300
WALL_THICKNESS = 100

WALL_COLOURS = (
    (0.93, 0.90, 0.84),
    (0.85, 0.87, 0.80),
    (0.90, 0.85, 0.86),
    (0.94, 0.90, 0.80),
    (0.82, 0.85, 0.88),
    (0.93, 0.85, 0.79),
    (0.88, 0.86, 0.82),
    (0.94, 0.92, 0.88),
    (0.80, 0.84, 0.81),
    (0.91, 0.84, 0.75),
)
FLOOR_COLOURS = (
    (0.69, 0.53, 0.36),
    (0.60, 0.44, 0.30),
    (0.76, 0.68, 0.58),
    (0.53, 0.41, 0.33),
    (0.72, 0.60, 0.45),
    (0.66, 0.62, 0.56),
    (0.50, 0.37, 0.27),
    (0.79, 0.69, 0.54),
)


@dataclass(frozen=True)
class Piece:
    """One thing that stands or hangs in a home.

    Attributes:
        kind: a key of `furniture.FURNITURE`.
        x, z: its origin, millimetres.
        heading: of its local x axis, millidegrees from +x toward +z.
    """

    kind: str
    x: int
    z: int
    heading: int


@dataclass(frozen=True)
class Wall:
    """A wall along a centre line, with doorways as (start, end) in millimetres from its first point."""

    x0: int
    z0: int
    x1: int
    z1: int
    gaps: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Layout:
    """The plan of a home.

    Attributes:
        name: of the scene.
        room: x0, z0, x1, z1, the inside of the outer walls.
        walls: the outer walls, then the inner ones.
        outer: how many of them are outer.
        pieces: furniture and decoration; of "kitchen counter", "fridge", "chair" and `MOVABLE` one each.
        colours: of the outer walls, the inner walls and the floor.
        style: the colours of what stands and hangs in it.
    """

    name: str
    room: Room
    walls: tuple[Wall, ...]
    outer: int
    pieces: tuple[Piece, ...]
    colours: tuple[tuple[float, float, float], ...]
    style: Style = USUAL

    def piece(self, kind: str) -> Piece:
        """The first piece of a kind."""
        return next(piece for piece in self.pieces if piece.kind == kind)


@lru_cache(maxsize=4096)
def turn(heading: int) -> Point:
    """Cosine and sine of a heading in millidegrees, in whole millionths."""
    angle = math.radians(heading % FULL_TURN / 1000)
    return round(math.cos(angle) * SCALE), round(math.sin(angle) * SCALE)


def world(piece: Piece, x: int, z: int) -> Point:
    """A point of a piece's own frame in the home's frame."""
    cos, sin = turn(piece.heading)
    half = SCALE // 2
    return piece.x + (cos * x - sin * z + half) // SCALE, piece.z + (sin * x + cos * z + half) // SCALE


def rectangle(piece: Piece, x0: int, x1: int, z0: int, z1: int) -> Polygon:
    """A rectangle of a piece's own frame, as its four corners in the home's frame."""
    return world(piece, x0, z0), world(piece, x1, z0), world(piece, x1, z1), world(piece, x0, z1)


def footprint(piece: Piece, margin: int = 0) -> Polygon | None:
    """The floor a piece covers, widened by a margin; None where it covers none."""
    if piece.kind not in FOOTPRINTS:
        return None
    x0, x1, z0, z1 = FOOTPRINTS[piece.kind]
    return rectangle(piece, x0 - margin, x1 + margin, z0 - margin, z1 + margin)


def solid_parts(wall: Wall) -> list[tuple[int, int]]:
    """The stretches of a wall between its doorways, as (start, end) from its first point."""
    length = abs(wall.x1 - wall.x0) + abs(wall.z1 - wall.z0)
    starts = [0, *(end for _, end in wall.gaps)]
    ends = [*(start for start, _ in wall.gaps), length]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if end > start]


def wall_rectangles(wall: Wall) -> list[Polygon]:
    """The floor a wall covers; walls run along x or along z."""
    half = WALL_THICKNESS // 2
    heading = 0 if wall.z1 == wall.z0 else 90_000
    line = Piece("wall", min(wall.x0, wall.x1), min(wall.z0, wall.z1), heading)
    return [rectangle(line, start, end, -half, half) for start, end in solid_parts(wall)]


def overlap(first: Polygon, second: Polygon) -> bool:
    """Whether two convex polygons share area (separating axes, exact)."""
    for one, other in ((first, second), (second, first)):
        for (ax, az), (bx, bz) in zip(one, (*one[1:], one[0]), strict=True):
            nx, nz = bz - az, ax - bx
            mine = [nx * x + nz * z for x, z in one]
            theirs = [nx * x + nz * z for x, z in other]
            if max(mine) <= min(theirs) or max(theirs) <= min(mine):
                return False
    return True


def clear(polygon: Polygon, others: Iterable[Polygon]) -> bool:
    """Whether a polygon overlaps none of the others."""
    return not any(overlap(polygon, other) for other in others)


def inside(polygon: Polygon, room: Room) -> bool:
    """Whether a polygon lies in a room."""
    x0, z0, x1, z1 = room
    return all(x0 <= x <= x1 and z0 <= z <= z1 for x, z in polygon)


def movable_piece(kind: str, x: int, z: int, heading: int) -> Piece:
    """A movable piece whose object area is centred at x, z."""
    ahead = -SOFA_AHEAD if kind == "sofa" else 0
    return Piece(kind, *world(Piece(kind, x, z, heading), 0, ahead), heading)


def kitchen(x: int, z: int, heading: int, fridge: Point) -> tuple[Piece, Piece]:
    """Counter and fridge, the fridge at `fridge` in the counter's frame."""
    counter = Piece("kitchen counter", x, z, heading)
    return counter, Piece("fridge", *world(counter, *fridge), heading)


def kitchen_zone(counter: Piece, fridge: Piece) -> Polygon:
    """The floor before counter and fridge that stays free for the robot and for open drawers."""
    left = fridge.heading == counter.heading and world(counter, *FRIDGE_LEFT) == (fridge.x, fridge.z)
    return rectangle(counter, *((-2120, 1840) if left else (-1270, 2690)), 360, 1640)


def front_zone(piece: Piece) -> Polygon:
    """The floor before a piece where the robot stands to use it."""
    reach = STAND_OFF[piece.kind] + ROBOT_RADIUS + 50
    return rectangle(piece, -ROBOT_RADIUS - 60, ROBOT_RADIUS + 60, FOOTPRINTS[piece.kind][3] + 1, reach)


def outer_walls(room: Room) -> tuple[Wall, ...]:
    """Four walls around a room."""
    half = WALL_THICKNESS // 2
    x0, z0, x1, z1 = room[0] - half, room[1] - half, room[2] + half, room[3] + half
    return (
        Wall(x0 - half, z0, x1 + half, z0),
        Wall(x1, z0 + half, x1, z1 - half),
        Wall(x0 - half, z1, x1 + half, z1),
        Wall(x0, z0 + half, x0, z1 - half),
    )
