"""The 70 skills on N homes: when each may be used, and what it makes the simulator do.

Skills are perfect and instantaneous (Szot et al. 2024, appendix); one whose precondition does not
hold changes nothing.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from llarp_cli.rearrangement.facts import Facts
from llarp_cli.rearrangement.simulator import Simulator
from llarp_cli.rearrangement.skills import SKILLS
from llarp_cli.rearrangement.vocabulary import JOINTS, OPEN_JOINT

KINDS = ("go_to", "pick", "place", "open", "close")
GO_TO, PICK, PLACE, OPEN, CLOSE = range(5)

KIND = np.array([KINDS.index(skill.kind) for skill in SKILLS], np.int64)
"""Action index → GO_TO, PICK, PLACE, OPEN or CLOSE."""
ARGUMENT = np.array([skill.argument for skill in SKILLS], np.int64)
"""Action index → index of what it is done to (target, category, receptacle or joint)."""

FIRST_RECEPTACLE = len(JOINTS)
"""Receptacle r is navigation target FIRST_RECEPTACLE + r; joint j is target j."""

DRAWERS = 4
"""Joints 0 to 3 are drawers, the last is the fridge door."""


def pickable(simulator: Simulator, facts: Facts) -> NDArray[np.bool_]:
    """Objects in reach and in view ahead, not shut in a drawer: bool [N, M]. Says nothing about the hand."""
    drawers = simulator.drawers
    shut = np.take_along_axis(facts.closed, np.clip(drawers, 0, DRAWERS - 1).astype(np.intp), axis=1) & (drawers >= 0)
    return facts.at_object & ~shut


def check(simulator: Simulator, facts: Facts, actions: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which of the chosen skills may be used now.

    Args:
        facts: of the simulator's present state.
        actions: [N], action indices.

    Returns:
        valid, bool [N]: `go_to` always; `pick` with an empty hand and an instance of the category within
        1.5 m and 1.0 rad that is not in a closed drawer; `place` holding something, the receptacle within
        2.0 m and 1.57 rad; `open` and `close` at the joint's handle likewise, the joint being closed or open.
        picked, int [N]: for a valid pick, the first such instance in the arrangement's order.
    """
    kind, argument = KIND[actions], ARGUMENT[actions]
    rows = np.arange(len(actions))
    empty = facts.held < 0

    candidates = pickable(simulator, facts) & (simulator.categories == argument[:, None])
    picked = candidates.argmax(axis=1)
    valid = (kind == GO_TO) | ((kind == PICK) & empty & candidates[rows, picked])

    receptacle = np.where(kind == PLACE, argument, 0)
    valid |= (kind == PLACE) & ~empty & facts.at_target[rows, FIRST_RECEPTACLE + receptacle]

    joint = np.where(kind >= OPEN, argument, 0)
    ready = np.where(kind == OPEN, facts.closed[rows, joint], facts.opened[rows, joint])
    valid |= (kind >= OPEN) & ready & facts.at_target[rows, joint]
    return valid, picked


def execute(
    simulator: Simulator, facts: Facts, actions: NDArray[np.int64], homes: NDArray[np.bool_], spots: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Use one skill in each home and bring the facts up to date.

    Args:
        facts: of the present state; refreshed.
        actions: [N], action indices.
        homes: bool [N], the homes that act; the others stay as they are.
        spots: [N, 2] in [-1, 1], where in its receptacle's box an object would be put.

    Returns:
        valid, bool [N], true where the skill's precondition held.
    """
    valid, picked = check(simulator, facts, actions)
    valid &= homes
    argument = ARGUMENT[actions]
    kind = np.where(valid, KIND[actions], -1)

    if (rows := np.flatnonzero(kind == GO_TO)).size:
        simulator.go_to(rows, argument[rows])
    if (rows := np.flatnonzero(kind == PICK)).size:
        simulator.grasp(rows, picked[rows])
    if (rows := np.flatnonzero(kind == PLACE)).size:
        simulator.release(rows, argument[rows], spots[rows])
    if (rows := np.flatnonzero(kind >= OPEN)).size:
        values = np.where(kind[rows] == OPEN, np.array(OPEN_JOINT)[argument[rows]], 0.0)
        simulator.set_joints(rows, argument[rows], values)

    facts.refresh(np.flatnonzero(valid), np.flatnonzero(kind > GO_TO))
    return valid


def spot_key(seed: int, episode_id: str) -> int:
    """The key of an episode's random spots, below 2⁶⁴."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{episode_id}".encode(), digest_size=8).digest(), "big")


def random_spots(keys: NDArray[np.uint64], steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Uniform spots [N, 2] in [-1, 1): a function of the episodes' keys [N] and step numbers [N] alone,

    so that replaying an episode's actions replays the episode (splitmix64's mixer; Steele et al. 2014).
    """
    counter = np.stack([2 * steps + 1, 2 * steps + 2], axis=1).astype(np.uint64)
    bits = keys[:, None] + counter * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0
