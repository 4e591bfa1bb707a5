"""One episode, step by step: what was chosen, how surely, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llarp_cli.environments.environment import Environment, open_environment
from llarp_cli.environments.rearrangement import LanguageRearrangement
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.actors import Opened, open_actor, place_of
from llarp_cli.evaluation.sentences import (
    OWN,
    SO_ALREADY,
    checked,
    knows_goal,
    own_episode,
    reached_at_start,
    with_sentence,
    without_goal,
)
from llarp_cli.evaluation.video import Film
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.simulator import Simulator, World
from llarp_cli.runs import Unlearned

DEFAULT_SPLIT = LanguageRearrangement.film_split

NEED_A_GOAL = ("planner", "searcher", "expert")
"""Actors that do not read the sentence."""

REPEATED = 3
"""Where no goal is known, a policy that does the same in the same situation so often has come to an end."""

ENDINGS = {
    "success": "success after {steps}, return {total:.2f}",
    "limit": "no success after {steps}, return {total:.2f}",
    "unknown": "ended after {steps}, the limit; success is not judged",
    "repeats": "ended after {steps}: it repeats itself; success is not judged",
}
"""How an episode ended → how the screen puts it."""


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
        home: the scene's name; "" where there are no homes.
        note: what success means where the sentence is the user's own; "" otherwise.
        ending: a key of ENDINGS.
        video: the film, None where none was made.
    """

    policy: str
    episode: str
    split: str
    family: str
    home: str
    instruction: str
    note: str
    steps: tuple[Step, ...]
    ending: str
    video: str | None

    @property
    def success(self) -> bool | None:
        """Whether the goal was reached; None where none is known."""
        return {"success": True, "limit": False}.get(self.ending)

    @property
    def total_reward(self) -> float:
        return sum(step.reward for step in self.steps)

    def text(self) -> str:
        """For the terminal."""
        kind = self.split if self.family == OWN else f"{self.split}, {self.family}"
        where = f"home {self.home}" if self.split == OWN else f"episode {self.episode} ({kind})"
        lines = [f"{self.policy} in {where}", f'"{self.instruction}"']
        if self.note:
            lines.append(self.note)
        width = max(len(step.skill) for step in self.steps)
        for number, step in enumerate(self.steps, 1):
            told = f"{number:>3}  {step.skill:<{width}}  {step.probability:>6.1%}"
            if self.success is not None:
                told += f"  {step.reward:+.2f}"
            lines.append(told if step.possible else f"{told}  not possible here")
        steps = f"{len(self.steps)} step{'s' * (len(self.steps) != 1)}"
        lines.append(ENDINGS[self.ending].format(steps=steps, total=self.total_reward))
        if self.video is not None:
            lines.append(f"film: {self.video}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """As `llarp rollout --json` writes it."""
        return {**asdict(self), "success": self.success, "return": self.total_reward}


def roll_out(
    source: Path | Unlearned,
    *,
    video: Path | None = None,
    instruction: str | None = None,
    split: str | None = None,
    episode_file: Path | None = None,
    index: int | None = None,
    environment: str | None = None,
    home: str | None = None,
    arrangement_seed: int | None = None,
    seed: int = 0,
    deterministic: bool = False,
) -> Told:
    """What `llarp rollout` does.

    Args:
        source: what `runs.resolve_policy` found.
        video: where to film it.
        instruction: the user's own sentence. Without a split, a file and an index it is tried in a home arranged for
            it.
        split, index: which episode; left out, the first that the policy's recipe trains.
        episode_file: in place of a split.
        environment: where; left out, where the policy was trained, or in the embedded home.
        home: the scene in which to try the sentence; left out, one of the unseen ones.
        arrangement_seed: of that choice and of what stands where in it; left out, `seed`.
        seed: of sampled actions and of where objects are put down.
        deterministic: take the likeliest skill.

    Raises:
        UsageProblem: no such policy, split, file, episode or home; or the planners are given a sentence without a goal.
    """
    if instruction is not None:
        instruction = checked(instruction, "--instruction")
    if split is not None and episode_file is not None:
        raise UsageProblem("--split and --episodes exclude each other", "leave one out")
    own = instruction is not None and split is None and episode_file is None and index is None
    if home is not None or arrangement_seed is not None:
        flag = "--arrangement-seed" if home is None else "--home"
        if instruction is None:
            raise UsageProblem(f"{flag} goes with --instruction", 'write what is to be done there: --instruction "..."')
        if not own:
            raise UsageProblem(f"{flag} and --split or --episode exclude each other", "an episode has its own home")
    place = open_environment(place_of(source, environment))
    if not isinstance(source, Path):
        place.check_actor(str(source))
    if not isinstance(place, LanguageRearrangement):
        if instruction is not None:
            raise UsageProblem(f"--instruction is for homes; environment '{place.name}' has its own", "leave it out")
        return _told(source, place, split, episode_file, index, video, environment, seed, deterministic)
    world = place.world
    opened = open_actor(source, seed=seed, deterministic=deterministic, environment=environment)
    if own:
        episode, note = own_episode(world, instruction, home, seed if arrangement_seed is None else arrangement_seed)
    else:
        episode, note = _choose(place, opened, split, episode_file, index), ""
        if instruction is not None:
            episode, note = with_sentence(episode, instruction)
            if reached_at_start(world, episode):
                episode, note = without_goal(episode), SO_ALREADY
    if not knows_goal(episode) and source in NEED_A_GOAL:
        raise UsageProblem(
            f"the {source} does not read: it needs a goal, and none is known for this sentence",
            "name an object and where to bring it, or give a trained policy",
        )
    steps, ending = play(opened, world, episode, seed=seed, film_to=video)
    return Told(
        policy=opened.name,
        episode=episode.id,
        split=episode.split,
        family=episode.family,
        home=episode.arrangement.scene,
        instruction=episode.instruction,
        note=note,
        steps=steps,
        ending=ending,
        video=None if video is None else str(video),
    )


def _told(
    source: Path | Unlearned,
    place: Environment,
    split: str | None,
    episode_file: Path | None,
    index: int | None,
    video: Path | None,
    environment: str | None,
    seed: int,
    deterministic: bool,
) -> Told:
    """An episode of an environment that is no home; see `roll_out`."""
    opened = open_actor(source, seed=seed, deterministic=deterministic, environment=environment)
    episode = _choose(place, opened, split, episode_file, index)
    rows = place.rows([episode], 1, image_size=opened.actor.image_size, reward=opened.reward, seed=seed)
    observation, _ = rows.reset()
    film = None if video is None else Film(rows, episode.instruction, rows.repertoire.steps, opened.label, rows.cameras)
    steps, ending = _act(opened, rows, observation, film, judged=True)
    if film is not None:
        film.end(ending == "success")
        film.write(video)
    rows.close()
    return Told(
        policy=opened.name,
        episode=episode.id,
        split=episode.split,
        family=episode.family,
        home="",
        instruction=episode.instruction,
        note="",
        steps=steps,
        ending=ending,
        video=None if video is None else str(video),
    )


def play(
    opened: Opened, world: World, episode: Episode, *, seed: int, film_to: Path | None
) -> tuple[tuple[Step, ...], str]:
    """Run one episode, filming it where asked.

    Returns:
        Its steps, and how it ended: a key of ENDINGS.
    """
    environment = LanguageRearrangement(world).rows(
        [episode], 1, image_size=opened.actor.image_size, reward=opened.reward, seed=seed
    )
    observation, _ = environment.reset()
    most = environment.repertoire.steps
    judged = knows_goal(episode)
    film = None
    if film_to is not None:
        film = Film(environment.simulator, episode.instruction, most if judged else None, opened.label)
    steps, ending = _act(opened, environment, observation, film, judged=judged)
    if film is not None:
        if judged:
            film.end(ending == "success")
        film.write(film_to)
    environment.close()
    return steps, ending


def _act(
    opened: Opened, environment: Any, observation: dict[str, Any], film: Film | None, *, judged: bool
) -> tuple[tuple[Step, ...], str]:
    """Run the one episode of an environment of one row.

    Args:
        observation: its first.
        judged: success is; else the episode, of a home, ends when the policy repeats itself.

    Returns:
        Its steps, and how it ended: a key of ENDINGS.
    """
    actor, skills = opened.actor, environment.repertoire.skills
    actor.reset(environment)
    steps: list[Step] = []
    met: Counter[tuple[bytes, int]] = Counter()
    ending = "limit" if judged else "unknown"
    starts = np.ones(1, bool)
    while environment.active[0] and ending != "repeats":
        before = b"" if judged else situation(environment.simulator)
        choice = actor.act(observation, starts)
        observation, reward, _, _, infos = environment.step(choice.actions)
        starts = np.zeros(1, bool)
        if infos["success"][0]:
            ending = "success"
        step = Step(
            skill=skills[choice.actions[0]],
            probability=float(choice.probabilities[0]),
            possible=not infos["invalid_skill"][0],
            reward=float(reward[0]),
        )
        steps.append(step)
        if film is not None:
            film.add(step.skill, step.probability, step.possible, step.reward if judged else None)
        met[before, int(choice.actions[0])] += 1
        if not judged and met[before, int(choice.actions[0])] == REPEATED:
            ending = "repeats"
    return tuple(steps), ending


def situation(simulator: Simulator) -> bytes:
    """Home 0 as it is: where everything stands, what is held and what is open."""
    parts = (simulator.robot[0], simulator.positions[0], simulator.joints[0], simulator.held[:1])
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


def _choose(place: Environment, opened: Opened, split: str | None, episode_file: Path | None, index: int | None) -> Any:
    episodes = place.episodes(split or place.film_split) if episode_file is None else place.read(episode_file)
    if not episodes:
        raise UsageProblem(
            f"in {place.name} no episode of '{split or place.film_split}' can be done", "choose another split"
        )
    if index is None:
        return next((e for e in episodes if not opened.families or e.family in opened.families), episodes[0])
    return episode_at(episodes, index)


def episode_at(episodes: Sequence[Any], index: int) -> Any:
    """One of some episodes of a split or a file.

    Raises:
        UsageProblem: there are not so many.
    """
    if index >= len(episodes):
        raise UsageProblem(f"there is no episode {index}", f"--episode goes from 0 to {len(episodes) - 1}")
    return episodes[index]
