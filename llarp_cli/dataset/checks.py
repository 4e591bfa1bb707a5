"""What must hold of an episode before it is played: words, goal, scene, and where things stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.rearrangement.environment import LETTERS, MAX_LETTERS
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.facts import DRAWER_RECEPTACLES, OBJECT_BEARING, OBJECT_REACH, inside, within
from llarp_cli.rearrangement.goals import Goal, compile, parse
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.vocabulary import CATEGORIES, CATEGORY_OF, RECEPTACLES

_LETTERS = frozenset(LETTERS)


def words(episode: Episode) -> Iterator[str]:
    """What is wrong with the sentence."""
    text = episode.instruction
    if len(text) > MAX_LETTERS:
        yield f"the instruction has {len(text)} characters; an observation holds {MAX_LETTERS}"
    strange = [letter for letter in text if letter not in _LETTERS]
    if strange:
        yield f"the instruction has a character that no observation holds: {strange[0]!a}"


def goal(episode: Episode) -> Iterator[str]:
    """What the goal speaks of that is not there."""
    there = Counter(CATEGORY_OF[one.asset] for one in episode.arrangement.objects)
    parsed = parse(episode.goal)
    for category, needed in sorted(_spoken(parsed).items()):
        if there[category] < needed:
            yield f"the goal speaks of {needed} object(s) of category '{category}', there are {there[category]}"
    try:
        compile(parsed, [CATEGORIES.index(CATEGORY_OF[one.asset]) for one in episode.arrangement.objects])
    except UsageProblem as problem:
        yield problem.message


def _spoken(node: Goal) -> Counter[str]:
    """The most objects of each category that one quantifier binds at once."""
    found = Counter(category for _, category in node.inputs)
    for term in node.terms:
        if isinstance(term, Goal):
            found |= _spoken(term)
    return found


def scene(world: World, episode: Episode) -> Iterator[str]:
    """Whether there is such a scene."""
    try:
        world.scene(episode.arrangement.scene)
    except LlarpError as problem:  # unknown, or a plan that leaves the robot no room
        yield problem.message


def places(world: World, play: Play, row: int) -> Iterator[str]:
    """Objects that do not stand where the episode says, or where no standing pose has them in reach.

    Args:
        play: the episode has just begun in one of its rows.
        row: which.
    """
    arrangement = play.episodes[row].arrangement
    simulator = play.simulator
    count = len(arrangement.objects)
    stated = np.array([RECEPTACLES.index(one.receptacle) for one in arrangement.objects])
    astray = np.flatnonzero(~_lying(play, row)[np.arange(count), stated])
    if len(astray):
        one = arrangement.objects[astray[0]]
        yield f"{one.asset} at {list(one.position)} is not on or in the {one.receptacle}{_and_more(astray)}"
    stands = standing_poses(world, arrangement.scene)
    objects = np.broadcast_to(simulator.positions[row, :count], (len(stands), count, 3))
    near = within(stands, objects, OBJECT_REACH, OBJECT_BEARING).any(axis=0)
    afar = np.flatnonzero(~near & (simulator.drawers[row, :count] < 0))
    if len(afar):
        one = arrangement.objects[afar[0]]
        yield f"{one.asset} at {list(one.position)} is in reach from no standing pose{_and_more(afar)}"


def _lying(play: Play, row: int) -> np.ndarray:
    """Which objects' origins are in which receptacles' boxes, drawers as far out as they are: bool [objects, 11].

    Of drawers the simulator takes an episode's word for it.
    """
    simulator = play.simulator
    positions = simulator.positions[row, : len(play.episodes[row].arrangement.objects)]
    found = inside(positions[None], simulator.boxes[row][None])[0]
    for receptacle, joint in DRAWER_RECEPTACLES:
        heading = simulator.boxes[row, receptacle, 3]
        out = simulator.joints[row, joint] * np.array([-np.sin(heading), 0, np.cos(heading)])
        found[:, receptacle] = inside((positions - out)[None], simulator.boxes[row][None])[0, :, receptacle]
    return found


def standing_poses(world: World, scene: str) -> np.ndarray:
    """The robot's poses after `go_to`: float [16, 3], x, z in metres, heading in radians."""
    stands = world.scene(scene).stands / 1000
    stands[:, 2] = np.radians(stands[:, 2])
    return stands


def _and_more(objects: np.ndarray) -> str:
    return f", nor are {len(objects) - 1} more" if len(objects) > 1 else ""
