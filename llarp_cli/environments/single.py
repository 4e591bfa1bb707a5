"""One environment to act in from Python, whichever kind it is, with the observations that a policy takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
from gymnasium import spaces
from numpy.typing import NDArray

from llarp_cli.environments.contract import GymEnvironment
from llarp_cli.environments.environment import open_environment
from llarp_cli.environments.rows import Row
from llarp_cli.environments.seeded import SeededEnvironment
from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.environment import RearrangementEnv, observation_space
from llarp_cli.rearrangement.environment import make_env as make_home


class SeededEnv(gymnasium.Env[dict[str, Any], Any]):
    """A gymnasium environment with pictures of the size that a policy wants. `info` of a step holds success.

    Args:
        described: what its author says of it.
        split: whose episodes begin, one after the other.
        image_size: side of the picture, pixels.

    Attributes:
        env: what its author's `make` gave.
    """

    def __init__(self, described: GymEnvironment, split: str, image_size: int):
        self.observation_space = observation_space(image_size)
        self.action_space = spaces.Discrete(len(described.actions))
        self._episodes = SeededEnvironment(described).episodes(split)
        self._next = 0
        self._row = Row(described, image_size)
        self.env = self._row.env

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the split's next episode, after its last the first again.

        Args:
            seed: begin the one of this number.
        """
        super().reset(seed=seed)
        self._next = self._next if seed is None else seed
        self._row.begin(self._episodes[self._next % len(self._episodes)])
        self._next += 1
        return self._observation(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take a step: observation, reward, terminated, truncated, info."""
        reward, terminated, truncated, reached = self._row.step(int(action))
        return self._observation(), reward, terminated, truncated, {"success": reached}

    def expert_action(self) -> int:
        """What the environment's expert would do now."""
        return self._row.expert_action()

    def render(self) -> NDArray[Any] | None:
        """What the environment's own `render` gives; None where it was made without a render mode."""
        return None if self.env.render_mode is None else self._row.rendered()

    def close(self) -> None:
        self._row.close()

    def _observation(self) -> dict[str, Any]:
        episode = self._row.episode
        return {"rgb": self._row.picture.copy(), "instruction": "" if episode is None else episode.instruction}


def make_env(
    env: str = "home",
    split: str = "train",
    families: Sequence[str] = (),
    image_size: int = 128,
    seed: int = 0,
    render_mode: str | None = None,
    render_size: int = 480,
) -> RearrangementEnv | SeededEnv:
    """One environment to act in, by names.

    Args:
        env: as after `--env`, e.g. "home" or "babyai:GoToLocal".
        split: a split of it.
        families, seed, render_mode, render_size: of homes alone; see `rearrangement.environment.make_env`.
        image_size: side of the picture, pixels.

    Raises:
        UsageProblem: environment, split, family, image size or render mode are not known.
    """
    place = open_environment(env)
    if isinstance(place, SeededEnvironment):
        if families or render_mode is not None:
            raise UsageProblem(f"environment '{env}' has neither families nor render modes of a home", "leave them out")
        return SeededEnv(place.described, split, image_size)
    return make_home(env, split, families, image_size, seed, render_mode, render_size)
