"""What colours a home has: a scheme for everything of cloth, and kitchens, woods and paints to go with it.

Tables name furniture by its colour ("the black table"), so those woods vary only a little. Cloth, fronts and walls
are muted everywhere, so that objects, which are not, stand out against them.
"""

from __future__ import annotations

from dataclasses import dataclass

from llarp_cli.home.primitives import Colour
from llarp_cli.rearrangement.draws import Draws


@dataclass(frozen=True)
class Style:
    """The colours of a home's furniture, by the names that `furniture.PARTS` calls them."""

    sofa: Colour = (0.29, 0.41, 0.55)
    seat: Colour = (0.36, 0.49, 0.63)
    pillow: Colour = (0.92, 0.76, 0.50)
    throw: Colour = (0.90, 0.87, 0.79)
    rug: Colour = (0.86, 0.80, 0.70)
    border: Colour = (0.33, 0.44, 0.57)
    curtain: Colour = (0.90, 0.88, 0.82)
    chair: Colour = (0.85, 0.58, 0.28)
    front: Colour = (0.92, 0.89, 0.81)
    panel: Colour = (0.86, 0.82, 0.73)
    carcass: Colour = (0.78, 0.74, 0.66)
    worktop: Colour = (0.43, 0.44, 0.47)
    tiles: Colour = (0.92, 0.93, 0.91)
    grout: Colour = (0.80, 0.81, 0.80)
    black: Colour = (0.17, 0.17, 0.20)
    inlay: Colour = (0.13, 0.13, 0.155)
    brown: Colour = (0.58, 0.36, 0.18)
    brown_dark: Colour = (0.45, 0.27, 0.13)
    oak: Colour = (0.86, 0.79, 0.67)
    oak_dark: Colour = (0.74, 0.66, 0.54)
    fridge: Colour = (0.74, 0.77, 0.80)
    fridge_dark: Colour = (0.60, 0.63, 0.67)
    pot: Colour = (0.68, 0.40, 0.28)
    shade: Colour = (0.98, 0.93, 0.77)
    accent: Colour = (0.93, 0.90, 0.83)
    accent_wall: int = -1
    """Which outer wall has the accent's colour; none if there is no such wall."""
    art_ground: Colour = (0.90, 0.86, 0.77)
    art_shape: Colour = (0.36, 0.47, 0.50)
    art_sun: Colour = (0.88, 0.58, 0.34)


USUAL = Style()

# One scheme a line: sofa, its seat, pillows, throw, rug and its border, curtains, chair.
_CLOTH = (
    "4a698c 5c7da1 ebc280 e6dec9 dbccb2 547091 e6e0d1 d99447",  # navy
    "70856b 85997d e8d6b5 c78c66 d6c9ab 809175 ccd4ba cc9e6b",  # sage
    "a89982 bdad96 b27057 7a8c87 a36b59 dbc7a8 d6b899 a37057",  # oatmeal
    "9c614f b0735e edd9b5 6b8080 e3cfb0 996352 e8d9c2 738a87",  # terracotta
    "595c63 6e7078 d9ad66 ccc9c2 bdbab2 696b73 c2c4c7 d1a866",  # graphite
    "755c73 8c7087 e0c4bd d6ccc2 d1b8b2 7d6378 d9c4cc a38094",  # mauve
    "426b6e 548082 e6b899 e6decc dec9b5 4f7578 d1ded9 d6997a",  # teal
    "ad857d c49c91 ede0cc 859185 e6d4c2 b28a82 ebd6cc 8f998a",  # rose
    "8a8057 a19469 e6d4ad 9e664c dbc99e 8c8059 e3d4ab a86b4c",  # olive
    "738091 8794a6 c99480 e0d9cc b2bac4 dbd6cc ccd4e0 c79985",  # slate
)
# One picture a line: its ground, the hills on it, its sun.
_ART = (
    "e6dbc4 5c7880 e09457",
    "c2d4db 708a66 f2d68a",
    "ede6d9 a86b57 4c5766",
    "576b85 8f94a3 f0e6c7",
    "e6c7b2 856170 f2ebd6",
)
_FRONTS = "ebe3cf 99ad94 8aa1b2 f0f0eb b8b2a8 c9a38a 617387 d1b082"
_WORKTOPS = "6e7078 8f8d8a 4a4c52 5c6670"
_TILES = "edf0eb e0d9c7 ccd9db d6ded1"
_BLACKS = "2b2b33 242426 332e2e"
_BROWNS = "945c2e 824f2b a1693b"
_OAKS = "dbc9ab d1b894 e6e3db b3a494"
_FRIDGES = "bdc4cc ebebe8 b0ccbf ede0bf"
_POTS = "ad6647 dbd6cc 617380"
_SHADES = "faedc4 f7e0b8 f2f2e6"


def _colours(text: str) -> tuple[Colour, ...]:
    """Colours written as on the web, in 0..1."""
    return tuple(tuple(int(word[i : i + 2], 16) / 255 for i in (0, 2, 4)) for word in text.split())


def _darker(colour: Colour, share: float) -> Colour:
    red, green, blue = colour
    return red * share, green * share, blue * share


def drawn(draws: Draws) -> Style:
    """A style in which everything goes together."""
    sofa, seat, pillow, throw, rug, border, curtain, chair = _colours(draws.choice(_CLOTH))
    art_ground, art_shape, art_sun = _colours(draws.choice(_ART))
    front, worktop, tiles, black, brown, oak, fridge, pot, shade = (
        draws.choice(_colours(table))
        for table in (_FRONTS, _WORKTOPS, _TILES, _BLACKS, _BROWNS, _OAKS, _FRIDGES, _POTS, _SHADES)
    )
    # One wall in the colour of the rug's border, in every other home.
    accent = tuple((3 * value + 2) / 5 for value in border)
    return Style(
        accent=accent,
        accent_wall=draws.below(8),
        sofa=sofa,
        seat=seat,
        pillow=pillow,
        throw=throw,
        rug=rug,
        border=border,
        curtain=curtain,
        chair=chair,
        front=front,
        panel=_darker(front, 0.94),
        carcass=_darker(front, 0.80),
        worktop=worktop,
        tiles=tiles,
        grout=_darker(tiles, 0.88),
        black=black,
        inlay=_darker(black, 0.78),
        brown=brown,
        brown_dark=_darker(brown, 0.76),
        oak=oak,
        oak_dark=_darker(oak, 0.85),
        fridge=fridge,
        fridge_dark=_darker(fridge, 0.82),
        pot=pot,
        shade=shade,
        art_ground=art_ground,
        art_shape=art_shape,
        art_sun=art_sun,
    )
