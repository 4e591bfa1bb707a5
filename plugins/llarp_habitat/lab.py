"""Language Rearrangement for those who work with habitat-lab: its registry, configuration, `Env` and gym wrappers.

    from habitat.core.env import Env
    from llarp_habitat.lab import configuration, register

    register()
    env = Env(configuration("home", split="new_scenes"))

Skills, goals and rewards are the benchmark's own, in any of its environments; habitat-lab's PDDL is not used. Needs
habitat-lab 0.3.4 (on the Python registry: 0.3.320260507), in whose environment this package is installed with
`--no-deps`, beside gymnasium, pydantic and pyyaml.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import attr
import numpy as np
from gym import spaces
from habitat.config.default_structured_configs import (
    ActionConfig,
    DatasetConfig,
    EnvironmentConfig,
    HabitatConfig,
    IteratorOptionsConfig,
    LabSensorConfig,
    MeasurementConfig,
    SimulatorConfig,
    TaskConfig,
)
from habitat.core.dataset import Dataset, Episode
from habitat.core.embodied_task import EmbodiedTask, Measure, SimulatorTaskAction
from habitat.core.registry import registry
from habitat.core.simulator import Sensor, SensorSuite, SensorTypes, Simulator
from omegaconf import DictConfig, OmegaConf

from llarp_cli import registry as environments
from llarp_cli.rearrangement import episodes as ours
from llarp_cli.rearrangement.environment import MAX_STEPS, RearrangementEnv
from llarp_cli.rearrangement.skills import SKILLS
from llarp_cli.rearrangement.splits import EpisodeList, split_episodes

SIMULATOR, DATASET, TASK = "LlarpSim-v0", "LlarpEpisodes-v0", "LlarpRearrangement-v0"
ACTION, SENSOR, REWARD, SUCCESS = "LlarpSkill", "LlarpInstruction", "LlarpReward", "LlarpSuccess"


@dataclass
class LlarpSimulatorConfig(SimulatorConfig):
    """environment: as after `--env`; image_size: side of the pictures, pixels; seed: of where objects are put."""

    type: str = SIMULATOR
    environment: str = "home"
    image_size: int = 128
    seed: int = 0


@dataclass
class LlarpDatasetConfig(DatasetConfig):
    """split: of the benchmark; environment: where; limit: its first episodes, 0 for all."""

    type: str = DATASET
    split: str = "new_scenes"
    environment: str = "home"
    limit: int = 0


@dataclass
class LlarpTaskConfig(TaskConfig):
    """The task with its one action, sensor and two measures."""

    type: str = TASK
    reward_measure: str = "reward"
    success_measure: str = "success"
    success_reward: float = 0.0
    slack_reward: float = 0.0
    end_on_success: bool = True
    actions: dict[str, ActionConfig] = field(default_factory=lambda: {"skill": ActionConfig(ACTION)})
    lab_sensors: dict[str, LabSensorConfig] = field(default_factory=lambda: {"instruction": LabSensorConfig(SENSOR)})
    measurements: dict[str, MeasurementConfig] = field(
        default_factory=lambda: {"reward": MeasurementConfig(REWARD), "success": MeasurementConfig(SUCCESS)}
    )


def configuration(
    environment: str = "home", split: str = "new_scenes", image_size: int = 128, limit: int = 0, seed: int = 0
) -> DictConfig:
    """A habitat-lab configuration of the benchmark: what `Env` and `make_gym_from_config` take.

    Args:
        environment: as after `--env`.
        split: of the benchmark.
        image_size: side of the pictures, pixels.
        limit: only the split's first episodes; 0 for all.
        seed: of where objects are put down.
    """
    register()
    return OmegaConf.create(
        {
            "habitat": OmegaConf.structured(
                HabitatConfig(
                    seed=seed,
                    environment=EnvironmentConfig(
                        max_episode_steps=MAX_STEPS,
                        iterator_options=IteratorOptionsConfig(shuffle=False, group_by_scene=False),
                    ),
                    simulator=LlarpSimulatorConfig(environment=environment, image_size=image_size, seed=seed),
                    dataset=LlarpDatasetConfig(environment=environment, split=split, limit=limit),
                    task=LlarpTaskConfig(),
                )
            )
        }
    )


def register() -> None:
    """Make the benchmark's parts known to habitat-lab; importing this module has done so already."""


@attr.s(auto_attribs=True, kw_only=True)
class LlarpEpisode(Episode):
    """An episode, with the benchmark's own in it."""

    episode: Any = attr.ib(default=None)


@registry.register_dataset(name=DATASET)
class LlarpEpisodes(Dataset):
    """The episodes of a split."""

    def __init__(self, config: DictConfig | None = None):
        self.episodes = []
        if config is None:
            return
        world = environments.load("environment", config.environment)
        found = split_episodes(world, config.split)
        self.episodes = [wrapped(one) for one in (found[: config.limit] if config.limit else found)]


def wrapped(episode: ours.Episode) -> LlarpEpisode:
    """One of the benchmark's episodes as habitat-lab has them; its robot's pose as Habitat gives poses."""
    x, z, heading = episode.arrangement.robot
    # Habitat's agents look along -z, and turn the other way round.
    angle = -np.radians(heading / 1000) - np.pi / 2
    return LlarpEpisode(
        episode_id=episode.id,
        scene_id=episode.arrangement.scene,
        start_position=[x / 1000, 0.0, z / 1000],
        start_rotation=[0.0, float(np.sin(angle / 2)), 0.0, float(np.cos(angle / 2))],
        episode=episode,
    )


