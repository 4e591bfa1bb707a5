"""Habitat behind the benchmark: worker processes, scenes, predicates, released episodes, and what goes wrong.

habitat-sim has no build on the Python registry. Where it is missing, workers run on `habitat_double`, a stand-in of
its interface with boxes for meshes; the same tests run on the real one where LLARP_HABITAT_PYTHON names an
interpreter that has it, and are seen to be skipped where not.
"""

import json
import math
import os
import pickle
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from habitat_scenes import DOUBLE, write_scene
from hypothesis import given, settings
from hypothesis import strategies as st
from llarp_habitat.geometry import _box
from llarp_habitat.glb import _triangles, write_glb
from llarp_habitat.machine import GPU, PYTHON
from llarp_habitat.simulator import rotation
from llarp_habitat.worker import poses
from llarp_habitat.worker.engine import Engine
from llarp_habitat.world import HabitatWorld
from released_files import brought, episode, released

from llarp_cli.config import TaskOptions
from llarp_cli.dataset_import import import_file
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.actors import ExpertActor, PlannerActor
from llarp_cli.evaluation.evaluate import evaluate, evaluate_policy
from llarp_cli.home import world as home_world
from llarp_cli.home.camera import robot_cameras
from llarp_cli.rearrangement.arrangements import arrange
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episode_files import read_episodes, write_episodes
from llarp_cli.rearrangement.episodes import PlacedObject
from llarp_cli.rearrangement.facts import Facts, inside
from llarp_cli.rearrangement.relations import RELATIONS, answer
from llarp_cli.rearrangement.splits import TrainingEpisodes, possible, training_task
from llarp_cli.rearrangement.tasks import make_task
from llarp_cli.rearrangement.vocabulary import JOINTS, RECEPTACLES, SURFACES, TARGETS

HOME = "home-3"
SIZE = 24


@pytest.fixture(scope="module", params=["double", pytest.param("habitat-sim", marks=pytest.mark.habitat)])
def engine(request, tmp_path_factory):
    """The simulator that workers use: the double, or habitat-sim itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        if request.param == "double":
            patch.setenv("PYTHONPATH", str(DOUBLE))
            patch.delenv(PYTHON, raising=False)
            patch.setenv(GPU, "-1")
        elif not os.environ.get(PYTHON):
            pytest.skip(f"habitat-sim is not here: {PYTHON} names no interpreter that has it")
        yield request.param


@pytest.fixture(scope="module")
def homes(engine):
    """The embedded home's scenes, in Habitat."""
    world = HabitatWorld("homes")
    yield world
    world.close()


@pytest.fixture(scope="module")
def tables(engine, tmp_path_factory):
    """A scene with two tables and a fridge, and nothing else."""
    world = HabitatWorld(str(write_scene(tmp_path_factory.mktemp("scene"))))
    yield world
    world.close()


def arrangement(world, scene=HOME, family="move", index=0):
    task = make_task(family, Draws("test", index))
    return arrange(task, world.scene(scene), world.sizes, 12, Draws("stand", index))


@pytest.fixture(scope="module")
def pair(homes):
    """One arrangement in Habitat and in the embedded home."""
    placed = arrangement(homes)
    both = homes.simulator(1, 16), home_world.simulator(1, 16)
    for simulator in both:
        simulator.reset(0, placed)
    yield both
    both[0].close()


# Scenes


def test_the_homes_are_where_they_are_in_the_embedded_home(homes):
    here, there = homes.scene(HOME), home_world.scene(HOME)
    assert np.abs(here.boxes[:, [0, 2]] - there.boxes[:, [0, 2]]).max() <= 1
    assert np.abs(here.boxes[:, [4, 6]] - there.boxes[:, [4, 6]]).max() <= 1
    assert ((here.boxes[:, 3] - there.boxes[:, 3]) % 180_000 % 179_999 <= 1).all()
    # A drawer opens along its local +z in both.
    assert np.abs(here.boxes[9:, 3] - there.boxes[9:, 3]).max() <= 1
    targets = homes.known(HOME).targets
    simulator = home_world.simulator(1, 16)
    simulator.reset(0, arrangement(home_world))
    assert np.abs(targets[:5] - simulator.targets[0, :5]).max() < 0.002
    assert here.absent == frozenset() and len(here.starts) > 100


