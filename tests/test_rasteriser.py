"""The renderer against an independent ray caster, and what it draws in odd cases."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from llarp_cli.errors import UsageProblem
from llarp_cli.home import world
from llarp_cli.home.camera import PITCH, focal, map_camera, robot_cameras
from llarp_cli.home.primitives import (
    BOUND,
    BOX,
    COS,
    CYLINDER,
    HALF_X,
    KIND,
    OWNER,
    ROD,
    SIN,
    SPHERE,
    WIDTH,
    X,
    box,
    built,
    cylinder,
    placed,
    sphere,
)
from llarp_cli.home.rasteriser import BACKGROUND, MOST_OWNERS, Rasteriser, set_threads, threads
from llarp_cli.home.simulator import HomeSimulator
from llarp_cli.rearrangement.arrangements import arrange
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episodes import Task

SIZE = 64
NOTHING = Task("none", {}, "", "", (), {})


def draw(rows, robot=(0.0, 0.0, 0.0), size=SIZE):
    """One home's picture from a robot's pose."""
    rasteriser = Rasteriser(1, size, depth=True)
    positions, rotations = robot_cameras(np.array([robot], np.float64))
    rows = np.asarray(rows, np.float32).reshape(1, -1, WIDTH)
    rasteriser.draw(rows, np.array([rows.shape[1]], np.int32), positions, rotations, focal(size))
    return rasteriser


def hit(row, origin, rays):
    """Distance along each ray (in units of its length) to where it enters a primitive; inf where it does not.

    Written from the definitions, in double precision: slabs and quadratics in the primitive's own frame.
    """
    row = row.astype(np.float64)
    cos, sin = row[COS], row[SIN]
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    scale = row[HALF_X : HALF_X + 3]
    start = (turn @ (origin - row[X : X + 3])) / scale
    way = (rays @ turn.T) / scale
    if row[KIND] == BOX:
        slabs, round_axes = [0, 1, 2], []
    elif row[KIND] == SPHERE:
        slabs, round_axes = [], [0, 1, 2]
    elif row[KIND] == CYLINDER:
        slabs, round_axes = [1], [0, 2]
    else:
        slabs, round_axes = [0], [1, 2]
    enter, leave = np.full(len(rays), -np.inf), np.full(len(rays), np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis in slabs:
            ends = (np.array([-1.0, 1.0])[:, None] - start[axis]) / way[:, axis]
            enter, leave = np.maximum(enter, ends.min(axis=0)), np.minimum(leave, ends.max(axis=0))
        if round_axes:
            a = (way[:, round_axes] ** 2).sum(axis=1)
            b = way[:, round_axes] @ start[round_axes]
            root = np.sqrt(b**2 - a * ((start[round_axes] ** 2).sum() - 1))
            enter, leave = np.fmax(enter, (-b - root) / a), np.fmin(leave, (-b + root) / a)
            leave[np.isnan(root)] = -np.inf
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


def cast(rows, position, rotation, size, shift=(0.0, 0.0)):
    """Which row each pixel's ray meets first (-1: none), and the depth there along the viewing direction."""
    centres = (np.arange(size) + 0.5 - size / 2) / focal(size)
    u, v = np.meshgrid(centres + shift[0] / focal(size), centres + shift[1] / focal(size))
    rays = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3) @ rotation.astype(np.float64)
    depths = np.stack([hit(row, position.astype(np.float64), rays) for row in rows])
    nearest = depths.argmin(axis=0)
    depth = depths.min(axis=0)
    return np.where(np.isfinite(depth), nearest, -1).reshape(size, size), depth.reshape(size, size)


def random_rows(rng, count):
    """Primitives of every kind before the robot; each has its index as owner."""
    rows = np.zeros((count, WIDTH), np.float32)
    for i in range(count):
        kind = (BOX, CYLINDER, SPHERE, ROD)[rng.integers(4)]
        half = rng.uniform(0.03, 0.35, 3)
        if kind == CYLINDER and i % 2:
            half[2] = half[0]
        at = rng.uniform([0.8, -0.2, -1.6], [3.5, 1.8, 1.6])
        rows[i] = built([(kind, at, half, tuple(rng.uniform(0, 1, 3)), rng.uniform(-180, 180))])
    rows[:, OWNER] = np.arange(count)
    return rows


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_a_ray_caster(seed):
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, 24)
    robot = (rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2), rng.uniform(-0.3, 0.3))
    drawn = draw(rows, robot)
    position, rotation = (array[0] for array in robot_cameras(np.array([robot])))
    owners, depth = cast(rows, position, rotation, SIZE)
    # Away from edges: a fifth of a pixel aside meets the same row.
    inner = np.ones_like(owners, bool)
    for shift in ((0.2, 0), (-0.2, 0), (0, 0.2), (0, -0.2)):
        inner &= cast(rows, position, rotation, SIZE, shift)[0] == owners
    assert inner.mean() > 0.7
    assert len(np.unique(owners)) > 10
    assert (drawn.ids[0] == owners)[inner].mean() >= 0.995
    right = (drawn.ids[0] == owners) & (owners >= 0)
    assert np.abs(drawn.depth[0][right] - depth[right]).max() < 1e-3
    assert (drawn.depth[0][drawn.ids[0] < 0] == 0).all()


