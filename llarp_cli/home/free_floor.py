"""Where in a home the robot has room: distances to what stands there, and the floor it can walk on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llarp_cli.home.layouts import ROBOT_RADIUS, SCALE, Layout, footprint, turn, wall_rectangles

CELL = 125
"""Side of a cell when free floor is searched, millimetres."""

FEWEST_STARTS = 20


def starts(layout: Layout, blocked: NDArray[np.int64], stands: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Free floor reachable from every standing pose, int [S, 2]; None where a pose is cut off or little is free."""
    x0, z0, x1, z1 = layout.room
    first_x, first_z = -(-x0 // CELL) * CELL, -(-z0 // CELL) * CELL
    xs, zs = np.arange(first_x, x1 + 1, CELL), np.arange(first_z, z1 + 1, CELL)
    grid_x, grid_z = np.meshgrid(xs, zs, indexing="ij")
    free = (clearance(blocked, grid_x.ravel(), grid_z.ravel()) >= ROBOT_RADIUS**2).reshape(grid_x.shape)
    free[[0, -1]] = False
    free[:, [0, -1]] = False
    # Each stand touches the free cells among the four around it.
    corner_x, corner_z = (stands[:, 0] - first_x) // CELL, (stands[:, 1] - first_z) // CELL
    around = [(corner_x + dx, corner_z + dz) for dx in (0, 1) for dz in (0, 1)]
    reached = np.zeros_like(free)
    for x, z in around:
        reached[x[0], z[0]] = free[x[0], z[0]]
    count = 0
    while (total := int(reached.sum())) != count:
        count = total
        for _ in range(8):
            reached[1:] |= reached[:-1]
            reached[:-1] |= reached[1:]
            reached[:, 1:] |= reached[:, :-1]
            reached[:, :-1] |= reached[:, 1:]
            reached &= free
    if not np.logical_or.reduce([reached[x, z] for x, z in around]).all():
        return None
    coarse = (grid_x % 250 == 0) & (grid_z % 250 == 0) & reached
    found = np.stack([grid_x[coarse], grid_z[coarse]], axis=1).astype(np.int64)
    return found if len(found) >= FEWEST_STARTS else None


def obstacles(layout: Layout) -> NDArray[np.int64]:
    """What the robot must not run into as turned rectangles, int [O, 6]: centre x, z in half millimetres, cosine and
    sine in millionths, half extents in half millimetres."""
    rows = []
    for piece in layout.pieces:
        outline = footprint(piece)
        if outline is not None:
            rows.append(_rectangle_row(outline, piece.heading))
    for wall in layout.walls:
        heading = 0 if wall.z0 == wall.z1 else 90_000
        rows.extend(_rectangle_row(outline, heading) for outline in wall_rectangles(wall))
    return np.array(rows, np.int64)


def _rectangle_row(outline: tuple[tuple[int, int], ...], heading: int) -> tuple[int, ...]:
    cos, sin = turn(heading)
    (ax, az), (bx, bz), (cx, cz), _ = outline
    half_x = abs((bx - ax) * cos + (bz - az) * sin) // SCALE
    half_z = abs((bz - cz) * cos - (bx - cx) * sin) // SCALE
    return ax + cx, az + cz, cos, sin, half_x, half_z


def clearance(blocked: NDArray[np.int64], x: NDArray[np.int64], z: NDArray[np.int64]) -> NDArray[np.int64]:
    """Squared distance from each point to the nearest obstacle, square millimetres; 0 inside one."""
    centre_x, centre_z, cos, sin, half_x, half_z = (column[:, None] for column in blocked.T)
    dx, dz = 2 * x - centre_x, 2 * z - centre_z
    out_x = np.maximum(np.abs(dx * cos + dz * sin) // SCALE - half_x, 0)
    out_z = np.maximum(np.abs(dz * cos - dx * sin) // SCALE - half_z, 0)
    return ((out_x * out_x + out_z * out_z) // 4).min(axis=0)