def test_the_robot_stands_free_and_faces_what_it_goes_to(homes):
    scene, floor = homes.scene(HOME), home_world.scene(HOME)
    for row, (x, z, heading) in enumerate(scene.stands.tolist()):
        to = homes.known(HOME).targets[row] * 1000
        bearing = math.atan2(to[2] - z, to[0] - x)
        assert abs(math.remainder(bearing - math.radians(heading / 1000), 2 * math.pi)) < 1e-3, TARGETS[row]
        assert math.hypot(to[0] - x, to[2] - z) <= 2000
        # Some free place of the embedded home is near.
        assert np.hypot(*(floor.starts - [x, z]).T).min() < 400


def test_assets_are_as_large_as_in_the_embedded_home(homes):
    for asset, size in homes.sizes.items():
        there = home_world.sizes[asset]
        assert abs(size.rest_height - there.rest_height) <= 1 and abs(size.height - there.height) <= 3
        assert 0.6 < size.radius / there.radius < 1.4


def test_templates_are_those_of_the_scene_that_is_loaded():
    """habitat-sim keeps the templates of scenes that were loaded before; chairs of all homes have one name."""
    handles = [f"/{folder}/llarp_chair.object_config.json" for folder in ("home-0", "home-1", "home-2")]
    known = [*handles, "llarp_chair_here"]
    templates = SimpleNamespace(get_template_handles=lambda name: [handle for handle in known if name in handle])
    engine = object.__new__(Engine)
    engine.simulator = SimpleNamespace(get_object_template_manager=lambda: templates)
    engine.spec = {"objects": ["/home-1"]}
    assert engine.template("llarp_chair") == handles[1]
    assert engine.template("llarp_chair_here") == "llarp_chair_here"


def test_a_scene_of_two_tables_has_two_tables(tables):
    known = tables.known("room.glb")
    scene = known.scene
    rooms = {SURFACES[i] for i in np.flatnonzero(scene.surfaces[:, 4])}
    assert rooms == {"black table", "sofa"}
    assert scene.absent == {name for name in TARGETS if name not in ("black table", "sofa", "fridge", "fridge handle")}
    table = scene.boxes[RECEPTACLES.index("black table")]
    # Turned by 30 degrees against the clock from above, which is -30 as headings go; its top is at 0.7 m.
    assert table[[0, 2]].tolist() == [1600, 500] and table[3] % 180_000 == 150_000
    assert table[4] == pytest.approx(1.2 * 480, abs=1) and table[6] == 280
    assert scene.surfaces[SURFACES.index("black table"), 1] == pytest.approx(700, abs=2)
    assert known.targets[TARGETS.index("fridge handle")].tolist() == pytest.approx([0.2, 0.9, -1.93], abs=1e-3)
    # What is not there is out of reach from everywhere, and going there harms nobody.
    assert not any(answer(name, scene) for name in RELATIONS if {"sink", "TV stand"} & set(RELATIONS[name].named))
    absent = scene.boxes[RECEPTACLES.index("sink"), [0, 2]]
    assert (absent > 100_000).all()
    assert scene.stands[TARGETS.index("sink")].tolist() == [*scene.starts[0].tolist(), 0]


def test_tasks_are_those_that_a_scene_has_the_furniture_for(tables):
    scene = tables.scene("room.glb")
    source = TrainingEpisodes(tables, TaskOptions(objects=8), 0)
    for index in range(30):
        made = source.episode(index)
        places = {place for slot, place in made.slots.items() if slot.startswith(("source", "target"))}
        assert places <= {"black table", "sofa"}
    drawn = [training_task("train", index, ["move"]) for index in range(60)]
    assert {possible(task, scene) for task in drawn} == {True, False}
    home = home_world.scene(HOME)
    assert all(possible(task, home) for task in drawn)


# Skills