@pytest.mark.parametrize(("scene", "target"), [("home-3", 4), ("home-5", 10), ("v3_sc0_staging_06", 13)])
def test_a_furnished_home_agrees_with_a_ray_caster(scene, target):
    simulator = HomeSimulator(1, 35)
    simulator.reset(0, arrange(NOTHING, world.scene(scene), world.sizes, 35, Draws("rays", target)))
    simulator.set_joints(np.zeros(2, np.intp), np.array([0, 4]), np.array([0.3, 1.0]))
    simulator.go_to(np.zeros(1, np.intp), np.array([target]))
    rows = simulator.stage.rows[0, : simulator.stage.counts[0]].copy()
    index = np.arange(len(rows))
    drawn = []
    for owners in (index % 100, index // 100):
        rows[:, OWNER] = owners
        drawn.append(draw(rows, simulator.robot[0]))
    found = drawn[0].ids[0].astype(int) + 100 * drawn[1].ids[0]
    found[drawn[0].ids[0] < 0] = -1
    shown = rows[:, BOUND] > 0
    position, rotation = (array[0] for array in robot_cameras(simulator.robot))
    expected, depth = cast(rows[shown], position, rotation, SIZE)
    inner = np.ones_like(expected, bool)
    for shift in ((0.2, 0), (-0.2, 0), (0, 0.2), (0, -0.2)):
        inner &= cast(rows[shown], position, rotation, SIZE, shift)[0] == expected
    expected = np.where(expected < 0, -1, index[shown][expected])
    assert inner.mean() > 0.5
    assert len(np.unique(expected)) > 20
    assert (found == expected)[inner].mean() >= 0.995
    right = (found == expected) & (expected >= 0)
    assert np.abs(drawn[0].depth[0][right] - depth[right]).max() < 1e-3
    assert (drawn[0].rgb == simulator.view(0, width=SIZE).rgb).all()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 40), (17, 5), (64, 36), (36, 64), (2048, 3)])
def test_any_width_and_height_show_the_same_scene(width, height):
    rows = np.concatenate([random_rows(np.random.default_rng(4), 20), box(6, 1, 0, 0.1, 20, 20, (1, 1, 1))])
    rasteriser = Rasteriser(1, width, height, depth=True)
    position, rotation = (array[0] for array in robot_cameras(np.zeros((1, 3))))
    rasteriser.draw(rows[None], np.array([21], np.int32), position[None], rotation[None], focal(width))
    assert rasteriser.rgb.shape == (1, height, width, 3)
    x, y = (np.arange(n) + 0.5 - n / 2 for n in (width, height))
    u, v = np.meshgrid(x / focal(width), y / focal(width))
    rays = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3) @ rotation.astype(np.float64)
    depth = np.stack([hit(row, position.astype(np.float64), rays) for row in rows]).min(axis=0).reshape(height, width)
    depth[np.isinf(depth)] = 0
    assert (np.abs(rasteriser.depth[0] - depth) < 1e-3).mean() > 0.97


@pytest.mark.parametrize("size", [(0, 0), (-1, 64), (64, 0), (100_000, 100_000), (8193, 1)])
def test_absurd_sizes_are_refused(size):
    with pytest.raises(UsageProblem, match="cannot be drawn"):
        Rasteriser(1, *size)


def test_no_homes_are_no_pictures():
    rasteriser = Rasteriser(0, SIZE)
    none = np.zeros((0, 3)), np.zeros((0, 3, 3))
    rasteriser.draw(np.zeros((0, 5, WIDTH), np.float32), np.zeros(0, np.int32), *none, focal(SIZE))
    assert rasteriser.rgb.shape == (0, SIZE, SIZE, 3)


