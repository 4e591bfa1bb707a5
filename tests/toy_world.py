"""A home of points and boxes for tests: instantaneous, no graphics beyond flat squares.

Its pictures are a 7×7 board: square c < 33 is green where category c is in view and red where it is
held, square 33 + r is blue where the robot went to receptacle r last, square 44 + j is blue where it
went to handle j last and green where joint j is open.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.facts import within
from llarp_cli.rearrangement.simulator import AssetSize, Scene
from llarp_cli.rearrangement.vocabulary import CATEGORIES, CATEGORY_OF, JOINTS, RECEPTACLES, SURFACES, TARGETS

SIZE = AssetSize(radius=40, rest_height=40, height=80)
STAND_OFF = 700
KITCHEN = {
    # name: x of the centre, y of the box's centre, half extents (mm); all at z = 0 and facing +z
    "left counter": (1000, 1010, (450, 150, 250)),
    "sink": (0, 860, (200, 150, 200)),
    "right counter": (-1000, 1010, (450, 150, 250)),
    "fridge": (2400, 1000, (300, 400, 300)),
    "left drawer": (1000, 650, (250, 90, 200)),
    "right drawer": (-1000, 650, (250, 90, 200)),
}
MOVABLE = {"chair": 450, "black table": 760, "brown table": 930, "TV stand": 630, "sofa": 400}
"""Height of the seat or top, mm."""
PLACES = ((-3500, 3500), (0, 4500), (3500, 3500), (4500, 7000), (-3500, 7000))
HANDLES = {
    # joint: x, y, z of the handle (mm)
    "left drawer": (1000, 650, 300),
    "middle drawer": (100, 650, 300),
    "right drawer": (-900, 650, 300),
    "bottom drawer": (-1000, 300, 300),
    "fridge": (2200, 1000, 350),
}


def _ahead(x: float, z: float, heading: int, distance: float) -> tuple[int, int]:
    """The point `distance` along local +z of something at x, z whose local x axis has `heading` (mdeg)."""
    angle = np.radians(heading / 1000)
    return round(x - distance * np.sin(angle)), round(z + distance * np.cos(angle))


def _stand(x: float, z: float, heading: int) -> tuple[int, int, int]:
    x, z = _ahead(x, z, heading, STAND_OFF)
    return x, z, (heading - 90_000) % 360_000


@lru_cache
def toy_scene(name: str) -> Scene:
    kind, _, number = name.partition("-")
    if kind not in ("toy", "toytest") or not number.isdigit():
        raise UsageProblem(f"unknown scene '{name}'", "toy scenes are called toy-0, toy-1, ...")
    index = int(number) + (5000 if kind == "toytest" else 0)
    boxes = np.zeros((len(RECEPTACLES), 7), np.int64)
    for receptacle, (x, y, half) in KITCHEN.items():
        boxes[RECEPTACLES.index(receptacle)] = x, y, 0, 0, *half
    for i, (receptacle, top) in enumerate(MOVABLE.items()):
        x, z = PLACES[(i + index) % len(PLACES)]
        half = (250, 150, 250) if receptacle == "chair" else (450, 150, 250)
        boxes[RECEPTACLES.index(receptacle)] = x, top + 150, z, (index * 77 + i * 131) % 360 * 1000, *half
    surfaces = np.zeros((len(SURFACES), 7), np.int64)
    for i, receptacle in enumerate(SURFACES):
        x, y, z, heading, half_x, half_y, half_z = boxes[RECEPTACLES.index(receptacle)]
        surfaces[i] = x, y - half_y, z, heading, half_x - 40, half_z - 40, STAND_OFF
    handles = [(*_ahead(x, z - 300, 0, STAND_OFF), 270_000) for x, _, z in HANDLES.values()]
    stands = np.array([*handles, *(_stand(box[0], box[2], box[3]) for box in boxes)], np.int64)
    starts = np.array([(0, 2000), (1500, 2500), (-1500, 5500), (2000, 6000)], np.int64)
    return Scene(name, boxes, surfaces, stands, starts)


class ToySimulator:
    """Fulfils `Simulator`. Categories in `hidden` are never seen, though they can be picked."""

    def __init__(self, homes: int, max_objects: int, hidden: frozenset[str] = frozenset()):
        self.homes, self.max_objects = homes, max_objects
        self.robot = np.zeros((homes, 3))
        self.positions = np.zeros((homes, max_objects, 3))
        self.categories = np.full((homes, max_objects), -1, np.int16)
        self.drawers = np.full((homes, max_objects), -1, np.int16)
        self.joints = np.zeros((homes, len(JOINTS)))
        self.held = np.full(homes, -1, np.int16)
        self.boxes = np.zeros((homes, len(RECEPTACLES), 7))
        self.targets = np.zeros((homes, len(TARGETS), 3))
        self.facing = np.full(homes, -1)
        self._stands = np.zeros((homes, len(TARGETS), 3))
        self._hidden = np.array([c in hidden for c in CATEGORIES] + [False])
        self._seen = np.zeros((homes, max_objects), np.int32)
        self._pictures = np.zeros((homes, 0, 0, 3), np.uint8)

    def reset(self, home, arrangement):
        scene = toy_scene(arrangement.scene)
        boxes = scene.boxes / 1000
        boxes[:, 3] = np.radians(boxes[:, 3])
        self.boxes[home] = boxes
        self.targets[home] = [*(np.array(p) / 1000 for p in HANDLES.values()), *boxes[:, :3]]
        self._stands[home] = scene.stands / 1000
        self._stands[home, :, 2] = np.radians(self._stands[home, :, 2])
        x, z, heading = arrangement.robot
        self.robot[home] = x / 1000, z / 1000, np.radians(heading / 1000)
        self.joints[home] = np.array(arrangement.joints) / 1000
        count = len(arrangement.objects)
        self.positions[home, :count] = np.array([o.position for o in arrangement.objects]).reshape(count, 3) / 1000
        self.categories[home] = -1
        self.categories[home, :count] = [CATEGORIES.index(CATEGORY_OF[o.asset]) for o in arrangement.objects]
        self.drawers[home] = -1
        self.held[home] = -1
        self.facing[home] = -1

    def go_to(self, homes, targets):
        self.robot[homes] = self._stands[homes, targets]
        self.facing[homes] = targets
        self._carry(homes)

    def grasp(self, homes, objects):
        self.held[homes] = objects
        self.drawers[homes, objects] = -1
        self._carry(homes)

    def _carry(self, homes):
        homes = homes[self.held[homes] >= 0]
        heading = self.robot[homes, 2]
        gripper = np.stack([np.cos(heading) * 0.4, np.zeros(len(homes)), np.sin(heading) * 0.4], 1)
        gripper += np.stack([self.robot[homes, 0], np.full(len(homes), 0.9), self.robot[homes, 1]], 1)
        self.positions[homes, self.held[homes]] = gripper

    def release(self, homes, receptacles, spots):
        box = self.boxes[homes, receptacles]
        cos, sin = np.cos(box[:, 3]), np.sin(box[:, 3])
        along_x, along_z = 0.8 * spots[:, 0] * box[:, 4], 0.8 * spots[:, 1] * box[:, 6]
        joint = np.select([receptacles == 9, receptacles == 10], [0, 2], -1)
        along_z += np.where(joint >= 0, self.joints[homes, joint], 0.0)
        held = self.held[homes]
        self.positions[homes, held, 0] = box[:, 0] + along_x * cos - along_z * sin
        self.positions[homes, held, 1] = box[:, 1] - box[:, 5] + SIZE.rest_height / 1000
        self.positions[homes, held, 2] = box[:, 2] + along_x * sin + along_z * cos
        self.drawers[homes, held] = joint
        self.held[homes] = -1

    def set_joints(self, homes, joints, values):
        for home, joint, value in zip(homes, joints, values, strict=True):
            lying = self.drawers[home] == joint
            self.positions[home, lying, 2] += value - self.joints[home, joint]
            self.joints[home, joint] = value

    def render(self, size, homes=None):
        if self._pictures.shape[1] != size:
            self._pictures = np.zeros((self.homes, size, size, 3), np.uint8)
        rows = np.arange(self.homes) if homes is None else homes
        lying = np.take_along_axis(self.joints[rows], np.maximum(self.drawers[rows], 0), axis=1)
        shut = (self.drawers[rows] >= 0) & (lying < 0.35)
        seen = within(self.robot[rows], self.positions[rows], 2.5, 0.7) & ~shut & (self.categories[rows] >= 0)
        seen &= ~self._hidden[self.categories[rows]]
        self._seen[rows] = np.where(seen, max(1, 40 * size * size // 128**2), 0)

        board = np.zeros((len(rows), 49, 3), np.uint8)
        n, m = np.nonzero(seen)
        board[n, self.categories[rows][n, m], 1] = 200
        n = np.flatnonzero(self.held[rows] >= 0)
        board[n, self.categories[rows[n], self.held[rows[n]]]] = 220, 0, 0
        n = np.flatnonzero(self.facing[rows] >= 0)
        facing = self.facing[rows[n]]
        board[n, np.where(facing < 5, 44 + facing, 28 + facing), 2] = 240
        board[:, 44:, 1] = np.where(self.joints[rows] > 0.3, 200, 0)
        square = np.arange(size) * 7 // size
        self._pictures[rows] = board.reshape(-1, 7, 7, 3).take(square, axis=2).take(square, axis=1)
        return self._pictures

    def visible(self):
        return self._seen

    def depth(self, size):
        return np.full((self.homes, size, size), 2.5, np.float32)

    def picture(self, home, size, camera):
        return self.map(home, size) if camera == "top_down" else self.render(size)[home].copy()

    def map(self, home, size):
        picture = np.zeros((size, size, 3), np.uint8)
        x, z = np.clip((self.robot[home, :2] + 6) / 16 * size, 0, size - 1).astype(int)
        picture[z, x] = 255
        return picture

    def close(self):
        pass


class ToyWorld:
    """Fulfils `World`."""

    name = "toy"
    version = "toy-1"
    vision = "cnn"

    def __init__(self, hidden: frozenset[str] = frozenset()):
        self.sizes = {asset: SIZE for asset in CATEGORY_OF}
        self._hidden = hidden

    def scene(self, name):
        return toy_scene(name)

    def train_scene(self, index):
        return f"toy-{index}"

    def test_scenes(self):
        return tuple(f"toytest-{i}" for i in range(10))

    def simulator(self, homes, max_objects):
        return ToySimulator(homes, max_objects, self._hidden)
