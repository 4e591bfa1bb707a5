"""A user's own sentence: what it seems to ask for, a home in which to try it, and when it has been carried out.

Only names are looked for, by the words the benchmark uses; a policy reads the whole sentence.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import Any

import numpy as np

from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.arrangements import arrange
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.environment import MAX_LETTERS
from llarp_cli.rearrangement.episodes import Episode, Task
from llarp_cli.rearrangement.facts import Facts
from llarp_cli.rearrangement.goals import CompiledGoals, parse
from llarp_cli.rearrangement.instructions import NOUNS
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.splits import OBJECTS
from llarp_cli.rearrangement.tasks import FAMILIES, Asked
from llarp_cli.rearrangement.vocabulary import CATEGORIES, SURFACES

DETERMINER = r"(?:an?|the|this|any|another|every|each|my|your|our)"
PRONOUN = r"(?:I|you|he|she|it|we|they|one)"
UNCLEAR = re.compile(
    r"\b(?:not|no|never|nowhere|nothing|without|except|unless|if|whether|or|otherwise|elsewhere|anywhere|somewhere|"
    r"another (?:place|home|spot)|new (?:place|home|spot)|other|different|gone|must go|rid|every|everything|all|each|"
    r"both|whole|away|nearest|nearer|closest|closer|far|farther|further|distant|between|beside|next to|borders|"
    r"separates|(?:left|right) of)\b"
    r"|n't\b",
    re.IGNORECASE,
)
"""Words with which names alone do not say what is asked."""
AWAY = r"(?:from|off|out of)\s+(?:\w+\s+)?"
"""What stands before the place where something is now."""

DRAWS = 5000
"""Tasks drawn at most; the rarest that can be asked for is one in 84."""

NO_GOAL: dict[str, Any] = {
    "expr_type": "AND",
    "sub_exprs": ["not_holding()", {"expr_type": "NOR", "sub_exprs": ["not_holding()"]}],
}
"""The goal of an episode of which nobody can say when it is done: never true."""

SO_ALREADY = "what it seems to ask is so already: success is not judged"

OWN = "own sentence"
"""The split, and where no goal is known the family, of an episode made for a sentence."""


def checked(text: str, flag: str) -> str:
    """A sentence as it may be an instruction.

    Args:
        text: as typed.
        flag: where, e.g. "--instruction".

    Raises:
        UsageProblem: it is empty, too long, or not text.
    """
    text = " ".join(text.split())
    if not text:
        raise UsageProblem(f"{flag} is empty", "write what is to be done")
    if len(text) > MAX_LETTERS:
        raise UsageProblem(f"{flag} has {len(text)} characters", f"write at most {MAX_LETTERS}")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise UsageProblem(f"{flag} holds characters that are not text", "write it in letters, digits and signs")
    return text


def guess_slots(text: str) -> tuple[str, dict[str, str]] | None:
    """The family and slots that a sentence seems to mean; None where the names in it do not say.

    Args:
        text: e.g. "bring me the apple from the sink to the sofa".
    """
    text = text.replace("’", "'")
    naming = [part for part in re.split(r"[.!?;]", text) if _mentioned((*CATEGORIES, *SURFACES, "fridge"), part)]
    if len(naming) > 1 or UNCLEAR.search(text):
        return None
    objects = _mentioned(CATEGORIES, text)
    sources = [name for name in _mentioned(SURFACES, text) if re.search(AWAY + re.escape(name), text, re.IGNORECASE)]
    targets = [name for name in _mentioned(SURFACES, text) if name not in sources]
    match objects, sources, targets:
        case [thing], [], [target]:
            return "fetch", {"object": thing, "target": target}
        case [thing], [source], []:
            return "put_away", {"object": thing, "source": source}
        case [thing], [source], [target]:
            return "move", {"object": thing, "source": source, "target": target}
        case [first, second], [], [target]:
            return "two_objects", {"object1": first, "object2": second, "target": target}
        case [], [], [] if re.search(r"\b(?:open|close|shut)\b.*\bfridge\b", text, re.IGNORECASE):
            verbs = {verb.casefold() for verb in re.findall(r"\b(?:open|close|shut)\b", text, re.IGNORECASE)}
            if len(verbs) == 1:
                return "open_fridge" if verbs == {"open"} else "close_fridge", {}
    return None


def understand(text: str) -> tuple[str, Asked] | None:
    """The family and the task that a sentence seems to mean, with its goal; None where it does not say."""
    guess = guess_slots(text)
    if guess is None:
        return None
    family, slots = guess
    objects = [value for name, value in slots.items() if name.startswith("object")]
    for i in range(DRAWS):
        asked = FAMILIES[family].make(objects, Draws("understood", i))
        if asked.slots == slots:
            return family, asked
    return None


def own_episode(world: World, text: str, home: str | None = None, seed: int = 0) -> tuple[Episode, str]:
    """A home in which to try a sentence: one object of every category, what the sentence names in view somewhere.

    Args:
        world: where.
        text: becomes the instruction; "" asks nothing.
        home: a scene's name; None takes one of the unseen homes, by the seed.
        seed: of what stands where.

    Returns:
        The episode, and what success in it means.

    Raises:
        UsageProblem: there is no such home.
        LlarpError: it has no room for the objects.
    """
    home = home or own_home(world, seed)
    scene = world.scene(home)
    understood = understand(text)
    if understood is None:
        task = Task(OWN, {}, text, "own", (), NO_GOAL)
        note = _no_goal() if text else ""
    else:
        family, asked = understood
        task = Task(family, asked.slots, text, "own", asked.required, asked.goal, asked.joints, asked.unique)
        note = _understood_as(family, asked.slots)
    arrangement = arrange(task, scene, world.sizes, OBJECTS, Draws(OWN, home, seed))
    return Episode(f"{home}-{seed}", OWN, task.family, text, task.slots, task.goal, arrangement), note


def own_home(world: World, seed: int) -> str:
    """One of the unseen homes."""
    homes = world.test_scenes()
    return homes[seed % len(homes)]


def with_sentence(episode: Episode, text: str) -> tuple[Episode, str]:
    """An episode told in other words, and what success means then.

    Its goal stays where the sentence is its own, or seems to ask for the same; else the goal is what the sentence
    seems to ask for, if anything.
    """
    if plain(text) == plain(episode.instruction):
        return episode, goal_note(episode)
    understood = understand(text)
    if understood is None:
        return without_goal(replace(episode, instruction=text)), _no_goal()
    family, asked = understood
    if asked.goal == episode.goal:
        note = "it seems to ask what the episode's own sentence asks; success is judged by the episode's goal"
        return replace(episode, instruction=text), note
    return replace(episode, instruction=text, family=family, slots=asked.slots, goal=asked.goal), _understood_as(
        family, asked.slots
    )


def goal_note(episode: Episode) -> str:
    """What success in an episode means."""
    if knows_goal(episode):
        return "success is judged by the episode's goal"
    return _no_goal() if episode.instruction else "nothing is asked"


def without_goal(episode: Episode) -> Episode:
    """An episode of which nobody can say when it is done."""
    return replace(episode, family=OWN, slots={}, goal=NO_GOAL)


def reached_at_start(world: World, episode: Episode) -> bool:
    """Whether there is nothing left to do."""
    simulator = world.simulator(1, len(episode.arrangement.objects))
    simulator.reset(0, episode.arrangement)
    facts, goals, home = Facts(simulator), CompiledGoals(1), np.zeros(1, np.intp)
    facts.refresh(home, home)
    goals.set(0, parse(episode.goal), simulator.categories[0])
    reached = bool(goals.evaluate(facts)[0])
    simulator.close()
    return reached


def knows_goal(episode: Episode) -> bool:
    """Whether anybody can say when an episode is done."""
    return episode.goal != NO_GOAL


def plain(text: str) -> str:
    """A sentence without what makes no difference: case, spaces, the full stop."""
    return " ".join(text.split()).rstrip(".!").casefold()


def _understood_as(family: str, slots: dict[str, str]) -> str:
    told = ", ".join(f"{name} = {value}" for name, value in slots.items())
    return f"understood as {family}{': ' * bool(slots)}{told}; success is judged by that"


def _no_goal() -> str:
    return "no goal is known for this sentence: success is not judged"


def _pattern(name: str) -> str:
    # "Can you" names no can: that has an article, with at most one word before it that is no pronoun.
    before = rf"\b{DETERMINER}\s+(?:(?!{PRONOUN}\b)\w+\s+)?" if name == "can" else r"\b"
    after = rf"(?!\s+(?:be|{PRONOUN})\b)" if name == "can" else ""
    return rf"{before}(?:{re.escape(name)}|{re.escape(NOUNS.get(name, name))})\b{after}"


def _mentioned(names: tuple[str, ...], text: str) -> list[str]:
    """Names in a text, in the order in which they appear."""
    found = {name: re.search(_pattern(name), text, re.IGNORECASE) for name in names}
    return sorted((name for name, match in found.items() if match), key=lambda name: found[name].start())
