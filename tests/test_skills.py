"""Preconditions at their limits, effects, and what a skill that cannot be used leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from toy_world import ToySimulator, ToyWorld, toy_scene

from llarp_cli.rearrangement.episodes import Arrangement, PlacedObject
from llarp_cli.rearrangement.execution import execute, random_spots, spot_key
from llarp_cli.rearrangement.facts import Facts
from llarp_cli.rearrangement.skills import SKILL_INDEX, SKILLS
from llarp_cli.rearrangement.vocabulary import JOINTS, RECEPTACLES, TARGETS

SCENE = toy_scene("toy-0")
CENTRE = np.zeros((1, 2))


def put(asset: str, receptacle: str, dx: int = 0, dz: int = 0) -> PlacedObject:
    """An object lying on a receptacle's box floor, dx and dz millimetres (world axes) from the centre."""
    x, y, z, _, _, half_y, _ = SCENE.boxes[RECEPTACLES.index(receptacle)].tolist()
    return PlacedObject(asset, (x + dx, y - half_y + 40, z + dz), 0, receptacle)


class Home:
    """One toy home, with shorthands."""

    def __init__(self, *objects: PlacedObject, joints=(0, 0, 0, 0, 0), robot=(0, 2000, 0)):
        self.simulator = ToySimulator(1, 8)
        self.simulator.reset(0, Arrangement("toy-0", objects, joints, robot))
        self.facts = Facts(self.simulator)
        self.refresh()

    def refresh(self):
        self.facts.refresh(np.array([0]), np.array([0]))

    def stand(self, x: float, z: float, heading: float):
        self.simulator.robot[0] = x, z, heading
        self.refresh()

    def do(self, kind: str, target: str, spot=CENTRE) -> bool:
        action = np.array([SKILL_INDEX[kind, target]])
        return bool(execute(self.simulator, self.facts, action, np.array([True]), spot)[0])

    def on(self, m: int) -> list[str]:
        return [RECEPTACLES[r] for r in np.flatnonzero(self.facts.on[0, m])]

    def state(self) -> tuple:
        s = self.simulator
        return s.robot.tobytes(), s.positions.tobytes(), s.joints.tobytes(), int(s.held[0])


def polar(distance: float, bearing: float) -> tuple[float, float]:
    return distance * np.cos(bearing), distance * np.sin(bearing)


@pytest.mark.parametrize(
    ("distance", "bearing", "valid"),
    [
        (1.4999, 0.0, True),
        (1.5001, 0.0, False),
        (1.0, 0.999, True),
        (1.0, -0.999, True),
        (1.0, 1.001, False),
        (1.0, -1.001, False),
        (0.5, np.pi, False),
    ],
)
@pytest.mark.parametrize("heading", [0.0, 2.5])
def test_pick_reaches_as_far_as_stated(distance, bearing, valid, heading):
    home = Home(put("013_apple", "sofa"))
    x, _, z = home.simulator.positions[0, 0]
    dx, dz = polar(distance, heading + bearing)
    home.stand(x - dx, z - dz, heading)
    assert home.do("pick", "apple") is valid
    assert (home.facts.held[0] == 0) == valid


@pytest.mark.parametrize(
    ("distance", "bearing", "valid"),
    [(1.9999, 0.0, True), (2.0001, 0.0, False), (1.0, 1.569, True), (1.0, -1.571, False), (1.0, 1.571, False)],
)
@pytest.mark.parametrize(("kind", "target"), [("place", "sofa"), ("open", "fridge"), ("close", "left drawer")])
def test_place_open_and_close_reach_as_far_as_stated(distance, bearing, valid, kind, target):
    home = Home(put("013_apple", "sofa"), joints=(450, 0, 0, 0, 0))
    name = target if kind == "place" else f"{target} handle"
    assert home.do("go_to", "sofa")
    assert home.do("pick", "apple")
    x, _, z = home.simulator.targets[0, TARGETS.index(name)]
    dx, dz = polar(distance, 0.7 + bearing)
    home.stand(x - dx, z - dz, 0.7)
    assert home.do(kind, target) is valid


def test_every_skill_that_cannot_be_used_changes_nothing():
    for skill in SKILLS:
        home = Home(put("013_apple", "sofa"), robot=(0, 2000, 90_000))
        before = home.state()
        valid = home.do(skill.kind, skill.target)
        assert valid is (skill.kind == "go_to"), skill
        assert (home.state() == before) is (not valid), skill


def test_pick_needs_an_empty_hand_and_takes_the_first_in_order():
    home = Home(put("002_master_chef_can", "sofa", 200), put("005_tomato_soup_can", "sofa", -200))
    home.do("go_to", "sofa")
    assert home.do("pick", "can")
    assert home.facts.held[0] == 0
    assert home.on(0) == []
    assert not home.do("pick", "can")
    assert home.do("go_to", "TV stand")
    assert home.do("place", "TV stand")
    assert home.on(0) == ["TV stand"]
    home.do("go_to", "sofa")
    assert home.do("pick", "can")
    assert home.facts.held[0] == 1


