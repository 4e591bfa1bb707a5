"""Goal expressions: when an instruction has been carried out.

The language is that of the reference release (Habitat's PDDL conditions). A node is

    {"expr_type": "AND", "sub_exprs": [...], "quantifier": "EXISTS", "inputs": [{"name": "X", "expr_type": "apple"}]}

with connective AND, OR, NAND or NOR; a sub-expression is a node or a predicate string; quantifier (EXISTS or
FORALL) and inputs are optional. Inputs are bound to pairwise different objects of their categories. The
quantifier stands outside the connective: EXISTS of a NAND says that some object is not so, not that none is.
EXISTS over nothing is false, FORALL over nothing true.

Predicates: `on_top(X, sofa)`, `in(X, fridge)`, `holding(X)`, `not_holding()`, `opened_fridge(fridge)`,
`closed_fridge(fridge)`, `opened_cab(left drawer)`, `closed_cab(left drawer)`, `robot_at(X)`, `robot_at(sofa)`.

A goal is parsed once, bound to the objects of a home at reset (quantifiers expanded), and evaluated for all
homes at once from facts.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray

from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES, TARGETS

if TYPE_CHECKING:
    from llarp_cli.rearrangement.facts import Facts

CONNECTIVES = ("AND", "OR", "NAND", "NOR")
QUANTIFIERS = ("EXISTS", "FORALL")
INSIDES = ("fridge", "left drawer", "right drawer")
"""The receptacles that `in` speaks of."""

MAX_DEPTH = 16
MAX_TERMS = 100_000

_PREDICATE = re.compile(r"\s*([a-z_]+)\s*\(([^()]*)\)\s*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "on_top": ("object", "receptacle"),
    "in": ("object", "inside"),
    "holding": ("object",),
    "not_holding": (),
    "opened_fridge": ("fridge",),
    "closed_fridge": ("fridge",),
    "opened_cab": ("drawer",),
    "closed_cab": ("drawer",),
    "robot_at": ("place",),
}
_KNOWN: dict[str, tuple[str, ...]] = {
    "receptacle": RECEPTACLES,
    "inside": INSIDES,
    "fridge": ("fridge",),
    "drawer": JOINTS[:-1],
    "place": TARGETS,
}

# Opcodes of a bound goal, a program in postfix order: facts push a truth value, connectives join the last n.
ON, HOLDING, NOT_HOLDING, OPENED, CLOSED, AT_TARGET, AT_OBJECT = range(7)
_AND, _OR, _NAND, _NOR = range(7, 11)
_CONNECTIVE_CODE = {"AND": _AND, "OR": _OR, "NAND": _NAND, "NOR": _NOR}


@dataclass(frozen=True)
class Predicate:
    """One predicate, e.g. on_top(X, sofa).

    Attributes:
        name: as in the module's list.
        arguments: names of bound objects, receptacles, joints or targets.
    """

    name: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)})"


@dataclass(frozen=True)
class Goal:
    """A parsed goal, or a node of one.

    Attributes:
        connective: AND, OR, NAND or NOR.
        terms: what it joins.
        quantifier: EXISTS, FORALL or None.
        inputs: (name, category) of each object bound here.
    """

    connective: str
    terms: tuple[Goal | Predicate, ...]
    quantifier: str | None = None
    inputs: tuple[tuple[str, str], ...] = ()

    def categories(self) -> frozenset[str]:
        """Every category that is bound anywhere in the goal."""
        below = [term.categories() for term in self.terms if isinstance(term, Goal)]
        return frozenset(category for _, category in self.inputs).union(*below)


@dataclass(frozen=True)
class CompiledGoal:
    """A goal bound to the objects of one home: a program in postfix order.

    Attributes:
        program: int32 [L, 3], rows of (opcode, argument, argument).
        depth: how many truth values it holds at once.
    """

    program: NDArray[np.int32]
    depth: int


def parse(expression: Any) -> Goal:
    """Read a goal expression.

    Args:
        expression: what JSON gives: a node as in the module's description.

    Raises:
        UsageProblem: naming the part that is wrong.
    """
    return _node(expression, {}, "goal", 0)


def compile(goal: Goal, categories: Sequence[int] | NDArray[np.integer]) -> CompiledGoal:
    """Bind a goal to a home's objects.

    Args:
        goal: from `parse`.
        categories: of each object, index into CATEGORIES; negative for padding.

    Raises:
        UsageProblem: the quantifiers expand to more than 100,000 terms.
    """
    program: list[tuple[int, int, int]] = []
    depth = _emit(goal, {}, instances_of(categories), program)
    return CompiledGoal(np.array(program, np.int32), depth)


def instances_of(categories: Sequence[int] | NDArray[np.integer]) -> dict[str, list[int]]:
    """A home's objects by category; `categories` as for `compile`."""
    instances: dict[str, list[int]] = {}
    for m, category in enumerate(np.asarray(categories).tolist()):
        if category >= 0:
            instances.setdefault(CATEGORIES[category], []).append(m)
    return instances


