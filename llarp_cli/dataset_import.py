"""What `llarp dataset import` does: a released episode file becomes one of ours.

Instruction, goal, objects and where they lie are kept. For the embedded home, it is laid out as they lay, and what a
released file does not tell is made up; where the release's own scenes are, objects keep the poses that it stores.
What had to be changed, and what is odd about the file, is counted.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llarp_cli.errors import UsageProblem
from llarp_cli.home.placing import Placing
from llarp_cli.home.recovering import RecoveredHome, recover
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episode_files import FARTHEST, write_episodes
from llarp_cli.rearrangement.episodes import Arrangement, Episode, PlacedObject
from llarp_cli.rearrangement.facts import (
    CLOSED_BELOW,
    OBJECT_BEARING,
    OBJECT_REACH,
    OPENED_ABOVE,
    TARGET_BEARING,
    TARGET_REACH,
    within,
)
from llarp_cli.rearrangement.goals import CompiledGoals, parse
from llarp_cli.rearrangement.released.oddities import oddities
from llarp_cli.rearrangement.released.reader import ReleasedEpisode, ReleasedFile, read_released
from llarp_cli.rearrangement.simulator import Scene, World
from llarp_cli.rearrangement.vocabulary import CATEGORIES, CATEGORY_OF, JOINTS, RECEPTACLES, TARGETS

SPLIT_OF: dict[str, str] = {
    "refer": "referring_expressions",
    "context": "context",
    "distraction": "irrelevant_text",
    "spatial": "spatial_relationships",
    "three_objects": "multiple_rearrangements",
    "all_of_kind": "multiple_objects",
    "all_from": "multiple_objects",
    "if_fridge": "conditional_instructions",
}
"""Family that only one split asks → that split, whatever the released file is called; others are under its name."""

PRESOLVED = "goals that are true at the start"

_STARTS_TRIED = 20
_MOVED_APART = 0.01
"""Pieces moved by more are counted, metres."""


@dataclass(frozen=True)
class ImportReport:
    """What was imported.

    Attributes:
        episodes: how many.
        scenes: in how many scenes.
        objects: how many stand about in all of them.
        families: family → how many of them.
        oddities: (what, how many) of what is odd about the file; kept as it is.
        changes: (what, how many) of what had to be changed or made up for our home.
    """

    episodes: int
    scenes: int
    objects: int
    families: dict[str, int]
    oddities: tuple[tuple[str, int], ...]
    changes: tuple[tuple[str, int], ...]

    def text(self) -> str:
        """A line for each count."""
        lines = [f"episodes: {self.episodes}, scenes: {self.scenes}, objects: {self.objects}"]
        lines += [f"  {count:>5} {family}" for family, count in self.families.items()]
        for title, counts in (("odd, and kept:", self.oddities), ("changed for our home:", self.changes)):
            if counts:
                lines += [title, *(f"  {count:>5} {what}" for what, count in counts)]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The same, as JSON holds it."""
        return {
            "episodes": self.episodes,
            "scenes": self.scenes,
            "objects": self.objects,
            "families": self.families,
            "oddities": dict(self.oddities),
            "changes": dict(self.changes),
        }


def import_file(
    source: str | os.PathLike[str], out: str | os.PathLike[str], world: World | None = None
) -> ImportReport:
    """Make an episode file of a released one.

    Args:
        source: a pickle of the reference release.
        out: ends in .jsonl or .jsonl.gz; written complete or not at all.
        world: one that has the release's scenes, to play the episodes in; left out, the embedded home.

    Raises:
        UsageProblem: the file is damaged, not what it should be, or wants something run; `out` cannot be written.
    """
    released = read_released(source)
    importer = _Importer(released) if world is None else _AsStored(released, world)
    write_episodes(out, importer.episodes())
    return importer.report()


