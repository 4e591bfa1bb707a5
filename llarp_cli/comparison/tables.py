"""A comparison as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from llarp_cli.comparison.compare import Comparison, Row
from llarp_cli.comparison.matching import Match
from llarp_cli.comparison.statistics import Estimate
from llarp_cli.learning.success import AVERAGED_EPISODES
from llarp_cli.rearrangement.splits import GROUPS


def report(comparison: Comparison) -> str:
    """All tables, with what their numbers mean."""
    parts = []
    if comparison.splits:
        parts += [success_table(comparison), _how(comparison)]
    if any(len(row.method.runs) > 1 and row.group_by_run for row in comparison.rows):
        parts.append(runs_table(comparison))
    if any(row.curve for row in comparison.rows):
        parts.append(training_table(comparison))
    if comparison.matches:
        parts.append(baseline_table(comparison))
    notes = [f"{one.baseline}, {one.kind}: {one.problem}" for one in comparison.matches if one.problem]
    notes += comparison.notes
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts)


def success_table(comparison: Comparison) -> str:
    """Splits by methods, then the means over groups of splits."""
    rows = comparison.rows
    header = ["success, %", "episodes", *(row.method.label for row in rows)]
    lines = [
        [split, str(comparison.episodes[split]), *(_percent(row.splits.get(split)) for row in rows)]
        for split in comparison.splits
    ]
    for group, splits in comparison.groups.items():
        episodes = sum(comparison.episodes[split] for split in splits)
        lines.append([group_name(group, splits), f"{episodes:,}", *(_percent(row.groups.get(group)) for row in rows)])
    return markdown_table(header, lines, left=1)


def group_name(group: str, splits: Sequence[str]) -> str:
    """How tables call the mean over a group."""
    if group == "all":
        return "**mean of the ten**" if splits == GROUPS["all"] else f"**mean of all {len(splits)}**"
    return f"mean of {group} ({len(splits)})"


def runs_table(comparison: Comparison) -> str:
    """Each run's mean over the ten splits."""
    lines = [
        [
            row.method.label,
            str(run.seed),
            *(_rate(row.group_by_run[group][i]) if group in row.group_by_run else "-" for group in comparison.groups),
        ]
        for row in comparison.rows
        if len(row.method.runs) > 1
        for i, run in enumerate(row.method.runs)
    ]
    groups = (group_name(group, splits).strip("*") for group, splits in comparison.groups.items())
    return markdown_table(["each run, %", "seed", *groups], lines, left=1)


def training_table(comparison: Comparison) -> str:
    """What the training of each method took."""
    threshold = next(row.reached.threshold for row in comparison.rows if row.reached)
    header = ["training", "runs", "steps", "of them labelled by the expert", "best success, %", "at step",
              f"steps to {threshold:.0%}"]  # fmt: skip
    return markdown_table(header, [_training(row) for row in comparison.rows if row.curve], left=1)


def _training(row: Row) -> list[str]:
    ends = [max((update["steps"] for update in run.updates), default=0) for run in row.method.runs]
    best = row.curve.best()
    return [
        row.method.label,
        str(len(row.method.runs)),
        f"{max(ends):,}",
        f"{row.curve.labelled:,}",
        "-" if best is None else _rate(best[1]),
        "-" if best is None else f"{best[0]:,}",
        reached_text(row, max(ends)),
    ]


def reached_text(row: Row, taken: int) -> str:
    """After how many steps the threshold was reached, or that it was not, with its best checkpoint.

    Args:
        taken: steps that were taken.
    """
    runs = row.reached.runs
    if not row.curve.steps:
        return f"fewer than {AVERAGED_EPISODES} episodes"
    if row.reached.steps is not None:
        spread = f" ({', '.join(f'{steps:,}' for steps in runs)})" if len(set(runs)) > 1 else ""
        return f"{row.reached.steps:,}{spread}"
    missed = f"not reached by {taken:,} steps"
    if any(runs):
        others = ", ".join(f"{steps:,}" for steps in runs if steps)
        missed += f" in {runs.count(None)} of {len(runs)} runs ({others} in the others)"
    if row.train.by_steps:
        steps, success = max(row.train.by_steps.items(), key=lambda pair: (pair[1], -pair[0]))
        missed += f"; best checkpoint {_rate(success)}% at {steps:,}"
    return missed


def baseline_table(comparison: Comparison) -> str:
    """The first method against each other one."""
    first = comparison.rows[0].method.label
    header = ["against", "compared", f"steps: {first} / it", "of them labelled by the expert", "success in training, %",
              "splits", "mean, %", "ratio"]  # fmt: skip
    return markdown_table(header, [_match(one) for one in comparison.matches], left=2)


def _match(one: Match) -> list[str]:
    def both(ours: str, theirs: str) -> str:
        return f"{ours} / {theirs}"

    def steps(number: int | None) -> str:
        return "-" if number is None else f"{number:,}"

    def rate(number: float | None) -> str:
        return "-" if number is None else _rate(number)

    trained = both(rate(one.our_train), rate(one.their_train)) + (f" ({one.source})" if one.source else "")
    if one.problem:
        told = ["-", "-", "unmatched" if one.unmatched else "-"]
    else:
        means = both(_rate(one.our_mean.value), _rate(one.their_mean.value))
        told = [str(one.splits), means, f"{one.ratio.value:.2f} ({one.ratio.low:.2f} - {one.ratio.high:.2f})"]
    labelled = both(steps(one.our_labelled), steps(one.their_labelled))
    return [one.baseline, one.kind, both(steps(one.ours), steps(one.theirs)), labelled, trained, *told]


def _how(comparison: Comparison) -> str:
    """What the numbers of the first table mean."""
    how = "the likeliest skills" if comparison.wanted.deterministic else "sampled skills"
    seeds = comparison.aligned.seeds
    seeded = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    many = any(len(row.method.runs) > 1 for row in comparison.rows)
    about = "other episodes and, where there are several, other runs" if many else "other episodes, for these runs"
    return f"{how[0].upper()}{how[1:]}, {seeded} of evaluation; 95% intervals, about {about}."


def _rate(value: float) -> str:
    return f"{100 * value:.1f}"


def _percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{_rate(estimate.value)} ({_rate(estimate.low)} - {_rate(estimate.high)})"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """A Markdown table whose columns line up as text too.

    Args:
        left: how many columns are flush left; the others are flush right.
    """
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    rule = "|".join("-" * (width + 2) if i < left else "-" * (width + 1) + ":" for i, width in enumerate(widths))
    return "\n".join([line(header), f"|{rule}|", *(line(row) for row in rows)])
