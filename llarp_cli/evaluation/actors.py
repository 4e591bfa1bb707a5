"""What acts in an evaluation: a learned policy, one of the two planners, a language model unaided, or chance.

Chance is keyed by seed and episode, so that an episode goes the same way whatever else runs beside it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llarp_cli.config import Recipe, RewardOptions
from llarp_cli.environments.environment import open_environment
from llarp_cli.rearrangement.environment import MAX_STEPS, RearrangementVectorEnv
from llarp_cli.rearrangement.planner import outdated
from llarp_cli.rearrangement.skills import SKILL_INDEX
from llarp_cli.recipes import read_recipe
from llarp_cli.runs import Unlearned, ZeroShot

if TYPE_CHECKING:
    from llarp_cli.policy.build import LearnedPolicy
    from llarp_cli.policy.contract import Policy

IMAGE_SIZE = 128
"""Side of the pictures where no policy asks for another."""

PICK_SOMETHING, PLACE_SOMETHING = SKILL_INDEX["pick", "ball"], SKILL_INDEX["place", "chair"]
"""Impossible with a full hand, and with an empty one."""


@dataclass(frozen=True)
class Choice:
    """One step of N rows.

    Attributes:
        actions: int64 [N].
        probabilities: float [N], of the actions.
    """

    actions: NDArray[np.int64]
    probabilities: NDArray[np.float64]


class Actor(Protocol):
    """Chooses skills in a vector environment.

    Attributes:
        image_size: side of the pictures it wants.
    """

    image_size: int

    def reset(self, environment: Any) -> None:
        """Prepare for an environment that has just been reset."""

    def act(self, observation: dict[str, Any], starts: NDArray[np.bool_]) -> Choice:
        """Choose a skill in every row; what inactive rows get is not used.

        Args:
            starts: bool [N], rows in which an episode begins with this observation.
        """


class PlannerActor:
    """The planner with full knowledge: it follows a shortest plan, and plans anew where that may be another one now."""

    image_size = IMAGE_SIZE

    def reset(self, environment: RearrangementVectorEnv) -> None:
        self._environment = environment
        self._plans: list[list[int]] = [[] for _ in range(environment.num_envs)]
        self._last = np.zeros(environment.num_envs, np.int64)

    def act(self, observation: dict[str, Any], starts: NDArray[np.bool_]) -> Choice:
        environment = self._environment
        for row in np.flatnonzero(environment.active):
            holds = environment.simulator.held[row] >= 0
            if starts[row] or not self._plans[row] or outdated(self._last[row], holds):
                self._plans[row] = self._plan(row)
            self._last[row] = self._plans[row].pop(0)
        return Choice(self._last.copy(), np.ones(len(self._last)))

    def _plan(self, row: int) -> list[int]:
        plan = self._environment.plan(row)
        if plan:
            return plan
        # Nothing to do, or nothing that helps: a skill that cannot be used leaves everything as it is.
        idle = PICK_SOMETHING if self._environment.simulator.held[row] >= 0 else PLACE_SOMETHING
        return [idle] * (1 if plan == [] else MAX_STEPS)


class ExpertActor:
    """Whoever is imitated: in a home the searching planner, which knows only what an agent has seen."""

    image_size = IMAGE_SIZE

    def reset(self, environment: Any) -> None:
        self._environment = environment

    def act(self, observation: dict[str, Any], starts: NDArray[np.bool_]) -> Choice:
        actions = self._environment.expert_actions()
        return Choice(actions, np.ones(len(actions)))


class RandomActor:
    """Each of the skills alike.

    Args:
        seed: of its choices.
    """

    image_size = IMAGE_SIZE

    def __init__(self, seed: int):
        self._seed = seed

    def reset(self, environment: Any) -> None:
        self._clocks = Clocks(environment, self._seed)

    def act(self, observation: dict[str, Any], starts: NDArray[np.bool_]) -> Choice:
        actions = self._clocks.next(starts).argmin(axis=1)
        return Choice(actions, np.full(len(actions), 1 / self._clocks.skills))


class PolicyActor:
    """A learned policy.

    Args:
        policy: trained.
        seed: of sampled actions.
        deterministic: take the likeliest skill.
    """

    def __init__(self, policy: Policy, seed: int, deterministic: bool):
        self.image_size = policy.image_size
        self._policy, self._seed, self._deterministic = policy, seed, deterministic

    def reset(self, environment: Any) -> None:
        from llarp_cli.policy.parts import ReadAhead

        self._environment = environment
        self._clocks = Clocks(environment, self._seed)
        self._state = self._policy.initial_state(environment.num_envs)
        self._previous = np.full(environment.num_envs, -1, np.int64)
        self._read_ahead = ReadAhead(self._policy, environment)

    def act(self, observation: dict[str, Any], starts: NDArray[np.bool_]) -> Choice:
        import torch

        # A row without an episode goes on with its last sentence, at the first step for ever.
        texts = [episode.instruction for episode in self._environment.episodes_now]
        starts = starts | ~self._environment.active
        self._previous[starts] = -1
        beginning = np.flatnonzero(starts & self._environment.active)
        self._read_ahead.begun(len(beginning))
        with torch.no_grad():
            self._read_ahead([texts[row] for row in beginning])
            features = self._policy.perceive(observation["rgb"])
            decision = self._policy.act(features, texts, self._state, starts, self._previous, deterministic=True)
        log_probs = decision.logits.double().log_softmax(-1).cpu().numpy()
        if self._deterministic:
            actions = log_probs.argmax(axis=1)
        else:
            # The first of independent exponential clocks with these rates to ring is a draw from them.
            actions = (log_probs - np.log(self._clocks.next(starts))).argmax(axis=1)
        self._previous = actions.astype(np.int64)
        return Choice(self._previous, np.exp(log_probs[np.arange(len(actions)), actions]))


class Clocks:
    """Exponential waiting times, one per row and skill, that depend on seed, episode and step alone.

    Args:
        seed: another seed gives others.

    Attributes:
        skills: how many there are.
    """

    def __init__(self, environment: Any, seed: int):
        self._environment, self._seed = environment, seed
        can = environment.repertoire
        self.skills = len(can.skills)
        self._times = np.ones((environment.num_envs, can.steps, self.skills))
        self._steps = np.zeros(environment.num_envs, np.int64)

    def next(self, starts: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Waiting times of this step, [N, skills]."""
        # Rows without an episode stay at the first step; theirs are not used.
        self._steps = np.where(starts | ~self._environment.active, 0, self._steps + 1)
        for row in np.flatnonzero(starts & self._environment.active):
            episode = self._environment.episodes_now[row]
            text = f"{self._seed}/{episode.split}/{episode.id}"
            key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
            random = np.random.Generator(np.random.Philox(key=key))
            self._times[row] = random.exponential(size=self._times[row].shape)
        return self._times[np.arange(len(self._steps)), self._steps]


