"""Scene descriptions and their mistakes, and what can be wrong with Habitat on a machine: each told in one line.

Workers run on `habitat_double`, a stand-in of habitat-sim's interface.
"""

import ast
import sys
from pathlib import Path

import llarp_habitat
import numpy as np
import pytest
from habitat_scenes import DOUBLE, write_scene
from llarp_habitat import failures
from llarp_habitat.connection import Worker
from llarp_habitat.description import expanded, load_description
from llarp_habitat.machine import GPU, PYTHON, Machine, machine
from llarp_habitat.world import HabitatWorld

from llarp_cli.config import TaskOptions
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.rearrangement.simulator import Demanding
from llarp_cli.rearrangement.splits import TrainingEpisodes
from llarp_cli.rearrangement.vocabulary import JOINTS, RECEPTACLES


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def double(monkeypatch, cache):
    """A machine whose workers use the double, whatever else there is."""
    monkeypatch.setenv("PYTHONPATH", str(DOUBLE))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv(GPU, "-1")
    monkeypatch.delenv(PYTHON, raising=False)
    return Machine(sys.executable, Path("data"), -1)


# Descriptions


def test_names_are_counted_out():
    assert expanded(("a", "v3_sc{0-1}_staging_{09-10}")) == (
        "a",
        "v3_sc0_staging_09",
        "v3_sc0_staging_10",
        "v3_sc1_staging_09",
        "v3_sc1_staging_10",
    )


def test_replica_cad_is_the_releases(tmp_path):
    found = load_description("replica-cad", tmp_path)
    assert len(found.train) == 54 and len(found.unseen) == 9 and len(found.test) == 21
    assert not set(found.train) & {*found.unseen, *found.test}
    assert set(found.written.receptacles) == set(RECEPTACLES) and set(found.written.joints) == set(JOINTS)
    from llarp_cli.rearrangement.released.tasks import RECEPTACLE_IDS

    named = {pattern.removeprefix("*|"): name for name, pattern in found.written.receptacles.items()}
    assert named == RECEPTACLE_IDS


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("sofa:", "soffa:", "unknown receptacle 'soffa'"),
        ("fridge: {object", "frige: {object", "unknown joint 'frige'"),
        ("open: 1.5", "opened: 1.5", "joints.fridge"),
        ("name: two-tables", "name: [", "cannot be read as YAML"),
        ("template: table, name: big,", "template: table,", "added without a name"),
        ("{urdf: fridge.urdf", "{urdf: fridge.urdf, template: table", "template and urdf"),
        ("  sofa: receptacle_aabb_low\n", "", "fewer than two surfaces"),
    ],
)
def test_mistakes_in_a_description_are_one_line(tmp_path, old, new, told):
    path = write_scene(tmp_path)
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageProblem) as caught:
        load_description(str(path), tmp_path)
    assert told in caught.value.message and "\n" not in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "receptacle_aabb_low",
            "receptacle_aabb_lower",
            "no receptacle receptacle_aabb_lower (sofa); it has big_:0000|",
        ),
        ('object: "fridge_:*"', 'object: "fritch_:*"', "no object 'fritch_:*'"),
        ("link: door", "link: dor", "no link dor of fridge_:*; it has base, door"),
        ("link: door", "link: base", "nothing slides or turns link base of fridge_:*"),
        ("template: low", "template: lowest", "no object template is called 'lowest'"),
        ("fridge.urdf", "fritch.urdf", "fritch.urdf' is not there"),
        ("home_objects: true", "home_objects: false", "no object template is called '05"),
        ("[room.glb], test", "[roam.glb], test", "roam.glb' is not there"),
    ],
)
def test_what_a_scene_lacks_is_one_line(double, tmp_path, old, new, told):
    path = write_scene(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    world = HabitatWorld(str(path))
    with pytest.raises(UsageProblem) as caught:
        world.scene(world.train_scene(0))
        world.sizes  # noqa: B018
    world.close()
    assert told in caught.value.message and "\n" not in caught.value.message and caught.value.hint


# What goes wrong


@pytest.mark.parametrize(
    ("variable", "value", "told", "hint"),
    [
        ("PYTHONPATH", "", "has no habitat-sim", "conda install"),
        ("HABITAT_DOUBLE_VERSION", "0.2.5", "is 0.2.5, not 0.3.3 or 0.3.4", "conda install"),
        ("HABITAT_DOUBLE_BULLET", "0", "was built without Bullet", "withbullet"),
        ("HABITAT_DOUBLE_BROKEN", "numpy", "was built for another numpy", "numpy==1.26.4"),
        ("HABITAT_DOUBLE_BROKEN", "egl", "EGL does not work: WindowlessContext", "libegl1"),
        (GPU, "7", "LLARP_HABITAT_GPU is 7, and this machine shows", "export LLARP_HABITAT_GPU=-1"),
        (GPU, "one", "is 'one', which is no number", "export LLARP_HABITAT_GPU=0"),
        (PYTHON, "/no/python", "is '/no/python', which is no program", "export LLARP_HABITAT_PYTHON="),
    ],
)
def test_doctor_tells_what_is_wrong_in_one_line(double, monkeypatch, variable, value, told, hint):
    monkeypatch.setenv(variable, value)
    world = HabitatWorld("homes")
    assert isinstance(world, Demanding)
    ((message, command),) = world.problems(thorough=True)
    assert told in message and hint in command and "\n" not in message + command


def test_doctor_is_content_where_all_is_well(double, tmp_path):
    assert HabitatWorld("homes").problems(thorough=True) == []
    assert HabitatWorld(str(write_scene(tmp_path))).problems(thorough=True) == []


def test_doctor_names_the_download(double, monkeypatch, tmp_path):
    monkeypatch.setenv("LLARP_HABITAT_DATA", str(tmp_path))
    ((message, command),) = HabitatWorld().problems(thorough=True)
    assert "is not there" in message and "datasets_download --uids replica_cad_dataset ycb" in command


def test_each_known_trouble_is_a_line_and_a_hint():
    for kind in failures.KINDS:
        problem = failures.told(kind, "this", "/bin/python", "data")
        assert isinstance(problem, UsageProblem) and problem.hint and "{" not in problem.message + problem.hint
    other = failures.told("failed", "KeyError: 'x' (engine.py:3)", "/bin/python", "data")
    assert type(other) is LlarpError and "KeyError" in other.message


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("unable to find CUDA device 1 among 1 EGL devices in total", "cannot draw on device 0"),
        ("GLX context does not support multiple GPUs. Please compile with --headless", "built to draw on a display"),
        ("WindowlessContext: Unable to create windowless context", "EGL does not work"),
        ("std::bad_alloc", "ran out of memory"),
        ("something else", "ended with status 1: something else"),
        ("", "ended with status 1"),
    ],
)
def test_why_a_worker_died_is_read_off_its_log(log, told):
    problem = failures.died(log, 1, "/bin/python", 0)
    assert told in problem.message and problem.hint and "\n" not in problem.message


