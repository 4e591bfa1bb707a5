"""Scenes of the embedded home: what stands where, where the robot stands, what it reaches and sees from there."""

import hashlib
import math

import numpy as np
import pytest

from llarp_cli.errors import UsageProblem
from llarp_cli.home import world
from llarp_cli.home.camera import robot_cameras
from llarp_cli.home.layouts import MOVABLE, ROBOT_RADIUS, footprint, overlap, wall_rectangles
from llarp_cli.home.released import released_names
from llarp_cli.home.scenes import furnished
from llarp_cli.rearrangement.facts import OBJECT_BEARING, OBJECT_REACH, TARGET_BEARING, TARGET_REACH, within
from llarp_cli.rearrangement.vocabulary import JOINTS, RECEPTACLES, SURFACES, TARGETS

TRAINING = [world.train_scene(i) for i in range(40)]
SCENES = [*TRAINING, *world.test_scenes()]


def outlines(layout):
    """Every solid thing of a plan: (name, polygon)."""
    solid = [(piece.kind, footprint(piece)) for piece in layout.pieces if footprint(piece)]
    return solid + [("wall", polygon) for wall in layout.walls for polygon in wall_rectangles(wall)]


def distance(x, z, polygon):
    """From a point to a convex polygon, 0 inside, by its edges: not how the program computes it."""
    best, signs = math.inf, []
    for (ax, az), (bx, bz) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        dx, dz = bx - ax, bz - az
        part = min(1.0, max(0.0, ((x - ax) * dx + (z - az) * dz) / (dx * dx + dz * dz)))
        best = min(best, math.hypot(x - ax - part * dx, z - az - part * dz))
        signs.append(dx * (z - az) - dz * (x - ax))
    return 0.0 if min(signs) >= 0 or max(signs) <= 0 else best


def corners(row):
    """The corners of a row of `Scene.surfaces`, metres [4, 3]."""
    x, y, z, heading, half_x, half_z, _ = row / 1000
    cos, sin = math.cos(math.radians(heading)), math.sin(math.radians(heading))
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.array(
        [(x + cos * a * half_x - sin * b * half_z, y, z + sin * a * half_x + cos * b * half_z) for a, b in signs]
    )


def robot(stand):
    """A stand in metres and radians, [1, 3]."""
    return np.array([[stand[0] / 1000, stand[1] / 1000, math.radians(stand[2] / 1000)]])


def test_the_released_scenes_are_the_test_scenes():
    assert len(world.test_scenes()) == 34
    assert "v3_sc3_staging_17" in world.test_scenes()
    assert not set(TRAINING) & set(world.test_scenes())


def test_the_same_name_gives_the_same_scene():
    for name in ("home-0", "home-123456789", "v3_sc0_staging_05"):
        first = furnished(name)
        furnished.cache_clear()
        again = furnished(name)
        assert again is not first
        assert again.layout == first.layout
        for part in ("boxes", "surfaces", "stands", "starts"):
            assert getattr(again.scene, part).tobytes() == getattr(first.scene, part).tobytes()


def test_scenes_change_only_together_with_the_version():
    digest = hashlib.sha256(world.version.encode())
    for name in SCENES:
        scene = world.scene(name)
        for part in (scene.boxes, scene.surfaces, scene.stands, scene.starts):
            digest.update(np.ascontiguousarray(part, "<i8").tobytes())
    assert digest.hexdigest()[:16] == "5620cb8b73567be2", "raise HomeWorld.version, then put the new digest here"


def test_shapes_and_whole_numbers():
    scene = world.scene("home-7")
    assert scene.name == "home-7"
    assert scene.boxes.shape == (len(RECEPTACLES), 7)
    assert scene.surfaces.shape == (len(SURFACES), 7)
    assert scene.stands.shape == (len(TARGETS), 3)
    assert scene.starts.shape[1] == 2
    assert all(part.dtype == np.int64 for part in (scene.boxes, scene.surfaces, scene.stands, scene.starts))


@pytest.mark.parametrize(
    "name", ["home-", "home--1", "home-01", "home-x", "home-" + "9" * 5000, "v3_sc3", "", "home-٣"]
)
def test_an_unknown_scene_is_the_users_problem(name):
    with pytest.raises(UsageProblem, match="unknown scene"):
        world.scene(name)


