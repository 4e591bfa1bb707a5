"""What stands in a home: furniture, doors and drawers, walls and floors, as rows of primitives.

Every piece is in its own frame: origin on the floor under its centre, its front facing local +z
(so somebody before it, looking at it, has local +x at the right hand). Metres.
"""

from __future__ import annotations

import math

import numpy as np

from llarp_cli.home.primitives import CYLINDER, ROD, SPHERE, Colour, Rows, box, built, span

HINGE: tuple[float, float, float] = (-0.40, 0.0, 0.33)
"""Where the fridge door's frame has its origin, in the fridge's frame: the left edge as seen from the front.
Turning the door by a positive heading opens it toward the front."""

DRAWER_BOXES: dict[str, tuple[float, float, float, float, float, float]] = {
    "left drawer": (-0.76, 0.695, 0.06, 0.385, 0.085, 0.225),
    "middle drawer": (0.0, 0.54, 0.06, 0.215, 0.075, 0.225),
    "right drawer": (0.70, 0.695, 0.06, 0.265, 0.085, 0.225),
    "bottom drawer": (1.38, 0.36, 0.06, 0.305, 0.085, 0.225),
}
"""The room inside each closed drawer, in the counter's frame: centre x, y, z, half extents x, y, z.
An open drawer's is further along local +z by as much as it is open."""

WALL_HEIGHT = 2.5
DOORWAY_HEIGHT = 2.05

_WHITE: Colour = (0.93, 0.93, 0.91)
_CREAM: Colour = (0.90, 0.86, 0.76)
_STEEL: Colour = (0.70, 0.73, 0.77)
_DARK_STEEL: Colour = (0.40, 0.42, 0.46)
_BLACK: Colour = (0.13, 0.13, 0.15)
_INK: Colour = (0.05, 0.05, 0.06)
_BROWN: Colour = (0.50, 0.30, 0.15)
_DARK_BROWN: Colour = (0.36, 0.21, 0.11)
_STONE: Colour = (0.62, 0.62, 0.60)


def _legs(x: float, z: float, top: float, thick: float, colour: Colour) -> list[Rows]:
    """Four square legs whose outer corners are at ±x, ±z."""
    return [
        span((side * x, side * (x - thick)), (0.0, top), (end * z, end * (z - thick)), colour)
        for side in (-1, 1)
        for end in (-1, 1)
    ]


def _chair() -> list[Rows]:
    wood, seat = (0.66, 0.47, 0.26), (0.85, 0.55, 0.20)
    return [
        span((-0.25, 0.25), (0.41, 0.46), (-0.25, 0.25), seat),
        *_legs(0.24, 0.24, 0.41, 0.05, wood),
        span((-0.24, 0.24), (0.66, 0.94), (-0.25, -0.21), seat),
        span((-0.24, -0.19), (0.46, 0.94), (-0.252, -0.205), wood),
        span((0.19, 0.24), (0.46, 0.94), (-0.252, -0.205), wood),
    ]


def _black_table() -> list[Rows]:
    return [
        span((-0.75, 0.75), (0.722, 0.762), (-0.48, 0.48), (0.17, 0.17, 0.20)),
        *_legs(0.72, 0.45, 0.722, 0.07, _BLACK),
    ]


def _brown_table() -> list[Rows]:
    return [
        span((-0.68, 0.68), (0.8735, 0.9335), (-0.45, 0.45), (0.58, 0.36, 0.18)),
        span((-0.62, 0.62), (0.78, 0.8735), (-0.40, 0.40), _DARK_BROWN),
        *_legs(0.64, 0.41, 0.8735, 0.09, _BROWN),
    ]


def _tv_stand() -> list[Rows]:
    wood, door = (0.86, 0.80, 0.69), (0.74, 0.66, 0.54)
    return [
        span((-0.81, 0.81), (0.586, 0.626), (-0.28, 0.28), wood),
        span((-0.79, 0.79), (0.08, 0.586), (-0.27, 0.25), wood),
        span((-0.77, -0.27), (0.12, 0.56), (0.25, 0.27), door),
        span((0.27, 0.77), (0.12, 0.56), (0.25, 0.27), door),
        span((-0.24, 0.24), (0.12, 0.56), (0.25, 0.255), (0.30, 0.26, 0.22)),
        span((-0.24, 0.24), (0.33, 0.35), (0.25, 0.265), wood),
        span((-0.76, 0.76), (0.0, 0.08), (-0.24, 0.20), _BLACK),
    ]


