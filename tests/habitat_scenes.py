"""A scene of two tables and a fridge, of the tests' own, in the form of Habitat's."""

import json
from pathlib import Path

import numpy as np
from llarp_habitat.glb import write_glb

from llarp_cli.home.primitives import box, span

DOUBLE = Path(__file__).parent / "habitat_double"
"""What goes on the path of workers that are to use the stand-in of habitat-sim."""

DESCRIPTION = """
name: two-tables
home_objects: true
objects: [objects]
scenes: {train: [room.glb], test: [room.glb]}
receptacles:
  black table: "big_:*|receptacle_aabb_top"
  sofa: receptacle_aabb_low
  fridge: {parent: "fridge_:*", centre: [0, 0.6, 0], half: [0.25, 0.05, 0.2]}
joints:
  fridge: {object: "fridge_:*", link: door, handle: [0.5, 0.9, 0], open: 1.5}
add:
  - {template: table, name: big, at: [1.6, 0, 0.5], turn: 30, scale: [1.2, 1, 1]}
  - {template: low, name: low, at: [-1.5, 0, -1.0]}
  - {urdf: fridge.urdf, at: [0, 0, -2.2]}
"""


def write_scene(folder: Path) -> Path:
    """The description of the scene, whose files are written beside it."""
    room = [span((-3, 3), (-0.1, 0), (-3, 3), (0.5, 0.5, 0.5))]
    for side in (-3.05, 3.05):
        room += [box(side, 1.2, 0, 0.05, 1.2, 3.1, (0.8, 0.8, 0.8)), box(0, 1.2, side, 3.1, 1.2, 0.05, (0.8, 0.8, 0.8))]
    room.append(box(0, 0.8, -2.2, 0.3, 0.8, 0.25, (0.9, 0.9, 0.9)))
    write_glb(folder / "room.glb", np.concatenate(room))
    up = {"render_asset": "room.glb", "up": [0, 1, 0], "front": [0, 0, -1]}
    (folder / "room.stage_config.json").write_text(json.dumps(up))
    (folder / "objects").mkdir()
    for name, height, key in (("table", 0.7, "receptacle_aabb_top"), ("low", 0.4, "receptacle_aabb_low")):
        write_glb(folder / "objects" / f"{name}.glb", box(0, height / 2, 0, 0.5, height / 2, 0.3, (0.6, 0.4, 0.2)))
        receptacle = {"position": [0, height + 0.1, 0], "scale": [0.48, 0.1, 0.28]}
        template = {"render_asset": f"{name}.glb", "COM": [0, 0, 0], "user_defined": {key: receptacle}}
        (folder / "objects" / f"{name}.object_config.json").write_text(json.dumps(template))
    write_glb(folder / "door.glb", box(0.3, 0.8, 0, 0.3, 0.8, 0.02, (0.9, 0.9, 0.95)))
    (folder / "fridge.urdf").write_text(
        '<robot name="fridge"><link name="base"/><link name="door"><visual><geometry><mesh filename="door.glb"/>'
        '</geometry></visual></link><joint name="hinge" type="revolute"><origin xyz="-0.3 0 0.27" rpy="0 0 0"/>'
        '<parent link="base"/><child link="door"/><axis xyz="0 -1 0"/>'
        '<limit lower="0" upper="2" effort="1" velocity="1"/></joint></robot>'
    )
    path = folder / "scene.yaml"
    path.write_text(DESCRIPTION)
    return path
