"""Drawing cylinders, rods and ellipsoids: solved for each pixel.

A pixel's ray is taken into the space in which the primitive is a unit cylinder or unit sphere, where the inverse
depth of the hit is a closed form without a division. The light falls on an ellipsoid as on the sphere it was
stretched from.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from llarp_cli.home.kernels import (
    AMBIENT,
    BIG,
    COMPILED,
    DIRECT,
    FARTHEST,
    LIGHT,
    ONE,
    ZERO,
    packed,
    rectangle,
)
from llarp_cli.home.lanes import LANES, any_of, chosen, greatest, least, load, magnitude, root, store, whole
from llarp_cli.home.primitives import (
    BLUE,
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
)

_f = np.float32


@njit(**COMPILED)
def _fill_ellipsoid(eye, rays, light, colour, top, left, right, y0, y1, steps, stride, near, words):
    """Draw a unit sphere seen from `eye` along x * rays[0] + y * rays[1] + rays[2], all in its own space."""
    ox, oy, oz = eye
    over = ONE / (ox * ox + oy * oy + oz * oz - ONE)
    red, green, blue = colour
    lo = ox * light[0] + oy * light[1] + oz * light[2]
    ux, uy, uz = rays[0, 0], rays[0, 1], rays[0, 2]
    # A ray's moment about the middle, and what else is linear in x: how it changes along a row.
    mx, my, mz = oy * uz - oz * uy, oz * ux - ox * uz, ox * uy - oy * ux
    b1 = -(ox * ux + oy * uy + oz * uz)
    l1 = ux * light[0] + uy * light[1] + uz * light[2]
    first, last = int(left) & -LANES, math.ceil(right)
    for y in range(y0, y1):
        v = _f(y)
        rx, ry, rz = rays[2, 0] + v * rays[1, 0], rays[2, 1] + v * rays[1, 1], rays[2, 2] + v * rays[1, 2]
        nx, ny, nz = oy * rz - oz * ry, oz * rx - ox * rz, ox * ry - oy * rx
        b0 = -(ox * rx + oy * ry + oz * rz)
        l0 = rx * light[0] + ry * light[1] + rz * light[2]
        at = y * stride
        for x in range(first, last, LANES):
            xs = load(steps, x)
            dx, dy, dz = rx + xs * ux, ry + xs * uy, rz + xs * uz
            px, py, pz = nx + xs * mx, ny + xs * my, nz + xs * mz
            # The half chord's square, without the difference of large numbers.
            square = (dx * dx + dy * dy + dz * dz) - (px * px + py * py + pz * pz)
            value = (b0 + xs * b1 + root(greatest(square, ZERO))) * over
            before = load(near, at + x)
            seen = (xs >= left) & (xs < right) & (square > ZERO) & (value > before) & (value < FARTHEST)
            if any_of(seen):
                shade = AMBIENT + DIRECT * (lo + (l0 + xs * l1) / value)
                word = top | (whole(blue * shade) << 16) | (whole(green * shade) << 8) | whole(red * shade)
                store(near, at + x, chosen(seen, value, before))
                store(words, at + x, chosen(seen, word, load(words, at + x)))


@njit(**COMPILED)
def _fill_cylinder(eye, rays, light, cap, colour, top, left, right, y0, y1, steps, stride, near, words):
    """Draw the cylinder of radius 1 about the second axis between -1 and 1, seen as in `_fill_ellipsoid`.

    `cap` is the word of the end that looks at the camera.
    """
    ox, oy, oz = eye
    gap = ox * ox + oz * oz - ONE
    # Inside of its endless form nothing of the side is seen: no half chord is long enough.
    over, least_square = (ONE / gap, ZERO) if gap > ZERO else (ZERO, BIG)
    above = abs(oy) > ONE
    lift = ONE / ((ONE if oy > ZERO else -ONE) - oy) if above else ZERO
    red, green, blue = colour
    lo = ox * light[0] + oz * light[2]
    ux, uy, uz = rays[0, 0], rays[0, 1], rays[0, 2]
    moment = oz * ux - ox * uz
    first, last = int(left) & -LANES, math.ceil(right)
    for y in range(y0, y1):
        v = _f(y)
        rx, ry, rz = rays[2, 0] + v * rays[1, 0], rays[2, 1] + v * rays[1, 1], rays[2, 2] + v * rays[1, 2]
        row_moment = oz * rx - ox * rz
        at = y * stride
        for x in range(first, last, LANES):
            xs = load(steps, x)
            dx, dy, dz = rx + xs * ux, ry + xs * uy, rz + xs * uz
            across = row_moment + xs * moment
            square = (dx * dx + dz * dz) - across * across
            side = (root(greatest(square, ZERO)) - (ox * dx + oz * dz)) * over
            on_side = (square > least_square) & (side > ZERO) & (magnitude(oy * side + dy) <= side)
            end = dy * lift
            ex, ez = ox * end + dx, oz * end + dz
            on_end = (end > ZERO) & (ex * ex + ez * ez <= end * end)
            value = chosen(on_end, end, side)
            before = load(near, at + x)
            seen = (xs >= left) & (xs < right) & (on_side | on_end) & (value > before) & (value < FARTHEST)
            if any_of(seen):
                shade = AMBIENT + DIRECT * (lo + (dx * light[0] + dz * light[2]) / side)
                shade = least(greatest(shade, ZERO), ONE)
                word = top | (whole(blue * shade) << 16) | (whole(green * shade) << 8) | whole(red * shade)
                store(near, at + x, chosen(seen, value, before))
                store(words, at + x, chosen(seen, chosen(on_end, cap, word), load(words, at + x)))


@njit(**COMPILED)
def draw_round(row, centre, way, rotation, rays, focal, width, height, steps, near, words, table):
    """Draw a cylinder, rod or ellipsoid within the rectangle of the screen that can show it.

    `centre` is its centre in the camera's frame, `way` the same vector in the world's. `table` is scratch.
    """
    stride = (width + LANES - 1) & -LANES
    kind = int(row[KIND])
    axes, own, light, eye, reach = table[0:3], table[3:6], table[6], table[7], table[8]
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
    if not reach[0] + reach[1] + reach[2] < BIG:
        return
    left, right, up, down = rectangle(centre, reach[0], reach[1], reach[2], focal, width, height)
    if left >= right or up >= down:
        return
    y0, y1 = math.ceil(up), math.ceil(down)
    # Into the space where it is a unit sphere or the unit cylinder about the second axis.
    for a in range(3):
        to = a if kind != ROD else (1 if a == 0 else (0 if a == 1 else 2))
        over = ONE / row[HALF_X + a]
        if a == 0:
            camera, lit = -(way[0] * cos + way[2] * sin), cos * LIGHT[0] + sin * LIGHT[2]
        elif a == 1:
            camera, lit = -way[1], LIGHT[1]
        else:
            camera, lit = way[0] * sin - way[2] * cos, cos * LIGHT[2] - sin * LIGHT[0]
        eye[to] = camera * over
        light[to] = lit
        for k in range(3):
            if a == 0:
                along = rays[k, 0] * cos + rays[k, 2] * sin
            elif a == 1:
                along = rays[k, 1]
            else:
                along = rays[k, 2] * cos - rays[k, 0] * sin
            own[k, to] = along * over
    owner = np.int32(row[OWNER])
    top = (owner + np.int32(1)) << np.int32(24)
    colour = (row[RED] * _f(255), row[GREEN] * _f(255), row[BLUE] * _f(255))
    at = (eye[0], eye[1], eye[2])
    if kind == SPHERE:
        if at[0] * at[0] + at[1] * at[1] + at[2] * at[2] > ONE:
            _fill_ellipsoid(at, own, light, colour, top, left, right, y0, y1, steps, stride, near, words)
    else:
        shade = AMBIENT + DIRECT * (light[1] if at[1] > ZERO else -light[1])
        cap = packed(colour[0] * shade, colour[1] * shade, colour[2] * shade, owner)
        _fill_cylinder(at, own, light, cap, colour, top, left, right, y0, y1, steps, stride, near, words)