def test_states_are_equal_after_the_same_skills(pair):
    habitat, home = pair
    one = np.array([0])
    assert np.abs(habitat.positions - home.positions).max() < 2e-3
    assert (habitat.categories == home.categories).all() and habitat.held[0] == -1
    facts = Facts(habitat), Facts(home)

    def both(do, *arguments):
        for simulator, known in zip(pair, facts, strict=True):
            getattr(simulator, do)(one, *arguments)
            known.refresh(one, one)

    for receptacle, name in enumerate(RECEPTACLES):
        both("go_to", np.array([TARGETS.index(name)]))
        assert all(known.at_target[0, TARGETS.index(name)] for known in facts)
        both("grasp", np.array([3]))
        assert habitat.held[0] == 3 and not facts[0].on[0, 3].any()
        at = habitat.positions[0, 3] - [habitat.robot[0, 0], 0, habitat.robot[0, 1]]
        ahead = at[0] * math.cos(habitat.robot[0, 2]) + at[2] * math.sin(habitat.robot[0, 2])
        assert ahead == pytest.approx(poses.HELD_AHEAD, abs=1e-5) and at[1] == pytest.approx(
            poses.HELD_HEIGHT, abs=1e-3
        )
        both("release", np.array([receptacle]), np.array([[0.3, -0.9]]))
        assert habitat.held[0] == -1 and habitat.drawers[0, 3] == home.drawers[0, 3]
        assert facts[0].on[0, 3, receptacle] and facts[1].on[0, 3, receptacle], name
        # Where another object stands at the spot, footprints decide how far it is moved aside, and they differ.
        assert np.abs(habitat.positions[0, 3] - home.positions[0, 3])[[0, 2]].max() < 0.1, name
    for joint, value in enumerate((0.45, 0.45, 0.45, 0.45, 1.22)):
        before = habitat.positions.copy(), home.positions.copy()
        both("set_joints", np.array([joint]), np.array([value]))
        assert facts[0].opened[0].tolist() == facts[1].opened[0].tolist()
        moved = habitat.positions - before[0]
        assert np.abs(moved - (home.positions - before[1])).max() < 2e-3, JOINTS[joint]
    both("set_joints", np.array([2]), np.array([0.0]))
    assert facts[0].closed[0, 2] and not facts[0].opened[0, 2]


def test_what_is_put_in_a_drawer_that_opens_less_lies_in_it(homes, monkeypatch):
    described = homes.spec

    def shallow(scene):
        spec = json.loads(json.dumps(described(scene)))
        for joint in (spec["joints"]["left drawer"], *filter(None, spec["joint_order"])):
            if joint["link"] == "left_drawer":
                joint["open"] = 0.3
        return spec

    monkeypatch.setattr(homes, "spec", shallow)
    simulator = homes.simulator(1, 16)
    simulator.reset(0, arrangement(homes))
    one, drawer, slide = np.array([0]), np.array([RECEPTACLES.index("left drawer")]), np.array([0])
    lain = []
    for value in (0.0, 0.45):
        simulator.set_joints(one, slide, np.array([value]))
        simulator.grasp(one, np.array([3]))
        simulator.release(one, drawer, np.array([[0.3, 0.2]]))
        simulator.set_joints(one, slide, np.array([0.0]))
        lain.append(simulator.positions[0, 3].copy())
    simulator.close()
    assert np.abs(lain[0] - lain[1]).max() < 2e-3


def test_objects_do_not_stand_in_each_other(homes):
    simulator = homes.simulator(1, 16)
    simulator.reset(0, arrangement(homes, index=4))
    one, spot = np.array([0]), np.array([[0.0, 0.0]])
    table = np.array([RECEPTACLES.index("black table")])
    for number in range(4):
        simulator.grasp(one, np.array([number]))
        simulator.release(one, table, spot)
    at = simulator.positions[0, :4][:, [0, 2]]
    assert min(math.dist(at[i], at[j]) for i in range(4) for j in range(i)) > 0.05
    simulator.close()


def test_the_planners_reach_their_goals(homes):
    source = TrainingEpisodes(homes, TaskOptions(homes=1, objects=14), 0)
    episodes = [source.episode(index) for index in range(2)]
    for actor in (PlannerActor(), ExpertActor()):
        actor.image_size = SIZE
        found = evaluate(actor, homes, episodes, num_envs=2)
        assert [one.success for one in found] == [True] * 2


def test_the_planner_reaches_its_goals_among_two_tables(tables):
    source = TrainingEpisodes(tables, TaskOptions(objects=6), 1)
    actor = PlannerActor()
    actor.image_size = SIZE
    found = evaluate(actor, tables, [source.episode(index) for index in range(3)], num_envs=1)
    assert [one.success for one in found] == [True] * 3


def test_env_names_the_place(engine, homes, tmp_path):
    source = TrainingEpisodes(homes, TaskOptions(homes=1, objects=10), 3)
    write_episodes(tmp_path / "two.jsonl", [source.episode(0), source.episode(1)])
    found = evaluate_policy("planner", episode_file=tmp_path / "two.jsonl", environment="habitat:homes", num_envs=1)
    assert [one.success for one in found.outcomes] == [True, True]


