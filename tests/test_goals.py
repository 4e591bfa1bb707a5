import numpy as np
import pytest
from goal_expressions import KINDS, expressions, facts, node, truth
from hypothesis import given, settings
from hypothesis import strategies as st

from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.goals import CompiledGoals, parse
from llarp_cli.rearrangement.vocabulary import CATEGORIES, RECEPTACLES


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_evaluation_agrees_with_the_meaning(data):
    homes, objects = 4, 6
    codes = st.sampled_from([-1, *(CATEGORIES.index(kind) for kind in KINDS)])
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    state = facts(homes, objects)
    for array in (state.on, state.opened, state.closed, state.at_target, state.at_object):
        array[:] = random.random(array.shape) < 0.5
    state.held[:] = random.integers(-1, objects, homes)
    compiled = CompiledGoals(homes)
    wanted = []
    for home in range(homes):
        expression = data.draw(expressions())
        categories = np.array(data.draw(st.lists(codes, min_size=objects, max_size=objects)), np.int16)
        compiled.set(home, parse(expression), categories)
        wanted.append(truth(expression, categories, state, home))
    assert compiled.evaluate(state).tolist() == wanted
    some = np.array([2, 0])
    assert compiled.evaluate(state, some).tolist() == [wanted[2], wanted[0]]


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
    ],
)
def test_a_bad_goal_is_refused_by_its_bad_part(expression, said):
    with pytest.raises(UsageProblem) as problem:
        parse(expression)
    assert said in problem.value.message


def test_bounds_on_nesting_and_expansion():
    deep = node("AND", "not_holding()")
    for _ in range(40):
        deep = node("AND", deep)
    with pytest.raises(UsageProblem, match="deep"):
        parse(deep)
    names = {f"X{i}": "cup" for i in range(6)}
    wide = parse(node("OR", *(f"holding({name})" for name in names), quantifier="EXISTS", **names))
    with pytest.raises(UsageProblem, match="expand"):
        CompiledGoals(1).set(0, wide, [CATEGORIES.index("cup")] * 64)
