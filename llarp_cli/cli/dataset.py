"""`llarp dataset`: episodes as files."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli.output import OutputFile


@click.group()
def dataset() -> None:
    """Make episode files."""


@dataset.command()
@click.argument("split")
@click.option("--count", type=click.IntRange(min=1), required=True, metavar="N", help="How many episodes.")
@click.option("--seed", type=click.IntRange(min=0), required=True, metavar="S", help="Of the draw.")
@click.option("--family", "families", multiple=True, metavar="NAME", help="A family; may be given again. Default: all.")
@click.option("--out", type=OutputFile(".jsonl", ".jsonl.gz"), required=True, metavar="FILE.jsonl")
def generate(split: str, count: int, seed: int, families: tuple[str, ...], out: Path) -> None:
    """Make more episodes of a split's kind, one JSON object per line.

    \b
    llarp dataset generate rephrasing --count 200 --seed 1 --out more.jsonl
    llarp eval --episodes more.jsonl
    """
    from llarp_cli.dataset import generate_file
    from llarp_cli.registry import load

    generate_file(load("environment", "home"), split, out, count, seed, families)
    click.echo(out)
