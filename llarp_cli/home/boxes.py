"""Drawing a box: the part of the screen its outline holds, filled with its visible faces.

A ray enters a box where it has crossed the last of the planes that face the camera, and leaves it where it
crosses the first of the others. As inverse depths these are linear across the screen, so a box is where the
least of the front planes is not below the greatest of the back planes: its outline is at most six straight lines,
one for each front and back plane of different axes. No corners, and no cutting at the near plane.
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
from llarp_cli.home.lanes import LANES, chosen, greatest, least, load, store
from llarp_cli.home.primitives import BLUE, COS, GREEN, HALF_X, OWNER, RED, SIN

_f = np.float32
_TOUCHING = _f(1e-6)
"""A camera no further than this outside a face's plane counts as inside, metres."""
_LEVEL = _f(1e-7)
"""An outline's line is level where it falls less than this share."""
_TINY = _f(1e-20)

_BACK, _LEFT, _RIGHT, PLANES = 3, 9, 16, 23
"""Rows of the table of planes: 0..2 the front ones, 3..8 the back ones (columns x, y, 1, axis); then the lines that
bound the outline from the left and those that bound it from the right (columns offset, slope)."""


@njit(**COMPILED)
def _set(plane, x, y, one, axis):
    plane[0], plane[1], plane[2], plane[3] = x, y, one, axis


@njit(**COMPILED)
def _fill_face(px, py, p0, word, y0, y1, starts, ends, steps, stride, near, words):
    """Fill the spans of rows y0..y1 with one face."""
    for y in range(y0, y1):
        start, end = starts[y], ends[y]
        row = py * _f(y) + p0
        at = y * stride
        for x in range(int(start) & -LANES, math.ceil(end), LANES):
            xs = load(steps, x)
            value = px * xs + row
            before = load(near, at + x)
            seen = (xs >= start) & (xs < end) & (value > before) & (value < FARTHEST)
            store(near, at + x, chosen(seen, value, before))
            store(words, at + x, chosen(seen, word, load(words, at + x)))


@njit(**COMPILED)
def _fill_faces(planes, faces, y0, y1, starts, ends, steps, stride, near, words):
    """Fill the spans of rows y0..y1 with the farthest of three planes at each pixel."""
    ax, ay, a0 = planes[0, 0], planes[0, 1], planes[0, 2]
    bx, by, b0 = planes[1, 0], planes[1, 1], planes[1, 2]
    cx, cy, c0 = planes[2, 0], planes[2, 1], planes[2, 2]
    first, second, third = faces[0], faces[1], faces[2]
    for y in range(y0, y1):
        start, end = starts[y], ends[y]
        a_row, b_row, c_row = ay * _f(y) + a0, by * _f(y) + b0, cy * _f(y) + c0
        at = y * stride
        for x in range(int(start) & -LANES, math.ceil(end), LANES):
            xs = load(steps, x)
            a, b, c = ax * xs + a_row, bx * xs + b_row, cx * xs + c_row
            ab = least(a, b)
            value = least(ab, c)
            before = load(near, at + x)
            seen = (xs >= start) & (xs < end) & (value > before) & (value < FARTHEST)
            word = chosen(c < ab, third, chosen(b < a, second, first))
            store(near, at + x, chosen(seen, value, before))
            store(words, at + x, chosen(seen, word, load(words, at + x)))


