"""The baseline `zero-shot`: a language model ranks the skills by a text of what the agent has seen; nothing is trained.

A skill's probability is the model's likelihood of its name among the seventy. Unlike the other policies it is told
in words what is in view, as `rearrangement.situations` says; its prompt is in `zero_shot_prompt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llarp_cli.config import BackboneOptions
from llarp_cli.evaluation.actors import IMAGE_SIZE, Choice, Clocks
from llarp_cli.evaluation.advice import Advice
from llarp_cli.evaluation.zero_shot_prompt import ANCHOR, prompt, told
from llarp_cli.rearrangement.environment import MAX_STEPS, RearrangementVectorEnv
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.situations import Witness
from llarp_cli.rearrangement.skills import SKILLS

if TYPE_CHECKING:
    from llarp_cli.backbones.language_model import LanguageModel


def load_ranker(options: BackboneOptions) -> LanguageModel:
    """The language model with the prompt before it, on whatever device there is.

    Raises:
        UsageProblem: it cannot be had, is no decoder, or is too small for the prompt.
    """
    from llarp_cli.backbones.language_model import load_language_model
    from llarp_cli.backbones.transfer import usual_device

    texts = [f" {skill}\n" for skill in SKILLS]
    return load_language_model(options, usual_device(), beginning=prompt(), anchor=ANCHOR, texts=texts)


def skill_log_probabilities(model: LanguageModel, texts: Sequence[str]) -> NDArray[np.float64]:
    """Of the 70 skills behind situations in words, [N, 70]."""
    return model.log_likelihoods(texts).log_softmax(-1).cpu().numpy()


class ZeroShotActor:
    """A language model that acts by what it is told.

    Args:
        model: from `load_ranker`.
        seed: of sampled actions.
        deterministic: take the likeliest skill.
    """

    image_size = IMAGE_SIZE

    def __init__(self, model: LanguageModel, seed: int, deterministic: bool):
        self._model, self._seed, self._deterministic = model, seed, deterministic

    def reset(self, environment: RearrangementVectorEnv) -> None:
        self._environment = environment
        self._clocks = Clocks(environment, self._seed)
        self._witness = Witness(environment.simulator, self.image_size)
        self._previous = np.full(environment.num_envs, -1, np.int64)

    def act(self, observation: dict[str, Any], starts: NDArray[np.bool_]) -> Choice:
        rows = np.flatnonzero(self._environment.active)
        self._witness.look(rows, starts, self._previous)
        texts = [
            told(self._environment.episodes_now[row].instruction, self._witness.situation(row)) for row in rows.tolist()
        ]
        log_probs = np.zeros((self._environment.num_envs, len(SKILLS)))
        log_probs[rows] = skill_log_probabilities(self._model, texts)
        clocks = self._clocks.next(starts)
        # The first of independent exponential clocks with these rates to ring is a draw from them.
        actions = (log_probs if self._deterministic else log_probs - np.log(clocks)).argmax(axis=1)
        self._previous = actions.astype(np.int64)
        return Choice(self._previous, np.exp(log_probs[np.arange(len(actions)), actions]))


class ZeroShotAdviser:
    """The same, asked about one home.

    Args:
        model: from `load_ranker`.
        name: a short one.
    """

    image_size = IMAGE_SIZE
    reads = True
    steps = MAX_STEPS

    def __init__(self, model: LanguageModel, name: str):
        self._model, self.name = model, name

    def begin(self, instruction: str) -> None:
        self._instruction, self._first = instruction, True

    def advise(self, play: Play, pictures: NDArray[np.uint8], previous: int) -> Advice | None:
        if self._first:
            self._witness = Witness(play.simulator, self.image_size)
        self._witness.look(np.zeros(1, np.intp), np.array([self._first]), np.array([previous]))
        self._first = False
        text = told(self._instruction, self._witness.situation(0))
        return Advice(np.exp(skill_log_probabilities(self._model, [text])[0]))
