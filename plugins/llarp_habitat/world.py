"""The `World` of Habitat: scenes of a description, surveyed once and remembered."""

from __future__ import annotations

import atexit
import json
import os
import tempfile
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llarp_cli.errors import LlarpError
from llarp_cli.rearrangement.simulator import AssetSize, Scene
from llarp_cli.rearrangement.splits import UNSEEN_HOMES
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF
from llarp_habitat.machine import Machine, cache, digest, machine

if TYPE_CHECKING:
    from llarp_habitat.connection import Worker
    from llarp_habitat.description import Description
    from llarp_habitat.geometry import Known
    from llarp_habitat.simulator import HabitatSimulator

DEFAULT = "replica-cad"
HOMES = "homes"
"""The scenes that are the embedded home's own, built for Habitat: `habitat:homes`."""
SURVEYS = 3
"""Version of what surveys find and of how it is used; another one makes them anew."""


class HabitatWorld:
    """Habitat's scenes as the benchmark sees them.

    Args:
        scenes: the description's name or file.

    Attributes:
        name: "habitat", or "habitat:<scenes>" where they are not ReplicaCAD's.
        vision: the vision encoder of recipes that name none.
    """

    vision = "vc1"

    def __init__(self, scenes: str = DEFAULT):
        self.scenes = scenes
        self.name = "habitat" if scenes == DEFAULT else f"habitat:{scenes}"
        self._lock = threading.RLock()
        self._surveyor: Worker | None = None
        self._known: dict[str, Known] = {}

    @property
    def is_homes(self) -> bool:
        """Whether the scenes are the embedded home's, built for Habitat."""
        return self.scenes == HOMES

    def problems(self, thorough: bool) -> list[tuple[str, str]]:
        """What keeps it from being used: what is wrong, and what to type. See `doctor`."""
        from llarp_habitat.doctor import problems

        return problems(self, thorough)

    def at(self, scenes: str) -> HabitatWorld:
        """The same with other scenes: what `--env habitat:<scenes>` names."""
        return HabitatWorld(scenes)

    @cached_property
    def machine(self) -> Machine:
        """Where habitat-sim is."""
        return machine()

    @cached_property
    def description(self) -> Description:
        """Which scenes there are."""
        from llarp_habitat.description import load_description

        return load_description(self.scenes, self.machine.data)

    @cached_property
    def version(self) -> str:
        """Of scenes and renderer together. Files of a data set are trusted to be what they were."""
        if self.is_homes:
            from llarp_cli.home import world as home
            from llarp_habitat.homes import VERSION

            return f"habitat-homes-{home.version}.{VERSION}.{SURVEYS}"
        return f"habitat-{self.description.name}-{digest(SURVEYS, self.description.written.model_dump(mode='json'))}"

    @cached_property
    def sizes(self) -> dict[str, AssetSize]:
        """Asset → AssetSize, as habitat-sim measures them.

        Raises:
            LlarpError: a template is missing, or habitat-sim cannot be used.
        """
        spec = self.spec(self.train_scene(0))
        key = digest(SURVEYS, "sizes", spec, _stamp(spec))
        found = self._remembered(
            f"sizes-{key}", lambda: self._ask("sizes", spec=spec, assets=list(CATEGORY_OF))["sizes"]
        )
        return {asset: AssetSize(*(round(1000 * value) for value in size)) for asset, size in found.items()}

    def spec(self, scene: str) -> dict[str, Any]:
        """A scene as workers are told of it.

        Raises:
            UsageProblem: there is no such scene.
        """
        from llarp_habitat import homes

        folder = homes.made(cache())
        return homes.scene_spec(folder, scene) if self.is_homes else self.description.spec(scene, folder)

    def known(self, scene: str) -> Known:
        """All that is known of a scene.

        Raises:
            UsageProblem: there is no such scene, or habitat-sim cannot be used.
            LlarpError: nothing can be done in it.
        """
        from llarp_habitat.geometry import known

        with self._lock:
            if scene not in self._known:
                spec = self.spec(scene)
                key = digest(SURVEYS, "scene", spec, _stamp(spec))
                facts = self._remembered(f"scene-{key}", lambda: self._ask("survey", spec=spec))
                self._known[scene] = known(scene, facts)
            return self._known[scene]

    def scene(self, name: str) -> Scene:
        """The geometry of a scene; see `known`."""
        return self.known(name).scene

    def train_scene(self, index: int) -> str:
        """Training scenes, over and over; from `UNSEEN_HOMES` on those that are kept from training."""
        if self.is_homes:
            return f"home-{index}"
        names = self.description.train if index < UNSEEN_HOMES else self.description.unseen
        return names[index % len(names)]

    def test_scenes(self) -> tuple[str, ...]:
        """The names of the scenes kept for evaluation."""
        if self.is_homes:
            from llarp_cli.home.released import released_names

            return released_names()
        return self.description.test

    def simulator(self, homes: int, max_objects: int) -> HabitatSimulator:
        """N homes, each a process of its own, none reset yet."""
        from llarp_habitat.simulator import HabitatSimulator

        return HabitatSimulator(self, homes, max_objects)

    def close(self) -> None:
        """End the process that surveys scenes."""
        with self._lock:
            if self._surveyor is not None:
                self._surveyor.close()
                self._surveyor = None

    def _ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        from llarp_habitat.connection import begun

        with self._lock:
            if self._surveyor is None:
                self._surveyor = begun(self.machine)
                atexit.register(self.close)
            try:
                return self._surveyor.ask(do, **arguments)
            except LlarpError:
                self.close()
                raise

    def _remembered(self, name: str, find: Any) -> dict[str, Any]:
        """What was found before, or what is found now."""
        path = cache() / "surveys" / f"{name}.json"
        try:
            return json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            found = find()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "w") as file:
                json.dump(found, file)
            os.replace(temporary, path)
        except OSError:
            # A cache that cannot be written costs time, nothing else.
            pass
        return found


def _stamp(spec: dict[str, Any]) -> list[Any]:
    """Sizes and times of the configuration files that a scene is made of: others make another survey."""
    roots = [Path(spec["dataset"]).parent] if spec["dataset"] != "default" else []
    roots += [Path(folder) for folder in spec["objects"]]
    files = [Path(spec["scene"])] if "/" in spec["scene"] else []
    for root in roots:
        for folder, _, names in sorted(os.walk(root)):
            files += [Path(folder, name) for name in sorted(names) if name.endswith((".json", ".urdf"))]
    files += [Path(thing["file"]) for thing in spec["add"] if thing["kind"] == "articulated"]
    found = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        found.append([str(path), status.st_size, status.st_mtime_ns])
    return found