def bindings(goal: Goal, instances: Mapping[str, list[int]]) -> list[tuple[int, ...]]:
    """Every choice of objects for a node's inputs, all different.

    Raises:
        UsageProblem: there are more than 100,000.
    """
    # Inputs of different categories never meet, so there are so many choices; none where a category has too few.
    needed = Counter(category for _, category in goal.inputs)
    count = math.prod(math.perm(len(instances.get(category, ())), number) for category, number in needed.items())
    if count > MAX_TERMS:
        raise _too_many()
    return list(_choices([instances[category] for _, category in goal.inputs])) if count else []


class CompiledGoals:
    """The goals of N homes, evaluated together.

    Args:
        num_homes: N.
    """

    def __init__(self, num_homes: int):
        self._programs = np.zeros((num_homes, 32, 3), np.int32)
        self._lengths = np.zeros(num_homes, np.int64)
        self._depth = 8
        self._every = np.arange(num_homes)

    def set(self, home: int, goal: Goal, categories: Sequence[int] | NDArray[np.integer]) -> None:
        """Give one home its goal, at reset.

        Args:
            home: index of the home.
            goal: from `parse`.
            categories: of its objects, index into CATEGORIES, negative for padding.
        """
        compiled = compile(goal, categories)
        length = len(compiled.program)
        if length > self._programs.shape[1]:
            grown = np.zeros((len(self._programs), length, 3), np.int32)
            grown[:, : self._programs.shape[1]] = self._programs
            self._programs = grown
        self._programs[home, :length] = compiled.program
        self._lengths[home] = length
        self._depth = max(self._depth, compiled.depth)

    def evaluate(self, facts: Facts, homes: NDArray[np.intp] | None = None) -> NDArray[np.bool_]:
        """Which goals are true.

        Args:
            facts: of all N homes.
            homes: which homes to look at; all where left out.

        Returns:
            bool [N], or [len(homes)]. A home without a goal has none that is true.
        """
        homes = self._every if homes is None else homes
        return _evaluate(
            self._programs,
            self._lengths,
            self._depth,
            homes,
            facts.on,
            facts.held,
            facts.opened,
            facts.closed,
            facts.at_target,
            facts.at_object,
        )