@pytest.mark.slow
def test_the_benchmark_measures_and_films(engine, tmp_path, monkeypatch):
    few = {"--episodes": 2, "--homes": 1, "--frames": 2, "--steps": 2, "--num-envs": 1, "--out": tmp_path}
    monkeypatch.setattr("sys.argv", ["habitat.py", *(str(word) for pair in few.items() for word in pair)])
    runpy.run_path(str(Path(__file__).parents[1] / "benchmarks/habitat.py"), run_name="__main__")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["planner"] == {"episodes": 2, "successes": 2}
    for place in ("home", "habitat:homes"):
        assert (
            set(results[place]["frames_per_second"]) == {"64", "128", "224"} and results[place]["steps_per_second"] > 0
        )
    assert (tmp_path / "planner.mp4").stat().st_size > 1000 and 0 <= results["policy"]["success"] <= 1


# Pictures


def test_pictures_show_what_stands_there(homes):
    simulator = homes.simulator(2, 16)
    for row in range(2):
        simulator.reset(row, arrangement(homes, index=row))
    rows = np.arange(2)
    simulator.go_to(rows, np.array([TARGETS.index("black table")] * 2))
    pictures = simulator.render(SIZE).copy()
    assert pictures.shape == (2, SIZE, SIZE, 3) and pictures.dtype == np.uint8
    seen, ids = simulator.visible().copy(), simulator.segmentation().copy()
    for row in range(2):
        counts = np.bincount(ids[row].ravel() + 1, minlength=17)[1:]
        assert (counts == seen[row]).all()
        boxes = np.linalg.norm(simulator.positions[row] - simulator.targets[row, 6], axis=1)
        assert {n for n in range(12) if boxes[n] < 0.6} <= set(np.flatnonzero(seen[row]).tolist())
    depth = simulator.depth(SIZE)
    assert depth.shape == (2, SIZE, SIZE) and 0.3 < np.median(depth[depth > 0]) < 10
    # Only what is asked for is drawn.
    simulator.go_to(np.array([1]), np.array([TARGETS.index("sofa")]))
    again = simulator.render(SIZE, np.array([1]))
    assert (again[0] == pictures[0]).all() and (again[1] != pictures[1]).any()
    assert (simulator.visible()[0] == seen[0]).all()
    for camera in ("first_person", "third_person", "top_down"):
        assert simulator.picture(0, 64, camera).shape == (64, 64, 3)
    assert (simulator.render(SIZE)[0] == pictures[0]).all()
    # Another size takes another simulator, in which everything is where it was.
    assert simulator.render(2 * SIZE).shape == (2, 2 * SIZE, 2 * SIZE, 3)
    assert (simulator.visible()[0] > 2 * seen[0])[seen[0] > 20].all()
    with pytest.raises(UsageProblem, match="cannot be 4096 pixels"):
        simulator.render(4096)
    simulator.close()


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(-7, 7))
def test_the_camera_is_that_of_the_embedded_home(x, z, heading):
    robot = np.array([x, z, heading])
    eye = poses.point(robot, (poses.AHEAD, poses.HEIGHT, 0.0), 0.0)
    turn = matrix(poses.looking(eye, poses.point(robot, (*poses.LOOKS_AT, 0.0), 0.0)))
    place, rows = robot_cameras(robot[None])
    assert np.abs(eye - place[0]).max() < 1e-5
    # Habitat's cameras look along -z with +y up; the home's rows are right, down, forward.
    assert np.abs(turn - np.stack([rows[0, 0], -rows[0, 1], -rows[0, 2]], axis=1)).max() < 1e-5


@given(st.floats(-10, 10))
def test_turns_are_headings(heading):
    turn = matrix(poses.about_up(heading))
    assert np.abs(turn @ [1, 0, 0] - [math.cos(heading), 0, math.sin(heading)]).max() < 1e-9
    assert np.abs(turn @ [0, 0, 1] - [-math.sin(heading), 0, math.cos(heading)]).max() < 1e-9


@given(st.integers(0, 10**9))
def test_quaternions_are_those_of_their_rotations(seed):
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    assert np.abs(matrix(poses.quaternion(turn)) - turn).max() < 1e-9


