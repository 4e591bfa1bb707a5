"""Scene descriptions: which scenes there are, and what in them is the sofa, the sink and the fridge door.

A description is a small YAML file (`docs/habitat.md`). Names on its left are the benchmark's, on its right those of a
scene dataset; receptacles are matched by `parent handle|name`, with `*` for any text.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llarp_cli.errors import UsageProblem, unknown
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF, JOINTS, OPEN_JOINT, RECEPTACLES, SURFACES
from llarp_habitat.worker.poses import about_up

SHIPPED = Path(__file__).parent / "scenes"
"""The descriptions that come with this package, by their file's name."""

Triple = tuple[float, float, float]


class Part(BaseModel):
    """A part of a description; what it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BoxGiven(Part):
    """A receptacle that is not annotated.

    Attributes:
        parent: handle of the object in whose frame it is; left out, the world's.
        link: of an articulated parent; left out, its base.
        centre: its middle, metres.
        half: its half extents, metres.
        turn: about its +y, degrees, anticlockwise seen from above.
    """

    parent: str = ""
    link: str = ""
    centre: Triple
    half: Triple
    turn: float = 0.0


class JointGiven(Part):
    """Something that opens.

    Attributes:
        object: handle of the articulated object.
        link: what the joint moves.
        handle: where one takes hold of it, in the link's frame, metres.
        closed, open: the joint's positions.
    """

    object: str
    link: str
    handle: Triple = (0.0, 0.0, 0.0)
    closed: float = 0.0
    open: float


class Added(Part):
    """Something that is put into every scene, and never moves.

    Attributes:
        template: of a rigid object: an object template's name; or
        urdf: of an articulated object: its file.
        name: of the rigid object: its handle is this and `_:0000`.
        at: where, metres.
        turn: about +y, degrees, anticlockwise seen from above; or
        rotation: a quaternion w, x, y, z.
        scale: of its size; one number for an articulated object.
    """

    template: str = ""
    urdf: str = ""
    name: str = ""
    at: Triple
    turn: float = 0.0
    rotation: tuple[float, float, float, float] | None = None
    scale: float | Triple = 1.0


class Scenes(Part):
    """Names of scenes; `{0-2}` and `{00-20}` stand for every number in between.

    Attributes:
        train: to train in.
        test: to evaluate in.
        unseen: like the training ones, never trained in; left out, the training ones.
    """

    train: tuple[str, ...] = Field(min_length=1)
    test: tuple[str, ...] = Field(min_length=1)
    unseen: tuple[str, ...] = ()


class Written(Part):
    """A description as it is written.

    Attributes:
        name: short; recorded with every policy.
        dataset: the scene dataset's configuration file; left out, none.
        folder: of scenes that are files of their own; left out, their names are all.
        objects: folders of object templates beyond the dataset's.
        scenes: see there.
        floor: its height, metres; left out, it is measured.
        receptacles: name → `parent handle|name`, or a box.
        joints: name → what opens.
        add: what is put into every scene.
        assets: asset → the name of its object template, where that is another.
        home_objects: whether objects are drawn as in the embedded home: none need be downloaded.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]{0,39}$")
    dataset: str = "default"
    objects: tuple[str, ...] = ()
    scenes: Scenes
    floor: float | None = None
    receptacles: dict[str, str | BoxGiven]
    joints: dict[str, JointGiven] = {}
    add: tuple[Added, ...] = ()
    assets: dict[str, str] = {}
    home_objects: bool = False


@dataclass(frozen=True)
class Description:
    """A description whose names and files are known.

    Attributes:
        written: as it is written.
        place: the folder that it was read from.
        data: the folder of downloads, where files are looked for next.
    """

    written: Written
    place: Path
    data: Path

    @property
    def name(self) -> str:
        return self.written.name

    @property
    def train(self) -> tuple[str, ...]:
        return expanded(self.written.scenes.train)

    @property
    def test(self) -> tuple[str, ...]:
        return expanded(self.written.scenes.test)

    @property
    def unseen(self) -> tuple[str, ...]:
        return expanded(self.written.scenes.unseen) or self.train

    def scenes(self) -> tuple[str, ...]:
        """All of them, once."""
        return tuple(dict.fromkeys((*self.train, *self.unseen, *self.test)))

    def spec(self, scene: str, homes: Path | None = None) -> dict[str, Any]:
        """A scene as a worker is told of it: plain values, every path absolute.

        Args:
            scene: its name.
            homes: the folder with the embedded home's objects and robot, where there is one.

        Raises:
            UsageProblem: there is no such scene.
        """
        if scene not in self.scenes():
            raise unknown("scene", scene, self.scenes())
        written = self.written
        named = scene if written.dataset != "default" else str(self.path(scene))
        spec = {
            "name": scene,
            "dataset": written.dataset if written.dataset == "default" else str(self.path(written.dataset)),
            "scene": named,
            "objects": [str(self.path(folder)) for folder in written.objects],
            "floor": written.floor,
            "receptacles": {name: _box(given) for name, given in written.receptacles.items()},
            "joints": {name: given.model_dump() for name, given in written.joints.items()},
            "add": [self._added(thing) for thing in written.add],
            "assets": dict(written.assets),
            "robot": "",
        }
        return finished(spec, homes, written.home_objects)

    def path(self, given: str) -> Path:
        """A file or folder: as it is, or beside the description, or among the downloads."""
        for folder in (self.place, self.data):
            if (folder / given).exists():
                return (folder / given).absolute()
        return (self.data / given).absolute()

    def _added(self, thing: Added) -> dict[str, Any]:
        file = str(self.path(thing.urdf)) if thing.urdf else thing.template
        kind = "articulated" if thing.urdf else "object"
        return added(kind, file, thing.name, thing.at, thing.turn, thing.rotation, thing.scale)


