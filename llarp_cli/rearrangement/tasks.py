"""The instruction families: what each asks, which objects it needs, and when it is done.

A task is made from draws alone, so that task i of a split can be rebuilt at any time from (split, seed, i).
Every category a task names has exactly the instances the task asks for, so that "the apple" is clear.

The families are those of the reference release (Szot et al. 2024, appendix): nine that are trained on, and
eight that only evaluation asks for. `FAMILIES` says what each asks; goals are written as in `goals`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llarp_cli.errors import UsageProblem, unknown
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episodes import Required, Task
from llarp_cli.rearrangement.instructions import instruction
from llarp_cli.rearrangement.relations import RELATIONS
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, OPEN_JOINT, SURFACES, TRAIN_CATEGORIES
from llarp_cli.rearrangement.wordings import LOOKS, NEEDS

Pool = Sequence[str]

FRIDGE_OPEN = {"fridge": OPEN_JOINT[JOINTS.index("fridge")]}


@dataclass(frozen=True)
class Asked:
    """A task without its sentence.

    Attributes:
        slots, required, goal, unique, joints, start_away, relation: as in `Task`.
    """

    slots: dict[str, str]
    goal: dict[str, Any]
    required: tuple[Required, ...] = ()
    unique: tuple[str, ...] = ()
    joints: dict[str, float] = field(default_factory=dict)
    start_away: bool = False
    relation: str = ""


@dataclass(frozen=True)
class Family:
    """An instruction family.

    Attributes:
        asks: what it asks, in one line.
        make: (categories it may name, draws) → what is asked.
        objects: how many categories a task names.
        categories: which categories it may name.
        weight: how often it comes, beside other families.
        trained: whether it is trained on; the others have held-out sentences alone.
    """

    asks: str
    make: Callable[[Pool, Draws], Asked]
    objects: int = 1
    categories: tuple[str, ...] = CATEGORIES
    weight: int = 1
    trained: bool = False


def exists(objects: Sequence[tuple[str, str]], connective: str, *terms: str) -> dict[str, Any]:
    """The goal node "there are such objects, all different, that ...".

    Args:
        objects: (name, category) of each.
        connective: AND, OR, NAND or NOR.
        terms: predicates over the names.
    """
    return _quantified("EXISTS", objects, connective, terms)


def _quantified(
    quantifier: str, objects: Sequence[tuple[str, str]], connective: str, terms: Sequence[str]
) -> dict[str, Any]:
    return {
        "expr_type": connective,
        "quantifier": quantifier,
        "inputs": [{"name": name, "expr_type": category} for name, category in objects],
        "sub_exprs": list(terms),
    }


def _brought(category: str, target: str) -> dict[str, Any]:
    """The goal "one of these lies on the target, and the hand is empty"."""
    return exists([("X", category)], "AND", f"on_top(X, {target})", "not_holding()")


def _all_brought(category: str, target: str) -> dict[str, Any]:
    """The goal "every one of these lies on the target, and the hand is empty"."""
    return _quantified("FORALL", [("X", category)], "AND", (f"on_top(X, {target})", "not_holding()"))


def _move(pool: Pool, draws: Draws) -> Asked:
    category = draws.choice(pool)
    source, target = draws.sample(SURFACES, 2)
    return Asked(
        {"object": category, "source": source, "target": target},
        _brought(category, target),
        (Required(category, source),),
        (category,),
    )


def _fetch(pool: Pool, draws: Draws) -> Asked:
    category, target = draws.choice(pool), draws.choice(SURFACES)
    return Asked(
        {"object": category, "target": target},
        _brought(category, target),
        (Required(category, avoid=(target,)),),
        (category,),
    )


def _put_away(pool: Pool, draws: Draws) -> Asked:
    category, source = draws.choice(pool), draws.choice(SURFACES)
    moved = exists([("X", category)], "NAND", f"on_top(X, {source})")
    return Asked(
        {"object": category, "source": source},
        {"expr_type": "AND", "sub_exprs": ["not_holding()", moved]},
        (Required(category, source),),
        (category,),
    )


def _two_objects(pool: Pool, draws: Draws) -> Asked:
    first, second = draws.sample(pool, 2)
    target = draws.choice(SURFACES)
    goal = exists([("X", first), ("Y", second)], "AND", f"on_top(X, {target})", f"on_top(Y, {target})", "not_holding()")
    return Asked(
        {"object1": first, "object2": second, "target": target},
        goal,
        (Required(first, avoid=(target,)), Required(second, avoid=(target,))),
        (first, second),
    )


def _swap(pool: Pool, draws: Draws) -> Asked:
    first, second = draws.sample(pool, 2)
    here, there = draws.sample(SURFACES, 2)
    goal = exists([("X", first), ("Y", second)], "AND", f"on_top(X, {there})", f"on_top(Y, {here})", "not_holding()")
    return Asked(
        {"object1": first, "source1": here, "object2": second, "source2": there},
        goal,
        (Required(first, here), Required(second, there)),
        (first, second),
    )


def _open_fridge(pool: Pool, draws: Draws) -> Asked:
    return Asked({}, {"expr_type": "AND", "sub_exprs": ["opened_fridge(fridge)"]})


def _close_fridge(pool: Pool, draws: Draws) -> Asked:
    return Asked({}, {"expr_type": "AND", "sub_exprs": ["closed_fridge(fridge)"]}, joints=FRIDGE_OPEN)


def _go_to(pool: Pool, draws: Draws) -> Asked:
    target = draws.choice(SURFACES)
    return Asked({"target": target}, {"expr_type": "AND", "sub_exprs": [f"robot_at({target})"]}, start_away=True)


def _find(pool: Pool, draws: Draws) -> Asked:
    category = draws.choice(pool)
    goal = exists([("X", category)], "AND", "robot_at(X)")
    return Asked({"object": category}, goal, (Required(category),), (category,), start_away=True)


def _context(pool: Pool, draws: Draws) -> Asked:
    asked = _fetch(pool, draws)
    # What would serve the need as well is not in the home, so that one category alone is right.
    return replace(asked, unique=(*asked.unique, *NEEDS[asked.slots["object"]].instead))


def _distraction(pool: Pool, draws: Draws) -> Asked:
    asked = _fetch(pool, draws)
    other = draws.choice([category for category in pool if category != asked.slots["object"]])
    return replace(asked, slots={**asked.slots, "other": other})


def _spatial(pool: Pool, draws: Draws) -> Asked:
    relation = draws.choice(list(RELATIONS))
    target = draws.choice(RELATIONS[relation].targets)
    category = draws.choice(pool)
    source = draws.choice([surface for surface in SURFACES if surface != target])
    return Asked(
        {"object": category, "source": source, "target": target},
        _brought(category, target),
        (Required(category, source),),
        (category,),
        relation=relation,
    )


def _three_objects(pool: Pool, draws: Draws) -> Asked:
    categories, targets = draws.sample(pool, 3), draws.sample(SURFACES, 3)
    told = bool(draws.below(2))
    slots: dict[str, str] = {}
    required: list[Required] = []
    for i, (category, target) in enumerate(zip(categories, targets, strict=True), start=1):
        slots[f"object{i}"] = category
        if told:
            taken = {target, *(one.receptacle for one in required)}
            slots[f"source{i}"] = draws.choice([surface for surface in SURFACES if surface not in taken])
        slots[f"target{i}"] = target
        required.append(Required(category, slots.get(f"source{i}"), avoid=(target,)))
    terms = [f"on_top({name}, {target})" for name, target in zip("XYZ", targets, strict=True)]
    goal = exists(list(zip("XYZ", categories, strict=True)), "AND", *terms, "not_holding()")
    return Asked(slots, goal, tuple(required), tuple(categories))


def _all_of_kind(pool: Pool, draws: Draws) -> Asked:
    category, target = draws.choice(pool), draws.choice(SURFACES)
    return Asked(
        {"object": category, "target": target},
        _all_brought(category, target),
        (Required(category, avoid=(target,)),) * draws.between(2, 3),
        (category,),
    )


def _all_from(pool: Pool, draws: Draws) -> Asked:
    category = draws.choice(pool)
    source = draws.choice([surface for surface in SURFACES if surface != "sink"])  # too small for three hammers
    target = draws.choice([surface for surface in SURFACES if surface != source])
    return Asked(
        {"object": category, "source": source, "target": target},
        _all_brought(category, target),
        (Required(category, source),) * draws.between(2, 3),
        (category,),
    )


def _if_fridge(pool: Pool, draws: Draws) -> Asked:
    first, second = draws.sample(pool, 2)
    target, here, there = draws.sample(SURFACES, 3)
    is_open = bool(draws.below(2))
    terms = ("opened_fridge(fridge)", f"on_top(X, {target})", f"on_top(Y, {there})")
    if not is_open:
        terms = ("closed_fridge(fridge)", f"on_top(X, {here})", f"on_top(Y, {target})")
    return Asked(
        {"object1": first, "object2": second, "target": target},
        exists([("X", first), ("Y", second)], "AND", *terms, "not_holding()"),
        (Required(first, here), Required(second, there)),
        (first, second),
        joints=FRIDGE_OPEN if is_open else {},
    )


def _trained(
    asks: str, make: Callable[[Pool, Draws], Asked], weight: int, objects: int = 1, categories: Pool = CATEGORIES
) -> Family:
    return Family(asks, make, objects, tuple(categories), weight, trained=True)


FAMILIES: dict[str, Family] = {
    "move": _trained("carry an object from a named surface to another", _move, 4, categories=TRAIN_CATEGORIES),
    "fetch": _trained("find an object and bring it to a named surface", _fetch, 4, categories=TRAIN_CATEGORIES),
    "put_away": _trained("take an object off a named surface, anywhere else will do", _put_away, 4),
    "two_objects": _trained("bring two objects to one surface", _two_objects, 4, objects=2),
    "swap": _trained("let two objects on two surfaces change places", _swap, 4, objects=2),
    "open_fridge": _trained("open the fridge", _open_fridge, 1, objects=0),
    "close_fridge": _trained("close the fridge", _close_fridge, 1, objects=0),
    "go_to": _trained("go to a named surface", _go_to, 1, objects=0),
    "find": _trained("find an object and stand before it", _find, 1, categories=TRAIN_CATEGORIES),
    "refer": Family("fetch an object that is described by its look", _fetch, categories=tuple(LOOKS)),
    "context": Family("fetch the one object that serves a described need", _context, categories=tuple(NEEDS)),
    "distraction": Family("fetch, beside words that do not matter", _distraction, categories=TRAIN_CATEGORIES),
    "spatial": Family("move to a surface given by where it stands", _spatial, categories=TRAIN_CATEGORIES),
    "three_objects": Family("bring three objects to three surfaces", _three_objects, objects=3),
    "all_of_kind": Family("bring every object of a category to a surface", _all_of_kind),
    "all_from": Family("move every object of a category from a surface to another", _all_from),
    "if_fridge": Family(
        "bring one object if the fridge is open, another if not", _if_fridge, objects=2, categories=TRAIN_CATEGORIES
    ),
}
"""Name → family, in the order of every table."""

TRAINED: tuple[str, ...] = tuple(name for name, family in FAMILIES.items() if family.trained)


def by_weight(families: Sequence[str]) -> tuple[str, ...]:
    """Families in a round in which each comes as often as its weight says, evenly spread."""
    weights = [FAMILIES[family].weight for family in families]
    shared = math.gcd(*weights)
    turns = [
        ((2 * turn + 1) * shared / weight, i) for i, weight in enumerate(weights) for turn in range(weight // shared)
    ]
    return tuple(families[i] for _, i in sorted(turns))


def make_task(family: str, draws: Draws, wordings: str = "train", categories: Sequence[str] = ()) -> Task:
    """A random task of a family.

    Args:
        family: a key of FAMILIES.
        draws: where randomness comes from; the same draws give the same task.
        wordings: "train", "held_out" or "synonyms" (training sentences, surfaces by names never trained on).
        categories: name only these; empty for all that the family names.

    Raises:
        UsageProblem: family or wordings are not known, or too few categories are left.
    """
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    kind = FAMILIES[family]
    pool = tuple(categories) or kind.categories
    if len(pool) < kind.objects:
        raise UsageProblem(
            f"family '{family}' needs {kind.objects} categories to choose from, got {len(pool)}",
            "give it more categories",
        )
    asked = kind.make(pool, draws)
    sentence, wording = instruction(family, asked.slots, wordings, draws, asked.relation)
    return Task(
        family,
        asked.slots,
        sentence,
        wording,
        asked.required,
        asked.goal,
        asked.joints,
        asked.unique,
        asked.start_away,
        asked.relation,
    )
