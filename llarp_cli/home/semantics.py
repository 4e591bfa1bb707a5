"""Ids in semantic pictures: what each pixel shows.

    0, 1, 2, ...   a small object: its index in the arrangement
    -1             nothing
    -2, -3, ...    what stands fixed: `SEMANTIC_IDS`

The counter's two parts and its sink are one piece, "kitchen counter"; a drawer's own box and front have the
drawer's name.
"""

from __future__ import annotations

from llarp_cli.home.primitives import OWNER, Rows

_NAMES = (
    "floor",
    "ceiling",
    "wall",
    "robot",
    "chair",
    "black table",
    "brown table",
    "TV stand",
    "sofa",
    "kitchen counter",
    "left drawer",
    "middle drawer",
    "right drawer",
    "bottom drawer",
    "fridge",
    "fridge door",
    "splashback",
    "left cupboards",
    "right cupboards",
    "hood",
    "rug",
    "sofa rug",
    "mat",
    "lamp",
    "plant",
    "picture",
    "print",
    "clock",
    "window",
    "TV panel",
    "TV",
    "door",
    "pendant",
    "shelf",
)

SEMANTIC_IDS: dict[str, int] = {name: -2 - i for i, name in enumerate(_NAMES)}
"""Name of a fixed thing → its id."""

SEMANTIC_NAMES: dict[int, str] = {number: name for name, number in SEMANTIC_IDS.items()}
"""The other way round."""


def labelled(rows: Rows, name: str) -> Rows:
    """The same rows, shown under a name in semantic pictures."""
    rows[:, OWNER] = SEMANTIC_IDS[name]
    return rows
