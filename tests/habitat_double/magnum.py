"""A TEST DOUBLE of the few parts of magnum that the Habitat worker uses. It is not magnum."""

from __future__ import annotations

import numpy as np


class Vector3:
    """Three single-precision numbers."""

    def __init__(self, x: float = 0.0, y: float = 0.0, z: float = 0.0):
        for value in (x, y, z):
            if type(value) is not float:
                raise TypeError(f"incompatible constructor arguments: {value!r}")
        self._values = np.array([x, y, z], np.float32)

    def __array__(self, dtype=None, copy=None):
        return self._values.astype(dtype or np.float32)

    def __iter__(self):
        return iter(self._values.tolist())

    def __getitem__(self, i: int) -> float:
        return float(self._values[i])


class Quaternion:
    """A turn: vector and scalar."""

    def __init__(self, vector: Vector3, scalar: float):
        if type(vector) is not Vector3 or type(scalar) is not float:
            raise TypeError("incompatible constructor arguments")
        self.vector, self.scalar = vector, scalar

    def matrix(self) -> np.ndarray:
        """Double only: as a rotation matrix."""
        x, y, z = np.asarray(self.vector, np.float64)
        w = self.scalar
        if abs(x * x + y * y + z * z + w * w - 1) > 2e-5:
            raise ValueError("not normalised")
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )


class Matrix4:
    """A transformation."""

    def __init__(self, turn: np.ndarray, move: np.ndarray):
        self._turn, self._move = turn, move

    def transform_point(self, point: Vector3) -> Vector3:
        if type(point) is not Vector3:
            raise TypeError("incompatible function arguments")
        return Vector3(*(self._turn @ np.asarray(point, np.float64) + self._move).tolist())


class Range3D:
    """A box from min to max."""

    def __init__(self, low: np.ndarray, high: np.ndarray):
        self.min, self.max = Vector3(*map(float, low)), Vector3(*map(float, high))
