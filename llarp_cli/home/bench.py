"""How fast the home is drawn: what `llarp bench home` measures."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from llarp_cli.home import world
from llarp_cli.home.rasteriser import set_threads, threads
from llarp_cli.rearrangement.arrangements import arrange
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episodes import Task
from llarp_cli.rearrangement.vocabulary import TARGETS

_CLUTTER = Task(family="clutter", slots={}, instruction="", wording="", required=(), goal={})
_SECONDS = 1.0


def bench_home(sizes: Sequence[int] = (64, 128, 224), homes: int = 20, objects: int = 35) -> dict[str, Any]:
    """Measure rendering on one thread, every home seen from its 16 standing poses in turn.

    Args:
        sizes: sides of the square pictures, pixels.
        homes: furnished training homes, drawn together.
        objects: in each home.

    Returns:
        "frames_per_second_per_core": size → pictures per second of one core's time, object pixels counted too;
        "primitives": drawn per picture, mean; "objects_in_view", mean at the largest size;
        "homes", "objects"; "hardware", "python", "numba".
    """
    before = threads()
    set_threads(1)
    try:
        simulator = world.simulator(homes, objects)
        for home in range(homes):
            scene = world.scene(world.train_scene(home))
            simulator.reset(home, arrange(_CLUTTER, scene, world.sizes, objects, Draws("bench", home)))
        everywhere = np.arange(homes)
        speeds, in_view = {}, 0.0
        for size in sizes:
            # The first picture compiles the renderer or loads what was compiled before.
            simulator.render(size)
            spent, frames, seen = 0.0, 0, 0
            while spent < _SECONDS:
                for target in range(len(TARGETS)):
                    simulator.go_to(everywhere, np.full(homes, target))
                    start = time.process_time()
                    simulator.render(size)
                    spent += time.process_time() - start
                    frames += homes
                    seen += int((simulator.visible() > 0).sum())
            speeds[str(size)] = round(frames / spent, 1)
            in_view = seen / frames
        primitives = simulator.primitives
        simulator.close()
    finally:
        set_threads(before)
    return {
        "frames_per_second_per_core": speeds,
        "primitives": round(primitives, 1),
        "objects_in_view": round(in_view, 2),
        "homes": homes,
        "objects": objects,
        "hardware": _processor(),
        "python": platform.python_version(),
        "numba": numba.__version__,
    }


def _processor() -> str:
    """The processor's name and how many of its cores there are."""
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    name = line.split(":", 1)[1].strip()
                    break
    return f"{name}, {os.cpu_count()} cores"
