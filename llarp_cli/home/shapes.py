"""What the 81 assets look like: a table of parts per asset, in centimetres.

At the robot's distance an asset is 5 to 15 pixels wide in a 128-pixel picture, so small things are drawn
up to twice their size, thin things are fat, and every category has a pair of colours and an outline of its
own, which its assets share; what tells assets of a category apart is a further colour, or size:

    balls are pale with black spots; cups are light blue to mint with a coloured ring and dark inside; bowls are
    indigo with a coloured band and white inside; cans are of tin with a green label and a coloured stripe;
    boxes are magenta and white around the waist; books are dark with cream pages and gold; bricks of lego stand
    on a yellow one and have yellow studs; blocks are of wood with a red and a blue one; toy airplanes have pink
    wings; clamps are of iron with orange ends.

Fruit is as in nature, so that it can be described: the long yellow one is the banana, the round red one the apple,
the small red one with green on top the strawberry, the purple one the plum, the green one the pear, the sour yellow
one the lemon, the orange one the orange, the rosy one the peach.

In a table an asset stands on y = 0. In `ASSET_SHAPES` y = 0 is at its origin, which is `rest_height` above
what it stands on, as in the reference release.
"""

from __future__ import annotations

from llarp_cli.home.primitives import BOX, CYLINDER, ROD, SPHERE, Colour, Rows, Y, built
from llarp_cli.rearrangement.simulator import AssetSize
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF

Triple = tuple[float, float, float]
Part = tuple[int, Triple, Triple, Colour, float]
"""Kind, centre and half extents in centimetres, colour, turn in degrees."""

_BLACK: Colour = (0.10, 0.10, 0.12)
_IRON: Colour = (0.34, 0.36, 0.42)
_WHITE: Colour = (0.97, 0.97, 0.97)
_SILVER: Colour = (0.80, 0.83, 0.87)
_CREAM: Colour = (0.97, 0.92, 0.78)
_GOLD: Colour = (0.90, 0.72, 0.20)
_RED: Colour = (0.88, 0.08, 0.08)
_BLUE: Colour = (0.10, 0.25, 0.80)
_GREEN: Colour = (0.12, 0.60, 0.18)
_YELLOW: Colour = (1.00, 0.86, 0.05)
_ORANGE: Colour = (1.00, 0.48, 0.02)
_PINK: Colour = (1.00, 0.42, 0.78)
_WOOD: Colour = (0.87, 0.68, 0.42)
_STALK: Colour = (0.38, 0.24, 0.12)


def _ball(radius: float, skin: Colour) -> list[Part]:
    r, spot = radius, 0.80 * radius
    return [
        (SPHERE, (0, r, 0), (r, r, r), skin, 0),
        # Spots are caps of balls of nearly the same size.
        (SPHERE, (0, 1.125 * r, 0), (0.89 * r, 0.89 * r, 0.89 * r), _BLACK, 0),
        *(
            (SPHERE, (0.235 * r * x, 0.99 * r, 0.235 * r * z), (spot, spot, spot), _BLACK, 0)
            for x, z in ((1, 0), (-1, 0), (0, 1), (0, -1))
        ),
    ]


def _clamp(size: float, grips: Colour) -> list[Part]:
    s = size
    return [
        (BOX, (1.6 * s, 1.6, 0), (6.4 * s, 1.6, 1.3 * s), _IRON, 14),
        (BOX, (1.6 * s, 1.6, 0), (6.4 * s, 1.6, 1.3 * s), _IRON, -14),
        (BOX, (-4.9 * s, 1.8, 2.9 * s), (3.9 * s, 1.8, 1.5 * s), grips, -26),
        (BOX, (-4.9 * s, 1.8, -2.9 * s), (3.9 * s, 1.8, 1.5 * s), grips, 26),
        (BOX, (7.5 * s, 1.7, 2.0 * s), (1.6 * s, 1.7, 1.2 * s), grips, -18),
        (BOX, (7.5 * s, 1.7, -2.0 * s), (1.6 * s, 1.7, 1.2 * s), grips, 18),
    ]