@pytest.mark.parametrize("pose", [(math.nan, 0, 0), (0, 0, math.nan), (math.inf, 0, 0), (1e30, -1e30, 0)])
def test_a_camera_that_is_nowhere_sees_nothing(pose):
    drawn = draw(random_rows(np.random.default_rng(1), 20), pose)
    assert (drawn.rgb == np.array(BACKGROUND, np.uint8)).all()


def test_only_the_named_homes_are_drawn_in_their_places():
    rng = np.random.default_rng(0)
    rows, counts = np.stack([random_rows(rng, 30) for _ in range(5)]), np.full(5, 30, np.int32)
    cameras = robot_cameras(np.zeros((5, 3)))
    every, some = Rasteriser(5, SIZE), Rasteriser(5, SIZE)
    every.draw(rows, counts, *cameras, focal(SIZE))
    some.draw(rows, counts, cameras[0][:2], cameras[1][:2], focal(SIZE), np.array([3, 1]))
    for home in range(5):
        assert (some.rgb[home] == (every.rgb[home] if home in (1, 3) else 0)).all()
        assert (some.seen[home] == (every.seen[home] if home in (1, 3) else 0)).all()


def guarded(array, guards):
    """The same array in the middle of a larger one, whose ends are kept in `guards`."""
    whole = np.full(array.size + 256, 77, array.dtype)
    whole[128:-128] = array.ravel()
    guards.append(whole)
    return whole[128:-128].reshape(array.shape)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (15, 16), (16, 17), (33, 31), (64, 64)])
def test_nothing_is_written_beyond_the_buffers(size):
    rasteriser, guards = Rasteriser(2, *size, depth=True), []
    for name in ("rgb", "depth", "seen", "_owners", "_steps"):
        setattr(rasteriser, name, guarded(getattr(rasteriser, name), guards))
    rasteriser._buffers = [tuple(guarded(array, guards) for array in buffers) for buffers in rasteriser._buffers]
    rng = np.random.default_rng(0)
    for scale in (0.01, 1, 100, 1e6):
        rows = np.stack([random_rows(rng, 60) for _ in range(2)])
        rows[:, 20:40, X : HALF_X + 3] *= scale
        rows[:, 20:40, BOUND] *= scale * 10
        rows[:, 40:, X : X + 3] = np.add(rng.normal(0, 0.3, (2, 20, 3)), [0.25, 1.2, 0])
        rows[:, 50:, HALF_X : HALF_X + 3] *= [[10, 0.01, 10]]
        rows[:, 59, X + rng.integers(12)] = rng.choice([np.nan, np.inf, 0, -1])
        poses = rng.uniform(-1, 1, (2, 3))
        rasteriser.draw(rows, np.full(2, 60, np.int32), *robot_cameras(poses), rng.uniform(0.1, 300))
    assert rasteriser.depth.any()
    for whole in guards:
        assert (whole[:128] == 77).all() and (whole[-128:] == 77).all()


def test_drawing_allocates_nothing_per_picture():
    """What a call allocates is small and the same for one home and for many."""
    rng = np.random.default_rng(0)
    rows, counts = np.stack([random_rows(rng, 30) for _ in range(9)]), np.full(9, 30, np.int32)
    _nrt_python.memsys_enable_stats()
    before = threads()
    set_threads(1)
    allocated, peaks = [], []
    try:
        for homes, size in ((1, 32), (9, 128)):
            cameras = robot_cameras(np.zeros((homes, 3)))
            rasteriser = Rasteriser(homes, size, depth=True)
            call = (rows[:homes], counts[:homes], *cameras, focal(size))
            rasteriser.draw(*call)
            start = rtsys.get_allocation_stats().alloc
            tracemalloc.start()
            for _ in range(10):
                rasteriser.draw(*call)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            allocated.append(rtsys.get_allocation_stats().alloc - start)
    finally:
        set_threads(before)
    assert allocated[0] == allocated[1] <= 10 * 20
    assert max(peaks) < 20_000


@pytest.mark.slow
def test_compiling_is_announced_and_kept(tmp_path):
    code = (
        "import numpy as np; from llarp_cli.home.rasteriser import Rasteriser; "
        "r = Rasteriser(1, 8); none = np.zeros((1, 1, 14), np.float32), np.zeros(1, np.int32); "
        "[r.draw(*none, np.zeros((1, 3)), np.zeros((1, 3, 3)), 4.0) for _ in range(2)]"
    )
    said = []
    for _ in range(2):
        result = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(result.stderr.splitlines())
    assert len(said[0]) == 1 and "compiling the home's renderer" in said[0][0]
    assert said[1] == []


@pytest.mark.parametrize("size", [1, 7, 33, 128])
def test_every_size_shows_the_same_scene(size):
    rows = np.concatenate([random_rows(np.random.default_rng(3), 20), box(6, 1, 0, 0.1, 20, 20, (1, 1, 1))])
    drawn = draw(rows, size=size)
    position, rotation = (array[0] for array in robot_cameras(np.zeros((1, 3))))
    rows[-1, OWNER] = -1
    owners = cast(rows, position, rotation, size)[0]
    owners[owners == len(rows) - 1] = -1
    assert (drawn.ids[0] == owners).mean() > 0.98
    assert (drawn.depth > 0).all()


def test_bytes_do_not_depend_on_threads_or_company():
    rng = np.random.default_rng(0)
    rows = np.stack([random_rows(rng, 30) for _ in range(6)])
    counts = np.full(6, 30, np.int32)
    cameras = robot_cameras(np.zeros((6, 3)))
    pictures = []
    before = threads()
    try:
        for count in (1, 2, 5):
            set_threads(count)
            rasteriser = Rasteriser(6, SIZE, depth=True)
            for _ in range(2):
                rasteriser.draw(rows, counts, *cameras, focal(SIZE))
                pictures.append((rasteriser.rgb.tobytes(), rasteriser.ids.tobytes(), rasteriser.depth.tobytes()))
    finally:
        set_threads(before)
    assert len(set(pictures)) == 1
    for home in range(6):
        assert draw(rows[home]).rgb.tobytes() == rasteriser.rgb[home].tobytes()


def test_nothing_gives_the_background():
    drawn = draw(np.zeros((0, WIDTH)))
    assert (drawn.rgb == np.array(BACKGROUND, np.uint8)).all()
    assert (drawn.ids == -1).all()
    assert (drawn.depth == 0).all()


def test_only_counted_rows_are_drawn():
    rows = np.stack([sphere(1.5, 1, 0, 0.3, (1, 0, 0)), sphere(1.5, 1, 0, 0.3, (1, 0, 0))])
    rasteriser = Rasteriser(2, SIZE, depth=True)
    rasteriser.draw(rows, np.array([1, 0], np.int32), *robot_cameras(np.zeros((2, 3))), focal(SIZE))
    assert (rasteriser.depth[0] > 0).any()
    assert not (rasteriser.depth[1] > 0).any()


def test_an_earlier_picture_leaves_no_trace():
    rasteriser = draw(random_rows(np.random.default_rng(1), 20))
    rasteriser.draw(np.zeros((1, 1, WIDTH), np.float32), np.zeros(1, np.int32), *robot_cameras(np.zeros((1, 3))), 32.0)
    assert (rasteriser.rgb == np.array(BACKGROUND, np.uint8)).all()
    assert (rasteriser.ids == -1).all()


@pytest.mark.parametrize(
    "around",
    [
        box(0.25, 1.2, 0, 0.2, 0.2, 0.2, (1, 0, 0), 0.4),
        sphere(0.25, 1.2, 0, 0.2, (1, 0, 0)),
        cylinder(0.25, 1.2, 0, 0.2, 0.2, (1, 0, 0)),
    ],
)
def test_what_the_camera_is_inside_of_is_not_drawn(around):
    around[:, OWNER] = 0
    behind = sphere(2.0, 0.8, 0, 0.3, (0, 1, 0))
    behind[:, OWNER] = 1
    drawn = draw(np.concatenate([around, behind]))
    assert 0 not in drawn.ids
    assert 1 in drawn.ids


def test_nothing_behind_the_camera_or_too_near_is_drawn():
    rows = np.concatenate([random_rows(np.random.default_rng(5), 12), sphere(0.25, 1.2, 0.06, 0.04, (1, 0, 0))])
    rows[:12, X] *= -1
    assert (draw(rows).depth == 0).all()


@pytest.mark.parametrize("kind", [BOX, CYLINDER, SPHERE, ROD])
@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_absurd_rows_do_no_harm(kind, value):
    row = built([(kind, (1.5, 0.9, 0), (0.2, 0.2, 0.2), (1, 1, 1), 10)])
    columns = (X, X + 1, X + 2, HALF_X, HALF_X + 1, HALF_X + 2, COS, SIN, BOUND)
    rows = np.repeat(row, len(columns), axis=0)
    rows[np.arange(len(columns)), columns] = value
    rows[:, OWNER] = 3
    drawn = draw(rows)
    assert set(np.unique(drawn.ids)) <= {-1, 3}


