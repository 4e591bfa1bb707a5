"""The embedded home's scenes and objects as Habitat's: `habitat:homes` needs no download.

Walls and furniture are one stage; the chair is an object with an annotated receptacle, drawers and fridge door are
articulated. Files are written once, into the cache.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from llarp_cli.home import world as home_world
from llarp_cli.home.furniture import HINGE, furniture
from llarp_cli.home.interior import at, interior
from llarp_cli.home.primitives import OWNER, placed
from llarp_cli.home.robot import ROBOT
from llarp_cli.home.scenes import AREAS, furnished
from llarp_cli.home.semantics import SEMANTIC_IDS
from llarp_cli.home.shapes import ASSET_SHAPES
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF, JOINTS, OPEN_JOINT, RECEPTACLES
from llarp_habitat.description import added, finished
from llarp_habitat.glb import write_glb

VERSION = 2
"""Of the files; another one writes them anew."""
CHAIR = "llarp_chair"
_CHAIR_BOX = "receptacle_aabb_seat"
_DRAWERS = JOINTS[:-1]


def made(folder: Path) -> Path:
    """The folder with objects and robot, written if it is not there.

    Args:
        folder: the cache.
    """

    def write(into: Path) -> None:
        for asset in CATEGORY_OF:
            _object(into / "objects", f"llarp_{asset}", ASSET_SHAPES[asset])
        _object(into / "robot", "llarp_robot", ROBOT)

    return _once(folder / f"homes-{home_world.version}.{VERSION}", "things", write)


def scene_spec(folder: Path, name: str) -> dict[str, Any]:
    """One of the home's scenes as a worker is told of it; its files are written if they are not there.

    Args:
        folder: what `made` gave.
        name: of the scene.

    Raises:
        UsageProblem: there is no such scene.
    """
    home = furnished(name)
    layout = home.layout
    files = _once(folder.parent, f"scene-{name}".replace("/", "_"), lambda into: _write(into, name))
    counter, fridge, chair = (at(layout.piece(kind)) for kind in ("kitchen counter", "fridge", "chair"))
    boxes = home.scene.boxes / 1000
    receptacles: dict[str, Any] = {}
    for receptacle, row in zip(RECEPTACLES, boxes.tolist(), strict=True):
        x, _, z, heading, half_x, _, half_z = row
        # An annotated box stands on its surface, which the home's reaches below.
        surface, tall = AREAS[receptacle].y / 1000, 0.12
        receptacles[receptacle] = {
            "parent": "",
            "link": "",
            "centre": [x, surface + tall / 2, z],
            "half": [half_x, tall / 2, half_z],
            "turn": -heading,
        }
    joints: dict[str, Any] = {}
    for joint, opened in zip(JOINTS, OPEN_JOINT, strict=True):
        place = fridge if joint == "fridge" else counter
        handle = home.targets[JOINTS.index(joint)] / 1000
        # Handles are given in the frame of their link: the piece's, or the door's about its hinge.
        x, z = handle[0] - place[0], handle[2] - place[2]
        cos, sin = math.cos(place[3]), math.sin(place[3])
        local = [cos * x + sin * z, float(handle[1]), cos * z - sin * x]
        if joint == "fridge":
            local = [value - offset for value, offset in zip(local, HINGE, strict=True)]
        kind = "llarp_fridge" if joint == "fridge" else "llarp_counter"
        link = joint.replace(" ", "_")
        joints[joint] = {"object": f"{kind}_:*", "link": link, "handle": local, "closed": 0.0, "open": opened}
    spec = {
        "name": name,
        "dataset": "default",
        "scene": str(files / "stage.stage_config.json"),
        "objects": [str(files / "objects")],
        "floor": 0.0,
        "receptacles": receptacles,
        "joints": joints,
        "add": [
            _standing("object", CHAIR, f"{CHAIR}_here", chair),
            _standing("articulated", str(files / "llarp_counter.urdf"), "", counter),
            _standing("articulated", str(files / "llarp_fridge.urdf"), "", fridge),
        ],
        "assets": {},
        "robot": "",
    }
    receptacles["chair"] = f"{CHAIR}_here_:*|{_CHAIR_BOX}"
    return finished(spec, folder, True)


def _standing(kind: str, file: str, name: str, place: tuple[float, float, float, float]) -> dict[str, Any]:
    return added(kind, file, name, place[:3], turn=-math.degrees(place[3]))


def _write(into: Path, name: str) -> None:
    """A scene's stage, chair, drawers and fridge door."""
    home = furnished(name)
    layout, shapes = home.layout, furniture(home.layout.style)
    shell = interior(layout, True)
    above = shell[:, OWNER] == SEMANTIC_IDS["ceiling"]
    standing = [placed(shapes[piece.kind], *at(piece)) for piece in layout.pieces if piece.kind != "chair"]
    # Of the ceiling only what is seen from below, so that the home can be looked at from above.
    write_glb(into / "stage.glb", np.concatenate([shell[~above], *standing]), shell[above])
    # Habitat takes a mesh without such a file for one whose +z is up.
    stage = {"render_asset": "stage.glb", "up": [0, 1, 0], "front": [0, 0, -1], "force_flat_shading": True}
    (into / "stage.stage_config.json").write_text(json.dumps(stage) + "\n", "utf-8")
    area = AREAS["chair"]
    seat = {
        "name": _CHAIR_BOX,
        "position": [area.x / 1000, area.y / 1000 + 0.06, area.z / 1000],
        "scale": [area.half_x / 1000, 0.06, area.half_z / 1000],
    }
    _object(into / "objects", CHAIR, shapes["chair"], {_CHAIR_BOX: seat}, collidable=True)
    links = []
    for joint, opened in zip(_DRAWERS, OPEN_JOINT, strict=False):
        write_glb(into / f"{joint.replace(' ', '_')}.glb", shapes[joint])
        links.append((joint.replace(" ", "_"), "prismatic", (0.0, 0.0, 0.0), "0 0 1", opened))
    _urdf(into / "llarp_counter.urdf", "llarp_counter", links)
    write_glb(into / "fridge.glb", shapes["fridge door"])
    # A positive heading turns against Habitat's sense of +y.
    _urdf(into / "llarp_fridge.urdf", "llarp_fridge", [("fridge", "revolute", HINGE, "0 -1 0", OPEN_JOINT[-1])])