@dataclass(frozen=True)
class Opened:
    """An actor and what it comes with.

    Attributes:
        name: "planner", "searcher", "expert", "random", or the policy's directory.
        label: a short name for films.
        backbone: its frozen language model, None without one.
        environment: where it acts.
        recipe: None for what is not learned.
    """

    actor: Actor
    name: str
    label: str
    backbone: str | None = None
    environment: str = "home"
    recipe: Recipe | None = None

    @property
    def families(self) -> Sequence[str]:
        """That its recipe trains; empty for all."""
        return self.recipe.tasks.families if self.recipe else ()

    @property
    def reward(self) -> RewardOptions:
        """That its recipe pays."""
        return self.recipe.reward if self.recipe else RewardOptions()


def open_actor(source: Path | Unlearned, *, seed: int, deterministic: bool, environment: str | None = None) -> Opened:
    """Whatever `runs.resolve_policy` found, ready to act.

    Args:
        source: a directory that holds a policy, or one that is not learned.
        seed: of sampled actions.
        deterministic: take the likeliest skill.
        environment: where; left out, where the policy was trained, or in the embedded home.

    Raises:
        UsageProblem: the policy is damaged or foreign, or its frozen parts cannot be had.
    """
    place = environment or "home"
    if source == "planner":
        return Opened(PlannerActor(), "planner", "planner", environment=place)
    if source in ("searcher", "expert"):
        return Opened(ExpertActor(), str(source), str(source), environment=place)
    if source == "random":
        return Opened(RandomActor(seed), "random", "random", environment=place)
    if isinstance(source, ZeroShot):
        from llarp_cli.evaluation.zero_shot import ZeroShotActor, load_ranker

        actor = ZeroShotActor(load_ranker(source.backbone), seed, deterministic)
        return Opened(actor, str(source), "zero-shot", source.backbone.name, place)
    policy, recipe = open_learned(source, environment)
    backbone = recipe.backbone.name if recipe.reads_with_backbone else None
    if backbone and recipe.backbone.weights == "random":
        backbone += " (random weights)"
    rank = recipe.backbone.lora.rank
    return Opened(
        PolicyActor(policy, seed, deterministic),
        str(source),
        recipe.label,
        f"{backbone} (not frozen: LoRA of rank {rank})" if rank else backbone,
        environment or recipe.environment,
        recipe,
    )


def place_of(source: Path | Unlearned, environment: str | None) -> str:
    """The environment in which something acts: the one that was asked for, where it was trained, or the home.

    Args:
        source: what `runs.resolve_policy` found.
        environment: asked for.

    Raises:
        UsageProblem: a learned policy's files cannot be read.
    """
    if environment is not None:
        return environment
    if not isinstance(source, Path):
        return "home"
    from llarp_cli.policy.files import RECIPE, read_files

    return read_recipe(read_files(source)[RECIPE], str(source / RECIPE)).environment


def open_learned(directory: Path, environment: str | None = None) -> tuple[LearnedPolicy, Recipe]:
    """A trained policy and its recipe, on whatever device there is.

    Args:
        environment: where it is to act; left out, where it was trained.

    Raises:
        UsageProblem: as `open_policy`; or the place where it was trained draws pictures by now that its vision encoder
            was not trained on. Elsewhere pictures are others anyway, which is said and nothing more.
    """
    from llarp_cli.backbones.transfer import usual_device
    from llarp_cli.policy.files import check_repertoire, check_world, open_policy

    policy, recipe = open_policy(directory, usual_device())
    place = open_environment(environment or recipe.environment)
    check_repertoire(directory, policy, place, place.repertoire)
    if environment is None or environment == recipe.environment:
        check_world(directory, policy, place)
    elif policy.frozen.encoder.renderer is not None:
        encoder = policy.frozen.encoder.name
        print(
            f"note: vision encoder '{encoder}' was trained on pictures of {recipe.environment}, not of {environment}",
            file=sys.stderr,
        )
    return policy, recipe
