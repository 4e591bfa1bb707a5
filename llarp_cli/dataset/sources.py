"""Where episodes to be looked at come from: splits, groups of splits, files, training sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llarp_cli.config import TaskOptions
from llarp_cli.errors import UsageProblem, unknown
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episode_files import BadLine, scan_episodes
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.splits import GROUPS, SPLITS, TrainingEpisodes, find_split, split_episodes

TRAINING_SET = 150_000
"""Indices of a training set that random ones are drawn from: as many tasks as the paper trains on."""

Numbered = tuple[int | None, Episode | BadLine]
"""The line of a file, None where there is no file; and the episode, or what is wrong with the line."""


@dataclass(frozen=True)
class Source:
    """Episodes to look at.

    Attributes:
        name: of the split, or the file as typed.
        description: one line.
        count: how many episodes; None where only reading tells.
        read: gives them, from the first on, at each call.
    """

    name: str
    description: str
    count: int | None
    read: Callable[[], Iterator[Numbered]]


def split_source(world: World, name: str) -> Source:
    """The fixed episodes of an evaluation split."""
    episodes = split_episodes(world, name)
    return Source(name, SPLITS[name].description, len(episodes), lambda: ((None, one) for one in episodes))


def file_source(path: Path) -> Source:
    """The lines of an episode file."""
    return Source(str(path), "file", None, lambda: scan_episodes(path))


def training_source(world: World, name: str, count: int, seed: int) -> Source:
    """Random indices of a training set, ascending.

    Args:
        name: a training split.
        count: how many, none twice; drawn from the first 150,000, or from the first `count`, if that is more.
        seed: of the draw, not of the training set, which is the default one.

    Raises:
        UsageProblem: one does not train on that split.
    """
    episodes = TrainingEpisodes(world, TaskOptions(split=name), seed=0)
    size = max(TRAINING_SET, count)
    indices = sorted(Draws("indices", name, seed).sample(range(size), count))
    description = f"training set, {count:,} of its indices"
    return Source(name, description, count, lambda: ((None, episodes.episode(i)) for i in indices))


def find_sources(world: World, names: Sequence[str], train_indices: int | None = None, seed: int = 0) -> list[Source]:
    """The sources that were named, groups replaced by their splits, none twice.

    Args:
        names: splits, groups and files. A name with a dot or a slash is a file's.
        train_indices: a training split stands for so many of its training set; None: for its fixed episodes.
        seed: of that draw.

    Raises:
        UsageProblem: a name is none of these.
    """
    sources = []
    for name in dict.fromkeys(one for typed in names for one in GROUPS.get(typed, (typed,))):
        if is_file(name):
            sources.append(file_source(Path(name)))
        elif SPLITS[name].training and train_indices is not None:
            sources.append(training_source(world, name, train_indices, seed))
        else:
            sources.append(split_source(world, name))
    return sources


def is_file(name: str) -> bool:
    """Whether a file is meant; else it is a split.

    Raises:
        UsageProblem: neither is.
    """
    if name in SPLITS:
        return False
    if any(sign in name for sign in "./\\") or Path(name).exists():
        return True
    raise unknown("split or file", name, [*SPLITS, *GROUPS])


def training_splits(names: Sequence[str]) -> list[str]:
    """Those names, each a split that one trains on; "train" where there are none.

    Raises:
        UsageProblem: one is a file, unknown, or for evaluation only.
    """
    for name in names:
        if not find_split(name).training:
            raise UsageProblem(f"'{name}' is no training set", "--train-indices goes with train or train_strict")
    return list(dict.fromkeys(names)) or ["train"]
