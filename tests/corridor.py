"""A gymnasium environment for tests: a corridor with a lamp at either end, and a sentence that says which to go to.

The agent sees the corridor from above as three squares in a row: the lamps, each red or blue, and in the middle how
far it has gone. The lamps' colours, and which one is asked for, are drawn by the seed of the reset.
"""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces

from llarp_cli.environments.contract import GymEnvironment, Seeds

COLOURS = {"red": (220, 40, 40), "blue": (40, 60, 220)}
LENGTH = 2
"""Steps from the middle to an end."""


class Corridor(gymnasium.Env):
    metadata = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 2,
    }

    def __init__(self, render_mode=None, chatty=False):
        self.render_mode = render_mode
        self.chatty = chatty
        self.observation_space = spaces.Dict(
            view=spaces.Box(0, 255, (12, 18, 3), np.uint8), task=spaces.Text(40, charset="abcdefghijklmnopqrstuvwxyz ")
        )
        self.action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left, self.right = self.np_random.permutation(list(COLOURS)).tolist()
        self.wanted = self.np_random.choice(list(COLOURS)).item()
        self.place = 0
        if self.chatty:
            print("Sampling rejected: this line is nobody's business")
        return self._observation(), {}

    def step(self, action):
        self.place += (-1, 1, 0)[action]
        done = abs(self.place) == LENGTH
        reached = done and (self.left if self.place < 0 else self.right) == self.wanted
        return self._observation(), float(reached), done, False, {}

    def render(self):
        return self._observation()["view"].repeat(4, 0).repeat(4, 1)

    def best_action(self):
        return 0 if self.left == self.wanted else 1

    def _observation(self):
        view = np.zeros((12, 18, 3), np.uint8)
        view[:, :6], view[:, 12:] = COLOURS[self.left], COLOURS[self.right]
        view[:, 8 + self.place : 10 + self.place] = 255
        return {"view": view, "task": f"walk to the {self.wanted} lamp"}


def describe(**changes):
    """The corridor as `llarp.environments` has it."""
    told = {
        "name": "corridor",
        "make": lambda: Corridor("rgb_array"),
        "actions": ("step left", "step right", "wait"),
        "max_steps": 8,
        "rgb": "view",
        "instruction": "task",
        "expert": lambda env: env.best_action(),
        "splits": {"train": Seeds(0, 10_000, training=True), "test": Seeds(10_000, 40)},
    }
    return GymEnvironment(**{**told, **changes})


corridor = describe()
