"""How fast the home is drawn and played: what `llarp bench home` measures."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from llarp_cli.config import TaskOptions
from llarp_cli.home import world
from llarp_cli.home.camera import focal, robot_cameras
from llarp_cli.home.primitives import OWNER, Rows
from llarp_cli.home.rasteriser import MOST_OWNERS, Rasteriser, set_threads, threads
from llarp_cli.home.semantics import SEMANTIC_IDS
from llarp_cli.home.simulator import HomeSimulator
from llarp_cli.rearrangement.arrangements import arrange
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.environment import RearrangementVectorEnv
from llarp_cli.rearrangement.episodes import Task
from llarp_cli.rearrangement.skills import SKILLS
from llarp_cli.rearrangement.splits import TrainingEpisodes
from llarp_cli.rearrangement.vocabulary import TARGETS

SIZES = (64, 128, 224)
CONTENTS = {"empty": 0, "furnished": 0, "35 objects": 35, "64 objects": 64}
"""What a home holds → objects: its walls alone, or furniture, too, or objects on it."""
USUAL = "35 objects"
ENVIRONMENTS = (1, 8, 32, 128)
TOGETHER = 6
"""For two threads, so many times the homes are drawn in one call."""

_CLUTTER = Task(family="clutter", slots={}, instruction="", wording="", required=(), goal={})
_SHELL = [SEMANTIC_IDS[name] for name in ("floor", "ceiling", "wall")]
_SECONDS = 1.0
_IMAGE = 128


@dataclass(frozen=True)
class Scenes:
    """Furnished homes and where their robots stand.

    Attributes:
        rows, counts: what is drawn, as `Rasteriser.draw` takes them.
        robots: float64 [16, N, 3], a pose per navigation target and home.
    """

    rows: Rows
    counts: NDArray[np.int32]
    robots: NDArray[np.float64]

    def cameras(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The cameras of all homes, target after target."""
        return (robot_cameras(robots) for robots in self.robots)


def bench_home(
    sizes: Sequence[int] = SIZES,
    contents: Sequence[str] = tuple(CONTENTS),
    environments: Sequence[int] = ENVIRONMENTS,
    homes: int = 20,
) -> dict[str, Any]:
    """Measure drawing, by size and content, and whole steps of the environment, by number of environments.

    Drawing is measured on one thread, in seconds of its processor time: the mean over training homes and the poses
    after navigating to each of the 16 targets, with every object's pixels counted. Two threads are compared with one
    by the clock, and so are environments, which use random skills in all: their reward, resets and pictures of 128
    pixels included.

    Returns:
        "frames_per_second_per_core": content → size → pictures per second of one core's time;
        "primitives" and "visible_primitives": content → how many stand in a home, and show in a picture, mean;
        "two_threads": size → how many times as fast two threads are, six times the homes in a call;
        "steps_per_second": number of environments → steps of one environment per second, all threads;
        "homes", "threads"; "hardware", "python", "numba".
    """
    speeds, standing, visible = {}, {}, {}
    with _threads(1):
        for content in contents:
            scenes = make_scenes(content, homes)
            speeds[content] = {str(size): round(1 / _seconds_per_frame(scenes, size), 1) for size in sizes}
            standing[content] = round(float(scenes.counts.mean()), 1)
            visible[content] = round(_visible(scenes), 1)
    # A call that draws few homes is over before a second thread is awake: training draws a hundred or so.
    many = make_scenes(USUAL, homes * TOGETHER)
    return {
        "frames_per_second_per_core": speeds,
        "primitives": standing,
        "visible_primitives": visible,
        "two_threads": {str(size): round(_two_threads(many, size), 2) for size in sizes},
        "steps_per_second": {str(count): round(_steps_per_second(count), 1) for count in environments},
        "homes": homes,
        "threads": threads(),
        "hardware": _processor(),
        "python": platform.python_version(),
        "numba": numba.__version__,
    }