def _screwdriver(handle: Colour, tip: Triple) -> list[Part]:
    return [
        (ROD, (-5.5, 3.1, 0), (6.0, 3.1, 3.1), handle, 0),
        (ROD, (-8.5, 3.1, 0), (1.1, 3.2, 3.2), _BLACK, 0),
        (ROD, (-4.0, 3.1, 0), (1.1, 3.2, 3.2), _BLACK, 0),
        (ROD, (5.0, 3.1, 0), (5.0, 1.4, 1.4), _SILVER, 0),
        (BOX, (10.2, 3.1, 0), tip, _SILVER, 0),
    ]


def _can(radius: float, depth: float, height: float, label: Colour, stripe: Colour) -> list[Part]:
    r, d, h = radius, depth, height / 2
    return [
        (CYLINDER, (0, h, 0), (r, h, d), _SILVER, 0),
        (CYLINDER, (0, h, 0), (1.01 * r, 0.66 * h, 1.01 * d), label, 0),
        (CYLINDER, (0, 1.06 * h, 0), (1.02 * r, 0.17 * h, 1.02 * d), stripe, 0),
        (CYLINDER, (0, height, 0), (0.80 * r, 0.06, 0.80 * d), (0.50, 0.53, 0.58), 0),
        (BOX, (0.2 * r, height, 0), (0.40 * r, 0.10, 0.20 * d), _SILVER, 0),
    ]


def _carton(half: Triple, print_colour: Colour, mark_colour: Colour, lying: bool = False) -> list[Part]:
    x, y, z = half
    waist = (0.40 * x, 1.01 * y, 1.01 * z) if lying else (1.01 * x, 0.40 * y, 1.02 * z)
    mark = (0.26 * x, 1.02 * y, 0.55 * z) if lying else (0.55 * x, 0.24 * y, 1.05 * z)
    return [
        (BOX, (0, y, 0), half, print_colour, 0),
        (BOX, (0, y, 0), waist, _WHITE, 0),
        (BOX, (0, y, 0), mark, mark_colour, 0),
    ]


def _lego(brick: Colour, length: float, height: float) -> list[Part]:
    top = 4.0 + height
    return [
        (BOX, (0, 2.0, 0), (length, 2.0, 3.9), _YELLOW, 0),
        (BOX, (0, 4.0 + height / 2, 0), (length, height / 2, 3.9), brick, 0),
        *(
            (CYLINDER, (x * length / 2, top + 0.6, z), (1.45, 0.6, 1.45), _YELLOW, 0)
            for x in (-1, 1)
            for z in (-1.95, 1.95)
        ),
    ]


def _book(width: float, height: float, cover: Colour) -> list[Part]:
    w, h = width / 2, height / 2
    return [
        (BOX, (0, h, 0), (w, h, 2.3), cover, 0),
        (BOX, (0.4, h + 0.15, 0), (w - 0.2, h - 0.1, 1.6), _CREAM, 0),
        (BOX, (0.25 * w, 1.36 * h, 0), (0.55 * w, 0.17 * h, 2.35), _GOLD, 0),
        (BOX, (-0.86 * w, h, 0), (0.06 * w, 0.98 * h, 2.34), _GOLD, 0),
    ]


def _bowl(radius: float, height: float, outside: Colour, band: Colour) -> list[Part]:
    r, h = radius, height
    return [
        (CYLINDER, (0, 0.06 * h, 0), (0.50 * r, 0.06 * h, 0.50 * r), outside, 0),
        (SPHERE, (0, 0.50 * h, 0), (0.93 * r, 0.46 * h, 0.93 * r), outside, 0),
        (CYLINDER, (0, 0.78 * h, 0), (0.985 * r, 0.22 * h, 0.985 * r), outside, 0),
        (CYLINDER, (0, 0.72 * h, 0), (r, 0.09 * h, r), band, 0),
        # Hollow, as painters do it: the wall in shade, the ground in light.
        (CYLINDER, (0, h, 0), (0.90 * r, 0.06, 0.90 * r), (0.74, 0.75, 0.82), 0),
        (CYLINDER, (0, h + 0.04, 0), (0.66 * r, 0.06, 0.66 * r), _WHITE, 0),
    ]


