"""What is in some episodes: families, sentences, plan lengths, receptacles, homes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from llarp_cli.config import RewardOptions
from llarp_cli.dataset.progress import counted
from llarp_cli.dataset.sources import Source
from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.environment import MAX_STEPS
from llarp_cli.rearrangement.episode_files import BadLine
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.goals import parse
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.reward import literals
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.vocabulary import CATEGORIES, CATEGORY_OF, RECEPTACLES

ROWS = 64
SMALLEST_PICTURE = 16


@dataclass
class FamilyStatistics:
    """Of one family's episodes.

    Attributes:
        words: of each sentence → episodes.
        plans: steps of a shortest plan with full knowledge → episodes.
        sentences: the first few different ones.
    """

    episodes: int = 0
    words: Counter[int] = field(default_factory=Counter)
    plans: Counter[int] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)


@dataclass
class Statistics:
    """Of a split, a file, or part of a training set.

    Attributes:
        name, description: see `Source`.
        episodes: how many.
        sentences: different ones.
        homes: different ones.
        families: those there are, most frequent first.
        objects: in a home → episodes.
        sources: receptacle → objects that start there and have to be moved.
        targets: receptacle → goals that send an object or the robot there.
        unsolved: episodes for which there is no plan.
    """

    name: str
    description: str
    episodes: int = 0
    sentences: int = 0
    homes: int = 0
    families: dict[str, FamilyStatistics] = field(default_factory=dict)
    objects: Counter[int] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    targets: Counter[str] = field(default_factory=Counter)
    unsolved: int = 0

    @property
    def words(self) -> Counter[int]:
        """Words of a sentence → episodes."""
        return sum((one.words for one in self.families.values()), Counter())

    @property
    def plans(self) -> Counter[int]:
        """Steps of a shortest plan → episodes."""
        return sum((one.plans for one in self.families.values()), Counter())

    def to_json(self) -> dict[str, Any]:
        """As `llarp dataset show --json` writes it; numbers that were counted are keys, as text."""
        return {
            "description": self.description,
            "episodes": self.episodes,
            "sentences": self.sentences,
            "homes": self.homes,
            "objects": _counts(self.objects),
            "words": _counts(self.words),
            "plans": _counts(self.plans),
            "unsolved": self.unsolved,
            "sources": _counts(self.sources),
            "targets": _counts(self.targets),
            "families": {
                name: {
                    "episodes": one.episodes,
                    "words": _counts(one.words),
                    "plans": _counts(one.plans),
                    "sentences": one.sentences,
                }
                for name, one in self.families.items()
            },
        }


def _counts(counts: Counter[Any]) -> dict[str, int]:
    return {str(key): counts[key] for key in sorted(counts)}


def mean(counts: Counter[int]) -> float:
    """Of numbers, each as often as it was counted; 0 where there are none."""
    return sum(number * times for number, times in counts.items()) / max(counts.total(), 1)


def statistics_of(world: World, source: Source, samples: int = 1) -> Statistics:
    """Read all of a source and count.

    Args:
        world: where its episodes take place.
        source: see `sources`.
        samples: sentences to keep of each family.

    Raises:
        UsageProblem: a line is no episode, or its scene or goal will not do.
    """
    found = Statistics(source.name, source.description)
    sentences: set[str] = set()
    homes: set[str] = set()
    for episode, plan in _planned(world, _episodes(source)):
        found.episodes += 1
        sentences.add(episode.instruction)
        homes.add(episode.arrangement.scene)
        family = found.families.setdefault(episode.family, FamilyStatistics())
        family.episodes += 1
        family.words[len(episode.instruction.split())] += 1
        if len(family.sentences) < samples and episode.instruction not in family.sentences:
            family.sentences.append(episode.instruction)
        if plan is None:
            found.unsolved += 1
        else:
            family.plans[len(plan)] += 1
        found.objects[len(episode.arrangement.objects)] += 1
        _count_receptacles(episode, found)
    found.sentences, found.homes = len(sentences), len(homes)
    found.families = dict(sorted(found.families.items(), key=lambda item: -item[1].episodes))
    return found


def _episodes(source: Source) -> Iterator[Episode]:
    for line, one in counted(source.read(), source.count):
        if isinstance(one, BadLine):
            raise UsageProblem(f"{source.name}, line {line}: {one.message}", one.hint)
        yield one


def _planned(world: World, episodes: Iterable[Episode]) -> Iterator[tuple[Episode, list[int] | None]]:
    """Episodes with a shortest plan of each, None where there is none."""
    play = Play(world, ROWS, SMALLEST_PICTURE, RewardOptions(), MAX_STEPS, seed=0)
    episodes = iter(episodes)
    while batch := list(islice(episodes, ROWS)):
        for episode in batch:
            _check_scene(world, episode)
        play.begin({row: batch[row] if row < len(batch) else None for row in range(ROWS)})
        for row, episode in enumerate(batch):
            yield episode, play.plan(row)


def _check_scene(world: World, episode: Episode) -> None:
    try:
        world.scene(episode.arrangement.scene)
    except UsageProblem as problem:
        raise UsageProblem(f"episode {episode.id}: {problem.message}", "`llarp dataset validate` tells more") from None


def _count_receptacles(episode: Episode, found: Statistics) -> None:
    """Count where the goal's objects start and where they have to go; what is so already is left out."""
    starts: dict[int, list[str]] = {}
    for one in episode.arrangement.objects:
        starts.setdefault(CATEGORIES.index(CATEGORY_OF[one.asset]), []).append(one.receptacle)
    for literal in literals(parse(episode.goal)):
        name, arguments = literal.predicate.name, literal.predicate.arguments
        if name in ("on_top", "in"):
            category, every = literal.binding[arguments[0]]
            lying = starts.get(category, [])
            to_move = [place for place in lying if (place == arguments[1]) != literal.wanted]
            if every or len(to_move) == len(lying):
                found.sources.update(to_move if every else to_move[:1])
                found.targets.update([arguments[1]] if literal.wanted and to_move else [])
        elif name == "robot_at" and literal.wanted and arguments[0] in RECEPTACLES:
            found.targets[arguments[0]] += 1
