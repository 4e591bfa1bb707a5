"""Subgoals: worth 5 in all, each paid once, in any order, and only for what has to change."""

from __future__ import annotations

import numpy as np
import pytest
from goal_expressions import expressions, node
from hypothesis import given
from own_episodes import begun, bring, own_episode, use

from llarp_cli.rearrangement.tasks import exists

APPLE, BOWL, BOOK = "013_apple", "024_bowl", "frl_apartment_book_01"
CUPS = ("065-a_cups", "065-b_cups", "065-c_cups")
CUP = CUPS[0]

SWAP = exists([("X", "apple"), ("Y", "cup")], "AND", "on_top(X, sink)", "on_top(Y, sofa)", "not_holding()")


def test_a_swap_pays_four_subgoals_in_either_order():
    episode = own_episode(SWAP, [(APPLE, "sofa"), (CUP, "sink")])
    first = use(begun(episode), *bring("apple", "sofa", "sink"), *bring("cup", "sink", "sofa"))
    second = use(begun(episode), *bring("cup", "sink", "sofa"), *bring("apple", "sofa", "sink"))
    assert first == second == [0, 1.25, 0, 1.25, 0, 1.25, 0, 11.25]


def test_what_was_paid_is_not_paid_again():
    env = begun(own_episode(SWAP, [(APPLE, "sofa"), (CUP, "sink")]))
    assert use(env, *bring("apple", "sofa", "sink")) == [0, 1.25, 0, 1.25]
    assert use(env, *bring("apple", "sink", "sofa"), *bring("apple", "sofa", "sink")) == [0] * 8
    assert sum(use(env, *bring("cup", "sink", "sofa"))) == 12.5


def test_every_object_of_a_kind_pays_its_own_but_one_that_is_there_already():
    goal = node("AND", "on_top(X, sofa)", "not_holding()", quantifier="FORALL", X="cup")
    env = begun(own_episode(goal, [(CUPS[0], "sink"), (CUPS[1], "sofa"), (CUPS[2], "black table")]))
    assert use(env, *bring("cup", "black table", "sofa")) == [0, 1.25, 0, 1.25]
    # The one that lay there: nothing.
    assert use(env, ("go_to", "sofa"), ("pick", "cup"), ("place", "sofa"))[1:] == [0, 0]
    assert sum(use(env, *bring("cup", "sink", "sofa"))) == 12.5


def test_one_of_a_kind_will_do_whichever_it_is():
    goal = exists([("X", "cup")], "AND", "on_top(X, sofa)", "not_holding()")
    objects = [(CUPS[0], "sink"), (CUPS[1], "black table")]
    for source in ("sink", "black table"):
        assert use(begun(own_episode(goal, objects)), *bring("cup", source, "sofa")) == [0, 2.5, 0, 12.5]


def test_two_of_a_kind_need_two_objects():
    goal = exists([("X", "cup"), ("Y", "cup")], "AND", "on_top(X, sofa)", "on_top(Y, sofa)", "not_holding()")
    env = begun(own_episode(goal, [(CUPS[0], "sink"), (CUPS[1], "black table")]))
    assert use(env, *bring("cup", "sink", "sofa")) == [0, 1.25, 0, 1.25]
    assert use(env, *bring("cup", "black table", "sofa")) == [0, 1.25, 0, 11.25]
    # With one of them there from the start, the other is all there is to do.
    env = begun(own_episode(goal, [(CUPS[0], "sink"), (CUPS[1], "sofa")]))
    assert use(env, *bring("cup", "sink", "sofa")) == [0, 2.5, 0, 12.5]


@pytest.mark.parametrize("is_open", [True, False])
def test_a_condition_pays_for_one_object_alone(is_open):
    state = "opened_fridge(fridge)" if is_open else "closed_fridge(fridge)"
    places = ("on_top(X, sofa)", "on_top(Y, sink)") if is_open else ("on_top(X, TV stand)", "on_top(Y, sofa)")
    goal = exists([("X", "apple"), ("Y", "cup")], "AND", state, *places, "not_holding()")
    episode = own_episode(goal, [(APPLE, "TV stand"), (CUP, "sink")], opened=["fridge"] * is_open)
    moves = {True: bring("apple", "TV stand", "sofa"), False: bring("cup", "sink", "sofa")}
    assert use(begun(episode), *moves[is_open]) == [0, 2.5, 0, 12.5]
    assert use(begun(episode), *moves[not is_open]) == [0, 0, 0, 0]


def test_the_fridge_pays_in_one():
    for wanted, opened in (("opened", ()), ("closed", ("fridge",))):
        goal = node("AND", f"{wanted}_fridge(fridge)")
        env = begun(own_episode(goal, [(APPLE, "sofa")], opened=opened))
        kind = "open" if wanted == "opened" else "close"
        assert use(env, ("go_to", "fridge handle"), (kind, "fridge")) == [0, 15]


@pytest.mark.parametrize("navigation", [False, True])
@pytest.mark.parametrize("goal", [node("AND", "robot_at(sofa)"), exists([("X", "apple")], "AND", "robot_at(X)")])
def test_going_somewhere_pays_success_alone_unless_asked_for(goal, navigation):
    env = begun(own_episode(goal, [(APPLE, "sofa")]), navigation=navigation)
    rewards = use(env, ("go_to", "sink"), ("go_to", "sofa"))
    to_a_place = goal["sub_exprs"] == ["robot_at(sofa)"]
    assert rewards == [0, 15 if navigation and to_a_place else 10]


def test_taking_off_pays_when_it_lies_elsewhere():
    goal = node("AND", "not_holding()", exists([("X", "bowl")], "NAND", "on_top(X, sofa)"))
    env = begun(own_episode(goal, [(BOWL, "sofa")]))
    assert use(env, ("go_to", "sofa"), ("pick", "bowl"), ("place", "sofa")) == [0, 2.5, 0]
    assert use(env, *bring("bowl", "sofa", "chair")) == [0, 0, 0, 12.5]


def test_in_the_drawer_counts_like_on_the_sofa():
    goal = exists([("X", "book")], "AND", "in(X, left drawer)", "opened_cab(left drawer)")
    env = begun(own_episode(goal, [(BOOK, "sofa")]))
    paid = use(env, *bring("book", "sofa", "left drawer"), ("open", "left drawer"))
    assert paid == pytest.approx([0, 5 / 3, 0, 5 / 3, 10 + 5 / 3])


@given(expressions())  # of books too, of which there are none
def test_whatever_the_goal_subgoals_never_pay_more_than_five(expression):
    objects = [(APPLE, "sofa"), (CUPS[0], "sink"), (CUPS[1], "left drawer")]
    env = begun(own_episode(expression, objects, opened=["left drawer"]), success=0)
    random = np.random.default_rng(0)
    rewards = [env.step(env.expert_action() if i % 3 else random.integers(70))[1] for i in range(24)]
    assert np.isfinite(rewards).all()
    assert min(rewards) >= 0
    assert sum(rewards) <= 5 + 1e-5
    env.reset()
    plan = env.plan()
    if plan and len(plan) < 64:
        paid = sum(env.step(action)[1] for action in plan)
        assert paid <= 5 + 1e-5
