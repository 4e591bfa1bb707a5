"""The searching planner's habit in each family: what it does, what it must not know, what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_episodes import begun, own_episode, use
from toy_world import ToyWorld

from llarp_cli.rearrangement.environment import RearrangementEnv, RearrangementVectorEnv
from llarp_cli.rearrangement.orders import Orders, Want, orders
from llarp_cli.rearrangement.skills import SKILL_INDEX, SKILLS
from llarp_cli.rearrangement.splits import SPLITS, EpisodeList, generate
from llarp_cli.rearrangement.tasks import FAMILIES, exists
from llarp_cli.rearrangement.vocabulary import RECEPTACLES, SURFACES

WORLD = ToyWorld()
APPLE, CUP = "013_apple", "065-a_cups"
CUPS = (CUP, "065-b_cups", "065-c_cups")
NEVER = {"expr_type": "AND", "sub_exprs": ["opened_cab(middle drawer)"]}
"""A goal that nothing here reaches by the way, so that the episode goes on."""


def course(env, steps):
    """What it does in so many steps, or until the goal is reached."""
    done = []
    for _ in range(steps):
        skill = SKILLS[env.expert_action()]
        done.append((skill.kind, skill.target))
        if env.step(SKILL_INDEX[done[-1]])[2]:
            break
    return done


def brought(*objects):
    return exists([("X", objects[0])], "AND", f"on_top(X, {objects[1]})", "not_holding()")


def test_a_swap_takes_seven_steps():
    slots = {"object1": "apple", "source1": "sofa", "object2": "cup", "source2": "TV stand"}
    terms = ("on_top(X, TV stand)", "on_top(Y, sofa)", "not_holding()")
    goal = exists([("X", "apple"), ("Y", "cup")], "AND", *terms)
    env = begun(own_episode(goal, [(APPLE, "sofa"), (CUP, "TV stand")], "swap", slots))
    assert course(env, 32) == [
        *[("go_to", "sofa"), ("pick", "apple"), ("go_to", "TV stand"), ("place", "TV stand")],
        *[("pick", "cup"), ("go_to", "sofa"), ("place", "sofa")],
    ]


@pytest.mark.parametrize(("family", "opened"), [("open_fridge", ()), ("close_fridge", ("fridge",))])
def test_the_fridge_is_turned_from_before_its_handle(family, opened):
    goal = {"expr_type": "AND", "sub_exprs": [f"{'closed' if opened else 'opened'}_fridge(fridge)"]}
    env = begun(own_episode(goal, [(APPLE, "sofa")], family, opened=opened))
    use(env, ("go_to", "sofa"), ("pick", "apple"))  # a full hand does not matter
    assert course(env, 32) == [("go_to", "fridge handle"), ("close" if opened else "open", "fridge")]


def test_going_is_going():
    goal = {"expr_type": "AND", "sub_exprs": ["robot_at(TV stand)"]}
    assert course(begun(own_episode(goal, [(APPLE, "sofa")], "go_to", {"target": "TV stand"})), 9) == [
        ("go_to", "TV stand")
    ]


def test_finding_goes_round_the_surfaces_and_never_picks():
    goal = exists([("X", "apple")], "AND", "robot_at(X)")
    env = begun(own_episode(goal, [(APPLE, "TV stand"), (CUP, "black table")], "find", {"object": "apple"}))
    expected = [("go_to", "black table"), ("go_to", "brown table"), ("go_to", "TV stand")]
    assert course(env, 32) == expected
    # Round and round, whatever it holds.
    env = begun(own_episode(NEVER, [(CUP, "black table")], "find", {"object": "apple"}))
    use(env, ("go_to", "black table"), ("pick", "cup"))
    surfaces = [SURFACES[(1 + i) % 7] for i in range(10)]
    assert course(env, 10) == [("go_to", surface) for surface in surfaces]


@pytest.mark.parametrize("is_open", [True, False])
def test_a_condition_is_looked_up_first_and_the_other_object_stays(is_open):
    slots = {"object1": "apple", "object2": "cup", "target": "black table"}
    wanted, place = ("apple", "sofa") if is_open else ("cup", "brown table")
    objects = [(APPLE, "sofa"), (CUP, "brown table")]
    env = begun(own_episode(brought(wanted, "black table"), objects, "if_fridge", slots, ["fridge"] * is_open))
    done = course(env, 32)
    assert done[0] == ("go_to", "fridge handle")
    assert done[-4:] == [("go_to", place), ("pick", wanted), ("go_to", "black table"), ("place", "black table")]
    assert {kind for kind, _ in done} == {"go_to", "pick", "place"}
    assert [target for kind, target in done if kind == "pick"] == [wanted]


def test_a_door_that_was_turned_is_turned_back():
    slots = {"object1": "apple", "object2": "cup", "target": "black table"}
    env = begun(own_episode(NEVER, [(APPLE, "sofa"), (CUP, "sink")], "if_fridge", slots))
    use(env, ("go_to", "fridge"), ("open", "fridge"), ("go_to", "sofa"))
    assert course(env, 2) == [("go_to", "fridge handle"), ("close", "fridge")]
    assert course(env, 2)[0][0] == "go_to"


def test_the_conditions_outcome_is_not_known_before_looking():
    slots = {"object1": "apple", "object2": "cup", "target": "black table"}
    courses = []
    for opened in ([], ["fridge"]):
        env = begun(own_episode(NEVER, [(APPLE, "sofa"), (CUP, "TV stand")], "if_fridge", slots, opened))
        labels = []
        for surface in ("sofa", "TV stand", "sink"):
            use(env, ("go_to", surface))
            labels.append(env.expert_action())
        courses.append(labels)
    assert courses[0] == courses[1] == [SKILL_INDEX["go_to", "fridge handle"]] * 3


def test_all_of_a_kind_are_brought_but_not_those_that_are_there():
    goal = {**exists([("X", "cup")], "AND", "on_top(X, sofa)", "not_holding()"), "quantifier": "FORALL"}
    objects = [(CUPS[0], "TV stand"), (CUPS[1], "sofa"), (CUPS[2], "black table")]
    done = course(begun(own_episode(goal, objects, "all_of_kind", {"object": "cup", "target": "sofa"})), 32)
    assert done.count(("pick", "cup")) == 2
    at = [done[i - 1] for i, skill in enumerate(done) if skill[0] == "pick"]
    assert at == [("go_to", "black table"), ("go_to", "TV stand")]
    # It cannot know that there are no more: it goes on looking, and never takes what is there already.
    env = begun(own_episode(NEVER, objects, "all_of_kind", {"object": "cup", "target": "sofa"}))
    course(env, 10)
    assert course(env, 6) == [("go_to", surface) for surface in SURFACES if surface != "sofa"]
    course(env, 20)
    assert env.simulator.held[0] == -1


def test_all_from_somewhere_comes_back_until_nothing_is_left_there():
    goal = {**exists([("X", "cup")], "AND", "on_top(X, sofa)", "not_holding()"), "quantifier": "FORALL"}
    slots = {"object": "cup", "source": "TV stand", "target": "sofa"}
    done = course(begun(own_episode(goal, [(name, "TV stand") for name in CUPS], "all_from", slots)), 32)
    assert done == [("go_to", "TV stand"), ("pick", "cup"), ("go_to", "sofa"), ("place", "sofa")] * 3
    # Others elsewhere are meant by the goal too.
    objects = [(CUPS[0], "TV stand"), (CUPS[1], "black table")]
    done = course(begun(own_episode(goal, objects, "all_from", slots)), 32)
    assert done[4:6] == [("go_to", "TV stand"), ("go_to", "sink")]
    assert done[-4:] == [("go_to", "black table"), ("pick", "cup"), ("go_to", "sofa"), ("place", "sofa")]


def test_what_is_delivered_and_in_the_way_is_put_aside():
    """The cup on the left counter is in reach from the sink and comes first: the pick takes it again."""
    goal = {**exists([("X", "cup")], "AND", "on_top(X, left counter)", "not_holding()"), "quantifier": "FORALL"}
    objects = [(CUPS[0], "left counter"), (CUPS[1], "sink")]
    slots = {"object": "cup", "source": "sink", "target": "left counter"}
    episode = own_episode(goal, objects, "all_from", slots)
    # Where things come to rest hangs on the episode's name.
    courses = [course(begun(replace(episode, id=str(i))), 32) for i in range(8)]
    assert 2 <= sum(("place", "chair") in done for done in courses) <= 7
    assert all(done[-1] == ("place", "left counter") and len(done) < 32 for done in courses)


@pytest.mark.parametrize(
    ("family", "slots", "expected"),
    [
        ("move", {"object": "apple", "source": "sofa", "target": "sink"}, Orders((Want(17, 7, 4),))),
        ("put_away", {"object": "apple", "source": "black table"}, Orders((Want(17, 1, 2),))),
        ("distraction", {"object": "apple", "target": "sink", "other": "cup"}, Orders((Want(17, -1, 4),))),
        ("find", {"object": "apple"}, Orders((Want(17, -1, -1),), bring=False)),
        ("go_to", {"target": "sofa"}, Orders((), bring=False, go_to=12)),
        ("open_fridge", {}, Orders((), bring=False, door=1)),
        ("close_fridge", {}, Orders((), bring=False, door=0)),
        ("mine", {"object": "sofa", "target": "apple", "colour": "sink"}, Orders((), bring=False)),
        ("if_fridge", {"object1": "apple", "target": "sofa"}, Orders((Want(17, -1, 7),))),
        (
            "swap",
            {"object1": "apple", "source1": "sofa", "object2": "cup", "source2": "sink"},
            Orders((Want(17, 7, 4), Want(27, 4, 7))),
        ),
        (
            "three_objects",
            {"object1": "apple", "target1": "sofa", "object2": "cup", "target2": "sink", "object3": "box"},
            Orders((Want(17, -1, 7), Want(27, -1, 4), Want(20, -1, 1))),
        ),
    ],
)
def test_orders(family, slots, expected):
    assert orders(family, slots) == expected


def test_whether_every_object_is_meant_and_on_what_it_depends():
    slots = {"object": "apple", "source": "sofa", "target": "sink"}
    assert orders("all_from", slots).every
    assert orders("all_of_kind", slots).every
    assert not orders("move", slots).every
    assert orders("if_fridge", {"object1": "apple", "object2": "cup", "target": "sofa"}).conditional


@given(
    st.sampled_from([*FAMILIES, "mine"]),
    st.dictionaries(
        st.sampled_from(
            ["object", "object1", "object2", "object3", "source", "source2", "target", "target1", "other", "x"]
        ),
        st.sampled_from(["apple", "cup", "wrench", *RECEPTACLES]),
    ),
)
def test_no_slots_are_too_strange(family, slots):
    env = begun(own_episode(NEVER, [(APPLE, "sofa"), (CUP, "sink"), (CUPS[1], "black table")], family, slots))
    random = np.random.default_rng(0)
    for i in range(12):
        action = env.expert_action()
        assert 0 <= action < len(SKILLS)
        env.step(action if i % 3 else random.integers(70))


def test_many_homes_at_once_are_as_many_alone():
    episodes = [
        replace(episode, id=f"{family}-{episode.id}")
        for family in FAMILIES
        for split in SPLITS
        if family in SPLITS[split].families
        for episode in list(generate(WORLD, split, 1, 0, [family]))
    ]
    together = RearrangementVectorEnv(WORLD, EpisodeList(episodes), len(episodes), image_size=16, max_steps=64)
    alone = [RearrangementEnv(WORLD, EpisodeList([one]), image_size=16, max_steps=64) for one in episodes]
    together.reset()
    for env in alone:
        env.reset()
    random = np.random.default_rng(0)
    going = np.ones(len(episodes), bool)
    for _ in range(20):
        labels = together.expert_actions()
        assert [env.expert_action() for env, on in zip(alone, going, strict=True) if on] == labels[going].tolist()
        actions = np.where(random.random(len(labels)) < 0.6, labels, random.integers(0, 70, len(labels)))
        _, _, terminations, _, _ = together.step(np.maximum(actions, 0))
        for i in np.flatnonzero(going):
            alone[i].step(int(actions[i]))
        going &= ~terminations
    assert going.sum() < len(episodes)
