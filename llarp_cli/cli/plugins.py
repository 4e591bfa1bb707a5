"""`llarp plugins`: what can be chosen, and where it comes from."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli.output import json_option, save_json, table


@click.command()
@click.option("--check", is_flag=True, help="Import each one and report.")
@json_option
def plugins(check: bool, json_file: Path | None) -> None:
    """List backbones, vision encoders and environments; nothing is imported without --check."""
    from llarp_cli import registry
    from llarp_cli.errors import LlarpError

    header = ("kind", "name", "from", "object")
    listed, broken = [], 0
    for kind in registry.GROUPS:
        for plugin in registry.plugins(kind):
            row = {
                "kind": kind,
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "object": plugin.target,
                "shadowed": plugin.shadowed,
            }
            if check and not plugin.shadowed:
                try:
                    registry.load(kind, plugin.name)
                    row["check"] = "imports"
                except LlarpError as error:
                    row["check"] = f"broken: {error.message}"
                    broken += 1
            listed.append(row)
    rows = [
        (
            row["kind"],
            row["name"],
            f"{row['distribution']} {row['version']}",
            row["object"] + (" (shadowed by llarp's own)" if row["shadowed"] else ""),
            *([row.get("check", "")] if check else []),
        )
        for row in listed
    ]
    click.echo(table(rows, (*header, "check") if check else header))
    save_json(json_file, listed)
    if broken:
        raise LlarpError(f"{broken} of {len(listed)} plugins cannot be used", "`llarp doctor` says what each one needs")
