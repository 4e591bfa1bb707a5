"""Pictures of a home from its three cameras: colours, depth, ids, smoothing; and render modes."""

from __future__ import annotations

import math
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from llarp_cli.errors import UsageProblem
from llarp_cli.home import world
from llarp_cli.home.furniture import FURNITURE
from llarp_cli.home.robot import ROBOT, seen_from_outside
from llarp_cli.home.scenes import furnished
from llarp_cli.home.semantics import SEMANTIC_IDS, SEMANTIC_NAMES
from llarp_cli.home.simulator import HomeSimulator
from llarp_cli.home.views import CAMERAS
from llarp_cli.rearrangement.arrangements import arrange
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.environment import ENVIRONMENT_ID, RENDER_MODES, RearrangementVectorEnv, make_env
from llarp_cli.rearrangement.episodes import Task
from llarp_cli.rearrangement.splits import TrainingEpisodes
from llarp_cli.rearrangement.vocabulary import TARGETS

NOTHING = Task("none", {}, "", "", (), {})
SIZE = 64


def at(target, scene="home-0", objects=12):
    """A home whose robot stands before a target."""
    simulator = HomeSimulator(1, objects)
    simulator.reset(0, arrange(NOTHING, world.scene(scene), world.sizes, objects, Draws("views", 0)))
    simulator.go_to(np.zeros(1, np.intp), np.array([TARGETS.index(target)]))
    return simulator


def names(view):
    return {SEMANTIC_NAMES[number] for number in np.unique(view.semantic).tolist() if number < -1}


@pytest.mark.parametrize("target", ["right counter", "sofa", "fridge"])
def test_the_three_cameras_show_what_they_should(target):
    simulator = at(target)
    first, third, above = (simulator.view(0, camera, 128) for camera in CAMERAS)
    piece = {"right counter": "kitchen counter", "fridge": "fridge door"}.get(target, target)
    assert piece in names(first) and piece in names(third)
    assert "robot" not in names(first)
    robot = third.semantic == SEMANTIC_IDS["robot"]
    # The robot is whole: neither cut off nor behind a wall.
    down, right = np.nonzero(robot)
    assert 0.02 < robot.mean() < 0.2
    assert down.min() > 2 and down.max() < 125 and right.min() > 2 and right.max() < 125
    assert {"robot", "floor", "kitchen counter", "sofa", "black table"} <= names(above)
    assert "ceiling" not in names(above)
    for view in (first, third, above):
        assert (view.depth > 0).all() == (view.semantic != -1).all()
        assert ((view.depth > 0) == (view.semantic != -1)).mean() > 0.99


@pytest.mark.parametrize("scene", ["home-1", "home-2", "home-7", "v3_sc0_staging_03", "v3_sc3_staging_11"])
def test_walls_do_not_hide_the_robot(scene):
    simulator = HomeSimulator(1, 5)
    simulator.reset(0, arrange(NOTHING, world.scene(scene), world.sizes, 5, Draws("views", 0)))
    shares = []
    for target in range(len(TARGETS)):
        simulator.go_to(np.zeros(1, np.intp), np.array([target]))
        semantic = simulator.view(0, "third_person", SIZE).semantic
        shares.append((semantic == SEMANTIC_IDS["robot"]).mean())
        assert (semantic == SEMANTIC_IDS["wall"]).mean() < 0.9
    assert min(shares) > 0.015


def test_a_wall_behind_the_robot_goes_and_one_before_it_stays():
    simulator = at("sink")
    rows = simulator.stage.rows[0, : simulator.stage.counts[0]]
    x0, z0, x1, z1 = (value / 1000 for value in furnished("home-0").layout.room)
    middle = np.array([(x0 + x1) / 2, (z0 + z1) / 2, 0.0])
    inside, outside = (np.array([x, 2.0, middle[1]], np.float32) for x in (middle[0] - 1.5, x0 - 1.0))
    kept = len(rows) + len(ROBOT)
    assert len(seen_from_outside(rows, middle, inside)) == kept
    robot = np.array([x0 + 0.4, middle[1], 0.0])
    without = seen_from_outside(rows, robot, outside)
    assert len(without) < kept
    # The other walls are still there.
    walls = [(one[:, 13] == SEMANTIC_IDS["wall"]).sum() for one in (rows, without)]
    assert walls[0] - 6 <= walls[1] < walls[0]


