"""What a second thread gives on this machine: for drawing, and for plain arithmetic that touches no memory.

Where the second processor is a hyperthread of the first, or is shared with others, no program gains the whole of
it; the arithmetic says how much there is to gain. Alternating rounds by the clock, the best of each.

    python benchmarks/two_threads.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from llarp_cli.home.bench import make_scenes
from llarp_cli.home.camera import focal
from llarp_cli.home.rasteriser import Rasteriser, set_threads

ROUNDS = 12
HOMES = 128
"""Drawn in one call; with 20 the call is over soon after the second thread has woken."""


@njit(nogil=True)
def arithmetic(turns):
    """Eight independent chains of multiplications and additions."""
    a, b, c, d, e, f, g, h = 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7
    for _ in range(turns):
        a, b, c, d = a * 0.999 + 0.001, b * 0.999 + 0.001, c * 0.999 + 0.001, d * 0.999 + 0.001
        e, f, g, h = e * 0.999 + 0.001, f * 0.999 + 0.001, g * 0.999 + 0.001, h * 0.999 + 0.001
    return a + b + c + d + e + f + g + h


def seconds(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def main() -> None:
    pool = ThreadPoolExecutor(2)
    turns = 2_000_000
    arithmetic(1)
    scenes = make_scenes("35 objects", HOMES)
    cameras = list(scenes.cameras())
    works: dict[str, Callable[[int], object]] = {
        "arithmetic": lambda threads: list(pool.map(arithmetic, [2 * turns // threads] * threads))
    }
    for size in (64, 128, 224):

        def draw(threads, size=size, one=Rasteriser(len(scenes.counts), size)):  # noqa: B008
            set_threads(threads)
            for camera in cameras:
                one.draw(scenes.rows, scenes.counts, *camera, focal(size))

        works[f"{size} px"] = draw
    best: dict[tuple[str, int], float] = {}
    for _ in range(ROUNDS):
        for name, work in works.items():
            for threads in (1, 2):
                spent = seconds(lambda work=work, threads=threads: work(threads))
                best[name, threads] = min(spent, best.get((name, threads), np.inf))
    for name in works:
        print(f"{name:12} x {best[name, 1] / best[name, 2]:.2f}")


if __name__ == "__main__":
    main()
