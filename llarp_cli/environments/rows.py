"""Many gymnasium environments, stepped together as the learner and evaluations want them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from zlib import crc32

import gymnasium
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from llarp_cli.environments.contract import GymEnvironment
from llarp_cli.environments.episodes import SeededEpisode
from llarp_cli.environments.quiet import QUIET
from llarp_cli.errors import LlarpError

SEEN, RENDERED = "first_person", "rendered"
"""Cameras: what the agent sees, and what `env.render` gives."""


def fitted(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A picture uint8 [H, W, 3] as a square one of another size, each pixel the mean of those it stands for."""
    if picture.shape[:2] == (size, size):
        return picture
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BOX))


class Row:
    """One environment and the episode under way in it.

    Args:
        described: what to make.
        image_size: side of the pictures wanted, pixels.

    Attributes:
        episode: None where there are no more.
        picture: what is seen now, uint8 [image_size, image_size, 3].
        actions: of the episode so far.
        total_reward: of the episode so far.
        invalid: steps of which the environment says `info["invalid_skill"]`.
        asked: before how many of its steps, from the first one on, the expert was asked.
    """

    def __init__(self, described: GymEnvironment, image_size: int):
        self.described, self.image_size = described, image_size
        with self._inside("make()"):
            self.env: gymnasium.Env[Any, Any] = described.make()
        self.episode: SeededEpisode | None = None
        self.picture: NDArray[np.uint8] = np.zeros((image_size, image_size, 3), np.uint8)
        self.clear()

    def clear(self) -> None:
        """Forget how the episode went."""
        self.actions: list[int] = []
        self.total_reward = 0.0
        self.invalid = 0
        self.asked = 0

    def begin(self, episode: SeededEpisode | None) -> None:
        """Begin an episode, or stay without one, where the last one ended."""
        self.clear()
        self.episode = episode
        if episode is None:
            return
        with self._inside(f"reset(seed={episode.seed})"):
            observation, _ = self.env.reset(seed=episode.seed)
        self._see(observation)
        told = observation.get(self.described.instruction)
        if not isinstance(told, str):
            raise self._wrong(f"observation['{self.described.instruction}'] is {_kind(told)}, not a sentence")
        episode.instruction = told

    def expert_action(self) -> int:
        """What the expert would do now.

        Raises:
            LlarpError: it fails.
        """
        assert self.described.expert is not None
        with self._inside("expert(env)"):
            action = int(self.described.expert(self.env))
        if not 0 <= action < len(self.described.actions):
            raise self._wrong(f"the expert's action {action} is none of {len(self.described.actions)}")
        self.asked += 1
        return action

    def step(self, action: int) -> tuple[float, bool, bool, bool]:
        """Take a step: reward, terminated, truncated, and whether the episode's goal was reached with it."""
        with self._inside(f"step({action})"):
            observation, reward, terminated, truncated, info = self.env.step(action)
            reward, terminated, truncated = float(reward), bool(terminated), bool(truncated)
            invalid = bool(info.get("invalid_skill", False))
        self._see(observation)
        self.actions.append(action)
        self.total_reward += reward
        self.invalid += invalid
        truncated = not terminated and (truncated or len(self.actions) >= self.described.max_steps)
        reached = False
        if terminated or truncated:
            with self._inside("success(reward, terminated, info)"):
                reached = bool(self.described.success(reward, terminated, info))
        return reward, terminated, truncated, reached

    def seen(self) -> int:
        """A checksum of the sentence and of what is seen now."""
        told = "" if self.episode is None else self.episode.instruction
        return crc32(self.picture.tobytes(), crc32(told.encode()))

    def play_again(self, episode: SeededEpisode, actions: Sequence[int], asked: int, seen: int | None = None) -> None:
        """Come again to where an episode was after some actions.

        Args:
            episode: which.
            actions: taken so far.
            asked: before how many of them the expert was asked.
            seen: what `seen` said then, to be compared.

        Raises:
            LlarpError: it went another way.
        """
        self.begin(episode)
        ended = False
        for i, action in enumerate(actions):
            if i < asked:
                self.expert_action()
            _, terminated, truncated, _ = self.step(action)
            ended = terminated or truncated
            if ended:
                break
        if ended or seen not in (None, self.seen()):
            raise LlarpError(
                f"environment '{self.described.name}' does not go the same way again after "
                f"reset(seed={episode.seed}), so that training cannot go on where it was",
                "let everything in it depend on that seed and on the actions",
            )

    def rendered(self) -> NDArray[np.uint8]:
        """What the environment's `render` gives, uint8 [H, W, 3]."""
        with self._inside("render()"):
            return np.asarray(self.env.render(), np.uint8)

    def close(self) -> None:
        """Give back what the environment holds."""
        with self._inside("close()"):
            self.env.close()

    def _see(self, observation: Any) -> None:
        key = self.described.rgb
        if not isinstance(observation, Mapping):
            raise self._wrong(f"an observation is {_kind(observation)}, not a mapping with '{key}'")
        picture = observation.get(key)
        if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape[2:] != (3,):
            raise self._wrong(f"observation['{key}'] is {_kind(picture)}, not uint8 [H, W, 3]")
        self.picture = fitted(picture, self.image_size)

    def _wrong(self, what: str) -> LlarpError:
        return LlarpError(
            f"environment '{self.described.name}': {what}", "docs/environments.md says what is expected of it"
        )

    @contextmanager
    def _inside(self, call: str) -> Iterator[None]:
        """While somebody else's code runs; its failures are told in one line."""
        try:
            with QUIET if self.described.silent else nullcontext():
                yield
        except LlarpError:
            raise
        except (Exception, SystemExit) as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise LlarpError(
                f"environment '{self.described.name}' failed in {call}: {told}", "llarp --debug ... shows where"
            ) from error


