"""Episodes put together by hand in the toy home."""

from __future__ import annotations

from toy_world import ToyWorld, toy_scene

from llarp_cli.config import RewardOptions
from llarp_cli.rearrangement.environment import RearrangementEnv
from llarp_cli.rearrangement.episodes import Arrangement, Episode, PlacedObject
from llarp_cli.rearrangement.skills import SKILL_INDEX
from llarp_cli.rearrangement.splits import EpisodeList
from llarp_cli.rearrangement.vocabulary import JOINTS, RECEPTACLES

SCENE = "toy-0"
FAR = (0, 9000, 90_000)
"""A pose far from everything, looking away."""


def own_episode(goal, objects, family="own", slots=None, opened=(), robot=FAR) -> Episode:
    """Objects are (asset, receptacle), in the order in which skills look for them; `opened` names joints."""
    placed, taken = [], {}
    for asset, receptacle in objects:
        x, y, z, _, _, half_y, _ = toy_scene(SCENE).boxes[RECEPTACLES.index(receptacle)].tolist()
        aside = taken[receptacle] = taken.get(receptacle, -1) + 1
        placed.append(PlacedObject(asset, (x + 60 * aside, y - half_y + 40, z), 0, receptacle))
    joints = tuple((1220 if name == "fridge" else 450) if name in opened else 0 for name in JOINTS)
    arrangement = Arrangement(SCENE, tuple(placed), joints, robot)
    return Episode("own", "own", family, "do it", slots or {}, goal, arrangement)


def begun(episode, world=None, **reward) -> RearrangementEnv:
    """An environment at the start of an episode."""
    options = RewardOptions(**{"invalid_skill": 0.0, **reward})
    env = RearrangementEnv(world or ToyWorld(), EpisodeList([episode]), image_size=16, reward=options, max_steps=64)
    env.reset()
    return env


def use(env, *skills) -> list[float]:
    """Use skills given as (kind, target); the rewards."""
    return [env.step(SKILL_INDEX[skill])[1] for skill in skills]


def bring(category, source, target):
    """The skills that carry an object from a receptacle to another."""
    return [("go_to", source), ("pick", category), ("go_to", target), ("place", target)]
