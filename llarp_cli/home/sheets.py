"""Contact sheets: every object and ten homes on a few pictures.

    python -m llarp_cli.home.sheets docs/pictures

writes objects.png (close up), seen.png (as the robot sees them), categories.png (both, one object of each) and
homes.png (through the robot's eyes, over its shoulder, and opened like a doll's house).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from llarp_cli.home import world
from llarp_cli.home.camera import focal, robot_cameras
from llarp_cli.home.furniture import floor, furniture, wall
from llarp_cli.home.interior import HANGING
from llarp_cli.home.layouts import STAND_OFF
from llarp_cli.home.primitives import BLUE, OWNER, RED, Rows, X, Z, placed
from llarp_cli.home.rasteriser import Rasteriser
from llarp_cli.home.scenes import AREAS, furnished
from llarp_cli.home.semantics import SEMANTIC_IDS
from llarp_cli.home.shadows import ground, shades, shadow
from llarp_cli.home.shapes import ASSET_SHAPES, ASSET_SIZES
from llarp_cli.home.stage import ASSET_INDEX, Stage
from llarp_cli.home.styles import USUAL
from llarp_cli.rearrangement.arrangements import arrange
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.episodes import Task
from llarp_cli.rearrangement.vocabulary import ASSETS, TARGETS

Picture = NDArray[np.uint8]
Cameras = tuple[NDArray[np.float32], NDArray[np.float32]]

_CLUTTER = Task(family="clutter", slots={}, instruction="", wording="", required=(), goal={})

_SAMPLES = 3
"""Pictures are drawn so many times larger and then made smaller, so that edges are smooth."""

_PIECE = "TV stand"
_TURN = math.radians(130)
_ASIDE = np.array([-0.75, 0.48, 0.0])
"""From where an object is seen close up, from its middle, metres."""
_LABEL, _GAP = 15, 4
_PAPER, _INK = (250, 249, 246), (60, 60, 66)
_VIEW = 224
"""Side of the robot's pictures, pixels."""
_SHOWN = 180
"""Side of the pictures of homes."""

_HOMES = (
    ("home-1", "sofa"),
    ("home-2", "right counter"),
    ("home-3", "black table"),
    ("home-8", "TV stand"),
    ("home-11", "chair"),
    ("home-14", "left counter"),
    ("v3_sc0_staging_05", "brown table"),
    ("v3_sc0_staging_12", "sink"),
    ("v3_sc3_staging_03", "chair"),
    ("v3_sc3_staging_11", "black table"),
)
"""Homes, and where in them the robot stands."""