def test_a_wall_through_the_near_plane_is_cut_not_dropped():
    floor = box(0, -0.05, 0, 20, 0.05, 20, (0.5, 0.5, 0.5))
    drawn = draw(floor)
    rows = np.flatnonzero((drawn.depth[0] > 0).all(axis=1))
    # Everything below the horizon, which is above the middle because the camera looks down.
    horizon = SIZE / 2 - math.tan(PITCH) * focal(SIZE)
    assert rows.min() <= horizon + 2
    assert rows.max() == SIZE - 1
    assert len(rows) == SIZE - rows.min()


def test_light_makes_tops_brighter_than_sides():
    drawn = draw(box(1.2, 0.6, 0, 0.3, 0.2, 0.3, (0.8, 0.8, 0.8)))
    shades = np.unique(drawn.rgb[0][drawn.depth[0] > 0][:, 0])
    assert len(shades) >= 2
    top = drawn.rgb[0][drawn.depth[0] > 0][0, 0]
    assert top == shades.max()
    assert shades.min() > 0.5 * 0.8 * 255


@pytest.mark.parametrize("size", [5, 8, 13, 64])
def test_owners_pixels_are_counted(size):
    rows = random_rows(np.random.default_rng(2), 20)
    rows[5:, OWNER] -= 10
    drawn = draw(rows, size=size)
    expected = [(drawn.ids == owner).sum() for owner in range(MOST_OWNERS)]
    assert drawn.seen[0].tolist() == expected


def test_owners_survive():
    rows = sphere(1.5, 1, 0, 0.3, (1, 0, 0))
    for owner in (0, 1, MOST_OWNERS - 1, -2, -129):
        rows[:, OWNER] = owner
        assert set(np.unique(draw(rows).ids)) == {-1, owner}


def test_the_robot_looks_where_the_task_says():
    positions, rotations = robot_cameras(np.array([[1.0, 2.0, 0.7], [0.0, 0.0, 0.0]]))
    for (x, z, heading), position, rotation in zip(((1, 2, 0.7), (0, 0, 0)), positions, rotations, strict=True):
        ahead = np.array([math.cos(heading), 0, math.sin(heading)])
        base = np.array([x, 0, z])
        assert position == pytest.approx(base + 0.25 * ahead + [0, 1.2, 0], abs=1e-6)
        target = base + 0.75 * ahead + [0, 1.0, 0]
        assert rotation @ (target - position) == pytest.approx([0, 0, math.hypot(0.5, 0.2)], abs=1e-6)
        assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-6)
        assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-6)
    assert math.degrees(PITCH) == pytest.approx(21.8, abs=0.01)
    # What is at its right hand appears on the right; 90 degrees across.
    drawn = draw(sphere(1.5, 1.0, 0.5, 0.1, (1, 0, 0)))
    assert np.nonzero(drawn.depth[0])[1].mean() > SIZE / 2


def test_the_map_shows_the_ground_between_two_corners():
    position, rotation, pixels = map_camera(-1, 2, 3, 6, 100, 100)
    rows = np.concatenate([sphere(-0.5, 0, 2.5, 0.2, (1, 0, 0)), sphere(2.5, 0, 5.5, 0.2, (1, 0, 0))])
    rows[:, OWNER] = 0, 1
    rasteriser = Rasteriser(1, 100)
    rasteriser.draw(rows[None], np.array([2], np.int32), position, rotation, pixels)
    for owner, expected in ((0, (12.5, 12.5)), (1, (87.5, 87.5))):
        at = np.array(np.nonzero(rasteriser.ids[0] == owner)).mean(axis=1) + 0.5
        assert at == pytest.approx(expected, abs=1)


def test_placing_turns_from_x_toward_z():
    rows = box(1, 0.5, 0, 0.3, 0.1, 0.2, (1, 1, 1))
    moved = placed(rows, 10, 1, 20, math.pi / 2, owner=7)
    assert moved[0, X : X + 3] == pytest.approx([10, 1.5, 21])
    assert moved[0, [COS, SIN]] == pytest.approx([0, 1], abs=1e-6)
    assert moved[0, OWNER] == 7
    assert rows[0, OWNER] == -1
