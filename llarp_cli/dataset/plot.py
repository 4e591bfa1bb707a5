"""Statistics as a picture: for each split its families, its plan lengths and its receptacles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llarp_cli.dataset.statistics import Statistics
from llarp_cli.files import replacing
from llarp_cli.rearrangement.vocabulary import RECEPTACLES

COLOUR, SECOND = "#4878a8", "#e0975a"
LABEL = 9


def plot_statistics(every: Sequence[Statistics], path: Path) -> None:
    """Draw a row of three small pictures for each split.

    Args:
        every: at least one.
        path: a .png file, replaced whole.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 2.9 * len(every)), layout="constrained")
    FigureCanvasAgg(figure)
    for one, axes in zip(every, figure.subplots(len(every), 3, squeeze=False), strict=True):
        _families(axes[0], one)
        _plans(axes[1], one)
        _receptacles(axes[2], one)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _families(axes: Any, one: Statistics) -> None:
    counts = [family.episodes for family in one.families.values()]
    axes.barh(range(len(counts)), counts, color=COLOUR, height=0.7)
    axes.set_yticks(range(len(counts)), list(one.families), fontsize=LABEL, parse_math=False)
    axes.set_ylim(max(len(counts), 4) - 0.5, -0.5)
    axes.set_title(f"{one.name}: {one.episodes:,} episodes", fontsize=11, loc="left", parse_math=False)
    _plain(axes, "x")


def _plans(axes: Any, one: Statistics) -> None:
    plans = one.plans
    lengths = range(min(plans, default=0), max(plans, default=0) + 1)
    axes.bar(lengths, [plans[length] for length in lengths], color=COLOUR, width=0.7)
    axes.set_xticks(lengths, [str(length) for length in lengths], fontsize=LABEL)
    axes.set_title("steps of a shortest plan", fontsize=11, loc="left")
    _plain(axes, "y")


def _receptacles(axes: Any, one: Statistics) -> None:
    used = [name for name in RECEPTACLES if one.sources[name] or one.targets[name]]
    places = range(len(used))
    axes.bar([place - 0.2 for place in places], [one.sources[name] for name in used], 0.4, color=COLOUR, label="from")
    axes.bar([place + 0.2 for place in places], [one.targets[name] for name in used], 0.4, color=SECOND, label="to")
    axes.set_xticks(places, [name.replace(" ", "\n") for name in used], fontsize=LABEL - 1)
    axes.set_title("receptacles", fontsize=11, loc="left")
    if used:
        axes.legend(fontsize=LABEL, frameon=False, ncols=2, loc="upper right")
        axes.margins(y=0.25)
    _plain(axes, "y")


def _plain(axes: Any, grid: str) -> None:
    axes.grid(axis=grid, alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
