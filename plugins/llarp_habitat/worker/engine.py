"""One habitat-sim: scenes, objects, joints and cameras. Everything that touches its interface is in this folder.

Written against habitat-sim 0.3.4 (which reports itself as 0.3.3 when built from source). Only what its own tools and
habitat-lab use as well is called; vectors are magnum's, never lists.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from .poses import HEIGHT, WATCHING_ANGLE
from .trouble import Trouble

VERSIONS = ("0.3.3", "0.3.4")
FIRST_ID = 10_000
"""Semantic id of an arrangement's first object; scenes use small ones."""
NOWHERE = -50.0
"""How high parked objects are, metres: far below every floor."""
RGB, IDS, DEPTH, PICTURE, SHOWN = "rgb", "ids", "depth", "picture", "shown"
CAMERAS = (RGB, IDS, DEPTH, PICTURE, SHOWN)
"""Each camera is an agent of its own, so that each is drawn only when asked for. What the robot sees has two: another
size takes a new simulator, and a film is larger than what a policy is shown."""


def import_habitat() -> tuple[Any, Any]:
    """The modules habitat_sim and magnum.

    Raises:
        Trouble: they are not there, clash with numpy, are of another version, or were built without Bullet.
    """
    try:
        import habitat_sim
        import habitat_sim.bindings
        import magnum
    except (ImportError, AttributeError) as error:
        text = str(error)
        if "numpy" in text.lower() or "_ARRAY_API" in text:
            raise Trouble("numpy", f"{np.__version__}: {text.strip().splitlines()[0]}") from None
        missing = getattr(error, "name", None) or ""
        kind = "no habitat-sim" if missing.split(".")[0] in ("habitat_sim", "magnum") else "broken habitat-sim"
        raise Trouble(kind, text.strip().splitlines()[0] if text.strip() else repr(error)) from None
    # Nightly builds have a date after the number.
    if not habitat_sim.__version__.startswith(VERSIONS):
        raise Trouble("version", habitat_sim.__version__)
    # Without it there are no articulated objects, and rays cannot be cast.
    if not habitat_sim.bindings.built_with_bullet:
        raise Trouble("no bullet")
    return habitat_sim, magnum


