"""Running the evaluations that a comparison lacks, each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

from llarp_cli.comparison.compare import compare
from llarp_cli.comparison.matching import Match
from llarp_cli.comparison.methods import Method, Run, find_methods
from llarp_cli.comparison.outcomes import At, Identity, Wanted, identity_of
from llarp_cli.environments.environment import open_environment
from llarp_cli.environments.rearrangement import LanguageRearrangement
from llarp_cli.errors import LlarpError, UsageProblem, quoted
from llarp_cli.evaluation.evaluate import choose, default_families
from llarp_cli.evaluation.records import Record
from llarp_cli.files import WINDOWS
from llarp_cli.runs import RunDirectory

INTERRUPTED = 130

Say = Callable[[str], None]
"""Is told what happens, a line at a time."""


@dataclass(frozen=True)
class Trials:
    """What every method is to be tried in.

    Attributes:
        splits: their names.
        seeds: of evaluation.
        deterministic: take the likeliest skill.
        all_families: not only those that a recipe trains.
        limit: only the first episodes of each split.
    """

    splits: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    deterministic: bool = False
    all_families: bool = False
    limit: int | None = None

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.splits, None, self.deterministic)

    def arguments(self) -> list[str]:
        """For `llarp eval`, but for splits and seed."""
        limit = [] if self.limit is None else ["--limit", str(self.limit)]
        return [*limit, *["--all-families"] * self.all_families, *["--deterministic"] * self.deterministic]


@dataclass(frozen=True)
class Gap:
    """An evaluation that is missing.

    Attributes:
        checkpoint: of what.
        splits: in which.
        seed: under which.
    """

    checkpoint: Path
    splits: tuple[str, ...]
    seed: int


def find_gaps(compared: Iterable[At], trials: Trials) -> list[Gap]:
    """What must be run so that methods are compared at these checkpoints; a checkpoint let go is left out."""
    found: dict[Gap, None] = {}
    for one in compared:
        for run in one.method.runs:
            if one.steps in run.numbered():
                found |= dict.fromkeys(_gaps(run, one.steps, trials))
    return list(found)


def matched_checkpoints(methods: Sequence[Method], matches: Iterable[Match]) -> list[At]:
    """The checkpoints at which a comparison matches the first method and the others."""
    by_label = {method.label: method for method in methods}
    pairs = [
        pair
        for one in matches
        for pair in ((methods[0].label, one.ours), (one.baseline, one.theirs))
        if pair[1] is not None
    ]
    return [At(by_label[label], steps) for label, steps in dict.fromkeys(pairs)]


def lacking(
    records: Iterable[Record], steps: int | None, environment: str, families: Sequence[str], trials: Trials, seed: int
) -> tuple[str, ...]:
    """The splits in which not every episode has been tried.

    Args:
        records: of what has.
        steps: of the checkpoint.
        environment: where.
        families: that its recipe trains; empty for all.
        seed: of evaluation.
    """
    wanted = () if trials.all_families else default_families(families)
    mine = [r for r in records if r.steps == steps and r.seed == seed and trials.wanted.admits(r)]
    found = []
    for split in trials.splits:
        identity, given = _given(environment, split)
        tried = {o.id for r in mine if r.split == split and identity_of(r) == identity for o in r.outcomes}
        if any(episode.id not in tried for episode in choose(given, wanted, trials.limit)[0]):
            found.append(split)
    return tuple(found)


@lru_cache(maxsize=64)
def _given(environment: str, split: str) -> tuple[Identity, tuple[Any, ...]]:
    """A split's episodes, and what they are; read once."""
    place = open_environment(environment)
    episodes = tuple(place.episodes(split))
    return (place.name, place.version, place.fingerprint(episodes)), episodes


def _gaps(run: Run, steps: int, trials: Trials) -> Iterator[Gap]:
    for seed in trials.seeds:
        splits = lacking(run.records, steps, run.recipe.environment, run.recipe.tasks.families, trials, seed)
        if splits:
            yield Gap(RunDirectory(run.path).checkpoint(steps), splits, seed)


def check_homes(names: Sequence[str]) -> None:
    """Refuse runs whose missing evaluations cannot be run here.

    Raises:
        UsageProblem: one does not take place in homes.
    """
    for run in (run for method in find_methods(names) for run in method.runs if run.path is not None):
        if not isinstance(open_environment(run.recipe.environment), LanguageRearrangement):
            raise UsageProblem(
                f"missing evaluations are run in homes, and '{run.name}' learns in {run.recipe.environment}",
                f"llarp eval {quoted(run.name)}, each run; then compare them",
            )


def fill_all(
    names: Sequence[str],
    labels: Mapping[str, str],
    trials: Trials,
    target: float | None,
    say: Say,
    environment: str | None = None,
) -> None:
    """Run all evaluations that a comparison of these runs lacks, at their last and at their matched checkpoints.

    Args:
        names, labels, target, environment: as for `compare`.

    Raises:
        UsageProblem, LlarpError, KeyboardInterrupt: as `compare` and `fill` do.
    """
    methods = find_methods(names, labels)
    fill_gaps([At(method, method.steps) for method in methods], trials, say)
    comparison = compare(
        names,
        labels=labels,
        splits=trials.splits,
        environment=environment,
        deterministic=trials.deterministic,
        target=target,
    )
    fill_gaps(matched_checkpoints(methods, comparison.matches), trials, say)


def fill_gaps(compared: Iterable[At], trials: Trials, say: Say) -> bool:
    """Run what evaluations methods lack at these checkpoints; whether there were any."""
    gaps = find_gaps([one for one in compared if one.method.learned], trials)
    for gap in gaps:
        splits = f"{len(gap.splits)} splits" if len(gap.splits) > 3 else ", ".join(gap.splits)
        say(f"evaluating {gap.checkpoint} in {splits}, seed {gap.seed}")
        fill(gap, trials)
    return bool(gaps)


def fill(gap: Gap, trials: Trials) -> None:
    """Evaluate.

    Raises:
        LlarpError: it failed; it has said why.
        KeyboardInterrupt: a signal asked to stop; the splits that were complete are kept.
    """
    splits = [part for split in gap.splits for part in ("--split", split)]
    code = run_llarp("eval", str(gap.checkpoint), *splits, "--seed", str(gap.seed), *trials.arguments())
    if code:
        raise LlarpError(f"evaluating '{gap.checkpoint}' failed", "what it said is above")


def run_llarp(*arguments: str) -> int:
    """Run a command of llarp's in a process of its own, which says on stderr how it goes; its exit status.

    Ctrl-C and SIGTERM are passed on to it once, as SIGTERM, and it is waited for: it saves what it has.

    Raises:
        KeyboardInterrupt: that happened.
    """
    with _deaf_children():
        process = subprocess.Popen([sys.executable, "-m", "llarp_cli", *arguments], stdout=subprocess.DEVNULL)
    interrupted = False
    with _heard():
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
                if not WINDOWS:  # where children hear Ctrl-C whatever is done, and to terminate is to kill
                    process.terminate()
    if interrupted or code == INTERRUPTED:
        raise KeyboardInterrupt
    return code


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Whatever is started here does not hear Ctrl-C itself, so that it is told once and not twice."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _heard() -> Iterator[None]:
    """SIGTERM is an interruption too."""

    def interrupt(number: int, frame: FrameType | None) -> Any:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