def test_depth_is_along_the_axis_and_ids_are_the_objects():
    simulator = at("right counter", objects=20)
    view = simulator.view(0, width=SIZE)
    assert view.rgb.dtype == np.uint8 and view.depth.dtype == np.float32 and view.semantic.dtype == np.int16
    assert (simulator.render(SIZE)[0] == view.rgb).all()
    assert (simulator.semantic()[0] == view.semantic).all()
    assert (simulator.segmentation()[0] == np.maximum(view.semantic, -1)).all()
    assert (simulator.depth(SIZE)[0] == view.depth).all()
    # The floor's depth, from geometry: camera 1.2 m high, looking down by atan(0.2 / 0.5).
    pitch = math.atan2(0.2, 0.5)
    v = (np.arange(SIZE) + 0.5 - SIZE / 2) / (SIZE / 2)
    expected = 1.2 / (math.sin(pitch) + v * math.cos(pitch))
    down, right = np.nonzero(view.semantic == SEMANTIC_IDS["floor"])
    assert len(down) > 20
    # Rugs, shades and light on it are a few millimetres high.
    assert np.abs(view.depth[down, right] - expected[down]).max() < 0.02
    counts = [(view.semantic == item).sum() for item in range(20)]
    assert counts == simulator.visible()[0].tolist()
    assert sum(counts) > 20


def test_smoothing_is_the_mean_of_finer_pictures_and_keeps_ids_and_depth():
    simulator = at("TV stand")
    fine, coarse, smooth = (simulator.view(0, width=size, samples=n) for size, n in ((90, 1), (30, 1), (30, 3)))
    mean = fine.rgb.reshape(30, 3, 30, 3, 3).mean(axis=(1, 3))
    assert np.abs(smooth.rgb - mean).max() <= 0.51
    assert (smooth.semantic == coarse.semantic).mean() > 0.998
    assert np.abs(smooth.depth - coarse.depth)[smooth.semantic == coarse.semantic].max() < 1e-3
    assert (smooth.rgb != coarse.rgb).any()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (97, 31), (31, 97), (160, 90)])
@pytest.mark.parametrize("camera", CAMERAS)
def test_any_shape(camera, width, height):
    view = at("chair").view(0, camera, width, height, 2)
    assert view.rgb.shape == (height, width, 3)
    assert view.depth.shape == view.semantic.shape == (height, width)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "cannot be 0 x 0"),
        ({"width": 64, "height": -1}, "cannot be 64 x -1"),
        ({"width": 100_000}, "cannot be 100000"),
        ({"samples": 0}, "0 samples"),
        ({"samples": 9}, "9 samples"),
        ({"camera": "first person"}, "unknown camera 'first person'"),
    ],
)
def test_what_cannot_be_is_said(arguments, message):
    with pytest.raises(UsageProblem, match=message):
        at("chair").view(0, **arguments)


def test_numbers_of_homes_objects_and_environments_that_cannot_be():
    assert HomeSimulator(0, 5).render(32).shape == (0, 32, 32, 3)
    for homes, objects in ((-1, 5), (1, -1), (1, 128)):
        with pytest.raises(UsageProblem, match="cannot"):
            HomeSimulator(homes, objects)
    for count, size in ((0, 32), (-3, 32), (2, 0), (2, 100_000)):
        with pytest.raises(UsageProblem, match="cannot be"):
            RearrangementVectorEnv(world, _episodes(), count, image_size=size)


def test_every_piece_of_furniture_has_a_name():
    assert set(FURNITURE) <= set(SEMANTIC_IDS)
    assert set(SEMANTIC_IDS.values()) <= set(range(-129, -1))


def _episodes():
    from llarp_cli.config import TaskOptions

    return TrainingEpisodes(world, TaskOptions(split="train", families=("move",)), 0)


@pytest.mark.parametrize("mode", RENDER_MODES)
def test_render_modes(mode):
    env = gymnasium.make(
        f"llarp_cli.rearrangement.environment:{ENVIRONMENT_ID}",
        families=("move",),
        image_size=48,
        render_mode=mode,
        render_size=96,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
        observation, _ = env.reset(seed=1)
        before = env.render()
        env.step(env.unwrapped.expert_action())
        after = env.render()
    side = 96 if mode.startswith("rgb_array_") else 48
    if mode == "depth_array":
        assert before.shape == (side, side) and before.dtype == np.float32
        assert 0.3 < np.median(before) < 6
    else:
        assert before.shape == (side, side, 3) and before.dtype == np.uint8
    if mode == "rgb_array":
        assert (before == observation["rgb"]).all()
    assert (before != after).any()
    assert mode in env.metadata["render_modes"]
    env.close()


@pytest.mark.parametrize("mode", [None, *RENDER_MODES])
def test_many_environments_render_a_tuple(mode):
    vector = RearrangementVectorEnv(world, _episodes(), 2, image_size=32, render_mode=mode, render_size=40)
    observation, _ = vector.reset()
    rendered = vector.render()
    if mode is None:
        assert rendered is None
        return
    assert isinstance(rendered, tuple) and len(rendered) == 2
    if mode == "rgb_array":
        assert all((one == seen).all() for one, seen in zip(rendered, observation["rgb"], strict=True))
    vector.step(vector.expert_actions())
    assert all((one != now).any() for one, now in zip(rendered, vector.render(), strict=True))


def test_a_render_mode_that_does_not_exist():
    with pytest.raises(UsageProblem, match="unknown render mode 'human'"):
        make_env(render_mode="human")
