"""N homes in lockstep: the `Simulator` contract of `rearrangement/simulator.py`.

Poses are set, not simulated: a robot stands where it is told to, a held object is at the gripper, a
released one rests upright where it was let go.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llarp_cli.errors import UsageProblem
from llarp_cli.home.camera import focal, robot_cameras
from llarp_cli.home.rasteriser import MOST_OWNERS, Rasteriser
from llarp_cli.home.scenes import AREAS, furnished
from llarp_cli.home.shapes import ASSET_SIZES
from llarp_cli.home.stage import ASSET_INDEX, ASSET_NAMES, Stage
from llarp_cli.home.views import View, view
from llarp_cli.rearrangement.episodes import Arrangement
from llarp_cli.rearrangement.vocabulary import CATEGORIES, CATEGORY_OF, JOINTS, RECEPTACLES, TARGETS

GRIPPER_AHEAD, GRIPPER_HEIGHT = 0.40, 0.97
"""Where a held object is, metres from the robot's base: low in the middle of its view and nearer than any furniture."""

SHOWN_HELD = 0.042
"""A held object is so near the camera that it is drawn smaller: its largest half extent, metres."""

HELD_TURN = 1.1
"""How a held object is turned from the robot's heading, radians: long things are seen from the side."""

_CATEGORY = np.array([CATEGORIES.index(CATEGORY_OF[name]) for name in ASSET_NAMES], np.int16)
_RADIUS = np.array([ASSET_SIZES[name].radius for name in ASSET_NAMES]) / 1000
_REST = np.array([ASSET_SIZES[name].rest_height for name in ASSET_NAMES]) / 1000
_HEIGHT = np.array([ASSET_SIZES[name].height for name in ASSET_NAMES]) / 1000
_HELD_SCALE = np.minimum(SHOWN_HELD / np.maximum(_RADIUS, _HEIGHT / 2), 0.8)
_HELD_RISE = _REST - _HEIGHT / 2
"""How far an origin is above the middle of its object."""

_SURFACE_Y = np.array([AREAS[name].y for name in RECEPTACLES]) / 1000
_DRAWER_OF = np.array([JOINTS.index(name) if name.endswith("drawer") else -1 for name in RECEPTACLES], np.int16)
_DRAWERS = JOINTS.index("fridge")

_SHRINK = 0.8
"""Objects are released within this share of a receptacle's box."""

_EDGE = 0.97
"""And pushed aside no further than within this share."""

_LEVEL = 0.05
"""Objects stand on the same surface when their bottoms are no further apart, metres."""

_SHIFTS = np.array([[0.03 * math.sqrt(k) * f(2.4 * k) for f in (math.cos, math.sin)] for k in range(200)])
"""Where a released object goes when its spot is taken, metres: an outward spiral, first free place wins."""


