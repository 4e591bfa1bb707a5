"""A comparison on disk."""

from __future__ import annotations

import os
from pathlib import Path

from llarp_cli.comparison.compare import Comparison
from llarp_cli.comparison.figures import plot_success, plot_training
from llarp_cli.comparison.tables import report
from llarp_cli.errors import UsageProblem
from llarp_cli.runs import write_text


def write_files(
    comparison: Comparison, *, plot: Path | None = None, curves: Path | None = None, markdown: Path | None = None
) -> None:
    """Write the pictures, and the tables with the pictures in them.

    Raises:
        UsageProblem: there is nothing to draw.
    """
    pictures = []
    if plot is not None:
        if not comparison.splits:
            raise UsageProblem("--plot: no method is evaluated in any split", "llarp compare --evaluate ...")
        plot_success(comparison, plot)
        pictures.append(("Success by split", plot))
    if curves is not None:
        if not any(row.curve and row.curve.steps for row in comparison.rows):
            raise UsageProblem("--curves: no run has trained for 500 episodes", "leave --curves out")
        plot_training(comparison, curves)
        pictures.append(("Success in training over environment steps", curves))
    if markdown is not None:
        shown = [f"![{title}]({Path(os.path.relpath(path, markdown.parent)).as_posix()})" for title, path in pictures]
        write_text(markdown, "\n\n".join([*shown, report(comparison)]) + "\n")
