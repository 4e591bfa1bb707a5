"""What `assess` found, as tables and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llarp_cli.files import replacing
from llarp_cli.rearrangement.vocabulary import CATEGORIES, HELD_OUT_CATEGORIES, TRAIN_CATEGORIES

ORDER = (*TRAIN_CATEGORIES, *HELD_OUT_CATEGORIES)
_COLOUR = "#4878a8"
_SHOWN = 0.02
"""Shares from which a cell of the picture carries its number."""


def tables_of(report: dict[str, Any]) -> str:
    """Three Markdown tables: accuracies, average precision by category, and the means."""
    accuracy = [
        (name, str(one["pictures"]), _percent(one["rate"]), _interval(one["interval"]))
        for name, one in report["accuracy"].items()
    ]
    precision, means = report["average_precision"], report["mean_average_precision"]
    columns = list(means)
    rows = []
    for name in ORDER:
        cells = [_value(precision[name][column]["value"]) for column in columns]
        rows.append((_shown(name), *cells, str(precision[name]["in_reach"]["objects"]), _mistaken(report, name)))
    rows += [
        (f"mean, {group.replace('_', '-')}", *(_value(means[column][group]) for column in columns), "", "")
        for group in ("training", "held_out")
    ]
    heads = ("in reach", "faced", *columns[2:])
    return "\n\n".join(
        [
            told(report),
            _table(("accuracy", "pictures", "right", "95% interval"), accuracy),
            _table(("average precision", *heads, "objects", "most taken for"), rows),
            "faced: on the receptacle faced; metres: objects in reach that far away; * held out: no loss ever named it",
        ]
    )


def told(report: dict[str, Any]) -> str:
    """What was looked at, in one or two lines."""
    encoder = report["encoder"]
    tokens = f"{report['tokens']} token" + ("s" if report["tokens"] > 1 else "")
    lines = [
        f"encoder {encoder['weights']}, {tokens}: {report['pictures']:,} pictures of {report['homes']} unseen homes, "
        f"{report['image_size']} pixels, read by linear probes fitted on {report['probe_pictures']:,} of other homes"
    ]
    if encoder["renderer"] not in (None, report["renderer"]):
        lines.append(
            f"note: trained on pictures of version {encoder['renderer']}; the home draws version {report['renderer']}"
        )
    return "\n".join(lines)


def plot_confusion(report: dict[str, Any], path: Path) -> None:
    """Which category is named where another stands: a row per category that stands, a column per one named.

    Args:
        path: a .png file, replaced whole.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    order = [CATEGORIES.index(name) for name in ORDER]
    counts = np.array(report["confusion"])[np.ix_(order, order)]
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    names = [_shown(name) for name in ORDER]
    figure = Figure(figsize=(11.5, 10.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    # The square root keeps a few per cent visible beside the diagonal.
    axes.imshow(np.sqrt(shares), cmap=LinearSegmentedColormap.from_list("", ["white", _COLOUR]), vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(shares >= _SHOWN), strict=True):
        text = f"{shares[row, column] * 100:.0f}"
        colour = "white" if shares[row, column] > 0.4 else "#333333"
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="left", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(range(len(names)), [f"{n}  ({c:,})" for n, c in zip(names, counts.sum(1), strict=True)], fontsize=9)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0)
    for edge in (axes.axhline, axes.axvline):
        edge(len(TRAIN_CATEGORIES) - 0.5, color="#333333", linewidth=0.8)
    axes.set_xlabel("named, % of the row (from 2%)")
    axes.set_ylabel("what stands there (how many);  * held out from training")
    right = np.trace(counts) / max(counts.sum(), 1)
    figure.suptitle(
        f"{told(report).splitlines()[0].partition(':')[0]}: {right:.1%} of objects named right", fontsize=11
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _mistaken(report: dict[str, Any], name: str) -> str:
    """The other category most often named where this one stands, and its share."""
    counts = np.array(report["confusion"][CATEGORIES.index(name)])
    total = counts.sum()
    counts[CATEGORIES.index(name)] = 0
    if not counts.any():
        return ""
    return f"{CATEGORIES[int(counts.argmax())]} {counts.max() / total:.1%}"


def _shown(name: str) -> str:
    return name + " *" * (name in HELD_OUT_CATEGORIES)


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.2%}"


def _interval(interval: list[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.2%} - {interval[1]:.2%}"


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: tuple[str, ...]) -> str:
        padded = (c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths)) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])
