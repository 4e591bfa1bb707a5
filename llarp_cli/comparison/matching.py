"""Fair pairs: a baseline at the method's number of steps, and at the method's success in training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from llarp_cli.comparison.curves import Curve
from llarp_cli.comparison.methods import Method
from llarp_cli.comparison.outcomes import At, Wanted, align
from llarp_cli.comparison.statistics import Estimate, mean_success, ratio_of_means

WITHIN = 0.03
"""How far two rates of success in training may be apart to count as equal."""

Kind = Literal["as given", "matched steps", "matched success"]


@dataclass(frozen=True)
class TrainSuccess:
    """Success in training at the checkpoints of a method.

    Attributes:
        running: steps → running average of the training episodes, the mean over runs.
        evaluated: steps → success in the split "train", the mean over runs; empty unless every checkpoint has it.
    """

    running: dict[int, float]
    evaluated: dict[int, float]

    @property
    def by_steps(self) -> dict[int, float]:
        """The better known one of both."""
        return self.evaluated or self.running

    @property
    def source(self) -> str:
        return "evaluated" if self.evaluated else "running average"


@dataclass(frozen=True)
class Match:
    """A method and a baseline, each at a checkpoint, over the ten splits.

    Attributes:
        kind: how the checkpoints were chosen.
        ours, theirs: steps of the checkpoints; None where there is none.
        our_labelled, their_labelled: how many of those steps the expert labelled.
        our_train, their_train: success in training there, where it is known.
        source: of success in training.
        splits: how many of the ten both have.
        our_mean, their_mean: over those splits.
        ratio: how many times as often the method succeeds.
        problem: why there is no ratio, or "".
        unmatched: because no checkpoint is near enough.
    """

    kind: Kind
    baseline: str
    ours: int | None
    theirs: int | None
    our_labelled: int | None = None
    their_labelled: int | None = None
    our_train: float | None = None
    their_train: float | None = None
    source: str = ""
    splits: int = 0
    our_mean: Estimate | None = None
    their_mean: Estimate | None = None
    ratio: Estimate | None = None
    problem: str = ""
    unmatched: bool = False

    def to_json(self) -> dict[str, Any]:
        told = {key: value for key, value in vars(self).items() if not isinstance(value, Estimate)}
        found = {key: value.to_json() for key, value in vars(self).items() if isinstance(value, Estimate)}
        return {**told, **found}


def checkpoints(method: Method, wanted: Wanted) -> list[int]:
    """Steps at which every run of a method has a checkpoint, or had one and was evaluated."""
    every = []
    for run in method.runs:
        evaluated = {record.steps for record in run.records if record.steps is not None and wanted.admits(record)}
        every.append({*run.numbered(), *evaluated})
    return sorted(set.intersection(*every))


def train_success(method: Method, curve: Curve, wanted: Wanted) -> TrainSuccess:
    """At each checkpoint."""
    steps = checkpoints(method, wanted)
    running = {s: success for s in steps if (success := curve.at(s)) is not None}
    only = replace(wanted, splits=("train",))
    tables = {s: align([At(method, s)], only).tables[0].get("train") for s in steps if wanted.hashes is None}
    if not all(table is not None for table in tables.values()):
        return TrainSuccess(running, {})
    return TrainSuccess(running, {s: float(table.mean()) for s, table in tables.items()})


def match(
    method: Method,
    baseline: Method,
    successes: tuple[TrainSuccess, TrainSuccess],
    wanted: Wanted,
    *,
    target: float | None = None,
) -> list[Match]:
    """The three ways to compare a method with a baseline. Success in training is what both have: that of the split
    "train" if both were evaluated in it at every checkpoint, else the running average.

    - as given: each at the checkpoint that was named, else its last;
    - matched steps: both at the steps of the one that took fewer;
    - matched success: the baseline at its earliest checkpoint whose success in training is within three points of
      the method's at the checkpoint as given; with a target, both at their earliest within three points of that.

    Args:
        successes: in training, of the method and of the baseline.
        target: success in training to be met, in place of the method's own.
    """
    if all(success.running for success in successes) and not all(success.evaluated for success in successes):
        successes = TrainSuccess(successes[0].running, {}), TrainSuccess(successes[1].running, {})
    ours, theirs = successes
    found = [_pair("as given", method, baseline, method.steps, baseline.steps, successes, wanted)]
    if method.steps is None or baseline.steps is None:
        return found
    fewer = min(method.steps, baseline.steps)
    found.append(_pair("matched steps", method, baseline, fewer, fewer, successes, wanted))

    goal = ours.by_steps.get(method.steps) if target is None else target
    at = method.steps if target is None else _earliest(ours, target)
    then = None if goal is None else _earliest(theirs, goal)
    if goal is None:
        problem = f"success in training of {method.label} is not known"
    elif theirs.by_steps and ours.source != theirs.source:
        goal, then = None, None
        problem = f"success in training is {ours.source} of {method.label}, {theirs.source} of {baseline.label}"
    elif at is None or then is None:
        one, who = (ours, method) if at is None else (theirs, baseline)
        problem = f"no checkpoint of {who.label} within {100 * WITHIN:.0f} points of {goal:.1%}{_nearest(one, goal)}"
    else:
        problem = ""
    if problem:
        found.append(Match("matched success", baseline.label, at, then, problem=problem, unmatched=goal is not None))
    else:
        found.append(_pair("matched success", method, baseline, at, then, successes, wanted))
    return found


def _earliest(success: TrainSuccess, goal: float) -> int | None:
    near = (steps for steps, rate in sorted(success.by_steps.items()) if abs(rate - goal) <= WITHIN + 1e-9)
    return next(near, None)


def _nearest(success: TrainSuccess, goal: float) -> str:
    if not success.by_steps:
        return ""
    steps, rate = min(success.by_steps.items(), key=lambda pair: abs(pair[1] - goal))
    return f" (nearest: {rate:.1%} after {steps:,} steps)"


def _pair(
    kind: Kind,
    method: Method,
    baseline: Method,
    ours: int | None,
    theirs: int | None,
    successes: tuple[TrainSuccess, TrainSuccess],
    wanted: Wanted,
) -> Match:
    told = Match(
        kind,
        baseline.label,
        ours,
        theirs,
        our_labelled=_labelled(method, ours),
        their_labelled=_labelled(baseline, theirs),
        our_train=successes[0].by_steps.get(ours) if ours is not None else None,
        their_train=successes[1].by_steps.get(theirs) if theirs is not None else None,
        source=next((success.source for success in successes if success.by_steps), ""),
    )
    aligned = align([At(method, ours), At(baseline, theirs)], wanted)
    for one, steps, table in zip((method, baseline), (ours, theirs), aligned.tables, strict=True):
        if not table:
            where = "" if steps is None else f" at {steps:,} steps"
            problem = f"{one.label} is not evaluated{where}"
            if steps is not None and any(run.path is not None and steps not in run.numbered() for run in one.runs):
                problem = f"{one.label} has no checkpoint{where}: checkpoint.every and .keep say which there are"
            return Match(**{**vars(told), "problem": problem})
    splits = aligned.shared(wanted.headline)
    if not splits:
        return Match(**{**vars(told), "problem": "no split that both have"})
    one, other = ({split: table[split] for split in splits} for table in aligned.tables)
    ratio = ratio_of_means(one, other, (method.label, baseline.label))
    return Match(
        **{
            **vars(told),
            "splits": len(splits),
            "our_mean": mean_success(one, method.label),
            "their_mean": mean_success(other, baseline.label),
            "ratio": ratio,
            "problem": "" if ratio else f"{baseline.label} never succeeds",
        }
    )


def _labelled(method: Method, steps: int | None) -> int | None:
    """Of a checkpoint's steps, those of imitation."""
    recipe = method.runs[0].recipe
    return None if recipe is None or steps is None else min(steps, recipe.imitation.steps)
