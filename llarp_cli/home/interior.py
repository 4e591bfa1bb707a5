"""What makes a furnished plan a home to look at: walls, light, shadows, and what hangs above the counter.

Nothing here is solid or can be used: it changes pictures only.
"""

from __future__ import annotations

import math

import numpy as np

from llarp_cli.home.furniture import DOORWAY_HEIGHT, WALL_HEIGHT, ceiling, floor, furniture, wall
from llarp_cli.home.kernels import AMBIENT, DIRECT, LIGHT
from llarp_cli.home.layouts import (
    FOOTPRINTS,
    Layout,
    Piece,
    Polygon,
    Wall,
    clear,
    footprint,
    inside,
    rectangle,
    wall_rectangles,
)
from llarp_cli.home.primitives import Colour, Rows, box, placed, span
from llarp_cli.home.semantics import labelled

_CEILING: Colour = (1.46, 1.46, 1.43)
"""Above 1, for the light comes from above and leaves it dark."""

_TRIM: Colour = (0.96, 0.96, 0.94)
_SKIRTING, _OUT = 0.09, 0.012
"""Height of the skirting boards, and how far trim stands out; metres."""

_BRIGHTNESS = {(1, 0): 0.95, (-1, 0): 0.86, (0, 1): 0.92, (0, -1): 0.89}
"""The way an outer wall's inside faces → how bright it shall be."""

_BOARD, _BETWEEN, _DARKER = 0.40, 0.90, 0.955
"""Width of the darker boards of the floor, from one to the next, and how much darker; metres."""

_SHADE, _HALF_SHADE, _SUN = 0.78, 0.89, 1.13
"""How much darker the floor is below furniture and around it, and how much lighter where the sun falls in."""

_CORNER, _IN_CORNERS = 0.20, 0.965
"""Where walls meet floor, ceiling and each other less light comes in: how far from there, metres, and how much."""

_PATCH = (-500, 500, 700, 1700)
"""Where the sun falls through a window, in the window's frame, millimetres."""

_ABOVE: dict[str, tuple[int, int]] = {
    "left cupboards": (-1250, -360),
    "right cupboards": (360, 1000),
    "hood": (1080, 1720),
}
"""What hangs above the counter → from where to where along it, millimetres."""

HANGING: dict[str, int] = {
    "window": 700,
    "picture": 350,
    "print": 200,
    "clock": 160,
    "shelf": 400,
    "TV panel": 600,
    "door": 500,
}
"""What is on a wall → half its width, millimetres."""


def interior(layout: Layout, behind_stand: bool) -> Rows:
    """Shell and decoration of a home, float32 [p, WIDTH].

    Args:
        layout: its plan.
        behind_stand: whether the robot uses the TV stand from behind, where a screen would be in the way.
    """
    pieces = furniture(layout.style)
    rows = [_shell(layout), *_shadows(layout), *_sunlight(layout), *_doorways(layout)]
    for name in _above_counter(layout):
        rows.append(placed(pieces[name], *at(layout.piece("kitchen counter"))))
    if not behind_stand and not any(piece.kind == "TV panel" for piece in layout.pieces):
        rows.append(placed(pieces["TV"], *at(layout.piece("TV stand"))))
    rows += [placed(pieces["pendant"], *at(layout.piece(table))) for table in ("black table", "brown table")]
    return np.concatenate(rows)


def at(piece: Piece) -> tuple[float, float, float, float]:
    """What `placed` wants: x, y, z in metres, heading in radians."""
    return piece.x / 1000, 0.0, piece.z / 1000, math.radians(piece.heading / 1000)


def darker(colour: Colour, share: float) -> Colour:
    """A colour in shade, or with a share above 1 in light."""
    return tuple(min(1.0, value * share) for value in colour)


def _shell(layout: Layout) -> Rows:
    """Floor, ceiling, walls and skirting boards."""
    corners = [value / 1000 for value in layout.room]
    outer, inner, ground = layout.colours
    rows = [labelled(floor(*corners, ground), "floor"), labelled(ceiling(*corners, _CEILING), "ceiling")]
    rows += _boards(corners, darker(ground, _DARKER))
    x0, z0, x1, z1 = corners
    edges = (((x0, x1), (z0, z0 + _CORNER)), ((x0, x1), (z1 - _CORNER, z1)), ((x0, x0 + _CORNER), (z0, z1)))
    for x, z in (*edges, ((x1 - _CORNER, x1), (z0, z1))):
        rows.append(labelled(span(x, (0.0, 0.0012), z, darker(ground, _IN_CORNERS)), "floor"))
    for i, line in enumerate(layout.walls):
        paint = layout.style.accent if i == layout.style.accent_wall else outer
        colour = _lit(line, layout, paint) if i < layout.outer else inner
        ends = [value / 1000 for value in (line.x0, line.z0, line.x1, line.z1)]
        gaps = tuple((start / 1000, end / 1000) for start, end in line.gaps)
        rows.append(labelled(wall(*ends, colour, gaps), "wall"))
        if i < layout.outer:
            rows.append(labelled(_corners(ends, tuple(_IN_CORNERS * value for value in colour)), "wall"))
        rows.append(labelled(wall(*ends, _TRIM, gaps, _SKIRTING, 0.1 + 2 * _OUT, above=False), "wall"))
    return np.concatenate(rows)