def _sofa() -> list[Rows]:
    cloth, cushion = (0.24, 0.35, 0.53), (0.31, 0.43, 0.62)
    return [
        span((-0.925, 0.925), (0.06, 0.26), (-0.45, 0.43), cloth),
        span((-0.745, -0.005), (0.26, 0.4035), (-0.20, 0.45), cushion),
        span((0.005, 0.745), (0.26, 0.4035), (-0.20, 0.45), cushion),
        span((-0.925, 0.925), (0.26, 0.80), (-0.45, -0.24), cloth),
        span((-0.74, -0.01), (0.4035, 0.78), (-0.26, -0.175), cushion),
        span((0.01, 0.74), (0.4035, 0.78), (-0.26, -0.175), cushion),
        span((-0.925, -0.745), (0.26, 0.58), (-0.45, 0.43), cloth),
        span((0.745, 0.925), (0.26, 0.58), (-0.45, 0.43), cloth),
        *_legs(0.90, 0.42, 0.06, 0.06, _DARK_BROWN),
    ]


def _kitchen_counter() -> list[Rows]:
    top, body, steel = (0.46, 0.47, 0.49), _WHITE, _STEEL
    return [
        span((-1.23, 1.80), (0.10, 0.70), (-0.34, 0.29), body),
        span((-1.23, -0.21), (0.70, 0.819), (-0.34, 0.29), body),
        span((0.21, 1.80), (0.70, 0.819), (-0.34, 0.29), body),
        span((-1.23, 1.80), (0.0, 0.10), (-0.34, 0.24), _DARK_STEEL),
        # The top, around the basin.
        span((-1.25, -0.205), (0.819, 0.859), (-0.34, 0.34), top),
        span((0.205, 1.82), (0.819, 0.859), (-0.34, 0.34), top),
        span((-0.205, 0.205), (0.819, 0.859), (-0.34, -0.145), top),
        span((-0.205, 0.205), (0.819, 0.859), (0.145, 0.34), top),
        # The basin: floor, four walls, drain.
        span((-0.205, 0.205), (0.70, 0.7064), (-0.145, 0.145), (0.80, 0.84, 0.88)),
        span((-0.205, -0.185), (0.70, 0.866), (-0.145, 0.145), steel),
        span((0.185, 0.205), (0.70, 0.866), (-0.145, 0.145), steel),
        span((-0.205, 0.205), (0.70, 0.866), (-0.145, -0.125), steel),
        span((-0.205, 0.205), (0.70, 0.866), (0.125, 0.145), steel),
        built(
            [
                (CYLINDER, (0.0, 0.7075, 0.0), (0.03, 0.0012, 0.03), _DARK_STEEL, 0),
                # The tap.
                (CYLINDER, (0.0, 0.97, -0.21), (0.020, 0.11, 0.020), _DARK_STEEL, 0),
                (ROD, (0.0, 1.07, -0.13), (0.10, 0.018, 0.018), _DARK_STEEL, 90),
                (CYLINDER, (0.0, 1.04, -0.04), (0.016, 0.035, 0.016), _DARK_STEEL, 0),
            ]
        ),
        # Doors that stay shut, a false front under the basin, and the panel between.
        span((-1.20, -0.33), (0.13, 0.555), (0.29, 0.305), _CREAM),
        span((-0.25, 0.25), (0.13, 0.42), (0.29, 0.305), _CREAM),
        span((-0.25, 0.25), (0.67, 0.80), (0.25, 0.305), _CREAM),
        span((0.41, 1.00), (0.13, 0.555), (0.29, 0.305), _CREAM),
        span((1.05, 1.72), (0.50, 0.80), (0.29, 0.305), _CREAM),
    ]


def _drawer(name: str, front: Colour) -> list[Rows]:
    """An open-top box with a front and a knob, closed, in the counter's frame."""
    x, y, z, hx, hy, hz = DRAWER_BOXES[name]
    wood = (0.80, 0.66, 0.46)
    floor, rim, wall = y - hy, y + hy, 0.015
    return [
        span((x - hx - wall, x + hx + wall), (floor - wall, floor), (z - hz - wall, z + hz), wood),
        span((x - hx - wall, x - hx), (floor, rim), (z - hz - wall, z + hz), wood),
        span((x + hx, x + hx + wall), (floor, rim), (z - hz - wall, z + hz), wood),
        span((x - hx, x + hx), (floor, rim), (z - hz - wall, z - hz), wood),
        span((x - hx - 0.035, x + hx + 0.035), (floor - 0.035, rim + 0.03), (z + hz, z + hz + 0.04), front),
        built([(ROD, (x, y + 0.02, z + hz + 0.065), (0.07, 0.016, 0.016), _DARK_STEEL, 0)]),
        span((x - 0.06, x - 0.045), (y + 0.01, y + 0.03), (z + hz + 0.04, z + hz + 0.065), _DARK_STEEL),
        span((x + 0.045, x + 0.06), (y + 0.01, y + 0.03), (z + hz + 0.04, z + hz + 0.065), _DARK_STEEL),
    ]


