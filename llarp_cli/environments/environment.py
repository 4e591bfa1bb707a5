"""What training, evaluation and films ask of a place to act in, whichever kind it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from llarp_cli import registry
from llarp_cli.config import Recipe, RewardOptions
from llarp_cli.environments.contract import GymEnvironment
from llarp_cli.errors import UsageProblem
from llarp_cli.repertoire import Repertoire


class Environment(Protocol):
    """A place to act in, its actions and its episodes: Language Rearrangement in a world, or a gymnasium environment.

    The rows that it gives are those of `RearrangementVectorEnv`: attributes num_envs, repertoire, active and
    episodes_now, and the methods reset, step, expert_actions, upcoming, state_dict, load_state_dict and close.

    Attributes:
        name: as typed, e.g. "home".
        version: of what is drawn there and of its rules.
        vision: the vision encoder that a recipe gets when it names none.
        repertoire: what can be done there.
        families: of its episodes.
        film_split: the split of an episode to show where none is named.
        told_splits: those to evaluate on after training; empty for all.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def vision(self) -> str: ...
    @property
    def repertoire(self) -> Repertoire: ...
    @property
    def families(self) -> Sequence[str]: ...
    @property
    def film_split(self) -> str: ...
    @property
    def told_splits(self) -> Sequence[str]: ...

    def check(self, recipe: Recipe) -> None:
        """Refuse a recipe that cannot be trained here.

        Raises:
            UsageProblem: saying what it asks for in vain.
        """

    def check_actor(self, name: str) -> None:
        """Refuse a policy that is not learned and cannot act here, by its name.

        Raises:
            UsageProblem: it cannot.
        """

    def benchmark(self, split: str) -> dict[str, Any]:
        """What is recorded of the episodes that one trains on: the split and a hash."""

    def training(self, recipe: Recipe, rows: int, *, image_size: int, start: int, stride: int) -> Any:
        """Rows that never run out of episodes.

        Args:
            start, stride: number of the first training episode, and from one to the next.
        """

    def expand(self, names: Sequence[str]) -> list[str]:
        """The splits that names of splits and groups stand for; all for evaluation where none is named.

        Raises:
            UsageProblem: a name is neither.
        """

    def episodes(self, split: str) -> Sequence[Any]:
        """The fixed episodes of a split."""

    def read(self, file: Path) -> Sequence[Any]:
        """The episodes of a file.

        Raises:
            UsageProblem: they cannot be had.
        """

    def fingerprint(self, episodes: Sequence[Any]) -> str:
        """A hash of which episodes these are, in hexadecimal."""

    def rows(
        self, episodes: Sequence[Any], rows: int, *, image_size: int, reward: RewardOptions | None = None, seed: int = 0
    ) -> Any:
        """Rows in which each of some episodes takes place once."""


def open_environment(name: str) -> Environment:
    """The environment that a name stands for, imported now.

    Raises:
        UsageProblem: there is none, or it lacks something.
        LlarpError: it is broken.
    """
    from llarp_cli.environments.arbitrary import Scheme
    from llarp_cli.environments.rearrangement import LanguageRearrangement
    from llarp_cli.environments.seeded import SeededEnvironment

    loaded = registry.load("environment", name)
    if isinstance(loaded, GymEnvironment):
        return SeededEnvironment(loaded)
    if isinstance(loaded, Scheme):
        raise UsageProblem(f"environment '{name}' names none yet", loaded.summary)
    return LanguageRearrangement(loaded)
