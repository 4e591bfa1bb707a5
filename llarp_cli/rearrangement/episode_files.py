"""Episode files: JSON lines, one episode a line (`docs/episodes.md`), plain or gzipped.

Whatever is wrong with a file is said in one line with the file's name and the line's number.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.files import replacing
from llarp_cli.rearrangement.episodes import Arrangement, Episode, PlacedObject
from llarp_cli.rearrangement.goals import parse
from llarp_cli.rearrangement.vocabulary import CATEGORIES, CATEGORY_OF, OPEN_JOINT, RECEPTACLES

VERSION = 1
MAX_LINE = 1 << 20
"""Bytes; a longer line is refused unread."""
MAX_BLANK = 100_000
"""Blank lines one after the other, before a file is given up."""
MAX_OBJECTS = 64
MAX_WANTED = 3
"""Objects that a sentence may ask for."""
FARTHEST = 100_000
"""Millimetres: no coordinate is farther from 0."""
FULL_TURN = 360_000
UNIT = 1_000_000
"""One, in a rotation."""

_GZIP = b"\x1f\x8b"
_JOINT_LIMITS = tuple(round(value * 1000) for value in OPEN_JOINT)


class BadLine(Exception):
    """What is wrong with a line.

    Attributes:
        message: one line.
        hint: what was expected.
    """

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.message, self.hint = message, hint


def read_episodes(path: str | os.PathLike[str], scene: Callable[[str], object] | None = None) -> list[Episode]:
    """The episodes of a file, in order.

    Args:
        path: a .jsonl or .jsonl.gz file.
        scene: looks up a scene by name, `World.scene`; left out, nobody asks whether the scenes exist.

    Raises:
        UsageProblem: the file cannot be read, or a line is wrong; names the file, the line and what is expected.
    """
    path = Path(path)
    episodes: list[Episode] = []
    looked_up: set[str] = set()
    for number, found in scan_episodes(path):
        if isinstance(found, BadLine):
            raise UsageProblem(f"{path}, line {number}: {found.message}", found.hint)
        name = found.arrangement.scene
        if scene is not None and name not in looked_up:
            try:
                scene(name)
            except LlarpError as problem:
                raise UsageProblem(f"{path}, line {number}: {problem.message}", problem.hint) from None
            looked_up.add(name)
        episodes.append(found)
    return episodes


def scan_episodes(path: Path) -> Iterator[tuple[int, Episode | BadLine]]:
    """The lines of a file that are not blank, one after the other: number, and episode or what is wrong with it.

    Raises:
        UsageProblem: the file cannot be read, breaks off, has a line too long to be an episode, or holds nothing.
    """
    seen: dict[tuple[str, str], int] = {}
    empty, blank = True, 0
    for number, line in _lines(path):
        if not line.strip():
            blank += 1
            if blank > MAX_BLANK:
                raise UsageProblem(f"{path}, line {number}: nothing but blank lines", "expected one episode a line")
            continue
        empty, blank = False, 0
        try:
            episode = _episode(_object(line))
            first = seen.setdefault((episode.split, episode.id), number)
            if first != number:
                raise BadLine(f"id '{episode.id}' is that of line {first} too", "give every episode its own id")
        except BadLine as wrong:
            yield number, wrong
        else:
            yield number, episode
    if empty:
        raise UsageProblem(f"{path} holds no episodes", "`llarp dataset generate` writes some")


def write_episodes(path: str | os.PathLike[str], episodes: Iterable[Episode]) -> int:
    """Write episodes to a file, complete or not at all.

    Args:
        path: ends in .jsonl or .jsonl.gz.
        episodes: in order; may be an iterator.

    Returns:
        How many there were.

    Raises:
        UsageProblem: another ending, or the file cannot be written.
    """
    path = Path(path)
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise UsageProblem(f"episodes cannot be written to '{path}'", "end the name in .jsonl or .jsonl.gz")
    if path.is_dir():
        raise UsageProblem(f"'{path}' is a directory", "name a file in it")
    count = 0
    try:
        with replacing(path) as temporary, temporary.open("wb") as raw:
            # No name and no time in the header: the same episodes give the same bytes.
            packed = path.name.endswith(".gz")
            out: Any = gzip.GzipFile("", "wb", 9, raw, mtime=0) if packed else raw
            for episode in episodes:
                out.write(line(episode).encode() + b"\n")
                count += 1
            if packed:
                out.close()
    except OSError as error:
        if not path.parent.is_dir():
            raise UsageProblem(
                f"cannot write '{path}': {error.strerror}", "name a file in a directory that exists"
            ) from None
        raise LlarpError(f"cannot write '{path}': {error.strerror}") from None
    return count


def episodes_sha256(episodes: Iterable[Episode]) -> str:
    """Of episodes as lines of an episode file, in hexadecimal."""
    digest = hashlib.sha256()
    for episode in episodes:
        digest.update(line(episode).encode() + b"\n")
    return digest.hexdigest()


def line(episode: Episode) -> str:
    """An episode as its line of JSON, without the line's end."""
    arrangement = episode.arrangement
    record = {
        "version": VERSION,
        "id": episode.id,
        "split": episode.split,
        "family": episode.family,
        "instruction": episode.instruction,
        "slots": episode.slots,
        "scene": arrangement.scene,
        "objects": [
            {
                "asset": one.asset,
                "position": one.position,
                "yaw": one.yaw,
                "receptacle": one.receptacle,
                **({} if one.rotation is None else {"rotation": one.rotation}),
            }
            for one in arrangement.objects
        ],
        "joints": arrangement.joints,
        "robot": arrangement.robot,
        "goal": episode.goal,
    }
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with open(path, "rb") as raw:
            packed = raw.peek(2)[:2] == _GZIP
            source: BinaryIO = gzip.GzipFile(fileobj=raw) if packed else raw
            while chunk := source.readline(MAX_LINE + 1):
                number += 1
                if len(chunk) > MAX_LINE:
                    raise UsageProblem(
                        f"{path}, line {number}: longer than {MAX_LINE} bytes", "expected one episode a line"
                    )
                yield number, chunk
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UsageProblem(f"{path}: the compressed file breaks off or is damaged after line {number}") from None
    except OSError as error:
        raise UsageProblem(f"cannot read episodes from '{path}': {error.strerror}") from None


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadLine(f"byte {error.start + 1} is not UTF-8", "expected UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise BadLine(
            f"broken JSON at character {error.pos + 1}: {error.msg.lower()}", "expected one JSON object"
        ) from None
    except (ValueError, RecursionError):
        raise BadLine("broken JSON: a number too long or nesting too deep", "expected one JSON object") from None
    if not isinstance(value, dict):
        raise BadLine(f"{_shown(value)} is no JSON object", 'expected one JSON object, {"version": 1, "id": ...}')
    return value


def _episode(record: dict[str, Any]) -> Episode:
    version = _field(record, "version", "the number 1")
    if type(version) is not int or version != VERSION:
        raise BadLine(f"version is {_shown(version)}", f"expected version {VERSION}, the one this program reads")
    slots = _field(record, "slots", "a JSON object")
    if not isinstance(slots, dict):
        raise BadLine(f"slots is {_shown(slots)}", 'expected slot names and values, e.g. {"object": "apple"}')
    for slot, value in slots.items():
        _slot(slot, value)
    if sum(slot.startswith("object") for slot in slots) > MAX_WANTED:
        raise BadLine(f"slots name more than {MAX_WANTED} objects", "expected object1, object2 and object3 at most")
    objects = _field(record, "objects", "a list of objects")
    if not isinstance(objects, list) or not 1 <= len(objects) <= MAX_OBJECTS:
        there = f"a list of {len(objects)}" if isinstance(objects, list) else _shown(objects)
        raise BadLine(f"objects is {there}", f"expected a list of 1 to {MAX_OBJECTS} objects")
    placed = tuple(_placed(value, f"objects[{i}]") for i, value in enumerate(objects))
    joints = _whole_numbers(record, "joints", [(0, limit) for limit in _JOINT_LIMITS])
    robot = _whole_numbers(record, "robot", [(-FARTHEST, FARTHEST)] * 2 + [(-FULL_TURN, FULL_TURN)])
    goal = _field(record, "goal", "a goal expression")
    try:
        parse(goal)
    except UsageProblem as problem:
        raise BadLine(problem.message, problem.hint or "docs/episodes.md tells how goals are written") from None
    return Episode(
        _text(record, "id", 200),
        _text(record, "split", 200),
        _text(record, "family", 200),
        _text(record, "instruction", 2000),
        dict(slots),
        goal,
        Arrangement(_text(record, "scene", 200), placed, joints, robot),
    )


def _slot(slot: str, value: Any) -> None:
    """Make sure that a slot holds what its name says."""
    if not slot.isidentifier() or len(slot) > 40:
        raise BadLine(
            f"{_shown(slot)} is no name for a slot", "expected a letter, then letters or digits, e.g. object1"
        )
    if slot.startswith(("source", "target")):
        known, expected = RECEPTACLES, "a receptacle, e.g. sofa"
    elif slot.startswith(("object", "other")):
        known, expected = CATEGORIES, "a category, e.g. apple"
    else:
        known, expected = (*CATEGORIES, *RECEPTACLES), "a category or a receptacle, e.g. apple or sofa"
    if value not in known:
        raise BadLine(f"slot '{slot}' is {_shown(value)}", f"expected {expected}")


def _placed(value: Any, where: str) -> PlacedObject:
    if not isinstance(value, dict):
        raise BadLine(f"{where} is {_shown(value)}", "expected asset, position, yaw and receptacle")
    asset = _field(value, "asset", "an asset's name", where)
    if not isinstance(asset, str) or asset not in CATEGORY_OF:
        raise BadLine(f"{where}: unknown asset {_shown(asset)}", "expected an asset of the benchmark, e.g. 013_apple")
    receptacle = _field(value, "receptacle", "a receptacle's name", where)
    if not isinstance(receptacle, str) or receptacle not in RECEPTACLES:
        raise BadLine(f"{where}: unknown receptacle {_shown(receptacle)}", f"expected one of {', '.join(RECEPTACLES)}")
    position = _whole_numbers(value, "position", [(-FARTHEST, FARTHEST)] * 3, where)
    (yaw,) = _whole_numbers({"yaw": [_field(value, "yaw", "millidegrees", where)]}, "yaw", [(-FULL_TURN, FULL_TURN)])
    if "rotation" not in value:
        return PlacedObject(asset, position, yaw, receptacle)
    rotation = _whole_numbers(value, "rotation", [(-UNIT, UNIT)] * 4, where)
    if abs(math.hypot(*rotation) - UNIT) > UNIT // 100:
        raise BadLine(f"{where}: rotation is {_shown(list(rotation))}", f"expected a quaternion of length {UNIT}")
    return PlacedObject(asset, position, yaw, receptacle, rotation)


def _field(record: dict[str, Any], name: str, expected: str, where: str = "") -> Any:
    if name not in record:
        raise BadLine(f"{where + ': ' if where else ''}no field '{name}'", f"expected {name}: {expected}")
    return record[name]


def _text(record: dict[str, Any], name: str, limit: int) -> str:
    value = _field(record, name, "a text")
    if not isinstance(value, str) or not value.strip() or len(value) > limit or not _one_line(value):
        raise BadLine(f"{name} is {_shown(value)}", f"expected one line of text of 1 to {limit} characters")
    return value


def _whole_numbers(
    record: dict[str, Any], name: str, bounds: list[tuple[int, int]], where: str = ""
) -> tuple[int, ...]:
    values = _field(record, name, f"{len(bounds)} whole numbers", where)
    good = isinstance(values, list) and len(values) == len(bounds)
    if not good or not all(type(v) is int and low <= v <= high for v, (low, high) in zip(values, bounds, strict=True)):
        lows, highs = zip(*bounds, strict=True)
        raise BadLine(
            f"{where + ': ' if where else ''}{name} is {_shown(values)}",
            f"expected {len(bounds)} whole numbers from {list(lows)} to {list(highs)}",
        )
    return tuple(values)


def _one_line(text: str) -> bool:
    """Whether a text has neither control characters nor line separators nor halves of characters."""
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