def test_place_needs_something_in_the_hand():
    home = Home(put("013_apple", "sofa"))
    home.do("go_to", "sofa")
    assert not home.do("place", "sofa")


def test_a_closed_drawer_keeps_its_contents_and_takes_them_along():
    home = Home(put("013_apple", "left counter"))
    home.do("go_to", "left counter")
    home.do("pick", "apple")
    assert home.do("place", "left drawer")
    assert home.on(0) == ["left drawer"]
    assert not home.do("pick", "apple")
    before = home.simulator.positions[0, 0].copy()
    assert home.do("open", "left drawer")
    assert not home.do("open", "left drawer")
    assert np.linalg.norm(home.simulator.positions[0, 0] - before) == pytest.approx(0.45)
    assert home.on(0) == ["left drawer"]
    assert home.do("close", "left drawer")
    assert not home.do("pick", "apple")
    assert home.do("open", "left drawer")
    assert home.do("pick", "apple")
    assert home.on(0) == []


def test_a_joint_that_is_ajar_is_neither_open_nor_closed():
    home = Home(joints=(250, 0, 0, 0, 600))
    assert not home.facts.opened[0, 0]
    assert not home.facts.closed[0, 0]
    for name in ("left drawer", "fridge"):
        home.do("go_to", f"{name} handle")
        assert not home.do("open", name)
        assert not home.do("close", name)


@pytest.mark.parametrize(("name", "open_above"), list(zip(JOINTS, (350, 350, 350, 350, 1070), strict=True)))
def test_joint_thresholds(name, open_above):
    j = JOINTS.index(name)
    for value, opened, closed in [(open_above - 1, False, False), (open_above + 1, True, False), (149, False, True)]:
        facts = Home(joints=tuple(value if i == j else 0 for i in range(5))).facts
        assert (facts.opened[0, j], facts.closed[0, j]) == (opened, closed)


def test_what_is_on_follows_the_oriented_box():
    boxes = SCENE.boxes[RECEPTACLES.index("sofa")]
    angle = np.radians(boxes[3] / 1000)
    assert abs(np.sin(2 * angle)) > 0.1, "the test wants furniture that is turned"
    for u, v, inside in [(0.99, 0.99, True), (1.01, 0.0, False), (0.0, 1.01, False), (-0.99, 0.99, True)]:
        along, across = u * boxes[4], v * boxes[6]
        dx = along * np.cos(angle) - across * np.sin(angle)
        dz = along * np.sin(angle) + across * np.cos(angle)
        home = Home(put("013_apple", "sofa", round(dx), round(dz)))
        assert home.on(0) == (["sofa"] if inside else [])


def test_padding_and_idle_homes_take_no_part():
    simulator = ToySimulator(2, 8)
    for home in range(2):
        simulator.reset(home, Arrangement("toy-0", (put("013_apple", "sofa"),), (0,) * 5, (0, 2000, 0)))
    facts = Facts(simulator)
    facts.refresh(np.arange(2), np.arange(2))
    assert not facts.on[:, 1:].any()
    assert not facts.at_object[:, 1:].any()
    before = simulator.robot[1].copy()
    actions = np.full(2, SKILL_INDEX["go_to", "sofa"])
    valid = execute(simulator, facts, actions, np.array([True, False]), np.zeros((2, 2)))
    assert valid.tolist() == [True, False]
    assert (simulator.robot[1] == before).all()
    assert facts.at_target[:, TARGETS.index("sofa")].tolist() == [True, False]


def test_random_spots_depend_on_episode_and_step_alone():
    keys = np.array([spot_key(0, "a"), spot_key(0, "b"), spot_key(1, "a")], np.uint64)
    assert len(set(keys.tolist())) == 3
    once = random_spots(keys, np.array([3, 3, 3]))
    again = random_spots(keys[[1, 0]], np.array([3, 3]))
    assert (once[[1, 0]] == again).all()
    many = random_spots(np.repeat(keys[:1], 4000), np.arange(4000))
    assert len(np.unique(many)) == 8000
    assert many.min() >= -1
    assert many.max() < 1
    assert np.abs(many.mean(axis=0)).max() < 0.05
    assert np.abs(many.std(axis=0) - 1 / np.sqrt(3)).max() < 0.02


def test_the_toy_reaches_all_that_stands_before_it():
    world = ToyWorld()
    for name in (*map(world.train_scene, range(5)), *world.test_scenes()[:5]):
        scene = world.scene(name)
        for surface in range(7):
            r = surface + 1
            x, _, z, heading, half_x, _, half_z = scene.boxes[r] / 1000
            stand = scene.stands[5 + r] / [1000, 1000, 1000]
            cos, sin = np.cos(np.radians(heading)), np.sin(np.radians(heading))
            for u in (-0.9, 0.9):
                for v in (-0.9, 0.9):
                    dx = x + u * half_x * cos - v * half_z * sin - stand[0]
                    dz = z + u * half_x * sin + v * half_z * cos - stand[1]
                    bearing = np.arctan2(dz, dx) - np.radians(stand[2])
                    assert np.hypot(dx, dz) <= 1.5
                    assert abs((bearing + np.pi) % (2 * np.pi) - np.pi) <= 1.0
