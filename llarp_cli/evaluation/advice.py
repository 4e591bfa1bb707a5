"""What a policy would do next, without doing it: how likely each skill is, and what it expects to earn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llarp_cli.config import RewardOptions
from llarp_cli.rearrangement.environment import MAX_STEPS
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.skills import SKILLS
from llarp_cli.runs import Unlearned, ZeroShot

if TYPE_CHECKING:
    from llarp_cli.policy.contract import Policy

IMAGE_SIZE = 128
"""Side of the pictures where no policy asks for another."""


@dataclass(frozen=True)
class Advice:
    """What a policy makes of the present state.

    Attributes:
        probabilities: float64 [70], of the skills.
        value: the return it expects from here on, in rewards as it was trained with them (`ppo.reward_scale`); None
            where it expects nothing.
    """

    probabilities: NDArray[np.float64]
    value: float | None = None

    def likeliest(self, count: int) -> list[tuple[int, float]]:
        """The likeliest skills with their probabilities, most likely first; none that is out of the question."""
        order = np.argsort(-self.probabilities, kind="stable")[:count].tolist()
        return [(action, float(self.probabilities[action])) for action in order if self.probabilities[action] > 0]


class Adviser(Protocol):
    """Asked once in every state from `begin` on.

    Attributes:
        name: a short one.
        image_size: side of the pictures it wants.
        reads: whether it goes by the sentence; else it goes by the goal, and needs one.
        steps: how many states it can be asked about.
    """

    name: str
    image_size: int
    reads: bool
    steps: int

    def begin(self, instruction: str) -> None:
        """Forget what was before."""

    def advise(self, play: Play, pictures: NDArray[np.uint8], previous: int) -> Advice | None:
        """What it would do in row 0.

        Args:
            pictures: uint8 [1, image_size, image_size, 3], what the agent sees.
            previous: the skill that led here, whoever chose it; -1 at the first.

        Returns:
            None where it knows nothing to do.
        """


class LearnedAdviser:
    """A trained policy.

    Args:
        policy: trained.
        name: a short one.
    """

    reads = True
    steps = MAX_STEPS

    def __init__(self, policy: Policy, name: str):
        self.name, self.image_size = name, policy.image_size
        self._policy = policy
        self._state: Any = policy.initial_state(1)

    def begin(self, instruction: str) -> None:
        self._instruction, self._first = instruction, True

    def advise(self, play: Play, pictures: NDArray[np.uint8], previous: int) -> Advice | None:
        import torch

        with torch.no_grad():
            features = self._policy.perceive(pictures)
            start, action = np.array([self._first]), np.array([previous], np.int64)
            decision = self._policy.act(features, [self._instruction], self._state, start, action, deterministic=True)
        self._first = False
        probabilities = decision.logits[0].double().softmax(-1).cpu().numpy()
        return Advice(probabilities, float(decision.values[0]))


class PlannerAdviser:
    """A planner, which goes by the goal: with full knowledge, or by what the agent has seen.

    Args:
        searching: the latter.
    """

    image_size = IMAGE_SIZE
    reads = False
    steps = MAX_STEPS

    def __init__(self, searching: bool):
        self.name = "searcher" if searching else "planner"
        self._searching = searching

    def begin(self, instruction: str) -> None:
        pass

    def advise(self, play: Play, pictures: NDArray[np.uint8], previous: int) -> Advice | None:
        plan = [int(play.labels()[0])] if self._searching else play.plan(0)
        return Advice(np.eye(len(SKILLS))[plan[0]]) if plan else None


class RandomAdviser:
    """Every skill alike."""

    name = "random"
    image_size = IMAGE_SIZE
    reads = True
    steps = MAX_STEPS

    def begin(self, instruction: str) -> None:
        pass

    def advise(self, play: Play, pictures: NDArray[np.uint8], previous: int) -> Advice | None:
        return Advice(np.full(len(SKILLS), 1 / len(SKILLS)))


@dataclass(frozen=True)
class OpenedAdviser:
    """An adviser and what it comes with.

    Attributes:
        name: as typed, or the policy's directory.
        environment: where it acts.
        reward: that its recipe pays.
    """

    adviser: Adviser
    name: str
    environment: str = "home"
    reward: RewardOptions = field(default_factory=RewardOptions)


def open_adviser(source: Path | Unlearned, environment: str | None = None) -> OpenedAdviser:
    """Whatever `runs.resolve_policy` found, ready to be asked.

    Args:
        environment: where; left out, where the policy was trained, or in the embedded home.

    Raises:
        UsageProblem: the policy is damaged or foreign, its frozen parts cannot be had, or its pictures are drawn
            otherwise now.
    """
    if source in ("planner", "searcher", "expert"):
        return OpenedAdviser(PlannerAdviser(source != "planner"), str(source))
    if source == "random":
        return OpenedAdviser(RandomAdviser(), "random")
    if isinstance(source, ZeroShot):
        from llarp_cli.evaluation.zero_shot import ZeroShotAdviser, load_ranker

        return OpenedAdviser(ZeroShotAdviser(load_ranker(source.backbone), "zero-shot"), str(source))
    from llarp_cli.evaluation.actors import open_learned

    policy, recipe = open_learned(source, environment)
    return OpenedAdviser(
        LearnedAdviser(policy, recipe.label), str(source), environment or recipe.environment, recipe.reward
    )
