"""Evaluation: each episode exactly once, however many run at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llarp_cli.config import RewardOptions
from llarp_cli.environments.environment import Environment, open_environment
from llarp_cli.environments.rearrangement import LanguageRearrangement
from llarp_cli.errors import UsageProblem, unknown
from llarp_cli.evaluation.actors import Actor, open_actor, place_of
from llarp_cli.evaluation.records import BENCHMARK, EVALUATIONS, Record, keep, run_of
from llarp_cli.evaluation.results import Outcome, Results
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.tasks import FAMILIES, TRAINED
from llarp_cli.runs import Unlearned


def evaluate(
    actor: Actor,
    world: World,
    episodes: Sequence[Any],
    *,
    num_envs: int = 32,
    seed: int = 0,
    reward: RewardOptions | None = None,
    progress: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, ...]:
    """Run every episode of Language Rearrangement once.

    Args:
        actor: chooses the skills.
        world: where.
        episodes: at least one.
        num_envs: how many at a time.
        seed: of where in a receptacle objects are put down.
        reward: what is paid.
        progress: called with each outcome as it comes.

    Returns:
        Outcomes in the order of the episodes.
    """
    place = LanguageRearrangement(world)
    environment = place.rows(
        episodes, min(num_envs, len(episodes)), image_size=actor.image_size, reward=reward, seed=seed
    )
    return run_each(actor, environment, episodes, progress)


def run_each(
    actor: Actor, environment: Any, episodes: Sequence[Any], progress: Callable[[Outcome], None] | None = None
) -> tuple[Outcome, ...]:
    """Run episodes to their end.

    Args:
        actor: chooses the skills.
        environment: rows in which each of the episodes takes place once; see `Environment.rows`. Closed at the end.
        progress: called with each outcome as it comes.

    Returns:
        Outcomes in the order of the episodes.
    """
    outcomes: dict[tuple[str, str], Outcome] = {}
    observation, _ = environment.reset()
    actor.reset(environment)
    starts = np.ones(environment.num_envs, bool)
    while environment.active.any():
        choice = actor.act(observation, starts)
        observation, _, terminations, truncations, infos = environment.step(choice.actions)
        starts = terminations | truncations
        for _, episode, told in infos["finished"]:
            outcome = Outcome(
                id=episode.id,
                split=episode.split,
                family=episode.family,
                success=told["success"],
                total_reward=told["return"],
                length=told["length"],
                invalid_skills=told["invalid_skills"],
            )
            outcomes[episode.split, episode.id] = outcome
            if progress is not None:
                progress(outcome)
    environment.close()
    return tuple(outcomes[episode.split, episode.id] for episode in episodes)


def evaluate_policy(
    source: Path | Unlearned,
    *,
    splits: Sequence[str] = (),
    families: Sequence[str] = (),
    all_families: bool = False,
    episode_file: Path | None = None,
    limit: int | None = None,
    environment: str | None = None,
    num_envs: int = 32,
    seed: int = 0,
    deterministic: bool = False,
) -> Results:
    """What `llarp eval` does. A run keeps each split's outcomes as soon as all of them are there.

    Args:
        source: what `runs.resolve_policy` found.
        splits: names of splits or groups; empty for all.
        families: only these; empty for those that the policy's recipe trains and those that no training split has.
        all_families: every family, trained or not.
        episode_file: in place of splits.
        limit: only the first episodes of each split.
        environment: where; left out, where the policy was trained, or in the embedded home.
        num_envs: episodes at a time.
        seed: of sampled actions and of where objects are put down.
        deterministic: take the likeliest skill.

    Raises:
        UsageProblem: a split, family, file or policy cannot be had, or no episode is left.
    """
    if isinstance(source, Path) and source.is_symlink():  # a run in training lets `best` and `last` go on
        source = source.resolve()
    if all_families and families:
        raise UsageProblem("--family and --all-families exclude each other", "leave one out")
    if splits and episode_file is not None:
        raise UsageProblem("--split and --episodes exclude each other", "leave one out")
    place = open_environment(place_of(source, environment))
    names = place.expand(splits)
    given = None if episode_file is None else place.read(episode_file)
    _check_families(families, place, given or ())
    if not isinstance(source, Path):
        place.check_actor(str(source))

    opened = open_actor(source, seed=seed, deterministic=deterministic, environment=environment)
    if given is None:
        given = [episode for name in names for episode in place.episodes(name)]
    own = sorted({episode.family for episode in given} - set(FAMILIES)) if episode_file else ()
    wanted = () if all_families else families or default_families(opened.families, own)
    episodes, left_out = choose(given, wanted, limit)
    if not episodes:
        asked = ", ".join(families or opened.families)
        raise UsageProblem(f"no episode of {asked} here: there are {', '.join(left_out)}", "--all-families")

    heads = _heads(source, place, given, BENCHMARK if episode_file is None else episode_file.name, seed, deterministic)
    run = run_of(source) if isinstance(source, Path) else None
    keeper = _Keeper(run, heads, episodes)
    rows = place.rows(
        episodes,
        min(num_envs, len(episodes)),
        image_size=opened.actor.image_size,
        reward=opened.reward,
        seed=seed,
    )
    outcomes = _with_bar(opened.actor, rows, episodes, keeper)
    splits_run = dict.fromkeys(outcome.split for outcome in outcomes)
    return Results(
        opened.name,
        opened.backbone,
        seed,
        deterministic,
        outcomes,
        left_out,
        tuple(heads[name].with_outcomes(o for o in outcomes if o.split == name) for name in splits_run),
        opened.recipe,
        keeper.folder,
    )


def default_families(trained: Sequence[str], own: Sequence[str] = ()) -> tuple[str, ...]:
    """The families that are evaluated unless others are asked for: all, or those that the recipe trains and those
    that no training split has.

    Args:
        trained: by the recipe; empty for all.
        own: that only a file has.
    """
    return (*trained, *(family for family in FAMILIES if family not in TRAINED), *own) if trained else ()


def choose(given: Sequence[Any], families: Sequence[str], limit: int | None) -> tuple[list[Any], dict[str, int]]:
    """The episodes to run.

    Args:
        families: only these; empty for all.
        limit: only the first so many of each split.

    Returns:
        The episodes, and family → how many of another one were left out.
    """
    episodes = [episode for episode in given if not families or episode.family in families]
    left_out = Counter(episode.family for episode in given if families and episode.family not in families)
    return (episodes if limit is None else _first_of_each(episodes, limit)), dict(left_out)


def _heads(
    source: Path | Unlearned, place: Environment, given: Sequence[Any], origin: str, seed: int, deterministic: bool
) -> dict[str, Record]:
    """For each split the record of its outcomes, without outcomes yet."""
    steps = adapter = None
    policy = str(source)
    if isinstance(source, Path):
        config = json.loads((source / "config.json").read_text("utf-8"))
        policy, adapter = config["policy"], config["adapter_sha256"]
        steps = int(source.resolve().name) if run_of(source) is not None else None
    return {
        name: Record(
            policy=policy,
            steps=steps,
            adapter_sha256=adapter,
            world=place.name,
            version=place.version,
            split=name,
            source=origin,
            episodes_sha256=place.fingerprint([episode for episode in given if episode.split == name]),
            seed=seed,
            deterministic=deterministic,
            outcomes=(),
        )
        for name in dict.fromkeys(episode.split for episode in given)
    }


class _Keeper:
    """Keeps each split in the run when its last episode is over.

    Args:
        run: None keeps nothing.
        heads: split → its record without outcomes.
        episodes: that are run.

    Attributes:
        folder: where; None where nothing is or can be kept.
    """

    def __init__(self, run: Path | None, heads: dict[str, Record], episodes: Sequence[Any]):
        self._run, self._heads = run, heads
        self._expected = Counter(episode.split for episode in episodes)
        self._outcomes: dict[str, list[Outcome]] = {name: [] for name in self._expected}
        steps = next(iter(heads.values())).steps
        self.folder = None if run is None else run / EVALUATIONS / str(steps)

    def __call__(self, outcome: Outcome) -> None:
        outcomes = self._outcomes[outcome.split]
        outcomes.append(outcome)
        if self.folder is None or len(outcomes) < self._expected[outcome.split]:
            return
        try:
            keep(self._run, self._heads[outcome.split].with_outcomes(outcomes))
        except OSError:  # somebody else's run, say: it can be evaluated all the same
            self.folder = None


def _check_families(families: Sequence[str], place: Environment, given: Sequence[Any]) -> None:
    known = {*place.families, *(episode.family for episode in given)}
    for family in families:
        if family not in known:
            raise unknown("family", family, known)


def _first_of_each(episodes: Sequence[Any], limit: int) -> list[Any]:
    taken: Counter[str] = Counter()
    chosen = []
    for episode in episodes:
        taken[episode.split] += 1
        if taken[episode.split] <= limit:
            chosen.append(episode)
    return chosen


def _with_bar(actor: Actor, environment: Any, episodes: Sequence[Any], keeper: _Keeper) -> tuple[Outcome, ...]:
    from tqdm import tqdm

    successes = 0
    with tqdm(total=len(episodes), unit=" episodes", disable=None) as bar:

        def progress(outcome: Outcome) -> None:
            nonlocal successes
            successes += outcome.success
            bar.set_postfix_str(f"success {successes / (bar.n + 1):.1%}", refresh=False)
            bar.update()
            keeper(outcome)

        return run_each(actor, environment, episodes, progress)