@pytest.mark.parametrize("name", SCENES)
def test_furniture_stands_free(name):
    layout = furnished(name).layout
    solid = outlines(layout)
    for i, (kind, polygon) in enumerate(solid):
        for other, second in solid[:i]:
            assert (kind, other) == ("wall", "wall") or not overlap(polygon, second), (kind, other)
        x0, z0, x1, z1 = layout.room
        assert kind == "wall" or all(x0 <= x <= x1 and z0 <= z <= z1 for x, z in polygon), kind
    assert [piece.kind for piece in layout.pieces].count("chair") == 1


def test_some_hundred_training_homes_are_sound():
    for number in range(1000, 1300):
        home = furnished(world.train_scene(number))
        solid = outlines(home.layout)
        fixed = [polygon for kind, polygon in solid if kind != "wall"]
        walls = [polygon for kind, polygon in solid if kind == "wall"]
        for i, polygon in enumerate(fixed):
            assert not any(overlap(polygon, other) for other in [*fixed[:i], *walls]), number
        bases = np.array([robot(stand)[0] for stand in home.scene.stands])
        aims = home.targets[:, None] / 1000
        assert within(bases, aims, TARGET_REACH, TARGET_BEARING).all(), number
        for stand in home.scene.stands:
            assert all(distance(stand[0], stand[1], polygon) >= ROBOT_RADIUS - 2 for _, polygon in solid), number
        assert len(home.scene.starts) >= 20, number


@pytest.mark.parametrize("name", SCENES)
def test_the_robot_stands_free_and_faces_its_target(name):
    home = furnished(name)
    solid = outlines(home.layout)
    for target, stand, aim in zip(TARGETS, home.scene.stands, home.targets, strict=True):
        assert min(distance(stand[0], stand[1], polygon) for _, polygon in solid) >= ROBOT_RADIUS - 2, target
        bearing = math.degrees(math.atan2(aim[2] - stand[1], aim[0] - stand[0])) - stand[2] / 1000
        assert abs((bearing + 180) % 360 - 180) < 0.2, target
        assert within(robot(stand), aim[None, None] / 1000, TARGET_REACH, TARGET_BEARING).all(), target


@pytest.mark.parametrize("name", SCENES)
def test_all_of_a_surface_is_within_reach_and_in_view(name):
    scene = world.scene(name)
    for surface, row in zip(SURFACES, scene.surfaces, strict=True):
        receptacle = RECEPTACLES.index(surface)
        base = robot(scene.stands[len(JOINTS) + receptacle])
        points = corners(row)
        assert within(base, points[None], OBJECT_REACH, OBJECT_BEARING).all(), surface
        position, rotation = robot_cameras(base)
        seen = (points - position[0]) @ rotation[0].T.astype(np.float64)
        assert (seen[:, 2] > 0.1).all(), surface
        assert (np.abs(seen[:, :2]) <= seen[:, 2:]).all(), surface
        # Its +z looks to the robot, as far away as it says.
        x, _, z, heading, _, _, away = row / 1000
        angle = math.radians(heading)
        assert base[0, :2] == pytest.approx((x - math.sin(angle) * away, z + math.cos(angle) * away), abs=0.005)
        # What starts on it is on the receptacle.
        box = scene.boxes[receptacle] / 1000
        cos, sin = math.cos(math.radians(box[3])), math.sin(math.radians(box[3]))
        dx, dz = points[:, 0] - box[0], points[:, 2] - box[2]
        assert (np.abs(dx * cos + dz * sin) <= box[4] + 0.003).all(), surface
        assert (np.abs(dz * cos - dx * sin) <= box[6] + 0.003).all(), surface
        assert box[1] - box[5] < row[1] / 1000 < box[1] + box[5], surface
        if surface != "sink":
            assert 4 * row[4] * row[5] > 300_000, f"{surface}: little room for objects"


