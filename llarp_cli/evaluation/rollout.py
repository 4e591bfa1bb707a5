"""One episode, step by step: what was chosen, how surely, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from llarp_cli import registry
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.actors import Opened, open_actor
from llarp_cli.evaluation.sentences import episode_for, with_sentence
from llarp_cli.evaluation.video import Film
from llarp_cli.rearrangement.environment import MAX_LETTERS, MAX_STEPS, RearrangementVectorEnv
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.skills import SKILLS
from llarp_cli.rearrangement.splits import EpisodeList, split_episodes

DEFAULT_SPLIT = "rephrasing"


@dataclass(frozen=True)
class Step:
    """One step of an episode.

    Attributes:
        skill: e.g. "pick up the apple".
        probability: that the actor gave it.
        possible: its precondition held.
        reward: for it.
    """

    skill: str
    probability: float
    possible: bool
    reward: float


@dataclass(frozen=True)
class Told:
    """An episode as it went.

    Attributes:
        note: what success means where the sentence is the user's own; "" otherwise.
        video: the film, None where none was made.
    """

    policy: str
    episode: str
    split: str
    family: str
    instruction: str
    note: str
    steps: tuple[Step, ...]
    success: bool
    video: str | None

    @property
    def total_reward(self) -> float:
        return sum(step.reward for step in self.steps)

    def text(self) -> str:
        """For the terminal."""
        lines = [f"{self.policy} in episode {self.episode} ({self.split}, {self.family})", f'"{self.instruction}"']
        if self.note:
            lines.append(self.note)
        width = max(len(step.skill) for step in self.steps)
        for number, step in enumerate(self.steps, 1):
            told = f"{number:>3}  {step.skill:<{width}}  {step.probability:>6.1%}  {step.reward:+.2f}"
            lines.append(told if step.possible else f"{told}  not possible here")
        end = "success" if self.success else "no success"
        lines.append(f"{end} after {len(self.steps)} steps, return {self.total_reward:.2f}")
        if self.video is not None:
            lines.append(f"film: {self.video}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """As `llarp rollout --json` writes it."""
        return {**asdict(self), "return": self.total_reward}


def roll_out(
    source: Path | Literal["planner", "random"],
    *,
    video: Path | None = None,
    instruction: str | None = None,
    split: str | None = None,
    index: int | None = None,
    seed: int = 0,
    deterministic: bool = False,
) -> Told:
    """What `llarp rollout` does.

    Args:
        source: what `runs.resolve_policy` found.
        video: where to film it.
        instruction: the user's own sentence. Without a split and an index, an episode is made in which what it
            seems to ask for can be done; else that episode's goal stays.
        split, index: which episode; left out, the first that the policy's recipe trains.
        seed: of sampled actions and of where objects are put down.
        deterministic: take the likeliest skill.

    Raises:
        UsageProblem: no such policy, split or episode; the film cannot be written.
    """
    if instruction is not None and not instruction.strip():
        raise UsageProblem("--instruction is empty", "write what is to be done")
    if instruction is not None and len(instruction) > MAX_LETTERS:
        raise UsageProblem(f"--instruction has {len(instruction)} characters", f"write at most {MAX_LETTERS}")
    opened = open_actor(source, seed=seed, deterministic=deterministic)
    world = registry.load("environment", opened.environment)
    episode, note = _choose(world, opened, instruction, split, index, seed)
    steps, success = play(opened, world, episode, seed=seed, film_to=video)
    return Told(
        policy=opened.name,
        episode=episode.id,
        split=episode.split,
        family=episode.family,
        instruction=episode.instruction,
        note=note,
        steps=steps,
        success=success,
        video=None if video is None else str(video),
    )


def play(
    opened: Opened, world: World, episode: Episode, *, seed: int, film_to: Path | None
) -> tuple[tuple[Step, ...], bool]:
    """Run one episode, filming it where asked.

    Returns:
        Its steps, and whether its goal was reached.
    """
    actor = opened.actor
    environment = RearrangementVectorEnv(
        world, EpisodeList([episode]), 1, image_size=actor.image_size, reward=opened.reward, seed=seed
    )
    observation, _ = environment.reset()
    actor.reset(environment)
    film = None if film_to is None else Film(environment.simulator, episode.instruction, MAX_STEPS, opened.label)
    steps: list[Step] = []
    success = False
    starts = np.ones(1, bool)
    while environment.active[0]:
        choice = actor.act(observation, starts)
        observation, reward, terminations, _, infos = environment.step(choice.actions)
        starts = np.zeros(1, bool)
        success = bool(terminations[0])
        step = Step(
            skill=str(SKILLS[choice.actions[0]]),
            probability=float(choice.probabilities[0]),
            possible=not infos["invalid_skill"][0],
            reward=float(reward[0]),
        )
        steps.append(step)
        if film is not None:
            film.add(step.skill, step.probability, step.possible, step.reward)
    if film is not None:
        film.end(success)
        film.write(film_to)
    environment.close()
    return tuple(steps), success


def _choose(
    world: World, opened: Opened, instruction: str | None, split: str | None, index: int | None, seed: int
) -> tuple[Episode, str]:
    """The episode, and what success in it means where its sentence is the user's own."""
    if instruction is not None and split is None and index is None:
        made = episode_for(world, instruction, seed)
        if made is not None:
            slots = ", ".join(f"{name} = {value}" for name, value in made.slots.items())
            return made, f"understood as {made.family}: {slots}; success is judged by that"
    split = split or DEFAULT_SPLIT
    episodes = split_episodes(world, split)
    if index is None:
        episode = next((e for e in episodes if not opened.families or e.family in opened.families), episodes[0])
    elif index < len(episodes):
        episode = episodes[index]
    else:
        raise UsageProblem(f"split '{split}' has no episode {index}", f"--episode goes from 0 to {len(episodes) - 1}")
    if instruction is None:
        return episode, ""
    note = f'success is judged by the goal of the episode\'s own sentence: "{episode.instruction}"'
    return with_sentence(episode, instruction), note