class HomeSimulator:
    """The embedded home, N times. See `rearrangement.simulator.Simulator` for attributes and commands.

    Attributes:
        stage: the rows it is drawn from.

    Raises:
        UsageProblem: there is no such number of homes or objects.
    """

    def __init__(self, homes: int, max_objects: int):
        if homes < 0:
            raise UsageProblem(f"there cannot be {homes} homes", "choose 0 or more")
        if not 0 <= max_objects <= MOST_OWNERS:
            raise UsageProblem(f"a home cannot have {max_objects} objects", f"choose 0 to {MOST_OWNERS}")
        self.homes, self.max_objects = homes, max_objects
        self.robot = np.zeros((homes, 3))
        self.positions = np.zeros((homes, max_objects, 3))
        self.categories = np.full((homes, max_objects), -1, np.int16)
        self.drawers = np.full((homes, max_objects), -1, np.int16)
        self.joints = np.zeros((homes, len(JOINTS)))
        self.held = np.full(homes, -1, np.int16)
        self.boxes = np.zeros((homes, len(RECEPTACLES), 7))
        self.targets = np.zeros((homes, len(TARGETS), 3))
        self._stands = np.zeros((homes, len(TARGETS), 3))
        self._headings = np.zeros((homes, max_objects))
        self._assets = np.full((homes, max_objects), -1, np.int64)
        self._scenes: list[str] = [""] * homes
        self.stage = Stage(homes, max_objects)
        self._seen = np.zeros((homes, max_objects), np.int32)
        self._rasterisers: dict[int, Rasteriser] = {}
        self._depths: dict[int, Rasteriser] = {}
        self._last: Rasteriser | None = None

    def reset(self, home: int, arrangement: Arrangement) -> None:
        """Put one home into an arrangement, hand empty."""
        known = _geometry(arrangement.scene)
        self.boxes[home], self.targets[home], self._stands[home] = known
        self._scenes[home] = arrangement.scene
        objects = arrangement.objects
        count = len(objects)
        if count > self.max_objects:
            raise ValueError(f"{count} objects do not fit a simulator of {self.max_objects}")
        assets = np.array([ASSET_INDEX[placed.asset] for placed in objects], np.int64)
        self._assets[home] = -1
        self._assets[home, :count] = assets
        self.categories[home] = -1
        self.categories[home, :count] = _CATEGORY[assets]
        self.positions[home] = 0
        self.positions[home, :count] = np.array([placed.position for placed in objects]).reshape(count, 3) / 1000
        self._headings[home, :count] = np.radians(np.array([placed.yaw for placed in objects]) / 1000)
        self.drawers[home] = -1
        for i, placed in enumerate(objects):
            if placed.receptacle.endswith("drawer"):
                self.drawers[home, i] = JOINTS.index(placed.receptacle)
        self.held[home] = -1
        x, z, heading = arrangement.robot
        self.robot[home] = x / 1000, z / 1000, math.radians(heading / 1000)
        self.stage.furnish(home, arrangement.scene, assets)
        for joint, value in enumerate(arrangement.joints):
            self.joints[home, joint] = value / 1000
            if value:
                self.stage.set_joint(home, joint, value / 1000)
        indices = np.arange(count)
        self.stage.place(np.full(count, home), indices, self.positions[home, :count], self._headings[home, :count])

    def go_to(self, homes: NDArray[np.intp], targets: NDArray[np.intp]) -> None:
        """Stand each robot before its target, facing it; a held object comes along."""
        self.robot[homes] = self._stands[homes, targets]
        self._show_held(homes[self.held[homes] >= 0])

    def grasp(self, homes: NDArray[np.intp], objects: NDArray[np.intp]) -> None:
        """Snap an object to each gripper."""
        self.held[homes] = objects
        self.drawers[homes, objects] = -1
        self._show_held(homes)

    def _show_held(self, homes: NDArray[np.intp]) -> None:
        """Put what is held at the gripper, and draw it smaller, around the same middle."""
        if len(homes) == 0:
            return
        objects = self.held[homes].astype(np.intp)
        x, z, heading = self.robot[homes].T
        gripper = np.stack(
            [
                x + GRIPPER_AHEAD * np.cos(heading),
                np.full(len(homes), GRIPPER_HEIGHT),
                z + GRIPPER_AHEAD * np.sin(heading),
            ],
            axis=1,
        )
        self.positions[homes, objects] = gripper
        self._headings[homes, objects] = heading
        assets = self._assets[homes, objects]
        scales = _HELD_SCALE[assets]
        gripper[:, 1] += _HELD_RISE[assets] * scales
        self.stage.place(homes, objects, gripper, heading + HELD_TURN, scales)

    def release(self, homes: NDArray[np.intp], receptacles: NDArray[np.intp], spots: NDArray[np.float64]) -> None:
        """Let go of what is held, upright, at `spots` in each receptacle; it comes to rest on the surface."""
        objects = self.held[homes].astype(np.intp)
        self.held[homes] = -1
        for home, held, receptacle, spot in zip(homes, objects, receptacles, spots, strict=True):
            self.positions[home, held] = self._resting(home, held, receptacle, spot)
            self._headings[home, held] = self.boxes[home, receptacle, 3]
        self.drawers[homes, objects] = _DRAWER_OF[receptacles]
        self.stage.place(homes, objects, self.positions[homes, objects], self._headings[homes, objects])

    def _resting(self, home: int, held: int, receptacle: int, spot: NDArray[np.float64]) -> tuple[float, float, float]:
        """Where an object comes to rest: as near the spot as it touches no other, or where it is farthest from them.

        In a drawer, the place moves with the drawer.
        """
        x, _, z, heading, half_x, _, half_z = self.boxes[home, receptacle]
        cos, sin = math.cos(heading), math.sin(heading)
        if _DRAWER_OF[receptacle] >= 0:
            out = self.joints[home, _DRAWER_OF[receptacle]]
            x, z = x - sin * out, z + cos * out
        half = np.array([half_x, half_z])
        tried = np.clip(spot * _SHRINK * half + _SHIFTS, -_EDGE * half, _EDGE * half)
        across = x + cos * tried[:, 0] - sin * tried[:, 1]
        along = z + sin * tried[:, 0] + cos * tried[:, 1]
        asset = self._assets[home, held]
        surface = _SURFACE_Y[receptacle]
        bottoms = self.positions[home, :, 1] - _REST[self._assets[home]]
        others = (self._assets[home] >= 0) & (np.abs(bottoms - surface) < _LEVEL)
        others[held] = False
        apart = np.hypot(
            across[:, None] - self.positions[home, others, 0], along[:, None] - self.positions[home, others, 2]
        )
        gaps = (apart - _RADIUS[asset] - _RADIUS[self._assets[home, others]]).min(axis=1, initial=math.inf)
        chosen = int(np.argmax(np.minimum(gaps, 0)))
        return across[chosen], surface + _REST[asset], along[chosen]

    def set_joints(self, homes: NDArray[np.intp], joints: NDArray[np.intp], values: NDArray[np.float64]) -> None:
        """Set one joint in each home; what lies in a drawer moves with it."""
        for home, joint, value in zip(homes, joints, values, strict=True):
            moved = value - self.joints[home, joint]
            self.joints[home, joint] = value
            self.stage.set_joint(home, joint, value)
            inside = np.flatnonzero(self.drawers[home] == joint)
            if joint < _DRAWERS and len(inside):
                x, z = self.stage.slide(home)
                self.positions[home, inside] += moved * np.array([x, 0, z])
                self.stage.place(
                    np.full(len(inside), home), inside, self.positions[home, inside], self._headings[home, inside]
                )

    def render(self, size: int, homes: NDArray[np.intp] | None = None) -> NDArray[np.uint8]:
        """The robots' camera pictures, uint8 [N, size, size, 3]; a buffer reused by the next call.

        Raises:
            UsageProblem: there is no such size.
        """
        if size not in self._rasterisers:
            self._rasterisers[size] = Rasteriser(self.homes, size, seen=self._seen)
        drawn = self._last = self._rasterisers[size]
        cameras = robot_cameras(self.robot if homes is None else self.robot[homes])
        drawn.draw(self.stage.rows, self.stage.counts, *cameras, focal(size), homes)
        return drawn.rgb

    def visible(self) -> NDArray[np.int32]:
        """Pixels of each object in the last `render`, int32 [N, M]."""
        return self._seen

    def segmentation(self) -> NDArray[np.int16]:
        """The object at each pixel of the last `render`, int16 [N, size, size]; -1 for none."""
        return np.maximum(self.semantic(), -1)

    def semantic(self) -> NDArray[np.int16]:
        """What each pixel of the last `render` shows, int16 [N, size, size]: objects and fixed things, by the ids of
        `semantics`."""
        return self._last.ids

    def view(
        self, home: int, camera: str = "first_person", width: int = 448, height: int | None = None, samples: int = 1
    ) -> View:
        """One home's colours, depth and ids from a camera; see `views.view`. `visible` stays as it was."""
        rows = self.stage.rows[home, : self.stage.counts[home]]
        return view(self._scenes[home], rows, self.robot[home], camera, width, height, samples)

    def picture(self, home: int, size: int, camera: str) -> NDArray[np.uint8]:
        """One home as people want to see it, edges smoothed, uint8 [size, size, 3]."""
        return self.view(home, camera, size, samples=3).rgb

    def map(self, home: int, size: int) -> NDArray[np.uint8]:
        """A top-down picture of one home with the robot in it, uint8 [size, size, 3]."""
        return self.view(home, "top_down", size).rgb

    def depth(self, size: int) -> NDArray[np.float32]:
        """What `render` draws, as depth: float32 [N, size, size], metres along the camera's axis.

        Where there is nothing, 0. A buffer reused by the next call.

        Raises:
            UsageProblem: there is no such size.
        """
        if size not in self._depths:
            self._depths[size] = Rasteriser(self.homes, size, depth=True)
        drawn = self._depths[size]
        drawn.draw(self.stage.rows, self.stage.counts, *robot_cameras(self.robot), focal(size))
        return drawn.depth

    def close(self) -> None:
        """Give back the picture buffers."""
        self._rasterisers.clear()
        self._depths.clear()
        self._last = None


@lru_cache(maxsize=1024)
def _geometry(scene: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A scene's boxes, targets and standing poses in metres and radians."""
    known = furnished(scene)
    boxes, stands = known.scene.boxes / 1000, known.scene.stands / 1000
    boxes[:, 3] = np.radians(boxes[:, 3])
    stands[:, 2] = np.radians(stands[:, 2])
    return boxes, known.targets / 1000, stands
