"""Statistics as text: a table of splits, or a page for each."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from llarp_cli.dataset.statistics import Statistics, mean
from llarp_cli.rearrangement.vocabulary import RECEPTACLES

WIDTH = 100
FEW = 5
"""Sentences of a family on a page that has room for them."""
BAR = 24
"""Characters of the longest bar."""


def overview(every: Sequence[Statistics]) -> str:
    """One line for each split or file."""
    header = ("split", "episodes", "families", "sentences", "words", "homes", "plan", "what it is")
    rows = [
        (
            one.name,
            f"{one.episodes:,}",
            str(len(one.families)),
            f"{one.sentences:,}",
            f"{mean(one.words):.1f}",
            f"{one.homes:,}",
            f"{mean(one.plans):.1f}",
            one.description,
        )
        for one in every
    ]
    return "\n".join([*_aligned([header, *rows], left=(0, 7)), "", "words of a sentence and steps of a plan are means"])


def page(one: Statistics, samples: int | None = None) -> str:
    """All about one split or file.

    Args:
        samples: sentences of each family, of those that were kept; None for what fits a screen.
    """
    if samples is None:
        samples = max(1, min(FEW, 10 // len(one.families)))
    lines = [
        f"{one.name}: {one.description}",
        f"{one.episodes:,} episodes, {one.sentences:,} different sentences, {one.homes:,} homes of "
        f"{_range(one.objects)} objects",
        "",
    ]
    header = ("family", "episodes", "words", "(from-to)", "plan", "(from-to)")
    rows = [
        (
            name,
            str(family.episodes),
            f"{mean(family.words):.1f}",
            f"({_range(family.words)})",
            f"{mean(family.plans):.1f}",
            f"({_range(family.plans)})",
        )
        for name, family in one.families.items()
    ]
    lines += [*_aligned([header, *rows], left=(0, 3, 5)), ""]
    lines += [*_beside(_histogram(one), _receptacles(one)), ""]
    for name, family in one.families.items():
        for sentence in family.sentences[:samples]:
            lines += textwrap.wrap(f"{name}: {sentence}", WIDTH, subsequent_indent="    ")
    return "\n".join(lines)


def _histogram(one: Statistics) -> list[str]:
    """How many episodes take how many steps."""
    most = max(one.plans.values(), default=1)
    rows = [("steps", "episodes", "")]
    rows += [(str(length), str(count), _bar(count, most)) for length, count in sorted(one.plans.items())]
    if one.unsolved:
        rows.append(("none", str(one.unsolved), _bar(one.unsolved, most)))
    return _aligned(rows, left=(2,))


def _receptacles(one: Statistics) -> list[str]:
    """Where objects are taken from and brought to."""
    used = [name for name in RECEPTACLES if one.sources[name] or one.targets[name]]
    rows = [("receptacle", "from", "to"), *((name, str(one.sources[name]), str(one.targets[name])) for name in used)]
    return _aligned(rows, left=(0,)) if used else []


def _bar(count: int, most: int) -> str:
    return "#" * max(1, round(BAR * count / most))


def _range(counts: Counter[int]) -> str:
    if not counts:
        return "-"
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low}-{high}"


def _aligned(rows: Sequence[tuple[str, ...]], left: Sequence[int]) -> list[str]:
    """Columns two spaces apart, numbers to the right, the columns in `left` to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _beside(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Two blocks of lines side by side."""
    width = max(map(len, first), default=0)
    return [f"{a.ljust(width)}     {b}".rstrip() for a, b in zip_longest(first, second, fillvalue="")]
