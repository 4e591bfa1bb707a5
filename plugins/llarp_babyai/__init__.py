"""BabyAI's levels (Chevalier-Boisvert et al., ICLR 2019) as environments: `babyai:GoToLocal`, `babyai:Pickup`, ...

The extra `babyai` brings them, with the package minigrid. What the agent sees is the 7 x 7 squares before it, drawn
with 8 pixels a square; the expert is BabyAI's own bot, which knows only what the agent has seen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from llarp_cli.environments.arbitrary import Scheme
from llarp_cli.environments.contract import GymEnvironment
from llarp_cli.environments.quiet import QUIET
from llarp_cli.errors import UsageProblem, unknown

if TYPE_CHECKING:
    import gymnasium

ACTIONS = ("turn left", "turn right", "go forward", "pick up", "drop", "toggle", "done")
"""In the order of minigrid's numbers."""
SQUARE = 8
"""Pixels of a square of the agent's view, which is 7 squares wide and high."""
SAMPLED = 20
"""Episodes by which the longest is judged."""


def find_level(name: str) -> GymEnvironment:
    """A level of BabyAI.

    Args:
        name: as minigrid registers it, without what stands around it: GoToLocal for BabyAI-GoToLocal-v0.

    Raises:
        UsageProblem: minigrid is not installed, or has no such level.
    """
    with QUIET:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            import gymnasium
            import minigrid  # noqa: F401  (registers the levels)
        except ModuleNotFoundError as error:
            raise UsageProblem(
                f"environment 'babyai:{name}' needs the package '{error.name}'", "pip install 'llarp[babyai]'"
            ) from error
    levels = {
        identity.removeprefix("BabyAI-").removesuffix("-v0") for identity in gymnasium.registry if "BabyAI-" in identity
    }
    if name not in levels:
        raise unknown("level of BabyAI", name, levels)
    level = Level(f"BabyAI-{name}-v0")
    with QUIET:
        longest = _longest(level)
    return GymEnvironment(
        name=f"babyai:{name}",
        make=level,
        actions=ACTIONS,
        max_steps=longest,
        version=f"minigrid {metadata.version('minigrid')}",
        rgb="image",
        instruction="mission",
        expert=ask_bot,
        vision="cnn-flat",
        silent=True,
    )


@dataclass(frozen=True)
class Level:
    """Makes environments of a level.

    Attributes:
        identity: as gymnasium knows it.
    """

    identity: str

    def __call__(self) -> gymnasium.Env[Any, Any]:
        import gymnasium
        from minigrid.wrappers import RGBImgPartialObsWrapper

        level = gymnasium.make(self.identity, render_mode="rgb_array", disable_env_checker=True)
        return _with_bot(RGBImgPartialObsWrapper(level, tile_size=SQUARE))


def _with_bot(level: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """The level with BabyAI's bot beside it, which is told of every step once it has been asked."""
    import gymnasium

    class WithBot(gymnasium.Wrapper[Any, Any, Any, Any]):
        """Attributes: bot, None until it is asked; last, the action since."""

        bot: Any = None
        last: int | None = None

        def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
            self.bot = self.last = None
            return super().reset(**options)

        def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
            self.last = int(action)
            return super().step(action)

    return WithBot(level)


def ask_bot(level: Any) -> int:
    """What the bot would do now. One that has lost its way, as after another's moves it may, begins anew."""
    from minigrid.utils.baby_ai_bot import BabyAIBot

    if level.bot is not None:
        try:
            return int(level.bot.replan(level.last))
        except Exception:  # assertions, mostly
            level.bot = None
    try:
        level.bot = BabyAIBot(level.unwrapped)
        return int(level.bot.replan())
    except Exception:
        level.bot = None
        return ACTIONS.index("done")


def _longest(level: Level) -> int:
    """The most steps that its episodes have: minigrid allows more for longer missions."""
    env = level()
    steps = 0
    for seed in range(SAMPLED):
        env.reset(seed=seed)
        steps = max(steps, env.unwrapped.max_steps)  # type: ignore[attr-defined]
    env.close()
    return steps


babyai = Scheme("type babyai:LEVEL, e.g. babyai:GoToLocal", find_level, ("minigrid",), "babyai")
