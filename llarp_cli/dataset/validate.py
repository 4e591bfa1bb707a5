"""What `llarp dataset validate` does: every episode checked, planned with full knowledge, and played to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from time import process_time
from typing import Any

import numpy as np

from llarp_cli.config import RewardOptions
from llarp_cli.dataset import checks
from llarp_cli.dataset.progress import counted
from llarp_cli.dataset.sources import Numbered, Source
from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.environment import MAX_STEPS
from llarp_cli.rearrangement.episode_files import BadLine
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.planner import outdated
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.skills import SKILL_INDEX
from llarp_cli.rearrangement.tasks import FAMILIES

ROWS = 64
"""Episodes played at once in the embedded home."""
ROWS_ELSEWHERE = 4
"""Where every row is a process of a gigabyte or two."""
SMALLEST_PICTURE = 16
"""Side of pictures that nobody looks at, pixels."""
ANY_SKILL = SKILL_INDEX["go_to", "sofa"]
"""Taken where the goal is true already: success is found after a step."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an episode.

    Attributes:
        source: the split or file.
        line: of the file; None elsewhere.
        id: of the episode; None where the line holds none.
        reason: one line.
    """

    source: str
    line: int | None
    id: str | None
    reason: str

    def __str__(self) -> str:
        where = [self.source] if self.id is None or self.line is not None else []
        where += [] if self.line is None else [f"line {self.line}"]
        where += [] if self.id is None else [self.id]
        return f"{', '.join(where)}: {self.reason}"


@dataclass
class Report:
    """What was found.

    Attributes:
        episodes: how many there were; a line that holds none counts as one.
        solvable: those whose goal was reached within 32 steps.
        presolved: those whose goal is true at the start.
        failed: those with a problem of any kind.
        unreadable: lines and files that cannot be read.
        problem_count: all there were.
        problems: the first of them, in order.
        plan_lengths: steps to the goal → episodes.
        unknown_families: not the benchmark's, which is allowed → episodes.
        seconds: of processor time.
    """

    episodes: int = 0
    solvable: int = 0
    presolved: int = 0
    failed: int = 0
    unreadable: int = 0
    problem_count: int = 0
    problems: list[Problem] = field(default_factory=list)
    plan_lengths: Counter[int] = field(default_factory=Counter)
    unknown_families: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def text(self) -> str:
        """For the terminal: a line for each problem, then the sums."""
        lines = [str(problem) for problem in self.problems]
        if self.problem_count > len(self.problems):
            lines.append(f"... and {self.problem_count - len(self.problems):,} more")
        for family, count in sorted(self.unknown_families.items()):
            lines.append(f"{count} of family '{family}', which is not the benchmark's")
        told = (
            f"{self.episodes:,} episode{'s' * (self.episodes != 1)}: {self.solvable:,} solvable in {MAX_STEPS} steps, "
            f"{self.presolved:,} solved at the start, {self.failed:,} with problems"
        )
        if self.plan_lengths:
            steps = sum(length * count for length, count in self.plan_lengths.items()) / self.plan_lengths.total()
            told += f"; plans of {min(self.plan_lengths)} to {max(self.plan_lengths)} steps, {steps:.1f} on average"
        lines.append(f"{told}; {self.milliseconds:.1f} ms of processor time each")
        return "\n".join(lines)

    @property
    def milliseconds(self) -> float:
        """Of processor time, per episode."""
        return 1000 * self.seconds / max(self.episodes, 1)

    def to_json(self) -> dict[str, Any]:
        """As `llarp dataset validate --json` writes it."""
        return {
            "episodes": self.episodes,
            "solvable": self.solvable,
            "presolved": self.presolved,
            "failed": self.failed,
            "problem_count": self.problem_count,
            "problems": [asdict(problem) for problem in self.problems],
            "plan_lengths": {str(length): count for length, count in sorted(self.plan_lengths.items())},
            "unknown_families": dict(sorted(self.unknown_families.items())),
            "ms_per_episode": round(self.milliseconds, 3),
        }


def validate(world: World, sources: Sequence[Source], limit: int = 100) -> Report:
    """Check every episode of some sources; one that fails does not end the check.

    Args:
        world: where they take place.
        sources: see `sources`.
        limit: problems to tell of one by one.

    Raises:
        UsageProblem: the first file cannot be read at all.
    """
    report = Report()
    checker = _Checker(world, report, limit)
    begun = process_time()
    try:
        for source in sources:
            try:
                for batch in _batches(counted(source.read(), source.count), checker.rows):
                    checker.check(source.name, batch)
            except UsageProblem as problem:
                if not report.episodes:
                    raise
                report.unreadable += 1
                checker.tell(source.name, None, None, [problem.message.removeprefix(source.name).lstrip(",: ")])
    finally:
        checker.close()
    report.seconds = process_time() - begun
    return report


def _batches(lines: Iterable[Numbered], rows: int) -> Iterator[list[Numbered]]:
    """Lines in lists of so many; those read before a file breaks off come first."""
    batch: list[Numbered] = []
    try:
        for one in lines:
            batch.append(one)
            if len(batch) == rows:
                yield batch
                batch = []
    except UsageProblem:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


class _Checker:
    """Checks episodes, as many at once as there are rows, and adds what it finds to a report."""

    def __init__(self, world: World, report: Report, limit: int):
        self._world, self._report, self._limit = world, report, limit
        self.rows = ROWS if world.name == "home" else ROWS_ELSEWHERE
        self._play = Play(world, self.rows, SMALLEST_PICTURE, RewardOptions(), MAX_STEPS, seed=0)

    def close(self) -> None:
        """End the simulators."""
        self._play.simulator.close()

    def tell(self, source: str, line: int | None, name: str | None, reasons: Sequence[str]) -> None:
        """Add what is wrong with one line."""
        report = self._report
        report.problem_count += len(reasons)
        room = max(self._limit - len(report.problems), 0)
        report.problems += [Problem(source, line, name, reason) for reason in reasons[:room]]

    def check(self, source: str, batch: Sequence[Numbered]) -> None:
        """Check at most as many lines as there are rows."""
        report = self._report
        found: list[list[str]] = []
        started: dict[int, Episode | None] = dict.fromkeys(range(self.rows))
        for row, (_, one) in enumerate(batch):
            if isinstance(one, BadLine):
                found.append([one.message])
                report.unreadable += 1
                continue
            if one.family not in FAMILIES:
                report.unknown_families[one.family] += 1
            amiss = [*checks.goal(one), *checks.scene(self._world, one)]
            found.append([*checks.words(one), *amiss])
            if not amiss:
                started[row] = one
        self._play.begin(started)
        for row, episode in started.items():
            if episode is not None:
                found[row] += checks.places(self._world, self._play, row)
        for row, reason in self._play_out([row for row, episode in started.items() if episode is not None]):
            found[row].append(reason)
        report.episodes += len(batch)
        report.failed += sum(map(bool, found))
        for (line, one), reasons in zip(batch, found, strict=True):
            self.tell(source, line, None if isinstance(one, BadLine) else one.id, reasons)

    def _play_out(self, rows: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Play the episodes that have begun in rows to their ends; what is wrong in each."""
        play, report = self._play, self._report
        solved_at_start = play.goals.evaluate(play.facts)
        plans: dict[int, list[int]] = {}
        for row in rows:
            if solved_at_start[row]:
                report.presolved += 1
                plans[row] = [ANY_SKILL]
                yield row, "the goal is true at the start"
            elif not (plan := play.plan(row)):
                yield row, "the planner finds no way to the goal"
            elif len(plan) > MAX_STEPS:
                yield row, f"the goal takes {len(plan)} steps; an episode has {MAX_STEPS}"
            else:
                plans[row] = plan
        while plans:
            actions = np.zeros(self.rows, np.int64)
            playing = np.zeros(self.rows, bool)
            for row, plan in plans.items():
                actions[row], playing[row] = plan.pop(0), True
            outcome = play.act(actions, playing)
            for row in list(plans):
                if outcome.success[row]:
                    report.solvable += 1
                    report.plan_lengths[0 if solved_at_start[row] else int(play.lengths[row])] += 1
                    del plans[row]
                elif outcome.timeout[row]:
                    yield row, f"the planner did not reach the goal in {MAX_STEPS} steps"
                    del plans[row]
                elif not plans[row] or outdated(actions[row], play.simulator.held[row] >= 0):
                    following = play.plan(row)
                    if not following:
                        yield row, f"after {play.lengths[row]} steps the planner finds no way to the goal"
                        del plans[row]
                    else:
                        plans[row] = following
