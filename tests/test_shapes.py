"""Assets and furniture: all there, of the promised sizes, and told apart at the robot's distance."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from llarp_cli.home.camera import focal, robot_cameras
from llarp_cli.home.furniture import DRAWER_BOXES, FURNITURE, HINGE, ceiling, floor, wall
from llarp_cli.home.primitives import (
    BLUE,
    BOUND,
    BOX,
    COS,
    CYLINDER,
    HALF_X,
    HALF_Y,
    HALF_Z,
    KIND,
    OWNER,
    RED,
    ROD,
    SIN,
    SPHERE,
    WIDTH,
    X,
    Y,
    Z,
    placed,
)
from llarp_cli.home.rasteriser import Rasteriser
from llarp_cli.home.semantics import SEMANTIC_IDS
from llarp_cli.home.shapes import ASSET_SHAPES, ASSET_SIZES
from llarp_cli.rearrangement.vocabulary import ASSETS, CATEGORY_OF, JOINTS

EVERYTHING = {**ASSET_SHAPES, **FURNITURE}


def extents(rows):
    """Low and high corner of what rows fill, by points on their surfaces: [2, 3]."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    angles = np.linspace(0, 2 * math.pi, 73)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = []
    for row in rows.astype(np.float64):
        if row[KIND] == BOX:
            unit = signs
        elif row[KIND] == CYLINDER:
            unit = np.concatenate([np.insert(around, 1, end, axis=1) for end in (-1.0, 1.0)])
        elif row[KIND] == ROD:
            unit = np.concatenate([np.insert(around, 0, end, axis=1) for end in (-1.0, 1.0)])
        else:
            unit = np.concatenate([np.insert(around, axis, 0.0, axis=1) for axis in range(3)])
        local = unit * row[HALF_X : HALF_Z + 1]
        turned = local.copy()
        turned[:, 0] = row[COS] * local[:, 0] - row[SIN] * local[:, 2]
        turned[:, 2] = row[SIN] * local[:, 0] + row[COS] * local[:, 2]
        points.append(turned + row[X : Z + 1])
    points = np.concatenate(points)
    return points.min(axis=0), points.max(axis=0), np.hypot(points[:, 0], points[:, 2]).max()


@pytest.mark.parametrize("name", EVERYTHING)
def test_rows_are_well_formed(name):
    rows = EVERYTHING[name]
    assert rows.dtype == np.float32
    assert rows.shape[1] == WIDTH
    assert np.isin(rows[:, KIND], (BOX, CYLINDER, SPHERE, ROD)).all()
    assert (rows[:, [HALF_X, HALF_Y, HALF_Z]] > 0).all()
    # Only what has flat faces may shine: the renderer clips those, and only those.
    most = np.where(rows[:, KIND] == BOX, 1.6, 1.0)
    assert ((rows[:, RED : BLUE + 1] >= 0) & (rows[:, RED : BLUE + 1] <= most[:, None])).all()
    assert np.hypot(rows[:, COS], rows[:, SIN]) == pytest.approx(1)
    assert (rows[:, OWNER] == SEMANTIC_IDS.get(name, -1)).all()
    for row in rows:
        centred = row.copy()
        centred[[X, Y, Z]] = 0
        low, high, _ = extents(centred[None])
        # No axis reaches further than the bound; a box's corner and a cylinder's rim are on it.
        assert row[BOUND] >= max(high.max(), -low.min()) - 1e-6
        if row[KIND] == BOX:
            assert row[BOUND] >= np.linalg.norm(row[[HALF_X, HALF_Y, HALF_Z]]) - 1e-6


def test_every_asset_has_a_shape_and_a_size():
    assert list(ASSET_SHAPES) == list(CATEGORY_OF)
    assert list(ASSET_SIZES) == list(CATEGORY_OF)


@pytest.mark.parametrize("asset", CATEGORY_OF)
def test_sizes_hold_the_shapes(asset):
    size = ASSET_SIZES[asset]
    low, high, reach = extents(ASSET_SHAPES[asset])
    assert all(isinstance(value, int) for value in (size.radius, size.rest_height, size.height))
    assert low[1] + size.rest_height / 1000 == pytest.approx(0, abs=0.002)
    assert size.height / 1000 - 0.012 <= high[1] + size.rest_height / 1000 <= size.height / 1000 + 0.0015
    assert reach - 3e-4 <= size.radius / 1000 <= reach + 0.008
    assert 0.03 <= reach <= 0.16
    # It stands about its origin.
    assert np.abs(low + high)[[0, 2]].max() / 2 < 0.025
    assert size.height <= 280


