"""Language Rearrangement in a world: the embedded home, Habitat, or somebody else's simulator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llarp_cli.config import Recipe, RewardOptions
from llarp_cli.rearrangement.environment import RearrangementVectorEnv
from llarp_cli.rearrangement.episode_files import episodes_sha256, read_episodes
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.skills import REPERTOIRE
from llarp_cli.rearrangement.splits import (
    EpisodeList,
    TrainingEpisodes,
    expand,
    fingerprint,
    fixed_tasks,
    split_episodes,
)
from llarp_cli.rearrangement.tasks import FAMILIES
from llarp_cli.repertoire import Repertoire


class LanguageRearrangement:
    """Fulfils `Environment`.

    Args:
        world: where.
    """

    repertoire: Repertoire = REPERTOIRE
    families: Sequence[str] = tuple(FAMILIES)
    film_split = "rephrasing"
    told_splits: Sequence[str] = ("train", "rephrasing", "new_scenes")

    def __init__(self, world: World):
        self.world = world

    @property
    def name(self) -> str:
        return self.world.name

    @property
    def version(self) -> str:
        return self.world.version

    @property
    def vision(self) -> str:
        return self.world.vision

    def check(self, recipe: Recipe) -> None:
        """See `Environment.check`."""
        TrainingEpisodes(self.world, recipe.tasks, recipe.seed)

    def check_actor(self, name: str) -> None:
        """All can act here."""

    def benchmark(self, split: str) -> dict[str, Any]:
        """See `Environment.benchmark`."""
        return {"split": split, "tasks": fingerprint(fixed_tasks(split))}

    def training(
        self, recipe: Recipe, rows: int, *, image_size: int, start: int, stride: int
    ) -> RearrangementVectorEnv:
        """See `Environment.training`."""
        episodes = TrainingEpisodes(self.world, recipe.tasks, recipe.seed, start, stride)
        return RearrangementVectorEnv(
            self.world, episodes, rows, image_size=image_size, reward=recipe.reward, seed=recipe.seed
        )

    def expand(self, names: Sequence[str]) -> list[str]:
        """See `Environment.expand`."""
        return expand(names)

    def episodes(self, split: str) -> list[Episode]:
        """See `Environment.episodes`."""
        return split_episodes(self.world, split)

    def read(self, file: Path) -> list[Episode]:
        """See `Environment.read`."""
        return read_episodes(file, self.world.scene)

    def fingerprint(self, episodes: Sequence[Episode]) -> str:
        """Of the episodes as lines of an episode file."""
        return episodes_sha256(episodes)

    def rows(
        self,
        episodes: Sequence[Episode],
        rows: int,
        *,
        image_size: int,
        reward: RewardOptions | None = None,
        seed: int = 0,
    ) -> RearrangementVectorEnv:
        """See `Environment.rows`."""
        return RearrangementVectorEnv(
            self.world, EpisodeList(episodes), rows, image_size=image_size, reward=reward, seed=seed
        )
