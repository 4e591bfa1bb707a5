"""The rows that N homes are drawn from, kept up to date as things move.

In each home's rows come first the walls and the furniture, then drawers and fridge door, then the objects.
Only what moves is written again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llarp_cli.home.furniture import HINGE, furniture
from llarp_cli.home.interior import at, interior
from llarp_cli.home.primitives import (
    BLUE,
    BOUND,
    COS,
    HALF_X,
    HALF_Y,
    HALF_Z,
    OWNER,
    RED,
    SIN,
    WIDTH,
    Rows,
    X,
    Y,
    Z,
    placed,
)
from llarp_cli.home.scenes import Home, furnished
from llarp_cli.home.shadows import GROUND_IDS, GROUNDS, ground, shades, shadow
from llarp_cli.home.shapes import ASSET_SHAPES, ASSET_SIZES
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF, JOINTS, TARGETS

ASSET_NAMES: tuple[str, ...] = tuple(CATEGORY_OF)
ASSET_INDEX: dict[str, int] = {name: i for i, name in enumerate(ASSET_NAMES)}

# The last row of an asset is its shadow.
_COUNTS = np.array([len(ASSET_SHAPES[name]) + 1 for name in ASSET_NAMES])
_FIRSTS = np.concatenate([[0], np.cumsum(_COUNTS)[:-1]])
_SHAPES: Rows = np.concatenate([rows for name in ASSET_NAMES for rows in (ASSET_SHAPES[name], shadow(name))])
_REST = np.array([ASSET_SIZES[name].rest_height for name in ASSET_NAMES]) / 1000

_SPARE_ROWS = 64
_HIDDEN = -1e6
"""A bounding radius with which a row is never drawn."""
_FRIDGE_ROOM = (-0.371, 0.099, -0.341), (0.371, 1.791, 0.301)
_COUNTER_ROOM = (-1.3, 0.0, -0.34), (1.9, 0.82, 0.287)
"""What lies in here is behind the fridge's closed door, or behind the counter's fronts."""


@dataclass(frozen=True)
class _Fixed:
    """What the homes of one scene have in common.

    Attributes:
        rows: walls, furniture, decoration, then drawers and door, all closed.
        parts: per joint the first and the last row + 1 of what it moves.
        inside: per joint the rows that can be seen only while it is open.
        slide: the direction in which drawers open, x and z.
        door: the door's rows about its hinge, the hinge's place, and the heading when closed.
        shades: of objects' shadows, float32 [G, 3].
    """

    rows: Rows
    parts: tuple[tuple[int, int], ...]
    inside: tuple[NDArray[np.intp], ...]
    slide: tuple[float, float]
    door: tuple[Rows, tuple[float, float, float], float]
    shades: NDArray[np.float32]


@lru_cache(maxsize=1024)
def _fixed(name: str) -> _Fixed:
    home = furnished(name)
    layout, shapes = home.layout, furniture(home.layout.style)
    counter, fridge = layout.piece("kitchen counter"), layout.piece("fridge")
    blocks = [
        interior(layout, _behind_stand(home)),
        *(placed(shapes[piece.kind], *at(piece)) for piece in layout.pieces),
    ]
    firsts = np.cumsum([0, *map(len, blocks)]).tolist()
    cold = firsts[1 + layout.pieces.index(fridge)]
    first, parts, inside = firsts[-1], [], []
    x, _, z, heading = at(fridge)
    cos, sin = math.cos(heading), math.sin(heading)
    hinge = (x + cos * HINGE[0] - sin * HINGE[2], HINGE[1], z + sin * HINGE[0] + cos * HINGE[2])
    for joint in JOINTS:
        if joint == "fridge":
            block = placed(shapes["fridge door"], *hinge, heading)
            inside.append(cold + _within(shapes["fridge"], *_FRIDGE_ROOM))
        else:
            block = placed(shapes[joint], *at(counter))
            inside.append(first + _within(shapes[joint], *_COUNTER_ROOM))
        parts.append((first, first + len(block)))
        first += len(block)
        blocks.append(block)
    slide = (-math.sin(at(counter)[3]), math.cos(at(counter)[3]))
    door = (shapes["fridge door"], hinge, heading)
    return _Fixed(np.concatenate(blocks), tuple(parts), tuple(inside), slide, door, shades(layout.style))


def _behind_stand(home: Home) -> bool:
    """Whether the robot uses the TV stand from its back."""
    stand = home.layout.piece("TV stand")
    x, z, _ = home.scene.stands[TARGETS.index("TV stand")]
    heading = at(stand)[3]
    return bool((z - stand.z) * math.cos(heading) < (x - stand.x) * math.sin(heading))


def _within(rows: Rows, low: tuple[float, float, float], high: tuple[float, float, float]) -> NDArray[np.intp]:
    """Which rows lie in a box of their own frame."""
    centre, half = rows[:, [X, Y, Z]], rows[:, [HALF_X, HALF_Y, HALF_Z]]
    return np.flatnonzero(((centre - half >= low) & (centre + half <= high)).all(axis=1))


class Stage:
    """The rows of N homes.

    Attributes:
        rows: float32 [N, P, WIDTH].
        counts: int32 [N], how many of them are drawn.
    """

    def __init__(self, homes: int, max_objects: int):
        self.rows = np.zeros((homes, _SPARE_ROWS, WIDTH), np.float32)
        self.counts = np.zeros(homes, np.int32)
        self._fixed: list[_Fixed | None] = [None] * homes
        self._first = np.zeros((homes, max_objects), np.int64)
        self._assets = np.zeros((homes, max_objects), np.int64)
        self._shades = np.zeros((homes, GROUNDS, 3), np.float32)

    def furnish(self, home: int, scene: str, assets: NDArray[np.int64]) -> None:
        """Put up a scene, everything closed, with room for objects of these assets (indices into ASSET_NAMES)."""
        fixed = _fixed(scene)
        start, counts = len(fixed.rows), _COUNTS[assets]
        end = start + int(counts.sum())
        if end > self.rows.shape[1]:
            wider = np.zeros((len(self.rows), end + _SPARE_ROWS, WIDTH), np.float32)
            wider[:, : self.rows.shape[1]] = self.rows
            self.rows = wider
        self.rows[home, :start] = fixed.rows
        for hidden in fixed.inside:
            self.rows[home, hidden, BOUND] = _HIDDEN
        self.counts[home] = end
        self._fixed[home] = fixed
        self._shades[home] = fixed.shades
        self._assets[home, : len(assets)] = assets
        self._first[home, : len(assets)] = start + np.cumsum(counts) - counts

    def slide(self, home: int) -> tuple[float, float]:
        """The direction in which a home's drawers open, x and z."""
        return self._fixed[home].slide

    def place(
        self,
        homes: NDArray[np.intp],
        objects: NDArray[np.intp],
        positions: NDArray[np.float64],
        headings: NDArray[np.float64],
        scales: NDArray[np.float64] | None = None,
    ) -> None:
        """Show objects, one per entry, with their origins at `positions` [n, 3], turned and, if asked, resized."""
        assets = self._assets[homes, objects]
        counts = _COUNTS[assets]
        which = np.repeat(np.arange(len(homes)), counts)
        within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = _SHAPES[_FIRSTS[assets][which] + within]
        if scales is not None:
            rows[:, [X, Y, Z, HALF_X, HALF_Y, HALF_Z, BOUND]] *= scales[which, None].astype(np.float32)
        cos, sin = np.cos(headings)[which], np.sin(headings)[which]
        at = positions[which]
        x, z, turned, turned_by = (rows[:, column].copy() for column in (X, Z, COS, SIN))
        rows[:, X] = at[:, 0] + cos * x - sin * z
        rows[:, Y] += at[:, 1]
        rows[:, Z] = at[:, 2] + sin * x + cos * z
        rows[:, COS] = cos * turned - sin * turned_by
        rows[:, SIN] = sin * turned + cos * turned_by
        rows[:, OWNER] = objects[which]
        shadows = np.cumsum(counts) - 1
        grounds, standing = ground(positions[:, 1] - _REST[assets])
        rows[shadows, RED : BLUE + 1] = self._shades[homes, grounds]
        rows[shadows, OWNER] = GROUND_IDS[grounds]
        rows[shadows[~standing] if scales is None else shadows, BOUND] = _HIDDEN
        self.rows[homes[which], self._first[homes, objects][which] + within] = rows

    def set_joint(self, home: int, joint: int, value: float) -> None:
        """Show a drawer or the fridge door at a joint value."""
        fixed = self._fixed[home]
        inside = fixed.inside[joint]
        self.rows[home, inside, BOUND] = fixed.rows[inside, BOUND] if value > 0 else _HIDDEN
        start, end = fixed.parts[joint]
        shown = self.rows[home, start:end]
        if JOINTS[joint] == "fridge":
            rows, hinge, heading = fixed.door
            shown[:] = placed(rows, *hinge, heading + value)
        else:
            closed = fixed.rows[start:end]
            shown[:, X] = closed[:, X] + fixed.slide[0] * value
            shown[:, Z] = closed[:, Z] + fixed.slide[1] * value
