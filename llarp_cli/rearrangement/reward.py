"""The reward: success, subgoals in any order, and a price for skills that cannot be used.

Success pays once and ends the episode. Subgoals pay `SUBGOAL_PAY` in all, each an equal share, once: they
are the holdings, placements and joint changes of a plan that carries the instruction out, read off the goal
and the start (Szot et al. 2024, appendix; there they also come from a reference plan, navigation included).
A goal that asks only for the robot to be somewhere has none.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from llarp_cli.config import RewardOptions
from llarp_cli.rearrangement import goals
from llarp_cli.rearrangement.alternatives import Fact, alternatives, is_so
from llarp_cli.rearrangement.execution import FIRST_RECEPTACLE
from llarp_cli.rearrangement.facts import Facts
from llarp_cli.rearrangement.goals import Goal

SUBGOAL_PAY = 5.0
"""All of an episode's subgoals together."""

MAX_SUBGOALS = 24

HOLD, ON, OFF, OPENED, CLOSED, AT = range(1, 7)


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
        found = list(self._subgoals(goal, home, facts, categories))
        for i, (kind, argument, objects) in enumerate(found[:MAX_SUBGOALS]):
            self._kind[home, i], self._argument[home, i] = kind, argument
            self._objects[home, i] = objects
            # Standing there from the start is no achievement.
            self._achieved[home, i] = kind == AT and facts.at_target[home, argument]
        self._count[home] = min(len(found), MAX_SUBGOALS)

    def _subgoals(
        self, goal: Goal, home: int, facts: Facts, categories: NDArray[np.int16]
    ) -> Iterator[tuple[int, int, NDArray[np.bool_] | bool]]:
        """What has to change: (kind, argument, objects that may fulfil it), of alternatives the one nearest to come."""
        ways = alternatives(goal, categories, facts, home)
        wanted = ways[0] if ways else {}
        spoken = [fact.thing for fact in wanted if fact.kind in (goals.ON, goals.HOLDING)]
        for fact, so in wanted.items():
            if is_so(fact, facts, home) == so:
                continue
            kind, thing, _ = fact
            if kind in (goals.ON, goals.HOLDING):
                objects = categories == categories[thing]  # another of its category will do
                objects[[other for other in spoken if other != thing]] = False
                yield from self._moves(fact, so, objects, facts.on[home])
            elif kind in (goals.OPENED, goals.CLOSED):
                if self._options.navigation:
                    yield AT, thing, False
                yield (OPENED if (kind == goals.OPENED) == so else CLOSED), thing, False
            elif kind == goals.AT_TARGET and so and self._options.navigation:
                yield AT, thing, False

    def _moves(
        self, fact: Fact, so: bool, objects: NDArray[np.bool_], on: NDArray[np.bool_]
    ) -> Iterator[tuple[int, int, NDArray[np.bool_] | bool]]:
        """Holding an object, then having it on a receptacle (or off it) and the hand empty."""
        if fact.kind == goals.HOLDING and not so:
            return
        if self._options.navigation:
            yield AT, FIRST_RECEPTACLE + int(on[fact.thing].argmax()), False
        yield HOLD, 0, objects
        if fact.kind == goals.ON:
            if so and self._options.navigation:
                yield AT, FIRST_RECEPTACLE + fact.place, False
            yield (ON if so else OFF), fact.place, objects

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
