"""`llarp study`: several runs, their evaluations and a report."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli import completion
from llarp_cli.cli.output import table
from llarp_cli.errors import UsageProblem

INTERRUPTED = 130


@click.command()
@click.argument("file", required=False, shell_complete=completion.studies)
@click.option("--only", multiple=True, metavar="METHOD", help="Only this method; may be given again.")
@click.option(
    "--directory", type=click.Path(path_type=Path), metavar="DIR", help="For runs and report. Default: the file's."
)
@click.option("--dry-run", is_flag=True, help="Print what would be run, and stop.")
def study(file: str | None, only: tuple[str, ...], directory: Path | None, dry_run: bool) -> None:
    """Run what is missing of a study, go on with what was cut, evaluate, and report.

    FILE is a shipped study's name or a YAML file; left out, the shipped ones are listed. Ctrl-C loses nothing that
    was saved: the same command goes on. When all is there, it only reports.

    \b
    methods:                    the first is the one that the others are baselines of
      NAME: recipe, overrides, steps, seeds, num_processes
      NAME: policy (planner, searcher, random, zero-shot), backbone, weights
    overrides: recipe keys, for every method
    evaluation: splits, seeds, deterministic, all_families, limit
    comparison: baseline_factor, threshold, target, checkpoints
    directory: DIR

    \b
    llarp study laptop --dry-run
    llarp study laptop
    """
    from llarp_cli.comparison.study_file import load_study
    from llarp_cli.recipes import summary
    from llarp_cli.shipped import shipped_studies

    if file is None:
        if only or directory or dry_run:
            raise UsageProblem("study needs a file", f"llarp study {next(iter(shipped_studies()))} ...")
        listed = [(name, summary(path)) for name, path in shipped_studies().items()]
        click.echo(table(listed, ("study", "what it shows")))
        return
    loaded = load_study(file, directory)
    from llarp_cli.comparison.plan import describe

    if dry_run:
        click.echo(describe(loaded, only))
        return
    from llarp_cli.comparison.study import run_study

    try:
        path = run_study(loaded, only=only, say=lambda text: click.echo(text, err=True))
    except KeyboardInterrupt:
        click.echo(f"interrupted; what was saved stays, and `{loaded.command(only)}` goes on", err=True)
        raise SystemExit(INTERRUPTED) from None
    click.echo(path.read_text("utf-8"), nl=False)
    click.echo(f"report in {path}", err=True)
