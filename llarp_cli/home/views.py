"""Pictures of homes from any of three cameras, at any size: colours, depth and what each pixel shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from llarp_cli.errors import UsageProblem, unknown
from llarp_cli.home.camera import focal, robot_cameras, watching_focal
from llarp_cli.home.maps import seen_from_above
from llarp_cli.home.primitives import Rows
from llarp_cli.home.rasteriser import LARGEST, Rasteriser
from llarp_cli.home.robot import watching_camera

CAMERAS = ("first_person", "third_person", "top_down")
"""The robot's own; one over its shoulder, before which walls give way; one above the home, without its ceiling."""

LARGEST_VIEW = 2048
MOST_SAMPLES = LARGEST // LARGEST_VIEW


@dataclass(frozen=True)
class View:
    """One picture, or N of them with N as the first axis.

    Attributes:
        rgb: uint8 [height, width, 3].
        depth: float32 [height, width], metres along the camera's axis (not along each ray); 0 where there is nothing.
        semantic: int16 [height, width], see `semantics`.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    semantic: NDArray[np.int16]


def view(
    scene: str,
    rows: Rows,
    robot: NDArray[np.float64],
    camera: str = "first_person",
    width: int = 448,
    height: int | None = None,
    samples: int = 1,
) -> View:
    """One home as a camera sees it.

    Args:
        scene: its name.
        rows: everything that stands in it, float32 [p, WIDTH].
        robot: x, z in metres, heading in radians.
        camera: one of `CAMERAS`.
        width, height: pixels, 1 to 2048; square where `height` is left out.
        samples: 1 to 4; above 1 colours are the mean of so many rays across and down each pixel, which smooths edges.
            Depth and ids are those of one ray, in the middle where `samples` is odd.

    Raises:
        UsageProblem: there is no such camera, size or number of samples.
    """
    height = width if height is None else height
    _check(camera, width, height, samples)
    across, down = width * samples, height * samples
    if camera == "first_person":
        shown, (position, rotation), pixels = rows, robot_cameras(robot[None]), focal(across)
    elif camera == "third_person":
        (shown, position, rotation), pixels = watching_camera(rows, robot), watching_focal(across)
    else:
        shown, (position, rotation, pixels) = seen_from_above(scene, rows, robot, across, down)
    drawn = _rasteriser(across, down)
    drawn.draw(shown[None], np.array([len(shown)], np.int32), position, rotation, pixels)
    one = slice(samples // 2, None, samples)
    fine = drawn.rgb[0].reshape(height, samples, width, samples, 3)
    rgb = drawn.rgb[0].copy() if samples == 1 else _mean(fine)
    return View(rgb, drawn.depth[0, one, one].copy(), drawn.ids[0, one, one])


def _mean(fine: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Box-filtered [height, width, 3], rounded, of [height, samples, width, samples, 3]."""
    samples = fine.shape[1]
    rays = samples**2
    total = np.full(fine.shape[::2], rays // 2, np.uint16)
    for down in range(samples):  # six times as fast as a sum over two axes
        for across in range(samples):
            total += fine[:, down, :, across]
    return (total // rays).astype(np.uint8)


def _check(camera: str, width: int, height: int, samples: int) -> None:
    if camera not in CAMERAS:
        raise unknown("camera", camera, CAMERAS)
    if not (1 <= width <= LARGEST_VIEW and 1 <= height <= LARGEST_VIEW):
        raise UsageProblem(f"a picture cannot be {width} x {height} pixels", f"choose 1 to {LARGEST_VIEW} each way")
    if not 1 <= samples <= MOST_SAMPLES:
        raise UsageProblem(f"a pixel cannot have {samples} samples each way", f"choose 1 to {MOST_SAMPLES}")


@lru_cache(maxsize=4)
def _rasteriser(width: int, height: int) -> Rasteriser:
    return Rasteriser(1, width, height, depth=True)
