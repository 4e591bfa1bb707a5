"""N homes in N processes, each with a habitat-sim of its own, behind the benchmark's batched contract.

State and pictures lie in memory that parent and workers share; commands go to the workers that they concern, which
carry them out at the same time.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.episodes import Arrangement, PlacedObject
from llarp_cli.rearrangement.facts import DRAWER_RECEPTACLES
from llarp_cli.rearrangement.vocabulary import CATEGORIES, CATEGORY_OF, JOINTS, RECEPTACLES, TARGETS
from llarp_habitat.connection import Worker, begun
from llarp_habitat.worker import wire
from llarp_habitat.worker.poses import about_up

if TYPE_CHECKING:
    from llarp_habitat.world import HabitatWorld

LARGEST_PICTURE = 2048
MOST_OBJECTS = 1000
_JOINT_OF = dict(DRAWER_RECEPTACLES)


class HabitatSimulator:
    """See `rearrangement.simulator.Simulator` for attributes and commands.

    Args:
        world: the scenes.
        homes: N.
        max_objects: M.

    Raises:
        UsageProblem: there is no such number of homes or objects, or habitat-sim cannot be used.
    """

    def __init__(self, world: HabitatWorld, homes: int, max_objects: int):
        if homes < 0:
            raise UsageProblem(f"there cannot be {homes} homes", "choose 0 or more")
        if not 0 <= max_objects <= MOST_OBJECTS:
            raise UsageProblem(f"a home cannot have {max_objects} objects", f"choose 0 to {MOST_OBJECTS}")
        self.homes, self.max_objects, self._world = homes, max_objects, world
        # A descriptor is a number of one process: what it stands for is closed once all have it.
        state = (
            ("robot", "float64", (homes, 3)),
            ("positions", "float64", (homes, max_objects, 3)),
            ("joints", "float64", (homes, len(JOINTS))),
            ("drawers", "int16", (homes, max_objects)),
            ("held", "int16", (homes, 1)),
            ("visible", "int32", (homes, max_objects)),
        )
        self._workers: list[Worker] = []
        self._pictures: dict[int, dict[str, NDArray[Any]]] = {}
        self._drawn = 0
        """Size of the last pictures."""
        self._counted = np.ones(homes, bool)
        """Homes whose objects were counted in what was drawn last."""
        try:
            self._workers.extend(begun(world.machine) for _ in range(homes))
            shared = self._share("memory", state)
        except BaseException:
            self.close()
            raise
        self.robot, self.positions, self.joints = shared["robot"], shared["positions"], shared["joints"]
        self.drawers, self._held, self._visible = shared["drawers"], shared["held"], shared["visible"]
        self.held = self._held[:, 0]
        self.drawers[:] = self.held[:] = -1
        self.categories = np.full((homes, max_objects), -1, np.int16)
        self.boxes = np.zeros((homes, len(RECEPTACLES), 7))
        self.targets = np.zeros((homes, len(TARGETS), 3))

    def reset(self, home: int, arrangement: Arrangement) -> None:
        """Put one home into an arrangement, hand empty. The worker does so while the parent goes on."""
        objects = arrangement.objects
        count = len(objects)
        if count > self.max_objects:
            raise ValueError(f"{count} objects do not fit a simulator of {self.max_objects}")
        known = self._world.known(arrangement.scene)
        scene = known.scene
        self._settle([home])
        boxes, stands = scene.boxes / 1000, scene.stands / 1000
        boxes[:, 3], stands[:, 2] = np.radians(boxes[:, 3]), np.radians(stands[:, 2])
        self.boxes[home], self.targets[home] = boxes, known.targets
        self.categories[home] = -1
        self.categories[home, :count] = [CATEGORIES.index(CATEGORY_OF[placed.asset]) for placed in objects]
        self.positions[home] = 0
        self.positions[home, :count] = np.array([placed.position for placed in objects]).reshape(count, 3) / 1000
        self.drawers[home] = -1
        for i, placed in enumerate(objects):
            if placed.receptacle.endswith("drawer"):
                self.drawers[home, i] = JOINTS.index(placed.receptacle)
        self.held[home] = -1
        x, z, heading = arrangement.robot
        self.robot[home] = x / 1000, z / 1000, math.radians(heading / 1000)
        self.joints[home] = np.array(arrangement.joints) / 1000
        self._workers[home].tell(
            "reset",
            spec=self._world.spec(arrangement.scene),
            geometry={
                "floor": known.floor,
                "boxes": boxes.tolist(),
                "surfaces": known.heights.tolist(),
                "drawers": [_JOINT_OF.get(receptacle, -1) for receptacle in range(len(RECEPTACLES))],
                "stands": stands.tolist(),
                "low": list(known.low),
                "high": list(known.high),
            },
            assets=[placed.asset for placed in objects],
            rotations=[list(rotation(placed)) for placed in objects],
        )

    def go_to(self, homes: NDArray[np.intp], targets: NDArray[np.intp]) -> None:
        """Stand each robot before its target, facing it; a held object comes along."""
        self._all(homes, "go_to", [{"target": int(target)} for target in targets])

    def grasp(self, homes: NDArray[np.intp], objects: NDArray[np.intp]) -> None:
        """Snap an object to each gripper."""
        self._all(homes, "grasp", [{"number": int(number)} for number in objects])

    def release(self, homes: NDArray[np.intp], receptacles: NDArray[np.intp], spots: NDArray[np.float64]) -> None:
        """Let go of what is held, upright, at `spots` in each receptacle; it rests on the surface."""
        pairs = zip(receptacles, spots, strict=True)
        self._all(homes, "release", [{"receptacle": int(r), "spot": spot.tolist()} for r, spot in pairs])

    def set_joints(self, homes: NDArray[np.intp], joints: NDArray[np.intp], values: NDArray[np.float64]) -> None:
        """Set one joint in each home; what lies in a drawer moves with it."""
        pairs = zip(joints, values, strict=True)
        self._all(homes, "set_joint", [{"joint": int(joint), "value": float(value)} for joint, value in pairs])

    def render(self, size: int, homes: NDArray[np.intp] | None = None) -> NDArray[np.uint8]:
        """The robots' camera pictures, uint8 [N, size, size, 3]; a buffer reused by the next call.

        Raises:
            UsageProblem: there is no such size.
        """
        pictures = self._sized(size)
        drawn = np.arange(self.homes) if homes is None else homes
        self._all(drawn, "render", [{"size": size}] * len(drawn))
        self._drawn = size
        self._counted[drawn] = False
        return pictures["rgb"]

    def visible(self) -> NDArray[np.int32]:
        """Pixels of each object in the last `render`, int32 [N, M]. They are counted when asked for first."""
        self._count(np.flatnonzero(~self._counted))
        return self._visible

    def segmentation(self) -> NDArray[np.int16]:
        """The object at each pixel of the last `render` of all homes, int16 [N, size, size]; -1 for none."""
        self._count(np.flatnonzero(~self._counted))
        return self._pictures[self._drawn]["ids"]

    def depth(self, size: int) -> NDArray[np.float32]:
        """What `render` draws, as distance along the camera's axis: float32 [N, size, size], metres; 0 for nothing.

        Raises:
            UsageProblem: there is no such size.
        """
        pictures = self._sized(size)
        self._all(np.arange(self.homes), "depth", [{"size": size}] * self.homes)
        return pictures["depth"]

    def map(self, home: int, size: int) -> NDArray[np.uint8]:
        """A top-down picture of one home with the robot in it, uint8 [size, size, 3]."""
        return self.picture(home, size, "top_down")

    def picture(self, home: int, size: int, camera: str) -> NDArray[np.uint8]:
        """A picture of one home for people, uint8 [size, size, 3]."""
        pictures = self._sized(size)
        self._all(np.array([home]), "picture", [{"size": size, "camera": camera}])
        return pictures["picture"][home].copy()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()
        self._workers.clear()

    def _all(self, homes: NDArray[np.intp], do: str, arguments: list[dict[str, Any]]) -> None:
        """One command in each of some homes, at the same time."""
        self._settle(homes)
        for home, given in zip(homes, arguments, strict=True):
            self._workers[home].tell(do, **given)
        self._settle(homes)

    def _settle(self, homes: Any) -> None:
        """Wait until workers have done all that they were told."""
        for home in homes:
            while self._workers[home].answers:
                self._workers[home].answer()

    def _count(self, homes: NDArray[np.intp]) -> None:
        if self._drawn and len(homes):
            self._all(homes, "ids", [{"size": self._drawn}] * len(homes))
        self._counted[homes] = True

    def _sized(self, size: int) -> dict[str, NDArray[Any]]:
        """The pictures of a size."""
        if not 1 <= size <= LARGEST_PICTURE:
            raise UsageProblem(f"a picture cannot be {size} pixels wide", f"choose 1 to {LARGEST_PICTURE}")
        if size not in self._pictures:
            square = (self.homes, size, size)
            arrays = (
                ("rgb", "uint8", (*square, 3)),
                ("ids", "int16", square),
                ("depth", "float32", square),
                ("picture", "uint8", (*square, 3)),
            )
            self._pictures[size] = self._share("pictures", arrays, size=size)
        return self._pictures[size]

    def _share(self, do: str, arrays: wire.Arrays, **arguments: Any) -> dict[str, NDArray[Any]]:
        """A memory that all workers have, each its own row."""
        descriptor = wire.new_memory(arrays)
        try:
            self._settle(range(len(self._workers)))
            for row, worker in enumerate(self._workers):
                given = {"row": row} if do == "memory" else {}
                worker.share(do, descriptor, arrays, **given, **arguments)
            return wire.views(descriptor, arrays)
        finally:
            os.close(descriptor)


def rotation(placed: PlacedObject) -> tuple[float, float, float, float]:
    """How an object is turned at the start: the quaternion that its episode stores, or upright with its heading."""
    if placed.rotation is not None:
        turned = np.array(placed.rotation, float)
        return tuple((turned / np.linalg.norm(turned)).tolist())
    return about_up(math.radians(placed.yaw / 1000))
