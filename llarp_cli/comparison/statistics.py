"""How sure a comparison is.

Success of a method on a split is a table, runs (seeds of training) by episodes; an entry is the mean over seeds of
evaluation. All methods are compared on the same episodes. Two things were chance: which episodes were drawn, and
how the runs' trainings went. The bootstrap draws both anew (rows and columns independently: Owen 2007, "the
pigeonhole bootstrap"): episodes within each split, the same draw for every run and every method; runs within each
method. The 95% interval is the middle of what comes out.

- One run: the interval is about other episodes of this kind, for these very weights. Of one split it is Wilson's.
- Several runs: it is about other episodes and other seeds of training. Two or three runs show too little of how
  far seeds can be apart, so it is then too narrow rather than too wide, and each run's value stands beside it.

No interval of a mean is narrower than Wilson's over the episodes, since a bootstrap of only successes has no width; a
ratio in which one side has only successes or none is as wide as the two sides' intervals divided.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llarp_cli.intervals import wilson

DRAWS = 2000

AT_ONCE = 1 << 20
"""Numbers drawn at once: 8 MiB of them."""

Successes = Mapping[str, NDArray[np.float64]]
"""Split → success of each run in each episode, [runs, episodes]."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% interval.

    Attributes:
        episodes: different ones that it rests on.
    """

    value: float
    low: float
    high: float
    episodes: int

    def to_json(self) -> dict[str, Any]:
        interval = [None if np.isinf(bound) else bound for bound in (self.low, self.high)]
        return {"value": self.value, "interval": interval, "episodes": self.episodes}


def mean_success(successes: Successes, name: str) -> Estimate:
    """The mean over splits of the mean over episodes of the mean over runs, each split counting alike.

    Args:
        successes: at least one split.
        name: of the method; methods of different names draw their runs independently.
    """
    value = _macro(successes)
    episodes = sum(table.shape[1] for table in successes.values())
    low, high = wilson(value * episodes, episodes)
    runs = next(iter(successes.values())).shape[0]
    if runs > 1 or len(successes) > 1:
        below, above = np.percentile(_redrawn(successes, name), (2.5, 97.5))
        low, high = min(low, below), max(high, min(1.0, above))
    return Estimate(value, float(low), float(high), episodes)


def ratio_of_means(one: Successes, other: Successes, names: tuple[str, str]) -> Estimate | None:
    """How many times as often `one` succeeds as `other`, by their means over splits.

    Args:
        one, other: the same splits and episodes.
        names: of the two methods.

    Returns:
        None where `other` never succeeds.
    """
    below = _macro(other)
    if not below:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = _redrawn(one, names[0]) / _redrawn(other, names[1])
    low, high = np.percentile(np.nan_to_num(drawn, nan=1.0, posinf=np.inf), (2.5, 97.5), method="nearest")
    episodes = sum(table.shape[1] for table in one.values())
    above = _macro(one)
    if above in (0, 1) or below == 1:  # no draw differs from the others
        ours, theirs = wilson(above * episodes, episodes), wilson(below * episodes, episodes)
        low, high = min(low, ours[0] / theirs[1]), max(high, ours[1] / theirs[0])
    return Estimate(above / below, float(low), float(high), episodes)


def _macro(successes: Successes) -> float:
    return float(np.mean([table.mean() for table in successes.values()]))


def _redrawn(successes: Successes, name: str) -> NDArray[np.float64]:
    """The mean over splits in each of the draws, [DRAWS]."""
    runs = next(iter(successes.values())).shape[0]
    run_shares = np.concatenate([*_shares(f"runs of {name}", runs)])
    means = []
    for split, table in successes.items():
        by_run = np.concatenate([part @ table.T for part in _shares(f"episodes of {split}", table.shape[1])])
        means.append((by_run * run_shares).sum(axis=1))
    return np.mean(means, axis=0)


def _shares(key: str, count: int) -> Iterator[NDArray[np.float64]]:
    """How large a part of each draw each of `count` things is, [DRAWS, count] in parts of few rows; a key always draws
    the same."""
    return iter([_few(key, count)]) if DRAWS * count <= AT_ONCE else _drawn(key, count)


@lru_cache(maxsize=64)
def _few(key: str, count: int) -> NDArray[np.float64]:
    return np.concatenate([*_drawn(key, count)])


def _drawn(key: str, count: int) -> Iterator[NDArray[np.float64]]:
    random = np.random.default_rng([zlib.crc32(key.encode()), count])
    rows = max(1, AT_ONCE // count)
    for first in range(0, DRAWS, rows):
        yield random.multinomial(count, np.full(count, 1 / count), size=min(rows, DRAWS - first)) / count
