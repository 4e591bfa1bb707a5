"""A TEST DOUBLE of the part of habitat-sim 0.3.4's interface that the worker uses. It is not habitat-sim.

Things are the boxes around their meshes: they are looked at, hit by rays and walked around as such. Only what is
listed here can be called or set; everything else fails, so that a wrong name is noticed. `SOURCES.md` says which of
habitat-sim's sources it was compared with. What the real one does is tested where it is installed.
"""

from __future__ import annotations

import json
import os
import struct
import time
import types
import xml.etree.ElementTree
from enum import Enum
from pathlib import Path
from typing import ClassVar

import magnum as mn
import numpy as np

__version__ = os.environ.get("HABITAT_DOUBLE_VERSION", "0.3.3")

if os.environ.get("HABITAT_DOUBLE_BROKEN") == "slow":
    time.sleep(600)
if os.environ.get("HABITAT_DOUBLE_BROKEN") == "numpy":
    raise ImportError("numpy.core.multiarray failed to import")


class Strict:
    """What has no such attribute cannot be given one."""

    def __setattr__(self, name, value):
        if not name.startswith("_") and not hasattr(self, name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name}")
        object.__setattr__(self, name, value)

    def _new(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)


class Typed(Strict):
    """What takes values of certain types only, as bound C++ members do; the rest is read-only."""

    TYPES: ClassVar = {}

    def __setattr__(self, name, value):
        if not name.startswith("_"):
            if name not in self.TYPES:
                raise AttributeError(f"{type(self).__name__}.{name} cannot be set")
            if type(value) not in self.TYPES[name]:
                raise TypeError(f"{type(self).__name__}.{name}: incompatible function arguments: {value!r}")
        super().__setattr__(name, value)


class SensorType(Enum):
    COLOR, DEPTH, SEMANTIC = range(3)


class SensorSubType(Enum):
    PINHOLE, ORTHOGRAPHIC = range(2)


class MotionType(Enum):
    STATIC, KINEMATIC, DYNAMIC = range(3)


class CameraSensorSpec(Typed):
    TYPES: ClassVar = {
        "uuid": (str,), "sensor_type": (SensorType,), "sensor_subtype": (SensorSubType,), "hfov": (float, int),
        "resolution": (list,), "position": (mn.Vector3,),
    }  # fmt: skip

    def __init__(self):
        self._new(uuid="", sensor_type=SensorType.COLOR, sensor_subtype=SensorSubType.PINHOLE, hfov=90.0)
        self._new(resolution=[84, 84], position=mn.Vector3(0.0, 1.5, 0.0))

    def _values(self):
        position = tuple(self.position)
        return self.uuid, self.sensor_type, self.sensor_subtype, float(self.hfov), tuple(self.resolution), position

    def __eq__(self, other):
        return self._values() == other._values()


class AgentConfiguration(Strict):
    def __init__(self):
        self._new(height=1.5, radius=0.1, sensor_specifications=[CameraSensorSpec()])


class SimulatorConfiguration(Typed):
    TYPES: ClassVar = {
        "scene_dataset_config_file": (str,), "scene_id": (str,), "gpu_device_id": (int,), "enable_physics": (bool,),
        "random_seed": (int,),
    }  # fmt: skip

    def __init__(self):
        self._new(
            scene_dataset_config_file="default", scene_id="", gpu_device_id=0, enable_physics=False, random_seed=0
        )

    def __eq__(self, other):
        return all(getattr(self, name) == getattr(other, name) for name in self.TYPES)


class Configuration(Strict):
    def __init__(self, sim_cfg, agents):
        self._new(sim_cfg=sim_cfg, agents=agents)

    def __eq__(self, other):
        ours, theirs = ([one.sensor_specifications for one in each.agents] for each in (self, other))
        return self.sim_cfg == other.sim_cfg and ours == theirs