class _Importer:
    """One file being imported."""

    def __init__(self, released: ReleasedFile):
        self.released = released
        self.homes = self._homes()
        self.placing = {scene: Placing(home) for scene, home in self.homes.items()}
        self.presolved = 0
        self.stem = re.sub(r"[^\w.\-]+", "_", released.path.name.partition(".")[0], flags=re.ASCII)[:60] or "imported"

    def episodes(self) -> Iterator[Episode]:
        """The episodes, one after the other."""
        for episode in self.released.episodes:
            family = episode.asked.family
            yield Episode(
                f"{self.stem}-{episode.number:04d}",
                SPLIT_OF.get(family, self.stem),
                family,
                episode.instruction,
                episode.asked.slots,
                episode.asked.goal,
                self._arrangement(episode),
            )

    def _homes(self) -> dict[str, RecoveredHome]:
        return _recovered(self.released)

    def _arrangement(self, episode: ReleasedEpisode) -> Arrangement:
        home = self.homes[episode.scene].home
        objects = [(one.asset, one.receptacle, one.x, one.z, one.yaw) for one in episode.objects]
        poses = self.placing[episode.scene].place(objects)
        placed = tuple(
            PlacedObject(one.asset, position, yaw, one.receptacle)
            for one, (position, yaw) in zip(episode.objects, poses, strict=True)
        )
        start = self._start(episode, home.scene, home.targets, placed)
        return Arrangement(home.scene.name, placed, episode.joints, start)

    def _start(
        self, episode: ReleasedEpisode, scene: Scene, targets: NDArray[np.int64], placed: tuple[PlacedObject, ...]
    ) -> tuple[int, int, int]:
        """A free place for the robot, if there is one where the goal is not yet true."""
        goals = CompiledGoals(1)
        categories = [CATEGORIES.index(CATEGORY_OF[one.asset]) for one in placed]
        try:
            goals.set(0, parse(episode.asked.goal), categories)
        except UsageProblem as problem:
            where = f"{self.released.path}, episode {episode.number}"
            raise UsageProblem(f"{where}: {problem.message}", problem.hint) from None
        draws = Draws("imported start", self.released.digest, episode.number)
        places = scene.starts.tolist()
        for _ in range(_STARTS_TRIED):
            x, z = draws.choice(places)
            robot = x, z, draws.below(360_000)
            if not goals.evaluate(_Start(targets, placed, episode.joints, robot))[0]:
                return robot
        self.presolved += 1
        return robot

    def report(self) -> ImportReport:
        """What was imported; after all of `episodes`."""
        episodes = self.released.episodes
        odd = oddities(episodes)
        if self.presolved:
            odd = (*odd, (PRESOLVED, self.presolved))
        homes = self.homes.values()
        apart = sum(distance > _MOVED_APART for home in homes for distance in home.moved.values())
        changes = {
            "pieces of furniture moved apart": apart,
            "pieces of furniture made up, as nothing lies on them": sum(5 - len(home.fits) for home in homes),
            "objects moved into reach and view": sum(one.moved for one in self.placing.values()),
            "of these, still close to another": sum(one.touching for one in self.placing.values()),
        }
        families = Counter(episode.asked.family for episode in episodes)
        return ImportReport(
            len(episodes),
            len({episode.scene for episode in episodes}),
            sum(len(episode.objects) for episode in episodes),
            dict(families.most_common()),
            odd,
            tuple((w, c) for w, c in changes.items() if c),
        )


class _AsStored(_Importer):
    """One file being imported for a world that has its scenes: objects where it stores them, as it stores them."""

    def __init__(self, released: ReleasedFile, world: World):
        self._world = world
        super().__init__(released)

    def _homes(self) -> dict[str, RecoveredHome]:
        return {}

    def _arrangement(self, episode: ReleasedEpisode) -> Arrangement:
        scene = self._world.scene(episode.scene)
        placed = tuple(
            PlacedObject(
                one.asset, one.position, round(math.degrees(one.yaw) * 1000) % 360_000, one.receptacle, one.rotation
            )
            for one in episode.objects
        )
        # No goal speaks of handles.
        targets = np.full((len(TARGETS), 3), FARTHEST)
        targets[len(JOINTS) :] = scene.boxes[:, :3]
        return Arrangement(scene.name, placed, episode.joints, self._start(episode, scene, targets, placed))


def _recovered(released: ReleasedFile) -> dict[str, RecoveredHome]:
    """Each scene of a file, laid out as the objects of all its episodes lay."""
    lying: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for episode in released.episodes:
        for one in episode.objects:
            lying[episode.scene][one.receptacle].append((one.x, one.z))
    try:
        return {
            scene: recover(scene, {surface: np.array(points) for surface, points in surfaces.items()})
            for scene, surfaces in lying.items()
        }
    except UsageProblem as problem:
        raise UsageProblem(f"{released.path}: {problem.message}", problem.hint) from None


class _Start:
    """The facts of one home at the start, as `CompiledGoals` reads them: objects are where they are said to be."""

    def __init__(
        self,
        targets: NDArray[np.int64],
        placed: tuple[PlacedObject, ...],
        joints: tuple[int, ...],
        robot: tuple[int, int, int],
    ):
        where = np.array([RECEPTACLES.index(one.receptacle) for one in placed])
        self.on = (where[:, None] == np.arange(len(RECEPTACLES)))[None]
        self.held = np.array([-1], np.int16)
        values = np.array([joints]) / 1000
        self.opened, self.closed = values > OPENED_ABOVE, values < CLOSED_BELOW
        pose = np.array([[robot[0] / 1000, robot[1] / 1000, np.radians(robot[2] / 1000)]])
        self.at_target = within(pose, targets[None] / 1000, TARGET_REACH, TARGET_BEARING)
        positions = np.array([[one.position for one in placed]]) / 1000
        self.at_object = within(pose, positions, OBJECT_REACH, OBJECT_BEARING)