def _object(
    folder: Path, name: str, rows: Any, annotated: dict[str, Any] | None = None, collidable: bool = False
) -> None:
    """An object's mesh and its template, with its origin where the rows have theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    write_glb(folder / f"{name}.glb", rows)
    template = {
        "render_asset": f"{name}.glb",
        "COM": [0.0, 0.0, 0.0],
        "mass": 0.1,
        "is_collidable": collidable,
        "force_flat_shading": True,
        "user_defined": annotated or {},
    }
    (folder / f"{name}.object_config.json").write_text(json.dumps(template, indent=1) + "\n", "utf-8")


def _urdf(path: Path, name: str, links: list[tuple[str, str, tuple[float, float, float], str, float]]) -> None:
    """An articulated object of links that hang on one base: name, joint, origin, axis, how far it opens."""
    inertial = '<inertial><mass value="1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>'
    parts = [f'<link name="base">{inertial}</link>']
    for link, kind, origin, axis, most in links:
        visual = f'<visual><geometry><mesh filename="{link}.glb" scale="1 1 1"/></geometry></visual>'
        parts.append(f'<link name="{link}">{inertial}{visual}</link>')
        parts.append(
            f'<joint name="{link}_joint" type="{kind}"><origin xyz="{" ".join(map(str, origin))}" rpy="0 0 0"/>'
            f'<parent link="base"/><child link="{link}"/><axis xyz="{axis}"/>'
            f'<limit lower="0" upper="{most + 0.05}" effort="10" velocity="10"/></joint>'
        )
    text = f'<?xml version="1.0"?>\n<robot name="{name}">\n' + "\n".join(parts) + "\n</robot>\n"
    path.write_text(text, "utf-8")


def _once(folder: Path, name: str, write: Callable[[Path], None]) -> Path:
    """A folder that is written whole, by whoever comes first."""
    target = folder / name
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder))
    try:
        write(temporary)
        os.chmod(temporary, 0o755)
        try:
            os.replace(temporary, target)
        except OSError:
            # Another process was faster.
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target
