"""One home being acted in: poses are set, never simulated, and read back from the simulator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .engine import DEPTH, FIRST_ID, IDS, NOWHERE, PICTURE, RGB, SHOWN, Engine
from .poses import (
    AHEAD,
    HEIGHT,
    HELD_AHEAD,
    HELD_HEIGHT,
    LOOKS_AT,
    WATCHES,
    WATCHES_FROM,
    WATCHING_ANGLE,
    about_up,
    looking,
    point,
)
from .trouble import Trouble

SHRINK, EDGE = 0.8, 0.97
"""Objects are let go of within this share of a receptacle's box, and moved aside no further than within that."""
LEVEL = 0.05
"""Objects stand on the same surface when their lowest points are no further apart, metres."""
SHIFTS = np.array([[0.03 * math.sqrt(k) * f(2.4 * k) for f in (math.cos, math.sin)] for k in range(200)])
"""Where an object goes whose place is taken, metres: an outward spiral."""


class Home:
    """A scene with an arrangement in it.

    Args:
        engine: the simulator.
        state: this home's rows of the memory shared with the parent, which writes them before a reset and only reads
            them afterwards: robot [3], positions [M, 3], joints [J], drawers [M], held [1].
    """

    def __init__(self, engine: Engine, state: dict[str, np.ndarray]):
        self.engine, self.state = engine, state
        self._assets: list[str] = []
        self._rotations: list[Any] = []
        self._objects: list[Any] = []
        self._links: list[tuple[Any, int, dict] | None] = []
        self._geometry: dict[str, np.ndarray] = {}
        self._rest = self._radius = np.zeros(0)

    def reset(self, spec: dict, geometry: dict, assets: list[str], rotations: list[Any]) -> None:
        """Load the scene if it is another one, and put everything where the state says.

        Args:
            spec: of the scene.
            geometry: floor, boxes [R, 7], surfaces [R], drawers [R] (the joint that moves a receptacle, -1 for none),
                stands [T, 3], low and high [2]; metres and radians.
            assets: of the objects.
            rotations: theirs, x, y, z, w.
        """
        self._geometry = {name: np.array(value, float) for name, value in geometry.items()}
        self._assets, self._rotations = assets, list(rotations)
        self._put(spec, {})

    def _put(self, spec: dict, sizes: dict[str, int]) -> None:
        engine = self.engine
        if engine.load(spec, sizes) or not self._links:
            self._links = [self._link(given) for given in spec["joint_order"]]
        self._closed = []
        for joint, value in enumerate(self.state["joints"].tolist()):
            self._set(joint, 0.0)
            self._closed.append(self._place_of(joint))
            self._set(joint, value)
        self._objects = engine.objects(self._assets)
        extents = [(np.array(one.aabb.min, float), np.array(one.aabb.max, float)) for one in self._objects]
        self._rest = np.array([-low[1] for low, _ in extents])
        self._radius = np.array([max(abs(low[0]), high[0], abs(low[2]), high[2]) for low, high in extents])
        for number, one in enumerate(self._objects):
            engine.pose(one, self.state["positions"][number], self._rotations[number])

    def go_to(self, target: int) -> None:
        """Stand before a target; what is held comes along."""
        self.state["robot"][:] = self._geometry["stands"][target]
        self._carry()

    def grasp(self, number: int) -> None:
        """Snap an object to the gripper."""
        self.state["held"][0] = number
        self.state["drawers"][number] = -1
        self._carry()

    def release(self, receptacle: int, spot: list[float]) -> None:
        """Let go of what is held at a place in a receptacle's box, or as near to it as nothing else stands."""
        state, box = self.state, self._geometry["boxes"][receptacle]
        held = int(state["held"][0])
        state["held"][0] = -1
        joint = int(self._geometry["drawers"][receptacle])
        out = self._place_of(joint) - self._closed[joint] if joint >= 0 else np.zeros(3)
        middle = box[0] + float(out[0]), box[2] + float(out[2])
        surface = float(self._geometry["surfaces"][receptacle])
        x, z = self._free(held, box, middle, surface, spot)
        self._move(held, [x, surface + self._rest[held], z], about_up(box[3]))
        state["drawers"][held] = joint

    def set_joint(self, joint: int, value: float) -> None:
        """Set a joint; what lies in a drawer moves with its link."""
        before = self._place_of(joint)
        self._set(joint, value)
        self.state["joints"][joint] = value
        moved = self._place_of(joint) - before
        for number in np.flatnonzero(self.state["drawers"] == joint):
            self._move(number, self.state["positions"][number] + moved, self._rotations[number])

    def render(self, size: int, out: np.ndarray) -> None:
        """Draw what the robot sees, uint8 [S, S, 3]."""
        self._sized(RGB, size)
        out[:] = self.engine.draw(RGB, *self._eye())[..., :3]

    def ids(self, size: int, out: np.ndarray, visible: np.ndarray) -> None:
        """The object at each pixel of the same, int16 [S, S], -1 for none; and how many pixels of each, int32 [M]."""
        self._sized(IDS, size)
        numbers = self.engine.draw(IDS, *self._eye()).astype(np.int64) - FIRST_ID
        numbers[(numbers < 0) | (numbers >= len(self._objects))] = -1
        out[:] = numbers
        visible[:] = np.bincount(numbers.ravel() + 1, minlength=len(visible) + 1)[1:]

    def depth(self, size: int, out: np.ndarray) -> None:
        """The same as distance along the camera's axis, float32 [S, S], metres; 0 for nothing."""
        self._sized(DEPTH, size)
        out[:] = self.engine.draw(DEPTH, *self._eye())

    def picture(self, size: int, camera: str, out: np.ndarray) -> None:
        """A picture for people: what the robot sees, the robot at work, or the home from above; uint8 [S, S, 3]."""
        if camera == "first_person":
            self._sized(SHOWN, size)
            out[:] = self.engine.draw(SHOWN, *self._eye())[..., :3]
            return
        self._sized(PICTURE, size)
        floor, robot = float(self._geometry["floor"]), self.state["robot"]
        if camera == "third_person":
            eye, at = point(robot, WATCHES_FROM, floor), point(robot, WATCHES, floor)
        else:
            low, high = self._geometry["low"], self._geometry["high"]
            across = float((high - low).max()) + 1.0
            up = across / 2 / math.tan(math.radians(WATCHING_ANGLE / 2))
            at = np.array([*(low + high) / 2, 0.0])[[0, 2, 1]]
            at[1] = floor
            eye = at + [0.0, up, 0.0]
        body = self.engine.robot()
        if body is not None:
            self.engine.pose(body, [robot[0], floor, robot[1]], about_up(robot[2]))
        out[:] = self.engine.draw(PICTURE, eye, looking(eye, at))[..., :3]
        if body is not None:
            self.engine.pose(body, [0.0, NOWHERE, 0.0], about_up(0.0))

    def _eye(self) -> tuple[np.ndarray, Any]:
        floor, robot = float(self._geometry["floor"]), self.state["robot"]
        eye = point(robot, (AHEAD, HEIGHT, 0.0), floor)
        return eye, looking(eye, point(robot, (*LOOKS_AT, 0.0), floor))

    def _sized(self, camera: str, size: int) -> None:
        """Make a camera draw pictures of a size. That takes a new simulator, in which everything is put back."""
        if self.engine.sizes[camera] != size:
            sizes = {RGB: size, IDS: size} if camera in (RGB, IDS) else {camera: size}
            self._put(self.engine.spec, sizes)

    def _free(
        self, held: int, box: np.ndarray, middle: tuple[float, float], surface: float, spot: list[float]
    ) -> tuple[float, float]:
        """The place of a box nearest to a spot where an object touches no other, or is farthest from the others."""
        half = box[[4, 6]]
        cos, sin = math.cos(box[3]), math.sin(box[3])
        tried = np.clip(np.array(spot) * SHRINK * half + SHIFTS, -EDGE * half, EDGE * half)
        x = middle[0] + cos * tried[:, 0] - sin * tried[:, 1]
        z = middle[1] + sin * tried[:, 0] + cos * tried[:, 1]
        positions = self.state["positions"][: len(self._objects)]
        others = np.abs(positions[:, 1] - self._rest - surface) < LEVEL
        others[held] = False
        apart = np.hypot(x[:, None] - positions[others, 0], z[:, None] - positions[others, 2])
        gaps = (apart - self._radius[held] - self._radius[others]).min(axis=1, initial=math.inf)
        chosen = int(np.argmax(np.minimum(gaps, 0)))
        return float(x[chosen]), float(z[chosen])

    def _carry(self) -> None:
        held = int(self.state["held"][0])
        if held >= 0:
            robot = self.state["robot"]
            place = point(robot, (HELD_AHEAD, HELD_HEIGHT, 0.0), float(self._geometry["floor"]))
            self._move(held, place, about_up(robot[2]))

    def _move(self, number: int, position: Any, rotation: Any) -> None:
        """Put an object somewhere, and read where the simulator has it now."""
        one = self._objects[number]
        self.engine.pose(one, position, rotation)
        self._rotations[number] = rotation
        self.state["positions"][number] = np.array(one.translation, float)

    def _link(self, given: dict | None) -> tuple[Any, int, dict] | None:
        if given is None:
            return None
        one = self.engine.articulated(given["object"])
        if one is None:
            raise Trouble("no object", given["object"])
        link = self.engine.link(one, given["link"])
        if link is None:
            raise Trouble("no link", f"{given['link']} of {given['object']}")
        return one, link, given

    def _set(self, joint: int, value: float) -> None:
        """Set a joint: 0 is closed, what the benchmark calls open is as far as the description says."""
        if self._links[joint] is not None:
            one, link, given = self._links[joint]
            self.engine.joint(one, link, given["closed"] + value / given["opened"] * (given["open"] - given["closed"]))

    def _place_of(self, joint: int) -> np.ndarray:
        """Where the link that a joint moves is."""
        if self._links[joint] is None:
            return np.zeros(3)
        one, link, _ = self._links[joint]
        return self.engine.frame(one.get_link_scene_node(link))[0]
