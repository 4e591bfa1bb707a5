"""How sure a measured rate is."""

from __future__ import annotations

import math

Z95 = 1.959963984540054
"""Standard normal quantile of a two-sided 95% interval."""


def wilson(successes: float, episodes: int) -> tuple[float, float]:
    """95% interval of a success rate (Wilson 1927): inside [0, 1] and sensible at 0 and 100%.

    Args:
        successes: a mean over several tries of each episode need not be whole.
        episodes: at least 1.
    """
    rate, z = successes / episodes, Z95
    centre = (rate + z * z / (2 * episodes)) / (1 + z * z / episodes)
    half = z / (1 + z * z / episodes) * math.sqrt(rate * (1 - rate) / episodes + (z / (2 * episodes)) ** 2)
    return max(0.0, centre - half), min(1.0, centre + half)
