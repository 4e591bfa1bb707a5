"""The home's renderer: z-buffered pictures of rows of primitives, on the processor.

Boxes are drawn as the polygons of their visible faces, row by row. Cylinders and ellipsoids are
solved per pixel: the camera's ray is taken into the space in which the primitive is a unit cylinder or
unit sphere, where the inverse depth of the hit is a closed form without a division. Nearness is kept as
inverse depth (1 / distance along the viewing direction), which is linear across a flat face on screen.

One light, far away, and much light from everywhere: no face is black. Equal input gives equal bytes,
whatever the number of threads: a home is drawn by one thread, in the order of its rows. Nothing of a
primitive the camera is inside of is drawn; with no primitives at all the picture is `BACKGROUND`.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from llarp_cli.home.primitives import (
    BLUE,
    BOUND,
    BOX,
    COS,
    CYLINDER,
    GREEN,
    HALF_X,
    HALF_Y,
    HALF_Z,
    KIND,
    OWNER,
    RED,
    ROD,
    SIN,
    SPHERE,
    X,
    Y,
    Z,
)

BACKGROUND = (200, 210, 220)
MOST_OWNERS = 255
"""Owner ids are 0..254."""

_f = np.float32
_NEAR = _f(0.05)
_FARTHEST = _f(1.0 / 0.05)
_LIGHT = (_f(0.36), _f(0.86), _f(0.36))
_AMBIENT, _DIRECT = _f(0.78), _f(0.22)
_HALF, _ZERO, _ONE = _f(0.5), _f(0.0), _f(1.0)
_BIG = _f(1e9)
_kernel = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "arcp", "reassoc"}}


@njit(**_kernel)
def _word(red, green, blue, owner):
    """Colour (0..255 each) and owner in one integer."""
    return np.uint32((owner + 1) << 24 | np.int32(blue) << 16 | np.int32(green) << 8 | np.int32(red))


@njit(**_kernel)
def _fill_polygon(px, py, corners, du, dv, d0, word, us, vs, nearness, words, edges):
    """Draw a convex polygon whose corners px, py (pixels) go round counter-clockwise on screen.

    Its inverse depth is du * u + dv * v + d0, (u, v) the viewing direction over its forward part.
    """
    size = vs.shape[0]
    low, high = py[0], py[0]
    for i in range(1, corners):
        low = min(low, py[i])
        high = max(high, py[i])
    first = max(0, math.ceil(low - _HALF))
    last = min(size, math.ceil(high - _HALF))
    if first >= last:
        return
    # Each edge bounds the span of a row from the left or from the right, at offset + slope * row.
    lefts, rights = 0, 8
    for i in range(corners):
        j = i + 1 if i + 1 < corners else 0
        # Computed from its upper end for both of the faces that share an edge: no cracks.
        if py[i] < py[j]:
            slope = (px[j] - px[i]) / (py[j] - py[i])
            edges[0, lefts] = px[i] - slope * (py[i] - _HALF) - _HALF
            edges[1, lefts] = slope
            lefts += 1
        elif py[i] > py[j]:
            slope = (px[i] - px[j]) / (py[i] - py[j])
            edges[0, rights] = px[j] - slope * (py[j] - _HALF) - _HALF
            edges[1, rights] = slope
            rights += 1
    end = _f(size)
    for y in range(first, last):
        left, right = _ZERO, end
        at = _f(y)
        for i in range(lefts):
            left = max(left, edges[0, i] + edges[1, i] * at)
        for i in range(8, rights):
            right = min(right, edges[0, i] + edges[1, i] * at)
        row = dv * vs[y] + d0
        near, colour = nearness[y], words[y]
        # Unsigned, so that no index can be negative: only then does the compiler use vectors.
        for x in range(np.uint64(math.ceil(left)), np.uint64(max(0, math.ceil(right)))):
            value = du * us[x] + row
            nearer = value > near[x]
            near[x] = value if nearer else near[x]
            colour[x] = word if nearer else colour[x]


@njit(**_kernel)
def _draw_box(row, centre, way, rotation, focal, us, vs, nearness, words, spare):
    """Draw the faces of a box that look at the camera: at most three.

    `centre` is its centre in the camera's frame, `way` the same vector in the world's.
    """
    size = vs.shape[0]
    middle = _f(size) * _HALF
    cos, sin = row[COS], row[SIN]
    axes, corner, kept, px, py, edges = spare[0:3], spare[3:6], spare[6:9], spare[9], spare[10], spare[11:13]
    for k in range(3):
        # The box's unit axes in the camera's frame.
        axes[0, k] = rotation[k, 0] * cos + rotation[k, 2] * sin
        axes[1, k] = rotation[k, 1]
        axes[2, k] = rotation[k, 2] * cos - rotation[k, 0] * sin
    for a in range(3):
        # Where the camera is along this axis of the box, and how the axis faces the light.
        if a == 0:
            camera, lit = -(way[0] * cos + way[2] * sin), cos * _LIGHT[0] + sin * _LIGHT[2]
        elif a == 1:
            camera, lit = -way[1], _LIGHT[1]
        else:
            camera, lit = way[0] * sin - way[2] * cos, cos * _LIGHT[2] - sin * _LIGHT[0]
        half = row[HALF_X + a]
        if camera > half:
            sign = _ONE
        elif camera < -half:
            sign = -_ONE
        else:
            continue
        b = a + 1 if a < 2 else 0
        c = 3 - a - b
        for k in range(3):
            face = centre[k] + axes[a, k] * sign * half
            along, across = axes[b, k] * row[HALF_X + b] * sign, axes[c, k] * row[HALF_X + c]
            corner[k, 0] = face - along - across
            corner[k, 1] = face + along - across
            corner[k, 2] = face + along + across
            corner[k, 3] = face - along + across
        distance = (camera * sign - half) * -_ONE
        corners = 4
        seen = corner
        depth = corner[2]
        if min(depth[0], depth[1], depth[2], depth[3]) < _NEAR:
            # Cut off what is behind the near plane.
            corners = 0
            seen = kept
            for i in range(4):
                j = (i + 1) & 3
                if depth[i] >= _NEAR:
                    for k in range(3):
                        kept[k, corners] = corner[k, i]
                    corners += 1
                if (depth[i] >= _NEAR) != (depth[j] >= _NEAR):
                    part = (_NEAR - depth[i]) / (depth[j] - depth[i])
                    for k in range(2):
                        kept[k, corners] = corner[k, i] + part * (corner[k, j] - corner[k, i])
                    kept[2, corners] = _NEAR
                    corners += 1
            if corners < 3:
                continue
        left, right = _BIG, -_BIG
        for i in range(corners):
            scale = focal / seen[2, i]
            px[i] = seen[0, i] * scale + middle
            py[i] = seen[1, i] * scale + middle
            left = min(left, px[i])
            right = max(right, px[i])
        if right <= _HALF or left >= _f(size):
            continue
        light = (_AMBIENT + _DIRECT * sign * lit) * _f(255)
        word = _word(row[RED] * light, row[GREEN] * light, row[BLUE] * light, np.int32(row[OWNER]))
        over = sign / distance
        du, dv, d0 = axes[a, 0] * over, axes[a, 1] * over, axes[a, 2] * over
        _fill_polygon(px, py, corners, du, dv, d0, word, us, vs, nearness, words, edges)


@njit(**_kernel)
def _fill_ellipsoid(origin, ray, light, colour, owner, x0, x1, y0, y1, us, vs, nearness, words):
    """Draw a unit sphere seen from `origin` along ray[0] + u * ray[1] + v * ray[2], all in its own space.

    The light falls on an ellipsoid as on the sphere it was stretched from.
    """
    ox, oy, oz = origin
    gap = ox * ox + oy * oy + oz * oz - _ONE
    over = _ONE / gap
    red, green, blue = colour
    top = (owner + np.int32(1)) << np.int32(24)
    lo = ox * light[0] + oy * light[1] + oz * light[2]
    ux, uy, uz = ray[1, 0], ray[1, 1], ray[1, 2]
    # The half chord's square and the rest are polynomials in u: their terms, row by row.
    a2 = ux * ux + uy * uy + uz * uz
    b1 = -(ox * ux + oy * uy + oz * uz)
    l1 = ux * light[0] + uy * light[1] + uz * light[2]
    for y in range(y0, y1):
        v = vs[y]
        rx, ry, rz = ray[0, 0] + v * ray[2, 0], ray[0, 1] + v * ray[2, 1], ray[0, 2] + v * ray[2, 2]
        a0 = rx * rx + ry * ry + rz * rz
        a1 = _f(2) * (rx * ux + ry * uy + rz * uz)
        b0 = -(ox * rx + oy * ry + oz * rz)
        l0 = rx * light[0] + ry * light[1] + rz * light[2]
        near, out = nearness[y], words[y]
        for x in range(np.uint64(x0), np.uint64(x1)):
            u = us[x]
            b = b0 + u * b1
            square = b * b - gap * (a0 + u * (a1 + u * a2))
            value = (b + math.sqrt(max(square, _ZERO))) * over
            nearer = (square > _ZERO) & (value > near[x]) & (value < _FARTHEST)
            shade = _AMBIENT + _DIRECT * (lo + (l0 + u * l1) / value)
            word = (
                top
                | np.int32(blue * shade) << np.int32(16)
                | np.int32(green * shade) << np.int32(8)
                | np.int32(red * shade)
            )
            near[x] = value if nearer else near[x]
            out[x] = word if nearer else out[x]


@njit(**_kernel)
def _fill_cylinder(origin, ray, light, cap, colour, owner, x0, x1, y0, y1, us, vs, nearness, words):
    """Draw the cylinder of radius 1 about the second axis between -1 and 1, seen as in `_fill_ellipsoid`.

    `cap` is the word of the end that looks at the camera.
    """
    ox, oy, oz = origin
    gap = ox * ox + oz * oz - _ONE
    outside = gap > _ZERO
    over = _ONE / gap if outside else _ZERO
    above = abs(oy) > _ONE
    lift = _ONE / ((_ONE if oy > _ZERO else -_ONE) - oy) if above else _ZERO
    red, green, blue = colour
    top = (owner + np.int32(1)) << np.int32(24)
    lo = ox * light[0] + oz * light[2]
    ux, uy, uz = ray[1, 0], ray[1, 1], ray[1, 2]
    for y in range(y0, y1):
        v = vs[y]
        rx, ry, rz = ray[0, 0] + v * ray[2, 0], ray[0, 1] + v * ray[2, 1], ray[0, 2] + v * ray[2, 2]
        near, out = nearness[y], words[y]
        for x in range(np.uint64(x0), np.uint64(x1)):
            u = us[x]
            dx, dy, dz = rx + u * ux, ry + u * uy, rz + u * uz
            b = -(ox * dx + oz * dz)
            square = b * b - gap * (dx * dx + dz * dz)
            side = (b + math.sqrt(max(square, _ZERO))) * over
            on_side = outside & (square > _ZERO) & (side > _ZERO) & (abs(oy * side + dy) <= side)
            end = dy * lift
            ex, ez = ox * end + dx, oz * end + dz
            on_end = above & (end > _ZERO) & (ex * ex + ez * ez <= end * end)
            value = end if on_end else side
            nearer = (on_side | on_end) & (value > near[x]) & (value < _FARTHEST)
            shade = _AMBIENT + _DIRECT * (lo + (dx * light[0] + dz * light[2]) / side)
            shade = min(max(shade, _ZERO), _ONE)
            word = (
                top
                | np.int32(blue * shade) << np.int32(16)
                | np.int32(green * shade) << np.int32(8)
                | np.int32(red * shade)
            )
            word = cap if on_end else word
            near[x] = value if nearer else near[x]
            out[x] = word if nearer else out[x]


@njit(**_kernel)
def _draw_round(kind, row, centre, way, rotation, focal, us, vs, nearness, words, spare):
    """Draw a cylinder, rod or ellipsoid within the rectangle of the screen that can show it."""
    size = vs.shape[0]
    middle = _f(size) * _HALF
    axes, ray, light, origin, reach = spare[0:3], spare[3:6], spare[6], spare[7], spare[8]
    cos, sin = row[COS], row[SIN]
    for k in range(3):
        axes[0, k] = rotation[k, 0] * cos + rotation[k, 2] * sin
        axes[1, k] = rotation[k, 1]
        axes[2, k] = rotation[k, 2] * cos - rotation[k, 0] * sin
    # How far it reaches from its centre along right, down and forward.
    for k in range(3):
        p, q, r = axes[0, k] * row[HALF_X], axes[1, k] * row[HALF_Y], axes[2, k] * row[HALF_Z]
        if kind == SPHERE:
            reach[k] = math.sqrt(p * p + q * q + r * r)
        elif kind == CYLINDER:
            reach[k] = abs(q) + math.sqrt(p * p + r * r)
        else:
            reach[k] = abs(p) + math.sqrt(q * q + r * r)
    x0, x1, y0, y1 = 0, size, 0, size
    front = centre[2] - reach[2]
    if front >= _NEAR:
        large, small = focal / front, focal / (centre[2] + reach[2])
        low, high = centre[0] - reach[0], centre[0] + reach[0]
        x0 = max(0, int(middle + low * (large if low < _ZERO else small) - _HALF))
        x1 = min(size, int(middle + high * (large if high > _ZERO else small) + _HALF) + 1)
        low, high = centre[1] - reach[1], centre[1] + reach[1]
        y0 = max(0, int(middle + low * (large if low < _ZERO else small) - _HALF))
        y1 = min(size, int(middle + high * (large if high > _ZERO else small) + _HALF) + 1)
    if x0 >= x1 or y0 >= y1:
        return
    # Into the space where it is a unit sphere or the unit cylinder about the second axis.
    for a in range(3):
        to = a if kind != ROD else (1 if a == 0 else (0 if a == 1 else 2))
        over = _ONE / row[HALF_X + a]
        if a == 0:
            camera, lit = -(way[0] * cos + way[2] * sin), cos * _LIGHT[0] + sin * _LIGHT[2]
        elif a == 1:
            camera, lit = -way[1], _LIGHT[1]
        else:
            camera, lit = way[0] * sin - way[2] * cos, cos * _LIGHT[2] - sin * _LIGHT[0]
        origin[to] = camera * over
        light[to] = lit
        ray[0, to] = axes[a, 2] * over
        ray[1, to] = axes[a, 0] * over
        ray[2, to] = axes[a, 1] * over
    owner = np.int32(row[OWNER])
    colour = (row[RED] * _f(255), row[GREEN] * _f(255), row[BLUE] * _f(255))
    eye = (origin[0], origin[1], origin[2])
    if kind == SPHERE:
        if eye[0] * eye[0] + eye[1] * eye[1] + eye[2] * eye[2] > _ONE:
            _fill_ellipsoid(eye, ray, light, colour, owner, x0, x1, y0, y1, us, vs, nearness, words)
    else:
        shade = _AMBIENT + _DIRECT * (light[1] if eye[1] > _ZERO else -light[1])
        cap = _word(colour[0] * shade, colour[1] * shade, colour[2] * shade, owner)
        _fill_cylinder(eye, ray, light, cap, colour, owner, x0, x1, y0, y1, us, vs, nearness, words)


@njit(**_kernel)
def _draw_home(rows, position, rotation, focal, us, vs, nearness, words, spare):
    """Draw all rows of one home that the camera can see."""
    half_view = _f(vs.shape[0]) * _HALF / focal
    slant = _ONE / math.sqrt(_ONE + half_view * half_view)
    centre, way = spare[13], spare[14]
    for i in range(rows.shape[0]):
        row = rows[i]
        way[0], way[1], way[2] = row[X] - position[0], row[Y] - position[1], row[Z] - position[2]
        for k in range(3):
            centre[k] = rotation[k, 0] * way[0] + rotation[k, 1] * way[1] + rotation[k, 2] * way[2]
        bound = row[BOUND]
        # Asked so that what is not a number is not drawn.
        if not centre[2] + bound >= _NEAR:
            continue
        if not (abs(centre[0]) - half_view * centre[2]) * slant <= bound:
            continue
        if not (abs(centre[1]) - half_view * centre[2]) * slant <= bound:
            continue
        kind = int(row[KIND])
        if kind == BOX:
            _draw_box(row, centre, way, rotation, focal, us, vs, nearness, words, spare)
        else:
            _draw_round(kind, row, centre, way, rotation, focal, us, vs, nearness, words, spare)


@njit(**_kernel)
def _unpack(words, rgb, ids):
    """Take colours and owners apart again; flat."""
    for i in range(words.size):
        word = words[i]
        rgb[3 * i] = word & np.uint32(255)
        rgb[3 * i + 1] = (word >> np.uint32(8)) & np.uint32(255)
        rgb[3 * i + 2] = (word >> np.uint32(16)) & np.uint32(255)
        ids[i] = np.int16(word >> np.uint32(24)) - np.int16(1)


@njit(parallel=True, **_kernel)
def _draw_homes(primitives, counts, positions, rotations, focal, us, vs, depth, words, rgb, ids, spare):
    size = vs.shape[0]
    for home in prange(primitives.shape[0]):
        thread = numba.get_thread_id()
        word = words[thread]
        depth[home] = _ZERO
        word[:] = _word(_f(BACKGROUND[0]), _f(BACKGROUND[1]), _f(BACKGROUND[2]), np.int32(-1))
        rows = primitives[home, : counts[home]]
        _draw_home(rows, positions[home], rotations[home], focal, us, vs, depth[home], word, spare[thread])
        _unpack(word.reshape(size * size), rgb[home].reshape(size * size * 3), ids[home].reshape(size * size))


@njit(parallel=True, **_kernel)
def count_pixels(ids, max_id, out):
    """Count each owner's pixels: ids int16 [N, S, S] -> out int32 [N, max_id], overwritten; ids from max_id on are
    not counted."""
    for home in prange(ids.shape[0]):
        out[home, :max_id] = 0
        for y in range(ids.shape[1]):
            for x in range(ids.shape[2]):
                owner = ids[home, y, x]
                if 0 <= owner < max_id:
                    out[home, owner] += 1


class Rasteriser:
    """Draws N homes at once into buffers it keeps.

    Attributes:
        rgb: uint8 [N, size, size, 3].
        ids: int16 [N, size, size], owner of what is seen (0..254), -1 for what nobody owns.
        depth: float32 [N, size, size], inverse depth in 1/metres, 0 where there is nothing.
    """

    def __init__(self, homes: int, size: int) -> None:
        threads = numba.config.NUMBA_NUM_THREADS
        self.rgb = np.zeros((homes, size, size, 3), np.uint8)
        self.ids = np.zeros((homes, size, size), np.int16)
        self.depth = np.zeros((homes, size, size), np.float32)
        self._words = np.zeros((threads, size, size), np.uint32)
        self._spare = np.zeros((threads, 15, 16), np.float32)
        self._centres = np.arange(size, dtype=np.float32) + np.float32(0.5 - size / 2)

    def draw(
        self,
        primitives: NDArray[np.float32],
        counts: NDArray[np.int32],
        camera_positions: NDArray[np.float32],
        camera_rotations: NDArray[np.float32],
        focal: float,
    ) -> None:
        """Fill `rgb`, `ids` and `depth`.

        Args:
            primitives: float32 [N, P, WIDTH], of which the first counts[i] rows of home i are drawn.
            counts: int32 [N].
            camera_positions: float32 [N, 3].
            camera_rotations: float32 [N, 3, 3], rows right, down, forward.
            focal: in pixels.
        """
        directions = self._centres / np.float32(focal)
        _draw_homes(
            primitives,
            counts,
            camera_positions,
            camera_rotations,
            np.float32(focal),
            directions,
            directions,
            self.depth,
            self._words,
            self.rgb,
            self.ids,
            self._spare,
        )
