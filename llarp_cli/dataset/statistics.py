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
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.rearrangement.alternatives import alternatives, is_so
from llarp_cli.rearrangement.environment import MAX_STEPS
from llarp_cli.rearrangement.episode_files import BadLine
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.execution import FIRST_RECEPTACLE
from llarp_cli.rearrangement.goals import AT_TARGET, HOLDING, ON, parse
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.vocabulary import RECEPTACLES, TARGETS

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
        targets: receptacle → objects that have to go there, and times the robot has to.
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
    for play, row in _begun(world, _episodes(source)):
        episode, plan = play.episodes[row], play.plan(row)
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
        _count_receptacles(play, row, found)
    found.sentences, found.homes = len(sentences), len(homes)
    found.families = dict(sorted(found.families.items(), key=lambda item: -item[1].episodes))
    return found


def _episodes(source: Source) -> Iterator[Episode]:
    for line, one in counted(source.read(), source.count):
        if isinstance(one, BadLine):
            raise UsageProblem(f"{source.name}, line {line}: {one.message}", one.hint)
        yield one


def _begun(world: World, episodes: Iterable[Episode]) -> Iterator[tuple[Play, int]]:
    """Each episode at its start, in a row of a play."""
    play = Play(world, ROWS, SMALLEST_PICTURE, RewardOptions(), MAX_STEPS, seed=0)
    episodes = iter(episodes)
    while batch := list(islice(episodes, ROWS)):
        for episode in batch:
            _check_scene(world, episode)
        play.begin({row: batch[row] if row < len(batch) else None for row in range(ROWS)})
        yield from ((play, row) for row in range(len(batch)))


def _check_scene(world: World, episode: Episode) -> None:
    try:
        world.scene(episode.arrangement.scene)
    except LlarpError as problem:
        raise UsageProblem(f"episode {episode.id}: {problem.message}", "`llarp dataset validate` tells more") from None


def _count_receptacles(play: Play, row: int, found: Statistics) -> None:
    """Count where objects have to be taken from and where they, or the robot, have to go.

    Of the ways in which a goal can come true, that for which the fewest facts have to change.
    """
    episode = play.episodes[row]
    ways = alternatives(parse(episode.goal), play.simulator.categories[row], play.facts, row)
    moved: set[int] = set()
    for fact, wanted in (ways[0] if ways else {}).items():
        if is_so(fact, play.facts, row) == wanted:
            continue
        if fact.kind in (ON, HOLDING):
            moved.add(fact.thing)
        if fact.kind == ON and wanted:
            found.targets[RECEPTACLES[fact.place]] += 1
        if fact.kind == AT_TARGET and wanted and fact.thing >= FIRST_RECEPTACLE:
            found.targets[TARGETS[fact.thing]] += 1
    found.sources.update(episode.arrangement.objects[m].receptacle for m in moved)
