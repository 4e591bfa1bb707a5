"""The narrow contract between the benchmark and a place to act in.

Frame: metres, right-handed, +y up, floor at y = 0. A heading is an angle in radians from +x toward
+z, so that facing θ means looking along (cos θ, 0, sin θ).

A `World` knows scenes and makes simulators; a `Simulator` holds N homes at once. Skills,
predicates, reward and subgoals live once, vectorised, above this contract. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from llarp_cli.rearrangement.episodes import Arrangement


@dataclass(frozen=True)
class AssetSize:
    """What placing an asset needs to know.

    Attributes:
        radius: of its footprint, millimetres.
        rest_height: of its origin above the surface it stands on, millimetres.
        height: of its top above the surface, millimetres.
    """

    radius: int
    rest_height: int
    height: int


@dataclass(frozen=True)
class Scene:
    """The geometry the benchmark needs of one furnished home. Integers: millimetres, millidegrees.

    Attributes:
        name: e.g. "home-17".
        boxes: int [11, 7], per receptacle the oriented box in which an object's origin counts as on
            (or in) it: centre x, y, z; heading of its local x axis; half extents along local x, y, z.
        surfaces: int [7, 7], per open-air receptacle (`vocabulary.SURFACES`) the part of its top on which
            objects start: centre x, top y, z; heading of the local x axis; half extents along local x and
            z; the stand-off of the robot along local +z. Everything on it is within reach, and in view
            where nothing stands before it, from the receptacle's standing pose.
        stands: int [16, 3], per navigation target the robot pose after `go_to`: x, z, heading.
        starts: int [S, 2], free positions x, z where a robot may start.
        absent: those of `vocabulary.TARGETS` that the scene does not have, or that the robot cannot come near to.
            Boxes and targets of what is not there are out of reach from everywhere; going to one leads to the first of
            `starts`. A surface without extents in `surfaces` has no room for objects at the start.
        floor: the height of the ground.
    """

    name: str
    boxes: NDArray[np.int64]
    surfaces: NDArray[np.int64]
    stands: NDArray[np.int64]
    starts: NDArray[np.int64]
    absent: frozenset[str] = frozenset()
    floor: int = 0


class Simulator(Protocol):
    """N homes in lockstep. Arrays are live views: read them, never write them.

    Attributes:
        homes: N.
        max_objects: M; objects beyond an arrangement's own are padding.
        robot: float64 [N, 3], x, z (metres), heading (radians).
        positions: float64 [N, M, 3], object origins, metres; a held object's is at the gripper.
        categories: int16 [N, M], index into `vocabulary.CATEGORIES`, -1 for padding.
        drawers: int16 [N, M], the joint (index into JOINTS) of the drawer an object lies in, -1 for none.
        joints: float64 [N, 5], `vocabulary.JOINTS` order, metres and radians.
        held: int16 [N], index of the held object, -1 for none.
        boxes: float64 [N, 11, 7], `Scene.boxes` in metres and radians; fixed at reset (drawers closed).
        targets: float64 [N, 16, 3], position of each of `vocabulary.TARGETS`; fixed at reset.
    """

    homes: int
    max_objects: int
    robot: NDArray[np.float64]
    positions: NDArray[np.float64]
    categories: NDArray[np.int16]
    drawers: NDArray[np.int16]
    joints: NDArray[np.float64]
    held: NDArray[np.int16]
    boxes: NDArray[np.float64]
    targets: NDArray[np.float64]

    def reset(self, home: int, arrangement: Arrangement) -> None:
        """Put one home into an arrangement, hand empty."""

    def go_to(self, homes: NDArray[np.intp], targets: NDArray[np.intp]) -> None:
        """Stand each robot before its target (index into TARGETS), facing it; a held object comes along."""

    def grasp(self, homes: NDArray[np.intp], objects: NDArray[np.intp]) -> None:
        """Snap an object to each gripper."""

    def release(self, homes: NDArray[np.intp], receptacles: NDArray[np.intp], spots: NDArray[np.float64]) -> None:
        """Let go of what is held, upright, at `spots` [n, 2], each in [-1, 1]: the place in the receptacle's
        box along its local x and z, shrunk to 0.8 of the box; it comes to rest on the surface."""

    def set_joints(self, homes: NDArray[np.intp], joints: NDArray[np.intp], values: NDArray[np.float64]) -> None:
        """Set one joint in each home; what lies in a drawer moves with it."""

    def render(self, size: int, homes: NDArray[np.intp] | None = None) -> NDArray[np.uint8]:
        """The robots' camera pictures, uint8 [N, size, size, 3]; a buffer reused by the next call.

        Given `homes`, only those are drawn (and counted in `visible`); the other rows are left as they were.
        Camera: 0.25 m ahead of the base, 1.2 m high, pitched down about 21.8°, hfov 90°.
        """

    def visible(self) -> NDArray[np.int32]:
        """Pixels of each object in the last `render`, int32 [N, M]."""

    def depth(self, size: int) -> NDArray[np.float32]:
        """What `render` draws, as distance along the camera's axis: float32 [N, size, size], metres; 0 for nothing."""

    def segmentation(self) -> NDArray[np.int16]:
        """The object at each pixel of the last `render` of all homes, int16 [N, size, size]; -1 for none."""

    def map(self, home: int, size: int) -> NDArray[np.uint8]:
        """A top-down picture of one home with the robot in it, uint8 [size, size, 3]."""

    def picture(self, home: int, size: int, camera: str) -> NDArray[np.uint8]:
        """A picture of one home for people, its edges smoothed where that is possible, uint8 [size, size, 3].

        Camera: "first_person", what the robot sees; "third_person", the robot at work; "top_down", the home from above.
        """

    def close(self) -> None:
        """Give back what the simulator holds."""


class World(Protocol):
    """A place to act in: what an entry point of `llarp.environments` names.

    Attributes:
        name: e.g. "home".
        version: of scenes, renderer and physics together; recorded beside every trained policy.
        sizes: asset → AssetSize.
        vision: the vision encoder a recipe gets when it names none, e.g. "home".

    One whose scenes can be chosen has `at(scenes) -> World` besides, which gives `--env name:scenes`.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def sizes(self) -> Mapping[str, AssetSize]: ...
    @property
    def vision(self) -> str: ...

    def scene(self, name: str) -> Scene:
        """The geometry of a scene; the same name gives the same scene.

        Raises:
            UsageProblem: there is no such scene.
        """

    def train_scene(self, index: int) -> str:
        """The name of the index-th training scene (as many as asked)."""

    def test_scenes(self) -> tuple[str, ...]:
        """The names of the scenes kept for evaluation; never training scenes."""

    def simulator(self, homes: int, max_objects: int) -> Simulator:
        """N homes, none reset yet."""


@runtime_checkable
class Demanding(Protocol):
    """A world that needs more than its package: other software, files, a device. `llarp doctor` asks it."""

    def problems(self, thorough: bool) -> list[tuple[str, str]]:
        """What keeps it from being used: what is wrong, and what to type. Empty where all is well.

        Args:
            thorough: look at everything, even if that takes seconds.
        """
