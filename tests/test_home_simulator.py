"""The embedded home does what the simulator contract says, and draws it the same every time."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from llarp_cli.home import world
from llarp_cli.home.scenes import furnished
from llarp_cli.rearrangement.arrangements import arrange
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episodes import Arrangement, PlacedObject, Task
from llarp_cli.rearrangement.facts import OBJECT_BEARING, OBJECT_REACH, inside, within
from llarp_cli.rearrangement.vocabulary import (
    CATEGORIES,
    CATEGORY_OF,
    JOINTS,
    OPEN_JOINT,
    RECEPTACLES,
    SURFACES,
    TARGETS,
)

NOTHING = Task("none", {}, "", "", (), {})
SIZE = 48


def arrangement(scene="home-0", objects=12, seed=0):
    return arrange(NOTHING, world.scene(scene), world.sizes, objects, Draws("test", seed))


def one(scene="home-0", objects=12, seed=0):
    """A simulator of one home, reset, and what it was reset to."""
    simulator = world.simulator(1, 16)
    placed = arrangement(scene, objects, seed)
    simulator.reset(0, placed)
    return simulator, placed


def rows(*values):
    return np.array(values, np.intp)


def go(simulator, target, home=0):
    simulator.go_to(rows(home), rows(TARGETS.index(target)))


def put(simulator, thing, receptacle, spot=(0.0, 0.0), home=0):
    simulator.grasp(rows(home), rows(thing))
    simulator.release(rows(home), rows(RECEPTACLES.index(receptacle)), np.array([spot]))


def test_importing_the_world_is_light():
    code = "import sys, llarp_cli.home; sys.exit('numba' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_reset_shows_the_arrangement():
    simulator, placed = one(objects=10)
    assert simulator.robot[0, :2] * 1000 == pytest.approx(placed.robot[:2])
    assert simulator.robot[0, 2] == pytest.approx(math.radians(placed.robot[2] / 1000))
    for i, thing in enumerate(placed.objects):
        assert simulator.positions[0, i] * 1000 == pytest.approx(thing.position)
        assert CATEGORIES[simulator.categories[0, i]] == CATEGORY_OF[thing.asset]
    assert (simulator.categories[0, 10:] == -1).all()
    assert simulator.held[0] == -1
    assert (simulator.drawers[0] == -1).all()
    assert (simulator.joints[0] == 0).all()
    scene = world.scene("home-0")
    assert pytest.approx(scene.boxes[:, [0, 1, 2, 4, 5, 6]]) == simulator.boxes[0, :, [0, 1, 2, 4, 5, 6]].T * 1000
    assert np.degrees(simulator.boxes[0, :, 3]) * 1000 == pytest.approx(scene.boxes[:, 3])


def test_objects_start_on_their_receptacles():
    for scene in ("home-5", "v3_sc0_staging_09", "v3_sc3_staging_17"):
        simulator, placed = one(scene, 16, seed=3)
        on = inside(simulator.positions, simulator.boxes)[0]
        for i, thing in enumerate(placed.objects):
            assert RECEPTACLES.index(thing.receptacle) in np.flatnonzero(on[i]), (scene, thing)


def test_go_to_stands_before_the_target_and_faces_it():
    simulator, _ = one()
    scene = world.scene("home-0")
    for i, target in enumerate(TARGETS):
        go(simulator, target)
        assert simulator.robot[0, :2] * 1000 == pytest.approx(scene.stands[i, :2])
        aim = simulator.targets[0, i]
        bearing = math.atan2(aim[2] - simulator.robot[0, 1], aim[0] - simulator.robot[0, 0]) - simulator.robot[0, 2]
        assert math.cos(bearing) > 0.9999


def test_a_held_object_comes_along():
    simulator, _ = one()
    simulator.grasp(rows(0), rows(4))
    assert simulator.held[0] == 4
    for target in ("sofa", "fridge"):
        go(simulator, target)
        ahead = simulator.positions[0, 4, [0, 2]] - simulator.robot[0, :2]
        heading = simulator.robot[0, 2]
        assert np.hypot(*ahead) == pytest.approx(0.4)
        assert ahead @ [math.cos(heading), math.sin(heading)] == pytest.approx(0.4)
        assert not inside(simulator.positions, simulator.boxes)[0, 4].any()


@pytest.mark.parametrize("target", TARGETS)
def test_a_held_object_is_seen_wherever_the_robot_goes(target):
    simulator, placed = one("home-2")
    for thing in range(0, len(placed.objects), 3):
        simulator.grasp(rows(0), rows(thing))
        go(simulator, target)
        simulator.render(128)
        assert 15 < simulator.visible()[0, thing] < 1500, placed.objects[thing].asset
        put(simulator, thing, "sofa", (0.5, 0.5))


@pytest.mark.parametrize("receptacle", RECEPTACLES)
@pytest.mark.parametrize("scene", ["home-1", "v3_sc3_staging_08"])
def test_release_puts_it_there_within_reach(scene, receptacle):
    simulator, placed = one(scene)
    box = simulator.boxes[0, RECEPTACLES.index(receptacle)]
    for spot in ((0, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)):
        if receptacle.endswith("drawer"):
            joint = JOINTS.index(receptacle)
            simulator.set_joints(rows(0), rows(joint), np.array([OPEN_JOINT[joint]]))
        put(simulator, 3, receptacle, spot)
        assert simulator.held[0] == -1
        go(simulator, receptacle)
        assert within(simulator.robot, simulator.positions[:, 3:4], OBJECT_REACH, OBJECT_BEARING).all(), spot
        if receptacle.endswith("drawer"):
            assert simulator.drawers[0, 3] == joint
            simulator.set_joints(rows(0), rows(joint), np.array([0.0]))
        else:
            assert simulator.drawers[0, 3] == -1
        assert inside(simulator.positions, simulator.boxes)[0, 3, RECEPTACLES.index(receptacle)], spot
    assert simulator.positions[0, 3, 1] - world.sizes[placed.objects[3].asset].rest_height / 1000 < box[1]


def test_release_spots_are_those_of_the_shrunk_box():
    simulator, _ = one("home-4", objects=1)
    x, _, z, heading, half_x, _, half_z = simulator.boxes[0, RECEPTACLES.index("black table")]
    put(simulator, 0, "black table", (0.5, -1.0))
    u, v = 0.8 * 0.5 * half_x, -0.8 * half_z
    expected = (
        x + math.cos(heading) * u - math.sin(heading) * v,
        z + math.sin(heading) * u + math.cos(heading) * v,
    )
    assert simulator.positions[0, 0, [0, 2]] == pytest.approx(expected)


def test_released_objects_do_not_stand_in_each_other():
    simulator, placed = one("home-6", objects=8)
    for thing in range(8):
        put(simulator, thing, "black table", (0.1, 0.1))
    for i in range(8):
        for j in range(i):
            apart = np.hypot(*(simulator.positions[0, i] - simulator.positions[0, j])[[0, 2]])
            radii = (world.sizes[placed.objects[k].asset].radius / 1000 for k in (i, j))
            assert apart >= sum(radii) - 1e-6
    assert inside(simulator.positions[:, :8], simulator.boxes)[0, :, RECEPTACLES.index("black table")].all()


@pytest.mark.parametrize("receptacle", ["sink", "right drawer", "chair"])
def test_a_crowded_receptacle_still_holds_them_all(receptacle):
    simulator, _ = one("home-6", objects=12)
    draws = np.random.default_rng(0)
    for thing in range(12):
        put(simulator, thing, receptacle, draws.uniform(-1, 1, 2))
    assert inside(simulator.positions[:, :12], simulator.boxes)[0, :, RECEPTACLES.index(receptacle)].all()


def test_what_lies_in_a_drawer_moves_with_it_and_nothing_else_does():
    simulator, _ = one("home-3")
    put(simulator, 0, "left drawer", (0.3, 0.3))
    before = simulator.positions.copy()
    joint = JOINTS.index("left drawer")
    simulator.set_joints(rows(0), rows(joint), np.array([0.45]))
    moved = simulator.positions - before
    assert np.hypot(*moved[0, 0, [0, 2]]) == pytest.approx(0.45)
    assert (moved[0, 1:] == 0).all()
    assert simulator.joints[0, joint] == 0.45
    # Toward the robot before it.
    go(simulator, "left drawer")
    toward = simulator.robot[0, :2] - before[0, 0, [0, 2]]
    assert moved[0, 0, [0, 2]] @ toward / np.hypot(*toward) > 0.4
    simulator.set_joints(rows(0), rows(joint), np.array([0.0]))
    assert simulator.positions == pytest.approx(before)


@pytest.mark.parametrize(("joint", "receptacle"), [(0, "left drawer"), (2, "right drawer"), (4, "fridge")])
def test_what_is_inside_is_seen_only_while_it_is_open(joint, receptacle):
    simulator, _ = one("home-3")
    put(simulator, 5, receptacle, (0.2, 0.4))
    go(simulator, receptacle)
    shut = simulator.render(96)[0].copy()
    assert simulator.visible()[0, 5] == 0
    simulator.set_joints(rows(0), rows(joint), np.array([OPEN_JOINT[joint]]))
    opened = simulator.render(96)[0].copy()
    assert simulator.visible()[0, 5] > 5
    assert (shut != opened).any(axis=2).mean() > 0.05
    simulator.set_joints(rows(0), rows(joint), np.array([0.0]))
    assert (simulator.render(96)[0] == shut).all()


def test_joints_at_the_start_are_taken_from_the_arrangement():
    simulator, placed = one("home-3")
    opened = replace(placed, joints=(0, 0, 450, 0, 1220))
    simulator.set_joints(rows(0, 0), rows(2, 4), np.array([0.45, 1.22]))
    expected = simulator.render(SIZE).copy()
    simulator.reset(0, opened)
    assert simulator.joints[0].tolist() == [0, 0, 0.45, 0, 1.22]
    assert (simulator.render(SIZE) == expected).all()
    simulator.reset(0, placed)
    assert (simulator.joints == 0).all()


def test_from_each_stand_the_objects_on_the_surface_are_in_view():
    unseen = total = 0
    for seed, scene in enumerate(("home-8", "home-9", "v3_sc3_staging_02", "v3_sc0_staging_12")):
        simulator, placed = one(scene, 16, seed)
        for surface in SURFACES:
            go(simulator, surface)
            simulator.render(128)
            for i, thing in enumerate(placed.objects):
                if thing.receptacle == surface:
                    total += 1
                    unseen += simulator.visible()[0, i] < 3
    # Some are hidden behind others.
    assert unseen <= total // 10


def test_pictures_are_the_same_bytes_every_time():
    pictures = []
    for _ in range(2):
        simulator, _ = one("home-11", 16)
        go(simulator, "right counter")
        simulator.grasp(rows(0), rows(2))
        pictures.append(
            (simulator.render(SIZE).tobytes(), simulator.visible().tobytes(), simulator.map(0, 96).tobytes())
        )
    assert pictures[0] == pictures[1]


def test_moving_there_and_back_leaves_the_picture_as_it_was():
    simulator, placed = one("home-12", 16)
    go(simulator, "sofa")
    first = simulator.render(SIZE).copy()
    put(simulator, 1, "sink")
    go(simulator, "fridge")
    simulator.reset(0, placed)
    go(simulator, "sofa")
    assert (simulator.render(SIZE) == first).all()


def test_batched_equals_single():
    scenes = ("home-1", "v3_sc3_staging_05", "home-2", "v3_sc0_staging_01")
    placed = [arrangement(scene, objects, objects) for scene, objects in zip(scenes, (16, 3, 9, 0), strict=True)]
    together = world.simulator(4, 16)
    for home, start in enumerate(placed):
        together.reset(home, start)

    def act(simulator, homes):
        simulator.set_joints(homes, np.zeros_like(homes), np.full(len(homes), 0.45))
        held = np.array([h for h in homes if len(placed[h if len(homes) > 1 else which].objects)], np.intp)
        simulator.grasp(held, np.zeros_like(held))
        simulator.go_to(homes, np.full(len(homes), TARGETS.index("left drawer")))
        simulator.release(held, np.full(len(held), RECEPTACLES.index("left drawer")), np.full((len(held), 2), 0.25))

    which = 0
    act(together, np.arange(4))
    pictures, seen = together.render(SIZE).copy(), together.visible().copy()
    for which, start in enumerate(placed):
        alone = world.simulator(1, 16)
        alone.reset(0, start)
        act(alone, rows(0))
        assert (alone.render(SIZE)[0] == pictures[which]).all()
        assert (alone.visible()[0] == seen[which]).all()
        assert (alone.positions[0] == together.positions[which]).all()
        assert (alone.map(0, 64) == together.map(which, 64)).all()


def test_rendering_some_homes_leaves_the_others():
    simulator = world.simulator(3, 16)
    for home in range(3):
        simulator.reset(home, arrangement(f"home-{home}", 16))
    simulator.go_to(np.arange(3), np.full(3, TARGETS.index("sink")))
    first, seen = simulator.render(SIZE).copy(), simulator.visible().copy()
    simulator.go_to(np.arange(3), np.full(3, TARGETS.index("sofa")))
    some, counted = simulator.render(SIZE, rows(2)).copy(), simulator.visible().copy()
    assert (some[:2] == first[:2]).all()
    assert (counted[:2] == seen[:2]).all()
    every = simulator.render(SIZE)
    assert (every[2] == some[2]).all()
    assert (simulator.visible()[2] == counted[2]).all()
    assert (every[0] != first[0]).any()
    assert (simulator.render(SIZE, rows()) == every).all()


@pytest.mark.parametrize("size", [16, 17, 224, 1024])
def test_pictures_of_any_size(size):
    simulator, _ = one()
    go(simulator, "black table")
    assert simulator.render(size).shape == (1, size, size, 3)
    assert simulator.render(32).shape == (1, 32, 32, 3)
    assert simulator.map(0, size).shape == (size, size, 3)


def test_no_objects_and_objects_in_odd_places():
    simulator, placed = one(objects=0)
    simulator.render(SIZE)
    assert (simulator.visible() == 0).all()
    robot = placed.robot
    odd = [(10**6, 500, 10**6), (0, -5000, 0), (robot[0], 1200, robot[1])]
    odd += [(robot[0] + round(250 * math.cos(a)), 1200, robot[1] + round(250 * math.sin(a))) for a in (0.0, 1.0, 2.0)]
    things = tuple(PlacedObject("013_apple", place, 0, "sofa") for place in odd)
    # Cameras inside the apples that stand in their place, and outside the house.
    for heading in (0, 57_296, 114_592):
        simulator.reset(0, replace(placed, objects=things, robot=(robot[0], robot[1], heading)))
        simulator.render(SIZE)
        simulator.map(0, SIZE)
    simulator.reset(0, replace(placed, objects=things, robot=(50_000, 50_000, 0)))
    assert simulator.render(SIZE).std(axis=(1, 2)).max() < 60
    for target in TARGETS:
        go(simulator, target)
        simulator.render(SIZE)


def test_an_object_can_start_in_a_drawer():
    simulator, placed = one(objects=1)
    box = simulator.boxes[0, RECEPTACLES.index("right drawer")]
    thing = PlacedObject("013_apple", tuple(round(1000 * v) for v in box[:3]), 0, "right drawer")
    simulator.reset(0, Arrangement("home-0", (thing,), (0, 0, 0, 0, 0), placed.robot))
    assert simulator.drawers[0, 0] == JOINTS.index("right drawer")


def test_too_many_objects_are_refused():
    simulator = world.simulator(1, 3)
    with pytest.raises(ValueError, match="4 objects"):
        simulator.reset(0, arrangement(objects=4))


def test_a_map_shows_the_robot_where_it_is():
    simulator, _ = one("home-0")
    x0, z0, x1, z1 = furnished("home-0").layout.room
    scale = 256 / ((max(x1 - x0, z1 - z0) + 500) / 1000)
    pictures, near = [], np.zeros((256, 256), bool)
    down, right = np.mgrid[:256, :256] + 0.5
    for target in ("sink", "sofa"):
        go(simulator, target)
        x, z, _ = simulator.robot[0]
        column, row = 128 + (x - (x0 + x1) / 2000) * scale, 128 + (z - (z0 + z1) / 2000) * scale
        # The disc is above the ground, so it seems a little further from the middle.
        near |= np.hypot(right - column, down - row) < 0.6 * scale
        pictures.append(simulator.map(0, 256))
    changed = (pictures[0] != pictures[1]).any(axis=2)
    assert not (changed & ~near).any()
    assert changed.sum() > 2 * math.pi * (0.28 * scale) ** 2
