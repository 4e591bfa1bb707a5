"""Objects of a released episode on the furniture of a recovered home.

They stay where they were on their surface; those that our robot could not reach or see there are moved as little as
they must be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from llarp_cli.home.fitting import COUNTER
from llarp_cli.home.recovering import RecoveredHome
from llarp_cli.home.scenes import AREAS, PICK_BEARING, PICK_REACH, Home, half_view, nearest_in_view
from llarp_cli.home.shapes import ASSET_SIZES
from llarp_cli.rearrangement.vocabulary import RECEPTACLES, SURFACES, TARGETS

_INSIDE = 3
"""Objects stay so far from the edges of their surface's box, millimetres."""
_CLOSE = 0.7
"""A moved object is put no nearer to another than this share of their radii, where there is such a place."""
_RINGS, _AROUND, _RING = 12, 16, 25
"""Places tried around the nearest one: rings, places on each, millimetres between rings."""


@dataclass
class _Standing:
    """An object that has its place: asset radius, x, z; millimetres."""

    radius: int
    x: float
    z: float


class Placing:
    """Puts the objects of one episode into a recovered home.

    Attributes:
        moved: how many were moved, by more than a millimetre's rounding, to be on their surface, in reach and in view.
        touching: how many of those are nearer to another object than they should be.
    """

    def __init__(self, recovered: RecoveredHome):
        self.recovered = recovered
        self.moved = self.touching = 0

    def place(self, objects: list[tuple[str, str, float, float, float]]) -> list[tuple[tuple[int, int, int], int]]:
        """Where objects are.

        Args:
            objects: of each its asset, its surface, and where it was: x, z in metres, yaw in radians.

        Returns:
            Of each its position in millimetres and its yaw in millidegrees.
        """
        found = [self._there(surface, x, z) for _, surface, x, z, _ in objects]
        tops = {surface: _Top(self.recovered.home, surface) for surface in SURFACES}
        good = [tops[surface].serves(*at) for (_, surface, *_), at in zip(objects, found, strict=True)]
        standing: dict[str, list[_Standing]] = {surface: [] for surface in SURFACES}
        for (asset, surface, *_), (x, z), stays in zip(objects, found, good, strict=True):
            if stays:
                standing[surface].append(_Standing(ASSET_SIZES[asset].radius, x, z))
        placed = []
        for (asset, surface, _, _, yaw), at, stays in zip(objects, found, good, strict=True):
            x, z = at if stays else self._moved(tops[surface], asset, *at, standing[surface])
            y = AREAS[surface].y + ASSET_SIZES[asset].rest_height
            turned = round(math.degrees(yaw) * 1000) + round(1000 * self._turned(surface))
            placed.append(((round(x), y, round(z)), turned % 360_000))
        return placed

    def _turned(self, surface: str) -> float:
        """How far the piece was turned by rounding its heading, degrees."""
        piece = "counter" if surface in COUNTER else surface
        turned = (self.recovered.places[piece][2] - self.recovered.fits[piece].heading) % 180
        return turned - 180 if turned > 90 else turned

    def _there(self, surface: str, x: float, z: float) -> tuple[float, float]:
        """Where something that was at x, z (metres) is now that its surface is where we put it (millimetres)."""
        piece = "counter" if surface in COUNTER else surface
        fit, place = self.recovered.fits[piece], self.recovered.places[piece]
        turned = math.radians(self._turned(surface))
        dx, dz = 1000 * (x - fit.x), 1000 * (z - fit.z)
        cos, sin = math.cos(turned), math.sin(turned)
        return place[0] + cos * dx - sin * dz, place[1] + sin * dx + cos * dz

    def _moved(self, top: _Top, asset: str, x: float, z: float, standing: list[_Standing]) -> tuple[float, float]:
        """The nearest place that serves, near no other object if there is such a one close by."""
        self.moved += 1
        radius = ASSET_SIZES[asset].radius
        nearest = top.nearest(x, z)

        def free(at: tuple[float, float]) -> bool:
            return all(math.hypot(at[0] - one.x, at[1] - one.z) >= _CLOSE * (radius + one.radius) for one in standing)

        chosen = nearest
        if not free(nearest):
            chosen = next((at for at in _spiral(*nearest) if top.serves(*at) and free(at)), nearest)
            self.touching += chosen is nearest
        standing.append(_Standing(radius, *chosen))
        return chosen


def _spiral(x: float, z: float) -> list[tuple[float, float]]:
    """Places around one, the nearest first."""
    return [
        (x + _RING * ring * math.cos(angle), z + _RING * ring * math.sin(angle))
        for ring in range(1, _RINGS + 1)
        for angle in (2 * math.pi * k / _AROUND for k in range(_AROUND))
    ]


class _Top:
    """The part of a surface that serves: on it, in reach and in view from the robot's place before it."""

    def __init__(self, home: Home, surface: str):
        row = RECEPTACLES.index(surface)
        area, scene = AREAS[surface], home.scene
        self.x, _, self.z, heading, self.half_x, _, self.half_z = scene.boxes[row].tolist()
        self.cos, self.sin = math.cos(math.radians(heading / 1000)), math.sin(math.radians(heading / 1000))
        self.robot_x, self.robot_z, bearing = scene.stands[TARGETS.index(surface)].tolist()
        angle = math.radians(bearing / 1000)
        self.ahead = math.cos(angle), math.sin(angle)
        self.y = area.y
        distance = round(math.hypot(self.robot_x - self.x, self.robot_z - self.z))
        self.near = nearest_in_view(area.half_z, area.y, distance, area.rim)
        centre_x, _, centre_z, turned, *self.usable, _ = scene.surfaces[SURFACES.index(surface)].tolist()
        self.centre = centre_x, centre_z
        self.across = math.cos(math.radians(turned / 1000)), math.sin(math.radians(turned / 1000))

    def serves(self, x: float, z: float) -> bool:
        """Whether an object there is on the surface, in reach and in view."""
        dx, dz = x - self.x, z - self.z
        if abs(self.cos * dx + self.sin * dz) > self.half_x - _INSIDE:
            return False
        if abs(self.cos * dz - self.sin * dx) > self.half_z - _INSIDE:
            return False
        dx, dz = x - self.robot_x, z - self.robot_z
        ahead = self.ahead[0] * dx + self.ahead[1] * dz
        aside = abs(self.ahead[0] * dz - self.ahead[1] * dx)
        return (
            ahead >= self.near
            and math.hypot(ahead, aside) <= PICK_REACH
            and math.atan2(aside, ahead) <= PICK_BEARING
            and aside <= half_view(ahead, self.y)
        )

    def nearest(self, x: float, z: float) -> tuple[float, float]:
        """The first place that serves on the way from a place to the nearest one where objects of ours start."""
        cos, sin = self.across
        dx, dz = x - self.centre[0], z - self.centre[1]
        half_x, half_z = (half - _INSIDE - 2 for half in self.usable)
        u = min(max(cos * dx + sin * dz, -half_x), half_x)
        v = min(max(cos * dz - sin * dx, -half_z), half_z)
        good = self.centre[0] + cos * u - sin * v, self.centre[1] + sin * u + cos * v
        bad = x, z
        while math.dist(good, bad) > 1:
            middle = (good[0] + bad[0]) / 2, (good[1] + bad[1]) / 2
            good, bad = (middle, bad) if self.serves(*middle) else (good, middle)
        return good