class GymRows:
    """N environments in lockstep; an episode's last step also begins the row's next one.

    Observations are {"rgb": uint8 [N, H, W, 3], "instruction": N texts}. `infos` of a step holds

    - success: bool [N], where an episode ended with its goal reached;
    - invalid_skill: bool [N], where the environment says so of the step;
    - finished: a list of (row, SeededEpisode, {"return", "length", "invalid_skills", "success"});
    - final_obs: object [N], the last observation {"rgb": ...} of episodes that were cut off, else None.

    A row whose source has no more episodes is inactive: black, without text, reward 0, never ending.

    Args:
        described: the environment.
        episodes: gives the next episode of whichever row is free.
        num_envs: N.
        image_size: side of the pictures, pixels.

    Attributes:
        num_envs: N.
        repertoire: what can be done.
        active: bool [N].
        episodes_now: N, the episode of each row; for an inactive row its last.
    """

    def __init__(self, described: GymEnvironment, episodes: Any, num_envs: int, *, image_size: int):
        self.num_envs = num_envs
        self.repertoire = described.repertoire
        self._name, self._has_expert = described.name, described.expert is not None
        self._source = episodes
        self._rows = [Row(described, image_size) for _ in range(num_envs)]
        self._positions = [0] * num_envs
        self.active = np.zeros(num_envs, bool)
        self.episodes_now: list[Any] = [SeededEpisode("", "", described.name, 0)] * num_envs

    def reset(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the source's next episodes in all rows."""
        for row in range(self.num_envs):
            self._begin(row)
        return self._observation(), {}

    def step(
        self, actions: NDArray[np.integer]
    ) -> tuple[dict[str, Any], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one step in each row.

        Args:
            actions: [N]; those of inactive rows are not looked at.

        Returns:
            observation, rewards float32 [N], terminations and truncations bool [N], infos.
        """
        count = self.num_envs
        rewards = np.zeros(count, np.float32)
        terminations, truncations, success, invalid = (np.zeros(count, bool) for _ in range(4))
        final: NDArray[Any] = np.full(count, None, object)
        finished = []
        for index in np.flatnonzero(self.active).tolist():
            row = self._rows[index]
            before = row.invalid
            rewards[index], terminations[index], truncations[index], success[index] = row.step(int(actions[index]))
            invalid[index] = row.invalid > before
            if not terminations[index] and not truncations[index]:
                continue
            told = {
                "return": row.total_reward,
                "length": len(row.actions),
                "invalid_skills": row.invalid,
                "success": bool(success[index]),
            }
            finished.append((index, row.episode, told))
            if truncations[index]:
                # A copy: what begins now may be drawn into the same buffer.
                final[index] = {"rgb": row.picture.copy()}
            self._begin(index)
        infos = {"success": success, "invalid_skill": invalid, "finished": finished, "final_obs": final}
        return self._observation(), rewards, terminations, truncations, infos

    def expert_actions(self) -> NDArray[np.int64]:
        """What the environment's expert would do now in each row; -1 where inactive."""
        rows = zip(self._rows, self.active.tolist(), strict=True)
        return np.array([row.expert_action() if on else -1 for row, on in rows], np.int64)

    def upcoming(self, count: int) -> list[str]:
        """Instructions that are known before their episodes begin: none."""
        return []

    @property
    def cameras(self) -> dict[str, str]:
        """What `picture` can show, and what is written below it."""
        rendered = self._rows[0].env.render_mode == "rgb_array"
        return {SEEN: "what the agent sees"} | ({RENDERED: "the environment"} if rendered else {})

    def picture(self, home: int, size: int, camera: str) -> NDArray[np.uint8]:
        """A picture for people of one row, uint8 [size, size, 3]."""
        one = self._rows[home]
        return fitted(one.picture if camera == SEEN else one.rendered(), size)

    def state_dict(self) -> dict[str, Any]:
        """The episodes under way, as positions in the source and actions so far: plain JSON values."""
        rows = [
            {
                "position": self._positions[index],
                "actions": list(row.actions),
                "asked": row.asked,
                "seen": row.seen(),
            }
            if self.active[index]
            else None
            for index, row in enumerate(self._rows)
        ]
        return {"position": self._source.position, "rows": rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly as after `state_dict`, by playing the episodes under way again.

        Raises:
            LlarpError: the state is of another number of rows, or the environment does not go the same way again.
        """
        if len(state["rows"]) != self.num_envs:
            raise LlarpError(
                f"the saved environments are {len(state['rows'])}, not {self.num_envs}", "keep num_envs as it was"
            )
        for index, saved in enumerate(state["rows"]):
            self.active[index] = saved is not None
            if saved is None:
                self._rows[index].begin(None)
                continue
            self._source.position = self._positions[index] = saved["position"]
            self.episodes_now[index] = episode = self._source()
            self._rows[index].play_again(episode, saved["actions"], saved["asked"], saved.get("seen"))
        self._source.position = state["position"]

    def close(self) -> None:
        """Give back what the environments hold."""
        for row in self._rows:
            row.close()

    def _begin(self, index: int) -> None:
        self._positions[index] = self._source.position
        episode = self._source()
        self.active[index] = episode is not None
        self._rows[index].begin(episode)
        if episode is not None:
            self.episodes_now[index] = episode

    def _observation(self) -> dict[str, Any]:
        pictures = np.stack([row.picture for row in self._rows])
        pictures[~self.active] = 0
        texts = (e.instruction if on else "" for e, on in zip(self.episodes_now, self.active.tolist(), strict=True))
        return {"rgb": pictures, "instruction": tuple(texts)}


def _kind(value: Any) -> str:
    """What something is, in few words."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
