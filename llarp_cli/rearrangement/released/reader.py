"""Reads a released episode file: what it says, checked, in this program's words.

The file is a dictionary: `all_transforms` float [N, 4, 4], the poses of all objects of all episodes; `idx_to_name`,
a table of names; and `all_eps`, the episodes, which speak of both by number. Entity ids are those of Habitat.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.episode_files import FARTHEST, MAX_OBJECTS
from llarp_cli.rearrangement.released.safe_pickle import content, shown, unpickle
from llarp_cli.rearrangement.released.tasks import RECEPTACLE_IDS, Asked, Wrong, asked, translated_predicate
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF, JOINTS, OPEN_JOINT, SURFACES

MAX_EPISODES = 10_000
"""Of a file; the release's largest has 100. A few bytes can name one record millions of times."""
LONGEST_SENTENCE = 2000
"""Characters."""

_ASSET_SUFFIX = ".object_config.json"
_SCENE = re.compile(r"(?:.*/)?([A-Za-z0-9_.\-]{1,38}?)(?:\.scene_instance\.json)?")
_COUNTER_LINKS = {7: "left drawer", 6: "middle drawer", 5: "right drawer", 4: "bottom drawer"}
"""Link of the kitchen counter → drawer; the release's names for their handles end in these numbers."""
_FRIDGE_LINK = 2


@dataclass(frozen=True)
class ReleasedObject:
    """An object at its start.

    Attributes:
        asset: its name.
        x, z: of its origin, metres.
        yaw: its turn about the vertical, radians from +x toward +z.
        receptacle: where it lies, a name of ours.
        position: x, y, z of its origin, millimetres.
        rotation: how it is turned in full, a quaternion x, y, z, w in millionths.
    """

    asset: str
    x: float
    z: float
    yaw: float
    receptacle: str
    position: tuple[int, int, int]
    rotation: tuple[int, int, int, int]


@dataclass(frozen=True)
class ReleasedEpisode:
    """One episode of a released file.

    Attributes:
        number: its place in the file, from 0.
        scene: e.g. "v3_sc3_staging_00".
        instruct_id: the release's id of its family.
        instruction: the sentence, as released.
        objects: by asset, then in the file's order.
        joints: as in `Arrangement`.
        other_joints: how many joints are open that our homes do not have.
        asked: family, slots and goal.
    """

    number: int
    scene: str
    instruct_id: str
    instruction: str
    objects: tuple[ReleasedObject, ...]
    joints: tuple[int, ...]
    other_joints: int
    asked: Asked


@dataclass(frozen=True)
class ReleasedFile:
    """A released file.

    Attributes:
        path: where it is.
        digest: SHA-256 of its bytes.
        episodes: in its order.
    """

    path: Path
    digest: str
    episodes: tuple[ReleasedEpisode, ...]


def read_released(path: str | os.PathLike[str]) -> ReleasedFile:
    """Read a released episode file.

    Raises:
        UsageProblem: it cannot be read, or what it says makes no sense; one line with the file, the episode and
            what is expected.
    """
    path = Path(path)
    data = content(path)
    try:
        transforms, names, records = _parts(unpickle(data, path))
    except Wrong as wrong:
        raise _problem(f"{path}", wrong) from None
    episodes = []
    for number, record in enumerate(records):
        try:
            episodes.append(_episode(number, record, names, transforms))
        except Wrong as wrong:
            raise _problem(f"{path}, episode {number}", wrong) from None
    return ReleasedFile(path, hashlib.sha256(data).hexdigest(), tuple(episodes))


def _problem(where: str, wrong: Wrong) -> UsageProblem:
    message, expected = wrong.args
    return UsageProblem(f"{where}: {message}", f"expected {expected}")


def _parts(whole: Any) -> tuple[NDArray[np.float64], dict[Any, Any], list[Any]]:
    if type(whole) is not dict:
        raise Wrong(f"it holds {shown(whole)}", "a dictionary of all_transforms, idx_to_name and all_eps")
    transforms = _get(whole, "all_transforms", "the objects' poses")
    if not _is_array(transforms, "f", (None, 4, 4)):
        raise Wrong(f"all_transforms is {shown(transforms)}", "an array float32 [N, 4, 4]")
    if not _rigid(transforms):
        raise Wrong(
            "all_transforms holds a pose that is none",
            f"finite rotations and positions within {FARTHEST // 1000} m, last rows 0 0 0 1",
        )
    names = _get(whole, "idx_to_name", "the table of names")
    if type(names) is not dict or not all(type(k) is int and type(v) is str for k, v in names.items()):
        raise Wrong(f"idx_to_name is {shown(names)}", "a dictionary from numbers to texts")
    records = _get(whole, "all_eps", "the episodes")
    if type(records) is not list:
        raise Wrong(f"all_eps is {shown(records)}", "a list of episodes")
    if not records:
        raise Wrong("it holds no episodes", "at least one in all_eps")
    if len(records) > MAX_EPISODES:
        raise Wrong(f"it holds {len(records):,} episodes", f"at most {MAX_EPISODES:,} in all_eps")
    return transforms.astype(np.float64), names, records


