"""The planner with full knowledge: a shortest way to carry an instruction out.

Breadth-first search over what skills can do to the objects and joints that the goal speaks of. It gives an
episode's least length, tells whether the episode can be solved at all, and is an upper bound for any policy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llarp_cli.rearrangement.execution import FIRST_RECEPTACLE
from llarp_cli.rearrangement.facts import (
    DRAWER_RECEPTACLES,
    OBJECT_BEARING,
    OBJECT_REACH,
    TARGET_BEARING,
    TARGET_REACH,
    Facts,
    within,
)
from llarp_cli.rearrangement.goals import CompiledGoals, Goal
from llarp_cli.rearrangement.simulator import Simulator
from llarp_cli.rearrangement.skills import SKILL_INDEX
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, OPEN_JOINT, RECEPTACLES, SURFACES, TARGETS

MAX_STATES = 300_000
"""Search gives up after looking at so many."""

HERE = len(TARGETS)
"""The pose where the robot is now, beside those it takes before each target."""
AS_NOW = -2
"""An object's place: where it is now."""
IN_HAND = -1
"""An object's place: the gripper. Others are receptacles."""

_JOINT_OF = dict(DRAWER_RECEPTACLES)


@dataclass(frozen=True)
class _Spoken:
    """What a goal speaks of.

    Attributes:
        destinations: category → receptacles where its objects may have to go.
        joints: those that may have to be opened or closed.
        targets: where the robot may have to be.
    """

    destinations: dict[int, set[int]] = field(default_factory=dict)
    joints: set[int] = field(default_factory=set)
    targets: set[int] = field(default_factory=set)

    def read(self, goal: Goal, positive: bool = True, scope: dict[str, int] | None = None) -> None:
        """Add what a goal, or its negation, speaks of."""
        scope = {**(scope or {}), **{name: CATEGORIES.index(category) for name, category in goal.inputs}}
        for category in scope.values():
            self.destinations.setdefault(category, set())
        positive = positive != (goal.connective in ("NAND", "NOR"))
        for term in goal.terms:
            if isinstance(term, Goal):
                self.read(term, positive, scope)
            elif term.name in ("on_top", "in"):
                wanted = {RECEPTACLES.index(term.arguments[1])}
                self.destinations[scope[term.arguments[0]]] |= wanted if positive else _surfaces() - wanted
            elif term.name.startswith(("opened", "closed")):
                self.joints.add(JOINTS.index(term.arguments[0]))
            elif term.name == "robot_at" and term.arguments[0] in TARGETS:
                self.targets.add(TARGETS.index(term.arguments[0]))


def _surfaces() -> set[int]:
    return {RECEPTACLES.index(name) for name in SURFACES}


@dataclass(frozen=True)
class _State:
    """What a plan's skills change.

    Attributes:
        pose: a target, or HERE.
        places: of the objects spoken of.
        opened: joints that are open, as bits.
    """

    pose: int
    places: tuple[int, ...]
    opened: int


class _Imagined:
    """The facts of one home in an imagined state, as `CompiledGoals` reads them."""

    def __init__(self, facts: Facts, home: int):
        rows = slice(home, home + 1)
        self.on, self.held = facts.on[rows].copy(), facts.held[rows].copy()
        self.opened, self.closed = facts.opened[rows].copy(), facts.closed[rows].copy()
        self.at_target, self.at_object = facts.at_target[rows].copy(), facts.at_object[rows].copy()


