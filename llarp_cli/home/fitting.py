"""Where furniture stood, from where things lay on it.

Objects lie anywhere on their surface, each place equally likely, and the extents of the surfaces are known: every
pose of the rectangle that covers the points is then equally likely, and the middle of those poses is the best
guess. It is found by integration: over the two shifts exactly as two separate sums, over the heading on a grid,
with multiples of 90° likely beforehand. Points a little beyond an edge (things settle and roll) cost little, and
no point costs much, so that a single stray one does no harm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llarp_cli.home.layouts import MOVABLE
from llarp_cli.home.scenes import AREAS

COUNTER = ("sink", "right counter", "left counter")
"""The surfaces of the kitchen counter, which lie on one line, a known way apart."""

MOST_POINTS = 500
"""More points on one piece of furniture are not looked at."""

_SOFTNESS = 0.015
"""How far beyond an edge a point becomes e times less likely, metres."""
_WORST = 6.0
"""The most that one point can count against a pose, in natural logarithms."""
_STEP = 0.01
"""Shifts are tried this far apart, metres."""
_MARGIN = 0.05
"""And this much farther than half an extent from the median of the points, metres."""
_COARSE, _FINE, _AROUND = 3.0, 0.5, 6.0
"""Headings are tried this far apart, and again this far apart up to so far around the best, degrees."""
_SQUARE = {"movable": 0.88, "counter": 0.97}
"""How likely furniture stands at a multiple of 90° beforehand; else every heading is equally likely."""


@dataclass(frozen=True)
class Fit:
    """Where a piece's object area (of the counter: its sink) is.

    Attributes:
        x, z: its centre, metres.
        heading: of its local x axis, degrees; of movable furniture modulo 180, as its front cannot be told.
        points: how many objects it was found from.
    """

    x: float
    z: float
    heading: float
    points: int


def fit_furniture(lying: Mapping[str, NDArray[np.float64]]) -> dict[str, Fit]:
    """The furniture of a scene.

    Args:
        lying: surface → float [n, 2], x and z of the objects on it in metres.

    Returns:
        "counter" and the `MOVABLE` pieces → where they are; none for furniture without objects.
    """
    found = {}
    counter = [name for name in COUNTER if len(lying.get(name, ()))]
    if counter:
        each = np.concatenate([np.full(len(lying[name]), i) for i, name in enumerate(counter)])
        areas = np.array([(AREAS[name].x, AREAS[name].half_x, AREAS[name].half_z) for name in counter])[each] / 1000
        found["counter"] = _fitted(np.concatenate([lying[name] for name in counter]), areas, 360, _SQUARE["counter"])
    for name in MOVABLE:
        if len(points := lying.get(name, ())):
            area = np.array([(0, AREAS[name].half_x, AREAS[name].half_z)]) / 1000
            found[name] = _fitted(points, np.repeat(area, len(points), axis=0), 180, _SQUARE["movable"])
    return found


def _fitted(points: NDArray[np.float64], areas: NDArray[np.float64], turn: int, square: float) -> Fit:
    """The mean centre and heading, around the likeliest heading or for exactly it where it is a multiple of 90°.

    Args:
        points: [n, 2].
        areas: [n, 3], of each point's surface: how far along the piece its centre is, half extents; metres.
        turn: headings from 0 to this, degrees.
        square: share of multiples of 90°.
    """
    chosen = np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).astype(np.intp)
    near = np.median(points, axis=0)
    offsets, areas = points[chosen] - near, areas[chosen]

    def tried(heading: float) -> tuple[float, float, float, float]:
        return *_centred(offsets, areas, math.radians(heading)), heading

    straight = [tried(heading) for heading in range(0, turn, 90)]
    coarse = np.array([tried(heading) for heading in np.arange(0.0, turn, _COARSE)])
    upright = max(straight)
    evidence = coarse[:, 0]
    turned = evidence.max() + math.log(np.exp(evidence - evidence.max()).mean())
    if upright[0] + math.log(square / len(straight)) >= turned + math.log(1 - square):
        _, x, z, heading = upright
    else:
        around = coarse[evidence.argmax(), 3] + np.arange(-_AROUND, _AROUND + _FINE / 2, _FINE)
        fine = np.array([tried(heading) for heading in around])
        weights = np.exp(fine[:, 0] - fine[:, 0].max())
        _, x, z, heading = (weights[:, None] * fine).sum(axis=0) / weights.sum()
    return Fit(float(near[0] + x), float(near[1] + z), float(heading % turn), len(points))


def _centred(points: NDArray[np.float64], areas: NDArray[np.float64], heading: float) -> tuple[float, float, float]:
    """Log evidence of a heading, and the mean centre x, z for it."""
    cos, sin = math.cos(heading), math.sin(heading)
    evidence_x, x = _shifted(points @ [cos, sin] - areas[:, 0], areas[:, 1])
    evidence_z, z = _shifted(points @ [-sin, cos], areas[:, 2])
    return evidence_x + evidence_z, cos * x - sin * z, sin * x + cos * z


def _shifted(along: NDArray[np.float64], half: NDArray[np.float64]) -> tuple[float, float]:
    """Log evidence summed over the shifts of an interval, and their mean.

    Args:
        along: [n], the points on a line.
        half: [n], half the length of each one's interval.
    """
    reach = float(half.max()) + _MARGIN
    shifts = np.median(along) + np.arange(-reach, reach, _STEP)
    beyond = np.maximum(np.abs(along - shifts[:, None]) - half, 0) / _SOFTNESS
    fits = -np.minimum(beyond, _WORST).sum(axis=1)
    weights = np.exp(fits - fits.max())
    return float(fits.max()) + math.log(weights.sum() * _STEP), float((weights * shifts).sum() / weights.sum())