def _node(expression: Any, bound: Mapping[str, str], where: str, depth: int) -> Goal:
    if depth > MAX_DEPTH:
        raise UsageProblem(f"{where}: nested more than {MAX_DEPTH} deep")
    if not isinstance(expression, dict):
        raise UsageProblem(
            f"{where}: expected a node or a predicate, got {_shown(expression)}",
            'a node looks like {"expr_type": "AND", "sub_exprs": ["not_holding()"]}',
        )
    strange = set(expression) - {"expr_type", "sub_exprs", "quantifier", "inputs"}
    if strange:
        raise UsageProblem(
            f"{where}: unknown key {_shown(min(strange, key=str))}", "keys: expr_type, sub_exprs, quantifier, inputs"
        )
    connective = expression.get("expr_type")
    if connective not in CONNECTIVES:
        raise UsageProblem(f"{where}: expr_type is {_shown(connective)}", f"use one of {', '.join(CONNECTIVES)}")
    terms = expression.get("sub_exprs")
    if not isinstance(terms, list) or not terms:
        raise UsageProblem(f"{where}: sub_exprs must be a list of at least one predicate or node")
    quantifier = expression.get("quantifier")
    if quantifier is not None and quantifier not in QUANTIFIERS:
        raise UsageProblem(f"{where}: quantifier is {_shown(quantifier)}", f"use one of {', '.join(QUANTIFIERS)}")
    inputs = _inputs(expression.get("inputs"), bound, where)
    if inputs and quantifier is None:
        raise UsageProblem(f"{where}: it has inputs but no quantifier", f"use one of {', '.join(QUANTIFIERS)}")
    if quantifier is not None and not inputs:
        raise UsageProblem(f"{where}: {quantifier} without inputs", '"inputs": [{"name": "X", "expr_type": "apple"}]')
    inner = {**bound, **dict(inputs)}
    return Goal(
        connective,
        tuple(
            _predicate(term, inner, f"{where}.sub_exprs[{i}]")
            if isinstance(term, str)
            else _node(term, inner, f"{where}.sub_exprs[{i}]", depth + 1)
            for i, term in enumerate(terms)
        ),
        quantifier,
        inputs,
    )


