"""What a sentence asks, as the searching planner takes it: from the family and the slots alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from llarp_cli.rearrangement.vocabulary import CATEGORIES, RECEPTACLES, SURFACES, TARGETS

MAX_WANTS = 3


class Want(NamedTuple):
    """An object to be brought somewhere, by index.

    Attributes:
        category: of the object.
        source: the receptacle where it is, -1 where the sentence does not tell.
        target: the receptacle where it is to go, -1 where it only has to be found.
    """

    category: int
    source: int
    target: int


@dataclass(frozen=True)
class Orders:
    """What one sentence asks.

    Attributes:
        wants: at most three.
        every: of each category wanted, all objects are meant, however many.
        bring: the objects are to be picked up and brought, not only found.
        go_to: the navigation target to go to, -1 for none.
        door: whether the fridge is to be open, 1, or closed, 0; -1 where it does not matter.
        conditional: the first want counts if the fridge is open, the second if it is closed, and it stays so.
    """

    wants: tuple[Want, ...]
    every: bool = False
    bring: bool = True
    go_to: int = -1
    door: int = -1
    conditional: bool = False


def orders(family: str, slots: Mapping[str, str]) -> Orders:
    """Read slots; those of families that are not known are read like those of the known ones.

    Args:
        family: e.g. "swap".
        slots: slot name → category or receptacle. What makes no sense in its slot is passed over.
    """
    found = []
    for number in ("", "1", "2", "3"):
        if slots.get(f"object{number}") in CATEGORIES:
            source = slots.get(f"source{number}")
            target = slots.get(f"target{number}") or slots.get("target")
            if family == "swap":
                target = slots.get({"1": "source2", "2": "source1"}.get(number, ""))
            if target not in RECEPTACLES:  # anywhere else will do: the first surface that is not it
                target = next(surface for surface in SURFACES if surface != source)
            found.append(
                Want(
                    CATEGORIES.index(slots[f"object{number}"]),
                    RECEPTACLES.index(source) if source in RECEPTACLES else -1,
                    RECEPTACLES.index(target) if family != "find" else -1,
                )
            )
    target = slots.get("target")
    return Orders(
        wants=tuple(found[:MAX_WANTS]),
        every=family in ("all_of_kind", "all_from"),
        bring=family != "find" and bool(found),
        go_to=TARGETS.index(target) if not found and target in RECEPTACLES else -1,
        door={"open_fridge": 1, "close_fridge": 0}.get(family, -1),
        conditional=family == "if_fridge" and len(found) >= 2,
    )
