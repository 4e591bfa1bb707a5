"""`llarp compare`: methods side by side."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli import completion
from llarp_cli.cli.output import OutputFile, json_option, save_json
from llarp_cli.errors import UsageProblem


def _labels(given: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for text in given:
        run, equals, label = text.rpartition("=")
        if not (run and equals and label.strip()):
            raise UsageProblem(f"--label '{text}' labels nothing", "write --label RUN=NAME")
        labels[run] = label.strip()
    return labels


@click.command()
@click.argument("runs", nargs=-1, metavar="RUN...", shell_complete=completion.runs)
@click.option(
    "--split",
    "splits",
    shell_complete=completion.splits,
    multiple=True,
    metavar="NAME",
    help="A split or group; may be given again.",
)
@click.option(
    "--episodes", type=click.Path(path_type=Path), metavar="FILE.jsonl", help="An episode file in place of the splits."
)
@click.option(
    "--env",
    "environment",
    shell_complete=completion.environments,
    metavar="NAME",
    help="Where they were evaluated. Default: where the first trained.",
)
@click.option("--label", "labels", multiple=True, metavar="RUN=NAME", help="What to call RUN's method.")
@click.option("--deterministic", is_flag=True, help="Evaluations that took the likeliest skill.")
@click.option(
    "--threshold", type=click.FloatRange(0, 1, min_open=True), default=0.8, show_default=True, metavar="RATE",
    help="Success in training whose steps are told.",
)  # fmt: skip
@click.option(
    "--target", type=click.FloatRange(0, 1), metavar="RATE",
    help="Success in training at which methods are matched. Default: the first method's.",
)  # fmt: skip
@click.option("--evaluate", is_flag=True, help="First run the evaluations that are missing.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="With --evaluate: the first N of each split.")
@click.option("--all-families", is_flag=True, help="With --evaluate: not only the families that a recipe trains.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="With --evaluate: of sampled actions (0).")
@json_option
@click.option("--plot", type=OutputFile(".png"), metavar="FILE.png", help="Draw success by split.")
@click.option("--curves", type=OutputFile(".png"), metavar="FILE.png", help="Draw success in training over steps.")
@click.option("--markdown", type=OutputFile(".md"), metavar="FILE.md", help="Write the tables, with the pictures.")
def compare(
    runs: tuple[str, ...],
    splits: tuple[str, ...],
    episodes: Path | None,
    environment: str | None,
    labels: tuple[str, ...],
    deterministic: bool,
    threshold: float,
    target: float | None,
    evaluate: bool,
    limit: int | None,
    all_families: bool,
    seed: int | None,
    json_file: Path | None,
    plot: Path | None,
    curves: Path | None,
    markdown: Path | None,
) -> None:
    """Compare methods: success with intervals, steps it took, and the first against each other.

    RUN is a run directory (its last checkpoint), a checkpoint in one, or what `llarp eval --json` wrote. Runs that
    differ in their seed alone are one method. The first RUN's method is the one that the others are baselines of.

    \b
    llarp compare runs/ours-0 runs/ours-1 runs/lstm --plot bars.png --curves curves.png
    llarp compare runs/* --evaluate
    llarp eval planner --json planner.json && llarp compare runs/ours-0 planner.json
    """
    if not runs:
        raise UsageProblem("compare needs at least one run", "llarp compare runs/*")
    if splits and episodes is not None:
        raise UsageProblem("--split and --episodes exclude each other", "leave one out")
    if evaluate and environment is not None:
        raise UsageProblem("--evaluate runs where each was trained", f"llarp eval RUN --env {environment}, each RUN")
    if evaluate and episodes is not None:
        raise UsageProblem("--evaluate runs splits, not files", f"llarp eval RUN --episodes {episodes}, each RUN")
    if not evaluate and (limit is not None or all_families or seed is not None):
        raise UsageProblem("--limit, --all-families and --seed are for --evaluate", "add --evaluate")
    from llarp_cli.comparison.compare import compare as compare_runs
    from llarp_cli.comparison.files import write_files
    from llarp_cli.comparison.tables import report
    from llarp_cli.rearrangement.splits import expand

    named = _labels(labels)
    if evaluate:
        from llarp_cli.comparison.filling import Trials, check_homes, fill_all

        check_homes(runs)
        trials = Trials(tuple(expand(splits)), (seed or 0,), deterministic, all_families, limit)
        fill_all(runs, named, trials, target, say=lambda text: click.echo(text, err=True))
    comparison = compare_runs(
        runs,
        labels=named,
        splits=splits,
        episode_file=episodes,
        environment=environment,
        deterministic=deterministic,
        threshold=threshold,
        target=target,
    )
    click.echo(report(comparison))
    save_json(json_file, comparison.to_json())
    write_files(comparison, plot=plot, curves=curves, markdown=markdown)
