"""An evaluation as a table and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llarp_cli.evaluation.results import Results, summarize, summarize_group
from llarp_cli.files import replacing
from llarp_cli.rearrangement.splits import GROUPS

HEADER = ("split", "family", "episodes", "success", "95% interval", "return", "length", "invalid skills")


_ORDER = ("", "paraphrastic", "behavior")
_COLOURS = {"": "#4878a8", "paraphrastic": "#5a9e6f", "behavior": "#c77f3b"}


def table_of(results: Results) -> str:
    """A Markdown table: a row per split, one per family below it where there are several, groups, and the total."""
    rows: list[tuple[str, ...]] = []
    for name, outcomes in results.splits.items():
        summary = summarize(outcomes)
        rows.append(_row(name, "", summary))
        if len(summary["families"]) > 1:
            for family in summary["families"]:
                rows.append(_row("", family, summarize([o for o in outcomes if o.family == family])))
    for name, all_ in results.groups.items():
        rows.append(_row(f"{name} ({len(GROUPS[name])} splits)", "", summarize_group(all_)))
    if len(results.splits) > 1:
        rows.append(_row("total", "", summarize(results.outcomes)))
    widths = [max(len(row[i]) for row in [HEADER, *rows]) for i in range(len(HEADER))]
    lines = [_line(HEADER, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    lines += [_line(row, widths) for row in rows]
    how = "the likeliest skill" if results.deterministic else f"sampled skills, seed {results.seed}"
    if results.policy in ("planner", "searcher", "expert"):
        how = f"seed {results.seed}"
    around = f" around {results.backbone}" if results.backbone else ""
    worlds = ", ".join(dict.fromkeys(record.world for record in results.records))
    where = f" in {worlds}" if worlds else ""
    lines += ["", f"{results.policy}{around}{where}; {how}; return, length and invalid skills are means per episode"]
    if results.left_out:
        told = ", ".join(f"{count} of {family}" for family, count in sorted(results.left_out.items()))
        lines.append(f"left out: {sum(results.left_out.values())} episodes ({told}); --all-families runs them too")
    return "\n".join(lines)


def _row(split: str, family: str, summary: dict[str, Any]) -> tuple[str, ...]:
    low, high = summary["interval"]
    return (
        split,
        family,
        str(summary["episodes"]),
        f"{summary['success']:.1%}",
        f"{low:.1%} - {high:.1%}",
        f"{summary['return']:.2f}",
        f"{summary['length']:.1f}",
        f"{summary['invalid_skills']:.1f}",
    )


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = (
        cell.ljust(width) if i < 2 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join(padded) + " |"


def plot_results(results: Results, path: Path) -> None:
    """Success by split as bars with their 95% intervals; splits of one group stand together, in one colour.

    Args:
        path: a .png file, replaced whole.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    groups = {name: group for group in ("paraphrastic", "behavior") for name in GROUPS[group]}
    summaries = {name: summarize(outcomes) for name, outcomes in results.splits.items()}
    names = sorted(summaries, key=lambda name: _ORDER.index(groups.get(name, "")))
    places = [i + 0.6 * _ORDER.index(groups.get(name, "")) for i, name in enumerate(names)]
    rates = [summaries[name]["success"] for name in names]
    lows, highs = zip(*(summaries[name]["interval"] for name in names), strict=True)
    below = [max(0.0, rate - low) for rate, low in zip(rates, lows, strict=True)]
    above = [max(0.0, high - rate) for rate, high in zip(rates, highs, strict=True)]

    figure = Figure(figsize=(2.5 + 1.1 * len(names), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours = [_COLOURS[groups.get(name, "")] for name in names]
    axes.bar(places, rates, yerr=[below, above], capsize=6, color=colours, ecolor="#333333", width=0.6)
    for place, high, name in zip(places, highs, names, strict=True):
        text = f"{summaries[name]['success']:.0%}  (n={summaries[name]['episodes']})"
        axes.text(place, high + 0.03, text, ha="center", fontsize=9)
    axes.set_xticks(places, [name.replace("_", "\n") for name in names])
    axes.set_ylim(0, 1.12)
    axes.set_ylabel("success (95% interval)")
    axes.set_title(f"{results.backbone or results.policy}", fontsize=11)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    shown = [group for group in _ORDER[1:] if group in {groups.get(name) for name in names}]
    if shown:
        marks = [Patch(color=_COLOURS[group], label=f"{group} generalization") for group in shown]
        figure.legend(handles=marks, loc="outside upper right", ncols=len(marks), frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
