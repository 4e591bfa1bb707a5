"""What makes a plan a home to look at: it hides nothing, bumps into nothing, and is the same every time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from llarp_cli.home import world
from llarp_cli.home.furniture import FURNITURE, PARTS, furniture
from llarp_cli.home.interior import HANGING, interior
from llarp_cli.home.layouts import clear, inside, overlap, rectangle, wall_rectangles
from llarp_cli.home.primitives import BLUE, BOUND, COS, HALF_X, HALF_Y, HALF_Z, KIND, OWNER, RED, SIN, X, Y, Z
from llarp_cli.home.scenes import AREAS, furnished
from llarp_cli.home.semantics import SEMANTIC_IDS
from llarp_cli.home.shadows import GROUNDS, ground, shades, shadow
from llarp_cli.home.shapes import ASSET_SHAPES, ASSET_SIZES
from llarp_cli.home.sheets import draw_sheets
from llarp_cli.home.stage import ASSET_INDEX, Stage
from llarp_cli.home.styles import USUAL, drawn
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF

HOMES = [*(world.train_scene(i) for i in range(100, 140)), *world.test_scenes()]
TABLES = ("black table", "brown table", "TV stand", "sofa", "chair")


def hanging(layout):
    """What hangs on walls, with the part of the wall each takes."""
    return [
        (piece.kind, rectangle(piece, -HANGING[piece.kind], HANGING[piece.kind], 0, 100))
        for piece in layout.pieces
        if piece.kind in HANGING
    ]


@pytest.mark.parametrize("name", HOMES)
def test_what_hangs_is_in_the_room_and_hangs_alone(name):
    layout = furnished(name).layout
    hung = hanging(layout)
    for i, (kind, area) in enumerate(hung):
        assert inside(area, layout.room), kind
        assert all(not overlap(area, other) for _, other in hung[:i]), kind
        walls = [part for wall in layout.walls[layout.outer :] for part in wall_rectangles(wall)]
        assert clear(area, walls), kind


@pytest.mark.parametrize("name", HOMES)
def test_cupboards_leave_windows_and_the_fridge_free(name):
    home = furnished(name)
    rows = interior(home.layout, behind_stand=False)
    counter = home.layout.piece("kitchen counter")
    above = rows[
        np.isin(rows[:, OWNER], [SEMANTIC_IDS[kind] for kind in ("left cupboards", "right cupboards", "hood")])
    ]
    assert (above[:, Y] - above[:, HALF_Y] > 1.4).all()
    for kind, x0, x1 in (("left cupboards", -1250, -360), ("right cupboards", 360, 1000), ("hood", 1080, 1720)):
        if (rows[:, OWNER] == SEMANTIC_IDS[kind]).any():
            area = rectangle(counter, x0, x1, -340, 0)
            assert clear(area, [part for _, part in hanging(home.layout)]), kind


def test_a_door_can_be_reached():
    seen = 0
    for name in HOMES:
        layout = furnished(name).layout
        doors = [piece for piece in layout.pieces if piece.kind == "door"]
        assert len(doors) <= 1
        for door in doors:
            seen += 1
            before = rectangle(door, -400, 400, 100, 800)
            assert not any(
                overlap(before, rectangle(piece, -200, 200, -200, 200))
                for piece in layout.pieces
                if piece.kind in (*TABLES, "fridge", "kitchen counter")
            )
    assert seen > len(HOMES) // 3


def test_the_screen_is_not_between_the_robot_and_the_stand():
    for name in HOMES[:20]:
        layout = furnished(name).layout
        tv = SEMANTIC_IDS["TV"]
        assert not (interior(layout, behind_stand=True)[:, OWNER] == tv).any()
        panel = any(piece.kind == "TV panel" for piece in layout.pieces)
        assert (interior(layout, behind_stand=False)[:, OWNER] == tv).any() != panel


def test_styles_vary_but_named_colours_stay():
    styles = [drawn(Draws("style", i)) for i in range(200)]
    assert len(set(styles)) > 190
    for style in styles:
        assert max(style.black) < 0.25
        red, green, blue = style.brown
        assert 0.4 < red < 0.7 and red > green > blue
        # Muted, so that objects stand out.
        for cloth in (style.sofa, style.seat, style.chair, style.front, style.worktop):
            assert max(cloth) - min(cloth) < 0.6


def test_a_style_paints_every_piece_and_moves_none():
    other = drawn(Draws("style", 3))
    painted = furniture(other)
    assert list(painted) == list(PARTS)
    geometry = [KIND, X, Y, Z, HALF_X, HALF_Y, HALF_Z, COS, SIN, BOUND, OWNER]
    for piece, rows in painted.items():
        np.testing.assert_array_equal(rows[:, geometry], FURNITURE[piece][:, geometry])
    assert not np.array_equal(painted["sofa"], FURNITURE["sofa"])


@pytest.mark.parametrize("asset", CATEGORY_OF)
def test_a_shadow_reaches_a_little_beyond_its_object(asset):
    dark, rows = shadow(asset)[0], ASSET_SHAPES[asset]
    assert dark[Y] + ASSET_SIZES[asset].rest_height / 1000 == pytest.approx(0, abs=1e-6)
    reach = max(dark[HALF_X], dark[HALF_Z])
    assert 0.03 < reach < ASSET_SIZES[asset].radius / 1000 + 0.02
    assert (np.abs(rows[:, X] - dark[X]) < dark[HALF_X]).all()
    assert (np.abs(rows[:, Z] - dark[Z]) < dark[HALF_Z]).all()


def test_shadows_know_what_they_lie_on():
    assert shades(USUAL).shape == (GROUNDS, 3)
    rows, standing = ground(np.array([AREAS["black table"].y, AREAS["sofa"].y + 4, 2000]) / 1000)
    assert standing.tolist() == [True, True, False]
    dark = shades(USUAL)[rows[:2]]
    assert (dark[0] < USUAL.black).all()
    assert (dark[1] < USUAL.seat).all() and (dark[1] > 0.6 * np.array(USUAL.seat)).all()


def test_what_is_held_has_no_shadow():
    stage = Stage(1, 1)
    stage.furnish(0, "home-0", np.array([ASSET_INDEX["013_apple"]]))
    home, first = np.zeros(1, np.intp), np.zeros(1, np.intp)
    where = np.array([[0.0, AREAS["black table"].y / 1000 + ASSET_SIZES["013_apple"].rest_height / 1000, 0.0]])
    last = stage.counts[0] - 1
    stage.place(home, first, where, np.zeros(1))
    assert stage.rows[0, last, BOUND] > 0
    assert stage.rows[0, last, OWNER] == SEMANTIC_IDS["black table"]
    stage.place(home, first, where, np.zeros(1), np.array([0.5]))
    assert stage.rows[0, last, BOUND] < 0
    stage.place(home, first, where + np.array([0, 1.0, 0]), np.zeros(1))
    assert stage.rows[0, last, BOUND] < 0


def test_light_on_the_floor_is_lighter_and_shade_darker():
    layout = furnished("home-2").layout
    rows = interior(layout, behind_stand=False)
    flat = rows[(rows[:, OWNER] == SEMANTIC_IDS["floor"]) & (rows[:, Y] + rows[:, HALF_Y] > 0.0005)]
    brightness = flat[:, RED : BLUE + 1].mean(axis=1) / np.mean(layout.colours[2])
    assert brightness.min() < 0.9 and brightness.max() > 1.05
    assert (flat[:, Y] + flat[:, HALF_Y] < 0.006).all()


@pytest.mark.slow
def test_sheets_show_everything(tmp_path):
    paths = draw_sheets(tmp_path / "pictures")
    assert [path.name for path in paths] == ["objects.png", "seen.png", "categories.png", "homes.png"]
    for path in paths:
        assert path.stat().st_size < 400_000
        assert min(Image.open(path).size) > 900
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == sorted(path.name for path in paths)
    assert math.isfinite(np.asarray(Image.open(paths[0])).mean())
