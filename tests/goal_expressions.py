"""Random goals, random facts, and what a goal means, word for word."""

import itertools
from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES, TARGETS

KINDS = ("apple", "cup", "book")


def node(connective, *terms, quantifier=None, **inputs):
    expression = {"expr_type": connective, "sub_exprs": list(terms)}
    if quantifier:
        expression["quantifier"] = quantifier
        expression["inputs"] = [{"name": name, "expr_type": category} for name, category in inputs.items()]
    return expression


def facts(homes, objects):
    return SimpleNamespace(
        on=np.zeros((homes, objects, len(RECEPTACLES)), bool),
        held=np.full(homes, -1, np.int16),
        opened=np.zeros((homes, len(JOINTS)), bool),
        closed=np.ones((homes, len(JOINTS)), bool),
        at_target=np.zeros((homes, len(TARGETS)), bool),
        at_object=np.zeros((homes, objects), bool),
    )


def truth(expression, categories, facts, home, bound=None):
    """What an expression means, word for word, slowly."""
    bound = bound or {}
    if isinstance(expression, str):
        name, _, rest = expression.partition("(")
        arguments = [argument.strip() for argument in rest.rstrip(")").split(",")]
        if name in ("on_top", "in"):
            return bool(facts.on[home, bound[arguments[0]], RECEPTACLES.index(arguments[1])])
        if name == "holding":
            return facts.held[home] == bound[arguments[0]]
        if name == "not_holding":
            return facts.held[home] == -1
        if name == "robot_at":
            if arguments[0] in bound:
                return bool(facts.at_object[home, bound[arguments[0]]])
            return bool(facts.at_target[home, TARGETS.index(arguments[0])])
        which = facts.opened if name.startswith("opened") else facts.closed
        return bool(which[home, JOINTS.index(arguments[0])])
    inputs = expression.get("inputs", [])
    pools = [[m for m, c in enumerate(categories) if c >= 0 and CATEGORIES[c] == i["expr_type"]] for i in inputs]
    results = []
    for objects in itertools.product(*pools):
        if len(set(objects)) < len(objects):
            continue
        inner = {**bound, **{i["name"]: m for i, m in zip(inputs, objects, strict=True)}}
        values = [truth(term, categories, facts, home, inner) for term in expression["sub_exprs"]]
        value = all(values) if expression["expr_type"] in ("AND", "NAND") else any(values)
        results.append(value != expression["expr_type"].startswith("N"))
    if not inputs:
        return results[0]
    return any(results) if expression["quantifier"] == "EXISTS" else all(results)


@st.composite
def expressions(draw, names=(), depth=0, kinds=KINDS):
    inputs = {}
    if draw(st.booleans()):
        count = draw(st.integers(1, 2))
        inputs = {f"X{depth}{i}": draw(st.sampled_from(kinds)) for i in range(count)}
    scope = (*names, *inputs)
    receptacle = st.sampled_from(RECEPTACLES)
    predicates = [
        st.just("not_holding()"),
        st.sampled_from(("opened_fridge(fridge)", "closed_fridge( fridge )")),
        st.sampled_from(JOINTS[:4]).map("opened_cab({})".format),
        st.sampled_from(JOINTS[:4]).map("closed_cab({})".format),
        st.sampled_from(TARGETS).map("robot_at({})".format),
    ]
    if scope:
        bound = st.sampled_from(scope)
        predicates += [
            st.builds("on_top({}, {})".format, bound, receptacle),
            st.builds("in({},{})".format, bound, st.sampled_from(("fridge", "left drawer", "right drawer"))),
            bound.map("holding({})".format),
            bound.map("robot_at({})".format),
        ]
    term = st.one_of(predicates)
    if depth < 2:
        term = st.one_of(term, expressions(names=scope, depth=depth + 1, kinds=kinds))
    terms = draw(st.lists(term, min_size=1, max_size=3))
    quantifier = draw(st.sampled_from(("EXISTS", "FORALL"))) if inputs else None
    connective = draw(st.sampled_from(("AND", "OR", "NAND", "NOR")))
    return node(connective, *terms, quantifier=quantifier, **inputs)
