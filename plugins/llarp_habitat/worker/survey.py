"""What the parent must know of a scene before anything happens in it: boxes, handles, and where the robot may stand.

Only facts are gathered here; which of the places are taken is decided in the parent (`geometry`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .engine import Engine
from .poses import HEIGHT
from .receptacles import Box, described, found, matching
from .trouble import Trouble

RADIUS, TALL = 0.3, 1.5
"""Of the robot, metres."""
STEP = 0.25
"""Between the places where the robot may start."""
RINGS = tuple(0.4 + 0.1 * ring for ring in range(16))
AROUND = 24
"""Places tried about everything that the robot goes to: distances in metres, and directions."""
NEAR = 0.03
"""A place is navigable when the navigation mesh has it within this many metres."""
NOT_SURFACES = ("chair", "fridge", "left drawer", "right drawer")
"""Receptacles on or in which objects never start."""
CLEAR = 0.25
"""Metres kept from the outline of articulated objects, which a navigation mesh may lack."""


def survey(engine: Engine) -> dict:
    """The facts of the scene that is loaded.

    Returns:
        floor: its height, metres; low, high: corners of the ground where the robot can be, x and z;
        receptacles: name → centre [3], axes [3, 3] (see `Box`), surface (its height);
        joints: name → handle [3], slide [3] (where it goes when opened);
        places: name of what the robot goes to ("fridge" or "fridge handle") → [x, z, share in view] of places about
            it, the one that is nearest to it first;
        starts: [x, z] of places all over the scene;
        annotated: the names of all boxes there are.

    Raises:
        Trouble: the description names what is not there, or nothing can be stood on.
    """
    boxes = found(engine)
    joints = {name: _joint(engine, given) for name, given in engine.spec["joints"].items()}
    receptacles: dict[str, Box] = {}
    lacking = []
    for name, given in engine.spec["receptacles"].items():
        if isinstance(given, dict):
            receptacles[name] = described(engine, given)
            continue
        match = matching(boxes, given)
        if match is None:
            lacking.append(f"{given} ({name})")
        else:
            receptacles[name] = boxes[match]
    # Scenes of one data set differ: what one lacks is not asked for there. But without two surfaces nothing can be.
    if lacking and len(set(receptacles) - set(NOT_SURFACES)) < 2:
        if not boxes:
            raise Trouble("no receptacles", engine.spec["name"])
        raise Trouble("no receptacle", f"{lacking[0]}; it has {', '.join(sorted(boxes)[:8])}")

    goals = {name: box.centre for name, box in receptacles.items()}
    goals.update({f"{name} handle": np.array(joint["handle"]) for name, joint in joints.items()})
    ground = Ground(engine, list(goals.values()))
    surfaces = {name: _surface(engine, box) for name, box in receptacles.items()}
    return {
        "floor": ground.floor,
        "low": ground.low,
        "high": ground.high,
        "receptacles": {
            name: {"centre": box.centre.tolist(), "axes": box.axes.tolist(), "surface": surfaces[name]}
            for name, box in receptacles.items()
        },
        "joints": joints,
        "places": {name: ground.about(goal, engine) for name, goal in goals.items()},
        "starts": ground.starts(),
        "annotated": sorted(boxes),
    }


def sizes(engine: Engine, assets: list[str]) -> dict[str, list[float]]:
    """Of each asset: radius of its footprint, its origin above its lowest point, its height; metres."""
    measured = {}
    for asset, one in zip(assets, engine.objects(assets)):
        low, high = np.array(one.aabb.min, float), np.array(one.aabb.max, float)
        radius = max(abs(low[0]), abs(high[0]), abs(low[2]), abs(high[2]))
        measured[asset] = [float(radius), float(-low[1]), float(high[1] - low[1])]
    engine.objects([])
    return measured


def _joint(engine: Engine, given: dict) -> dict:
    one = engine.articulated(given["object"])
    if one is None:
        raise Trouble("no object", given["object"])
    link = engine.link(one, given["link"])
    if link is None:
        names = ", ".join(one.get_link_name(number) for number in range(-1, one.num_links))
        raise Trouble("no link", f"{given['link']} of {given['object']}; it has {names}")
    if link < 0 or one.get_link_num_joint_pos(link) != 1:
        raise Trouble("no joint", f"{given['link']} of {given['object']}")
    node = one.get_link_scene_node(link)
    engine.joint(one, link, given["open"])
    opened, axes = engine.frame(node)
    opened = opened + np.array(given["handle"], float) @ axes
    engine.joint(one, link, given["closed"])
    closed, axes = engine.frame(node)
    closed = closed + np.array(given["handle"], float) @ axes
    return {"handle": closed.tolist(), "slide": (opened - closed).tolist()}


def _surface(engine: Engine, box: Box) -> float:
    """How high the surface in a box is: what most rays from its top meet; its bottom where they meet nothing."""
    up = int(np.abs(box.axes[:, 1]).argmax())
    half = abs(box.axes[up, 1])
    across = [box.axes[axis] for axis in range(3) if axis != up]
    top, bottom = box.centre[1] + half, box.centre[1] - half
    heights = []
    for u in (-0.5, 0.0, 0.5):
        for v in (-0.5, 0.0, 0.5):
            start = box.centre + u * across[0] + v * across[1]
            start[1] = top
            end = start.copy()
            end[1] = bottom - 0.1
            share = engine.ray(start, end)
            # A ray that begins inside something says nothing.
            if share is not None and share > 1e-4:
                heights.append(start[1] + share * (end[1] - start[1]))
    return float(np.median(heights)) if len(heights) > 4 else float(bottom)


class Ground:
    """Where the robot can be, on the island of the navigation mesh from which most things can be reached.

    Args:
        engine: the scene.
        goals: [3] of everything that it should get near to.

    Attributes:
        floor: height of the ground, metres.
        low, high: its corners, x and z.
    """

    def __init__(self, engine: Engine, goals: list[np.ndarray]):
        self._engine = engine
        simulator = engine.simulator
        self._finder = simulator.pathfinder
        self._outlines = _outlines(engine)
        settings = engine.habitat_sim.nav.NavMeshSettings()
        settings.set_defaults()
        settings.agent_radius, settings.agent_height = RADIUS, TALL
        settings.include_static_objects = True
        kinds = engine.habitat_sim.physics.MotionType
        articulated = simulator.get_articulated_object_manager()
        every = [articulated.get_object_by_handle(handle) for handle in articulated.get_object_handles()]
        # Only what is static is built into the mesh.
        for one in every:
            one.motion_type = kinds.STATIC
        made = simulator.recompute_navmesh(self._finder, settings)
        for one in every:
            one.motion_type = kinds.KINEMATIC
        if not made or not self._finder.is_loaded:
            raise Trouble("no ground", engine.spec["name"])
        self._island = self._most_useful(goals)
        low, high = (np.array(corner, float) for corner in self._finder.get_bounds())
        self.low, self.high = [float(low[0]), float(low[2])], [float(high[0]), float(high[2])]
        heights = [self._snapped(goal) for goal in goals]
        heights = [float(place[1]) for place in heights if place is not None]
        if not heights:
            raise Trouble("no ground", engine.spec["name"])
        self._level = float(np.median(heights))
        self.floor = self._floor(goals)

    def starts(self) -> list[list[float]]:
        """[x, z] of places on a grid."""
        grid = [
            (x, z)
            for x in np.arange(math.ceil(self.low[0] / STEP) * STEP, self.high[0], STEP)
            for z in np.arange(math.ceil(self.low[1] / STEP) * STEP, self.high[1], STEP)
        ]
        return [[float(x), float(z)] for x, z in grid if self._free(x, z)]

    def about(self, goal: np.ndarray, engine: Engine) -> list[list[float]]:
        """[x, z, share in view] of places about something, the nearest one first."""
        places = []
        nearest = self._snapped(goal)
        if nearest is not None and self._clear(nearest[0], nearest[2]):
            places.append((float(nearest[0]), float(nearest[2])))
        for radius in RINGS:
            for turn in range(AROUND):
                angle = 2 * math.pi * turn / AROUND
                x, z = goal[0] + radius * math.cos(angle), goal[2] + radius * math.sin(angle)
                if self._free(x, z):
                    places.append((float(x), float(z)))
        return [[x, z, self._in_view(engine, x, z, goal)] for x, z in places]

    def _in_view(self, engine: Engine, x: float, z: float, goal: np.ndarray) -> float:
        """How much of what is just above something the robot's head has in its line of sight, 0 to 1."""
        eye = np.array([x, self.floor + HEIGHT, z])
        seen = 0
        aims = [
            goal + np.array([dx, 0.08, dz]) for dx, dz in ((0, 0), (0.1, 0.1), (-0.1, 0.1), (0.1, -0.1), (-0.1, -0.1))
        ]
        for aim in aims:
            share = engine.ray(eye, aim)
            # What is hit a little before it belongs to it, or stands on it.
            reached = share is None or (1 - share) * float(np.linalg.norm(aim - eye)) < 0.35
            seen += reached
        return seen / len(aims)

    def _most_useful(self, goals: list[np.ndarray]) -> int:
        finder = self._finder
        best, chosen = (-1, 0.0), -1
        for island in range(finder.num_islands):
            near = 0
            for goal in goals:
                place = self._on(goal, island)
                near += place is not None and math.hypot(place[0] - goal[0], place[2] - goal[2]) < 1.6
            rank = (near, float(finder.island_area(island_index=island)))
            if rank > best:
                best, chosen = rank, island
        return chosen

    def _on(self, point: np.ndarray, island: int) -> np.ndarray | None:
        vector = self._engine.magnum.Vector3
        place = np.array(self._finder.snap_point(vector(*map(float, point)), island), float)
        return None if np.isnan(place).any() else place

    def _snapped(self, point: np.ndarray) -> np.ndarray | None:
        return self._on(point, self._island)

    def _free(self, x: float, z: float) -> bool:
        """Whether the robot can stand there."""
        place = self._snapped(np.array([x, self._level, z]))
        if place is None or math.hypot(place[0] - x, place[2] - z) > NEAR or abs(place[1] - self._level) > 0.3:
            return False
        return self._clear(x, z)

    def _clear(self, x: float, z: float) -> bool:
        return not any(
            low[0] - CLEAR < x < high[0] + CLEAR and low[1] - CLEAR < z < high[1] + CLEAR
            for low, high in self._outlines
        )

    def _floor(self, goals: list[np.ndarray]) -> float:
        """The ground's height: where rays hit it; where none does, the mesh's, which is a little above it."""
        if self._engine.spec["floor"] is not None:
            return float(self._engine.spec["floor"])
        heights = []
        for goal in goals:
            place = self._snapped(goal)
            if place is None:
                continue
            start, end = place + [0.0, 0.4, 0.0], place - [0.0, 0.6, 0.0]
            share = self._engine.ray(start, end)
            if share is not None:
                heights.append(start[1] - share)
        return float(np.median(heights)) if heights else self._level


def _outlines(engine: Engine) -> list[tuple[Any, Any]]:
    """Corners on the ground, x and z, of the articulated objects, everything closed."""
    articulated = engine.simulator.get_articulated_object_manager()
    outlines = []
    for handle in articulated.get_object_handles():
        one = articulated.get_object_by_handle(handle)
        origin, axes = engine.frame(one.root_scene_node)
        low, high = np.array(one.aabb.min, float), np.array(one.aabb.max, float)
        corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        ground = (origin + corners @ axes)[:, [0, 2]]
        outlines.append((ground.min(axis=0), ground.max(axis=0)))
    return outlines
