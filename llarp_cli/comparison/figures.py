"""A comparison as pictures: success by split, and success in training over steps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from llarp_cli.comparison.compare import Comparison, Row
from llarp_cli.files import replacing
from llarp_cli.rearrangement.splits import GROUPS

# Colours of Okabe and Ito, told apart by everybody; a method keeps its colour in every picture.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999999", "#F0E442", "#000000")

_BOUNDS = {"planner": "-", "searcher": "--", "random": ":"}
"""Policies between which the others lie: not bars, but lines across them."""

_BROKEN = {
    "expressions": "expres-\nsions",
    "relationships": "relation-\nships",
    "rearrangements": "rearrange-\nments",
    "instructions": "instruc-\ntions",
    "conditional": "condi-\ntional",
}
"""Words too long for a column."""

_TITLES = {"train": "train", "paraphrastic": "paraphrastic", "behavior": "behavior", "": "other"}


def plot_success(comparison: Comparison, path: Path) -> None:
    """Bars of success by split with 95% intervals, the means over groups above them.

    Args:
        comparison: of at least one split.
        path: a .png file, replaced whole.
    """
    figure = _figure(11.5, 8.2 if comparison.groups else 4.6)
    panels = figure.subplots(2 if comparison.groups else 1, 1, squeeze=False)[:, 0]
    if comparison.groups:
        _means(comparison, panels[0])
    _splits(comparison, panels[-1])
    _legend(figure, panels[-1])
    _save(figure, path)


def plot_training(comparison: Comparison, path: Path) -> None:
    """Running success in training over environment steps; several runs are a band around their mean.

    Args:
        comparison: with at least one method whose training is known.
        path: a .png file, replaced whole.
    """
    figure = _figure(10, 5)
    axes = figure.subplots()
    rows = [row for row in comparison.rows if row.curve and row.curve.steps]
    threshold = next(row.reached.threshold for row in comparison.rows if row.reached)
    axes.axhline(threshold, color="#777777", linewidth=1, linestyle="--", zorder=0)
    for row in rows:
        colour = _colour(comparison, row.method.label)
        curve = row.curve
        runs = f" ({len(row.curves)} runs)" if len(row.curves) > 1 else ""
        axes.plot(curve.steps, curve.mean, color=colour, linewidth=2, label=row.method.label + runs)
        if len(row.curves) > 1:
            axes.fill_between(curve.steps, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
        if curve.labelled and curve.labelled < curve.steps[-1]:
            # The end of imitation is a dot on the curve: methods may imitate for different times.
            at = next((i for i, steps in enumerate(curve.steps) if steps >= curve.labelled), None)
            axes.plot(curve.steps[at], curve.mean[at], "o", color=colour, markersize=8, markeredgecolor="white")
    if any(0 < row.curve.labelled < row.curve.steps[-1] for row in rows):
        mark = {"color": "#777777", "markeredgecolor": "white", "markersize": 8}
        axes.plot([], [], "o", label="imitation ends, PPO begins", **mark)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(left=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.set_xlabel("environment steps, those labelled by the expert included", fontsize=12)
    axes.set_ylabel("success in training", fontsize=12)
    axes.tick_params(labelsize=11)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    _legend(figure, axes)
    _save(figure, path)


def _means(comparison: Comparison, axes: Any) -> None:
    """The headline: single splits that are one of their kind, and the means over groups."""
    columns: list[tuple[str, str, str]] = [
        (split, split.replace("_", " "), "split") for split in ("train", "new_scenes") if split in comparison.splits
    ]
    for group, splits in comparison.groups.items():
        name = "all" if group == "all" else group
        columns.append((group, f"{name}\nmean of {len(splits)}", "group"))
    for row in comparison.rows:
        found = {
            c: (row.splits if kind == "split" else row.groups).get(key) for c, (key, _, kind) in enumerate(columns)
        }
        _draw(comparison, axes, row, found, numbers=True)
    axes.set_xticks(range(len(columns)), [name for _, name, _ in columns], fontsize=12)
    _frame(axes, len(columns))


def _splits(comparison: Comparison, axes: Any) -> None:
    """Every split, those of one group side by side."""
    places: dict[str, float] = {}
    at = 0.0
    for group, title in _TITLES.items():
        members = [split for split in comparison.splits if _group_of(split) == group]
        if not members:
            continue
        axes.text(at - 0.45, 1.06, title, fontsize=12, fontweight="bold", color="#444444")
        if places:
            axes.axvline(at - 0.65, color="#bbbbbb", linewidth=1)
        for split in members:
            places[split] = at
            at += 1
        at += 0.3
    for row in comparison.rows:
        found = {place: row.splits.get(split) for split, place in places.items()}
        _draw(comparison, axes, row, found, numbers=False)
    names = [
        "\n".join([*(_BROKEN.get(word, word) for word in split.split("_")), f"n={comparison.episodes[split]}"])
        for split in places
    ]
    axes.set_xticks(list(places.values()), names, fontsize=9.5)
    _frame(axes, at - 0.3)


def _draw(comparison: Comparison, axes: Any, row: Row, found: dict[Any, Any], *, numbers: bool) -> None:
    """One method's bars, side by side with the others', or its lines across them."""
    shown = {place: estimate for place, estimate in found.items() if estimate is not None}
    label = row.method.label
    beside = _beside(comparison)
    if row not in beside:
        ends = [place - 0.46 for place in shown], [place + 0.46 for place in shown]
        style = {"colors": "#555555", "linestyles": _BOUNDS[row.method.runs[0].policy], "linewidth": 1.5}
        axes.hlines([estimate.value for estimate in shown.values()], *ends, label=label, zorder=3, **style)
        return
    count = len(beside)
    width = 0.84 / count
    centres = [place + (beside.index(row) - (count - 1) / 2) * width for place in shown]
    rates = [estimate.value for estimate in shown.values()]
    below = [max(0.0, e.value - e.low) for e in shown.values()]
    above = [max(0.0, e.high - e.value) for e in shown.values()]
    whiskers = {"ecolor": "#333333", "elinewidth": 1, "capsize": min(4, 12 / count)}
    axes.bar(
        centres,
        rates,
        width * 0.92,
        yerr=[below, above] if shown else None,
        label=label,
        color=_colour(comparison, label),
        error_kw=whiskers,
    )
    if numbers:
        for centre, estimate in zip(centres, shown.values(), strict=True):
            text = f"{estimate.value:.0%}" if count <= 5 else f"{100 * estimate.value:.0f}"
            box = {"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none"}
            size = 11 if count <= 5 else 9
            axes.text(centre, estimate.high + 0.02, text, ha="center", fontsize=size, bbox=box, zorder=4)


def _beside(comparison: Comparison) -> list[Row]:
    """The methods that have bars: all but bounds, unless there is nothing else."""
    rows = list(comparison.rows)
    return [row for row in rows if row.method.runs[0].policy not in _BOUNDS] or rows


def _legend(figure: Any, axes: Any) -> None:
    """Above the picture, where it hides nothing, in as few rows as fit, alike full; lines after bars."""
    found = zip(*axes.get_legend_handles_labels(), strict=True)
    handles, labels = zip(*sorted(found, key=lambda pair: not hasattr(pair[0], "patches")), strict=True)
    rows = math.ceil(sum(len(label) + 8 for label in labels) / 100)
    columns = math.ceil(len(labels) / rows)
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize=12)


def _group_of(split: str) -> str:
    for group in ("paraphrastic", "behavior"):
        if split in GROUPS[group]:
            return group
    return "train" if split.startswith("train") or split == "new_scenes" else ""


def _frame(axes: Any, columns: float) -> None:
    axes.set_xlim(-0.6, columns - 0.4)
    axes.set_ylim(0, 1.14)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_ylabel("success (95% interval)", fontsize=11)
    axes.tick_params(axis="y", labelsize=10)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _colour(comparison: Comparison, label: str) -> str:
    labels = [row.method.label for row in _beside(comparison)]
    return COLOURS[labels.index(label) % len(COLOURS)]


def _short(steps: float) -> str:
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if steps >= unit:
            return f"{steps / unit:g}{letter}"
    return f"{steps:g}"


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
