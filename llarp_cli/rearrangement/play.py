"""N episodes being played at once: skills, goals, rewards and the searching planner over one simulator.

The gymnasium environments in `environment` are thin wrappers of this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from llarp_cli.config import RewardOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.execution import execute, random_spots, spot_key
from llarp_cli.rearrangement.facts import Facts
from llarp_cli.rearrangement.goals import CompiledGoals, parse
from llarp_cli.rearrangement.planner import plan
from llarp_cli.rearrangement.reward import Rewards
from llarp_cli.rearrangement.searcher import Searcher
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.skills import SKILLS

MAX_OBJECTS = 64
"""Objects a home may have."""


@dataclass(frozen=True)
class Outcome:
    """What one step did, in every row; rows not being played are 0 and False throughout.

    Attributes:
        rewards: float32 [N].
        success: bool [N], the goal was reached; the episode is over.
        timeout: bool [N], the step limit was reached without that.
        invalid: bool [N], the skill could not be used.
    """

    rewards: NDArray[np.float32]
    success: NDArray[np.bool_]
    timeout: NDArray[np.bool_]
    invalid: NDArray[np.bool_]


class Play:
    """N rows, each playing an episode or none.

    Args:
        world: where.
        rows: N.
        image_size: side of the pictures, pixels.
        reward: what is paid.
        max_steps: an episode's step limit.
        seed: of where in a receptacle objects are put down.

    Attributes:
        simulator, facts, goals, searcher: see there.
        episodes: N, the episode of each row; None before its first.
        active: bool [N], rows that play.
        actions: int64 [N, max_steps], of the episodes so far.
        lengths: int64 [N], their steps so far.
        returns: float64 [N], their rewards' sum so far.
        invalid_skills: int64 [N], how many of their skills could not be used.
        image_size: side of the pictures, pixels.
        pictures: uint8 [N, size, size, 3], what was seen last.
        redrawn: bool [N], whether the last `look` drew a row anew; other rows look as they did before.
    """

    def __init__(self, world: World, rows: int, image_size: int, reward: RewardOptions, max_steps: int, seed: int):
        self.simulator = world.simulator(rows, MAX_OBJECTS)
        self.facts = Facts(self.simulator)
        self.goals = CompiledGoals(rows)
        self.searcher = Searcher(self.simulator, self.facts, image_size)
        self.episodes = cast(list[Episode], [None] * rows)
        self.active = np.zeros(rows, bool)
        self.actions = np.zeros((rows, max_steps), np.int64)
        self.lengths = np.zeros(rows, np.int64)
        self.returns = np.zeros(rows)
        self.invalid_skills = np.zeros(rows, np.int64)
        self._rewards = Rewards(rows, MAX_OBJECTS, reward)
        self._world = world
        self.image_size, self._max_steps, self._seed = image_size, max_steps, seed
        self.pictures = np.zeros((rows, image_size, image_size, 3), np.uint8)
        self.redrawn = np.zeros(rows, bool)
        self._changed = np.zeros(rows, bool)  # since it was drawn
        self._spot_keys = np.zeros(rows, np.uint64)

    def begin(self, episodes: dict[int, Episode | None]) -> None:
        """Begin an episode in each of some rows; a row given None plays no more.

        Raises:
            UsageProblem: an episode has more objects than a home may have, or its scene or goal is unknown.
        """
        self.active[list(episodes)] = [episode is not None for episode in episodes.values()]
        started = {row: episode for row, episode in episodes.items() if episode is not None}
        for row, episode in started.items():
            count = len(episode.arrangement.objects)
            if count > MAX_OBJECTS:
                raise UsageProblem(f"episode {episode.id} has {count} objects; a home may have {MAX_OBJECTS}")
            self.simulator.reset(row, episode.arrangement)
            self.episodes[row] = episode
            self.searcher.start(row, episode)
            self._spot_keys[row] = spot_key(self._seed, episode.id)
        rows = np.array(list(started), np.intp)
        self._changed[rows] = True
        self.lengths[rows], self.returns[rows], self.invalid_skills[rows] = 0, 0.0, 0
        self.facts.refresh(rows, rows)
        for row, episode in started.items():
            categories = self.simulator.categories[row]
            try:
                goal = parse(episode.goal)
                self.goals.set(row, goal, categories)
            except UsageProblem as problem:
                raise UsageProblem(f"episode {episode.id}: {problem.message}", problem.hint) from None
            self._rewards.start(row, goal, self.facts, categories)

    def act(self, actions: NDArray[np.int64], rows: NDArray[np.bool_] | None = None) -> Outcome:
        """Use one skill in each row that plays.

        Args:
            actions: [N], action indices; those of other rows are not looked at.
            rows: bool [N], play only these of the active rows.

        Raises:
            ValueError: an action is not in 0..69.
        """
        playing = self.active if rows is None else self.active & rows
        actions = np.where(playing, actions, 0)
        if ((actions < 0) | (actions >= len(SKILLS))).any():
            raise ValueError(f"actions go from 0 to {len(SKILLS) - 1}, got {actions.tolist()}")
        held_before = self.facts.held.copy()
        spots = random_spots(self._spot_keys, self.lengths)
        valid = execute(self.simulator, self.facts, actions, playing, spots)
        self._changed |= valid
        self.searcher.acted(actions, valid, held_before, playing)

        success = self.goals.evaluate(self.facts) & playing
        invalid = playing & ~valid
        rewards = self._rewards.step(self.facts, success, invalid, playing)
        players = np.flatnonzero(playing)
        self.actions[players, self.lengths[players]] = actions[players]
        self.lengths += playing
        self.returns += rewards
        self.invalid_skills += invalid
        timeout = playing & ~success & (self.lengths >= self._max_steps)
        return Outcome(rewards, success, timeout, invalid)

    def look(self, rows: NDArray[np.intp] | None = None) -> NDArray[np.uint8]:
        """Show the present state of rows (all that play where left out), and let the searching planner see it.

        Rows where nothing has happened since they were drawn are not drawn again.

        Returns:
            uint8 [N, size, size, 3], the simulator's own buffer: rows not shown look as they did before.
        """
        if rows is None and not self.active.all():
            rows = np.flatnonzero(self.active)
        self.redrawn[:] = self._changed if rows is None else False
        if rows is not None:
            self.redrawn[rows] = self._changed[rows]
        if self.redrawn.any():
            self.pictures = self.simulator.render(self.image_size, np.flatnonzero(self.redrawn))
            self._changed &= ~self.redrawn
        self.searcher.look(rows)
        return self.pictures

    def drawn_otherwise(self) -> None:
        """Somebody drew the simulator's homes in another size: they are drawn again before anything is made of them."""
        self._changed[:] = True

    def picture(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Copies of the pictures of some rows as they are now: uint8 [len(rows), size, size, 3]."""
        return self.simulator.render(self.image_size, rows)[rows]

    def labels(self) -> NDArray[np.int64]:
        """What the searching planner would do now: int64 [N], -1 in rows that do not play."""
        return np.where(self.active, self.searcher.label(), -1)

    def plan(self, row: int) -> list[int] | None:
        """A shortest plan with full knowledge for the episode in a row, from now on; see `planner.plan`."""
        episode = self.episodes[row]
        stands = self._world.scene(episode.arrangement.scene).stands / 1000
        stands[:, 2] = np.radians(stands[:, 2])
        return plan(self.simulator, self.facts, row, parse(episode.goal), stands)

    def statistics(self, row: int, success: bool) -> dict[str, Any]:
        """An ended episode's return, length, invalid_skills and success."""
        return {
            "return": float(self.returns[row]),
            "length": int(self.lengths[row]),
            "invalid_skills": int(self.invalid_skills[row]),
            "success": bool(success),
        }
