"""Language Rearrangement as gymnasium environments (Szot et al. 2024): a picture and a sentence in, a skill out.

`llarp/LanguageRearrangement-v0` is one home, `RearrangementVectorEnv` is N of them, drawn together. Importing
this module registers the first, so `gymnasium.make("llarp_cli.rearrangement.environment:llarp/...")` finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from llarp_cli import registry
from llarp_cli.config import RewardOptions, TaskOptions
from llarp_cli.errors import LlarpError, UsageProblem, unknown
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.simulator import Simulator, World
from llarp_cli.rearrangement.skills import REPERTOIRE, SKILLS
from llarp_cli.rearrangement.splits import EpisodeList, TrainingEpisodes, find_split, split_episodes

ENVIRONMENT_ID = "llarp/LanguageRearrangement-v0"
MAX_STEPS = REPERTOIRE.steps
MAX_LETTERS = 1000
LETTERS = "".join(map(chr, (*range(0x20, 0x7F), *range(0xA0, 0x250), *range(0x2010, 0x2040))))
"""Characters an instruction may have: printable ASCII, Latin letters with accents, typographic signs."""


LARGEST_IMAGE = 2048
"""Pixels an observation may be wide and high."""

RENDER_MODES = ("rgb_array", "rgb_array_third_person", "rgb_array_top_down", "depth_array")
"""What `render` gives: the agent's own picture as last observed, uint8 [H, W, 3]; a smoothed picture of the robot at
work or of the whole home from above, uint8 [S, S, 3] with S the `render_size`; what the agent's picture shows as
distance along the camera's axis, float32 [H, W] in metres, 0 where there is nothing."""


class EpisodeSource(Protocol):
    """Gives episode after episode; see `splits`.

    Attributes:
        position: where it is; set to an earlier value, it gives the same episodes again.
    """

    position: int

    def __call__(self) -> Episode | None:
        """The next episode, None after the last."""

    def upcoming(self, count: int) -> list[Episode]:
        """The next ones that are known by now, up to so many, without taking them."""


def observation_space(image_size: int) -> spaces.Dict:
    """{"rgb": uint8 [H, W, 3], "instruction": text}.

    Raises:
        UsageProblem: there is no such size.
    """
    if not 1 <= image_size <= LARGEST_IMAGE:
        raise UsageProblem(f"observations cannot be {image_size} pixels wide", f"choose 1 to {LARGEST_IMAGE}")
    return spaces.Dict(
        rgb=spaces.Box(0, 255, (image_size, image_size, 3), np.uint8),
        instruction=spaces.Text(MAX_LETTERS, min_length=0, charset=LETTERS),
    )