def _fridge() -> list[Rows]:
    shell, inside = (0.72, 0.75, 0.79), (0.90, 0.95, 0.98)
    return [
        span((-0.40, -0.37), (0.0, 1.85), (-0.36, 0.30), shell),
        span((0.37, 0.40), (0.0, 1.85), (-0.36, 0.30), shell),
        span((-0.37, 0.37), (1.79, 1.85), (-0.36, 0.30), shell),
        span((-0.37, 0.37), (0.0, 0.10), (-0.36, 0.30), shell),
        span((-0.40, 0.40), (0.0, 1.85), (-0.36, -0.34), shell),
        span((-0.37, 0.37), (0.10, 1.79), (-0.34, -0.32), inside),
        span((-0.37, -0.36), (0.10, 1.79), (-0.32, 0.30), inside),
        span((0.36, 0.37), (0.10, 1.79), (-0.32, 0.30), inside),
        span((-0.36, 0.36), (0.10, 0.11), (-0.32, 0.30), inside),
        span((-0.36, 0.36), (0.93, 0.95), (-0.32, 0.26), (0.70, 0.82, 0.90)),
        span((-0.36, 0.36), (0.48, 0.50), (-0.32, 0.26), (0.70, 0.82, 0.90)),
    ]


def _fridge_door() -> list[Rows]:
    return [
        span((0.0, 0.80), (0.04, 1.85), (-0.03, 0.03), (0.76, 0.79, 0.83)),
        span((0.02, 0.78), (0.06, 1.83), (-0.034, -0.03), _WHITE),
        span((0.05, 0.75), (1.05, 1.12), (-0.10, -0.034), (0.80, 0.88, 0.94)),
        span((0.70, 0.74), (0.80, 1.40), (0.06, 0.09), _DARK_STEEL),
        span((0.70, 0.74), (0.82, 0.86), (0.03, 0.06), _DARK_STEEL),
        span((0.70, 0.74), (1.34, 1.38), (0.03, 0.06), _DARK_STEEL),
    ]


def _rug() -> list[Rows]:
    return [
        span((-0.90, 0.90), (0.0, 0.006), (-0.60, 0.60), (0.56, 0.25, 0.24)),
        span((-0.80, 0.80), (0.0, 0.009), (-0.50, 0.50), (0.74, 0.66, 0.54)),
    ]


def _lamp() -> list[Rows]:
    return [
        built(
            [
                (CYLINDER, (0, 0.015, 0), (0.16, 0.015, 0.16), _DARK_STEEL, 0),
                (CYLINDER, (0, 0.75, 0), (0.018, 0.73, 0.018), _DARK_STEEL, 0),
                (CYLINDER, (0, 1.56, 0), (0.19, 0.14, 0.19), (0.97, 0.93, 0.78), 0),
            ]
        )
    ]


def _plant() -> list[Rows]:
    leaf, dark = (0.27, 0.47, 0.25), (0.20, 0.38, 0.20)
    return [
        built(
            [
                (CYLINDER, (0, 0.17, 0), (0.16, 0.17, 0.16), (0.63, 0.36, 0.25), 0),
                (CYLINDER, (0, 0.55, 0), (0.025, 0.25, 0.025), (0.36, 0.27, 0.16), 0),
                (SPHERE, (0.0, 1.00, 0.0), (0.24, 0.30, 0.24), leaf, 0),
                (SPHERE, (0.14, 0.80, 0.08), (0.20, 0.16, 0.16), dark, 30),
                (SPHERE, (-0.13, 0.85, -0.06), (0.20, 0.18, 0.16), dark, 30),
            ]
        )
    ]


def _picture() -> list[Rows]:
    return [
        span((-0.35, 0.35), (1.25, 1.80), (0.0, 0.03), _DARK_BROWN),
        span((-0.31, 0.31), (1.29, 1.76), (0.03, 0.034), (0.72, 0.80, 0.84)),
        span((-0.31, 0.31), (1.29, 1.45), (0.034, 0.037), (0.42, 0.52, 0.38)),
        span((0.05, 0.20), (1.55, 1.68), (0.034, 0.037), (0.93, 0.82, 0.52)),
    ]


