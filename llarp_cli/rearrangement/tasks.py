"""The instruction families: what each asks, which objects it needs, and when it is done.

A task is made from draws alone, so that task i of a split can be rebuilt at any time from (split, seed, i).
Every category a task names has exactly the instances the task asks for, so that "the apple" is clear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llarp_cli.errors import UsageProblem, unknown
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episodes import Required, Task
from llarp_cli.rearrangement.instructions import instruction
from llarp_cli.rearrangement.vocabulary import CATEGORIES, SURFACES, TRAIN_CATEGORIES

Pool = Sequence[str]


@dataclass(frozen=True)
class Asked:
    """A task without its sentence.

    Attributes:
        slots, required, goal, unique: as in `Task`.
    """

    slots: dict[str, str]
    required: tuple[Required, ...]
    goal: dict[str, Any]
    unique: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """An instruction family.

    Attributes:
        asks: what it asks, in one line.
        objects: how many categories a task names.
        categories: which categories it may name in training.
        make: (categories it may name, draws) → what is asked.
    """

    asks: str
    objects: int
    categories: tuple[str, ...]
    make: Callable[[Pool, Draws], Asked]


def exists(objects: Sequence[tuple[str, str]], connective: str, *terms: str) -> dict[str, Any]:
    """The goal node "there are such objects, all different, that ...".

    Args:
        objects: (name, category) of each.
        connective: AND, OR, NAND or NOR.
        terms: predicates over the names.
    """
    return {
        "expr_type": connective,
        "quantifier": "EXISTS",
        "inputs": [{"name": name, "expr_type": category} for name, category in objects],
        "sub_exprs": list(terms),
    }


def _brought(category: str, target: str) -> dict[str, Any]:
    """The goal "one of these lies on the target, and the hand is empty"."""
    return exists([("X", category)], "AND", f"on_top(X, {target})", "not_holding()")


def _move(pool: Pool, draws: Draws) -> Asked:
    category = draws.choice(pool)
    source, target = draws.sample(SURFACES, 2)
    return Asked(
        {"object": category, "source": source, "target": target},
        (Required(category, source),),
        _brought(category, target),
        (category,),
    )


def _fetch(pool: Pool, draws: Draws) -> Asked:
    category, target = draws.choice(pool), draws.choice(SURFACES)
    return Asked(
        {"object": category, "target": target},
        (Required(category, avoid=(target,)),),
        _brought(category, target),
        (category,),
    )


def _put_away(pool: Pool, draws: Draws) -> Asked:
    category, source = draws.choice(pool), draws.choice(SURFACES)
    moved = exists([("X", category)], "NAND", f"on_top(X, {source})")
    return Asked(
        {"object": category, "source": source},
        (Required(category, source),),
        {"expr_type": "AND", "sub_exprs": ["not_holding()", moved]},
        (category,),
    )


def _two_objects(pool: Pool, draws: Draws) -> Asked:
    first, second = draws.sample(pool, 2)
    target = draws.choice(SURFACES)
    goal = exists([("X", first), ("Y", second)], "AND", f"on_top(X, {target})", f"on_top(Y, {target})", "not_holding()")
    return Asked(
        {"object1": first, "object2": second, "target": target},
        (Required(first, avoid=(target,)), Required(second, avoid=(target,))),
        goal,
        (first, second),
    )


FAMILIES: dict[str, Family] = {
    "move": Family("carry an object from a named surface to another", 1, TRAIN_CATEGORIES, _move),
    "fetch": Family("find an object and bring it to a named surface", 1, TRAIN_CATEGORIES, _fetch),
    "put_away": Family("take an object off a named surface, anywhere else will do", 1, CATEGORIES, _put_away),
    "two_objects": Family("bring two objects to one surface", 2, CATEGORIES, _two_objects),
}
"""Name → family, in the order of every table."""


def make_task(family: str, draws: Draws, wordings: str = "train", categories: Sequence[str] = ()) -> Task:
    """A random task of a family.

    Args:
        family: a key of FAMILIES.
        draws: where randomness comes from; the same draws give the same task.
        wordings: "train", "held_out" or "synonyms" (training sentences, surfaces by names never trained on).
        categories: name only these; empty for all that the family names in training.

    Raises:
        UsageProblem: family or wordings are not known, or too few categories are left.
    """
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    kind = FAMILIES[family]
    pool = [category for category in kind.categories if category in categories] if categories else kind.categories
    if len(pool) < kind.objects:
        raise UsageProblem(
            f"family '{family}' needs {kind.objects} categories to choose from, got {len(pool)}",
            "give it more categories; mug, orange, lid, toy airplane and wrench are held out of move and fetch",
        )
    asked = kind.make(pool, draws)
    sentence, wording = instruction(family, asked.slots, wordings, draws)
    return Task(family, asked.slots, sentence, wording, asked.required, asked.goal, unique=asked.unique)
