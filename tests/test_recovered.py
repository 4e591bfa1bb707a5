"""Homes recovered from where objects lay: the fit, the scene's name, the home it gives, objects in it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import test_scenes
from released_files import HOME, KITCHEN, on_surface

from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.home import world
from llarp_cli.home.fitting import COUNTER, fit_furniture
from llarp_cli.home.layouts import MOVABLE
from llarp_cli.home.placing import Placing
from llarp_cli.home.recovered import recovered_name, recovered_places
from llarp_cli.home.recovering import recover
from llarp_cli.home.scenes import AREAS, furnished
from llarp_cli.home.shapes import ASSET_SIZES
from llarp_cli.rearrangement.facts import OBJECT_BEARING, OBJECT_REACH, within
from llarp_cli.rearrangement.released.reader import read_released
from llarp_cli.rearrangement.vocabulary import RECEPTACLES, SURFACES, TARGETS

LANGR = Path("../shared/langr")
the_released_files = pytest.mark.skipif(not (LANGR / "released").is_dir(), reason=f"no released files in {LANGR}")

HOMES = {
    "no release's": HOME,
    "everything turned": {
        "counter": (-3.0, 6.0, 57.0),
        "black table": (2.0, 2.0, 20.0),
        "brown table": (-1.5, -2.0, 130.0),
        "TV stand": (3.5, 5.5, 95.0),
        "sofa": (-4.5, 1.0, 75.0),
    },
    "far from the origin": {name: (x + 60, z - 70, heading) for name, (x, z, heading) in HOME.items()},
}


def scattered(home, count, seed=0):
    """Surface → where `count` objects lie on it."""
    random = np.random.default_rng(seed)
    return {
        surface: np.array([on_surface(home, surface, *random.uniform(-1, 1, 2)) for _ in range(count)])
        for surface in SURFACES
    }


def errors(fits, home):
    """Centimetres and degrees each piece is off by."""
    found = []
    for kind, fit in fits.items():
        x, z, heading = home[kind]
        turn = 360 if kind == "counter" else 180
        off = (fit.heading - heading) % turn
        found.append((100 * math.dist((fit.x, fit.z), (x, z)), min(off, turn - off)))
    return np.array(found).reshape(-1, 2)


@pytest.mark.parametrize("name", HOMES)
def test_furniture_is_found_from_what_lies_on_it(name):
    off = []
    for seed in range(4):
        fits = fit_furniture(scattered(HOMES[name], 35, seed))
        assert set(fits) == {"counter", *MOVABLE}
        off.append(errors(fits, HOMES[name]))
    off = np.concatenate(off)
    assert np.median(off[:, 0]) < 3
    assert off[:, 0].max() < 10
    assert np.median(off[:, 1]) < 2
    assert off[:, 1].max() < 12


def test_few_objects_give_a_rough_idea_and_many_a_precise_one():
    few = np.concatenate([errors(fit_furniture(scattered(HOME, 5, seed)), HOME) for seed in range(8)])
    many = np.concatenate([errors(fit_furniture(scattered(HOME, 300, seed)), HOME) for seed in range(2)])
    assert np.median(few[:, 0]) < 12
    assert many[:, 0].max() < 1.5
    assert many[:, 1].max() < 1


def test_the_kitchen_is_found_from_any_of_its_surfaces_and_its_front_too():
    lying = scattered(HOME, 40)
    for surface in KITCHEN:
        fits = fit_furniture({surface: lying[surface]})
        assert math.dist((fits["counter"].x, fits["counter"].z), HOME["counter"][:2]) < 0.05 or surface != "sink"
    both = fit_furniture({name: lying[name] for name in ("left counter", "right counter")})
    assert errors(both, HOME)[0].tolist() == [pytest.approx(0, abs=4), pytest.approx(0, abs=2)]


def test_a_stray_object_does_no_harm():
    lying = scattered(HOME, 30)
    for surface, points in lying.items():
        lying[surface] = np.concatenate([points, [points[0] + (1.7, -0.9)]])
    off = errors(fit_furniture(lying), HOME)
    assert off[:, 0].max() < 10
    assert off[:, 1].max() < 6


def test_a_thousand_are_as_good_as_more():
    lying = scattered(HOME, 2500)
    assert errors(fit_furniture(lying), HOME)[:, 0].max() < 1


# Names.


PLAN = {"counter": (-2154, 1948, 270), "black table": (3630, 7550, 0), "sofa": (3530, 5850, 93)}
NAME = "v3_sc3_staging_00:counter=-2154,1948,270;black table=3630,7550,0;sofa=3530,5850,93"


def test_a_name_tells_its_plan():
    assert recovered_name("v3_sc3_staging_00", PLAN) == NAME
    assert recovered_places(NAME) == PLAN
    longest = recovered_name("s" * 38, {kind: (-99_999, -99_999, 359) for kind in ("counter", *MOVABLE)})
    assert recovered_places(longest) is not None
    assert len(longest) <= 200


@pytest.mark.parametrize(
    "name",
    [
        "a:",
        ":counter=0,0,0",
        "a:sofa=0,0,0",
        "a:counter=0,0",
        "a:counter=0,0,360",
        "a:counter=0,0,-1",
        "a:counter=00,0,0",
        "a:counter=-0,0,0",
        "a:counter=٣,0,0",
        "a:counter=1.5,0,0",
        "a:counter=0,0,0;",
        "a:counter=0,0,0;counter=0,0,0",
        "a:sofa=0,0,0;counter=0,0,0",
        "a:counter=0,0,0;bed=0,0,0",
        "a:counter=0,0,0;sofa=30001,0,0",
        "a:counter=100000,0,0",
        "a b:counter=0,0,0",
        "a:b:counter=0,0,0",
        "a" * 39 + ":counter=0,0,0",
        "a:counter=0,0,0\n",
    ],
)
def test_other_names_are_unknown_scenes(name):
    assert recovered_places(name) is None
    with pytest.raises(UsageProblem, match="unknown scene"):
        world.scene(name)


def test_furniture_that_stands_in_furniture_is_a_home_for_nobody():
    with pytest.raises(LlarpError, match="cannot be furnished"):
        world.scene("a:counter=0,0,0;black table=0,300,0;brown table=3000,3000,0;TV stand=0,6000,0;sofa=-3000,3000,0")


# Homes.

NAMES = [
    NAME,
    "v3_sc9_staging_00:counter=4101,-2300,180;black table=-1209,3371,180;brown table=2886,4065,90;"
    "TV stand=-2591,-400,270;sofa=605,1002,214",
    "elsewhere:counter=0,0,57;black table=3000,4000,20;brown table=-2500,3000,130;TV stand=1000,6000,275;"
    "sofa=5000,1500,120",
    "bare:counter=12,-7,90",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_recovered_home_is_as_good_as_any(name):
    """What holds for every scene holds for these."""
    test_scenes.test_furniture_stands_free(name)
    test_scenes.test_the_robot_stands_free_and_faces_its_target(name)
    test_scenes.test_all_of_a_surface_is_within_reach_and_in_view(name)
    test_scenes.test_a_robot_can_walk_from_any_start_to_every_stand(name)
    test_scenes.test_left_and_right_are_as_seen_from_before_the_counter(name)


@pytest.mark.parametrize("name", NAMES)
def test_furniture_is_where_the_name_says(name):
    scene = world.scene(name)
    for kind, (x, z, heading) in recovered_places(name).items():
        box = scene.boxes[RECEPTACLES.index("sink" if kind == "counter" else kind)]
        assert abs(box[0] - x) <= 1, kind
        assert abs(box[2] - z) <= 1, kind
        assert box[3] == heading * 1000


def test_the_same_name_gives_the_same_home():
    first = furnished(NAME)
    furnished.cache_clear()
    again = furnished(NAME)
    assert again is not first
    assert again.layout == first.layout
    assert again.layout != furnished(NAME.replace("staging_00", "staging_01")).layout


def test_furniture_that_stands_free_is_not_moved():
    recovered = recover("a", scattered(HOME, 60))
    assert max(recovered.moved.values()) == 0
    assert set(recovered.fits) == {"counter", *MOVABLE}


def test_furniture_that_collides_is_moved_no_farther_than_it_must_be():
    home = HOME | {"black table": (-1.2, 3.4, 0.0), "brown table": (0.1, 3.4, 0.0)}
    recovered = recover("a", scattered(home, 60))
    # Half lengths 0.75 and 0.68 m, 1.3 m apart: 13 cm too near.
    assert 0.1 < recovered.moved["black table"] + recovered.moved["brown table"] < 0.2
    assert recovered.moved["sofa"] == recovered.moved["TV stand"] == 0


def test_where_there_is_no_home_that_is_said():
    with pytest.raises(UsageProblem, match=r"scene a: no object lies on sink or right counter or left counter"):
        recover("a", {"sofa": np.zeros((4, 2))})
    lying = scattered(HOME, 10)
    lying["sofa"] = lying["sofa"] + 40
    with pytest.raises(UsageProblem, match=r"scene a: where its objects lie .* is no home's"):
        recover("a", lying)


# Objects.


def test_objects_stay_unless_the_robot_cannot_reach_or_see_them():
    recovered = recover("a", scattered(HOME, 60))
    scene, placing = recovered.home.scene, Placing(recovered)
    random = np.random.default_rng(3)
    for surface in SURFACES:
        stand = scene.stands[TARGETS.index(surface)] / 1000
        robot = np.array([[stand[0], stand[1], math.radians(stand[2])]])
        box = scene.boxes[RECEPTACLES.index(surface)] / 1000
        for _ in range(40):
            u, v = random.uniform(-1.1, 1.1, 2)
            x, z = on_surface(HOME, surface, u, v)
            ((position, _),) = placing.place([("013_apple", surface, x, z, 0.0)])
            at = np.array(position) / 1000
            assert at[1] == (AREAS[surface].y + ASSET_SIZES["013_apple"].rest_height) / 1000
            assert within(robot, at[None, None], OBJECT_REACH, OBJECT_BEARING).all()
            cos, sin = math.cos(math.radians(box[3])), math.sin(math.radians(box[3]))
            dx, dz = at[0] - box[0], at[2] - box[2]
            assert abs(cos * dx + sin * dz) <= box[4]
            assert abs(cos * dz - sin * dx) <= box[6]
            if surface in ("left counter", "sofa") and max(abs(u), abs(v)) < 0.6:
                assert math.dist((x, z), (at[0], at[2])) < 0.04


def test_a_moved_object_goes_beside_the_others():
    recovered = recover("a", scattered(HOME, 60))
    edge = on_surface(HOME, "sink", 0.0, 1.5)
    placing = Placing(recovered)
    (first, _), (second, _) = placing.place([("013_apple", "sink", *edge, 0.0), ("014_lemon", "sink", *edge, 0.0)])
    assert placing.moved == 2
    assert placing.touching == 0
    assert math.dist(first, second) > 40


# The released files.


def off_by(scene, fits):
    """Centimetres and degrees from what all released files together give."""
    known = json.loads((LANGR / "layout_facts.json").read_text())["scenes"][scene]["receptacles"]
    home = {}
    for kind in fits:
        found = known["sink" if kind == "counter" else kind].get("obb", {})
        if "center_xz" in found:
            home[kind] = (*found["center_xz"], 270.0 if kind == "counter" else found["yaw_long_axis_deg"])
    return errors({kind: fits[kind] for kind in home}, home)


def lying_in(episodes):
    lying = {}
    for one in episodes:
        for placed in one.objects:
            lying.setdefault(one.scene, {}).setdefault(placed.receptacle, []).append((placed.x, placed.z))
    return {scene: {name: np.array(found) for name, found in tops.items()} for scene, tops in lying.items()}


@the_released_files
@pytest.mark.parametrize("name", ["train_validation", "new_scenes", "rephrasing", "conditional_instructions"])
def test_released_homes_are_recovered(name):
    scenes = lying_in(read_released(LANGR / "released" / f"{name}.pickle").episodes)
    off = np.concatenate([off_by(scene, fit_furniture(lying)) for scene, lying in scenes.items()])
    assert np.median(off[:, 0]) < 3
    assert np.quantile(off[:, 0], 0.9) < 8
    assert np.median(off[:, 1]) < 2
    assert np.quantile(off[:, 1], 0.9) < 4


@the_released_files
def test_one_episode_gives_a_rough_home():
    episodes = read_released(LANGR / "released" / "new_scenes.pickle").episodes
    off = np.concatenate([off_by(one.scene, fit_furniture(lying_in([one])[one.scene])) for one in episodes[::9]])
    assert np.median(off[:, 0]) < 15
    assert np.median(off[:, 1]) < 2
    for one in episodes[::20]:
        assert recover(one.scene, lying_in([one])[one.scene]).home.scene.name.startswith(one.scene)
    assert set(COUNTER) == set(KITCHEN)
