"""What users write against the public API, for mypy alone: `make lint` reads it, nothing runs it.

A plugin is assigned to the contract it fulfils, as it would be by a careful author.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from llarp_cli import load_policy, make_env
from llarp_cli.backbones.contract import Backbone, BackbonePlugin
from llarp_cli.backbones.frozen import FrozenBackbone
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.config import BackboneOptions, VisionOptions
from llarp_cli.home import HomeWorld
from llarp_cli.policy.contract import Policy
from llarp_cli.policy.llarp import LLaRPPolicy
from llarp_cli.policy.lstm import LSTMPolicy
from llarp_cli.policy.transformer import TransformerPolicy
from llarp_cli.rearrangement.environment import RearrangementEnv
from llarp_cli.rearrangement.simulator import Simulator, World
from llarp_cli.vision.cnn_encoder import CNNEncoder
from llarp_cli.vision.contract import VisionEncoder, VisionPlugin
from llarp_cli.vision.home_encoder import HomeEncoder
from llarp_cli.vision.hub_encoder import HubEncoder


class PlainPlugin:
    """A backbone plugin as plugins/README.md has it: plain class attributes."""

    summary = "plain"
    weights = None
    requires = ()
    extra = None

    def load(self, options: BackboneOptions, device: Any) -> Backbone:
        return TransformersPlugin("inner").load(options, device)


class PlainVision:
    """A vision plugin likewise."""

    summary = "plain"
    requires = ("timm",)
    extra = "timm"

    def load(self, options: VisionOptions, device: Any) -> VisionEncoder:
        raise NotImplementedError


def plugins() -> tuple[BackbonePlugin, BackbonePlugin, VisionPlugin]:
    return TransformersPlugin("short"), PlainPlugin(), PlainVision()


def world() -> tuple[World, Simulator]:
    home = HomeWorld()
    return home, home.simulator(4, 64)


def backbone(given: FrozenBackbone) -> Backbone:
    return given


def encoders(home: HomeEncoder, cnn: CNNEncoder, hub: HubEncoder) -> list[VisionEncoder]:
    return [home, cnn, hub]


def policies(llarp: LLaRPPolicy, lstm: LSTMPolicy, transformer: TransformerPolicy) -> list[Policy]:
    return [llarp, lstm, transformer]


def act() -> str:
    environment = make_env("home", split="rephrasing")
    plain: gymnasium.Env[dict[str, Any], Any] = environment
    label: int = environment.expert_action() if isinstance(environment, RearrangementEnv) else 0
    agent = load_policy("runs/mine", weights=None)
    observation, _ = plain.reset(seed=1)
    picture: np.ndarray[Any, np.dtype[np.uint8]] = observation["rgb"]
    skill: int = agent.act(picture, observation["instruction"])
    observation, reward, terminated, truncated, _ = environment.step(skill)
    paid: float = reward
    return f"{agent.skills[skill]} {label} {paid} {terminated or truncated}"
