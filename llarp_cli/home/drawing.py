"""The compiled part of the renderer: from rows of primitives to the pictures of many homes."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numba.core import event

from llarp_cli.home.boxes import draw_box
from llarp_cli.home.kernels import COMPILED, HALF, NEAR, ONE, ZERO, packed
from llarp_cli.home.lanes import LANES, any_of, borrowed, chosen, load, next_of, store, store_bytes
from llarp_cli.home.primitives import BOUND, BOX, KIND, X, Y, Z
from llarp_cli.home.rounds import draw_round

BACKGROUND = (200, 210, 220)

TABLE = 14
"""Rows of the scratch table that round shapes share with the camera."""

_f = np.float32
_OWNED = np.int32(1 << 24)
"""Words of pixels that a small object owns are not less than this; those of fixed things are negative."""
_CENTRE, _WAY, _RAYS = 9, 10, 11
"""Rows of that table."""


@njit(**COMPILED)
def _draw_home(rows, position, rotation, focal, steps, width, height, near, words, table, planes, faces, starts, ends):
    """Draw all rows of one home that the camera can see."""
    view_x, view_y = _f(width) * HALF / focal, _f(height) * HALF / focal
    slant_x, slant_y = ONE / math.sqrt(ONE + view_x * view_x), ONE / math.sqrt(ONE + view_y * view_y)
    middle_x, middle_y = _f(width) * HALF - HALF, _f(height) * HALF - HALF
    centre, way, rays = table[_CENTRE], table[_WAY], table[_RAYS:]
    for k in range(3):
        rays[0, k], rays[1, k] = rotation[0, k] / focal, rotation[1, k] / focal
        rays[2, k] = rotation[2, k] - middle_x * rays[0, k] - middle_y * rays[1, k]
    for i in range(rows.shape[0]):
        row = rows[i]
        way[0], way[1], way[2] = row[X] - position[0], row[Y] - position[1], row[Z] - position[2]
        for k in range(3):
            centre[k] = rotation[k, 0] * way[0] + rotation[k, 1] * way[1] + rotation[k, 2] * way[2]
        bound = row[BOUND]
        # Asked so that what is not a number is not drawn.
        if not centre[2] + bound >= NEAR:
            continue
        if not (abs(centre[0]) - view_x * centre[2]) * slant_x <= bound:
            continue
        if not (abs(centre[1]) - view_y * centre[2]) * slant_y <= bound:
            continue
        if row[KIND] == BOX:
            draw_box(
                row, centre, way, rotation, rays, focal, width, height, steps, near, words, planes, faces, starts, ends
            )
        else:
            draw_round(row, centre, way, rotation, rays, focal, width, height, steps, near, words, table)


@njit(**COMPILED)
def _count(words, first, last, seen):
    """Count the owners of some pixels."""
    for at in range(first, last):
        owner = np.int64(np.int32(words[at]) >> np.int32(24)) - 1
        if 0 <= owner < seen.size:
            seen[owner] += 1


@njit(**COMPILED)
def _develop(near, words, nothing, width, height, rgb, owners, depth, seen):
    """Take colours and owners apart, count each owner's pixels, and leave the buffers empty for the next picture.

    Depth is written where there is room for it.
    """
    seen[:] = 0
    full = width & -LANES
    stride = (width + LANES - 1) & -LANES
    for y in range(height):
        at, out = y * stride, y * width
        for x in range(0, full, LANES):
            word = load(words, at + x)
            store_bytes(rgb, 3 * (out + x), word, 0, 3)
            store_bytes(owners, out + x, word, 3, 1)
            if any_of(word >= _OWNED):
                _count(words, at + x, at + x + LANES, seen)
            if depth.size:
                value = load(near, at + x)
                store(depth, out + x, chosen(value > ZERO, ONE / value, ZERO))
            store(words, at + x, nothing)
            store(near, at + x, ZERO)
        if full < width:
            for x in range(full, width):
                one = words[at + x]
                for colour in range(3):
                    rgb[3 * (out + x) + colour] = (one >> np.uint32(8 * colour)) & np.uint32(255)
                owners[out + x] = one >> np.uint32(24)
                if depth.size:
                    depth[out + x] = ONE / near[at + x] if near[at + x] > ZERO else ZERO
            _count(words, at + full, at + width, seen)
            store(words, at + full, nothing)
            store(near, at + full, ZERO)


def _with_cache(sources: str) -> Callable[..., str]:
    """The kernel, kept on disk once compiled, for as long as the sources are these."""

    def draw(
        rows,
        counts,
        homes,
        drawn,
        positions,
        rotations,
        focal,
        steps,
        near,
        words,
        table,
        planes,
        faces,
        spans,
        rgb,
        owners,
        depth,
        seen,
    ):
        """Draw the homes not drawn yet, each into its own place; returns the sources.

        Any number of threads may do so at once, with `drawn` in common, how many have been begun.
        """
        rows, positions, rotations, steps = borrowed(rows), borrowed(positions), borrowed(rotations), borrowed(steps)
        near, words, table, planes = borrowed(near), borrowed(words), borrowed(table), borrowed(planes)
        faces, spans, seen = borrowed(faces), borrowed(spans), borrowed(seen)
        height, width = rgb.shape[1], rgb.shape[2]
        nothing = packed(_f(BACKGROUND[0]), _f(BACKGROUND[1]), _f(BACKGROUND[2]), np.int32(-1))
        starts, ends = spans[0], spans[1]
        size = width * height
        colours, owned, deep = borrowed(rgb).reshape(-1), borrowed(owners).reshape(-1), borrowed(depth).reshape(-1)
        i = next_of(drawn)
        while i < homes.size:
            home = homes[i]
            shown = rows[home, : counts[home]]
            position, rotation = positions[i], rotations[i]
            _draw_home(
                shown, position, rotation, focal, steps, width, height, near, words, table, planes, faces, starts, ends
            )
            at = home * size
            _develop(
                near,
                words,
                nothing,
                width,
                height,
                colours[3 * at : 3 * (at + size)],
                owned[at : at + size],
                deep[at : at + size],
                seen[home],
            )
            i = next_of(drawn)
        return sources

    try:
        return njit(cache=True, **COMPILED)(draw)
    except RuntimeError:
        # Nowhere to keep it.
        return njit(**COMPILED)(draw)


@lru_cache(maxsize=1)
def kernel() -> Callable[..., str]:
    """The kernel. numba looks at one file only to see whether what it kept is still true; this looks at all."""
    digest = hashlib.sha256()
    for name in ("boxes", "drawing", "kernels", "lanes", "primitives", "rounds"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return _with_cache(digest.hexdigest())


class Announcement(event.Listener):
    """Says on stderr that the renderer is being compiled, when it is."""

    def on_start(self, event: Any) -> None:
        if event.data["dispatcher"] is kernel():
            print("compiling the home's renderer for this processor, once: about 10 s", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass
