"""The splits: which families, sentences and homes an episode is drawn from, and the episodes themselves.

A training set has no end and is never stored: episode i is made from (split, seed, i). An evaluation split is
100 fixed episodes; for the home they ship with the package, elsewhere they are made anew, always the same.

Names follow the paper (Szot et al. 2024, section 5.1): "multiple_rearrangements" asks for three objects,
"multiple_objects" for every object of a kind.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import resources

from llarp_cli.config import UNSEEN_HOMES, TaskOptions
from llarp_cli.errors import UsageProblem, unknown
from llarp_cli.rearrangement.arrangements import arrange
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episode_files import read_episodes
from llarp_cli.rearrangement.episodes import Episode, Task
from llarp_cli.rearrangement.relations import answer
from llarp_cli.rearrangement.simulator import Scene, World
from llarp_cli.rearrangement.tasks import FAMILIES, TRAINED, by_weight, make_task
from llarp_cli.rearrangement.vocabulary import HELD_OUT_CATEGORIES, SURFACES, TRAIN_CATEGORIES

SPLIT_SIZE = 100
"""Episodes of an evaluation split."""
OBJECTS = 35
"""Objects in a home of an evaluation split."""
FIRST_HOMES = 100
"""The evaluation split "train" stays within this many training homes, so that every run has seen them."""
AHEAD = 32
"""Training episodes made before they are needed."""
_REDRAWN = 200
"""Tasks drawn in place of one that a scene has not the furniture for."""
_OPENS = re.compile(r"(?:opened|closed)_(?:fridge|cab)\(([^()]*)\)")


@dataclass(frozen=True)
class Split:
    """Where a split's episodes come from.

    Attributes:
        description: one line.
        families: which it draws from, each by its weight.
        wordings: as for `make_task`.
        homes: "train", "unseen" (procedural like those, never trained in) or "test".
        training: whether one may train on it.
        categories: tasks name only these; empty for all that a family names.
    """

    description: str
    families: tuple[str, ...]
    wordings: str
    homes: str = "test"
    training: bool = False
    categories: tuple[str, ...] = ()


_PLACED = tuple(family for family in TRAINED if family != "find")
"""The trained families whose sentences name a place."""

SPLITS: dict[str, Split] = {
    "train": Split("training homes and sentences, episodes never trained on", TRAINED, "train", "train", True),
    "train_strict": Split(
        "as train, held-out objects never named", TRAINED, "train", "train", True, categories=TRAIN_CATEGORIES
    ),
    "train_validation": Split("homes like the training ones, never trained in", TRAINED, "train", "unseen"),
    "new_scenes": Split("unseen homes", TRAINED, "train"),
    "rephrasing": Split("held-out sentences", TRAINED, "held_out"),
    "referring_expressions": Split("objects described by their look, not named", ("refer",), "held_out"),
    "spatial_relationships": Split("surfaces given by where they stand", ("spatial",), "held_out"),
    "context": Split("a need described, not an object", ("context",), "held_out"),
    "irrelevant_text": Split("a request beside words that do not matter", ("distraction",), "held_out"),
    "multiple_rearrangements": Split("three objects to three surfaces", ("three_objects",), "held_out"),
    "novel_objects": Split(
        "objects new to move and fetch; other families had them",
        ("move", "fetch"),
        "train",
        categories=HELD_OUT_CATEGORIES,
    ),
    "multiple_objects": Split("every object of a kind", ("all_of_kind", "all_from"), "held_out"),
    "conditional_instructions": Split("what to do depends on the fridge door", ("if_fridge",), "held_out"),
    "synonyms": Split("places by names never trained on", _PLACED, "synonyms"),
}
"""Name → split, in the order of every table. All but the first three take place in unseen homes."""

_PARAPHRASTIC = ("rephrasing", "referring_expressions", "spatial_relationships", "context", "irrelevant_text")
_BEHAVIOR = ("multiple_rearrangements", "novel_objects", "multiple_objects", "conditional_instructions")

GROUPS: dict[str, tuple[str, ...]] = {
    "paraphrastic": _PARAPHRASTIC,
    "behavior": _BEHAVIOR,
    "all": ("new_scenes", *_PARAPHRASTIC, *_BEHAVIOR),
}
"""Name → the splits it stands for, as in the paper; "all" are its ten, a thousand episodes."""


def find_split(name: str) -> Split:
    """The split of that name.

    Raises:
        UsageProblem: there is none.
    """
    if name in GROUPS:
        raise UsageProblem(f"'{name}' is a group of splits", f"name one of them: {', '.join(GROUPS[name])}")
    if name not in SPLITS:
        raise unknown("split", name, [*SPLITS, *GROUPS])
    return SPLITS[name]


def expand(names: Sequence[str]) -> list[str]:
    """The splits that names of splits and groups stand for, none twice; all there are where none is named.

    Raises:
        UsageProblem: a name is neither.
    """
    splits = [one for name in names or SPLITS for one in GROUPS.get(name, (name,))]
    for name in splits:
        find_split(name)
    return list(dict.fromkeys(splits))


def training_task(
    split: str, index: int, families: Sequence[str] = (), categories: Sequence[str] = (), seed: int = 0
) -> Task:
    """Task `index` of a training split, rebuilt from its number.

    Args:
        split: a training split.
        index: from 0 on, without end.
        families: draw from these, evenly; empty for all the split has.
        categories: name only these; empty for all.
        seed: another seed is another training set.

    Raises:
        UsageProblem: split, family or categories will not do.
    """
    return _training_task(split, _round(split, families), categories, Draws("train", split, seed, index))


class TrainingEpisodes:
    """The training episodes of a process, one after the other, without end.

    The next few are made ahead of need, in a thread of their own.

    Args:
        world: where they take place.
        tasks: split, families, categories, how many tasks, objects and homes.
        seed: of the training set.
        start: index of the first.
        stride: from one index to the next; ranks and workers take turns by start and stride.

    Attributes:
        position: index of the next episode; set it to resume.

    Raises:
        UsageProblem: split, families or categories will not do.
    """

    def __init__(self, world: World, tasks: TaskOptions, seed: int, start: int = 0, stride: int = 1):
        self._world, self._tasks, self._seed, self._stride = world, tasks, seed, stride
        self._families = _round(tasks.split, tasks.families)
        self._maker = ThreadPoolExecutor(1, "episodes")
        self._ahead: deque[Future[Episode]] = deque()
        self._position = start
        # Said now, not in the middle of a run.
        world.scene(world.train_scene(0))
        for family in self._families:
            make_task(family, Draws("check"), categories=_pool(tasks.split, family, tasks.categories))

    @property
    def position(self) -> int:
        return self._position

    @position.setter
    def position(self, position: int) -> None:
        for future in self._ahead:
            future.cancel()
        self._ahead.clear()
        self._position = position

    def __call__(self) -> Episode:
        """The next episode."""
        while len(self._ahead) <= AHEAD:
            self._ahead.append(self._maker.submit(self.episode, self._position + len(self._ahead) * self._stride))
        episode = self._ahead.popleft().result()
        self._position += self._stride
        return episode

    def upcoming(self, count: int) -> list[Episode]:
        """The next of the episodes that are being made, up to so many: the same ones whatever the time."""
        return [future.result() for future in itertools.islice(self._ahead, count)]

    def episode(self, index: int) -> Episode:
        """The episode of an index."""
        tasks = self._tasks
        number = Draws("task", tasks.split, self._seed, index).below(tasks.count) if tasks.count else index
        draws = Draws("arrangement", tasks.split, self._seed, index)
        home = self._world.train_scene(draws.below(tasks.homes))
        scene = self._world.scene(home)
        for attempt in range(_REDRAWN):
            key = (number, attempt) if attempt else (number,)
            task = _training_task(
                tasks.split, self._families, tasks.categories, Draws("train", tasks.split, self._seed, *key)
            )
            if possible(task, scene):
                break
        else:
            raise UsageProblem(
                f"scene '{home}' has not what tasks of {', '.join(dict.fromkeys(self._families))} need",
                "choose other families, or describe more of the scene",
            )
        return _episode(self._world, f"{tasks.split}-{index}", tasks.split, task, home, tasks.objects, draws)


class EpisodeList:
    """Given episodes, each once.

    Args:
        episodes: in order.

    Attributes:
        position: index of the next episode; set it to resume.
    """

    def __init__(self, episodes: Sequence[Episode]):
        self._episodes = episodes
        self.position = 0

    def __call__(self) -> Episode | None:
        """The next episode; None when there are no more."""
        if self.position >= len(self._episodes):
            return None
        self.position += 1
        return self._episodes[self.position - 1]

    def upcoming(self, count: int) -> list[Episode]:
        """The next episodes, up to so many."""
        return list(self._episodes[self.position : self.position + count])


def split_episodes(world: World, split: str, families: Sequence[str] | None = None) -> list[Episode]:
    """The 100 fixed episodes of an evaluation split.

    Args:
        world: where they take place.
        split: its name.
        families: only the episodes of these families.

    Raises:
        UsageProblem: split or families are not known.
    """
    found = find_split(split)
    chosen = _chosen(split, found, families)
    shipped = resources.files("llarp_cli.rearrangement").joinpath(f"data/{world.name}/{split}.jsonl.gz")
    if shipped.is_file():
        with resources.as_file(shipped) as path:
            episodes = read_episodes(path)
    else:
        episodes = fixed_episodes(world, split)
    return [episode for episode in episodes if episode.family in chosen]


def fixed_tasks(split: str) -> list[Task]:
    """The tasks of an evaluation split's fixed episodes, which are the same in every world."""
    return [task for task, _ in _tasks(split, SPLIT_SIZE, by_weight(find_split(split).families), "fixed")]


def fixed_episodes(world: World, split: str) -> list[Episode]:
    """The fixed episodes of an evaluation split, made anew: 100, less those whose relation no test home fulfils."""
    families = by_weight(find_split(split).families)
    return list(_made(world, split, SPLIT_SIZE, families, "fixed", f"{split}-{{:04d}}"))


def generate(
    world: World, split: str, count: int, seed: int = 0, families: Sequence[str] | None = None
) -> Iterator[Episode]:
    """More episodes of a split's kind; none is one of the fixed ones.

    Args:
        world: where they take place.
        split: its name.
        count: how many.
        seed: another seed gives others.
        families: of these families, by weight; all of the split's where left out.

    Raises:
        UsageProblem: split or families are not known.
    """
    chosen = by_weight(_chosen(split, find_split(split), families))
    return _made(world, split, count, chosen, f"generated {seed}", f"{split}-{seed}-{{:05d}}")


def fingerprint(tasks: Sequence[Task]) -> str:
    """SHA-256 of tasks, in hexadecimal: of whole numbers and text alone, the same on every machine."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(json.dumps(asdict(task), sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def _chosen(split: str, found: Split, families: Sequence[str] | None) -> tuple[str, ...]:
    """The families asked for, all of which the split must have."""
    for family in families or ():
        if family not in FAMILIES:
            raise unknown("family", family, FAMILIES)
        if family not in found.families:
            raise UsageProblem(f"split '{split}' has no family '{family}'", f"it has {', '.join(found.families)}")
    return tuple(families) if families else found.families


def _round(split: str, families: Sequence[str]) -> tuple[str, ...]:
    """A training split's families, each as often as its weight says."""
    found = find_split(split)
    if not found.training:
        known = ", ".join(name for name, one in SPLITS.items() if one.training)
        raise UsageProblem(f"split '{split}' is for evaluation only", f"train on {known}")
    return by_weight(_chosen(split, found, families))


def _pool(split: str, family: str, categories: Sequence[str] = ()) -> tuple[str, ...]:
    """The categories that a family's tasks may name in a split, out of those given if any are.

    Raises:
        UsageProblem: too few are left.
    """
    all_of_them = SPLITS[split].categories or FAMILIES[family].categories
    pool = tuple(category for category in all_of_them if category in categories) if categories else all_of_them
    needed = FAMILIES[family].objects
    if len(pool) < needed:
        held_out = ", ".join(HELD_OUT_CATEGORIES)
        raise UsageProblem(
            f"family '{family}' needs {needed} categories to choose from, got {len(pool)}",
            f"give it more; in training {held_out} are held out of move, fetch and find",
        )
    return pool


def _training_task(split: str, families: Sequence[str], categories: Sequence[str], draws: Draws) -> Task:
    family = draws.choice(families)
    return make_task(family, draws, SPLITS[split].wordings, _pool(split, family, categories))


def _tasks(split: str, count: int, families: Sequence[str], key: str) -> Iterator[tuple[Task, Draws]]:
    """Tasks, families in turn, each with the draws that its arrangement goes on with."""
    for i in range(count):
        draws, family = Draws(key, split, i), families[i % len(families)]
        yield make_task(family, draws, SPLITS[split].wordings, _pool(split, family)), draws


def _made(world: World, split: str, count: int, families: Sequence[str], key: str, ids: str) -> Iterator[Episode]:
    for i, (task, draws) in enumerate(_tasks(split, count, families, key)):
        home = _home(world, SPLITS[split].homes, task, i, draws)
        if home is None:
            continue
        yield _episode(world, ids.format(i), split, task, home, OBJECTS, draws)


def possible(task: Task, scene: Scene) -> bool:
    """Whether a scene has what a task speaks of, and room for what it needs. The embedded home always does."""
    room = {name for name, row in zip(SURFACES, scene.surfaces.tolist(), strict=True) if row[4] and row[5]}
    if not scene.absent and len(room) == len(SURFACES):
        return True
    named = {place for slot, place in task.slots.items() if slot.startswith(("source", "target"))}
    named |= {f"{joint} handle" for joint in (*_OPENS.findall(json.dumps(task.goal)), *task.joints)}
    if named & scene.absent:
        return False
    return all(one.receptacle in room if one.receptacle else bool(room - set(one.avoid)) for one in task.required)


def _home(world: World, homes: str, task: Task, turn: int, draws: Draws) -> str | None:
    """A home's name; test homes take turns. None where a task cannot be done, or its relation holds in no test home."""
    if homes != "test":
        name = world.train_scene(draws.below(FIRST_HOMES) + (UNSEEN_HOMES if homes == "unseen" else 0))
        return name if possible(task, world.scene(name)) else None
    names = world.test_scenes()
    first = turn + turn // len(names)  # so that a family does not meet the same homes in every round
    for i in range(len(names)):
        name = names[(first + i) % len(names)]
        if not possible(task, world.scene(name)):
            continue
        if not task.relation or answer(task.relation, world.scene(name)) == task.slots["target"]:
            return name
    return None


def _episode(world: World, name: str, split: str, task: Task, home: str, objects: int, draws: Draws) -> Episode:
    arrangement = arrange(task, world.scene(home), world.sizes, objects, draws)
    return Episode(name, split, task.family, task.instruction, task.slots, task.goal, arrangement)
