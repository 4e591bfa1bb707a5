"""How far a long count is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

LINE_SECONDS = 5.0


def counted(items: Iterable[T], total: int | None, unit: str = "episodes") -> Iterator[T]:
    """The items, while stderr is told how many there were.

    Args:
        total: how many there will be; None where nobody knows.
        unit: what is counted.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, unit=f" {unit}", leave=False)
        return
    of_all = "" if total is None else f" of {total:,}"
    last_line = monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if monotonic() - last_line >= LINE_SECONDS:
            last_line = monotonic()
            print(f"{number:,}{of_all} {unit}", file=sys.stderr, flush=True)
