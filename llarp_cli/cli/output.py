"""Answers that go into files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from llarp_cli.errors import UsageProblem, quoted


class OutputFile(click.Path):
    """A file to be written: its folder must exist, before any work is done."""

    def __init__(self, *suffixes: str):
        super().__init__(dir_okay=False, path_type=Path)
        self.suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        flag = f"{param.opts[0]} " if param else ""
        suffix = self.suffixes[0]
        if not path.name.lower().endswith(self.suffixes):
            raise UsageProblem(f"{flag}'{path}' does not end in {suffix}", f"write {quoted(f'{path}{suffix}')}")
        try:
            self._check(path, flag)
        except (OSError, ValueError) as error:  # a name too long, or with a null character
            named = "".join(c for c in path.name[:60] if c.isprintable())
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageProblem(f"{flag}'{named}': {why}", "choose another name") from None
        return path

    def _check(self, path: Path, flag: str) -> None:
        if path.is_dir():
            inside = quoted(path / f"out{self.suffixes[0]}")
            raise UsageProblem(f"{flag}'{path}' is a directory", f"write {flag}{inside}")
        if path.parent.exists() and not path.parent.is_dir():
            raise UsageProblem(f"{flag}'{path}': '{path.parent}' is not a folder", "choose another place")
        if not path.parent.is_dir():
            raise UsageProblem(f"{flag}'{path}': there is no folder '{path.parent}'", f"mkdir -p {quoted(path.parent)}")
        if not os.access(path.parent, os.W_OK):  # files are put together beside their place
            raise UsageProblem(f"{flag}'{path}' cannot be written", "choose another place")


json_option = click.option(
    "--json", "json_file", type=OutputFile(".json"), metavar="FILE", help="Write it as JSON too."
)


def save_json(path: Path | None, value: Any) -> None:
    """Write a value as JSON, whole or not at all; None writes nothing."""
    if path is None:
        return
    from llarp_cli.runs import write_text

    write_text(path, json.dumps(value, indent=2) + "\n")


def table(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> str:
    """Columns of text under a header, two spaces apart."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]
    return "\n".join(lines)
