"""The learning curves of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from llarp_cli.files import replacing

PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("success", ("success_average",)),
    ("return", ("return",)),
    ("entropy", ("entropy",)),
    ("loss", ("policy_loss", "value_loss")),
)


def draw_curves(metrics: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw success, return, entropy and losses over environment steps.

    Args:
        metrics: the lines of `metrics.jsonl`.
        path: a .png file, replaced whole.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    begins = [line["steps"] for before, line in pairwise(metrics) if before["stage"] != line["stage"]]
    for axes, (title, names) in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        for name in names:
            points = [(line["steps"], line[name]) for line in metrics if line.get(name) is not None]
            axes.plot([x for x, _ in points], [y for _, y in points], label=name.replace("_", " "))
        for begin in begins:
            axes.axvline(begin, color="grey", linestyle=":", linewidth=1)
        if title == "success":
            axes.set_ylim(-0.02, 1.02)
        if len(names) > 1:
            axes.legend(frameon=False)
        axes.set_title(title)
        axes.set_xlabel("environment steps")
        axes.grid(alpha=0.25)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