def _cup(radius: float, height: float, colour: Colour, ring: Colour) -> list[Part]:
    r, h = radius, height / 2
    return [
        (CYLINDER, (0, 0.5 * h, 0), (0.80 * r, 0.5 * h, 0.80 * r), colour, 0),
        (CYLINDER, (0, 1.5 * h, 0), (r, 0.5 * h, r), colour, 0),
        (CYLINDER, (0, 1.10 * h, 0), (1.03 * r, 0.22 * h, 1.03 * r), ring, 0),
        (CYLINDER, (0, height, 0), (0.82 * r, 0.06, 0.82 * r), (0.20, 0.24, 0.32), 0),
        (CYLINDER, (0, height + 0.03, 0), (0.52 * r, 0.06, 0.52 * r), (0.36, 0.42, 0.50), 0),
    ]


def _airplane(body: Colour) -> list[Part]:
    return [
        (ROD, (0, 3.4, 0), (9.5, 2.3, 2.3), body, 0),
        (SPHERE, (9.5, 3.4, 0), (2.6, 2.3, 2.3), body, 0),
        (BOX, (2.0, 3.8, 0), (2.7, 0.7, 11.0), _PINK, 0),
        (BOX, (-8.3, 4.6, 0), (1.5, 0.6, 4.6), _PINK, 0),
        (BOX, (-8.3, 7.2, 0), (1.5, 2.4, 0.6), _PINK, 0),
        (BOX, (5.2, 5.4, 0), (1.6, 0.6, 1.4), (0.25, 0.30, 0.40), 0),
        (CYLINDER, (3, 0.6, 0), (1.0, 0.6, 2.6), _BLACK, 0),
    ]


def _round_fruit(radius: float, flesh: Colour) -> list[Part]:
    return [(SPHERE, (0, radius, 0), (radius, radius, radius), flesh, 0)]


