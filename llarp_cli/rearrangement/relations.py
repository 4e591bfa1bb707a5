"""Where a place is, told by what it is beside or near, and whether that is true in the scene at hand.

All arithmetic is on whole millimetres, so that an answer is the same on every machine. The left and the right
of a thing are those of somebody who stands before it and faces it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llarp_cli.rearrangement.simulator import Scene
from llarp_cli.rearrangement.vocabulary import RECEPTACLES, SURFACES, TARGETS

MARGIN = 500
"""How much nearer (or farther) than every other candidate a place must be, edge to edge and centre to centre."""

ASIDE = 300
"""How far a place between two others may lie off the line between their centres."""

_SCALE = 1_000_000
_TABLES = ("black table", "brown table")
_COUNTERS = ("left counter", "right counter")


@dataclass(frozen=True)
class Relation:
    """A way to tell a place without its name.

    Attributes:
        phrases: what to call the place in a sentence, without article.
        targets: the receptacles that it singles out in some scene.
        find: which receptacle it singles out in a scene; None where that is not clear-cut.
        named: the receptacles that the phrases speak of; where one is missing, they say nothing.
    """

    phrases: tuple[str, ...]
    targets: tuple[str, ...]
    find: Callable[[Scene], str | None]
    named: tuple[str, ...]


def answer(name: str, scene: Scene) -> str | None:
    """The receptacle that a relation singles out in a scene; None where that is not clear-cut.

    Args:
        name: a key of RELATIONS.
        scene: its geometry.
    """
    relation = RELATIONS[name]
    if scene.absent.intersection(relation.named):
        return None
    found = relation.find(scene)
    return found if found in relation.targets else None


def _beside(landmark: str, side: int) -> Callable[[Scene], str | None]:
    """The next surface to the right (side 1) or the left (-1), within 45° of straight sideways."""

    def find(scene: Scene) -> str | None:
        _, _, heading = scene.stands[TARGETS.index(landmark)].tolist()
        cos, sin = _turn(heading)
        at = _box(scene, landmark)
        distances = []
        for name in SURFACES:
            box = _box(scene, name)
            dx, dz = box[0] - at[0], box[2] - at[2]
            across, ahead = side * (cos * dz - sin * dx), cos * dx + sin * dz
            if name != landmark and across >= abs(ahead):
                distances.append((_between_centres(at, box), name))
        return _first(distances)

    return find


def _between(first: str, second: str) -> Callable[[Scene], str | None]:
    """The only surface on the line between two others."""

    def find(scene: Scene) -> str | None:
        start, end = _box(scene, first), _box(scene, second)
        dx, dz = end[0] - start[0], end[2] - start[2]
        length = math.isqrt(dx * dx + dz * dz)
        found = []
        for name in SURFACES:
            box = _box(scene, name)
            x, z = box[0] - start[0], box[2] - start[2]
            along, off = dx * x + dz * z, abs(dx * z - dz * x)
            if name not in (first, second) and 0 < along < length * length and off <= ASIDE * length:
                found.append(name)
        return found[0] if len(found) == 1 else None

    return find


def _nearest(candidates: Sequence[str], landmark: str, sign: int = 1) -> Callable[[Scene], str | None]:
    """The candidate nearest to a landmark or (sign -1) farthest from it."""

    def find(scene: Scene) -> str | None:
        at = _box(scene, landmark)
        boxes = {name: _box(scene, name) for name in candidates}
        by_edge = _first([(sign * _between_edges(at, box), name) for name, box in boxes.items()])
        by_centre = _first([(sign * _between_centres(at, box), name) for name, box in boxes.items()])
        return by_edge if by_edge == by_centre else None

    return find


def _first(distances: list[tuple[int, str]]) -> str | None:
    """The first by distance, if the second is farther by the margin."""
    distances = sorted(distances)
    if not distances or (len(distances) > 1 and distances[1][0] - distances[0][0] < MARGIN):
        return None
    return distances[0][1]


def _box(scene: Scene, name: str) -> list[int]:
    return scene.boxes[RECEPTACLES.index(name)].tolist()


def _turn(heading: int) -> tuple[int, int]:
    """Cosine and sine of a heading in millidegrees, in whole millionths."""
    angle = math.radians(heading / 1000)
    return round(math.cos(angle) * _SCALE), round(math.sin(angle) * _SCALE)


def _between_centres(one: list[int], other: list[int]) -> int:
    return math.isqrt((one[0] - other[0]) ** 2 + (one[2] - other[2]) ** 2)


def _between_edges(one: list[int], other: list[int]) -> int:
    """The gap between two rectangles seen from above; it is narrowest at a corner of one of them."""
    return min(
        [_to_edge(corner, other) for corner in _corners(one)] + [_to_edge(corner, one) for corner in _corners(other)]
    )


def _corners(box: list[int]) -> list[tuple[int, int]]:
    x, _, z, heading, half_x, _, half_z = box
    cos, sin = _turn(heading)
    ends = [(i * half_x, k * half_z) for i in (-1, 1) for k in (-1, 1)]
    return [(x + (cos * u - sin * v) // _SCALE, z + (sin * u + cos * v) // _SCALE) for u, v in ends]


def _to_edge(point: tuple[int, int], box: list[int]) -> int:
    x, _, z, heading, half_x, _, half_z = box
    cos, sin = _turn(heading)
    dx, dz = point[0] - x, point[1] - z
    along = max(0, abs(cos * dx + sin * dz) // _SCALE - half_x)
    across = max(0, abs(cos * dz - sin * dx) // _SCALE - half_z)
    return math.isqrt(along * along + across * across)


def _near_table(landmark: str) -> Relation:
    phrases = (
        f"table nearer to the {landmark}",
        f"table that is closer to the {landmark} than the other table",
        f"nearer of the two tables, seen from the {landmark}",
    )
    return Relation(phrases, _TABLES, _nearest(_TABLES, landmark), (*_TABLES, landmark))


def _far_table(landmark: str) -> Relation:
    phrases = (
        f"table farther from the {landmark}",
        f"table that is farther away from the {landmark} than the other",
        f"more distant of the two tables, seen from the {landmark}",
    )
    return Relation(phrases, _TABLES, _nearest(_TABLES, landmark, -1), (*_TABLES, landmark))


def _near_surface(landmark: str, targets: tuple[str, ...]) -> Relation:
    """Of all the surfaces and the chair, so that none that somebody could mean is nearer."""
    phrases = (
        f"surface nearest to the {landmark}",
        f"surface that is closest of all to the {landmark}",
        f"closest surface to the {landmark}",
    )
    others = [name for name in ("chair", *SURFACES) if name != landmark]
    return Relation(phrases, targets, _nearest(others, landmark), (landmark,))


RELATIONS: dict[str, Relation] = {
    "right of the left counter": Relation(
        (
            "spot immediately to the right of the left counter",
            "place that borders the left counter on the right",
            "place just to the right of the left counter",
        ),
        ("sink",),
        _beside("left counter", 1),
        ("left counter",),
    ),
    "left of the right counter": Relation(
        (
            "spot immediately to the left of the right counter",
            "place that borders the right counter on the left",
            "place just to the left of the right counter",
        ),
        ("sink",),
        _beside("right counter", -1),
        ("right counter",),
    ),
    "between the counters": Relation(
        (
            "spot between the left counter and the right counter",
            "place between the two counters",
            "gap between the counters",
        ),
        ("sink",),
        _between("left counter", "right counter"),
        _COUNTERS,
    ),
    "left of the sink": Relation(
        (
            "surface immediately to the left of the sink",
            "surface that borders the sink on the left",
            "flat space just to the left of the sink",
        ),
        ("left counter",),
        _beside("sink", -1),
        ("sink",),
    ),
    "right of the sink": Relation(
        (
            "surface immediately to the right of the sink",
            "surface that borders the sink on the right",
            "flat space just to the right of the sink",
        ),
        ("right counter",),
        _beside("sink", 1),
        ("sink",),
    ),
    "counter near the fridge": Relation(
        ("counter nearer to the fridge", "counter on the same side of the sink as the fridge"),
        _COUNTERS,
        _nearest(_COUNTERS, "fridge"),
        (*_COUNTERS, "sink", "fridge"),
    ),
    "counter far from the fridge": Relation(
        ("counter farther from the fridge", "counter that the sink separates from the fridge"),
        _COUNTERS,
        _nearest(_COUNTERS, "fridge", -1),
        (*_COUNTERS, "sink", "fridge"),
    ),
    "table near the sofa": _near_table("sofa"),
    "table far from the sofa": _far_table("sofa"),
    "table near the TV stand": _near_table("TV stand"),
    "table far from the TV stand": _far_table("TV stand"),
    "table near the fridge": _near_table("fridge"),
    "table far from the fridge": _far_table("fridge"),
    "table near the sink": _near_table("sink"),
    "table far from the sink": _far_table("sink"),
    "surface near the black table": _near_surface("black table", ("brown table", "TV stand", "sofa")),
    "surface near the brown table": _near_surface("brown table", ("black table", "TV stand", "sofa")),
    "surface near the TV stand": _near_surface("TV stand", ("black table", "brown table", "right counter", "sofa")),
    "surface near the sofa": _near_surface("sofa", ("black table", "brown table")),
}
"""Name → relation."""