def make_scenes(content: str, homes: int) -> Scenes:
    """Training homes with a content of `CONTENTS`."""
    objects = CONTENTS[content]
    simulator = HomeSimulator(homes, objects)
    for home in range(homes):
        scene = world.scene(world.train_scene(home))
        simulator.reset(home, arrange(_CLUTTER, scene, world.sizes, objects, Draws("bench", home)))
    robots = []
    for target in range(len(TARGETS)):
        simulator.go_to(np.arange(homes), np.full(homes, target))
        robots.append(simulator.robot.copy())
    rows, counts = simulator.stage.rows, simulator.stage.counts
    if content == "empty":
        kept = [one[:count][np.isin(one[:count, OWNER], _SHELL)] for one, count in zip(rows, counts, strict=True)]
        counts = np.array([len(one) for one in kept], np.int32)
        rows = np.stack([np.resize(one, (counts.max(), one.shape[1])) for one in kept])
    return Scenes(rows, counts, np.stack(robots))


def _seconds_per_frame(scenes: Scenes, size: int) -> float:
    """Processor time of one picture, the threads' together: the best of the rounds over all poses in a second."""
    rasteriser = Rasteriser(len(scenes.counts), size)

    def everything() -> None:
        for camera in scenes.cameras():
            rasteriser.draw(scenes.rows, scenes.counts, *camera, focal(size))

    best = min(_spent(everything, time.process_time))
    return best / (len(scenes.robots) * len(scenes.counts))


def _spent(do: Callable[[], None], clock: Callable[[], float]) -> Iterable[float]:
    """How long each of as many runs takes as fit in a second, after one to warm up; at least one."""
    do()
    whole = 0.0
    while whole < _SECONDS:
        start = clock()
        do()
        spent = clock() - start
        whole += max(spent, 1e-6)
        yield spent


def _two_threads(scenes: Scenes, size: int) -> float:
    """How many times as fast two threads draw as one, by the clock: each at its best, in turns."""
    best = {}
    for _ in range(4):
        for count in (1, 2):
            with _threads(count):
                rasteriser = Rasteriser(len(scenes.counts), size)
                cameras = list(scenes.cameras())

                def everything(rasteriser=rasteriser, cameras=cameras) -> None:
                    for camera in cameras:
                        rasteriser.draw(scenes.rows, scenes.counts, *camera, focal(size))

                everything()
                start = time.perf_counter()
                everything()
                best[count] = min(best.get(count, np.inf), time.perf_counter() - start)
    return best[1] / best[2]


def _visible(scenes: Scenes) -> float:
    """Primitives with at least one pixel, mean over the pictures of the largest usual size."""
    rasteriser = Rasteriser(len(scenes.counts), SIZES[-1])
    index, found = np.arange(scenes.rows.shape[1]), 0
    for first in range(0, scenes.rows.shape[1], MOST_OWNERS):
        rows = scenes.rows.copy()
        part = (index >= first) & (index < first + MOST_OWNERS)
        rows[:, :, OWNER] = np.where(part, index - first, -1)
        for camera in scenes.cameras():
            rasteriser.draw(rows, scenes.counts, *camera, focal(SIZES[-1]))
            found += int((rasteriser.seen > 0).sum())
    return found / (len(scenes.robots) * len(scenes.counts))


def _steps_per_second(count: int) -> float:
    """Steps of one environment per second by the clock, `count` of them in lockstep: the best of three seconds."""
    episodes = TrainingEpisodes(world, TaskOptions(split="train"), 0)
    vector = RearrangementVectorEnv(world, episodes, count, image_size=_IMAGE)
    vector.reset()
    chance = np.random.default_rng(0)
    best = 0.0
    for _ in range(3):
        steps, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < _SECONDS or steps == 0:
            vector.step(chance.integers(len(SKILLS), size=count))
            steps += count
        best = max(best, steps / spent)
    vector.close()
    return best


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads for a while."""
    before = threads()
    set_threads(count)
    try:
        yield
    finally:
        set_threads(before)


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
