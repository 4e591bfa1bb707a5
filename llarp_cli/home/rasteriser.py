"""The home's renderer: z-buffered pictures of rows of primitives, on the processor.

Boxes are filled within their outlines (`boxes`), cylinders and ellipsoids solved per pixel (`rounds`), sixteen pixels
at a time (`lanes`). Nearness is kept as inverse depth (1 / distance along the viewing direction), which is linear
across a flat face on screen.

One light, far away, and much light from everywhere: no face is black. Equal input gives equal bytes,
whatever the number of threads: a home is drawn by one thread, in the order of its rows. Nothing of a
primitive the camera is inside of is drawn; with no primitives at all the picture is `BACKGROUND`.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from numba.core import event
from numpy.typing import NDArray

from llarp_cli.errors import UsageProblem
from llarp_cli.home.boxes import PLANES
from llarp_cli.home.drawing import BACKGROUND, TABLE, Announcement, kernel
from llarp_cli.home.lanes import LANES

LARGEST = 8192
"""Pixels a picture may be wide or high, samples of smoothed pictures counted."""
MOST_OWNERS = 127
"""Owner ids of small objects are 0..126; -1 is nobody; -2..-129 are what stands fixed."""

_drawing = {"threads": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1}


def threads() -> int:
    """How many threads draw: at first as many as this process has processors."""
    return _drawing["threads"]


def set_threads(count: int) -> None:
    """Let so many threads draw, at least one; the pictures are the same."""
    _drawing["threads"] = max(1, count)


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """This process's threads for drawing; a forked child gets its own."""
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="llarp-render")


class Rasteriser:
    """Draws N homes at once into buffers it keeps.

    Args:
        homes: N.
        width, height: of the pictures, pixels; square where `height` is left out.
        depth: whether to keep depth, too.
        seen: int32 [N, M], written with the pixels of owners 0..M-1 in each home's picture; own ones where left out.

    Attributes:
        rgb: uint8 [N, height, width, 3].
        depth: float32 [N, height, width], metres along the viewing direction, 0 where there is nothing; without
            pictures unless asked for.
        seen: int32 [N, M].

    Raises:
        UsageProblem: there is no such size.
    """

    def __init__(
        self,
        homes: int,
        width: int,
        height: int | None = None,
        *,
        depth: bool = False,
        seen: NDArray[np.int32] | None = None,
    ) -> None:
        height = width if height is None else height
        if not (1 <= width <= LARGEST and 1 <= height <= LARGEST):
            raise UsageProblem(f"pictures of {width} x {height} pixels cannot be drawn", f"1 to {LARGEST} each way")
        stride = (width + LANES - 1) // LANES * LANES
        longest = (max(width, height) + LANES - 1) // LANES * LANES
        self.rgb = np.zeros((homes, height, width, 3), np.uint8)
        self.depth = np.zeros((homes if depth else 0, height, width), np.float32)
        self.seen = np.zeros((homes, MOST_OWNERS), np.int32) if seen is None else seen
        self._owners = np.zeros((homes, height, width), np.uint8)
        self._steps = np.arange(longest, dtype=np.float32)
        self._all = np.arange(homes)
        self._drawn = np.zeros(1, np.int64)
        red, green, blue = BACKGROUND
        self._buffers = [
            (
                np.zeros(stride * height, np.float32),
                np.full(stride * height, red | green << 8 | blue << 16, np.uint32),
                np.zeros((TABLE, 4), np.float32),
                np.zeros((PLANES, 4), np.float32),
                np.zeros(3, np.uint32),
                np.zeros((2, longest), np.float32),
            )
            for _ in range(max(1, min(homes, threads())))
        ]

    @property
    def ids(self) -> NDArray[np.int16]:
        """Owner of what is seen, int16 [N, height, width]: 0..126 small objects, -1 nobody, below what stands fixed."""
        return self._owners.view(np.int8).astype(np.int16) - 1

    def draw(
        self,
        primitives: NDArray[np.float32],
        counts: NDArray[np.int32],
        camera_positions: NDArray[np.float32],
        camera_rotations: NDArray[np.float32],
        focal: float,
        homes: NDArray[np.intp] | None = None,
    ) -> None:
        """Fill `rgb`, `ids`, `depth` and `seen`.

        Args:
            primitives: float32 [N, P, WIDTH], of which the first counts[i] rows of home i are drawn.
            counts: int32 [N].
            camera_positions: float32 [n, 3], of the homes that are drawn.
            camera_rotations: float32 [n, 3, 3], rows right, down, forward.
            focal: in pixels.
            homes: [n], draw only these; the others' pictures stay.
        """
        homes = self._all if homes is None else homes
        count = min(len(self._buffers), len(homes), threads())
        camera = (
            np.ascontiguousarray(camera_positions, np.float32),
            np.ascontiguousarray(camera_rotations, np.float32),
            np.float32(focal),
            self._steps,
        )
        outputs = (self.rgb, self._owners, self.depth, self.seen)

        def draw(thread: int) -> None:
            kernel()(primitives, counts, homes, self._drawn, *camera, *self._buffers[thread], *outputs)

        self._drawn[0] = 0
        if not kernel().signatures:
            with event.install_listener("numba:compile", Announcement()):
                draw(0)
        others = [_pool(os.getpid()).submit(draw, thread) for thread in range(1, count)]
        draw(0)
        for other in others:
            other.result()