def _rigid(transforms: NDArray[np.floating[Any]]) -> bool:
    if not np.isfinite(transforms).all():
        return False
    poses = transforms.astype(np.float64)
    turns = poses[:, :3, :3]
    return bool(
        (np.abs(poses[:, :3, 3]) < FARTHEST / 1000).all()
        and (np.abs(poses[:, 3] - [0, 0, 0, 1]) < 1e-3).all()
        and (np.abs(turns) < 2).all()
        and (np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)) < 1e-2).all()
    )


def _episode(number: int, record: Any, names: dict[int, str], transforms: NDArray[np.float64]) -> ReleasedEpisode:
    if type(record) is not dict:
        raise Wrong(f"it is {shown(record)}", "a dictionary with instruction, goal_preds, rigid_objs, ...")
    instruction = _get(record, "instruction", "a sentence")
    if type(instruction) is not str or not instruction.strip() or len(instruction) > LONGEST_SENTENCE:
        raise Wrong(f"instruction is {shown(instruction)}", f"1 to {LONGEST_SENTENCE} characters")
    if not instruction.isprintable():
        raise Wrong(f"instruction is {shown(instruction)}", "one line of text")
    instruct_id = _get(record, "instruct_id", "the id of an instruction family")
    if type(instruct_id) is not str:
        raise Wrong(f"instruct_id is {shown(instruct_id)}", "the id of an instruction family, e.g. f0917e29")
    sampled = _get(record, "sampled_entities", "what the instruction was made from")
    if type(sampled) is not dict:
        raise Wrong(f"sampled_entities is {shown(sampled)}", "a dictionary")
    joints, other_joints = _joints(record, names)
    goal = _get(record, "goal_preds", "a goal expression")
    objects = _objects(record, names, transforms)
    lying: dict[str, set[str]] = {}
    for one in objects:
        lying.setdefault(CATEGORY_OF[one.asset], set()).add(one.receptacle)
    what = asked(instruct_id, instruction, goal, list(sampled.values()), lying)
    return ReleasedEpisode(number, _scene(record), instruct_id, instruction, objects, joints, other_joints, what)


def _scene(record: dict[Any, Any]) -> str:
    scene = _get(record, "scene_id", "the name of a scene")
    match = _SCENE.fullmatch(scene) if type(scene) is str else None
    if match is None:
        raise Wrong(f"scene_id is {shown(scene)}", "a scene's name or path, e.g. v3_sc3_staging_00.scene_instance.json")
    return match[1]


def _objects(
    record: dict[Any, Any], names: dict[int, str], transforms: NDArray[np.float64]
) -> tuple[ReleasedObject, ...]:
    """The objects: assets and poses from `rigid_objs`, where they lie from `name_to_receptacle`."""
    rows = _pairs(record, "rigid_objs")
    if not 1 <= len(rows) <= MAX_OBJECTS:
        raise Wrong(f"it has {len(rows)} objects", f"1 to {MAX_OBJECTS}")
    receptacles = _receptacles(record, names)
    seen: Counter[str] = Counter()
    found = []
    for name, row in rows:
        asset = _name(names, name, "rigid_objs").removesuffix(_ASSET_SUFFIX)
        if asset not in CATEGORY_OF:
            raise Wrong(f"unknown asset {shown(asset)}", "one of the benchmark's 81, e.g. 013_apple")
        if not 0 <= row < len(transforms):
            raise Wrong(
                f"{asset} has pose {row} of {len(transforms)}", f"a row of all_transforms, 0 to {len(transforms) - 1}"
            )
        instance = f"{asset}_:{seen[asset]:04d}"
        seen[asset] += 1
        if instance not in receptacles:
            raise Wrong(f"name_to_receptacle does not say where {instance} lies", "every object on an open surface")
        pose = transforms[row]
        yaw = math.atan2(pose[2, 0] - pose[0, 2], pose[0, 0] + pose[2, 2])
        x, y, z = (round(1000 * value) for value in pose[:3, 3].tolist())
        lies, turned = receptacles.pop(instance), _quaternion(pose[:3, :3])
        found.append(ReleasedObject(asset, float(pose[0, 3]), float(pose[2, 3]), yaw, lies, (x, y, z), turned))
    if receptacles:
        raise Wrong(
            f"name_to_receptacle speaks of {shown(min(receptacles))}, which rigid_objs does not hold",
            "the same objects in both",
        )
    return tuple(sorted(found, key=lambda one: one.asset))