class NavMeshSettings(Typed):
    TYPES: ClassVar = {"agent_radius": (float,), "agent_height": (float,), "include_static_objects": (bool,)}

    def __init__(self):
        self.set_defaults()

    def set_defaults(self):
        self._new(agent_radius=0.1, agent_height=1.5, include_static_objects=False)


class Ray(Typed):
    TYPES: ClassVar = {"origin": (mn.Vector3,), "direction": (mn.Vector3,)}

    def __init__(self):
        self._new(origin=mn.Vector3(), direction=mn.Vector3())


UP, FRONT = [0, 1, 0], [0, 0, -1]
bindings = types.ModuleType("habitat_sim.bindings")
bindings.built_with_bullet = os.environ.get("HABITAT_DOUBLE_BULLET") != "0"
bindings.cuda_enabled = False
agent, nav, physics, geo = (types.SimpleNamespace() for _ in range(4))
agent.AgentConfiguration, nav.NavMeshSettings = AgentConfiguration, NavMeshSettings
physics.MotionType, geo.Ray = MotionType, Ray
import sys

sys.modules["habitat_sim.bindings"] = bindings


class Attributes:
    """User-defined attributes."""

    def __init__(self, given):
        self._given = given

    def get_subconfig_keys(self):
        return [key for key, value in self._given.items() if isinstance(value, dict)]

    def get_subconfig(self, key):
        return Attributes(self._given[key])

    def has_value(self, key):
        return key in self._given and not isinstance(self._given[key], dict)

    def get(self, key):
        value = self._given[key]
        return mn.Vector3(*map(float, value)) if isinstance(value, list) and len(value) == 3 else value


def glb_bounds(path):
    """Corners of the box around a mesh, from what the file says of itself; [n, 2, 3] of each of its primitives."""
    data = Path(path).read_bytes()
    magic, version, length = struct.unpack_from("<III", data)
    if magic != 0x46546C67 or version != 2 or length != len(data):
        raise ValueError(path)
    size, kind = struct.unpack_from("<II", data, 12)
    assert kind == 0x4E4F534A
    document = json.loads(data[20 : 20 + size])
    of = [document["accessors"][p["attributes"]["POSITION"]] for m in document["meshes"] for p in m["primitives"]]
    return np.array([[one["min"], one["max"]] for one in of])


def triangles(path):
    """Corners of a mesh's triangles, [n, 3, 3]."""
    data = Path(path).read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    view = json.loads(data[20 : 20 + size])["bufferViews"][0]
    start = 20 + size + 8 + view["byteOffset"]
    return np.frombuffer(data[start : start + view["byteLength"]], "<f4").reshape(-1, 3, 3).astype(float)


class Node(Typed):
    TYPES: ClassVar = {"semantic_id": (int,)}

    def __init__(self, thing=None, turn=None, move=None):
        self._thing, self._turn, self._move = thing, turn, move
        self._new(semantic_id=0)

    def absolute_transformation(self):
        turn, move = (self._turn, self._move) if self._thing is None else self._thing._frame()
        if self._thing is not None and self._turn is not None:
            turn = turn * self._turn  # a scale
        return mn.Matrix4(np.asarray(turn, float), np.asarray(move, float))


class AgentNode(Typed):
    TYPES: ClassVar = {"translation": (mn.Vector3,), "rotation": (mn.Quaternion,)}

    def __init__(self):
        self._new(translation=mn.Vector3(), rotation=mn.Quaternion(mn.Vector3(), 1.0))


class Managed(Typed):
    """A managed object. One of a scene that is gone is of no use."""

    TYPES: ClassVar = {"translation": (mn.Vector3,), "rotation": (mn.Quaternion,), "motion_type": (MotionType,)}

    def __getattribute__(self, name):
        if not name.startswith("_") and not object.__getattribute__(self, "_alive"):
            raise RuntimeError(f"{name} of an object that is no longer alive")
        return super().__getattribute__(name)

    def __setattr__(self, name, value):
        if name in ("translation", "rotation") and self.motion_type is MotionType.STATIC:
            raise RuntimeError("static objects do not move")
        super().__setattr__(name, value)