# Asset → ((radius of its footprint, height of its origin above what it stands on, its own height), its parts).
# Millimetres. Episodes depend on these sizes, so they stay while shapes within them change; origins are as in the
# release.
_TABLE: dict[str, tuple[tuple[int, int, int], list[Part]]] = {
    "053_mini_soccer_ball": ((79, 63, 153), _ball(7.6, _WHITE)),
    "054_softball": ((73, 48, 140), _ball(7.0, (1.00, 0.97, 0.68))),
    "055_baseball": ((64, 36, 124), _ball(6.2, (1.00, 0.89, 0.84))),
    "056_tennis_ball": ((62, 34, 120), _ball(6.0, (0.84, 1.00, 0.66))),
    "057_racquetball": ((60, 28, 116), _ball(5.8, (0.74, 0.86, 1.00))),
    "050_medium_clamp": ((93, 13, 36), _clamp(0.95, (1.00, 0.62, 0.04))),
    "051_large_clamp": ((108, 17, 36), _clamp(1.10, (1.00, 0.46, 0.02))),
    "052_extra_large_clamp": ((123, 18, 36), _clamp(1.25, (0.96, 0.30, 0.04))),
    "048_hammer": (
        (158, 16, 62),
        [
            (ROD, (-1.0, 2.4, 0), (10.0, 2.1, 2.1), _WOOD, 0),
            (ROD, (-9.0, 2.4, 0), (3.0, 2.4, 2.4), (0.70, 0.10, 0.10), 0),
            (BOX, (10.2, 3.0, 1.0), (2.8, 3.0, 5.8), (0.28, 0.30, 0.37), 0),
            (BOX, (10.2, 3.0, -6.2), (2.0, 1.6, 2.0), (0.28, 0.30, 0.37), 0),
            (BOX, (10.2, 3.1, 7.2), (3.2, 3.1, 1.0), _SILVER, 0),
        ],
    ),
    "043_phillips_screwdriver": ((120, 11, 63), _screwdriver(_YELLOW, (0.8, 1.0, 1.0))),
    "044_flat_screwdriver": ((120, 14, 63), _screwdriver((1.00, 0.68, 0.02), (1.4, 0.8, 2.4))),
    "038_padlock": (
        (62, 14, 146),
        [
            (BOX, (0, 4.0, 0), (5.2, 4.0, 3.2), (0.86, 0.60, 0.06), 0),
            (CYLINDER, (-3.1, 10.4, 0), (1.3, 2.6, 1.3), _SILVER, 0),
            (CYLINDER, (3.1, 10.4, 0), (1.3, 2.6, 1.3), _SILVER, 0),
            (ROD, (0, 13.2, 0), (4.4, 1.4, 1.4), _SILVER, 0),
            (BOX, (0, 3.8, 0), (1.3, 2.2, 3.3), _BLACK, 0),
        ],
    ),
    "037_scissors": (
        (128, 7, 34),
        [
            (BOX, (4.8, 1.5, 1.9), (6.8, 1.3, 1.5), (0.94, 0.96, 0.98), 19),
            (BOX, (4.8, 1.5, -1.9), (6.8, 1.3, 1.5), (0.80, 0.83, 0.87), -19),
            (CYLINDER, (-0.6, 2.9, 0), (1.2, 0.3, 1.2), _BLACK, 0),
            (BOX, (-3.2, 1.6, 1.2), (2.8, 1.5, 1.2), _RED, -24),
            (BOX, (-3.2, 1.6, -1.2), (2.8, 1.5, 1.2), _RED, 24),
            (CYLINDER, (-7.6, 1.7, 4.0), (4.0, 1.6, 3.8), _RED, 0),
            (CYLINDER, (-7.6, 1.7, -4.0), (4.0, 1.6, 3.8), _RED, 0),
            (CYLINDER, (-7.6, 3.3, 4.0), (2.3, 0.1, 2.1), _BLACK, 0),
            (CYLINDER, (-7.6, 3.3, -4.0), (2.3, 0.1, 2.1), _BLACK, 0),
        ],
    ),
    "036_wood_block": (
        (68, 103, 210),
        [
            (BOX, (0, 10.5, 0), (4.6, 10.5, 4.6), _WOOD, 0),
            (BOX, (0, 17.0, 0), (4.75, 1.8, 4.75), _RED, 0),
            (BOX, (0, 4.0, 0), (4.75, 1.8, 4.75), _BLUE, 0),
        ],
    ),
    "070-a_colored_wood_blocks": (
        (63, 82, 160),
        [
            (BOX, (0, 2.8, 0), (4.4, 2.8, 4.4), _BLUE, 0),
            (BOX, (0.4, 8.2, 0.2), (3.8, 2.6, 3.8), (0.96, 0.78, 0.40), 20),
            (BOX, (-0.3, 13.4, 0), (3.2, 2.6, 3.2), _RED, -15),
        ],
    ),
    "070-b_colored_wood_blocks": (
        (91, 13, 96),
        [
            (BOX, (-4.6, 2.6, -2.4), (2.9, 2.6, 2.9), _BLUE, 10),
            (BOX, (3.2, 2.6, -2.2), (2.9, 2.6, 2.9), _RED, -12),
            (BOX, (-0.6, 2.6, 4.0), (3.2, 2.6, 2.6), _WOOD, 5),
            (BOX, (-0.8, 7.4, -1.8), (3.2, 2.2, 2.6), (0.30, 0.62, 0.30), -6),
        ],
    ),
    "035_power_drill": (
        (117, 28, 180),
        [
            (ROD, (-3.5, 14.8, 0), (7.5, 3.2, 3.0), (0.00, 0.55, 0.58), 0),
            (ROD, (5.7, 14.8, 0), (2.2, 2.2, 2.2), _BLACK, 0),
            (ROD, (9.5, 14.8, 0), (2.0, 0.8, 0.8), _SILVER, 0),
            (BOX, (-6.3, 8.0, 0), (2.4, 4.6, 2.1), (0.00, 0.45, 0.48), 0),
            (BOX, (-3.4, 10.2, 0), (0.9, 1.4, 1.2), _RED, 0),
            (BOX, (-5.7, 1.9, 0), (5.4, 1.9, 3.4), _BLACK, 0),
        ],
    ),
    "033_spatula": (
        (142, 16, 35),
        [
            (BOX, (7.8, 1.2, 0), (5.4, 1.2, 5.2), (0.50, 0.95, 0.10), 0),
            (BOX, (8.2, 1.3, 1.8), (3.4, 1.2, 0.7), (0.18, 0.35, 0.05), 0),
            (BOX, (8.2, 1.3, -1.8), (3.4, 1.2, 0.7), (0.18, 0.35, 0.05), 0),
            (ROD, (-5.0, 1.8, 0), (8.0, 1.7, 1.7), _IRON, 0),
        ],
    ),
    "032_knife": (
        (133, 8, 37),
        [
            (BOX, (2.6, 1.6, 0.4), (6.0, 1.4, 3.2), _WHITE, 0),
            (BOX, (9.4, 1.6, -0.2), (1.6, 1.4, 2.5), _WHITE, 0),
            (BOX, (11.8, 1.6, -0.9), (1.2, 1.3, 1.7), _WHITE, 0),
            (BOX, (3.4, 1.6, 3.2), (6.4, 1.0, 0.7), (0.78, 0.82, 0.86), 0),
            (BOX, (-4.2, 1.8, 0), (1.0, 1.9, 2.8), _GOLD, 0),
            (BOX, (-8.8, 1.8, 0), (4.2, 1.8, 2.2), (0.42, 0.02, 0.06), 0),
        ],
    ),
    "031_spoon": (
        (130, 10, 48),
        [
            (SPHERE, (7.6, 2.4, 0), (5.2, 2.4, 4.6), _SILVER, 0),
            (CYLINDER, (7.8, 4.2, 0), (3.0, 0.5, 2.5), (0.48, 0.50, 0.56), 0),
            (ROD, (-5.0, 2.1, 0), (7.8, 2.0, 2.0), (0.58, 0.14, 0.90), 0),
        ],
    ),
    "029_plate": (
        (120, 14, 19),
        [
            (CYLINDER, (0, 0.8, 0), (12.0, 0.8, 12.0), (0.85, 0.10, 0.12), 0),
            (CYLINDER, (0, 1.5, 0), (9.6, 0.2, 9.6), _WHITE, 0),
            (CYLINDER, (0, 1.7, 0), (6.2, 0.15, 6.2), (0.88, 0.88, 0.90), 0),
        ],
    ),
    "026_sponge": (
        (85, 9, 48),
        [
            (BOX, (0, 1.5, 0), (7.0, 1.5, 4.8), (1.00, 0.90, 0.25), 0),
            (BOX, (0, 3.9, 0), (7.0, 0.9, 4.8), (0.05, 0.50, 0.22), 0),
        ],
    ),
    "021_bleach_cleanser": (
        (53, 125, 264),
        [
            (CYLINDER, (0, 9.5, 0), (5.2, 9.5, 3.8), _WHITE, 0),
            (CYLINDER, (0, 9.0, 0), (5.3, 3.8, 3.9), (0.10, 0.40, 0.90), 0),
            (CYLINDER, (0, 20.5, 0), (2.6, 1.8, 2.4), _WHITE, 0),
            (CYLINDER, (0, 24.2, 0), (2.9, 2.2, 2.7), (0.10, 0.40, 0.90), 0),
        ],
    ),
    "018_plum": (
        (49, 27, 111),
        [
            *_round_fruit(4.9, (0.42, 0.08, 0.50)),
            (CYLINDER, (0, 10.2, 0), (0.7, 0.9, 0.7), _STALK, 0),
        ],
    ),
    "016_pear": (
        (53, 28, 154),
        [
            *_round_fruit(5.2, (0.74, 0.80, 0.16)),
            (SPHERE, (0, 9.6, 0), (3.3, 3.6, 3.3), (0.74, 0.80, 0.16), 0),
            (CYLINDER, (0, 14.0, 0), (0.7, 1.4, 0.7), _STALK, 0),
        ],
    ),
    "015_peach": (
        (58, 28, 125),
        [
            *_round_fruit(5.7, (1.00, 0.74, 0.62)),
            (SPHERE, (0, 7.0, 0), (4.9, 4.8, 4.9), (1.00, 0.52, 0.55), 0),
            (SPHERE, (-2.4, 11.8, 0), (2.6, 0.7, 1.5), _GREEN, 20),
        ],
    ),
    "013_apple": (
        (58, 36, 122),
        [
            (SPHERE, (0, 5.2, 0), (5.8, 5.2, 5.8), (0.86, 0.04, 0.06), 0),
            (CYLINDER, (0, 11.0, 0), (0.7, 1.2, 0.7), _STALK, 0),
            (SPHERE, (2.0, 11.2, 0), (2.2, 0.7, 1.3), (0.35, 0.75, 0.15), 0),
        ],
    ),
    "014_lemon": (
        (75, 27, 88),
        [
            (SPHERE, (0, 4.4, 0), (5.8, 4.4, 4.4), (1.00, 0.95, 0.10), 0),
            (SPHERE, (5.8, 4.4, 0), (1.6, 1.3, 1.3), (0.92, 0.84, 0.08), 0),
            (SPHERE, (-5.8, 4.4, 0), (1.6, 1.3, 1.3), (0.92, 0.84, 0.08), 0),
        ],
    ),
    "002_master_chef_can": ((60, 70, 152), _can(5.8, 5.8, 15.0, (0.00, 0.52, 0.16), _YELLOW)),
    "005_tomato_soup_can": ((52, 51, 131), _can(5.0, 5.0, 13.0, (0.10, 0.68, 0.22), _RED)),
    "007_tuna_fish_can": ((62, 17, 71), _can(6.0, 6.0, 7.0, (0.00, 0.62, 0.36), (0.30, 0.66, 1.00))),
    "010_potted_meat_can": ((68, 42, 107), _can(6.6, 4.8, 10.6, (0.10, 0.46, 0.08), _ORANGE)),
    "003_cracker_box": ((88, 107, 220), _carton((7.8, 11.0, 3.4), (0.80, 0.02, 0.42), _RED)),
    "004_sugar_box": ((67, 88, 200), _carton((5.6, 10.0, 3.2), (0.88, 0.10, 0.55), _YELLOW)),
    "008_pudding_box": ((90, 20, 66), _carton((7.0, 3.2, 5.6), (0.66, 0.00, 0.45), _STALK, lying=True)),
    "009_gelatin_box": ((82, 15, 62), _carton((6.4, 3.0, 5.0), (0.84, 0.02, 0.36), _GREEN, lying=True)),
    "011_banana": (
        (112, 18, 45),
        [
            (ROD, (0, 2.3, 1.2), (3.8, 2.2, 2.2), (1.00, 0.88, 0.10), 0),
            (ROD, (5.6, 2.3, -0.5), (3.2, 2.0, 2.0), (1.00, 0.88, 0.10), -36),
            (ROD, (-5.6, 2.3, -0.5), (3.2, 2.0, 2.0), (1.00, 0.88, 0.10), 36),
            (ROD, (8.8, 2.3, -3.2), (1.3, 1.4, 1.4), _STALK, -48),
            (ROD, (-8.8, 2.3, -3.2), (1.3, 1.4, 1.4), _STALK, 48),
        ],
    ),
    "012_strawberry": (
        (44, 23, 113),
        [
            (SPHERE, (0, 5.6, 0), (4.4, 3.6, 4.4), (1.00, 0.12, 0.28), 0),
            (SPHERE, (0, 3.6, 0), (3.0, 3.6, 3.0), (1.00, 0.12, 0.28), 0),
            (CYLINDER, (0, 8.9, 0), (3.7, 0.5, 3.7), (0.15, 0.70, 0.15), 0),
            (CYLINDER, (0, 10.3, 0), (0.8, 1.0, 0.8), (0.15, 0.70, 0.15), 0),
        ],
    ),
    "073-a_lego_duplo": ((66, 12, 90), _lego((0.90, 0.05, 0.05), 5.2, 3.8)),
    "073-b_lego_duplo": ((66, 22, 100), _lego((0.05, 0.30, 0.90), 5.2, 4.8)),
    "073-c_lego_duplo": ((66, 12, 90), _lego((0.00, 0.65, 0.20), 5.2, 3.8)),
    "073-d_lego_duplo": ((72, 22, 100), _lego((0.95, 0.40, 0.00), 6.0, 4.8)),
    "073-e_lego_duplo": ((72, 22, 100), _lego((0.00, 0.70, 0.85), 6.0, 4.8)),
    "073-f_lego_duplo": ((72, 22, 100), _lego((0.55, 0.10, 0.75), 6.0, 4.8)),
    "073-g_lego_duplo": ((69, 29, 114), _lego((0.96, 0.96, 0.96), 5.6, 6.2)),
    "077_rubiks_cube": (
        (68, 29, 97),
        [
            (BOX, (0, 4.8, 0), (4.8, 4.8, 4.8), _BLACK, 0),
            *(
                (BOX, (0, 4.8 + 2.35 * y, 2.35 * z), (4.85, 1.9, 1.9), colour, 0)
                for y, z, colour in ((-1, -1, _RED), (-1, 1, _GREEN), (1, -1, _BLUE), (1, 1, _WHITE))
            ),
            *(
                (BOX, (2.35 * x, 4.8 + 2.35 * y, 0), (1.9, 1.9, 4.85), colour, 0)
                for x, y, colour in ((-1, -1, _ORANGE), (-1, 1, _GREEN), (1, -1, _WHITE), (1, 1, _RED))
            ),
            *(
                (BOX, (2.35 * x, 4.8, 2.35 * z), (1.9, 4.85, 1.9), colour, 0)
                for x, z, colour in ((-1, -1, _BLUE), (-1, 1, _RED), (1, -1, _GREEN), (1, 1, _WHITE))
            ),
        ],
    ),
    "frl_apartment_book_01": ((74, 90, 191), _book(14.0, 19.0, (0.13, 0.20, 0.55))),
    "frl_apartment_book_02": ((79, 110, 231), _book(15.0, 23.0, (0.55, 0.07, 0.13))),
    "frl_apartment_book_03": ((69, 83, 176), _book(13.0, 17.5, (0.25, 0.27, 0.32))),
    "frl_apartment_book_04": ((65, 76, 167), _book(12.0, 16.5, (0.40, 0.38, 0.08))),
    "frl_apartment_book_05": ((74, 88, 186), _book(14.0, 18.5, (0.05, 0.42, 0.46))),
    "frl_apartment_book_06": ((84, 133, 261), _book(16.0, 26.0, (0.50, 0.28, 0.10))),
    "frl_apartment_bowl_01": ((87, 80, 102), _bowl(8.6, 10.0, (0.22, 0.20, 0.66), (0.95, 0.78, 0.20))),
    "frl_apartment_bowl_02": ((84, 66, 92), _bowl(8.4, 9.0, (0.14, 0.22, 0.55), (0.88, 0.30, 0.30))),
    "frl_apartment_bowl_03": ((83, 58, 86), _bowl(8.2, 8.4, (0.26, 0.16, 0.60), (0.96, 0.96, 0.97))),
    "frl_apartment_bowl_06": ((80, 37, 76), _bowl(8.0, 7.4, (0.16, 0.26, 0.68), (0.40, 0.80, 0.90))),
    "frl_apartment_bowl_07": ((86, 73, 96), _bowl(8.5, 9.4, (0.28, 0.22, 0.70), (0.98, 0.55, 0.72))),
    "024_bowl": ((87, 28, 80), _bowl(8.6, 7.8, (0.18, 0.14, 0.50), (0.30, 0.24, 0.62))),
    "065-a_cups": ((51, 31, 97), _cup(4.9, 9.6, (0.30, 0.80, 1.00), _WHITE)),
    "065-b_cups": ((53, 32, 101), _cup(5.0, 9.9, (0.36, 0.84, 1.00), _YELLOW)),
    "065-c_cups": ((54, 33, 103), _cup(5.1, 10.2, (0.30, 0.86, 0.98), _RED)),
    "065-d_cups": ((55, 34, 106), _cup(5.2, 10.5, (0.40, 0.90, 1.00), _ORANGE)),
    "065-e_cups": ((56, 36, 110), _cup(5.3, 10.8, (0.30, 0.90, 0.92), _PINK)),
    "065-f_cups": ((57, 36, 112), _cup(5.4, 11.1, (0.38, 0.95, 0.95), (0.52, 0.16, 0.80))),
    "065-g_cups": ((58, 37, 115), _cup(5.5, 11.4, (0.34, 0.92, 0.86), _BLUE)),
    "065-h_cups": ((59, 38, 118), _cup(5.6, 11.7, (0.44, 0.97, 0.90), _BLACK)),
    "065-i_cups": ((60, 38, 122), _cup(5.7, 12.0, (0.36, 0.94, 0.80), _GREEN)),
    "065-j_cups": ((61, 38, 125), _cup(5.8, 12.3, (0.46, 0.98, 0.84), _WOOD)),
    "frl_apartment_cup_01": ((55, 35, 106), _cup(5.2, 10.4, (0.50, 0.84, 1.00), (0.55, 0.58, 0.62))),
    "frl_apartment_cup_02": ((57, 47, 128), _cup(5.4, 12.6, (0.52, 0.90, 0.98), (0.70, 0.06, 0.30))),
    "frl_apartment_cup_03": ((55, 36, 110), _cup(5.2, 10.8, (0.56, 0.96, 0.96), (0.98, 0.62, 0.50))),
    "frl_apartment_cup_05": ((53, 32, 100), _cup(5.0, 9.8, (0.56, 0.97, 0.90), (0.45, 0.26, 0.12))),
    "025_mug": (
        (102, 41, 110),
        [
            (CYLINDER, (0, 5.4, 0), (5.6, 5.4, 5.6), (0.02, 0.42, 0.20), 0),
            (CYLINDER, (0, 5.4, 0), (5.7, 0.9, 5.7), _CREAM, 0),
            (CYLINDER, (0, 10.8, 0), (4.7, 0.1, 4.7), _CREAM, 0),
            (CYLINDER, (0, 10.9, 0), (3.2, 0.1, 3.2), _STALK, 0),
            (BOX, (7.4, 8.4, 0), (2.6, 0.9, 1.1), (0.02, 0.42, 0.20), 0),
            (BOX, (7.4, 2.6, 0), (2.6, 0.9, 1.1), (0.02, 0.42, 0.20), 0),
            (BOX, (9.2, 5.5, 0), (0.9, 3.8, 1.1), (0.02, 0.42, 0.20), 0),
        ],
    ),
    "017_orange": (
        (57, 36, 114),
        [
            *_round_fruit(5.6, (1.00, 0.52, 0.00)),
            (CYLINDER, (0, 11.1, 0), (1.4, 0.3, 1.4), (0.15, 0.45, 0.10), 0),
        ],
    ),
    "028_skillet_lid": (
        (115, 37, 90),
        [
            (CYLINDER, (0, 0.9, 0), (11.4, 0.9, 11.4), _SILVER, 0),
            (SPHERE, (0, 2.6, 0), (10.0, 2.6, 10.0), (0.42, 0.58, 0.66), 0),
            (CYLINDER, (0, 5.6, 0), (1.5, 1.2, 1.5), _BLACK, 0),
            (SPHERE, (0, 7.4, 0), (3.0, 1.6, 3.0), _BLACK, 0),
        ],
    ),
    "072-a_toy_airplane": ((121, 91, 96), _airplane((0.97, 0.97, 0.97))),
    "072-b_toy_airplane": ((121, 30, 96), _airplane((1.00, 0.86, 0.10))),
    "072-c_toy_airplane": ((121, 34, 96), _airplane((0.20, 0.50, 0.95))),
    "072-d_toy_airplane": ((121, 33, 96), _airplane((0.25, 0.75, 0.35))),
    "072-e_toy_airplane": ((121, 33, 96), _airplane((0.60, 0.62, 0.68))),
    "042_adjustable_wrench": (
        (136, 6, 28),
        [
            (BOX, (-2.5, 1.3, 0), (8.0, 1.3, 1.7), (0.05, 0.25, 0.85), 0),
            (CYLINDER, (-10.4, 1.3, 0), (2.6, 1.3, 2.6), (0.05, 0.25, 0.85), 0),
            (CYLINDER, (-10.4, 2.6, 0), (1.2, 0.1, 1.2), _BLACK, 0),
            (BOX, (7.2, 1.4, 0), (2.2, 1.4, 4.2), _SILVER, 0),
            (BOX, (10.8, 1.4, 3.0), (2.0, 1.4, 1.3), _SILVER, 0),
            (BOX, (10.8, 1.4, -2.4), (2.0, 1.4, 1.3), _SILVER, 0),
        ],
    ),
}


def _shape(rest_height: int, parts: list[Part]) -> Rows:
    """Rows in metres about the asset's origin."""
    metres = [
        (kind, tuple(value / 100 for value in at), tuple(value / 100 for value in half), colour, turn)
        for kind, at, half, colour, turn in parts
    ]
    rows = built(metres)
    rows[:, Y] -= rest_height / 1000
    return rows


ASSET_SIZES: dict[str, AssetSize] = {asset: AssetSize(*_TABLE[asset][0]) for asset in CATEGORY_OF}
"""Asset → its footprint's radius, its origin's height and its top's, millimetres."""

ASSET_SHAPES: dict[str, Rows] = {
    asset: _shape(ASSET_SIZES[asset].rest_height, _TABLE[asset][1]) for asset in CATEGORY_OF
}
"""Asset → float32 [p, WIDTH] about its origin, which is `AssetSize.rest_height` above what it stands on."""