def picture(asset, turn, size=128):
    """An asset on a counter a metre ahead: its pixels' colours, and where they are."""
    size_of = ASSET_SIZES[asset]
    rows = placed(ASSET_SHAPES[asset], 1.25, 0.859 + size_of.rest_height / 1000, 0.0, turn, owner=0)
    rasteriser = Rasteriser(1, size)
    rasteriser.draw(rows[None], np.array([len(rows)], np.int32), *robot_cameras(np.zeros((1, 3))), focal(size))
    seen = rasteriser.ids[0] == 0
    return rasteriser.rgb[0][seen].astype(float) / 255, seen


@pytest.mark.parametrize("asset", CATEGORY_OF)
def test_every_asset_can_be_seen_from_a_metre(asset):
    for turn in np.linspace(0, math.pi, 4, endpoint=False):
        _, seen = picture(asset, turn)
        assert seen.sum() >= 14, turn


def looks(asset):
    """Shares of 6 x 6 x 6 colours over some turns, and the height and width of the outline: one vector."""
    colours, outline = np.zeros(216), []
    for turn in np.linspace(0.1, 2 * math.pi, 6, endpoint=False):
        shades, seen = picture(asset, turn, 256)
        bins = np.minimum((shades * 6).astype(int), 5) @ [36, 6, 1]
        colours += np.bincount(bins, minlength=216) / len(bins) / 6
        y, x = np.nonzero(seen)
        outline.append([np.ptp(y), np.ptp(x), seen.sum() ** 0.5])
    return np.concatenate([colours, np.mean(outline, axis=0) / 150])


def test_no_two_categories_look_alike():
    seen = {asset: looks(asset) for asset in CATEGORY_OF}
    for asset, own in seen.items():
        others = {
            other: np.abs(own - look).sum() for other, look in seen.items() if CATEGORY_OF[other] != CATEGORY_OF[asset]
        }
        nearest = min(others, key=others.get)
        assert others[nearest] > 0.7, f"{asset} looks like {nearest}"


def test_assets_of_a_category_differ_in_colour():
    for assets in ASSETS.values():
        colours = [{tuple(row) for row in np.round(ASSET_SHAPES[asset][:, RED : BLUE + 1], 2)} for asset in assets]
        for i, one in enumerate(colours):
            for other in colours[:i]:
                assert one != other


def test_sizes_stay_as_episodes_know_them():
    text = repr([(asset, size.radius, size.rest_height, size.height) for asset, size in ASSET_SIZES.items()])
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "e7b4cffa3436"


@pytest.mark.parametrize(
    ("name", "width", "depth", "top"),
    [
        ("black table", 1.50, 0.96, 0.762),
        ("brown table", 1.36, 0.90, 0.9335),
        ("TV stand", 1.62, 0.56, 0.626),
        ("sofa", 1.85, 0.90, 0.80),
        ("fridge", 0.80, None, 1.85),
        ("chair", 0.50, 0.50, 0.94),
    ],
)
def test_furniture_has_its_outside_dimensions(name, width, depth, top):
    low, high, _ = extents(FURNITURE[name])
    assert high[0] - low[0] == pytest.approx(width, abs=0.011)
    assert high[1] == pytest.approx(top, abs=1e-3)
    assert low[1] >= 0
    if depth is not None:
        assert high[2] - low[2] == pytest.approx(depth, abs=0.011)


def ground(rows, x, z):
    """The height on which something put down at a point of a piece would come to rest."""
    tops = [
        row[Y] + row[HALF_Y]
        for row in rows
        if row[KIND] == BOX and abs(x - row[X]) <= row[HALF_X] and abs(z - row[Z]) <= row[HALF_Z]
    ]
    return max(tops, default=-1.0)


