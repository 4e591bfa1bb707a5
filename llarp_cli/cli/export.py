"""`llarp export`: a small folder to share."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli import completion


@click.command()
@click.argument("source", required=False, metavar="[RUN_OR_CHECKPOINT]", shell_complete=completion.runs)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="A new folder.  [default: export beside the run]"
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.json",
    help="From `llarp eval --json`: goes into the model card.",
)
def export(source: str | None, out: Path | None, results: Path | None) -> None:
    """Export a policy: the trained weights, what they need, and a model card.

    Left out, the newest run under ./runs. Load it with `llarp_cli.load_policy(DIR)`.
    """
    from llarp_cli.export import export_policy

    click.echo(export_policy(source, out, results))