def _boards(corners: list[float], colour: Colour) -> list[Rows]:
    """Boards along the longer side of a floor."""
    x0, z0, x1, z1 = corners
    low, high = (z0, z1) if x1 - x0 > z1 - z0 else (x0, x1)
    rows = []
    for i in range(int((high - low) / _BETWEEN)):
        across = (low + i * _BETWEEN + 0.2, low + i * _BETWEEN + 0.2 + _BOARD)
        x, z = ((x0, x1), across) if high == z1 else (across, (z0, z1))
        rows.append(labelled(span(x, (-0.001, 0.0008), z, colour), "floor"))
    return rows


def _corners(ends: list[float], colour: Colour) -> Rows:
    """Darker stripes on an outer wall beside other walls and below the ceiling."""
    x0, z0, x1, z1 = ends
    length, half = math.hypot(x1 - x0, z1 - z0), 0.051
    heading = math.atan2(z1 - z0, x1 - x0)
    stripes = [
        span((start, start + _CORNER + 0.1), (0.0, WALL_HEIGHT - 0.01), (-half, half), colour)
        for start in (0.0, length - _CORNER - 0.1)
    ]
    stripes.append(span((0.0, length), (WALL_HEIGHT - _CORNER, WALL_HEIGHT - 0.01), (-half, half), colour))
    return placed(np.concatenate(stripes), x0, 0.0, z0, heading)


def _lit(line: Wall, layout: Layout, colour: Colour) -> Colour:
    """The colour that makes an outer wall as bright inside as it shall be."""
    along_x = line.z0 == line.z1
    low = line.z0 <= layout.room[1] if along_x else line.x0 <= layout.room[0]
    side = 1 if low else -1
    faces = (0, side) if along_x else (side, 0)
    lit = float(AMBIENT) + float(DIRECT) * (faces[0] * float(LIGHT[0]) + faces[1] * float(LIGHT[2]))
    return tuple(value * _BRIGHTNESS[faces] / lit for value in colour)


def _shadows(layout: Layout) -> list[Rows]:
    """The floor below furniture, darker: no more than a flat piece of floor."""
    rows = []
    for piece in layout.pieces:
        if piece.kind not in FOOTPRINTS or piece.kind == "lamp":
            continue
        x0, x1, z0, z1 = (value / 1000 for value in FOOTPRINTS[piece.kind])
        if piece.kind == "plant":
            x0, x1, z0, z1 = -0.2, 0.2, -0.2, 0.2
        for edge, top, shade in ((0.10, 0.0029, _HALF_SHADE), (0.03, 0.0035, _SHADE)):
            flat = span((x0 - edge, x1 + edge), (0.001, top), (z0 - edge, z1 + edge), darker(layout.colours[2], shade))
            rows.append(placed(labelled(flat, "floor"), *at(piece)))
    return rows


def _sunlight(layout: Layout) -> list[Rows]:
    """Light on the floor before windows, where it falls on the floor of one room."""
    walls = [polygon for line in layout.walls for polygon in wall_rectangles(line)]
    colour = darker(layout.colours[2], _SUN)
    rows = []
    for piece in layout.pieces:
        if piece.kind == "window":
            area = rectangle(piece, *_PATCH)
            if inside(area, layout.room) and clear(rectangle(piece, -500, 500, 10, 1700), walls):
                x0, x1, z0, z1 = (value / 1000 for value in _PATCH)
                panes = [span(x, (0.0, 0.0022), (z0, z1), colour) for x in ((x0, -0.03), (0.03, x1))]
                rows.append(placed(labelled(np.concatenate(panes), "floor"), *at(piece)))
    return rows


def _doorways(layout: Layout) -> list[Rows]:
    """A frame around every doorway."""
    rows = []
    for line in layout.walls:
        along_x = line.z0 == line.z1
        for gap in line.gaps:
            low, high = (value / 1000 for value in gap)
            x, z = line.x0 / 1000, line.z0 / 1000
            heading = 0.0 if along_x else math.pi / 2
            frame = [
                box(low - 0.02, DOORWAY_HEIGHT / 2, 0, 0.05, DOORWAY_HEIGHT / 2, 0.05 + _OUT, _TRIM),
                box(high + 0.02, DOORWAY_HEIGHT / 2, 0, 0.05, DOORWAY_HEIGHT / 2, 0.05 + _OUT, _TRIM),
                box((low + high) / 2, DOORWAY_HEIGHT + 0.04, 0, (high - low) / 2 + 0.07, 0.05, 0.05 + _OUT, _TRIM),
            ]
            rows.append(placed(labelled(np.concatenate(frame), "wall"), x, 0.0, z, heading))
    return rows


def _above_counter(layout: Layout) -> list[str]:
    """What there is room for on the wall behind the counter; nothing where there is no wall."""
    counter = layout.piece("kitchen counter")
    walls = [polygon for line in layout.walls for polygon in wall_rectangles(line)]
    if any(clear(rectangle(counter, x, x + 100, -470, -350), walls) for x in (-1250, 0, 1720)):
        return []
    hung: list[Polygon] = [
        rectangle(piece, -HANGING[piece.kind], HANGING[piece.kind], -100, 300)
        for piece in layout.pieces
        if piece.kind in HANGING
    ]
    solid = [footprint(piece) for piece in layout.pieces if piece.kind in ("fridge", "lamp", "plant")]
    found = ["splashback"]
    for name, (x0, x1) in _ABOVE.items():
        area = rectangle(counter, x0, x1, -340, 0)
        if inside(rectangle(counter, x0, x1, -330, 0), layout.room) and clear(area, hung) and clear(area, solid):
            found.append(name)
    return found
