"""From where objects lay in a released scene to a home of ours with its furniture in the same places.

Our furniture is of other shapes than the release's and the fit is not exact, so pieces that collide, or leave the
robot no room, are moved apart as little as they must be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.home.fitting import COUNTER, Fit, fit_furniture
from llarp_cli.home.layouts import (
    MOVABLE,
    Piece,
    Polygon,
    footprint,
    movable_piece,
    outer_walls,
    rectangle,
    wall_rectangles,
)
from llarp_cli.home.recovered import around, kitchen_beside, recovered_name
from llarp_cli.home.released import faced
from llarp_cli.home.scenes import Home, furnished

_ROOMIER = ((10, 0), (10, 500), (100, 800), (300, 1100), (500, 1280), (800, 1280))
"""(free floor between pieces, free floor before the kitchen), millimetres: the first that leaves the robot room."""
_SWEEPS = 200
Place = tuple[int, int, int]


@dataclass(frozen=True)
class RecoveredHome:
    """A released scene, laid out in our home.

    Attributes:
        home: the home.
        fits: "counter" and movable pieces → where they were found to stand.
        places: the same → where they stand, as in the home's name.
        moved: the same → how far they were moved apart, metres.
    """

    home: Home
    fits: dict[str, Fit]
    places: dict[str, Place]
    moved: dict[str, float]


def recover(scene: str, lying: Mapping[str, NDArray[np.float64]]) -> RecoveredHome:
    """Lay a scene out as objects lay in it.

    Args:
        scene: its name in the release.
        lying: surface → float [n, 2], x and z in metres of all objects on it, in whichever episode.

    Raises:
        UsageProblem: no object lies on the kitchen counter, or the surfaces are no home's.
    """
    fits = fit_furniture(lying)
    if "counter" not in fits:
        raise UsageProblem(
            f"scene {scene}: no object lies on {' or '.join(COUNTER)}, so the kitchen cannot be found",
            "expected objects on the seven open surfaces",
        )
    found = {kind: (round(1000 * fit.x), round(1000 * fit.z), round(fit.heading)) for kind, fit in fits.items()}
    found = _faced(found)
    for gap, before in _ROOMIER:
        places = _apart(found, gap, before)
        try:
            home = furnished(recovered_name(scene, places))
        except LlarpError:
            continue
        moved = {kind: math.dist(places[kind][:2], found[kind][:2]) / 1000 for kind in found}
        return RecoveredHome(home, fits, places, moved)
    raise UsageProblem(
        f"scene {scene}: where its objects lie leaves the robot no room, or is no home's",
        "expected objects on the seven open surfaces of one home",
    )


def _faced(found: dict[str, Place]) -> dict[str, Place]:
    """Movable pieces with their fronts toward free floor."""
    pieces = {
        kind: movable_piece(kind, x, z, heading * 1000) for kind, (x, z, heading) in found.items() if kind in MOVABLE
    }
    x, z, heading = found["counter"]
    solid = {kind: footprint(piece) for kind, piece in pieces.items()}
    kitchen = [footprint(piece) for piece in kitchen_beside(x, z, heading * 1000, list(solid.values()))]
    x0, z0, x1, z1 = around([*kitchen, *solid.values()])
    room = (x0 - 150, z0 - 150, x1 + 150, z1 + 150)
    walls = [polygon for wall in outer_walls(room) for polygon in wall_rectangles(wall)]
    turned = {"counter": found["counter"]}
    for kind in pieces:
        x, z, heading = found[kind]
        blocked = [*walls, *kitchen, *(body for other, body in solid.items() if other != kind)]
        turned[kind] = x, z, faced(kind, (x, z, heading * 1000), room, blocked).heading // 1000 % 360
    return turned


def _apart(found: dict[str, Place], gap: int, before: int) -> dict[str, Place]:
    """The same places, movable pieces moved until they are `gap` from each other and from the kitchen.

    Args:
        before: how much floor before the kitchen counts as part of it.
    """
    x, z, heading = found["counter"]
    places = {kind: place for kind, place in found.items() if kind in MOVABLE}
    bodies = {kind: _body(kind, place) for kind, place in places.items()}
    counter, fridge = kitchen_beside(x, z, heading * 1000, list(bodies.values()))
    fixed = [_ahead(counter, before), _ahead(fridge, before)]
    for _ in range(_SWEEPS):
        still = True
        for i, (kind, place) in enumerate(places.items()):
            pushes = [(push, 1.0) for body in fixed if (push := _push(body, _body(kind, place), gap))]
            for other in list(places)[:i]:
                if push := _push(_body(other, places[other]), _body(kind, place), gap):
                    pushes.append((push, 0.5))
                    places[other] = _shifted(places[other], push, -0.5)
            for push, share in pushes:
                places[kind], still = _shifted(places[kind], push, share), False
        if still:
            break
    return {"counter": found["counter"], **places}


def _body(kind: str, place: Place) -> Polygon:
    return footprint(movable_piece(kind, place[0], place[1], place[2] * 1000))


def _ahead(piece: Piece, before: int) -> Polygon:
    """What a piece of the kitchen covers, with the floor before it."""
    corners = footprint(piece)
    reach = rectangle(piece, 0, 0, 0, before)
    dx, dz = reach[2][0] - reach[0][0], reach[2][1] - reach[0][1]
    return (*corners[:2], *((x + dx, z + dz) for x, z in corners[2:]))


def _shifted(place: Place, push: tuple[float, float], share: float) -> Place:
    """A place moved by a share of a push, rounded away from where it was."""
    x, z = (math.copysign(math.ceil(abs(share * part)), share * part) for part in push)
    return place[0] + int(x), place[1] + int(z), place[2]


def _push(first: Polygon, second: Polygon, gap: int) -> tuple[float, float] | None:
    """The shortest way for the second rectangle to be `gap` away from the first; None where it is."""
    best: tuple[float, float, float] | None = None
    for polygon in (first, second):
        for (ax, az), (bx, bz) in pairwise(polygon[:3]):
            length = math.hypot(bx - ax, bz - az)
            nx, nz = (bx - ax) / length, (bz - az) / length
            mine = [nx * x + nz * z for x, z in first]
            theirs = [nx * x + nz * z for x, z in second]
            for depth, sign in ((max(mine) - min(theirs), 1), (max(theirs) - min(mine), -1)):
                if depth + gap <= 0:
                    return None
                if best is None or depth + gap < best[0]:
                    best = depth + gap, sign * nx, sign * nz
    return best[0] * best[1], best[0] * best[2]
