"""What a policy fulfils, and the episode fragments it learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from llarp_cli.repertoire import Repertoire


class Place(Protocol):
    """What a policy is told of where it acts.

    Attributes:
        name: as typed, e.g. "home".
        version: of what is drawn there.
        vision: the vision encoder that a recipe gets when it names none.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def vision(self) -> str: ...


@dataclass(frozen=True)
class Decision:
    """One step's output for B rows.

    Attributes:
        actions: int64 [B].
        log_probs: float32 [B], of the actions.
        values: float32 [B].
        logits: float32 [B, A], A skills.
    """

    actions: Tensor
    log_probs: Tensor
    values: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Fragments:
    """Whole episodes so far, packed: E episodes of `lengths` steps, S steps in all.

    An episode that began in an earlier rollout is given from its first step, so that every policy
    recomputes its own context with today's weights; only the `learned` ones count in a loss.

    Attributes:
        features: what `perceive` returned, [S, ...].
        instructions: E texts.
        lengths: E step counts.
        previous_actions: int64 [S], the action before each step, -1 at an episode's first.
        learned: int64 [L], where in S the steps to learn from lie.
    """

    features: Tensor
    instructions: Sequence[str]
    lengths: Sequence[int]
    previous_actions: Tensor
    learned: Tensor


class Policy(Protocol):
    """Anything that chooses skills from pictures and a sentence, and can be trained.

    Also an `nn.Module` whose parameters are exactly what is trained and saved.

    Attributes:
        image_size: side of the pictures it wants.
        num_actions: A, 70 in a home.
        repertoire: the skills that it chooses from, and the most steps of an episode.
    """

    @property
    def image_size(self) -> int: ...
    @property
    def num_actions(self) -> int: ...
    @property
    def repertoire(self) -> Repertoire: ...

    def perceive(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Frozen features of pictures [B, H, W, 3], as the rollout buffer stores them: [B, ...]."""

    def prepare(self, instructions: Sequence[str]) -> None:
        """Told of sentences that will come up soon, so that they can be read together. Changes no result."""

    def initial_state(self, rows: int) -> Any:
        """Fresh rollout state for B rows, to be passed to every `act`, which changes it in place."""

    def act(
        self,
        features: Tensor,
        instructions: Sequence[str],
        state: Any,
        starts: NDArray[np.bool_],
        previous_actions: NDArray[np.int64],
        *,
        deterministic: bool = False,
        generator: Any = None,
    ) -> Decision:
        """Choose a skill in each of B rows, without gradient.

        Args:
            features: [B, ...] from `perceive`.
            instructions: B texts.
            starts: bool [B], rows where a new episode begins with this step.
            previous_actions: int64 [B], -1 at an episode's first step.
            generator: torch generator for sampling.
        """

    def values_after(self, state: Any, rows: Sequence[int], features: Tensor, previous_actions: Tensor) -> Tensor:
        """Values of what is seen after the last step of episodes that were cut off, without gradient.

        Args:
            state: is left as it was.
            rows: n rows whose episodes were.
            features: [n, ...] of what is seen.
            previous_actions: int64 [n], the last ones.

        Returns:
            float32 [n].
        """

    def rebuild(self, state: Any, fragments: Fragments) -> None:
        """Set the rollout state of all rows from their episodes so far (E = rows, lengths may be 0),
        after the weights changed or a run was resumed."""

    def evaluate(self, fragments: Fragments) -> tuple[Tensor, Tensor]:
        """Logits float32 [S, A] and values float32 [S] of packed steps, with gradient."""
