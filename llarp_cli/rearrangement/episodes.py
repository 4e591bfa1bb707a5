"""Task, arrangement and episode: what is asked, what stands where, and the two together.

A task knows no simulator; an arrangement knows no task; an episode is one of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Required:
    """An object that must exist for a task.

    Attributes:
        category: its category.
        receptacle: where it must start; None where any surface but `avoid` will do.
        avoid: surfaces it must not start on.
    """

    category: str
    receptacle: str | None = None
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """What is asked, independent of any simulator.

    Attributes:
        family: e.g. "move".
        slots: slot name → category or receptacle, e.g. {"object": "apple", "target": "sofa"}.
        instruction: the sentence.
        wording: which sentence of the family's list it was made from, e.g. "train-3" or "held-out-1".
        required: the objects that must exist.
        joints: joint values at the start that differ from closed, by joint name.
        goal: the goal expression (see `goals`), names as in `vocabulary`.
        unique: categories of which exactly the required instances may exist.
        start_away: whether the robot must start out of reach of the target and of the required objects.
        relation: a key of `relations.RELATIONS` that must single out the target in the scene; "" for none.
    """

    family: str
    slots: dict[str, str]
    instruction: str
    wording: str
    required: tuple[Required, ...]
    goal: dict[str, Any]
    joints: dict[str, float] = field(default_factory=dict)
    unique: tuple[str, ...] = ()
    start_away: bool = False
    relation: str = ""


@dataclass(frozen=True)
class PlacedObject:
    """An object at its start.

    Attributes:
        asset: asset name (a key of `vocabulary.CATEGORY_OF`).
        position: x, y, z of its origin in integer millimetres (y up, floor at 0).
        yaw: heading in integer millidegrees, from +x toward +z.
        receptacle: the receptacle it starts on.
        rotation: how a released episode stores it, in full: a quaternion x, y, z, w in millionths; None for upright,
            turned by `yaw`. Where things can only stand upright, `yaw` is what counts.
    """

    asset: str
    position: tuple[int, int, int]
    yaw: int
    receptacle: str
    rotation: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Arrangement:
    """What stands where at the start of an episode; all integers, so that it can be hashed.

    Attributes:
        scene: the name of the scene, e.g. "home-17" (procedural) or "v3_sc3_staging_00" (released layout).
        objects: in the order in which skills look for an instance (alphabetical by asset).
        joints: one value per `vocabulary.JOINTS`, in millimetres (drawers) or milliradians (fridge).
        robot: x, z in millimetres and heading in millidegrees.
    """

    scene: str
    objects: tuple[PlacedObject, ...]
    joints: tuple[int, ...]
    robot: tuple[int, int, int]


@dataclass(frozen=True)
class Episode:
    """A task in an arrangement: one line of an episode file.

    Attributes:
        id: unique within its split, e.g. "rephrasing-0012".
        split: the split it belongs to.
    """

    id: str
    split: str
    family: str
    instruction: str
    slots: dict[str, str]
    goal: dict[str, Any]
    arrangement: Arrangement
