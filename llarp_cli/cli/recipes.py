"""`llarp recipes`: what is shipped, and a start for one's own."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli import completion
from llarp_cli.cli.output import json_option, save_json, table


@click.command()
@click.argument("name", required=False, shell_complete=completion.recipes)
@json_option
def recipes(name: str | None, json_file: Path | None) -> None:
    """List the shipped recipes, or print one to start your own.

    \b
    llarp recipes
    llarp recipes quickstart > mine.yaml
    """
    from llarp_cli.recipes import recipe_text, summary
    from llarp_cli.shipped import shipped_recipes

    if name is not None:
        click.echo(recipe_text(name), nl=False)
        return
    listed = {stem: summary(path) for stem, path in shipped_recipes().items()}
    click.echo(table(list(listed.items()), ("recipe", "what it does")))
    save_json(json_file, listed)
