"""What is measured: which model, how many environments, how long episodes are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator

from llarp_cli import registry
from llarp_cli.backbones.contract import Backbone
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.bench.synthetic import SyntheticEncoder, SyntheticEnvironment, sentences
from llarp_cli.config import BackboneOptions, PPOOptions, Recipe, TaskOptions, VisionOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.learning.collector import group_sizes
from llarp_cli.policy.llarp import LLaRPPolicy
from llarp_cli.policy.parts import EPISODE_STEPS
from llarp_cli.rearrangement.environment import RearrangementVectorEnv
from llarp_cli.rearrangement.splits import TrainingEpisodes
from llarp_cli.vision.contract import VisionEncoder

Layout = Literal["ours", "reference", "both"]


@dataclass(frozen=True)
class Workload:
    """Everything a measurement depends on but the machine.

    Attributes:
        backbone: a backbone plugin, or "llama" for one of `llama`'s size.
        llama: architecture of a LLaMA with random weights, as transformers names its parts; empty for none.
        weights: of the backbone: hub id, path or "random"; None for the plugin's own.
        prefix_cache_mb: as in a recipe.
        vision: a vision plugin; None is the home's own in the home, and ready-made features of 768 numbers in the
            synthetic environment.
        vision_weights: of the vision encoder likewise.
        image_size: side of the pictures, pixels.
        environment: "home", or "synthetic": random pictures at no cost.
        num_envs, rollout_steps, epochs, minibatches: as in a recipe.
        instruction_tokens: of each synthetic instruction.
        instructions: how many different ones, in the home how many tasks; 0 for a new one in each episode.
        episode_length: shortest and longest; episodes' lengths are drawn evenly between. None leaves the
            home's episodes alone, which time out after 32 steps.
        dtype: of the backbone.
        threads: of torch and numba.
        layout: which way of working, or both in turn.
        fragments: in a minibatch of the reference layout; 0 as shipped, a share of 1/8 of the environments.
        repeat: measurements, of which the median counts.
        seed: of everything drawn.
    """

    backbone: str
    llama: dict[str, Any]
    weights: str | None
    prefix_cache_mb: int
    vision: str | None
    vision_weights: str | None
    image_size: int
    environment: Literal["home", "synthetic"]
    num_envs: int
    rollout_steps: int
    epochs: int
    minibatches: int
    instruction_tokens: int
    instructions: int
    episode_length: tuple[int, int] | None
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    threads: int
    layout: Layout
    fragments: int
    repeat: int
    seed: int = 0

    @property
    def longest(self) -> int:
        """Steps of the longest episode."""
        return EPISODE_STEPS if self.episode_length is None else max(EPISODE_STEPS, self.episode_length[1])

    @property
    def layouts(self) -> tuple[str, ...]:
        return ("ours", "reference") if self.layout == "both" else (self.layout,)

    def recipe(self, steps: int = 1) -> Recipe:
        """The recipe of a run like this, of so many steps."""
        return Recipe(
            steps=steps,
            seed=self.seed,
            environment="home",
            num_envs=self.num_envs,
            backbone=BackboneOptions(
                name=self.backbone, weights=self.weights, dtype=self.dtype, prefix_cache_mb=self.prefix_cache_mb
            ),
            vision=VisionOptions(name=self.vision, weights=self.vision_weights, image_size=self.image_size),
            ppo=PPOOptions(rollout_steps=self.rollout_steps, epochs=self.epochs, minibatches=self.minibatches),
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Parts:
    """What a workload is made of, loaded once and used by both layouts.

    Attributes:
        encoder: of the pictures; its `image_size` is the environments'.
    """

    workload: Workload
    accelerator: Accelerator
    backbone: Backbone
    encoder: VisionEncoder

    def policy(self) -> LLaRPPolicy:
        """A policy around the frozen parts; all of them begin with the same weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.workload.seed)
            policy = LLaRPPolicy(self.backbone, self.encoder, self.workload.recipe().adapter)
        policy.capacity = (self.workload.longest + 1) * policy.adapter.tokens_per_step
        return policy

    def environments(self) -> list[Any]:
        """Environments of the workload in the groups they are collected in; always the same ones."""
        sizes = group_sizes(self.workload.num_envs)
        return [self.environment(rows, group, len(sizes)) for group, rows in enumerate(sizes)]

    def environment(self, rows: int | None = None, group: int = 0, groups: int = 1) -> Any:
        """So many environments (all of the workload where left out); always the same ones with the same sentences.

        Args:
            group: which of so many groups, that take turns with episodes or have sentences of their own.
        """
        load, size = self.workload, self.encoder.image_size
        rows, seed = rows or load.num_envs, load.seed + group
        lengths = load.episode_length
        if load.environment == "synthetic":
            texts = sentences(self.backbone.tokenize, load.instruction_tokens, load.instructions, seed)
            return SyntheticEnvironment(rows, size, lengths or (EPISODE_STEPS, EPISODE_STEPS), texts, seed)
        world = registry.load("environment", "home")
        episodes = TrainingEpisodes(world, TaskOptions(count=load.instructions), load.seed, group, groups)
        if lengths is None:
            return RearrangementVectorEnv(world, episodes, rows, image_size=size, seed=seed)
        return _CutShort(world, episodes, rows, image_size=size, seed=seed, lengths=lengths)


class _CutShort(RearrangementVectorEnv):
    """Homes whose episodes time out after numbers of steps drawn evenly between two."""

    def __init__(self, *arguments: Any, lengths: tuple[int, int], **options: Any):
        self._drawn = lengths
        self._draws = np.random.Generator(np.random.PCG64(options["seed"]))
        super().__init__(*arguments, **options)

    def _begin(self, rows: Sequence[int] | range) -> None:
        super()._begin(rows)
        shortest, longest = self._drawn
        # An episode that is taken to have had some of its steps already.
        self._play.lengths[list(rows)] = EPISODE_STEPS - self._draws.integers(shortest, longest + 1, len(rows))


def load(workload: Workload) -> Parts:
    """Load the frozen parts.

    Raises:
        UsageProblem: one of them cannot be had.
    """
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")
    device = accelerator.device
    recipe = workload.recipe()
    if workload.llama:
        architecture = {"model_type": "llama", "max_position_embeddings": 2048, **workload.llama}
        plugin = TransformersPlugin(summary="a LLaMA of chosen size", architecture=architecture)
    else:
        plugin = registry.load("backbone", workload.backbone)
    if isinstance(plugin, TransformersPlugin):
        plugin = replace(plugin, drawn_on_device=True)
    backbone: Backbone = plugin.load(recipe.backbone, device)
    try:
        texts = sentences(backbone.tokenize, workload.instruction_tokens, workload.instructions, workload.seed)
        next(texts)
    except ValueError as error:
        raise UsageProblem(str(error), "pass a larger --instruction-tokens") from error
    return Parts(workload, accelerator, backbone, _vision(workload, device))


def _vision(workload: Workload, device: Any) -> VisionEncoder:
    options = workload.recipe().vision
    if options.name is None and workload.environment == "synthetic":
        return SyntheticEncoder(device)
    options = options.model_copy(update={"name": options.name or registry.load("environment", "home").vision})
    return registry.build("vision encoder", options.name, options, device)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use so many threads in torch, and in numba where it is used."""
    import numba

    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])