class Rigid(Managed):
    """A managed rigid object."""

    def __init__(self, number, handle, low, high, scale, attributes):
        self._alive = True
        self._around = None
        self._new(object_id=number, handle=handle, aabb=mn.Range3D(low, high), user_attributes=Attributes(attributes))
        self._new(motion_type=MotionType.DYNAMIC, translation=mn.Vector3(), rotation=mn.Quaternion(mn.Vector3(), 1.0))
        node = Node(self)
        # As the real one has it: the second of them has the object's scale.
        self._new(visual_scene_nodes=[node, Node(self, np.asarray(scale, float))], root_scene_node=node)

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name in Managed.TYPES:
            self._around = None

    def _frame(self):
        return self.rotation.matrix(), np.asarray(self.translation, float)

    def _simple(self):
        """The box around it where it is now."""
        if self._around is None:
            turn, move = self._frame()
            low, high = np.asarray(self.aabb.min, float), np.asarray(self.aabb.max, float)
            corners = [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
            corners = np.array(corners) @ turn.T + move
            self._around = corners.min(axis=0), corners.max(axis=0)
        return self._around


class Articulated(Managed):
    """A managed articulated object whose links hang on its base."""

    TYPES: ClassVar = {**Managed.TYPES, "joint_positions": (list,)}

    def __init__(self, number, handle, path, scale):
        self._alive = True
        robot = xml.etree.ElementTree.parse(path).getroot()
        joints = {joint.find("child").get("link"): joint for joint in robot.findall("joint")}
        self._links = [link for link in robot.findall("link") if link.get("name") in joints]
        self._base = next(link for link in robot.findall("link") if link.get("name") not in joints)
        self._joints = [joints[link.get("name")] for link in self._links]
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        for link, joint in zip(self._links, self._joints, strict=True):
            for mesh in link.iter("mesh"):
                bounds = glb_bounds(Path(path).parent / mesh.get("filename"))
                origin = np.array([float(v) for v in joint.find("origin").get("xyz").split()])
                low, high = (
                    np.minimum(low, bounds.min(axis=(0, 1)) + origin),
                    np.maximum(high, bounds.max(axis=(0, 1)) + origin),
                )
        self._new(object_id=number, handle=handle, aabb=mn.Range3D(low, high), user_attributes=Attributes({}))
        self._new(motion_type=MotionType.DYNAMIC, translation=mn.Vector3(), rotation=mn.Quaternion(mn.Vector3(), 1.0))
        self._new(joint_positions=[0.0] * len(self._links), num_links=len(self._links), global_scale=scale)
        self._new(root_scene_node=Node(self))
        self._motors = {0: 0}

    def __getattribute__(self, name):
        # Positions are handed out as a copy: changing it changes nothing.
        found = super().__getattribute__(name)
        return list(found) if name == "joint_positions" else found

    def __setattr__(self, name, value):
        if name == "joint_positions" and (len(value) != self.num_links or any(type(v) is not float for v in value)):
            raise TypeError(f"joint_positions: {value!r}")
        super().__setattr__(name, value)

    @property
    def existing_joint_motor_ids(self):
        return dict(self._motors)

    def remove_joint_motor(self, number):
        del self._motors[number]

    def get_link_name(self, link):
        return self._base.get("name") if link == -1 else self._links[link].get("name")

    def get_link_joint_pos_offset(self, link):
        if link < 0:
            os.abort()  # the base has no joint, which nothing checks
        return link

    def get_link_num_joint_pos(self, link):
        if link < 0:
            os.abort()
        return 1

    def get_link_scene_node(self, link):
        turn, move = self._frame()
        if link == -1:
            return Node(None, turn, move)
        joint, value = self._joints[link], self.joint_positions[link]
        origin = np.array([float(v) for v in joint.find("origin").get("xyz").split()])
        axis = np.array([float(v) for v in joint.find("axis").get("xyz").split()])
        if joint.get("type") == "prismatic":
            return Node(None, turn, move + turn @ (origin + value * axis))
        half = axis * np.sin(value / 2)
        own = mn.Quaternion(mn.Vector3(*half.tolist()), float(np.cos(value / 2))).matrix()
        return Node(None, turn @ own, move + turn @ origin)

    def _frame(self):
        return self.rotation.matrix(), np.asarray(self.translation, float)


class Template(Typed):
    TYPES: ClassVar = {"scale": (mn.Vector3,)}

    def __init__(self, handle, given, folder):
        self._given, self._folder, self._handle = given, folder, handle
        self._new(scale=mn.Vector3(1.0, 1.0, 1.0))


class ObjectTemplates:
    """Those of a data set: they outlive the scenes that they were loaded for."""

    def __init__(self):
        self._templates = {}

    def load_configs(self, path):
        for file in sorted(Path(path).glob("*.object_config.json")):
            self._templates[str(file)] = Template(str(file), json.loads(file.read_text()), file.parent)

    def get_template_handles(self, search_str=""):
        return sorted(handle for handle in self._templates if search_str.lower() in handle.lower())

    def get_template_by_handle(self, handle):
        found = self._templates[handle]
        return Template(handle, found._given, found._folder)

    def register_template(self, template, specified_handle=""):
        self._templates[specified_handle] = template


class Manager:
    def __init__(self, simulator):
        self._simulator, self._objects = simulator, {}

    def get_object_handles(self):
        return sorted(self._objects)

    def get_object_by_handle(self, handle):
        return self._objects.get(handle)

    def _clear(self):
        for one in self._objects.values():
            one._alive = False

    def _add(self, name, make):
        number = sum(handle.rpartition("_:")[0] == name for handle in self._objects)
        handle = f"{name}_:{number:04d}"
        self._objects[handle] = make(handle)
        return self._objects[handle]


class RigidManager(Manager):
    def add_object_by_template_handle(self, handle):
        template = self._simulator.get_object_template_manager()._templates.get(handle)
        if template is None:
            return None
        name = os.path.basename(handle).split(".")[0]
        bounds = glb_bounds(template._folder / template._given["render_asset"])
        scale = np.asarray(template.scale, float)
        low, high = bounds.min(axis=(0, 1)) * scale, bounds.max(axis=(0, 1)) * scale
        return self._add(
            name, lambda h: Rigid(len(self._objects), h, low, high, scale, template._given.get("user_defined", {}))
        )


class ArticulatedManager(Manager):
    def add_articulated_object_from_urdf(self, filepath, fixed_base=False, global_scale=1.0):
        name = Path(filepath).stem
        return self._add(name, lambda h: Articulated(len(self._objects), h, filepath, global_scale))


class PathFinder:
    """A grid of 5 cm, blocked where something is between ankle and head; one island."""

    CELL = 0.05

    def __init__(self):
        self.is_loaded, self.num_islands = False, 1

    def _build(self, simulator, settings):
        corners = simulator._stage
        self._low, self._high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
        shape = np.ceil((self._high - self._low)[[0, 2]] / self.CELL).astype(int) + 1
        blocked = np.zeros(shape, bool)
        rectangles = [
            (c[:, [0, 2]].min(axis=0), c[:, [0, 2]].max(axis=0))
            for c in corners
            if c[:, 1].max() > 0.1 and c[:, 1].min() < 1.5
        ]
        if settings.include_static_objects:
            for one in simulator._rigid._objects.values():
                if one.motion_type is MotionType.STATIC:
                    low, high = one._simple()
                    rectangles.append((low[[0, 2]], high[[0, 2]]))
        for low, high in rectangles:
            first = np.floor((low - settings.agent_radius - self._low[[0, 2]]) / self.CELL).astype(int).clip(0)
            last = np.ceil((high + settings.agent_radius - self._low[[0, 2]]) / self.CELL).astype(int).clip(0)
            blocked[first[0] : last[0] + 1, first[1] : last[1] + 1] = True
        self._free = ~blocked
        self.is_loaded = bool(self._free.any())
        return self.is_loaded

    def island_area(self, island_index=-1):
        return float(self._free.sum()) * self.CELL**2

    def get_bounds(self):
        return mn.Vector3(*self._low.tolist()), mn.Vector3(*self._high.tolist())

    def snap_point(self, point, island_index=-1):
        if type(point) is not mn.Vector3:
            raise TypeError("incompatible function arguments")
        x, _, z = point
        at = np.round((np.array([x, z]) - self._low[[0, 2]]) / self.CELL).astype(int)
        inside = ((at >= 0) & (at < self._free.shape)).all()
        if inside and self._free[tuple(at)]:
            return mn.Vector3(x, 0.05, z)
        reach = 8
        while True:
            first = (at - reach).clip(0)
            window = np.argwhere(self._free[first[0] : max(at[0] + reach, 0), first[1] : max(at[1] + reach, 0)]) + first
            gaps = np.hypot(*(window - at).T)
            if len(gaps) and gaps.min() <= reach:
                break
            reach *= 2
        nearest = self._low[[0, 2]] + window[gaps.argmin()] * self.CELL
        return mn.Vector3(float(nearest[0]), 0.05, float(nearest[1]))


class RayHits:
    def __init__(self, distances):
        self.hits = [types.SimpleNamespace(ray_distance=float(d)) for d in sorted(distances)]


class Agent:
    def __init__(self):
        self.scene_node = AgentNode()


class Simulator:
    def __init__(self, config):
        if os.environ.get("HABITAT_DOUBLE_BROKEN") == "egl" or config.sim_cfg.gpu_device_id >= 0:
            sys.stderr.write(
                "Platform::WindowlessEglApplication::tryCreateContext(): unable to find CUDA device"
                f" {config.sim_cfg.gpu_device_id} among 1 EGL devices in total\n"
                if config.sim_cfg.gpu_device_id >= 0
                else "WindowlessContext: Unable to create windowless context\n"
            )
            sys.stderr.flush()
            os._exit(1)
        self._templates = {}
        self._configure(config)

    def _configure(self, config):
        if config.sim_cfg.enable_physics and not bindings.built_with_bullet:
            raise RuntimeError("Physics has been enabled but Habitat-Sim was not built with Bullet support enabled.")
        self._config = config
        for one in config.agents:
            (camera,) = one.sensor_specifications
            assert list(camera.position) == [0, 0, 0]
        self._agents = [Agent() for _ in config.agents]
        self._buffers = {}
        self._rigid, self._articulated = RigidManager(self), ArticulatedManager(self)
        self.pathfinder = PathFinder()
        # A stage's configuration: itself, or the file beside its mesh.
        path = Path(config.sim_cfg.scene_id)
        text = path if path.name.endswith(".stage_config.json") else path.with_suffix(".stage_config.json")
        self._stage_config = json.loads(text.read_text()) if text.exists() else None
        # Without one, a mesh has its +z up.
        given = self._stage_config or {"render_asset": path.name, "up": [0, 0, 1], "front": [0, 1, 0]}
        up, front = (np.array(given.get(name, other), float) for name, other in (("up", UP), ("front", FRONT)))
        turn = np.stack([np.cross(front, up), up, -front])
        self._stage = triangles(text.parent / given["render_asset"]) @ turn.T
        corners = self._stage.min(axis=1) - 1e-3, self._stage.max(axis=1) + 1e-3
        boxes = np.unique(np.stack(corners, axis=1), axis=0)
        self._stage_low, self._stage_high = (np.asfortranarray(boxes[:, end]) for end in (0, 1))

    def reconfigure(self, config):
        if config == self._config:
            return
        self._rigid._clear()
        self._articulated._clear()
        self._configure(config)

    def close(self, destroy=True):
        self._rigid._clear()
        self._articulated._clear()
        self._config = self._agents = self._rigid = self._articulated = self.pathfinder = None

    def get_stage_initialization_template(self):
        given = (self._stage_config or {}).get("user_defined", {})
        return types.SimpleNamespace(get_user_config=lambda: Attributes(given))

    def get_rigid_object_manager(self):
        return self._rigid

    def get_articulated_object_manager(self):
        return self._articulated

    def get_object_template_manager(self):
        return self._templates.setdefault(self._config.sim_cfg.scene_dataset_config_file, ObjectTemplates())

    def get_agent(self, agent_id):
        return self._agents[agent_id]

    def recompute_navmesh(self, pathfinder, navmesh_settings):
        return pathfinder._build(self, navmesh_settings)

    def cast_ray(self, ray, max_distance=100.0):
        assert self._config.sim_cfg.enable_physics
        start, way = np.asarray(ray.origin, float), np.asarray(ray.direction, float)
        ends = np.stack([start, start + way * max_distance])
        first, last = ends.min(axis=0), ends.max(axis=0)
        near = np.ones(len(self._stage_low), bool)
        for axis in range(3):  # faster than all of them at once
            near &= (self._stage_low[:, axis] <= last[axis]) & (self._stage_high[:, axis] >= first[axis])
        low, high = self._stage_low[near], self._stage_high[near]
        objects = [one._simple() for one in self._rigid._objects.values()]
        if objects:
            low, high = (
                np.concatenate([own, more]) for own, more in zip((low, high), zip(*objects, strict=True), strict=True)
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = _slab(start, way, low, high) if len(low) else np.empty(0)
        return RayHits(distances[distances <= max_distance])

    def get_sensor_observations(self, agent_ids):
        (camera,) = self._config.agents[agent_ids].sensor_specifications
        node, size = self._agents[agent_ids].scene_node, camera.resolution[0]
        eye, turn = np.asarray(node.translation, float), node.rotation.matrix()
        half = np.tan(np.radians(float(camera.hfov)) / 2)
        across = (np.arange(size) + 0.5) / size * 2 - 1
        x, y = np.meshgrid(across * half, -across * half)
        rays = np.stack([x, y, np.full_like(x, -1.0)], axis=-1) @ turn.T
        nearest = np.full((size, size), np.inf)
        ids = np.zeros((size, size), np.uint32)
        colours = np.zeros((size, size, 4), np.uint8)
        colours[..., :3] = (60, 60, 60)
        with np.errstate(divide="ignore", invalid="ignore"):
            ground = -eye[1] / rays[..., 1]
            hit = (ground > 0) & (ground < nearest)
            nearest[hit], colours[hit] = ground[hit], (150, 130, 110, 255)
            for number, one in enumerate(self._rigid._objects.values()):
                low, high = one._simple()
                distance = _slab(eye, rays, low, high)
                hit = (distance < nearest) & (distance > 1e-6)
                nearest[hit] = distance[hit]
                ids[hit] = one.visual_scene_nodes[0].semantic_id
                colours[hit] = (50 + 37 * number % 200, 50 + 91 * number % 200, 50 + 53 * number % 200, 255)
        nearest[~np.isfinite(nearest)] = 0
        found = {SensorType.COLOR: colours, SensorType.SEMANTIC: ids, SensorType.DEPTH: nearest.astype(np.float32)}
        # The next picture overwrites this one.
        buffer = self._buffers.setdefault(agent_ids, np.empty_like(found[camera.sensor_type]))
        buffer[:] = found[camera.sensor_type][::-1]
        return {camera.uuid: np.flip(buffer, axis=0)}


def _slab(start, way, low, high):
    """Where rays enter boxes; infinity where they do not."""
    near, far = (low - start) / way, (high - start) / way
    enter = np.nanmax(np.minimum(near, far), axis=-1)
    leave = np.nanmin(np.maximum(near, far), axis=-1)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)
