"""The benchmark in habitat-lab, as it is installed: registry, configuration, Env, gym wrapper, and interfaces.

`make test-habitat` runs this where habitat-lab is, in an environment of its own: its pins are not ours. The embedded
home is behind it. habitat-sim has no build there, and habitat-lab imports it (0.3.4 imports magnum even for `import
habitat`), without using it for what is tested here: where it is missing, an EMPTY STAND-IN takes its place.
"""

import ast
import importlib.util
import inspect
import re
import sys
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("habitat") is None:
    pytest.skip("habitat-lab is not installed here: make test-habitat", allow_module_level=True)
if importlib.util.find_spec("habitat_sim") is None:
    from habitat_stand_in import StandIn

    sys.meta_path.append(StandIn("habitat_sim", "magnum", "corrade"))

import habitat
from habitat.core.env import Env
from habitat.core.registry import registry

from llarp_cli.home import world as home_world
from llarp_cli.rearrangement.environment import RearrangementEnv
from llarp_cli.rearrangement.skills import SKILL_INDEX, SKILLS
from llarp_cli.rearrangement.splits import EpisodeList, split_episodes
from llarp_habitat import lab

INSTALLED = Path(habitat.__file__).parent
WORKER = Path(lab.__file__).parent / "worker"


@pytest.fixture
def env():
    made = Env(lab.configuration("home", split="new_scenes", image_size=64, limit=3, seed=5))
    yield made
    made.close()


def test_everything_is_registered():
    for kind, name in (
        ("simulator", lab.SIMULATOR),
        ("dataset", lab.DATASET),
        ("task", lab.TASK),
        ("task_action", lab.ACTION),
        ("sensor", lab.SENSOR),
        ("measure", lab.REWARD),
        ("measure", lab.SUCCESS),
    ):
        assert getattr(registry, f"get_{kind}")(name).__module__ == "llarp_habitat.lab"


def test_an_episode_in_env_is_the_benchmarks(env):
    episodes = split_episodes(home_world, "new_scenes")[:3]
    own = RearrangementEnv(home_world, EpisodeList(episodes), image_size=64, seed=5)
    assert [one.episode_id for one in env.episodes] == [one.id for one in episodes]
    for _ in range(2):
        seen = env.reset()
        expected, _ = own.reset()
        assert (seen["rgb"] == expected["rgb"]).all()
        assert bytes(seen["instruction"]).rstrip(b"\0").decode() == expected["instruction"]
        for action in own.plan():
            seen = env.step({"action": "skill", "action_args": {"skill": action}})
            expected, reward, done, _, _ = own.step(action)
            assert (seen["rgb"] == expected["rgb"]).all()
            assert env.get_metrics() == {"reward": pytest.approx(reward), "success": float(done)}
        assert env.episode_over and env.get_metrics()["success"] == 1.0


def test_an_episode_ends_after_32_skills(env):
    env.reset()
    idle = SKILL_INDEX["place", "chair"]
    for step in range(32):
        assert not env.episode_over, step
        env.step({"action": "skill", "action_args": {"skill": idle}})
    assert env.episode_over and env.get_metrics()["success"] == 0.0


def test_spaces_are_those_of_the_benchmark(env):
    assert env.action_space.spaces["skill"].n == len(SKILLS) == 70
    assert env.observation_space.spaces["rgb"].shape == (64, 64, 3)
    assert set(env.observation_space.spaces) == {"rgb", "instruction"}


def test_start_poses_are_habitats(env):
    for one in env.episodes:
        x, z, heading = one.episode.arrangement.robot
        assert one.start_position == [x / 1000, 0.0, z / 1000]
        _, y, _, w = one.start_rotation
        ahead = np.array([-2 * y * w, -(1 - 2 * y * y)])  # -z, turned
        expected = [np.cos(np.radians(heading / 1000)), np.sin(np.radians(heading / 1000))]
        assert ahead == pytest.approx(expected, abs=1e-9)


def test_the_gym_wrapper_plays_episodes():
    from habitat.gym import make_gym_from_config

    made = make_gym_from_config(lab.configuration("home", split="new_scenes", image_size=32, limit=1))
    assert made.action_space.n == 70
    seen = made.reset()
    assert seen["rgb"].shape == (32, 32, 3)
    own = RearrangementEnv(home_world, EpisodeList(split_episodes(home_world, "new_scenes")[:1]), image_size=32)
    own.reset()
    total = 0.0
    for action in own.plan():
        seen, reward, done, info = made.step(action)
        expected, paid, _, _, _ = own.step(action)
        total += reward
        assert reward == pytest.approx(paid) and (seen["rgb"] == expected["rgb"]).all()
    assert done and info["success"] == 1.0 and total == pytest.approx(15.0, abs=1e-6)
    made.close()


# Interfaces