@njit(**COMPILED)
def draw_box(row, centre, way, rotation, rays, focal, width, height, steps, near, words, planes, faces, starts, ends):
    """Draw a box.

    `centre` is its centre in the camera's frame, `way` the same vector in the world's; `planes`, `faces`, `starts` and
    `ends` are scratch.
    """
    stride = (width + LANES - 1) & -LANES
    cos, sin = row[COS], row[SIN]
    reach_x, reach_y, reach_z = ZERO, ZERO, ZERO
    fronts, backs = 0, _BACK
    for a in range(3):
        # The box's unit axis on the rays, where the camera is along it, and how it faces the light.
        half = row[HALF_X + a]
        if a == 0:
            nx = rays[0, 0] * cos + rays[0, 2] * sin
            ny = rays[1, 0] * cos + rays[1, 2] * sin
            nz = rays[2, 0] * cos + rays[2, 2] * sin
            reach_x += abs(rotation[0, 0] * cos + rotation[0, 2] * sin) * half
            reach_y += abs(rotation[1, 0] * cos + rotation[1, 2] * sin) * half
            reach_z += abs(rotation[2, 0] * cos + rotation[2, 2] * sin) * half
            camera, lit = -(way[0] * cos + way[2] * sin), cos * LIGHT[0] + sin * LIGHT[2]
        elif a == 1:
            nx, ny, nz = rays[0, 1], rays[1, 1], rays[2, 1]
            reach_x += abs(rotation[0, 1]) * half
            reach_y += abs(rotation[1, 1]) * half
            reach_z += abs(rotation[2, 1]) * half
            camera, lit = -way[1], LIGHT[1]
        else:
            nx = rays[0, 2] * cos - rays[0, 0] * sin
            ny = rays[1, 2] * cos - rays[1, 0] * sin
            nz = rays[2, 2] * cos - rays[2, 0] * sin
            reach_x += abs(rotation[0, 2] * cos - rotation[0, 0] * sin) * half
            reach_y += abs(rotation[1, 2] * cos - rotation[1, 0] * sin) * half
            reach_z += abs(rotation[2, 2] * cos - rotation[2, 0] * sin) * half
            camera, lit = way[0] * sin - way[2] * cos, cos * LIGHT[2] - sin * LIGHT[0]
        low, high = -half - camera, half - camera
        if high < -_TOUCHING or low > _TOUCHING:
            beyond = high < -_TOUCHING
            over = ONE / (high if beyond else low)
            _set(planes[fronts], nx * over, ny * over, nz * over, a)
            light = (AMBIENT + DIRECT * (lit if beyond else -lit)) * _f(255)
            faces[fronts] = packed(row[RED] * light, row[GREEN] * light, row[BLUE] * light, np.int32(row[OWNER]))
            fronts += 1
            over = ONE / (low if beyond else high)
            _set(planes[backs], nx * over, ny * over, nz * over, a)
            backs += 1
        else:
            over = ONE / min(low, -_TOUCHING)
            _set(planes[backs], nx * over, ny * over, nz * over, a)
            over = ONE / max(high, _TOUCHING)
            _set(planes[backs + 1], nx * over, ny * over, nz * over, a)
            backs += 2
    if fronts == 0 or not reach_x + reach_y + reach_z < BIG:
        return
    left, right, top, bottom = rectangle(centre, reach_x, reach_y, reach_z, focal, width, height)
    if left >= right or top >= bottom:
        return
    planes[_LEFT, 0], planes[_LEFT, 1] = left, ZERO
    planes[_RIGHT, 0], planes[_RIGHT, 1] = right, ZERO
    lefts, rights = _LEFT + 1, _RIGHT + 1
    for i in range(fronts):
        for j in range(_BACK, backs):
            if planes[i, 3] != planes[j, 3]:
                dx, dy, d0 = planes[i, 0] - planes[j, 0], planes[i, 1] - planes[j, 1], planes[i, 2] - planes[j, 2]
                if abs(dx) * _f(width) > _LEVEL * (abs(dy) * _f(height) + abs(d0)) + _TINY:
                    over = -ONE / dx
                    if dx > ZERO:
                        planes[lefts, 0], planes[lefts, 1] = d0 * over, dy * over
                        lefts += 1
                    else:
                        planes[rights, 0], planes[rights, 1] = d0 * over, dy * over
                        rights += 1
                elif dy > ZERO:
                    top = max(top, -d0 / dy)
                elif dy < ZERO:
                    bottom = min(bottom, -d0 / dy)
                elif d0 < ZERO:
                    return
    bottom = max(bottom, ZERO)
    y0, y1 = math.ceil(min(top, bottom)), math.ceil(bottom)
    for y in range(y0 & -LANES, y1, LANES):
        ys = load(steps, y)
        start, end = planes[_LEFT, 0] + planes[_LEFT, 1] * ys, planes[_RIGHT, 0] + planes[_RIGHT, 1] * ys
        for i in range(_LEFT + 1, lefts):
            start = greatest(start, planes[i, 0] + planes[i, 1] * ys)
        for i in range(_RIGHT + 1, rights):
            end = least(end, planes[i, 0] + planes[i, 1] * ys)
        start = least(start, right)
        store(starts, y, start)
        store(ends, y, greatest(end, start))
    if fronts == 1:
        _fill_face(planes[0, 0], planes[0, 1], planes[0, 2], faces[0], y0, y1, starts, ends, steps, stride, near, words)
    else:
        if fronts == 2:
            planes[2, 0], planes[2, 1], planes[2, 2] = ZERO, ZERO, BIG
        _fill_faces(planes, faces, y0, y1, starts, ends, steps, stride, near, words)