def matrix(quaternion):
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@settings(max_examples=40)
@given(st.data())
def test_predicates_are_those_of_the_annotated_box(data):
    """A point is in our box where it is in the annotated one, turned as its parent is; a drawer's box faces out."""
    heading = data.draw(st.floats(-7, 7))
    half = np.array([data.draw(st.floats(0.05, 1)) for _ in range(3)])
    order = data.draw(st.permutations(range(3)))
    turn = matrix(poses.about_up(heading))
    axes = (half[:, None] * turn.T)[list(order)]
    centre = np.array([0.4, 1.0, -0.7])
    slide = turn @ [[0.45, 0, 0], [0, 0, -0.45]][data.draw(st.integers(0, 1))]
    facts = {"centre": centre.tolist(), "axes": axes.tolist(), "surface": centre[1] - half[1]}
    box = _box("left drawer", facts, {"left drawer": {"slide": slide.tolist()}})
    out = np.array([-math.sin(box.heading), 0, math.cos(box.heading)])
    assert out @ slide == pytest.approx(0.45, abs=1e-6)
    row = np.array([[[box.x, box.y, box.z, box.heading, box.half_x, box.half_y, box.half_z]]])
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    local = random.uniform(-1.5, 1.5, (60, 3))
    points = centre + (local * half) @ turn.T
    expected = (np.abs(local[:, [0, 2]]) <= 1).all(axis=1) & (np.abs(points[:, 1] - box.y) <= box.half_y)
    edge = (np.abs(np.abs(local) - 1) < 1e-6).any(axis=1)
    assert (inside(points[None], row)[0, :, 0] == expected)[~edge].all()
    assert box.y - box.half_y <= centre[1] - half[1] and box.y + box.half_y >= centre[1] + half[1]


def test_meshes_are_what_they_are_made_of(tmp_path):
    from llarp_cli.home.shapes import ASSET_SHAPES

    for asset in ("013_apple", "065-a_cups", "043_phillips_screwdriver", "003_cracker_box"):
        corners, normals, colours = _triangles(ASSET_SHAPES[asset])
        outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert (np.einsum("ni,ni->n", outward, normals) > 0).all(), asset
        assert colours.min() >= 0 and colours.max() <= 63
        write_glb(tmp_path / "one.glb", ASSET_SHAPES[asset])
        data = (tmp_path / "one.glb").read_bytes()
        size = int.from_bytes(data[12:16], "little")
        document = json.loads(data[20 : 20 + size])
        assert sum(one["count"] for one in document["accessors"]) == 6 * len(corners)
        assert len(data) == 20 + size + 8 + document["buffers"][0]["byteLength"]


# Released episodes


def test_released_episodes_keep_their_poses(homes, tmp_path):
    content = released([episode("f0917e29", "Bring an apple to the sofa.", brought("apple", "sofa"), scene=HOME)])
    tilt = matrix(np.array([0.2, 0.5, -0.1, 0.8]) / np.linalg.norm([0.2, 0.5, -0.1, 0.8]))
    content["all_transforms"][0, :3, :3] = tilt
    (tmp_path / "some.pickle").write_bytes(pickle.dumps(content))
    report = import_file(tmp_path / "some.pickle", tmp_path / "some.jsonl", homes)
    assert report.changes == () and report.scenes == 1
    (made,) = read_episodes(tmp_path / "some.jsonl")
    assert made.arrangement.scene == HOME
    stored = {tuple(np.round(1000 * pose[:3, 3]).astype(int)): pose for pose in content["all_transforms"]}
    for placed in made.arrangement.objects:
        pose = stored.pop(placed.position)
        assert np.abs(matrix(rotation(placed)) - pose[:3, :3]).max() < 1e-5
    assert not stored
    simulator = homes.simulator(1, 64)
    simulator.reset(0, made.arrangement)
    count = len(made.arrangement.objects)
    simulator.render(SIZE)
    expected = np.array([placed.position for placed in made.arrangement.objects]) / 1000
    assert np.abs(simulator.positions[0, :count] - expected).max() < 1e-6
    simulator.close()


def test_a_rotation_in_a_file_is_one(tmp_path, homes):
    made = TrainingEpisodes(homes, TaskOptions(homes=1, objects=3), 0).episode(0)
    write_episodes(tmp_path / "one.jsonl", [made])
    record = json.loads((tmp_path / "one.jsonl").read_text())
    record["objects"][0]["rotation"] = [0, 0, 0, 5]
    (tmp_path / "one.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(UsageProblem, match=r"line 1: objects\[0\]: rotation is \[0, 0, 0, 5\]"):
        read_episodes(tmp_path / "one.jsonl")


def test_upright_objects_are_turned_by_their_heading():
    placed = PlacedObject("013_apple", (0, 0, 0), 90_000, "sofa")
    assert np.abs(matrix(rotation(placed)) @ [1, 0, 0] - [0, 0, 1]).max() < 1e-9
