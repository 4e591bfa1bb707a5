import time

import numpy as np
import pytest
from goal_expressions import KINDS, expressions, facts, node, truth
from hypothesis import given, settings
from hypothesis import strategies as st
from own_episodes import begun, own_episode

from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.alternatives import MAX_ALTERNATIVES, alternatives, is_so
from llarp_cli.rearrangement.goals import CompiledGoals, parse
from llarp_cli.rearrangement.vocabulary import CATEGORIES, RECEPTACLES


def random_facts(random, homes, objects):
    state = facts(homes, objects)
    for array in (state.on, state.opened, state.closed, state.at_target, state.at_object):
        array[:] = random.random(array.shape) < 0.5
    state.held[:] = random.integers(-1, objects, homes)
    return state


def homes_full(objects):
    """The categories of a home's objects, padding among them."""
    codes = st.sampled_from([-1, *(CATEGORIES.index(kind) for kind in KINDS)])
    return st.lists(codes, min_size=objects, max_size=objects).map(lambda given: np.array(given, np.int16))


@settings(max_examples=60)
@given(st.data())
def test_evaluation_agrees_with_the_meaning(data):
    homes, objects = 3, 6
    state = random_facts(np.random.default_rng(data.draw(st.integers(0, 2**32))), homes, objects)
    compiled = CompiledGoals(homes)
    wanted = [False] * homes
    # Homes get new goals now and then, longer or shorter than what they had.
    for home in (0, 1, 2, 1):
        expression, categories = data.draw(expressions()), data.draw(homes_full(objects))
        compiled.set(home, parse(expression), categories)
        wanted[home] = truth(expression, categories, state, home)
    assert compiled.evaluate(state).tolist() == wanted
    some = np.array([2, 0])
    assert compiled.evaluate(state, some).tolist() == [wanted[2], wanted[0]]


@settings(max_examples=100)
@given(expressions(), homes_full(5), st.integers(0, 2**32))
def test_a_goal_is_true_where_one_of_its_alternatives_is(expression, categories, seed):
    state = random_facts(np.random.default_rng(seed), 20, 5)
    ways = alternatives(parse(expression), categories, state, 0)
    for home in range(20):
        found = any(all(is_so(fact, state, home) == so for fact, so in way.items()) for way in ways)
        assert found == truth(expression, categories, state, home)
    changes = [sum(is_so(fact, state, 0) != so for fact, so in way.items()) for way in ways]
    assert changes == sorted(changes)


def test_of_very_many_alternatives_the_nearest_are_kept():
    """All of 12 cups on one surface or another: 7 ** 12 ways."""
    places = [f"on_top(X, {name})" for name in RECEPTACLES[1:8]]
    goal = parse(node("OR", *places, quantifier="FORALL", X="cup"))
    state, cup = facts(1, 12), CATEGORIES.index("cup")
    state.on[0, :, RECEPTACLES.index("sofa")] = True
    began = time.process_time()
    ways = alternatives(goal, [cup] * 12, state, 0)
    assert time.process_time() - began < 5
    assert len(ways) <= MAX_ALTERNATIVES
    assert all(is_so(fact, state, 0) == so for fact, so in ways[0].items())


def test_two_inputs_never_share_an_object():
    goal = parse(node("AND", "on_top(X, sofa)", "on_top(Y, sofa)", quantifier="EXISTS", X="apple", Y="apple"))
    apple = CATEGORIES.index("apple")
    state = facts(1, 2)
    state.on[0, 0, RECEPTACLES.index("sofa")] = True
    compiled = CompiledGoals(1)
    compiled.set(0, goal, [apple, apple])
    assert not compiled.evaluate(state)[0]
    state.on[0, 1, RECEPTACLES.index("sofa")] = True
    assert compiled.evaluate(state)[0]


def test_quantifiers_over_nothing_and_homes_without_a_goal():
    state, compiled = facts(3, 1), CompiledGoals(3)
    compiled.set(0, parse(node("AND", "holding(X)", quantifier="FORALL", X="apple")), [-1])
    compiled.set(1, parse(node("NOR", "holding(X)", quantifier="EXISTS", X="apple")), [-1])
    assert compiled.evaluate(state).tolist() == [True, False, False]