def draw_sheets(folder: Path) -> list[Path]:
    """Draw all sheets into a folder, which is made if need be; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    seen = {asset: _seen(asset, _VIEW, 60) for asset in ASSET_SHAPES}
    close = {asset: _close(asset, 140) for asset in ASSET_SHAPES}
    first = {category: assets[0] for category, assets in ASSETS.items()}
    both = [_beside(_close(asset, 148), _enlarged(_seen(asset, 128, 36), 148)) for asset in first.values()]
    names = [_short(asset) for asset in ASSET_SHAPES]
    sheets = {
        "objects": _sheet(list(close.values()), names, 9),
        "seen": _sheet([_enlarged(picture, 120) for picture in seen.values()], names, 9),
        "categories": _sheet(both, list(first), 5),
        "homes": _sheet([_home(*home) for home in _HOMES], [f"{name}: {target}" for name, target in _HOMES], 2),
    }
    return [_saved(picture, folder / f"{name}.png") for name, picture in sheets.items()]


def _short(asset: str) -> str:
    return f"{asset.removeprefix('frl_apartment_').lstrip('0123456789')[:20].strip('_-')}"


def _table(asset: str) -> Rows:
    """An object on the TV stand before a wall, as the robot at the origin has it before itself along +x."""
    away, size = STAND_OFF[_PIECE] / 1000, ASSET_SIZES[asset]
    top = AREAS[_PIECE].y / 1000
    where = away - 0.12, top + size.rest_height / 1000, 0.0, _TURN
    dark = shadow(asset)
    dark[:, RED : BLUE + 1] = shades(USUAL)[ground(np.array([top]))[0]]
    return np.concatenate(
        [
            floor(-1.0, -3.0, 2.0, 3.0, (0.69, 0.53, 0.36)),
            wall(away + 0.5, -3.0, away + 0.5, 3.0, (0.93, 0.90, 0.84)),
            placed(furniture(USUAL)[_PIECE], away, 0.0, 0.0, math.pi / 2),
            placed(dark, *where),
            placed(ASSET_SHAPES[asset], *where, owner=0),
        ]
    )


def _drawn(rows: Rows, cameras: Cameras, length: float, size: int) -> Rasteriser:
    rasteriser = Rasteriser(1, size)
    rasteriser.draw(rows[None], np.array([len(rows)], np.int32), *cameras, length)
    return rasteriser


def _seen(asset: str, size: int, side: int) -> Picture:
    """The part of the robot's picture of that size that shows the object, `side` pixels square."""
    drawn = _drawn(_table(asset), robot_cameras(np.zeros((1, 3))), focal(size), size)
    y, x = np.nonzero(drawn.ids[0] == 0)
    top, left = ((int(at.min() + at.max() + 1) - side) // 2 for at in (y, x))
    return drawn.rgb[0, max(0, top) : max(0, top) + side, max(0, left) : max(0, left) + side].copy()


def _close(asset: str, size: int) -> Picture:
    """The object from near by, filling a picture."""
    shape = ASSET_SIZES[asset]
    middle = np.array([STAND_OFF[_PIECE] / 1000 - 0.12, (AREAS[_PIECE].y + shape.height / 2) / 1000, 0.0])
    extent = max(shape.radius, shape.height / 2) / 1000
    large = size * _SAMPLES
    drawn = _drawn(_table(asset), _looking(middle + _ASIDE, middle), 0.34 * large / extent, large)
    return _smaller(drawn.rgb[0], size)


def _looking(eye: NDArray[np.float64], at: NDArray[np.float64]) -> Cameras:
    """A camera that looks from one point at another."""
    ahead = (at - eye) / np.linalg.norm(at - eye)
    right = np.array([-ahead[2], 0.0, ahead[0]]) / math.hypot(ahead[0], ahead[2])
    down = np.cross(ahead, right)
    return eye[None].astype(np.float32), np.stack([right, down, ahead])[None].astype(np.float32)


def _home(name: str, target: str) -> Picture:
    """A home through the robot's eyes, over its shoulder, and opened."""
    simulator = world.simulator(1, 35)
    arrangement = arrange(_CLUTTER, world.scene(name), world.sizes, 35, Draws("sheet", name))
    simulator.reset(0, arrangement)
    simulator.go_to(np.array([0]), np.array([TARGETS.index(target)]))
    eyes = simulator.picture(0, _SHOWN, "first_person")
    shoulder = simulator.picture(0, _SHOWN, "third_person")
    simulator.close()
    stage = Stage(1, 35)
    stage.furnish(0, name, np.array([ASSET_INDEX[one.asset] for one in arrangement.objects]))
    count = len(arrangement.objects)
    stage.place(
        np.zeros(count, np.intp),
        np.arange(count),
        np.array([one.position for one in arrangement.objects]) / 1000,
        np.radians(np.array([one.yaw for one in arrangement.objects]) / 1000),
    )
    return _beside(eyes, shoulder, _opened(name, stage.rows[0, : stage.counts[0]], _SHOWN))


def _opened(name: str, rows: Rows, size: int) -> Picture:
    """A home from above one of its corners, without ceiling and the walls on this side."""
    x0, z0, x1, z1 = (value / 1000 for value in furnished(name).layout.room)
    on_wall = np.isin(rows[:, OWNER], [SEMANTIC_IDS[kind] for kind in ("wall", *HANGING)])
    this_side = on_wall & ((rows[:, X] < x0 + 0.15) | (rows[:, Z] < z0 + 0.15))
    hidden = this_side | np.isin(rows[:, OWNER], [SEMANTIC_IDS["ceiling"], SEMANTIC_IDS["pendant"]])
    middle, across = np.array([(x0 + x1) / 2, 0.5, (z0 + z1) / 2]), math.hypot(x1 - x0, z1 - z0)
    large = size * _SAMPLES
    camera = _looking(middle + 3.0 * across * np.array([-0.55, 0.75, -0.55]), middle)
    return _smaller(_drawn(rows[~hidden], camera, 3.1 * large, large).rgb[0], size)


def _smaller(picture: Picture, size: int) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BOX))


def _enlarged(picture: Picture, size: int) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.NEAREST))


def _beside(*pictures: Picture) -> Picture:
    gap = np.full((len(pictures[0]), 2, 3), _PAPER, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)


def _sheet(pictures: Sequence[Picture], names: Sequence[str], columns: int) -> Picture:
    """Pictures of one size in rows, each above its name."""
    high, wide = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (wide + _GAP) + _GAP, rows * (high + _LABEL + _GAP) + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        x, y = _GAP + i % columns * (wide + _GAP), _GAP + i // columns * (high + _LABEL + _GAP)
        sheet.paste(Image.fromarray(picture), (x, y))
        pen.text((x + 2, y + high + 1), name, fill=_INK, font=font)
    return np.asarray(sheet)


def _saved(picture: Picture, path: Path) -> Path:
    partial = path.with_name(f".{path.name}")
    Image.fromarray(picture).save(partial, "PNG", optimize=True)
    os.replace(partial, path)
    return path


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Draw contact sheets of the embedded home's objects and of ten homes into FOLDER."""
    for path in draw_sheets(folder):
        click.echo(f"{path} ({path.stat().st_size // 1000} kB)")


if __name__ == "__main__":
    main()
