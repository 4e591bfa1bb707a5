"""The receptacles of a loaded scene, as boxes in the world.

They are annotated as Habitat's own are: a part of an object's, articulated object's or stage's user-defined attributes
whose name begins with `receptacle_aabb_` (habitat-lab: `habitat.datasets.rearrange.samplers.receptacle`), with the
box's middle as `position` and its half extents as `scale`. A receptacle's name in its scene is `parent handle|name`.
"""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from .engine import Engine
from .trouble import Trouble

PREFIX = "receptacle_aabb_"


class Box:
    """A box in the world.

    Attributes:
        centre: [3].
        axes: [3, 3], from the centre to the middle of a side, one row for each of its three axes.
        link: (articulated object, link) that moves it; None where nothing does.
    """

    def __init__(self, centre: np.ndarray, axes: np.ndarray, link: tuple[Any, int] | None):
        self.centre, self.axes, self.link = centre, axes, link


def found(engine: Engine) -> dict[str, Box]:
    """Every annotated box, by its name in the scene."""
    simulator = engine.simulator
    boxes: dict[str, Box] = {}
    stage = simulator.get_stage_initialization_template()
    if stage is not None:
        for name, part in _parts(stage.get_user_config()):
            boxes[f"stage|{name}"] = _box(engine, None, part, 1.0, None)
    rigid = simulator.get_rigid_object_manager()
    for handle in rigid.get_object_handles():
        one = rigid.get_object_by_handle(handle)
        for name, part in _parts(one.user_attributes):
            boxes[f"{handle}|{name}"] = _box(engine, _frame(one), part, 1.0, None)
    articulated = simulator.get_articulated_object_manager()
    for handle in articulated.get_object_handles():
        one = articulated.get_object_by_handle(handle)
        for name, part in _parts(one.user_attributes):
            if not part.has_value("parent_link"):
                continue
            link = engine.link(one, part.get("parent_link"))
            if link is None:
                raise Trouble("no link", f"{part.get('parent_link')} of {handle}")
            node = one.get_link_scene_node(link)
            boxes[f"{handle}|{name}"] = _box(engine, node, part, float(one.global_scale), (one, link))
    return boxes


def described(engine: Engine, given: dict) -> Box:
    """A box that a description gives by its middle and half extents in the frame of an object, a link or the world.

    Raises:
        Trouble: there is no such object or link.
    """
    node, link = None, None
    if given["parent"]:
        one = engine.articulated(given["parent"])
        if one is not None:
            number = engine.link(one, given["link"]) if given["link"] else -1
            if number is None:
                raise Trouble("no link", f"{given['link']} of {given['parent']}")
            node, link = one.get_link_scene_node(number), (one, number)
        else:
            one = engine.rigid(given["parent"])
            if one is None:
                raise Trouble("no object", given["parent"])
            node = _frame(one)
    return _placed(engine, node, np.array(given["centre"], float), np.array(given["half"], float), link, given["turn"])


def matching(names: Any, pattern: str) -> str | None:
    """The first name that a pattern fits; a pattern without `|` fits any parent."""
    pattern = pattern if "|" in pattern else f"*|{pattern}"
    return next((name for name in sorted(names) if fnmatchcase(name, pattern)), None)


def _parts(attributes: Any) -> list[tuple[str, Any]]:
    """Name and part of each annotated box."""
    if attributes is None:
        return []
    parts = []
    for key in attributes.get_subconfig_keys():
        if key.startswith(PREFIX):
            part = attributes.get_subconfig(key)
            parts.append((part.get("name") if part.has_value("name") else key, part))
    return parts


def _frame(one: Any) -> Any:
    """The node whose frame an object's receptacles are in: that of its pictures, which has its scale."""
    nodes = one.visual_scene_nodes
    return nodes[1] if len(nodes) > 1 else one.root_scene_node


def _box(engine: Engine, node: Any, part: Any, scale: float, link: tuple[Any, int] | None) -> Box:
    centre = np.array(part.get("position"), float) * scale
    half = np.array(part.get("scale"), float) * scale
    return _placed(engine, node, centre, half, link)


def _placed(
    engine: Engine, node: Any, centre: np.ndarray, half: np.ndarray, link: tuple[Any, int] | None, turn: float = 0.0
) -> Box:
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    own = half[:, None] * np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    if node is None:
        return Box(centre, own, link)
    origin, axes = engine.frame(node)
    return Box(origin + centre @ axes, own @ axes, link)
