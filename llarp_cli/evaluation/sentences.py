"""A user's own sentence: what it seems to ask for, and an episode in which that can be done.

Only names are looked for, by the words the benchmark uses; a policy reads the whole sentence.
"""

from __future__ import annotations

import re
from dataclasses import replace

from llarp_cli.rearrangement.arrangements import arrange
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episodes import Episode, Task
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.splits import OBJECTS
from llarp_cli.rearrangement.tasks import FAMILIES
from llarp_cli.rearrangement.vocabulary import CATEGORIES, SURFACES

AWAY = r"(?:from|off|out of)\s+(?:\w+\s+)?"
"""What stands before the place where something is now."""

DRAWS = 5000
"""Tasks drawn at most; the rarest that can be asked for is one in 84."""


def guess_slots(text: str) -> tuple[str, dict[str, str]] | None:
    """The family and slots that a sentence seems to mean; None where the names in it do not say.

    Args:
        text: e.g. "bring me the apple from the sink to the sofa".
    """
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
    return None


def episode_for(world: World, text: str, seed: int) -> Episode | None:
    """An episode in an unseen home in which a sentence's task, as guessed, can be done.

    Args:
        world: where.
        text: becomes the instruction.
        seed: of the home and of what stands where.

    Returns:
        None where the sentence does not say.
    """
    guess = guess_slots(text)
    if guess is None:
        return None
    family, slots = guess
    objects = [value for name, value in slots.items() if name.startswith("object")]
    homes = world.test_scenes()
    home = homes[seed % len(homes)]
    for i in range(DRAWS):
        draws = Draws("own sentence", seed, i)
        asked = FAMILIES[family].make(objects, draws)
        if asked.slots == slots:
            task = Task(family, slots, text, "own", asked.required, asked.goal, unique=asked.unique)
            arrangement = arrange(task, world.scene(home), world.sizes, OBJECTS, draws)
            return Episode(f"own-{seed}", "own sentence", family, text, slots, asked.goal, arrangement)
    return None


def with_sentence(episode: Episode, text: str) -> Episode:
    """An episode told in other words; its goal stays."""
    return replace(episode, instruction=text)


def _mentioned(names: tuple[str, ...], text: str) -> list[str]:
    """Names in a text, in the order in which they appear."""
    found = {name: re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) for name in names}
    return sorted((name for name, match in found.items() if match), key=lambda name: found[name].start())