class Engine:
    """One simulator and what this program put into it.

    Args:
        gpu: index of the device that draws; -1 for software, or whatever display there is.

    Attributes:
        habitat_sim, magnum: the modules.
        simulator: None before the first scene.
        spec: the scene that is loaded, as the parent describes it.
        sizes: camera → side of its pictures, pixels.
    """

    def __init__(self, gpu: int):
        self.habitat_sim, self.magnum = import_habitat()
        self.gpu = gpu
        self.simulator: Any = None
        self.spec: dict | None = None
        self.sizes = {camera: 128 for camera in CAMERAS}
        self._placed: dict[str, list] = {}
        self._robot: Any = None

    def load(self, spec: dict, sizes: dict[str, int] | None = None) -> bool:
        """Load a scene, and cameras of certain sizes; whether anything had to be loaded.

        Args:
            spec: see `description.Description.spec`.
            sizes: camera → side of its pictures, pixels; the others keep theirs.

        Raises:
            Trouble: a file, template or object of the scene is not there.
        """
        wanted = {**self.sizes, **(sizes or {})}
        if self.simulator is not None and spec == self.spec and wanted == self.sizes:
            return False
        for path in (spec["dataset"], *spec["objects"]):
            if path not in ("default", "") and not os.path.exists(path):
                raise Trouble("no assets", path)
        if "/" in spec["scene"] and not os.path.exists(spec["scene"]):
            raise Trouble("no assets", spec["scene"])
        same_cameras, self.sizes = wanted == self.sizes, wanted
        configuration = self._configuration(spec)
        if self.simulator is not None and same_cameras:
            self.simulator.reconfigure(configuration)
        else:
            if self.simulator is not None:
                self.simulator.close()
            self.simulator = self.habitat_sim.Simulator(configuration)
        self.spec, self._placed, self._robot = spec, {}, None
        templates = self.simulator.get_object_template_manager()
        for folder in spec["objects"]:
            templates.load_configs(folder)
        for thing in spec["add"]:
            self._add(thing)
        self._quiet()
        return True

    def close(self) -> None:
        """Give back what the simulator holds."""
        if self.simulator is not None:
            self.simulator.close()
            self.simulator = None

    def _configuration(self, spec: dict) -> Any:
        sim = self.habitat_sim
        backend = sim.SimulatorConfiguration()
        backend.scene_dataset_config_file = spec["dataset"]
        backend.scene_id = spec["scene"]
        backend.gpu_device_id = self.gpu
        backend.enable_physics = True
        backend.random_seed = 0
        return sim.Configuration(backend, [self._camera(name) for name in CAMERAS])

    def _camera(self, name: str) -> Any:
        sim = self.habitat_sim
        camera = sim.CameraSensorSpec()
        kinds = {IDS: sim.SensorType.SEMANTIC, DEPTH: sim.SensorType.DEPTH}
        camera.uuid = name
        camera.sensor_type = kinds.get(name, sim.SensorType.COLOR)
        camera.sensor_subtype = sim.SensorSubType.PINHOLE
        camera.resolution = [self.sizes[name], self.sizes[name]]
        camera.position = self.magnum.Vector3(0.0, 0.0, 0.0)
        camera.hfov = WATCHING_ANGLE if name == PICTURE else 90.0
        agent = sim.agent.AgentConfiguration()
        agent.height, agent.radius = HEIGHT, 0.3
        agent.sensor_specifications = [camera]
        return agent

    def _add(self, thing: dict) -> None:
        """Put up what a description adds to a scene."""
        if thing["kind"] == "articulated":
            path = thing["file"]
            if not os.path.exists(path):
                raise Trouble("no assets", path)
            added = self.simulator.get_articulated_object_manager().add_articulated_object_from_urdf(
                path, fixed_base=True, global_scale=float(thing["scale"][0])
            )
            if added is None:
                raise Trouble("bad file", path)
            self.pose(added, thing["at"], thing["rotation"])
            return
        handle = self.template(thing["file"])
        if thing["name"]:
            # A template of its own, so that the object's handle is this name's.
            templates = self.simulator.get_object_template_manager()
            template = templates.get_template_by_handle(handle)
            template.scale = self.magnum.Vector3(*map(float, thing["scale"]))
            templates.register_template(template, thing["name"])
            handle = thing["name"]
        added = self._new(handle)
        self.pose(added, thing["at"], thing["rotation"])
        added.motion_type = self.habitat_sim.physics.MotionType.STATIC

    def _new(self, handle: str) -> Any:
        added = self.simulator.get_rigid_object_manager().add_object_by_template_handle(handle)
        if added is None:
            raise Trouble("bad file", handle)
        return added

    def _quiet(self) -> None:
        """Nothing here moves by itself."""
        kinematic = self.habitat_sim.physics.MotionType.KINEMATIC
        dynamic = self.habitat_sim.physics.MotionType.DYNAMIC
        articulated = self.simulator.get_articulated_object_manager()
        for handle in articulated.get_object_handles():
            one = articulated.get_object_by_handle(handle)
            if one.motion_type == dynamic:
                one.motion_type = kinematic
            for motor in list(one.existing_joint_motor_ids):
                one.remove_joint_motor(motor)

    def template(self, name: str) -> str:
        """The handle of an object template by its short name (or its file's).

        Raises:
            Trouble: there is none.
        """
        templates = self.simulator.get_object_template_manager()
        handles = sorted(templates.get_template_handles(name))
        exact = [handle for handle in handles if name in (handle, os.path.basename(handle).split(".")[0])]
        if not exact:
            raise Trouble("no template", name)
        # Templates of scenes that were loaded before are still there, some of the same name.
        return next((handle for handle in exact if os.path.dirname(handle) in self.spec["objects"]), exact[0])

    def rigid(self, pattern: str) -> Any | None:
        """The first rigid object whose handle matches."""
        manager = self.simulator.get_rigid_object_manager()
        found = _first(manager.get_object_handles(), pattern)
        return None if found is None else manager.get_object_by_handle(found)

    def articulated(self, pattern: str) -> Any | None:
        """The first articulated object whose handle matches."""
        manager = self.simulator.get_articulated_object_manager()
        found = _first(manager.get_object_handles(), pattern)
        return None if found is None else manager.get_object_by_handle(found)

    @staticmethod
    def link(one: Any, name: str) -> int | None:
        """The index of an articulated object's link; -1 is its base."""
        for link in range(-1, one.num_links):
            if one.get_link_name(link) == name:
                return link
        return None

    @staticmethod
    def joint(one: Any, link: int, value: float) -> None:
        """Set the joint that moves a link."""
        positions = list(one.joint_positions)
        positions[one.get_link_joint_pos_offset(link)] = value
        one.joint_positions = positions

    def frame(self, node: Any) -> tuple[np.ndarray, np.ndarray]:
        """Where a node's origin is in the world, and where its unit axes go: [3], [3, 3] (a row for each)."""
        vector = self.magnum.Vector3
        transformation = node.absolute_transformation()
        origin = np.array(transformation.transform_point(vector(0.0, 0.0, 0.0)), float)
        ends = [transformation.transform_point(vector(*axis)) for axis in np.eye(3).tolist()]
        return origin, np.array([np.array(end, float) for end in ends]) - origin

    def pose(self, one: Any, position: Any, rotation: Any) -> None:
        """Put an object somewhere; rotation is x, y, z, w."""
        x, y, z, w = map(float, rotation)
        one.translation = self.magnum.Vector3(*map(float, position))
        one.rotation = self.magnum.Quaternion(self.magnum.Vector3(x, y, z), w)

    def objects(self, assets: list[str]) -> list[Any]:
        """One kinematic object for each asset, made or used again; those not wanted are put out of the way."""
        names = self.spec["assets"]
        counts: dict[str, int] = {}
        chosen = []
        for asset in assets:
            count = counts[asset] = counts.get(asset, 0) + 1
            pool = self._placed.setdefault(asset, [])
            if len(pool) < count:
                added = self._new(self.template(names.get(asset, asset)))
                added.motion_type = self.habitat_sim.physics.MotionType.KINEMATIC
                pool.append(added)
            chosen.append(pool[count - 1])
        for asset, pool in self._placed.items():
            for spare in pool[counts.get(asset, 0) :]:
                spare.translation = self.magnum.Vector3(0.0, NOWHERE, 0.0)
                self.label(spare, 0)
        for i, one in enumerate(chosen):
            self.label(one, FIRST_ID + i)
        return chosen

    @staticmethod
    def label(one: Any, number: int) -> None:
        """Give an object a semantic id."""
        for node in one.visual_scene_nodes:
            node.semantic_id = number

    def robot(self) -> Any | None:
        """The body that others see, where there is one; it is where it was put last."""
        if self._robot is None and self.spec["robot"]:
            self._robot = self._new(self.template(self.spec["robot"]))
            self._robot.motion_type = self.habitat_sim.physics.MotionType.KINEMATIC
        return self._robot

    def draw(self, camera: str, eye: np.ndarray, rotation: Any) -> np.ndarray:
        """What a camera sees from a place: colours uint8 [S, S, 4], ids uint32 [S, S], or metres float32 [S, S]."""
        number = CAMERAS.index(camera)
        node = self.simulator.get_agent(number).scene_node
        self.pose(node, eye, rotation)
        return self.simulator.get_sensor_observations(number)[camera]

    def ray(self, start: np.ndarray, end: np.ndarray) -> float | None:
        """Where between two points (0 to 1) something is first hit; None for nowhere."""
        ray = self.habitat_sim.geo.Ray()
        ray.origin = self.magnum.Vector3(*map(float, start))
        ray.direction = self.magnum.Vector3(*map(float, end - start))
        # The farthest hit looked for, and the distances of all, are counted in lengths of the ray.
        found = self.simulator.cast_ray(ray, max_distance=1.0)
        return min((float(hit.ray_distance) for hit in found.hits), default=None)


def _first(handles: Any, pattern: str) -> str | None:
    return next((handle for handle in sorted(handles) if fnmatchcase(handle, pattern)), None)
