"""Rows of the embedded home as meshes in binary glTF files, which Habitat reads.

Light is in the colours, as the home's renderer lays it on: files ask for no other (`KHR_materials_unlit`). All faces of
one colour are one primitive.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llarp_cli.home.kernels import AMBIENT, DIRECT, LIGHT
from llarp_cli.home.primitives import (
    BLUE,
    BOX,
    COS,
    CYLINDER,
    HALF_X,
    HALF_Z,
    KIND,
    RED,
    ROD,
    SIN,
    Rows,
    X,
    Z,
)

AROUND, ALONG = 20, 10
"""Corners of a round thing, and rings of a ball."""
SHADES = 63
"""Levels of each colour: fewer primitives, and no step that one sees."""

Faces = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Corners [n, 3, 3] of triangles, anticlockwise from outside, and their normals [n, 3]."""


def write_glb(path: Path, rows: Rows, undersides: Rows | None = None) -> None:
    """Write rows as one mesh.

    Args:
        path: the file.
        rows: float32 [p, WIDTH], see `home.primitives`.
        undersides: others, of which only the faces that look down are written.
    """
    corners, normals, colours = _triangles(rows)
    if undersides is not None and len(undersides):
        below = _triangles(undersides)
        down = below[1][:, 1] < -0.5
        pairs = zip((corners, normals, colours), below, strict=True)
        corners, normals, colours = (np.concatenate([part, more[down]]) for part, more in pairs)
    shades, which = np.unique(colours, axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    corners, normals = corners[order], np.repeat(normals[order][:, None], 3, axis=1)
    counts = np.bincount(which.ravel(), minlength=len(shades))
    positions = corners.reshape(-1, 3).astype("<f4")
    directions = normals.reshape(-1, 3).astype("<f4")
    _write(path, positions, directions, (3 * counts).tolist(), shades / SHADES)


def _triangles(rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Corners [n, 3, 3], normals [n, 3] and colours [n, 3] (0 to SHADES) of everything."""
    corners, normals, colours = [], [], []
    for row in np.asarray(rows, np.float64):
        shape, directions = _shape(int(row[KIND]))
        half, cos, sin = row[HALF_X : HALF_Z + 1], row[COS], row[SIN]
        turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        corners.append((shape * half) @ turn + row[X : Z + 1])
        # A normal goes with the inverse of the extents; a face as flat as paper keeps its own.
        tilted = directions / np.maximum(half, 1e-4)
        tilted = (tilted / np.linalg.norm(tilted, axis=1, keepdims=True)) @ turn
        normals.append(tilted)
        light = float(AMBIENT) + float(DIRECT) * (tilted @ np.array(LIGHT, np.float64))
        colours.append(np.clip(row[RED : BLUE + 1] * light[:, None], 0, 1))
    found = np.concatenate(colours) * SHADES
    return np.concatenate(corners), np.concatenate(normals), np.round(found).astype(np.int64)


@lru_cache(maxsize=8)
def _shape(kind: int) -> Faces:
    """The unit shape of a kind: from -1 to 1 along each axis."""
    if kind == BOX:
        return _box()
    if kind == CYLINDER:
        return _cylinder()
    if kind == ROD:
        corners, normals = _cylinder()
        turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])  # y to x
        return corners @ turned, normals @ turned
    return _ball()


def _box() -> Faces:
    corners, normals = [], []
    for axis in range(3):
        for side in (-1.0, 1.0):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            quad = np.zeros((4, 3))
            quad[:, axis] = side
            quad[:, u], quad[:, v] = (-1, 1, 1, -1), (-1, -1, 1, 1)
            quad = quad if side > 0 else quad[::-1]
            corners += [quad[[0, 1, 2]], quad[[0, 2, 3]]]
            normals += [side * np.eye(3)[axis]] * 2
    return np.array(corners), np.array(normals)


def _cylinder() -> Faces:
    angles = 2 * math.pi * np.arange(AROUND + 1) / AROUND
    ring = np.stack([np.cos(angles), np.zeros(AROUND + 1), np.sin(angles)], axis=1)
    up = np.array([0.0, 1.0, 0.0])
    corners, normals = [], []
    for a, b in itertools.pairwise(ring):
        side = (a + b) / np.linalg.norm(a + b)
        corners += [[a - up, a + up, b + up], [a - up, b + up, b - up], [up, b + up, a + up], [-up, a - up, b - up]]
        normals += [side, side, up, -up]
    return np.array(corners), np.array(normals)


def _ball() -> Faces:
    polar = math.pi * np.arange(ALONG + 1) / ALONG
    around = 2 * math.pi * np.arange(AROUND + 1) / AROUND
    corners = []

    def at(i: int, j: int) -> list[float]:
        return [
            math.sin(polar[i]) * math.cos(around[j]),
            math.cos(polar[i]),
            math.sin(polar[i]) * math.sin(around[j]),
        ]

    for i in range(ALONG):
        for j in range(AROUND):
            if i:
                corners.append([at(i, j), at(i, j + 1), at(i + 1, j)])
            if i < ALONG - 1:
                corners.append([at(i, j + 1), at(i + 1, j + 1), at(i + 1, j)])
    found = np.array(corners)
    middles = found.mean(axis=1)
    return found, middles / np.linalg.norm(middles, axis=1, keepdims=True)


def _write(
    path: Path,
    positions: NDArray[np.float32],
    normals: NDArray[np.float32],
    counts: list[int],
    colours: NDArray[np.float64],
) -> None:
    """One mesh with a primitive, and a material, for each colour."""
    accessors: list[dict[str, Any]] = []
    primitives, materials = [], []
    first = 0
    for count, colour in zip(counts, colours, strict=True):
        part = positions[first : first + count]
        place = 12 * first
        low, high = part.min(axis=0).tolist(), part.max(axis=0).tolist()
        kind = {"componentType": 5126, "count": count, "type": "VEC3", "byteOffset": place}
        accessors += [{**kind, "bufferView": 0, "min": low, "max": high}, {**kind, "bufferView": 1}]
        attributes = {"POSITION": len(accessors) - 2, "NORMAL": len(accessors) - 1}
        primitives.append({"attributes": attributes, "material": len(materials), "mode": 4})
        materials.append(
            {
                "pbrMetallicRoughness": {
                    "baseColorFactor": [*colour.tolist(), 1.0],
                    "metallicFactor": 0.0,
                    "roughnessFactor": 1.0,
                },
                "extensions": {"KHR_materials_unlit": {}},
            }
        )
        first += count
    data = positions.tobytes() + normals.tobytes()
    half = len(data) // 2
    document = {
        "asset": {"version": "2.0", "generator": "llarp"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": primitives}],
        "materials": materials,
        "accessors": accessors,
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": half, "target": 34962},
            {"buffer": 0, "byteOffset": half, "byteLength": half, "target": 34962},
        ],
        "buffers": [{"byteLength": len(data)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(data)
    path.write_bytes(
        struct.pack("<III", 0x46546C67, 2, length)
        + struct.pack("<II", len(text), 0x4E4F534A)
        + text
        + struct.pack("<II", len(data), 0x004E4942)
        + data
    )
