"""The state of a home in words for a person: why a skill cannot be used, what a goal asks."""

from __future__ import annotations

import math

from llarp_cli.rearrangement.execution import DRAWERS, FIRST_RECEPTACLE
from llarp_cli.rearrangement.facts import OBJECT_BEARING, OBJECT_REACH, TARGET_REACH, Facts, within
from llarp_cli.rearrangement.goals import Goal
from llarp_cli.rearrangement.simulator import Simulator
from llarp_cli.rearrangement.skills import SKILLS, Skill
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES


def why_not(simulator: Simulator, facts: Facts, home: int, action: int) -> str:
    """Why a skill cannot be used; "" where it can. Agrees with `execution.check`.

    Args:
        facts: of the simulator's present state.
        home: which home.
        action: index of the skill.
    """
    skill = SKILLS[action]
    if skill.kind == "pick":
        return _why_not_pick(simulator, facts, home, skill)
    if skill.kind == "place":
        if facts.held[home] < 0:
            return "the hand is empty"
        return _out_of_reach(simulator, facts, home, FIRST_RECEPTACLE + skill.argument, f"the {skill.target}")
    if skill.kind in ("open", "close"):
        return _why_not_turn(simulator, facts, home, skill)
    return ""


def held_name(simulator: Simulator, home: int) -> str:
    """The category of what is held; "" for nothing."""
    held = int(simulator.held[home])
    return "" if held < 0 else CATEGORIES[simulator.categories[home, held]]


def _why_not_pick(simulator: Simulator, facts: Facts, home: int, skill: Skill) -> str:
    name = skill.target
    if facts.held[home] >= 0:
        return f"the hand is full: it holds the {held_name(simulator, home)}"
    instances = simulator.categories[home] == skill.argument
    if not instances.any():
        return f"there is no {name} in this home"
    shut = set()
    for drawer in simulator.drawers[home, instances & facts.at_object[home]].tolist():
        if not 0 <= drawer < DRAWERS or not facts.closed[home, drawer]:
            return ""
        shut.add(f"the {JOINTS[drawer]}")
    if shut:
        return f"the {name} is in {' or '.join(sorted(shut))}, which is closed"
    around = within(
        simulator.robot[home : home + 1], simulator.positions[home : home + 1], OBJECT_REACH, math.pi - 1e-6
    )
    if (around[0] & instances).any():
        return f"the {name} is near but not ahead, within {math.degrees(OBJECT_BEARING):.0f}° of where it looks"
    return f"no {name} within {OBJECT_REACH} m"


def _why_not_turn(simulator: Simulator, facts: Facts, home: int, skill: Skill) -> str:
    joint = skill.argument
    if skill.kind == "open" and not facts.closed[home, joint]:
        return f"the {skill.target} is not closed"
    if skill.kind == "close" and not facts.opened[home, joint]:
        return f"the {skill.target} is {'closed' if facts.closed[home, joint] else 'not open'}"
    return _out_of_reach(simulator, facts, home, joint, f"the handle of the {skill.target}")


def _out_of_reach(simulator: Simulator, facts: Facts, home: int, target: int, name: str) -> str:
    if facts.at_target[home, target]:
        return ""
    x, _, z = simulator.targets[home, target] - [simulator.robot[home, 0], 0, simulator.robot[home, 1]]
    distance = math.hypot(x, z)
    if distance > TARGET_REACH:
        return f"{name} is {distance:.1f} m away; the arm reaches {TARGET_REACH} m"
    return f"{name} is behind"


def standing_at(facts: Facts, home: int) -> list[str]:
    """The receptacles in reach."""
    return [name for name, near in zip(RECEPTACLES, facts.at_target[home, FIRST_RECEPTACLE:], strict=True) if near]


def goal_text(goal: Goal) -> str:
    """A goal in one line, e.g. "for some apple X: on_top(X, sofa) and not_holding()"."""
    joined = (" and " if goal.connective in ("AND", "NAND") else " or ").join(
        f"({goal_text(term)})" if isinstance(term, Goal) else str(term) for term in goal.terms
    )
    if goal.connective in ("NAND", "NOR"):
        joined = f"not ({joined})"
    if goal.quantifier is None:
        return joined
    bound = ", ".join(f"{category} {name}" for name, category in goal.inputs)
    return f"for {'some' if goal.quantifier == 'EXISTS' else 'every'} {bound}: {joined}"
