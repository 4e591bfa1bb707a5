"""A gymnasium environment, as training and evaluation want it: episodes are seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llarp_cli.config import Recipe, RewardOptions, TaskOptions
from llarp_cli.environments.contract import GymEnvironment
from llarp_cli.environments.episodes import (
    DrawnEpisodes,
    ListedEpisodes,
    SeededEpisode,
    fingerprint,
    fixed_episodes,
)
from llarp_cli.environments.rows import GymRows
from llarp_cli.errors import UsageProblem, unknown
from llarp_cli.repertoire import Repertoire

OF_TRAINING = 100
"""Episodes that stand for a training split in an evaluation."""


class SeededEnvironment:
    """Fulfils `Environment`.

    Args:
        described: what its author says of it.
    """

    told_splits: Sequence[str] = ()

    def __init__(self, described: GymEnvironment):
        self.described = described

    @property
    def name(self) -> str:
        return self.described.name

    @property
    def version(self) -> str:
        return self.described.version

    @property
    def vision(self) -> str:
        return self.described.vision

    @property
    def repertoire(self) -> Repertoire:
        return self.described.repertoire

    @property
    def families(self) -> Sequence[str]:
        return (self.name,)

    @property
    def film_split(self) -> str:
        return self.expand(())[-1]

    def check(self, recipe: Recipe) -> None:
        """See `Environment.check`."""
        if recipe.imitation.steps and self.described.expert is None:
            raise UsageProblem(
                f"imitation.steps = {recipe.imitation.steps}: environment '{self.name}' has no expert to imitate",
                "write imitation.steps=0, or give it an expert",
            )
        split = recipe.tasks.split
        if split not in self.described.splits:
            raise unknown("split", split, self.described.splits)
        if not self.described.splits[split].training:
            training = [name for name, seeds in self.described.splits.items() if seeds.training]
            raise UsageProblem(f"split '{split}' is for evaluation only", f"train on {', '.join(training)}")
        for part, section, default in (
            ("tasks", recipe.tasks, TaskOptions(split=split)),
            ("reward", recipe.reward, RewardOptions()),
        ):
            for key, value in default:
                if getattr(section, key) != value:
                    raise UsageProblem(
                        f"{part}.{key} is of Language Rearrangement; environment '{self.name}' knows nothing of it",
                        f"leave {part}.{key} out",
                    )

    def check_actor(self, name: str) -> None:
        """See `Environment.check_actor`."""
        if name == "expert" and self.described.expert is None:
            raise UsageProblem(f"environment '{self.name}' has no expert", "give it one, or name a policy")
        if name not in ("expert", "random"):
            raise UsageProblem(
                f"{name} acts in homes alone, not in environment '{self.name}'", "`expert`, `random` or a policy"
            )

    def benchmark(self, split: str) -> dict[str, Any]:
        """See `Environment.benchmark`."""
        seeds = self.described.splits[split]
        return {"split": split, "tasks": f"seeds {seeds.first} to {seeds.end - 1}"}

    def training(self, recipe: Recipe, rows: int, *, image_size: int, start: int, stride: int) -> GymRows:
        """See `Environment.training`."""
        split = recipe.tasks.split
        episodes = DrawnEpisodes(self.name, split, self.described.splits[split], recipe.seed, start, stride)
        return GymRows(self.described, episodes, rows, image_size=image_size)

    def expand(self, names: Sequence[str]) -> list[str]:
        """See `Environment.expand`."""
        for name in names:
            if name not in self.described.splits:
                raise unknown("split", name, self.described.splits)
        held_out = (name for name, seeds in self.described.splits.items() if not seeds.training)
        return list(dict.fromkeys(names or held_out))

    def episodes(self, split: str) -> list[SeededEpisode]:
        """See `Environment.episodes`; of a training split the first hundred."""
        (split,) = self.expand([split])
        seeds = self.described.splits[split]
        return fixed_episodes(self.name, split, seeds, OF_TRAINING if seeds.training else seeds.count)

    def read(self, file: Path) -> list[SeededEpisode]:
        """There are no files of episodes here."""
        raise UsageProblem(
            f"'{file}': episode files are of Language Rearrangement; environment '{self.name}' has none",
            f"--split {' or '.join(self.described.splits)}",
        )

    def fingerprint(self, episodes: Sequence[SeededEpisode]) -> str:
        """See `Environment.fingerprint`."""
        return fingerprint(episodes)

    def rows(
        self,
        episodes: Sequence[SeededEpisode],
        rows: int,
        *,
        image_size: int,
        reward: RewardOptions | None = None,
        seed: int = 0,
    ) -> GymRows:
        """See `Environment.rows`; `reward` and `seed` do nothing."""
        return GymRows(self.described, ListedEpisodes(episodes), rows, image_size=image_size)
