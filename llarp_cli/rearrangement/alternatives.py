"""The ways in which a goal can come true: each a list of facts, all of which must be so.

A goal's quantifiers are expanded over the objects of a home, its negations pushed down to the facts, and
what remains is written as alternatives (disjunctive normal form). The planner and the subgoals work on these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llarp_cli.rearrangement.facts import Facts
from llarp_cli.rearrangement.goals import (
    AT_OBJECT,
    AT_TARGET,
    CLOSED,
    HOLDING,
    NOT_HOLDING,
    ON,
    OPENED,
    Goal,
    Predicate,
    bindings,
    fact,
    instances_of,
)

MAX_ALTERNATIVES = 10_000
"""Of more, only those are kept for which the fewest facts have to change."""


class Fact(NamedTuple):
    """Something that is so or not.

    Attributes:
        kind: ON, HOLDING, NOT_HOLDING, OPENED, CLOSED, AT_TARGET or AT_OBJECT of `goals`.
        thing: an object (ON, HOLDING, AT_OBJECT), a joint or a target; 0 for NOT_HOLDING.
        place: a receptacle, for ON; else 0.
    """

    kind: int
    thing: int
    place: int


Alternative = dict[Fact, bool]
"""Facts, and whether each is to be so."""


def alternatives(
    goal: Goal, categories: Sequence[int] | NDArray[np.integer], facts: Facts, home: int
) -> list[Alternative]:
    """The ways in which a goal can come true, those first for which fewer facts have to change.

    Args:
        goal: from `goals.parse`.
        categories: of the home's objects, index into CATEGORIES; negative for padding.
        facts: of the present state, and which home of them this is.

    Returns:
        Alternatives; none where the goal cannot be true, an empty one where it is true always.

    Raises:
        UsageProblem: the quantifiers expand to too many terms.
    """
    return _Ways(instances_of(categories), facts, home).of(goal)


def is_so(fact: Fact, facts: Facts, home: int) -> bool:
    """Whether a fact is so now."""
    kind, thing, place = fact
    if kind == ON:
        return bool(facts.on[home, thing, place])
    if kind in (HOLDING, NOT_HOLDING):
        return bool(facts.held[home] == (thing if kind == HOLDING else -1))
    values = {OPENED: facts.opened, CLOSED: facts.closed, AT_TARGET: facts.at_target, AT_OBJECT: facts.at_object}
    return bool(values[kind][home, thing])


class _Ways:
    """Expands goals over one home's objects."""

    def __init__(self, instances: Mapping[str, list[int]], facts: Facts, home: int):
        self._instances, self._facts, self._home = instances, facts, home
        self._now: dict[Fact, bool] = {}

    def of(self, goal: Goal) -> list[Alternative]:
        return self._sorted(self._node(goal, True, {}))

    def _node(self, goal: Goal, wanted: bool, bound: dict[str, int]) -> list[Alternative]:
        if goal.quantifier is None:
            return self._body(goal, wanted, bound)
        names = [name for name, _ in goal.inputs]
        parts = (
            self._body(goal, wanted, {**bound, **dict(zip(names, objects, strict=True))})
            for objects in bindings(goal, self._instances)
        )
        return self._every(parts) if (goal.quantifier == "FORALL") == wanted else self._any(parts)

    def _body(self, goal: Goal, wanted: bool, bound: dict[str, int]) -> list[Alternative]:
        truth = wanted != (goal.connective in ("NAND", "NOR"))
        parts = (self._term(term, truth, bound) for term in goal.terms)
        return self._every(parts) if (goal.connective in ("AND", "NAND")) == truth else self._any(parts)

    def _term(self, term: Goal | Predicate, wanted: bool, bound: dict[str, int]) -> list[Alternative]:
        return self._node(term, wanted, bound) if isinstance(term, Goal) else [{Fact(*fact(term, bound)): wanted}]

    def _any(self, parts: Iterator[list[Alternative]]) -> list[Alternative]:
        return self._fewest([one for part in parts for one in part])

    def _every(self, parts: Iterator[list[Alternative]]) -> list[Alternative]:
        found: list[Alternative] = [{}]
        for part in parts:
            few = self._fewest(part, max(MAX_ALTERNATIVES // max(len(found), 1), 1))
            joined = [
                {**one, **other}
                for one in found
                for other in few
                if all(one.get(fact, wanted) == wanted for fact, wanted in other.items())
            ]
            found = joined if len(few) == 1 else list({frozenset(one.items()): one for one in joined}.values())
        return found

    def _fewest(self, found: list[Alternative], limit: int = MAX_ALTERNATIVES) -> list[Alternative]:
        return found if len(found) <= limit else self._sorted(found)[:limit]

    def _sorted(self, found: list[Alternative]) -> list[Alternative]:
        return sorted(found, key=lambda one: sum(self._is_so(fact) != wanted for fact, wanted in one.items()))

    def _is_so(self, fact: Fact) -> bool:
        if fact not in self._now:
            self._now[fact] = is_so(fact, self._facts, self._home)
        return self._now[fact]