def _quaternion(turn: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """x, y, z, w in millionths of a rotation matrix: the vector that a symmetric matrix made of it stretches most
    (Bar-Itzhack 2000)."""
    xx, xy, xz, yx, yy, yz, zx, zy, zz = turn.ravel().tolist()
    symmetric = np.array(
        [
            [xx - yy - zz, xy + yx, xz + zx, zy - yz],
            [xy + yx, yy - xx - zz, yz + zy, xz - zx],
            [xz + zx, yz + zy, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    found = np.linalg.eigh(symmetric)[1][:, -1]
    found *= 1.0 if found[3] >= 0 else -1.0
    x, y, z, w = (round(1_000_000 * value) for value in found.tolist())
    return x, y, z, w


def _receptacles(record: dict[Any, Any], names: dict[int, str]) -> dict[str, str]:
    """Instance → where it lies."""
    found = {}
    for instance, receptacle in _pairs(record, "name_to_receptacle"):
        what, where = _name(names, instance, "name_to_receptacle"), _name(names, receptacle, "name_to_receptacle")
        if where not in RECEPTACLE_IDS:
            raise Wrong(f"unknown receptacle {shown(where)}", f"one like {next(iter(RECEPTACLE_IDS))}")
        if RECEPTACLE_IDS[where] not in SURFACES:
            raise Wrong(f"{shown(what)} lies on no open surface but '{RECEPTACLE_IDS[where]}'", ", ".join(SURFACES))
        found[what] = RECEPTACLE_IDS[where]
    return found


def _joints(record: dict[Any, Any], names: dict[int, str]) -> tuple[tuple[int, ...], int]:
    """Joint values at the start: those stored, then what the start predicates demand."""
    values = dict.fromkeys(JOINTS, 0.0)
    others = 0
    states = _get(record, "ao_states", "joint states")
    if type(states) is not dict or not all(type(links) is dict for links in states.values()):
        raise Wrong(f"ao_states is {shown(states)}", "a dictionary from names to the joints' values")
    for index, links in states.items():
        name = _name(names, index, "ao_states")
        for link, value in links.items():
            if type(value) not in (float, int) or not math.isfinite(value):
                raise Wrong(f"ao_states of {shown(name)} is {shown(value)}", "a number for each joint")
            if name.startswith("fridge") and link == _FRIDGE_LINK:
                values["fridge"] = value
            elif name.startswith("kitchen_counter") and link in _COUNTER_LINKS:
                values[_COUNTER_LINKS[link]] = value
            else:
                others += value != 0
    for joint, opened in _start_predicates(record):
        values[joint] = OPEN_JOINT[JOINTS.index(joint)] if opened else 0.0
    pairs = zip(values.values(), OPEN_JOINT, strict=True)
    return tuple(round(1000 * min(max(value, 0.0), limit)) for value, limit in pairs), others


def _start_predicates(record: dict[Any, Any]) -> list[tuple[str, bool]]:
    """(joint, whether it is open) of each start predicate."""
    predicates = _get(record, "start_preds", "what must hold at the start")
    expected = "opened_fridge(fridge_push_point) or the like"
    if type(predicates) is not list:
        raise Wrong(f"start_preds is {shown(predicates)}", f"a list: {expected}")
    found = []
    for text in predicates:
        match = re.fullmatch(
            r"(opened|closed)_(?:fridge|cab)\(([^()]*)\)", translated_predicate(text) if type(text) is str else ""
        )
        if match is None or match[2] not in JOINTS:
            raise Wrong(f"start_preds holds {shown(text)}", expected)
        found.append((match[2], match[1] == "opened"))
    return found


def _pairs(record: dict[Any, Any], key: str) -> list[list[int]]:
    rows = _get(record, key, "pairs of numbers")
    if not _is_array(rows, "iu", (None, 2)):
        raise Wrong(f"{key} is {shown(rows)}", "an array of whole numbers [n, 2]")
    return rows.tolist()


def _is_array(value: Any, kinds: str, shape: tuple[int | None, ...]) -> bool:
    return (
        isinstance(value, np.ndarray)
        and value.dtype.kind in kinds
        and value.ndim == len(shape)
        and all(size in (None, given) for size, given in zip(shape, value.shape, strict=True))
    )


def _name(names: dict[int, str], index: Any, where: str) -> str:
    if index not in names:
        raise Wrong(
            f"{where} speaks of name {shown(index)}, which idx_to_name does not hold", "a number in idx_to_name"
        )
    return names[index]


def _get(record: dict[Any, Any], key: str, what: str) -> Any:
    if key not in record:
        raise Wrong(f"no key '{key}'", f"{key}: {what}")
    return record[key]