def added(
    kind: str,
    file: str,
    name: str,
    at: Triple,
    turn: float = 0.0,
    rotation: tuple[float, float, float, float] | None = None,
    scale: float | Triple = 1.0,
) -> dict[str, Any]:
    """Something put into a scene, as a worker is told of it."""
    if rotation is None:
        rotation = about_up(-math.radians(turn))
    else:
        w, x, y, z = rotation
        rotation = (x, y, z, w)
    scales = list(scale) if isinstance(scale, tuple) else [scale] * 3
    return {"kind": kind, "file": file, "name": name, "at": list(at), "rotation": list(rotation), "scale": scales}


def finished(spec: dict[str, Any], homes: Path | None, home_objects: bool) -> dict[str, Any]:
    """A spec with what every one has: joints in the benchmark's order, and the embedded home's objects and robot."""
    joints = spec["joints"]
    spec["joint_order"] = [
        {**joints[name], "opened": opened} if name in joints else None
        for name, opened in zip(JOINTS, OPEN_JOINT, strict=True)
    ]
    if homes is not None:
        spec["objects"] = [*spec["objects"], str(homes / "robot")]
        spec["robot"] = "llarp_robot"
        if home_objects:
            spec["objects"].append(str(homes / "objects"))
            spec["assets"] = {asset: f"llarp_{asset}" for asset in CATEGORY_OF}
    return spec


def load_description(name: str, data: Path) -> Description:
    """The description of that name, or in that file.

    Args:
        name: of a shipped one, or a .yaml file.
        data: the folder of downloads.

    Raises:
        UsageProblem: there is none, or something in it is wrong.
    """
    shipped = {path.stem: path for path in SHIPPED.glob("*.yaml")}
    path = shipped.get(name) or Path(name)
    if not path.is_file():
        raise unknown("scene description", name, shipped)
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise UsageProblem(f"'{path}'{where} cannot be read as YAML", "docs/habitat.md shows one") from None
    try:
        written = Written.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise UsageProblem(
            f"'{path}': {where}: {first['msg'].lower()}", "docs/habitat.md shows how it is written"
        ) from None
    _check(path, written)
    return Description(written, path.parent.absolute(), data)


def expanded(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names with every number in place of `{first-last}`."""
    found: list[str] = []
    for name in names:
        match = re.search(r"\{(\d+)-(\d+)\}", name)
        if match is None:
            found.append(name)
            continue
        first, last = match.groups()
        numbers = (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
        found.extend(expanded(tuple(name[: match.start()] + number + name[match.end() :] for number in numbers)))
    return tuple(found)


def _box(given: str | BoxGiven) -> Any:
    return given if isinstance(given, str) else given.model_dump()


def _check(path: Path, written: Written) -> None:
    """Names that the benchmark has, and enough of them."""
    for kind in ("train", "test"):
        if not expanded(getattr(written.scenes, kind)):
            raise UsageProblem(f"'{path}': scenes.{kind} names no scene", "{first-last} counts upwards: apt_{1-3}")
    for kind, names, known in (
        ("receptacle", written.receptacles, RECEPTACLES),
        ("joint", written.joints, JOINTS),
        ("asset", written.assets, tuple(CATEGORY_OF)),
    ):
        for name in names:
            if name not in known:
                problem = unknown(kind, name, known)
                raise UsageProblem(f"'{path}': {problem.message}", problem.hint)
    if sum(name in SURFACES for name in written.receptacles) < 2:
        raise UsageProblem(
            f"'{path}' names fewer than two surfaces",
            f"objects are carried between them; name two of {', '.join(SURFACES)}",
        )
    for thing in written.add:
        if bool(thing.template) == bool(thing.urdf):
            raise UsageProblem(f"'{path}': something to add has template and urdf, or neither", "give it one of them")
        if thing.template and not thing.name:
            raise UsageProblem(
                f"'{path}': '{thing.template}' is added without a name", "name: its handle is made of it"
            )
        if thing.urdf and isinstance(thing.scale, tuple):
            raise UsageProblem(f"'{path}': the scale of '{thing.urdf}' is not one number", "scale: 1.0")