def test_a_worker_that_dies_is_told_apart(double, tmp_path):
    world = HabitatWorld(str(write_scene(tmp_path)))
    placed = TrainingEpisodes(world, TaskOptions(objects=4), 0).episode(0).arrangement
    world.close()
    simulator = world.simulator(2, 3)
    with pytest.raises(ValueError, match="4 objects do not fit"):
        simulator.reset(0, placed)
    simulator._workers[1]._process.kill()
    with pytest.raises(LlarpError, match="ended with status -9"):
        simulator.render(16, np.array([1]))
    processes = [worker._process for worker in simulator._workers]
    simulator.close()
    assert all(process.poll() is not None for process in processes)


def test_workers_end_with_their_parent(double):
    worker = Worker(double)
    assert worker.ask("hello")["habitat_sim"].startswith("0.3")
    worker._end.close()
    assert worker._process.wait(10) == 0
    worker._log.close()


def test_a_busy_worker_ends_with_its_parent(double, monkeypatch):
    monkeypatch.setenv("HABITAT_DOUBLE_BROKEN", "slow")
    worker = Worker(double)
    worker.tell("hello")  # would take ten minutes
    worker._end.close()
    assert worker._process.wait(30) == 0
    worker._log.close()


def test_ranks_have_devices_of_their_own(monkeypatch):
    monkeypatch.setattr("llarp_habitat.machine.visible_gpus", lambda: 2)
    monkeypatch.delenv(GPU, raising=False)
    chosen = []
    for rank in range(4):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        chosen.append(machine().gpu)
    assert chosen == [0, 1, 0, 1]
    monkeypatch.setattr("llarp_habitat.machine.visible_gpus", lambda: 0)
    assert machine().gpu == -1


def test_the_worker_needs_python_3_9_numpy_and_habitat_sim_only():
    allowed = {"numpy", "habitat_sim", "magnum", "__future__", *sys.stdlib_module_names}
    for path in (Path(llarp_habitat.__file__).parent / "worker").glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            assert {name.split(".")[0] for name in names} <= allowed, path
