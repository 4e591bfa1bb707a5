"""What somebody's own environment tells of itself: any gymnasium environment that shows a picture and says a sentence.

An entry point of `llarp.environments` names a `GymEnvironment`, or one is named as `--env gym:MODULE:OBJECT`.
Importing this needs no torch. `docs/environments.md` has a complete example.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from llarp_cli.errors import LlarpError
from llarp_cli.repertoire import Repertoire


@dataclass(frozen=True)
class Seeds:
    """The episodes of a split: those that `env.reset(seed=...)` begins with seeds of a range.

    Attributes:
        first: the first seed.
        count: how many there are.
        training: whether one may train on them.
    """

    first: int
    count: int
    training: bool = False

    @property
    def end(self) -> int:
        """One after the last seed."""
        return self.first + self.count


SPLITS: Mapping[str, Seeds] = {
    "train": Seeds(0, 1_000_000_000, training=True),
    "validation": Seeds(1_000_000_000, 500),
    "test": Seeds(1_100_000_000, 500),
}
"""What an environment has that names none; seeds stay below 2³¹."""


def succeeded(reward: float, terminated: bool, info: Mapping[str, Any]) -> bool:
    """Whether an episode that ended with a step has reached its goal: `info["success"]` where there is one, else it
    ended of itself and was rewarded for it."""
    return bool(info["success"]) if "success" in info else terminated and reward > 0


@dataclass(frozen=True)
class GymEnvironment:
    """A gymnasium environment in which a policy can be trained.

    `make()` gives an environment whose observations are a mapping with a picture (uint8 [H, W, 3]) and a sentence
    (str, read when an episode begins), and whose actions are `Discrete(len(actions))`. `reset(seed=s)` must begin
    the same episode whenever it is given the same s, and the same actions must lead to the same end: training is
    resumed by playing again what was played. Rewards are taken as they are. Several environments are made, and
    stepped in several threads, each in one at a time.

    Attributes:
        name: what is typed after `--env`.
        make: gives a new environment.
        actions: what each action does, in words.
        max_steps: after so many an episode is cut off, if the environment has not ended it.
        version: of what is drawn and of the rules; recorded beside everything that is trained and measured.
        rgb: key of the picture. It is resized to the square that the recipe's `vision.image_size` asks for.
        instruction: key of the sentence.
        success: (reward, terminated, info) of an episode's last step → whether its goal was reached.
        expert: (what `make` gave) → the action that an expert would take now, for imitation and as what can be
            reached. Asked before every step of an episode or before none. None for none.
        splits: name → seeds; no evaluation split may share seeds with any other.
        vision: the vision encoder where a recipe names none.
        silent: whatever it prints is swallowed.

    Raises:
        LlarpError: it cannot be so.
    """

    name: str
    make: Callable[[], gymnasium.Env[Any, Any]]
    actions: tuple[str, ...]
    max_steps: int
    version: str = "1"
    rgb: str = "rgb"
    instruction: str = "instruction"
    success: Callable[[float, bool, Mapping[str, Any]], bool] = succeeded
    expert: Callable[[Any], int] | None = None
    splits: Mapping[str, Seeds] = field(default_factory=lambda: SPLITS)
    vision: str = "cnn-flat"
    silent: bool = False

    def __post_init__(self) -> None:
        trained = [name for name, seeds in self.splits.items() if seeds.training]
        if isinstance(self.actions, str) or not self.actions or len(set(self.actions)) < len(self.actions):
            raise LlarpError(f"environment '{self.name}': actions are different names, one for each")
        if self.max_steps < 1:
            raise LlarpError(f"environment '{self.name}': max_steps = {self.max_steps} leaves no step")
        if not trained or len(trained) == len(self.splits):
            raise LlarpError(f"environment '{self.name}' needs a split to train on, and one to evaluate on")
        ranges = sorted((seeds.first, seeds.end, name) for name, seeds in self.splits.items())
        for first, end, name in ranges:
            if first < 0 or end <= first:
                raise LlarpError(f"environment '{self.name}': split '{name}' has no seeds")
        for (_, end, one), (first, _, other) in itertools.pairwise(ranges):
            if first < end and not (one in trained and other in trained):
                raise LlarpError(f"environment '{self.name}': splits '{one}' and '{other}' share seeds")

    @property
    def repertoire(self) -> Repertoire:
        return Repertoire(tuple(self.actions), self.max_steps)