class _Camera(Sensor):
    """What the robot sees."""

    def __init__(self, size: int):
        self._size = size
        super().__init__(config=None)

    def _get_uuid(self, *args: Any, **kwargs: Any) -> str:
        return "rgb"

    def _get_sensor_type(self, *args: Any, **kwargs: Any) -> SensorTypes:
        return SensorTypes.COLOR

    def _get_observation_space(self, *args: Any, **kwargs: Any) -> spaces.Space:
        return spaces.Box(0, 255, (self._size, self._size, 3), np.uint8)

    def get_observation(self, *args: Any, **kwargs: Any) -> Any:
        return kwargs["picture"]


@registry.register_simulator(name=SIMULATOR)
class LlarpSimulator(Simulator):
    """One home of the benchmark's.

    Attributes:
        home: it, as gymnasium knows it; None before the first episode.
        last: reward, success and info of the last skill.
    """

    def __init__(self, config: DictConfig):
        self.habitat_config = config
        self._world = environments.load("environment", config.environment)
        self._suite = SensorSuite([_Camera(config.image_size)])
        self.home: RearrangementEnv | None = None
        self._episode: ours.Episode | None = None
        self.last: tuple[float, bool, dict[str, Any]] = (0.0, False, {})

    @property
    def sensor_suite(self) -> SensorSuite:
        return self._suite

    @property
    def action_space(self) -> spaces.Space:
        return spaces.Discrete(len(SKILLS))

    def reconfigure(self, config: DictConfig, episode: LlarpEpisode | None = None) -> None:
        self.habitat_config = config
        if episode is not None:
            self._episode = episode.episode

    def reset(self) -> dict[str, Any]:
        if self.home is None:
            config = self.habitat_config
            source = EpisodeList([self._episode])
            self.home = RearrangementEnv(self._world, source, image_size=config.image_size, seed=config.seed)
        observation, _ = self.home.reset(options={"episode": self._episode})
        self.last = (0.0, False, {})
        return self._suite.get_observations(picture=observation["rgb"])

    def step(self, action: int | None, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Use a skill; None only looks."""
        if action is None:
            return self._suite.get_observations(picture=self.home._observation()["rgb"])
        observation, reward, success, _, info = self.home.step(int(action))
        self.last = (reward, success, info)
        return self._suite.get_observations(picture=observation["rgb"])

    def step_physics(self, seconds: float) -> None:
        """Nothing here moves by itself."""

    def seed(self, seed: int) -> None:
        """Episodes bring their own."""

    def close(self, destroy: bool = True) -> None:
        if self.home is not None:
            self.home.close()
            self.home = None


@registry.register_task_action(name=ACTION)
class LlarpSkill(SimulatorTaskAction):
    """One of the 70 skills."""

    def _get_uuid(self, *args: Any, **kwargs: Any) -> str:
        return "skill"

    @property
    def action_space(self) -> spaces.Space:
        return spaces.Discrete(len(SKILLS))

    def step(self, *args: Any, skill: int, **kwargs: Any) -> dict[str, Any]:
        """Use the skill of that number."""
        return self._sim.step(skill)


@registry.register_sensor(name=SENSOR)
class LlarpInstruction(Sensor):
    """The sentence, as UTF-8 bytes padded with zeros: uint8 [4000]."""

    LENGTH = 4000

    def __init__(self, *args: Any, sim: LlarpSimulator, config: DictConfig, **kwargs: Any):
        self._sim = sim
        super().__init__(config=config)

    def _get_uuid(self, *args: Any, **kwargs: Any) -> str:
        return "instruction"

    def _get_sensor_type(self, *args: Any, **kwargs: Any) -> SensorTypes:
        return SensorTypes.TEXT

    def _get_observation_space(self, *args: Any, **kwargs: Any) -> spaces.Space:
        return spaces.Box(0, 255, (self.LENGTH,), np.uint8)

    def get_observation(self, *args: Any, episode: LlarpEpisode, **kwargs: Any) -> Any:
        text = np.zeros(self.LENGTH, np.uint8)
        words = episode.episode.instruction.encode()[: self.LENGTH]
        text[: len(words)] = list(words)
        return text


class _OfLastSkill(Measure):
    """What the simulator says of the last skill."""

    number = 0

    def __init__(self, *args: Any, sim: LlarpSimulator, config: DictConfig, **kwargs: Any):
        self._sim = sim
        super().__init__(*args, **kwargs)

    def reset_metric(self, *args: Any, **kwargs: Any) -> None:
        self.update_metric()

    def update_metric(self, *args: Any, **kwargs: Any) -> None:
        self._metric = float(self._sim.last[self.number])


@registry.register_measure(name=REWARD)
class LlarpReward(_OfLastSkill):
    """What the last skill was paid."""

    def _get_uuid(self, *args: Any, **kwargs: Any) -> str:
        return "reward"


@registry.register_measure(name=SUCCESS)
class LlarpSuccess(_OfLastSkill):
    """1 where the goal was reached."""

    number = 1

    def _get_uuid(self, *args: Any, **kwargs: Any) -> str:
        return "success"


@registry.register_task(name=TASK)
class LlarpRearrangement(EmbodiedTask):
    """An episode goes on until its goal is reached."""

    def step(self, action: dict[str, Any], episode: LlarpEpisode) -> Any:
        """Use a skill: named with its number as argument, or, as gym wrappers have it, the number alone."""
        if isinstance(action["action"], (int, np.integer)):
            action = {"action": "skill", "action_args": {"skill": int(action["action"])}}
        return super().step(action, episode)

    def _check_episode_is_active(self, *args: Any, **kwargs: Any) -> bool:
        return not self._sim.last[1]