class RearrangementVectorEnv(VectorEnv[Any, Any, Any]):
    """N homes in lockstep; an episode's last step also begins the row's next one (SAME_STEP autoreset).

    Observations are {"rgb": uint8 [N, H, W, 3], "instruction": N texts}; the pictures lie in memory that the
    next step draws over. `infos` of a step holds

    - success, invalid_skill: bool [N], of the skill just used;
    - unchanged: bool [N], where the picture is the one of the step before;
    - finished: a list of (row, Episode, {"return", "length", "invalid_skills", "success"}) of ended episodes;

    and where episodes ended

    - episode: a dict of arrays [N] "return", "length", "invalid_skills", "success", with _episode, bool [N],
      telling which rows they are filled in for;
    - final_obs: object [N], the last observation of truncated episodes (whose return may be bootstrapped from it);
      None for all others, reaching the goal included; with _final_obs, bool [N].

    A row whose source has no more episodes is inactive: black, without text, reward 0, never ending.

    Args:
        world: where.
        episodes: gives the next episode of whichever row is free.
        num_envs: N.
        image_size: side of the pictures, pixels.
        reward: what is paid.
        max_steps: after so many, an episode is truncated.
        seed: of where in a receptacle objects are put down.
        render_mode: None or one of `RENDER_MODES`.
        render_size: side of the pictures of the robot and from above, pixels.

    Raises:
        UsageProblem: there is no such number of rows, image size or render mode.

    Attributes:
        active: bool [N].
        episodes_now: N, the episode of each row; for an inactive row its last.
        simulator: the homes, for maps and videos.
        repertoire: what can be done.
    """

    repertoire = REPERTOIRE
    metadata: dict[str, Any] = {  # noqa: RUF012  (as the class above declares it)
        "render_modes": list(RENDER_MODES),
        "render_fps": 2,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        world: World,
        episodes: EpisodeSource,
        num_envs: int,
        *,
        image_size: int = 128,
        reward: RewardOptions | None = None,
        max_steps: int = MAX_STEPS,
        seed: int = 0,
        render_mode: str | None = None,
        render_size: int = 480,
    ):
        if num_envs < 1:
            raise UsageProblem(f"there cannot be {num_envs} environments", "choose 1 or more")
        self.num_envs = num_envs
        self.render_mode, self._render_size = _render_mode(render_mode), render_size
        self.single_observation_space = observation_space(image_size)
        self.single_action_space = spaces.Discrete(len(SKILLS))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._source = episodes
        self._positions = [0] * num_envs
        self._play = Play(world, num_envs, image_size, reward or RewardOptions(), max_steps, seed)

    @property
    def active(self) -> NDArray[np.bool_]:
        return self._play.active

    @property
    def episodes_now(self) -> Sequence[Episode]:
        return self._play.episodes

    @property
    def simulator(self) -> Simulator:
        return self._play.simulator

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the source's next episodes in all rows; `seed` and `options` do nothing."""
        self._begin(range(self.num_envs))
        return self._observation(), {}

    def step(
        self, actions: NDArray[np.integer]
    ) -> tuple[dict[str, Any], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Use one skill in each row.

        Args:
            actions: [N], action indices; those of inactive rows are not looked at.

        Returns:
            observation, rewards float32 [N], terminations and truncations bool [N], infos.
        """
        outcome = self._play.act(np.asarray(actions, np.int64))
        infos: dict[str, Any] = {"success": outcome.success, "invalid_skill": outcome.invalid, "finished": []}
        ended = np.flatnonzero(outcome.success | outcome.timeout)
        if len(ended):
            infos |= self._ending(ended, outcome.success, outcome.timeout)
            self._begin(ended.tolist())
        observation = self._observation()
        infos["unchanged"] = self._play.active & ~self._play.redrawn
        return observation, outcome.rewards, outcome.success, outcome.timeout, infos

    def expert_actions(self) -> NDArray[np.int64]:
        """What the searching planner, having seen what each row's agent saw, would do now; -1 where inactive."""
        return self._play.labels()

    def upcoming(self, count: int) -> list[str]:
        """The instructions of the episodes that will begin next, as far as they are known, up to so many."""
        return [episode.instruction for episode in self._source.upcoming(count)]

    def plan(self, row: int) -> list[int] | None:
        """A shortest plan with full knowledge for a row's episode, from now on; None if there is none."""
        return self._play.plan(row)

    def state_dict(self) -> dict[str, Any]:
        """The episodes under way, as positions in the source and actions so far: plain JSON values."""
        play = self._play
        rows = [
            {"position": self._positions[row], "actions": play.actions[row, : play.lengths[row]].tolist()}
            if play.active[row]
            else None
            for row in range(self.num_envs)
        ]
        return {"position": self._source.position, "rows": rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly as after `state_dict`, by playing the episodes under way again.

        Raises:
            LlarpError: the state is of another number of rows.
        """
        play, rows = self._play, state["rows"]
        if len(rows) != self.num_envs:
            raise LlarpError(f"the saved environments are {len(rows)}, not {self.num_envs}", "keep num_envs as it was")
        started: dict[int, Episode | None] = {}
        for row, saved in enumerate(rows):
            started[row] = None
            if saved is not None:
                self._source.position = self._positions[row] = saved["position"]
                started[row] = self._source()
        self._source.position = state["position"]
        play.begin(started)
        lengths = np.array([len(saved["actions"]) if saved else 0 for saved in rows])
        actions = np.zeros((self.num_envs, max(lengths.max(), 1)), np.int64)
        for row, saved in enumerate(rows):
            actions[row, : lengths[row]] = saved["actions"] if saved else []
        play.look()
        for t in range(lengths.max()):
            going_on = lengths > t
            play.act(actions[:, t], going_on)
            play.look(np.flatnonzero(going_on))

    def render(self) -> tuple[NDArray[Any], ...] | None:
        """N pictures of the kind the render mode names (see `RENDER_MODES`); inactive rows show what they showed."""
        if self.render_mode is None:
            return None
        return tuple(_rendered(self._play, self.render_mode, self._render_size, range(self.num_envs)))

    def close_extras(self, **_: Any) -> None:
        self._play.simulator.close()

    def _begin(self, rows: Sequence[int] | range) -> None:
        started: dict[int, Episode | None] = {}
        for row in rows:
            self._positions[row] = self._source.position
            started[row] = self._source()
        self._play.begin(started)

    def _observation(self) -> dict[str, Any]:
        play = self._play
        pictures = play.look()
        if not play.active.all():
            pictures[~play.active] = 0
        texts = (e.instruction if on else "" for e, on in zip(play.episodes, play.active.tolist(), strict=True))
        return {"rgb": pictures, "instruction": tuple(texts)}

    def _ending(
        self, ended: NDArray[np.intp], success: NDArray[np.bool_], timeout: NDArray[np.bool_]
    ) -> dict[str, Any]:
        """The parts of `infos` about episodes that have just ended."""
        play = self._play
        is_ended = success | timeout
        statistics = {
            "return": np.where(is_ended, play.returns, 0.0),
            "length": np.where(is_ended, play.lengths, 0),
            "invalid_skills": np.where(is_ended, play.invalid_skills, 0),
            "success": success.copy(),
        }
        final: NDArray[Any] = np.full(self.num_envs, None, object)
        cut = np.flatnonzero(timeout)
        if len(cut):
            for row, picture in zip(cut, play.picture(cut), strict=True):
                final[row] = {"rgb": picture, "instruction": play.episodes[row].instruction}
        return {
            "finished": [(int(row), play.episodes[row], play.statistics(row, success[row])) for row in ended],
            "episode": statistics,
            "_episode": is_ended,
            "final_obs": final,
            "_final_obs": timeout.copy(),
        }


def _render_mode(name: str | None) -> str | None:
    """A render mode that exists."""
    if name is not None and name not in RENDER_MODES:
        raise unknown("render mode", name, RENDER_MODES)
    return name


def _rendered(play: Play, mode: str, size: int, rows: Sequence[int] | range) -> list[NDArray[Any]]:
    """What `render` gives for some rows."""
    if mode == "rgb_array":
        return [picture.copy() for picture in play.pictures[rows]]
    if mode == "depth_array":
        return [depth.copy() for depth in play.simulator.depth(play.image_size)[rows]]
    camera = mode.removeprefix("rgb_array_")
    return [play.simulator.picture(row, size, camera) for row in rows]


class RearrangementEnv(gymnasium.Env[dict[str, Any], Any]):
    """One home. `info` of a step holds success and invalid_skill, and, when the episode has ended, episode:
    {"return", "length", "invalid_skills", "success"}.

    Args:
        world, episodes, image_size, reward, max_steps, seed: as for `RearrangementVectorEnv`.
        render_mode, render_size: likewise.

    Attributes:
        episode_now: the episode being played.
        simulator: the home, as row 0 of a simulator.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 2}  # noqa: RUF012

    def __init__(
        self,
        world: World,
        episodes: EpisodeSource,
        *,
        image_size: int = 128,
        reward: RewardOptions | None = None,
        max_steps: int = MAX_STEPS,
        seed: int = 0,
        render_mode: str | None = None,
        render_size: int = 480,
    ):
        self.observation_space = observation_space(image_size)
        self.action_space = spaces.Discrete(len(SKILLS))
        self.render_mode, self._render_size = _render_mode(render_mode), render_size
        self._source = episodes
        self._first = episodes.position
        self._play = Play(world, 1, image_size, reward or RewardOptions(), max_steps, seed)

    @property
    def episode_now(self) -> Episode:
        return self._play.episodes[0]

    @property
    def simulator(self) -> Simulator:
        return self._play.simulator

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: take the source's episodes from this position on (after its last, from its first).
            options: {"episode": Episode} begins that one.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._source.position = seed
        episode = (options or {}).get("episode") or self._source()
        if episode is None:
            self._source.position = self._first
            episode = self._source()
        self._play.begin({0: episode})
        return self._observation(), {}

    def step(self, action: int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Use one skill: observation, reward, terminated, truncated, info.

        Raises:
            UsageProblem: no episode is under way.
        """
        if not self._play.active[0] or self._play.lengths[0] >= len(self._play.actions[0]):
            raise UsageProblem("no episode is under way", "call reset() first")
        outcome = self._play.act(np.array([action], np.int64))
        success, timeout = bool(outcome.success[0]), bool(outcome.timeout[0])
        info: dict[str, Any] = {"success": success, "invalid_skill": bool(outcome.invalid[0])}
        if success or timeout:
            info["episode"] = self._play.statistics(0, success)
        return self._observation(), float(outcome.rewards[0]), success, timeout, info

    def expert_action(self) -> int:
        """What the searching planner, having seen what the agent saw, would do now."""
        return int(self._play.labels()[0])

    def plan(self) -> list[int] | None:
        """A shortest plan with full knowledge, from now on; None if there is none."""
        return self._play.plan(0)

    def render(self) -> NDArray[Any] | None:
        """A picture of the kind the render mode names, see `RENDER_MODES`."""
        if self.render_mode is None:
            return None
        return _rendered(self._play, self.render_mode, self._render_size, [0])[0]

    def close(self) -> None:
        self._play.simulator.close()

    def _observation(self) -> dict[str, Any]:
        return {"rgb": self._play.look()[0].copy(), "instruction": self.episode_now.instruction}


def make_env(
    env: str = "home",
    split: str = "train",
    families: Sequence[str] = (),
    image_size: int = 128,
    seed: int = 0,
    render_mode: str | None = None,
    render_size: int = 480,
) -> RearrangementEnv:
    """One home to act in, by names.

    Args:
        env: an environment plugin, e.g. "home".
        split: a training or evaluation split.
        families: instruction families; empty for all the split has.
        image_size: side of the picture, pixels.
        seed: of the training episodes, and of where objects are put down.
        render_mode: None or one of `RENDER_MODES`.
        render_size: side of the pictures of the robot and from above, pixels.

    Raises:
        UsageProblem: environment, split, family, image size or render mode are not known.
    """
    world = registry.load("environment", env)
    if find_split(split).training:
        source: EpisodeSource = TrainingEpisodes(world, TaskOptions(split=split, families=tuple(families)), seed)
    else:
        source = EpisodeList(split_episodes(world, split, families or None))
    return RearrangementEnv(
        world, source, image_size=image_size, seed=seed, render_mode=render_mode, render_size=render_size
    )


gymnasium.register(ENVIRONMENT_ID, entry_point=f"{__name__}:make_env")
