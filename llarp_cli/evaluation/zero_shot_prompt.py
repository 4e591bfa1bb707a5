"""What a language model is told when it is to act without training: the prompt of `zero-shot`, all of it.

A prompt is INTRODUCTION, then EXAMPLES, each a situation in words with the right skill behind it, then the present
situation in the same words, ending in "Next:". The words of a situation:

    Instruction: put the pear on the sofa
    Done: go to the sink; pick up the pear (not possible)
    Seen: sink: a pear; sofa: nothing
    Here: at the black table; in reach: black table; an apple and a can on the black table; the hand is empty
    Next:

The skill is to follow as `llarp` names it, " pick up the pear", and a line's end.
"""

from __future__ import annotations

from llarp_cli.rearrangement.instructions import with_article
from llarp_cli.rearrangement.situations import Situation
from llarp_cli.rearrangement.skills import SKILL_INDEX, SKILLS
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES

REMEMBERED = 8
"""So many of the latest skills are told."""

INTRODUCTION = f"""A robot does chores in a home, one skill at a time. Its skills:
go to the PLACE; go to the DOOR handle; pick up the OBJECT; place on the PLACE; open the DOOR; close the DOOR.
It holds at most one object. It picks up, puts down, opens and closes only what is in reach, and goes there first.
It does not know where things are until it has seen them: it looks for them from place to place.
Places: {", ".join(RECEPTACLES)}. Doors: {", ".join(JOINTS)}.
Objects: {", ".join(CATEGORIES)}.

"""

EXAMPLES: tuple[tuple[str, Situation, tuple[str, str]], ...] = (
    ("Bring the plum to the sink.", Situation(), ("go_to", "black table")),
    (
        "Bring the plum to the sink.",
        Situation(
            at="sofa",
            in_reach=("sofa",),
            here=(("sofa", ("plum", "book")),),
            elsewhere=(("black table", ("ball",)),),
            done=((SKILL_INDEX["go_to", "black table"], True), (SKILL_INDEX["go_to", "sofa"], True)),
        ),
        ("pick", "plum"),
    ),
    (
        "Bring the plum to the sink.",
        Situation(
            at="sofa",
            in_reach=("sofa",),
            here=(("sofa", ("book",)),),
            elsewhere=(("black table", ("ball",)),),
            holding="plum",
            done=((SKILL_INDEX["go_to", "sofa"], True), (SKILL_INDEX["pick", "plum"], True)),
        ),
        ("go_to", "sink"),
    ),
    (
        "Bring the plum to the sink.",
        Situation(
            at="sink",
            in_reach=("sink", "left counter"),
            elsewhere=(("black table", ("ball",)), ("sofa", ("book",))),
            holding="plum",
            done=((SKILL_INDEX["pick", "plum"], True), (SKILL_INDEX["go_to", "sink"], True)),
        ),
        ("place", "sink"),
    ),
    (
        "I left the fridge open, please shut it.",
        Situation(
            at="fridge handle",
            in_reach=("fridge",),
            opened=(("fridge", True),),
            done=((SKILL_INDEX["go_to", "fridge handle"], True),),
        ),
        ("close", "fridge"),
    ),
)
"""Instruction, situation, and the skill that is right then."""

ANCHOR = "Next:"
"""What a situation ends in; a skill follows."""


def prompt() -> str:
    """What comes before every situation."""
    shown = (f"{told(text, situation)} {SKILLS[SKILL_INDEX[skill]]}\n\n" for text, situation, skill in EXAMPLES)
    return INTRODUCTION + "".join(shown)


def told(instruction: str, situation: Situation) -> str:
    """An instruction and a situation in words, up to where a skill is to follow."""
    done = "; ".join(f"{SKILLS[action]}{'' if could else ' (not possible)'}" for action, could in _latest(situation))
    seen = "; ".join(f"{place}: {_listed(things) or 'nothing'}" for place, things in situation.elsewhere)
    here = [f"at the {situation.at}" if situation.at else "somewhere in the home"]
    if situation.in_reach:
        here.append(f"in reach: {', '.join(situation.in_reach)}")
    here += [f"{_listed(things)} {f'on the {place}' if place else 'nearby'}" for place, things in situation.here]
    here += [f"the {door} is {'open' if is_open else 'closed'}" for door, is_open in situation.opened]
    here.append(f"the hand holds {with_article(situation.holding)}" if situation.holding else "the hand is empty")
    return (
        f"Instruction: {instruction}\nDone: {done or 'nothing'}\nSeen: {seen or 'nothing'}\n"
        f"Here: {'; '.join(here)}\n{ANCHOR}"
    )


def _latest(situation: Situation) -> tuple[tuple[int, bool], ...]:
    return situation.done[-REMEMBERED:]


def _listed(things: tuple[str, ...]) -> str:
    named = [with_article(thing) for thing in things]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
