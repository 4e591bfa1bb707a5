"""Homes laid out as recovered from a released file: the plan is the scene's name.

Such a name is that of the released scene, a colon and where the furniture is, in whole millimetres and degrees:
"v3_sc3_staging_00:counter=-2154,1948,270;black table=3630,7550,0;...". A position is the centre of the piece's
object area (of the counter's: the sink), a heading that of its local x axis, so that its front looks along its local
z axis. Nothing else can be recovered: room, fridge, chair and decoration are made up, and so is furniture that the
name leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from llarp_cli.home.layouts import (
    FRIDGE_LEFT,
    FRIDGE_RIGHT,
    MOVABLE,
    Layout,
    Piece,
    Polygon,
    Room,
    clear,
    footprint,
    front_zone,
    kitchen,
    kitchen_zone,
    movable_piece,
)
from llarp_cli.home.procedural import Plan
from llarp_cli.rearrangement.draws import Draws

LARGEST_HOME = 30_000
"""Furniture may be so far apart, millimetres."""

_KINDS = ("counter", *MOVABLE)
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,38}:[^:]{1,160}")
_PIECE = re.compile(r"([A-Za-z ]+)=(0|-?[1-9]\d{0,4}),(0|-?[1-9]\d{0,4}),(0|[1-9]\d{0,2})", re.ASCII)
_WALL_OFF = (150, 700)
"""How far the walls are from the furniture, at first and where the robot needs more room, millimetres."""
_WIDER = 700
"""And how much farther for each piece that the name leaves out."""
_CRAMPED = 60
"""Attempts with the smaller room."""


def recovered_name(scene: str, places: Mapping[str, tuple[int, int, int]]) -> str:
    """The name of a recovered home.

    Args:
        scene: the released scene's.
        places: "counter" and some of `MOVABLE` → x, z in millimetres, heading in degrees.
    """
    parts = [f"{kind}={x},{z},{heading % 360}" for kind in _KINDS if kind in places for x, z, heading in [places[kind]]]
    return f"{scene}:{';'.join(parts)}"


@lru_cache(maxsize=256)
def recovered_places(name: str) -> dict[str, tuple[int, int, int]] | None:
    """What `recovered_name` put into a name; None for any other text."""
    if _NAME.fullmatch(name) is None:
        return None
    places: dict[str, tuple[int, int, int]] = {}
    for part in name.partition(":")[2].split(";"):
        match = _PIECE.fullmatch(part)
        if match is None or match[1] not in _KINDS or match[1] in places or int(match[4]) >= 360:
            return None
        places[match[1]] = int(match[2]), int(match[3]), int(match[4])
    if "counter" not in places or recovered_name(name.partition(":")[0], places) != name:
        return None
    return places if _one_home(places.values()) else None


def _one_home(places: Iterable[tuple[int, int, int]]) -> bool:
    xs, zs, _ = zip(*places, strict=True)
    return max(max(xs) - min(xs), max(zs) - min(zs)) <= LARGEST_HOME


def furniture(places: Mapping[str, tuple[int, int, int]]) -> tuple[Piece, ...]:
    """Counter, fridge and movable pieces of a plan."""
    movable = [movable_piece(kind, *places[kind][:2], places[kind][2] * 1000) for kind in MOVABLE if kind in places]
    x, z, heading = places["counter"]
    return (*kitchen_beside(x, z, heading * 1000, [footprint(piece) for piece in movable]), *movable)


def kitchen_beside(x: int, z: int, heading: int, others: list[Polygon]) -> tuple[Piece, Piece]:
    """Counter and fridge, the fridge at the end where it is in nobody's way, else where it widens the home less."""

    def cost(end: tuple[int, int]) -> tuple[int, int]:
        counter, fridge = kitchen(x, z, heading, end)
        body = footprint(fridge)
        x0, z0, x1, z1 = around([*others, footprint(counter), body])
        return sum(not clear(body, [other]) for other in others), (x1 - x0) * (z1 - z0)

    return kitchen(x, z, heading, min((FRIDGE_LEFT, FRIDGE_RIGHT), key=cost))


def room_around(pieces: Iterable[Piece], margin: int) -> Room:
    """The room that holds pieces, and the robot before those that it uses from the front."""
    pieces = list(pieces)
    floor = [footprint(piece) for piece in pieces]
    floor += [front_zone(piece) for piece in pieces if piece.kind in ("sofa", "TV stand")]
    floor.append(kitchen_zone(pieces[0], pieces[1]))
    x0, z0, x1, z1 = around(floor)
    return x0 - margin, z0 - margin, x1 + margin, z1 + margin


def around(polygons: list[Polygon]) -> Room:
    """The smallest room that holds polygons."""
    xs, zs = zip(*(point for polygon in polygons for point in polygon), strict=True)
    return min(xs), min(zs), max(xs), max(zs)


def recovered(name: str, attempt: int = 0) -> Layout | None:
    """The plan that a name tells, or None where this attempt finds no place for what is made up."""
    places = recovered_places(name)
    pieces = furniture(places)
    bodies = [footprint(piece) for piece in pieces]
    if not all(clear(body, bodies[:i]) for i, body in enumerate(bodies)):
        return None
    missing = [kind for kind in MOVABLE if kind not in places]
    room = room_around(pieces, _WALL_OFF[attempt >= _CRAMPED] + _WIDER * len(missing))
    plan = Plan(room, Draws("recovered home", name, attempt))
    counter, fridge, *movable = pieces
    plan.keep(counter, kitchen_zone(counter, fridge))
    plan.keep(fridge)
    _hang_nothing_behind(fridge, plan)
    for piece in movable:
        plan.keep(piece, front_zone(piece))
    return plan.finished(name) if all(plan.furniture(kind) for kind in (*missing, "chair")) else None


def _hang_nothing_behind(fridge: Piece, plan: Plan) -> None:
    """Keep windows and pictures off the stretch of an outer wall that the fridge stands against."""
    x0, z0, x1, z1 = around([footprint(fridge)])
    left, low, right, high = plan.room
    for side, off, ends in (
        (0, z0 - low, (x0 - left, x1 - left)),
        (1, right - x1, (z0 - low, z1 - low)),
        (2, high - z1, (right - x1, right - x0)),
        (3, x0 - left, (high - z1, high - z0)),
    ):
        if off < 400:
            plan.hung[side].append(ends)