@pytest.mark.parametrize(
    ("name", "centre", "half", "height"),
    [
        ("black table", (0, 0), (0.705, 0.435), 0.762),
        ("brown table", (0, 0), (0.635, 0.40), 0.9335),
        ("TV stand", (0, 0), (0.76, 0.245), 0.626),
        ("sofa", (0, 0.10), (0.735, 0.255), 0.4035),
        ("chair", (0, 0.01), (0.21, 0.20), 0.46),
        ("kitchen counter", (-0.76, 0), (0.455, 0.31), 0.859),
        ("kitchen counter", (1.035, 0), (0.745, 0.31), 0.859),
        ("kitchen counter", (0, 0), (0.18, 0.12), 0.7064),
    ],
)
def test_surfaces_are_where_objects_are_put(name, centre, half, height):
    for u in (-1, -0.51, 0.02, 0.53, 1):
        for v in (-1, 0.03, 1):
            x, z = centre[0] + u * half[0], centre[1] + v * half[1]
            assert ground(FURNITURE[name], x, z) == pytest.approx(height, abs=1e-3), (u, v)


def test_the_counter_spans_what_it_says():
    low, high, _ = extents(FURNITURE["kitchen counter"])
    assert low == pytest.approx([-1.25, 0, -0.34], abs=1e-6)
    assert high[[0, 2]] == pytest.approx([1.82, 0.34], abs=1e-6)


@pytest.mark.parametrize("name", JOINTS[:4])
def test_drawers_are_open_boxes_behind_a_front(name):
    x, y, z, hx, hy, hz = DRAWER_BOXES[name]
    rows = FURNITURE[name]
    for row in rows:
        # Nothing in the room inside.
        apart = np.abs(row[[X, Y, Z]] - [x, y, z]) - row[[HALF_X, HALF_Y, HALF_Z]] - [hx, hy, hz]
        assert apart.max() > -1e-6
    assert ground(rows, x, z) == pytest.approx(y - hy, abs=1e-6)
    assert ground(rows, x, z + hz + 0.02) > y + hy
    low, high, _ = extents(FURNITURE["kitchen counter"])
    assert low[0] < x - hx and x + hx < high[0] and y + hy < 0.859
    # Fully open, most of the room is before the counter.
    assert z + 0.45 > high[2]


def test_drawers_do_not_touch_each_other():
    boxes = [np.array(DRAWER_BOXES[name]) for name in JOINTS[:4]]
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            assert (np.abs(one[:3] - other[:3]) > one[3:] + other[3:]).any()


def test_the_fridge_is_hollow_and_its_door_opens_to_the_front():
    rows = FURNITURE["fridge"]
    shelf = [row for row in rows if row[Y] + row[HALF_Y] == pytest.approx(0.95)]
    assert len(shelf) == 1
    for row in rows:
        apart = np.abs(row[[X, Y, Z]] - [0, 1.30, 0]) - row[[HALF_X, HALF_Y, HALF_Z]] - [0.35, 0.34, 0.25]
        assert apart.max() > -1e-6
    door = FURNITURE["fridge door"]
    closed_low, closed_high, _ = extents(placed(door, *HINGE, 0.0))
    assert (closed_low[0], closed_high[0]) == pytest.approx((-0.40, 0.40), abs=1e-6)
    assert closed_high[2] <= 0.43
    open_low, open_high, _ = extents(placed(door, *HINGE, 1.22))
    assert open_high[2] > 1.0
    assert open_high[0] < 0.0
    assert open_low[2] > 0.25


def test_walls_have_doorways():
    rows = wall(1.0, 2.0, 5.0, 2.0, (1, 1, 1), gaps=((1.0, 1.9),))
    middle = [row for row in rows if abs(row[X] - 2.45) < row[HALF_X]]
    assert [row[Y] - row[HALF_Y] > 1.9 for row in middle] == [True]
    low, high, _ = extents(rows)
    assert (low[0], high[0], low[1]) == pytest.approx((1.0, 5.0, 0.0), abs=1e-6)
    turned = wall(0.0, 0.0, 0.0, 3.0, (1, 1, 1))
    low, high, _ = extents(turned)
    assert (low[2], high[2], high[0]) == pytest.approx((0.0, 3.0, 0.05), abs=1e-6)


def test_floors_and_ceilings_bound_the_room():
    assert extents(floor(-1, -2, 3, 4, (1, 1, 1)))[1] == pytest.approx([3, 0, 4])
    assert extents(ceiling(-1, -2, 3, 4, (1, 1, 1), height=2.4))[0] == pytest.approx([-1, 2.4, -2])