class _Search:
    """The search in one home; `stands` float [16, 3], the robot's pose before each target."""

    def __init__(self, simulator: Simulator, facts: Facts, home: int, goal: Goal, stands: NDArray[np.float64]):
        categories = simulator.categories[home]
        self.goals = CompiledGoals(1)
        self.goals.set(0, goal, categories)
        self.imagined = _Imagined(facts, home)
        spoken = _Spoken()
        spoken.read(goal)
        self.held = int(facts.held[home])
        if self.held >= 0:
            spoken.destinations.setdefault(int(categories[self.held]), _surfaces())
        self.objects = [m for m, category in enumerate(categories.tolist()) if category in spoken.destinations]
        self.categories = [int(categories[m]) for m in self.objects]
        self.destinations = [sorted(spoken.destinations[category]) for category in self.categories]
        self.drawers = [int(simulator.drawers[home, m]) for m in self.objects]
        self.joints = sorted(spoken.joints | {joint for joint in self.drawers if joint >= 0})
        self.on_now = facts.on[home, self.objects].copy()

        poses = np.concatenate([stands, simulator.robot[home : home + 1]])
        objects = np.broadcast_to(simulator.positions[home, self.objects], (len(poses), len(self.objects), 3))
        self.near = within(poses, objects, OBJECT_REACH, OBJECT_BEARING)
        targets = np.broadcast_to(simulator.targets[home], (len(poses), len(TARGETS), 3))
        self.at_target = within(poses, targets, TARGET_REACH, TARGET_BEARING)
        # Receptacles so near that something put down there may be within reach.
        boxes = simulator.boxes[home]
        apart = np.hypot(*(poses[:, None, :2] - boxes[:, [0, 2]]).transpose(2, 0, 1))
        self.around = apart <= OBJECT_REACH + np.hypot(boxes[:, 4], boxes[:, 6]) + max(OPEN_JOINT[:-1])
        useful = set(np.flatnonzero(self.near[:HERE].any(axis=1)).tolist()) | spoken.targets | set(self.joints)
        for receptacles in self.destinations:
            useful |= {FIRST_RECEPTACLE + r for r in receptacles}
        self.useful = sorted(useful)
        places = tuple(IN_HAND if m == self.held else AS_NOW for m in self.objects)
        opened = sum(1 << joint for joint in range(len(JOINTS)) if not facts.closed[home, joint])
        self.start = _State(HERE, places, opened)

    def plan(self) -> list[int] | None:
        came_from: dict[_State, tuple[_State, int] | None] = {self.start: None}
        queue = deque([(self.start, True)])
        if self._reached(self.start):
            return []
        while queue and len(came_from) < MAX_STATES:
            state, may_go = queue.popleft()
            for following, action, goes in self._following(state, may_go):
                if following in came_from:
                    continue
                came_from[following] = (state, action)
                if self._reached(following):
                    return self._actions(came_from, following)
                queue.append((following, not goes))
        return None

    @staticmethod
    def _actions(came_from: dict[_State, tuple[_State, int] | None], state: _State) -> list[int]:
        actions: list[int] = []
        while (step := came_from[state]) is not None:
            state, action = step
            actions.append(action)
        return actions[::-1]

    def _following(self, state: _State, may_go: bool) -> Iterator[tuple[_State, int, bool]]:
        """States one skill away, the skill, and whether it is go_to. After one go_to another is of no use."""
        held = next((i for i, place in enumerate(state.places) if place == IN_HAND), None)
        if held is None:
            seen: set[int] = set()
            for i, category in enumerate(self.categories):
                if category in seen or not self._may_be_in_reach(state, i):
                    continue
                seen.add(category)  # the skill takes the first of its category that is in reach
                if self._is_in_reach(state, i):
                    yield self._put(state, i, IN_HAND), SKILL_INDEX["pick", CATEGORIES[category]], False
        else:
            for receptacle in self.destinations[held]:
                if self.at_target[state.pose, FIRST_RECEPTACLE + receptacle]:
                    skill = SKILL_INDEX["place", RECEPTACLES[receptacle]]
                    yield self._put(state, held, receptacle), skill, False
        for joint in self.joints:
            if self.at_target[state.pose, joint]:
                kind = "close" if state.opened >> joint & 1 else "open"
                following = _State(state.pose, state.places, state.opened ^ 1 << joint)
                yield following, SKILL_INDEX[kind, JOINTS[joint]], False
        if may_go:
            for target in self.useful:
                if target != state.pose:
                    skill = SKILL_INDEX["go_to", TARGETS[target]]
                    yield _State(target, state.places, state.opened), skill, True

    def _may_be_in_reach(self, state: _State, i: int) -> bool:
        """Whether an object can be picked, or could, depending on where it came to rest."""
        place = state.places[i]
        joint = self.drawers[i] if place == AS_NOW else _JOINT_OF.get(place, -1)
        if joint >= 0 and not state.opened >> joint & 1:
            return False
        return bool(self.near[state.pose, i] if place == AS_NOW else self.around[state.pose, place])

    def _is_in_reach(self, state: _State, i: int) -> bool:
        """Of an object that may be in reach: whether it is for certain."""
        return state.places[i] == AS_NOW or state.pose == FIRST_RECEPTACLE + state.places[i]

    @staticmethod
    def _put(state: _State, i: int, place: int) -> _State:
        return _State(state.pose, (*state.places[:i], place, *state.places[i + 1 :]), state.opened)

    def _reached(self, state: _State) -> bool:
        imagined = self.imagined
        imagined.held[0] = -1
        for i, (m, place) in enumerate(zip(self.objects, state.places, strict=True)):
            imagined.at_object[0, m] = self.near[state.pose, i] if place == AS_NOW else place == IN_HAND
            imagined.on[0, m] = self.on_now[i] if place == AS_NOW else False
            if place == IN_HAND:
                imagined.held[0] = m
            elif place >= 0:
                imagined.on[0, m, place] = True
        imagined.at_target[0] = self.at_target[state.pose]
        for joint in self.joints:
            imagined.opened[0, joint] = state.opened >> joint & 1
            imagined.closed[0, joint] = not imagined.opened[0, joint]
        return bool(self.goals.evaluate(imagined)[0])


def plan(simulator: Simulator, facts: Facts, home: int, goal: Goal, stands: NDArray[np.float64]) -> list[int] | None:
    """A shortest plan from the present state of one home.

    Where an object that it puts down comes to rest is left to chance, so the plan counts on picking it again
    only from where the robot stands before that receptacle.

    Args:
        facts: of the simulator's present state.
        home: which home.
        goal: from `goals.parse`.
        stands: float [16, 3], the robot's pose (x, z in metres, heading in radians) after `go_to` each target.

    Returns:
        Action indices; none when the goal is true already. None when no plan was found.
    """
    return _Search(simulator, facts, home, goal, stands).plan()
