"""`llarp doctor`: what is installed and what is not."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli import completion
from llarp_cli.cli.output import json_option, save_json


@click.command()
@click.option(
    "--env",
    "environment",
    shell_complete=completion.environments,
    metavar="NAME",
    help="Only what this environment needs; exit status 2 if it lacks.",
)
@json_option
def doctor(environment: str | None, json_file: Path | None) -> None:
    """Say what is installed, what each backbone and environment needs, and the command that gets it."""
    from llarp_cli.doctor import examine

    found = examine(environment)
    click.echo(found.text())
    save_json(json_file, found.to_json())
    if environment is not None:
        found.require_environment(environment)
