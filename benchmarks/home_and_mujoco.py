"""One furnished home, drawn by llarp and by MuJoCo's software rendering, one after the other on this machine.

The home's boxes, cylinders and ellipsoids become geoms of the same place, size and colour (an elliptic cylinder
becomes a round one of the same area), seen from the same poses by a camera of the same angle; MuJoCo without shadows,
reflections and multisampling, its boxes of one quad a side, its round shapes of 12 slices. Frames per second of
processor time, all threads together; best of several rounds for both. Run it with llarp's Python; MuJoCo may live in
another environment:

    python benchmarks/home_and_mujoco.py --mujoco-python /path/to/venv/bin/python

MuJoCo needs a software OpenGL: osmesa (Debian: libosmesa6) or egl with Mesa (libegl1, libgl1-mesa-dri).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

SIZES = (64, 128, 224)
ROUNDS = 5
BOX, CYLINDER, SPHERE, ROD = range(4)


def mjcf(rows, poses) -> str:
    """The scene as MuJoCo reads it: our (x, y up, z) is its (x, -z, y up)."""
    geoms = []
    for kind, x, y, z, hx, hy, hz, cos, sin, red, green, blue in rows[:, :12].tolist():
        angle = -math.degrees(math.atan2(sin, cos))
        turn = f"0 0 {angle:.4f}"
        if kind == BOX:
            shape, size = "box", (hx, hz, hy)
        elif kind == CYLINDER:
            shape, size = "cylinder", (math.sqrt(hx * hz), hy)
        elif kind == SPHERE:
            shape, size = "ellipsoid", (hx, hz, hy)
        else:
            shape, size = "cylinder", (math.sqrt(hy * hz), hx)
            turn = f"0 90 {angle:.4f}"
        numbers = " ".join(f"{max(value, 1e-4):.5f}" for value in size)
        geoms.append(
            f'<geom type="{shape}" pos="{x:.5f} {-z:.5f} {y:.5f}" euler="{turn}" size="{numbers}" '
            f'rgba="{min(red, 1):.3f} {min(green, 1):.3f} {min(blue, 1):.3f} 1" contype="0" conaffinity="0"/>'
        )
    cameras = []
    for i, (position, rotation) in enumerate(poses):
        right, down = rotation[0], rotation[1]
        axes = (right[0], -right[2], right[1], -down[0], down[2], -down[1])
        cameras.append(
            f'<camera name="c{i}" pos="{position[0]:.5f} {-position[2]:.5f} {position[1]:.5f}" '
            f'xyaxes="{" ".join(f"{value:.6f}" for value in axes)}" fovy="90"/>'
        )
    return f"""<mujoco>
  <compiler angle="degree" eulerseq="XYZ"/>
  <visual><map znear="0.005" zfar="5"/>
    <quality shadowsize="0" offsamples="0" numslices="12" numstacks="8" numquads="1"/>
    <headlight ambient="0.7 0.7 0.7" diffuse="0.3 0.3 0.3" specular="0 0 0"/>
    <global offwidth="256" offheight="256"/></visual>
  <worldbody>{"".join(geoms)}{"".join(cameras)}</worldbody>
</mujoco>"""


def best(draw, poses: int) -> float:
    """Frames per second of processor time in the best round over all poses."""
    for pose in range(poses):
        draw(pose)
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for pose in range(poses):
            draw(pose)
        seconds.append(time.process_time() - start)
    return poses / min(seconds)


def measure_mujoco(folder: Path) -> None:
    """In MuJoCo's own process: frames per second, and a few pictures."""
    import mujoco
    import numpy as np

    model = mujoco.MjModel.from_xml_path(str(folder / "home.xml"))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    speeds, pictures = {}, []
    for size in SIZES:
        renderer = mujoco.Renderer(model, size, size, max_geom=model.ngeom + 100)
        flags = renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = 0

        def draw(pose, renderer=renderer):
            renderer.update_scene(data, f"c{pose}")
            return renderer.render()

        speeds[size] = best(draw, model.ncam)
        pictures = [draw(pose).copy() for pose in range(0, model.ncam, 4)]
        renderer.close()
    np.save(folder / "pictures.npy", np.stack(pictures))
    print(json.dumps({"version": mujoco.__version__, "speeds": speeds}))


def measure_ours(rows, poses) -> dict[int, float]:
    """Frames per second of one thread drawing the same home from the same poses."""
    import numpy as np

    from llarp_cli.home.rasteriser import Rasteriser, set_threads

    set_threads(1)
    speeds = {}
    # As many homes at once as there are poses: llarp draws in batches.
    many = np.repeat(rows[None], len(poses), axis=0)
    positions, rotations = (np.stack(part) for part in zip(*poses, strict=True))
    counts = np.full(len(poses), len(rows), np.int32)
    for size in SIZES:
        rasteriser = Rasteriser(len(poses), size)
        speeds[size] = len(poses) * best(
            lambda _, r=rasteriser, s=size: r.draw(many, counts, positions, rotations, s / 2), 1
        )
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mujoco-python", default=sys.executable, help="a Python that has MuJoCo")
    parser.add_argument("--content", default="35 objects", help="what the home holds, as in `llarp bench home`")
    parser.add_argument("--pictures", type=Path, help="write the same views drawn by both here, one above the other")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure_mujoco(arguments.measure)
        return

    import numpy as np
    from PIL import Image

    from llarp_cli.home.bench import make_scenes
    from llarp_cli.home.rasteriser import Rasteriser

    scenes = make_scenes(arguments.content, 1)
    rows = scenes.rows[0, : scenes.counts[0]]
    rows = np.ascontiguousarray(rows[rows[:, 12] > 0])  # what is behind closed doors is not drawn by either
    poses = [(positions[0], rotations[0]) for positions, rotations in scenes.cameras()]
    print(f"home-0, {arguments.content}: {len(rows)} primitives, {len(poses)} poses; frames/s of processor time")
    print(f"{'llarp':24}", *(f"{size} px {speed:9,.0f}" for size, speed in measure_ours(rows, poses).items()), sep="  ")
    with TemporaryDirectory() as folder:
        Path(folder, "home.xml").write_text(mjcf(rows, poses), encoding="utf-8")
        for backend in ("osmesa", "egl"):
            result = subprocess.run(
                [arguments.mujoco_python, __file__, "--measure", folder],
                env={**os.environ, "MUJOCO_GL": backend, "LP_NUM_THREADS": "0", "LIBGL_ALWAYS_SOFTWARE": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            if result.returncode:
                print(f"MuJoCo with {backend} does not run here: {(result.stderr.splitlines() or ['?'])[-1]}")
                continue
            told = json.loads(result.stdout.splitlines()[-1])
            name = f"MuJoCo {told['version']}, {backend}"
            print(f"{name:24}", *(f"{size} px {speed:9,.0f}" for size, speed in told["speeds"].items()), sep="  ")
            if arguments.pictures:
                theirs = np.load(Path(folder, "pictures.npy"))
                drawn = Rasteriser(len(poses), SIZES[-1])
                positions, rotations = (np.stack(part) for part in zip(*poses, strict=True))
                many = np.repeat(rows[None], len(poses), axis=0)
                drawn.draw(many, np.full(len(poses), len(rows), np.int32), positions, rotations, SIZES[-1] / 2)
                both = [np.concatenate(list(one), axis=1) for one in (drawn.rgb[::4], theirs)]
                Image.fromarray(np.concatenate(both)).save(arguments.pictures)


if __name__ == "__main__":
    main()