@pytest.mark.parametrize("name", SCENES[::4])
def test_a_robot_can_walk_from_any_start_to_every_stand(name):
    home = furnished(name)
    x0, z0, x1, z1 = home.layout.room
    step = 50
    xs, zs = np.arange(x0, x1 + 1, step), np.arange(z0, z1 + 1, step)
    grid = np.stack(np.meshgrid(xs, zs, indexing="ij"), axis=-1)
    free = np.ones(grid.shape[:2], bool)
    for _, polygon in outlines(home.layout):
        points = np.array(polygon, float)
        ends = np.roll(points, -1, axis=0)
        along = (ends - points)[:, None, None]
        offset = grid[None] - points[:, None, None]
        part = np.clip((offset * along).sum(-1) / (along * along).sum(-1), 0, 1)[..., None]
        near = np.hypot(*np.moveaxis(offset - part * along, -1, 0)).min(0)
        turn = along[..., 0] * offset[..., 1] - along[..., 1] * offset[..., 0]
        free &= (near >= ROBOT_RADIUS - 1) & ~((turn >= 0).all(0) | (turn <= 0).all(0))

    def cell(x, z):
        i, j = (x - x0) // step, (z - z0) // step
        return next((i + a, j + b) for a in (0, 1, -1, 2) for b in (0, 1, -1, 2) if free[i + a, j + b])

    reached = np.zeros_like(free)
    reached[cell(*home.scene.starts[0])] = True
    count = 0
    while reached.sum() != count:
        count = reached.sum()
        for _ in range(20):
            reached[1:] |= reached[:-1]
            reached[:-1] |= reached[1:]
            reached &= free
            reached[:, 1:] |= reached[:, :-1]
            reached[:, :-1] |= reached[:, 1:]
            reached &= free
    assert len(home.scene.starts) >= 20
    assert all(reached[cell(*place)] for place in home.scene.starts)
    assert all(reached[cell(*stand[:2])] for stand in home.scene.stands)


@pytest.mark.parametrize("name", SCENES[::5])
def test_left_and_right_are_as_seen_from_before_the_counter(name):
    scene = world.scene(name)
    x, z, heading = scene.stands[TARGETS.index("sink")]
    right = -math.sin(math.radians(heading / 1000)), math.cos(math.radians(heading / 1000))
    order = ["left counter", "sink", "right counter"]
    along = [
        (scene.boxes[RECEPTACLES.index(name), 0] - x) * right[0]
        + (scene.boxes[RECEPTACLES.index(name), 2] - z) * right[1]
        for name in order
    ]
    assert along == sorted(along)
    drawers = [RECEPTACLES.index("left drawer"), RECEPTACLES.index("right drawer")]
    left, far = ((scene.boxes[i, 0] - x) * right[0] + (scene.boxes[i, 2] - z) * right[1] for i in drawers)
    assert left < far


def test_training_homes_vary():
    layouts = [furnished(name).layout for name in TRAINING]
    counters = {layout.piece("kitchen counter").heading for layout in layouts}
    assert counters == {0, 90_000, 180_000, 270_000}
    assert len({layout.room for layout in layouts}) == len(layouts)
    assert len({layout.colours for layout in layouts}) > 20
    assert 0 < sum(len(layout.walls) > layout.outer for layout in layouts) < len(layouts)
    for kind in MOVABLE:
        assert 0 < sum(layout.piece(kind).heading % 90_000 != 0 for layout in layouts) < len(layouts) / 2
    for kind in ("window", "lamp", "plant", "rug", "picture"):
        assert any(piece.kind == kind for layout in layouts for piece in layout.pieces), kind
    fridges = [np.sign(np.subtract(*places(layout))) for layout in layouts]
    assert {-1, 1} <= set(fridges)


def places(layout):
    """How far along the counter the fridge and the sink are."""
    counter, fridge = layout.piece("kitchen counter"), layout.piece("fridge")
    angle = math.radians(counter.heading / 1000)
    return (fridge.x - counter.x) * math.cos(angle) + (fridge.z - counter.z) * math.sin(angle), 0


def test_released_furniture_is_where_the_released_objects_lie():
    scene = world.scene("v3_sc3_staging_00")
    known = {"sofa": (3528, 5854), "black table": (3629, 7552), "brown table": (1454, 2033), "sink": (-2154, 1948)}
    for name, centre in known.items():
        box = scene.boxes[RECEPTACLES.index(name)]
        assert abs(box[0] - centre[0]) <= 2 and abs(box[2] - centre[1]) <= 2, name
    assert released_names()[0] == "v3_sc0_staging_00"


def test_a_scene_is_built_in_a_few_milliseconds():
    import time

    furnished.cache_clear()
    start = time.process_time()
    for i in range(50):
        world.scene(f"home-{5000 + i}")
    assert (time.process_time() - start) / 50 < 0.05
