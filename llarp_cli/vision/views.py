"""Labelled pictures of a home, from the places skills lead to: what the vision encoder learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from llarp_cli.rearrangement.arrangements import arrange
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episodes import Task
from llarp_cli.rearrangement.facts import Facts
from llarp_cli.rearrangement.simulator import Simulator, World
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, OPEN_JOINT, RECEPTACLES, SURFACES, TARGETS
from llarp_cli.vision.home import CELL

VISIBLE_PIXELS = 12
"""An object with fewer pixels than this at 128 x 128 is neither there nor absent: it is left out of the loss."""

CELL_PIXELS = 8
"""A category with so many pixels in a cell is there."""

NEARER = 450
"""Millimetres by which the robot stands nearer, at most, where there is no room for the usual standing pose."""

NOTHING_ASKED = Task(family="none", slots={}, instruction="", wording="", required=(), goal={})


@dataclass(frozen=True)
class Views:
    """N pictures and what is true of them.

    Attributes:
        rgb: uint8 [N, H, W, 3].
        in_reach: float32 [N, 33], 1 where an instance of the category is visible and could be picked,
            0 where none is within reach, -1 where one is but hardly visible.
        largest: int32 [N, 33], pixels (at 128 x 128) of the most visible instance in reach.
        distance: float32 [N, 33], metres to that instance, infinite where there is none.
        faced: float32 [N, 33], as `in_reach` but of what is on (or in) the receptacle faced; -1 throughout where
            the robot stands before none.
        faced_largest: int32 [N, 33], as `largest`, of `faced`.
        held: int64 [N], the held category, 33 for none.
        stands_at: float32 [N, 16], 1 for each navigation target whose standing pose the robot is in, or straight
            ahead of.
        cell_pixels: int64 [N, G, G, 33], pixels of the category in each of the cells of 16 pixels.
        opened: float32 [N, 5], 1 open, 0 closed, -1 where the joint is not at hand.
    """

    rgb: NDArray[np.uint8]
    in_reach: NDArray[np.float32]
    largest: NDArray[np.int32]
    distance: NDArray[np.float32]
    faced: NDArray[np.float32]
    faced_largest: NDArray[np.int32]
    held: NDArray[np.int64]
    stands_at: NDArray[np.float32]
    cell_pixels: NDArray[np.int64]
    opened: NDArray[np.float32]

    @property
    def cells(self) -> NDArray[np.float32]:
        """float32 [N, G, G, 33], 1 where the category has enough pixels in the cell, 0 where none, -1 between."""
        return np.where(self.cell_pixels >= CELL_PIXELS, 1, np.where(self.cell_pixels > 0, -1, 0)).astype(np.float32)


class ViewSampler:
    """Robots that wander through homes, pick things up, drop them elsewhere and open what opens.

    Args:
        world: where.
        scenes: names of the scenes to wander in.
        homes: pictures per round.
        image_size: side, pixels.
        objects: in each home.
        seed: same seed, same pictures.
        nearer: share of rearrangements after which the robot does not begin at a starting place but somewhere
            between a standing pose and what it faces. Few procedural homes are as cramped as some released ones are.
        rounds_per_home: rounds before a home is rearranged.
    """

    def __init__(
        self,
        world: World,
        scenes: Sequence[str],
        homes: int,
        image_size: int,
        objects: int,
        seed: int,
        nearer: float = 0.0,
        rounds_per_home: int = 16,
    ):
        self._world = world
        self._scenes = scenes
        self._image_size = image_size
        self._objects = objects
        self._seed = seed
        self._nearer = nearer
        self._rounds_per_home = rounds_per_home
        self._simulator: Simulator = world.simulator(homes, objects)
        self._facts = Facts(self._simulator)
        self._stands = np.zeros((homes, len(TARGETS), 3))
        self._advanced = np.zeros(homes)  # metres ahead of a standing pose
        self._random = np.random.default_rng(seed)
        self._round = 0
        self._arranged = 0

    def sample(self) -> Views:
        """The next round: one picture per home."""
        simulator = self._simulator
        homes = np.arange(simulator.homes)
        due = homes if self._round == 0 else homes[homes % self._rounds_per_home == self._round % self._rounds_per_home]
        for home in due:
            self._rearrange(int(home))
        self._round += 1
        self._change_something(np.setdiff1d(homes, due))
        return self._look()

    def _rearrange(self, home: int) -> None:
        draws = Draws("views", self._seed, self._arranged)
        self._arranged += 1
        scene = self._world.scene(self._scenes[draws.below(len(self._scenes))])
        arrangement = arrange(NOTHING_ASKED, scene, self._world.sizes, self._objects, draws)
        self._advanced[home] = 0
        if draws.below(100) < 100 * self._nearer:
            x, z, heading = scene.stands[draws.below(len(TARGETS))].tolist()
            ahead = draws.below(NEARER)
            self._advanced[home] = ahead / 1000
            angle = np.deg2rad(heading / 1000)
            robot = (x + round(ahead * np.cos(angle)), z + round(ahead * np.sin(angle)), heading)
            arrangement = replace(arrangement, robot=robot)
        self._simulator.reset(home, arrangement)
        self._stands[home] = scene.stands * (1e-3, 1e-3, np.deg2rad(1e-3))

    def _change_something(self, homes: NDArray[np.intp]) -> None:
        simulator, random = self._simulator, self._random
        chance = random.random(len(homes))
        holding = simulator.held[homes] >= 0
        dropping = homes[holding & (chance < 0.5)]
        simulator.release(
            dropping,
            random.choice([RECEPTACLES.index(name) for name in SURFACES], len(dropping)),
            random.uniform(-1, 1, (len(dropping), 2)),
        )
        grasping = homes[~holding & (chance < 0.5)]
        present = (simulator.categories[grasping] >= 0).sum(1)
        simulator.grasp(grasping, (random.random(len(grasping)) * present).astype(np.intp))
        self._advanced[homes] = 0
        simulator.go_to(homes, random.integers(len(TARGETS), size=len(homes)))
        moved = homes[random.random(len(homes)) < 0.2]
        joints = random.integers(len(OPEN_JOINT), size=len(moved))
        opened = random.random(len(moved)) < 0.5
        simulator.set_joints(moved, joints, np.where(opened, np.take(OPEN_JOINT, joints), 0.0))

    def _look(self) -> Views:
        simulator, facts = self._simulator, self._facts
        everywhere = np.arange(simulator.homes)
        rgb = simulator.render(self._image_size).copy()
        facts.refresh(everywhere, everywhere)
        stood = simulator.robot.copy()
        stood[:, 0] -= self._advanced * np.cos(stood[:, 2])
        stood[:, 1] -= self._advanced * np.sin(stood[:, 2])
        off = self._stands - stood[:, None]
        turned = np.abs((off[..., 2] + np.pi) % (2 * np.pi) - np.pi)
        stands_at = (np.hypot(off[..., 0], off[..., 1]) < 0.1) & (turned < np.deg2rad(3))
        faced = stands_at[:, len(JOINTS) :]
        in_reach, largest, distance = self._by_category(facts.at_object)
        on_faced, faced_largest, _ = self._by_category((facts.on & faced[:, None]).any(2))
        held = np.where(simulator.held >= 0, simulator.categories[everywhere, simulator.held], len(CATEGORIES)).astype(
            np.int64
        )
        handles = facts.at_target[:, : len(JOINTS)] & stands_at[:, : len(JOINTS)]
        return Views(
            rgb=rgb,
            in_reach=in_reach,
            largest=largest,
            distance=distance,
            faced=np.where(faced.any(1)[:, None], on_faced, -1).astype(np.float32),
            faced_largest=faced_largest,
            held=held,
            stands_at=stands_at.astype(np.float32),
            cell_pixels=self._cell_pixels(),
            opened=np.where(handles, simulator.joints > 0.5 * np.array(OPEN_JOINT), -1).astype(np.float32),
        )

    def _by_category(
        self, chosen: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
        """Labels, pixels of the most visible instance and metres to it [N, 33], of the chosen objects [N, M]."""
        simulator = self._simulator
        chosen = chosen & (simulator.categories >= 0)
        chosen[np.arange(simulator.homes), simulator.held] &= simulator.held < 0
        pixels = simulator.visible() * (128 / self._image_size) ** 2
        labels = np.zeros((simulator.homes, len(CATEGORIES)), np.float32)
        largest = np.zeros(labels.shape, np.int32)
        distance = np.full(labels.shape, np.inf, np.float32)
        away = simulator.positions[..., (0, 2)] - simulator.robot[:, None, :2]
        for home, item in zip(*np.nonzero(chosen), strict=True):
            category = simulator.categories[home, item]
            seen = int(pixels[home, item])
            if seen >= largest[home, category]:
                largest[home, category] = seen
                distance[home, category] = np.hypot(*away[home, item])
            labels[home, category] = 1.0 if largest[home, category] >= VISIBLE_PIXELS else -1.0
        return labels, largest, distance

    def _cell_pixels(self) -> NDArray[np.int64]:
        """See `Views.cell_pixels`."""
        owners = self._simulator.segmentation()
        count, size, _ = owners.shape
        grid, kinds = size // CELL, len(CATEGORIES)
        homes, rows, columns = np.nonzero(owners >= 0)
        category = self._simulator.categories[homes, owners[homes, rows, columns]]
        cell = ((homes * grid + rows // CELL) * grid + columns // CELL) * kinds + category
        return np.bincount(cell, minlength=count * grid * grid * kinds).reshape(count, grid, grid, kinds)