def test_a_goal_may_be_replaced_by_a_longer_or_shorter_one():
    compiled, cup = CompiledGoals(1), CATEGORIES.index("cup")
    state = facts(1, 8)
    state.on[0, :, RECEPTACLES.index("sink")] = True
    long = parse(node("AND", "on_top(X, sink)", "on_top(Y, sink)", quantifier="FORALL", X="cup", Y="cup"))
    compiled.set(0, long, [cup] * 8)
    assert compiled.evaluate(state)[0]
    state.on[0, 7] = False
    assert not compiled.evaluate(state)[0]
    compiled.set(0, parse(node("AND", "not_holding()")), [cup] * 8)
    assert compiled.evaluate(state)[0]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("not_holding()", "expected a node"),
        ({"expr_type": "XOR", "sub_exprs": ["not_holding()"]}, "expr_type is 'XOR'"),
        ({"expr_type": "AND", "sub_exprs": []}, "sub_exprs must be a list"),
        ({"expr_type": "AND", "sub_exprs": ["not_holding()"], "colour": 1}, "unknown key 'colour'"),
        (node("AND", "flying()"), "goal.sub_exprs[0]: unknown predicate 'flying'"),
        (node("AND", "not_holding"), "'not_holding' is no predicate"),
        (node("AND", "not_holding(X)"), "not_holding takes 0 argument(s), got 1"),
        (node("AND", "on_top(X, sofa)"), "'X' is bound by no input"),
        (node("AND", "on_top(X, moon)", quantifier="EXISTS", X="apple"), "on_top knows no 'moon'"),
        (node("AND", "in(X, sofa)", quantifier="EXISTS", X="apple"), "in knows no 'sofa'"),
        (node("AND", "opened_cab(fridge)"), "opened_cab knows no 'fridge'"),
        (node("AND", "holding(X)", quantifier="EXISTS", X="dragon"), "unknown category 'dragon'"),
        (node("AND", "holding(X)", quantifier="SOME", X="apple"), "quantifier is 'SOME'"),
        ({"expr_type": "AND", "sub_exprs": ["not_holding()"], "quantifier": "EXISTS"}, "EXISTS without inputs"),
        (node("AND", node("AND", 3)), "goal.sub_exprs[0].sub_exprs[0]: expected a node or a predicate, got 3"),
        (None, "goal: expected a node or a predicate, got None"),
        ({"sub_exprs": ["not_holding()"]}, "expr_type is None"),
        ({"expr_type": ["AND"], "sub_exprs": ["not_holding()"]}, "expr_type is ['AND']"),
        ({"expr_type": "AND", "sub_exprs": "not_holding()"}, "sub_exprs must be a list"),
        ({"expr_type": "AND", "sub_exprs": ["not_holding()"], "inputs": "X"}, "inputs: must be a list"),
        (
            {"expr_type": "AND", "sub_exprs": ["not_holding()"], "inputs": ["X"]},
            "inputs[0]: expected name and expr_type",
        ),
        (node("AND", "holding(X)", quantifier=["EXISTS"], X="apple"), "quantifier is ['EXISTS']"),
        (node("AND", "holding(X)", quantifier="EXISTS", sofa="apple"), "the name 'sofa' is taken"),
        (node("AND", "holding(X)", quantifier="EXISTS", X=7), "unknown category 7"),
        (node("AND", "holding(X)", quantifier="EXISTS", **{"X y": "apple"}), "'X y' is no name"),
        (node("AND", "robot_at(Y)", quantifier="EXISTS", X="apple"), "robot_at knows no 'Y'"),
        (node("AND", "holding(sofa)", quantifier="EXISTS", X="apple"), "'sofa' is bound by no input"),
        (node("AND", "on_top(X)", quantifier="EXISTS", X="apple"), "on_top takes 2 argument(s), got 1"),
        (node("AND", "on_top(X, ON(Y))", quantifier="EXISTS", X="apple"), "is no predicate"),
        (node("AND", "x" * 5000), "..."),
        (node("AND", *(["holding(X)"] * 2), quantifier="EXISTS", **{f"X{i}": "cup" for i in range(9)}), "at most 8"),
    ],
)
def test_a_bad_goal_is_refused_by_its_bad_part(expression, said):
    with pytest.raises(UsageProblem) as problem:
        parse(expression)
    assert said in problem.value.message


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("not_holding()")
)
_keys = st.sampled_from(["expr_type", "sub_exprs", "quantifier", "inputs", "name", "x"])
_words = st.sampled_from(["AND", "NOR", "EXISTS", "X", "apple", "on_top(X, sofa)", "in(X, sofa)", "robot_at(X)"])
_anything = st.recursive(
    _scalars | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(_anything)
def test_whatever_is_given_is_read_or_refused_in_one_line(expression):
    try:
        goal = parse(expression)
    except UsageProblem as problem:
        assert "\n" not in problem.message and len(problem.message) < 300
    else:
        CompiledGoals(1).set(0, goal, [CATEGORIES.index("apple")])


def test_bounds_on_nesting_and_expansion():
    deep = node("AND", "not_holding()")
    for _ in range(40):
        deep = node("AND", deep)
    with pytest.raises(UsageProblem, match="deep"):
        parse(deep)
    cup, mug = CATEGORIES.index("cup"), CATEGORIES.index("mug")

    def wide(count, *more, **others):
        names = {f"X{i}": "cup" for i in range(count)}
        return node("OR", *(f"holding({name})" for name in names), *more, quantifier="EXISTS", **names, **others)

    inner = node("OR", "holding(Y)", quantifier="FORALL", Y="cup")
    began = time.process_time()
    for goal, cups in [(wide(6), 64), (wide(4), 20), (wide(8), 60), (wide(3, inner), 30), (wide(7, Z="mug"), 40)]:
        with pytest.raises(UsageProblem, match="expand to more than 100,000 terms"):
            CompiledGoals(1).set(0, parse(goal), [*[cup] * cups, mug])
    # None of these can be bound, however many cups there are.
    compiled = CompiledGoals(1)
    for goal in (wide(7, Z="apple"), wide(6, Z="mug", W="mug")):
        compiled.set(0, parse(goal), [*[cup] * 60, mug])
        assert not compiled.evaluate(facts(1, 61))[0]
    assert time.process_time() - began < 5


def test_an_episode_with_too_wide_a_goal_is_named():
    names = {f"X{i}": "cup" for i in range(8)}
    goal = node("OR", *(f"holding({name})" for name in names), quantifier="EXISTS", **names)
    with pytest.raises(UsageProblem, match=r"^episode own: goal: its quantifiers expand"):
        begun(own_episode(goal, [("065-a_cups", "sofa")] * 12))