def _window() -> list[Rows]:
    return [
        span((-0.60, 0.60), (0.95, 2.05), (0.0, 0.04), _WHITE),
        span((-0.54, -0.02), (1.01, 1.99), (0.04, 0.045), (0.66, 0.82, 0.94)),
        span((0.02, 0.54), (1.01, 1.99), (0.04, 0.045), (0.66, 0.82, 0.94)),
        span((-0.64, 0.64), (0.91, 0.95), (0.0, 0.12), _WHITE),
    ]


def _tv_panel() -> list[Rows]:
    return [
        span((-0.60, 0.60), (0.92, 1.62), (0.0, 0.05), _INK),
        span((-0.57, 0.57), (0.95, 1.59), (0.05, 0.053), (0.12, 0.15, 0.20)),
    ]


FURNITURE: dict[str, Rows] = {
    name: np.concatenate(parts)
    for name, parts in {
        "chair": _chair(),
        "black table": _black_table(),
        "brown table": _brown_table(),
        "TV stand": _tv_stand(),
        "sofa": _sofa(),
        "kitchen counter": _kitchen_counter(),
        "left drawer": _drawer("left drawer", _CREAM),
        "middle drawer": _drawer("middle drawer", _CREAM),
        "right drawer": _drawer("right drawer", _CREAM),
        "bottom drawer": _drawer("bottom drawer", _CREAM),
        "fridge": _fridge(),
        "fridge door": _fridge_door(),
        "rug": _rug(),
        "lamp": _lamp(),
        "plant": _plant(),
        "picture": _picture(),
        "window": _window(),
        "TV panel": _tv_panel(),
    }.items()
}
"""Piece → float32 [p, WIDTH]. Outside width x, depth z and top y in metres: chair 0.50 x 0.50, seat 0.46;
black table 1.50 x 0.96, 0.762; brown table 1.36 x 0.90, 0.9335; TV stand 1.62 x 0.56, 0.626; sofa 1.85 x 0.90,
seat 0.4035 (its seat: 1.49 x 0.53 about z = 0.10); fridge 0.80 x 0.72, 1.85, with its main shelf at 0.95.

"kitchen counter" has its origin under the sink: x from -1.25 to 1.82, z within ±0.34, top 0.859; left part about
x = -0.76 (0.91 x 0.62), basin about x = 0 (0.37 x 0.25, its bottom at 0.7064), right part about x = 1.035
(1.49 x 0.62). The four drawers are in the counter's frame, closed; to open one, move it along local +z.
"fridge door" has its hinge at its origin (`HINGE` in the fridge's frame). "picture", "window" and "TV panel" hang
on a wall: their backs are at z = 0."""


def wall(
    x0: float,
    z0: float,
    x1: float,
    z1: float,
    colour: Colour,
    gaps: tuple[tuple[float, float], ...] = (),
    height: float = WALL_HEIGHT,
    thickness: float = 0.1,
) -> Rows:
    """A wall along the line from (x0, z0) to (x1, z1), float32 [p, WIDTH].

    `gaps` are doorways: (start, end) in metres from the first point, in rising order. Above each the wall goes on.
    """
    length = math.hypot(x1 - x0, z1 - z0)
    along_x, along_z, turn = (x1 - x0) / length, (z1 - z0) / length, math.atan2(z1 - z0, x1 - x0)

    def piece(start: float, end: float, low: float, high: float) -> Rows:
        middle = (start + end) / 2
        centre = (x0 + along_x * middle, (low + high) / 2, z0 + along_z * middle)
        return box(*centre, (end - start) / 2, (high - low) / 2, thickness / 2, colour, turn)

    solid = zip([0.0, *(end for _, end in gaps)], [*(start for start, _ in gaps), length], strict=True)
    pieces = [piece(start, end, 0.0, height) for start, end in solid if end > start]
    pieces += [piece(start, end, DOORWAY_HEIGHT, height) for start, end in gaps]
    return np.concatenate(pieces)


def floor(x0: float, z0: float, x1: float, z1: float, colour: Colour) -> Rows:
    """A floor between two corners, its top at y = 0, float32 [1, WIDTH]."""
    return span((x0, x1), (-0.1, 0.0), (z0, z1), colour)


def ceiling(x0: float, z0: float, x1: float, z1: float, colour: Colour, height: float = WALL_HEIGHT) -> Rows:
    """A ceiling between two corners, its underside at `height`, float32 [1, WIDTH]."""
    return span((x0, x1), (height, height + 0.1), (z0, z1), colour)
