"""The reward: success, subgoals in any order, and a price for skills that cannot be used.

Success pays once and ends the episode. Subgoals pay `SUBGOAL_PAY` in all, each an equal share, once: they
are the holdings, placements and joint changes of a plan that carries the instruction out, read off the goal
and the start (Szot et al. 2024, appendix; there they also come from a reference plan, navigation included).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llarp_cli.config import RewardOptions
from llarp_cli.rearrangement.execution import FIRST_RECEPTACLE
from llarp_cli.rearrangement.facts import Facts
from llarp_cli.rearrangement.goals import Goal, Predicate
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES, TARGETS

SUBGOAL_PAY = 5.0
"""All of an episode's subgoals together."""

MAX_SUBGOALS = 24

HOLD, ON, OFF, OPENED, CLOSED, AT = range(1, 7)


@dataclass(frozen=True)
class Literal:
    """A predicate that a goal asks to be true, or false.

    Attributes:
        predicate: e.g. on_top(X, sofa).
        wanted: its truth value.
        binding: for each bound name in scope its category, and whether every object of it is meant.
    """

    predicate: Predicate
    wanted: bool
    binding: dict[str, tuple[int, bool]]


def literals(goal: Goal, wanted: bool = True, scope: dict[str, tuple[int, bool]] | None = None) -> Iterator[Literal]:
    """What must be so for a goal to have the truth value `wanted`; of alternatives, the first."""
    every = (goal.quantifier == "FORALL") == wanted
    scope = {**(scope or {}), **{name: (CATEGORIES.index(category), every) for name, category in goal.inputs}}
    negated = goal.connective in ("NAND", "NOR")
    all_terms = (goal.connective in ("AND", "NOR")) == wanted
    for term in goal.terms if all_terms else goal.terms[:1]:
        if isinstance(term, Goal):
            yield from literals(term, wanted != negated, scope)
        else:
            yield Literal(term, wanted != negated, scope)


class Rewards:
    """The rewards of N homes.

    Args:
        homes: N.
        max_objects: M.
        options: what is paid.
    """

    def __init__(self, homes: int, max_objects: int, options: RewardOptions):
        self._options = options
        self._kind = np.zeros((homes, MAX_SUBGOALS), np.int64)
        self._argument = np.zeros((homes, MAX_SUBGOALS), np.int64)
        self._objects = np.zeros((homes, MAX_SUBGOALS, max_objects), bool)
        self._count = np.zeros(homes, np.int64)
        self._achieved = np.zeros((homes, MAX_SUBGOALS), bool)

    def start(self, home: int, goal: Goal, facts: Facts, categories: NDArray[np.int16]) -> None:
        """Set one home's subgoals.

        Args:
            goal: of the episode.
            facts: at its start.
            categories: [M], of the home's objects.
        """
        self._kind[home], self._achieved[home], self._count[home] = 0, False, 0
        if not self._options.subgoals:
            return
        found = [part for literal in literals(goal) for part in self._parts(literal, home, facts, categories)]
        for i, (kind, argument, objects) in enumerate(found[:MAX_SUBGOALS]):
            self._kind[home, i], self._argument[home, i] = kind, argument
            self._objects[home, i] = objects
            # Standing there from the start is no achievement.
            self._achieved[home, i] = kind == AT and facts.at_target[home, argument]
        self._count[home] = min(len(found), MAX_SUBGOALS)

    def _parts(
        self, literal: Literal, home: int, facts: Facts, categories: NDArray[np.int16]
    ) -> Iterator[tuple[int, int, NDArray[np.bool_] | bool]]:
        """The subgoals of one literal: (kind, argument, objects that may fulfil it); none where it holds already."""
        name, arguments, wanted = literal.predicate.name, literal.predicate.arguments, literal.wanted
        if name in ("on_top", "in"):
            yield from self._moves(literal, RECEPTACLES.index(arguments[1]), facts.on[home], categories)
        elif name == "holding" and wanted:
            category, _ = literal.binding[arguments[0]]
            yield HOLD, 0, categories == category
        elif name.startswith(("opened", "closed")):
            joint = JOINTS.index(arguments[0])
            to_open = name.startswith("opened") == wanted
            if not (facts.opened if to_open else facts.closed)[home, joint]:
                if self._options.navigation:
                    yield AT, joint, False
                yield (OPENED if to_open else CLOSED), joint, False
        elif name == "robot_at" and wanted and self._options.navigation and arguments[0] in TARGETS:
            yield AT, TARGETS.index(arguments[0]), False

    def _moves(
        self, literal: Literal, receptacle: int, on: NDArray[np.bool_], categories: NDArray[np.int16]
    ) -> Iterator[tuple[int, int, NDArray[np.bool_] | bool]]:
        """Holding an object, then having it on a receptacle (or off it) and the hand empty."""
        category, every = literal.binding[literal.predicate.arguments[0]]
        instances = categories == category
        to_move = instances & (on[:, receptacle] != literal.wanted)
        if every:
            groups = [np.arange(len(categories)) == m for m in np.flatnonzero(to_move)]
        else:
            groups = [] if (instances & ~to_move).any() else [to_move]
        for objects in groups:
            if self._options.navigation:
                yield AT, FIRST_RECEPTACLE + int(on[objects.argmax()].argmax()), False
            yield HOLD, 0, objects
            if literal.wanted and self._options.navigation:
                yield AT, FIRST_RECEPTACLE + receptacle, False
            yield (ON if literal.wanted else OFF), receptacle, objects

    def step(
        self, facts: Facts, success: NDArray[np.bool_], invalid: NDArray[np.bool_], playing: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """The rewards of one step: float32 [N].

        Args:
            facts: after the step.
            success: bool [N], the goal is true.
            invalid: bool [N], the skill's precondition did not hold.
            playing: bool [N], rows that took a step; the others get 0.
        """
        rewards = self._options.success * success
        if self._options.subgoals:
            rewards = rewards - self._options.invalid_skill * invalid + self._progress(facts, playing)
        return rewards.astype(np.float32)

    def _progress(self, facts: Facts, playing: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What the subgoals newly reached in this step pay: [N]."""
        used = int(self._count.max(initial=0))
        if not used:
            return np.zeros(len(self._count))
        kind, argument, objects = self._kind[:, :used], self._argument[:, :used], self._objects[:, :used]
        rows = np.arange(len(kind))
        empty = facts.held < 0
        held = objects[rows, :, facts.held] & ~empty[:, None]
        receptacle, joint, target = (
            np.where(of_kind, argument, 0)
            for of_kind in ((kind == ON) | (kind == OFF), (kind == OPENED) | (kind == CLOSED), kind == AT)
        )
        on = np.take_along_axis(facts.on.transpose(0, 2, 1), receptacle[:, :, None], axis=1)
        reached = np.select(
            [kind == HOLD, kind == ON, kind == OFF, kind == OPENED, kind == CLOSED, kind == AT],
            [
                held,
                (objects & on).any(axis=2) & empty[:, None],
                (objects & ~on).any(axis=2) & empty[:, None],
                np.take_along_axis(facts.opened, joint, axis=1),
                np.take_along_axis(facts.closed, joint, axis=1),
                np.take_along_axis(facts.at_target, target, axis=1),
            ],
            False,
        )
        new = reached & ~self._achieved[:, :used] & playing[:, None]
        self._achieved[:, :used] |= new
        return SUBGOAL_PAY * new.sum(axis=1) / np.maximum(self._count, 1)
