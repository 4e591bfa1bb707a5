"""From the names a user gives to a session."""

from __future__ import annotations

from pathlib import Path

from llarp_cli.environments.environment import open_environment
from llarp_cli.environments.rearrangement import LanguageRearrangement
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.advice import open_adviser
from llarp_cli.evaluation.rollout import DEFAULT_SPLIT, episode_at
from llarp_cli.evaluation.sentences import own_episode
from llarp_cli.evaluation.session import Session
from llarp_cli.rearrangement.splits import split_episodes
from llarp_cli.runs import Unlearned


def open_session(
    policy: Path | Unlearned | None = None,
    *,
    environment: str | None = None,
    home: str | None = None,
    split: str | None = None,
    episodes: Path | None = None,
    index: int | None = None,
    seed: int = 0,
    deterministic: bool = False,
) -> Session:
    """A session by names.

    Args:
        policy: what `runs.resolve_policy` found; None for none.
        environment: where; left out, where the policy was trained, or in the embedded home.
        home: a scene; left out, and no episode named, one of the unseen ones.
        split, episodes: where an episode comes from in place of a home.
        index: which one; 0 where left out.
        seed: of what stands where in a home, and as for `Session`.
        deterministic: as for `Session`.

    Raises:
        UsageProblem: something is not there, or two of them exclude each other.
    """
    chosen = [flag for flag, given in (("--home", home), ("--split", split), ("--episodes", episodes)) if given]
    if len(chosen) > 1:
        raise UsageProblem(f"{chosen[0]} and {chosen[1]} exclude each other", "leave one out")
    if index is not None and home is not None:
        raise UsageProblem("--home and --episode exclude each other", "an episode has its own home")
    opened = None if policy is None else open_adviser(policy, environment)
    place = open_environment(environment or ("home" if opened is None else opened.environment))
    if not isinstance(place, LanguageRearrangement):
        raise UsageProblem(
            f"one plays in homes; environment '{place.name}' is none", "see its episodes: llarp rollout --video out.mp4"
        )
    world = place.world
    given = None if episodes is None else place.read(episodes)
    if given is None and (split is not None or index is not None):
        given = split_episodes(world, split or DEFAULT_SPLIT)
    episode = own_episode(world, "", home, seed)[0] if given is None else episode_at(given, index or 0)
    return Session(
        world,
        episode,
        adviser=None if opened is None else opened.adviser,
        reward=None if opened is None else opened.reward,
        seed=seed,
        deterministic=deterministic,
    )
