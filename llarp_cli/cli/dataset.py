"""`llarp dataset`: what the benchmark's episodes are, and episodes as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from llarp_cli.cli import completion
from llarp_cli.cli.output import OutputFile, json_option, save_json
from llarp_cli.errors import LlarpError, UsageProblem

if TYPE_CHECKING:
    from llarp_cli.rearrangement.simulator import World

INDICES = click.IntRange(1, 10_000_000)

indices_option = click.option(
    "--train-indices",
    type=INDICES,
    metavar="N",
    help="Of train or train_strict: N random episodes of the training set, in place of the fixed ones.",
)
environment_option = click.option(
    "--env",
    "environment",
    shell_complete=completion.environments,
    default="home",
    show_default=True,
    metavar="NAME",
    help="Where they take place.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S", help="Of that draw."
)


@click.group()
def dataset() -> None:
    """Show, make, check and import episodes."""


def _world(environment: str) -> World:
    """Where episodes of Language Rearrangement take place."""
    from llarp_cli.environments.environment import open_environment
    from llarp_cli.environments.rearrangement import LanguageRearrangement

    place = open_environment(environment)
    if not isinstance(place, LanguageRearrangement):
        raise UsageProblem(f"'{environment}' is no environment of homes, which these episodes are of", "--env home")
    return place.world


@dataset.command()
@click.argument("names", nargs=-1, metavar="[SPLIT|GROUP|FILE]...", shell_complete=completion.splits)
@environment_option
@indices_option
@seed_option
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="Tell of N problems."
)
@json_option
def validate(
    names: tuple[str, ...],
    environment: str,
    train_indices: int | None,
    seed: int,
    limit: int,
    json_file: Path | None,
) -> None:
    """Check episodes one by one.

    Words, goal and scene are known, everything stands where it says and in reach, the goal is not true at the
    start, and the planner reaches it in 32 steps.

    Exit status: 0 all is well, 1 an episode fails, 2 a line or file cannot be read.

    \b
    llarp dataset validate mine.jsonl
    llarp dataset validate all --json found.json
    llarp dataset validate train --train-indices 5000 --seed 1
    """
    if not names and train_indices is None:
        raise UsageProblem(
            "nothing to validate", "name files or splits; `llarp dataset validate all` checks the thousand"
        )
    from llarp_cli.dataset.sources import find_sources, training_source, training_splits
    from llarp_cli.dataset.validate import validate as run

    world = _world(environment)
    if train_indices is None:
        sources = find_sources(world, names)
    else:
        sources = [training_source(world, name, train_indices, seed) for name in training_splits(names)]
    report = run(world, sources, limit)
    click.echo(report.text())
    save_json(json_file, report.to_json())
    if report.problems:
        first = str(report.problems[0]) if report.problem_count == 1 else f"{report.problem_count:,} problems"
        if report.unreadable:
            raise UsageProblem(first, "docs/episodes.md tells how episodes are written")
        raise LlarpError(first)


@dataset.command()
@click.argument("names", nargs=-1, metavar="[SPLIT|GROUP|FILE]...", shell_complete=completion.splits)
@click.option(
    "--samples", type=click.IntRange(min=0), metavar="N", help="Sentences of each family. Default: what fits a screen."
)
@click.option(
    "--train-indices",
    type=INDICES,
    default=1000,
    show_default=True,
    metavar="N",
    help="How many episodes of a training set to look at.",
)
@seed_option
@json_option
@click.option("--plot", type=OutputFile(".png"), metavar="FILE.png", help="Draw families, plans and receptacles.")
def show(
    names: tuple[str, ...],
    samples: int | None,
    train_indices: int,
    seed: int,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    """Tell what is in splits, files and training sets.

    Families, sentences, plan lengths, receptacles and homes; without names one line for each split. Plans are
    shortest ones, made with full knowledge.

    \b
    llarp dataset show
    llarp dataset show rephrasing --samples 3
    llarp dataset show mine.jsonl --json mine.json --plot mine.png
    """
    from llarp_cli.dataset.show import FEW, overview, page
    from llarp_cli.dataset.sources import find_sources
    from llarp_cli.dataset.statistics import statistics_of
    from llarp_cli.rearrangement.splits import SPLITS

    world = _world("home")
    sources = find_sources(world, names or tuple(SPLITS), train_indices, seed)
    every = [statistics_of(world, source, FEW if samples is None else samples) for source in sources]
    click.echo("\n\n".join(page(one, samples) for one in every) if names else overview(every))
    save_json(json_file, {one.name: one.to_json() for one in every})
    if plot is not None:
        from llarp_cli.dataset.plot import plot_statistics

        plot_statistics(every, plot)


@dataset.command()
@click.argument("split", shell_complete=completion.splits)
@environment_option
@click.option("--count", type=click.IntRange(min=1), required=True, metavar="N", help="How many episodes.")
@click.option("--seed", type=click.IntRange(min=0), required=True, metavar="S", help="Of the draw.")
@click.option(
    "--family",
    "families",
    shell_complete=completion.families,
    multiple=True,
    metavar="NAME",
    help="A family; may be given again. Default: all.",
)
@click.option("--out", type=OutputFile(".jsonl", ".jsonl.gz"), required=True, metavar="FILE.jsonl")
def generate(split: str, environment: str, count: int, seed: int, families: tuple[str, ...], out: Path) -> None:
    """Make more episodes of a split's kind, one JSON object per line.

    \b
    llarp dataset generate rephrasing --count 200 --seed 1 --out more.jsonl
    llarp eval --episodes more.jsonl
    """
    from llarp_cli.dataset import generate_file

    generate_file(_world(environment), split, out, count, seed, families)
    click.echo(out)


@dataset.command("import")
@click.argument("source", type=click.Path(path_type=Path), metavar="FILE.pickle")
@click.option("--out", type=OutputFile(".jsonl", ".jsonl.gz"), required=True, metavar="FILE.jsonl")
@environment_option
@json_option
def import_(source: Path, out: Path, environment: str, json_file: Path | None) -> None:
    """Make an episode file of a pickle of the reference release.

    Nothing in it is run. What is odd about it is kept and counted. With --env habitat objects keep the poses that it
    stores, in its own scenes.

    \b
    llarp dataset import new_scenes.pickle --out released.jsonl
    llarp eval planner --episodes released.jsonl
    """
    from llarp_cli.dataset_import import import_file

    report = import_file(source, out, None if environment == "home" else _world(environment))
    click.echo(report.text())
    save_json(json_file, report.to_json())