def test_what_is_overridden_exists():
    """Every method of ours that habitat-lab calls has the name, and takes the arguments, of the one it overrides."""
    for ours in vars(lab).values():
        if not inspect.isclass(ours) or ours.__module__ != lab.__name__:
            continue
        base = next((one for one in ours.__mro__ if one.__module__.startswith("habitat.core")), None)
        if base is None:
            continue
        for name, method in vars(ours).items():
            if not inspect.isfunction(method) or name == "__init__" or name not in vars(base):
                continue
            mine, theirs = inspect.signature(method).parameters, inspect.signature(vars(base)[name]).parameters
            open_ended = any(p.kind is p.VAR_KEYWORD for p in mine.values())
            missing = [n for n in theirs if n not in mine and n not in ("self", "args", "kwargs")]
            assert open_ended or not missing, f"{ours.__name__}.{name} lacks {missing}"


def test_the_worker_calls_what_habitat_lab_calls():
    """habitat-lab 0.3.4 is written against habitat-sim 0.3.4: names the worker uses there are seen in its sources."""
    sources = "\n".join(path.read_text() for path in INSTALLED.rglob("*.py"))
    used = set()
    for path in WORKER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                used.add(node.attr)
    names = {
        "SimulatorConfiguration", "scene_dataset_config_file", "scene_id", "Configuration", "sensor_specifications",
        "AgentConfiguration", "resolution", "sensor_type", "sensor_subtype", "hfov", "uuid", "get_agent", "scene_node",
        "get_sensor_observations", "get_rigid_object_manager", "get_articulated_object_manager", "get_object_handles",
        "get_object_template_manager", "load_configs", "get_template_handles", "get_template_by_handle",
        "register_template", "add_object_by_template_handle", "add_articulated_object_from_urdf",
        "get_object_by_handle", "translation", "rotation", "motion_type", "KINEMATIC", "DYNAMIC", "joint_positions",
        "get_link_joint_pos_offset", "get_link_name", "get_link_scene_node", "num_links", "absolute_transformation",
        "existing_joint_motor_ids", "remove_joint_motor", "visual_scene_nodes", "semantic_id", "user_attributes",
        "get_subconfig_keys", "get_subconfig", "has_value", "get_stage_initialization_template", "get_user_config",
        "global_scale", "aabb", "pathfinder", "snap_point", "num_islands", "island_area", "get_bounds", "is_loaded",
        "recompute_navmesh", "NavMeshSettings", "set_defaults", "agent_radius", "agent_height",
        "include_static_objects", "cast_ray", "hits", "ray_distance", "Ray", "origin", "direction",
        "reconfigure", "transform_point", "root_scene_node",
    }  # fmt: skip
    assert names <= used, sorted(names - used)
    unseen = {name for name in names if not re.search(rf"\b{name}\b", sources)}
    # Of these habitat-lab sets one by its configuration's keys, and never needs the other.
    assert unseen <= {"root_scene_node", "hfov"}, unseen


def calls(folder):
    """Method → (positional arguments, keywords) of each call in a folder's sources."""
    found = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                keywords = frozenset(keyword.arg for keyword in node.keywords)
                if None not in keywords and not any(isinstance(one, ast.Starred) for one in node.args):
                    found.setdefault(node.func.attr, set()).add((len(node.args), keywords))
    return found


def test_the_worker_passes_what_habitat_lab_passes():
    """Each method of habitat-sim that both call is called with as many arguments, by the same names."""
    ours, theirs = calls(WORKER), calls(INSTALLED)
    methods = {
        "Simulator", "Configuration", "SimulatorConfiguration", "AgentConfiguration", "CameraSensorSpec", "Vector3",
        "Quaternion", "reconfigure", "get_agent", "get_object_template_manager", "load_configs",
        "get_template_handles", "get_template_by_handle", "register_template", "get_rigid_object_manager",
        "get_articulated_object_manager", "add_object_by_template_handle", "get_object_by_handle",
        "get_object_handles", "get_link_joint_pos_offset", "get_link_name", "get_link_scene_node",
        "remove_joint_motor", "absolute_transformation", "transform_point", "get_subconfig_keys", "get_subconfig",
        "has_value", "get_stage_initialization_template", "get_user_config", "snap_point", "island_area",
        "get_bounds", "NavMeshSettings", "set_defaults", "recompute_navmesh", "Ray", "cast_ray",
    }  # fmt: skip
    assert methods <= set(ours)
    otherwise = {name: ours[name] - theirs.get(name, set()) for name in methods}
    assert not any(otherwise.values()), otherwise


def test_receptacles_are_read_as_habitat_lab_reads_them():
    """The conventions that `worker.receptacles` follows are those of the installed sampler."""
    source = (INSTALLED / "datasets/rearrange/samplers/receptacle.py").read_text()
    assert 'aabb_receptacle_id_string = "receptacle_aabb_"' in source
    assert 'self.unique_name = self.parent_object_handle + "|" + self.name' in source
    assert 'self.unique_name = "stage|" + self.name' in source
    # Half extents: a box from its centre reaches as far as its scale to each side.
    assert re.search(r"Range3D\.from_center\(\s*receptacle_position,\s*receptacle_scale,?\s*\)", source)
    assert "obj.visual_scene_nodes[1].absolute_transformation()" in source
