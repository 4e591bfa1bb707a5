"""Whether a gymnasium environment keeps what its description promises: for its author, before hours are spent on it."""

from __future__ import annotations

import numpy as np

from llarp_cli.environments.contract import GymEnvironment
from llarp_cli.environments.episodes import fixed_episodes
from llarp_cli.environments.rows import Row
from llarp_cli.errors import LlarpError

EPISODES = 3
IMAGE_SIZE = 64


def check_environment(described: GymEnvironment) -> None:
    """Play a few episodes of every split twice, with the same actions: now the expert's, now others.

    Raises:
        LlarpError: saying what is not as promised.
    """
    first, second = Row(described, IMAGE_SIZE), Row(described, IMAGE_SIZE)
    draws = np.random.Generator(np.random.PCG64(0))
    for split, seeds in described.splits.items():
        for episode in fixed_episodes(described.name, split, seeds, EPISODES):
            actions: list[int] = []
            first.begin(episode)
            ended = False
            while not ended:
                wise = None if described.expert is None else first.expert_action()
                drawn = int(draws.integers(len(described.actions)))
                actions.append(drawn if wise is None or draws.random() < 0.5 else wise)
                _, terminated, truncated, _ = first.step(actions[-1])
                ended = terminated or truncated
            sentence = episode.instruction
            second.play_again(episode, actions[:-1], asked=0 if described.expert is None else len(actions))
            if described.expert is not None:
                second.expert_action()
            second.step(actions[-1])
            if episode.instruction != sentence or not np.array_equal(first.picture, second.picture):
                raise LlarpError(
                    f"environment '{described.name}' does not go the same way again after reset(seed={episode.seed})",
                    "let everything in it depend on that seed and on the actions",
                )
    first.close()
    second.close()