def _inputs(given: Any, bound: Mapping[str, str], where: str) -> tuple[tuple[str, str], ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > 8:
        raise UsageProblem(f"{where}.inputs: must be a list of at most 8 inputs")
    inputs: dict[str, str] = {}
    for i, item in enumerate(given):
        part = f"{where}.inputs[{i}]"
        if not isinstance(item, dict) or set(item) != {"name", "expr_type"}:
            raise UsageProblem(f"{part}: expected name and expr_type", '{"name": "X", "expr_type": "apple"}')
        name, category = item["name"], item["expr_type"]
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageProblem(f"{part}: {_shown(name)} is no name for an object", "a letter, then letters or digits")
        if name in inputs or name in bound or name in TARGETS:
            raise UsageProblem(f"{part}: the name {_shown(name)} is taken", "each input needs a name of its own")
        if not isinstance(category, str) or category not in CATEGORIES:
            raise UsageProblem(f"{part}: unknown category {_shown(category)}", f"known: {', '.join(CATEGORIES)}")
        inputs[name] = category
    return tuple(inputs.items())


def _predicate(text: str, bound: Mapping[str, str], where: str) -> Predicate:
    match = _PREDICATE.fullmatch(text)
    if match is None:
        raise UsageProblem(f"{where}: {_shown(text)} is no predicate", 'e.g. "on_top(X, sofa)" or "not_holding()"')
    name = match[1]
    if name not in _ARGUMENTS:
        raise UsageProblem(f"{where}: unknown predicate '{name}'", f"known: {', '.join(_ARGUMENTS)}")
    arguments = tuple(argument.strip() for argument in match[2].split(",")) if match[2].strip() else ()
    kinds = _ARGUMENTS[name]
    if len(arguments) != len(kinds):
        raise UsageProblem(f"{where}: {name} takes {len(kinds)} argument(s), got {len(arguments)} in {_shown(text)}")
    for argument, kind in zip(arguments, kinds, strict=True):
        if argument in bound and kind in ("object", "place"):
            continue
        if kind == "object":
            raise UsageProblem(
                f"{where}: {_shown(argument)} is bound by no input", f"bound here: {', '.join(bound) or 'nothing'}"
            )
        if argument not in _KNOWN[kind]:
            raise UsageProblem(f"{where}: {name} knows no {_shown(argument)}", f"known: {', '.join(_KNOWN[kind])}")
    return Predicate(name, arguments)


def _shown(value: Any) -> str:
    """A value as it may be quoted in one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _emit(
    goal: Goal, binding: dict[str, int], instances: Mapping[str, list[int]], program: list[tuple[int, int, int]]
) -> int:
    """Append a node's program; the number of truth values it needs at once is returned."""
    if goal.quantifier is None:
        return _emit_body(goal, binding, instances, program)
    depth, count = 1, 0
    names = [name for name, _ in goal.inputs]
    for objects in bindings(goal, instances):
        needed = _emit_body(goal, {**binding, **dict(zip(names, objects, strict=True))}, instances, program)
        depth = max(depth, count + needed)
        count += 1
    program.append((_OR if goal.quantifier == "EXISTS" else _AND, count, 0))
    return depth


def _choices(pools: Sequence[Sequence[int]], chosen: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    if len(chosen) == len(pools):
        yield chosen
        return
    for item in pools[len(chosen)]:
        if item not in chosen:
            yield from _choices(pools, (*chosen, item))


def _emit_body(
    goal: Goal, binding: dict[str, int], instances: Mapping[str, list[int]], program: list[tuple[int, int, int]]
) -> int:
    depth = 1
    for i, term in enumerate(goal.terms):
        if isinstance(term, Predicate):
            program.append(fact(term, binding))
            needed = 1
        else:
            needed = _emit(term, binding, instances, program)
        depth = max(depth, i + needed)
    program.append((_CONNECTIVE_CODE[goal.connective], len(goal.terms), 0))
    if len(program) > MAX_TERMS:
        raise _too_many()
    return depth


def _too_many() -> UsageProblem:
    return UsageProblem(f"goal: its quantifiers expand to more than {MAX_TERMS:,} terms", "bind fewer objects")


def fact(predicate: Predicate, binding: Mapping[str, int]) -> tuple[int, int, int]:
    """A predicate as a row of a program: what kind of fact, and of what (object, joint or target; receptacle)."""
    name, arguments = predicate.name, predicate.arguments
    if name in ("on_top", "in"):
        return ON, binding[arguments[0]], RECEPTACLES.index(arguments[1])
    if name == "holding":
        return HOLDING, binding[arguments[0]], 0
    if name == "not_holding":
        return NOT_HOLDING, 0, 0
    if name == "robot_at":
        if arguments[0] in binding:
            return AT_OBJECT, binding[arguments[0]], 0
        return AT_TARGET, TARGETS.index(arguments[0]), 0
    return (OPENED if name.startswith("opened") else CLOSED), JOINTS.index(arguments[0]), 0


@numba.njit(cache=True)
def _evaluate(programs, lengths, max_depth, homes, on, held, opened, closed, at_target, at_object):
    result = np.zeros(len(homes), np.bool_)
    stack = np.zeros(max_depth + 1, np.bool_)
    for i in range(len(homes)):
        n = homes[i]
        top = 0
        for k in range(lengths[n]):
            code = programs[n, k, 0]
            a = programs[n, k, 1]
            if code >= _AND:
                every, some = True, False
                for j in range(top - a, top):
                    every = every and stack[j]
                    some = some or stack[j]
                top -= a
                if code == _AND:
                    value = every
                elif code == _OR:
                    value = some
                elif code == _NAND:
                    value = not every
                else:
                    value = not some
            elif code == ON:
                value = on[n, a, programs[n, k, 2]]
            elif code == HOLDING:
                value = held[n] == a
            elif code == NOT_HOLDING:
                value = held[n] < 0
            elif code == OPENED:
                value = opened[n, a]
            elif code == CLOSED:
                value = closed[n, a]
            elif code == AT_TARGET:
                value = at_target[n, a]
            else:
                value = at_object[n, a]
            stack[top] = value
            top += 1
        result[i] = lengths[n] > 0 and stack[0]
    return result
