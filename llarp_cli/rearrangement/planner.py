"""The planner with full knowledge: a shortest way to carry an instruction out.

A search over what skills can do to the objects and joints that the goal speaks of. It tells whether an episode can be
solved at all and in how few steps at least: no policy, however lucky, is quicker.

A goal comes true in one of several alternatives (`alternatives`); for each that may be the quickest, A* (Hart,
Nilsson and Raphael 1968) finds the shortest plan. Its lower bound for the steps to come: every object that is
out of place must be picked up and put down, and the robot must go wherever one pose will not do for both of two
skills in a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

import numpy as np
from numpy.typing import NDArray

from llarp_cli.rearrangement.alternatives import Alternative, alternatives
from llarp_cli.rearrangement.execution import FIRST_RECEPTACLE, KIND, PICK, PLACE
from llarp_cli.rearrangement.facts import Facts
from llarp_cli.rearrangement.goals import AT_OBJECT, AT_TARGET, HOLDING, NOT_HOLDING, ON, OPENED, Goal
from llarp_cli.rearrangement.reach import AS_NOW, HERE, IN_HAND, Reach
from llarp_cli.rearrangement.simulator import Simulator
from llarp_cli.rearrangement.skills import SKILL_INDEX
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES, SURFACES, TARGETS

MAX_STATES = 40_000
"""Search gives up after looking at so many."""

NEVER = 1_000
"""More steps than any plan has: what cannot be."""

_State = tuple[int, tuple[int, ...], int]
"""The pose (a target, or HERE), the places of the objects that matter, the joints not closed as bits."""

_PICK = [SKILL_INDEX["pick", name] for name in CATEGORIES]
_PLACE = [SKILL_INDEX["place", name] for name in RECEPTACLES]
_GO_TO = [SKILL_INDEX["go_to", name] for name in TARGETS]
_OPEN = [SKILL_INDEX["open", name] for name in JOINTS]
_CLOSE = [SKILL_INDEX["close", name] for name in JOINTS]

# Of plans of equal length the more natural one: open surfaces first, handles last.
_RECEPTACLES = sorted(range(len(RECEPTACLES)), key=lambda r: RECEPTACLES[r] not in SURFACES)
_TARGETS = [FIRST_RECEPTACLE + r for r in _RECEPTACLES] + list(range(FIRST_RECEPTACLE))


def plan(simulator: Simulator, facts: Facts, home: int, goal: Goal, stands: NDArray[np.float64]) -> list[int] | None:
    """A shortest plan from the present state of one home.

    Where an object that it puts down comes to rest is left to chance, and with it whether a later pick reaches it, or
    takes it in place of another of its kind. The plan may count on luck; of plans of equal length it is one that does
    so least often. Whoever follows it plans anew where it is `outdated`.

    Args:
        simulator: the homes.
        facts: of their present state.
        home: which home.
        goal: from `goals.parse`.
        stands: float [16, 3], the robot's pose (x, z in metres, heading in radians) after `go_to` each target.

    Returns:
        Action indices; none when the goal is true already. None when no plan was found.

    Raises:
        UsageProblem: the goal's quantifiers expand to too many terms.
    """
    reach = Reach(simulator, facts, home, stands)
    searches = [_Search(reach, one) for one in alternatives(goal, reach.categories, facts, home)]
    searches.sort(key=lambda search: search.least)
    budget = iter(range(MAX_STATES))
    best, length = None, NEVER
    for search in searches:
        if search.least >= length:
            break
        found = search.shortest(length, budget)
        if found is not None:
            best, length = found, len(found)
    return best


def outdated(action: int, holds: bool) -> bool:
    """Whether chance has spoken, so that a shortest plan may be another one now.

    Args:
        action: the index of the skill used last.
        holds: whether something is in the hand now.
    """
    kind = KIND[action]
    return bool(kind == PLACE or (kind == PICK and not holds))


@dataclass
class _Wish:
    """What an alternative asks of one object.

    Attributes:
        on: receptacles on which it must be.
        off: receptacles on which it must not be.
        held: whether it must be in the hand; None for either.
        near: whether the robot must be at it; None for either.
        stays: it may be left where it is now.
        down: poses in which it may be put down where it belongs.
    """

    on: set[int] = field(default_factory=set)
    off: set[int] = field(default_factory=set)
    held: bool | None = None
    near: bool | None = None
    stays: bool = False
    down: int = 0

    def met(self, place: int) -> bool:
        """Whether an object that is not in the hand may be left where it is."""
        if self.held:
            return False
        return self.stays if place == AS_NOW else self.on <= {place} and place not in self.off


_NO_WISH = _Wish()


class _Search:
    """The search for a way to make one alternative true.

    Attributes:
        least: a lower bound for the plan's length.
    """

    def __init__(self, reach: Reach, alternative: Alternative):
        self._reach = reach
        self._open = self._shut = 0
        self._poses = (1 << HERE + 1) - 1  # in which the robot may be at the end
        self._empty: bool | None = None
        wishes: dict[int, _Wish] = {}
        possible = True
        for (kind, thing, place), wanted in alternative.items():
            if kind in (ON, HOLDING, AT_OBJECT):
                wish = wishes.setdefault(thing, _Wish())
                if kind == ON:
                    (wish.on if wanted else wish.off).add(place)
                elif kind == HOLDING:
                    wish.held = wanted
                else:
                    wish.near = wanted
            elif kind == NOT_HOLDING:
                self._empty = wanted
            elif kind == AT_TARGET:
                self._poses &= reach.at_target[thing] if wanted else ~reach.at_target[thing]
            elif reach.ajar >> thing & 1:  # it is neither open nor closed, for ever
                possible &= not wanted
            elif (kind == OPENED) == wanted:
                self._open |= 1 << thing
            else:
                self._shut |= 1 << thing

        # Others of a category take part: a pick takes the first that is in reach. Anything can be something to hold.
        categories = {reach.categories[m] for m in wishes}
        if self._empty is False:
            categories = set(reach.categories) - {-1}
        self._objects = [m for m, category in enumerate(reach.categories) if category in categories or m == reach.held]
        self._wishes = [(i, wishes[m]) for i, m in enumerate(self._objects) if m in wishes]
        self._groups: dict[int, list[int]] = {}
        for i, m in enumerate(self._objects):
            self._groups.setdefault(reach.categories[m], []).append(i)
        for i, wish in self._wishes:
            m = self._objects[i]
            wish.stays = wish.on <= reach.on_now[m] and not wish.off & reach.on_now[m]
            allowed = set(range(len(RECEPTACLES))) - wish.off
            if wish.on:
                allowed = allowed & wish.on if len(wish.on) == 1 else set()
            for receptacle in allowed:
                wish.down |= reach.at_target[FIRST_RECEPTACLE + receptacle]
        joints = self._open | self._shut
        for m in self._objects:
            if reach.drawers[m] >= 0:
                joints |= 1 << reach.drawers[m]
        self._joints = [joint for joint in range(len(JOINTS)) if (joints & ~reach.ajar) >> joint & 1]

        places = tuple(IN_HAND if m == reach.held else AS_NOW for m in self._objects)
        self._start: _State = (HERE, places, reach.opened)
        kept = [wish for _, wish in self._wishes if wish.held]
        possible &= bool(self._poses) and not self._open & self._shut
        possible &= len(kept) + (self._empty is True) <= 1 and not any(wish.on for wish in kept)
        self.least = self._to_come(self._start) if possible else NEVER

    def shortest(self, below: int, budget: Iterator[int]) -> list[int] | None:
        """A shortest plan of fewer than `below` steps; None where there is none, or the budget of states is used up."""
        came_from: dict[_State, tuple[int, int, _State | None, int]] = {self._start: (0, 0, None, -1)}
        ticket = count()
        queue = [(self.least, 0, 0, next(ticket), self._start, True)]
        while queue:
            total, lucky, minus_done, _, state, may_go = heappop(queue)
            if (-minus_done, lucky) > came_from[state][:2]:
                continue  # since then it has been reached sooner, or with less luck
            if total == -minus_done:
                return _actions(came_from, state)
            if next(budget, None) is None:
                return None
            done = 1 - minus_done
            for following, action, luck in self._following(state, may_go):
                cost = (done, lucky + luck)
                if following in came_from and came_from[following][:2] <= cost:
                    continue
                total = done + self._to_come(following)
                if total < below:
                    came_from[following] = (*cost, state, action)
                    # After one go_to another is of no use.
                    heappush(queue, (total, cost[1], -done, next(ticket), following, following[0] == state[0]))
        return None

    def _following(self, state: _State, may_go: bool) -> Iterator[tuple[_State, int, bool]]:
        """States one skill away, the skill, and whether that takes luck."""
        pose, places, opened = state
        here = 1 << pose
        if IN_HAND in places:
            held = places.index(IN_HAND)
            for receptacle in _RECEPTACLES:
                if self._reach.at_target[FIRST_RECEPTACLE + receptacle] & here:
                    put = (*places[:held], receptacle, *places[held + 1 :])
                    yield (pose, put, opened), _PLACE[receptacle], False
        else:
            for category, group in self._groups.items():
                for i, luck in self._taken(group, places, opened, here):
                    yield (pose, (*places[:i], IN_HAND, *places[i + 1 :]), opened), _PICK[category], luck
        for joint in self._joints:
            if self._reach.at_target[joint] & here:
                moves = _CLOSE if opened >> joint & 1 else _OPEN
                yield (pose, places, opened ^ 1 << joint), moves[joint], False
        if may_go:
            for target in _TARGETS:
                if target != pose:
                    yield (target, places, opened), _GO_TO[target], False

    def _taken(self, group: list[int], places: tuple[int, ...], opened: int, here: int) -> Iterator[tuple[int, bool]]:
        """Which objects of a category a pick may take, the first in reach, and whether that takes luck."""
        luck = False
        for i in group:
            surely, perhaps = self._reach.pickable(self._objects[i], places[i], opened)
            if surely & here:
                yield i, luck
                return
            if perhaps & here:
                luck = True
                yield i, luck

    def _to_come(self, state: _State) -> int:
        """A lower bound for the steps to come; 0 where the alternative is true, and only there."""
        pose, places, opened = state
        reach, here = self._reach, 1 << pose
        joints = (self._open & ~opened) | (self._shut & opened)
        held = _NO_WISH if IN_HAND in places else None
        pending: list[tuple[int, int]] = []  # for what is out of place: poses to pick it up in, to put it down in
        for i, wish in self._wishes:
            place = places[i]
            if place == IN_HAND:
                held = wish
            elif not wish.met(place):
                m = self._objects[i]
                _, up = reach.once_open(m, place)
                stays = wish.held or (self._empty is not True and not wish.on)  # it may be kept in the hand
                if not up or not (stays or wish.down):
                    return NEVER
                pending.append((up, 0 if stays else wish.down))
                joint = reach.drawer(m, place)
                if joint >= 0 and not opened >> joint & 1:
                    joints |= 1 << joint

        steps, start = 0, here
        if held is not None and (held.on or held.held is False or self._empty or pending):
            if held.on and not held.down:
                return NEVER
            start = held.down or reach.at_any
            steps = 1 + (not start & here)
        elif held is None and self._empty is False and not pending:
            steps = 1
        for k, (up, down) in enumerate(pending):
            before = start
            for other, (_, poses) in enumerate(pending):
                if other != k:
                    before |= poses
            steps += 1 + (not up & before)
            if down:
                steps += 1 + (not up & down)
        steps += joints.bit_count()
        if steps == joints.bit_count():  # nothing to carry: the robot may have to go all the same
            if joints:
                steps += not any(joints >> joint & 1 and reach.at_target[joint] & here for joint in self._joints)
            else:
                steps += not self._well_placed(state)
        return steps

    def _well_placed(self, state: _State) -> bool:
        """Whether the robot is where it must be."""
        pose, places, opened = state
        here = 1 << pose
        for i, wish in self._wishes:
            if wish.near is not None:
                surely, perhaps = self._reach.at_object(self._objects[i], places[i], opened)
                if (not perhaps & here) if wish.near else (surely & here):
                    return False
        return bool(self._poses >> pose & 1)


def _actions(came_from: dict[_State, tuple[int, int, _State | None, int]], state: _State) -> list[int]:
    """The skills that led to a state."""
    actions: list[int] = []
    _, _, before, action = came_from[state]
    while before is not None:
        actions.append(action)
        _, _, before, action = came_from[before]
    return actions[::-1]
