"""What a released episode asks, in this program's words: family, slots (`slots`) and goal.

The goal keeps its form; only entity ids become names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.goals import MAX_DEPTH, parse
from llarp_cli.rearrangement.released.safe_pickle import shown
from llarp_cli.rearrangement.released.slots import Sources, slots_of, spoken_of_besides
from llarp_cli.rearrangement.vocabulary import RECEPTACLES

FAMILY_OF: dict[str, str] = {
    "42f1b012": "move",
    "f0917e29": "fetch",
    "9a1dd6ee": "put_away",
    "fd8dd56c": "two_objects",
    "6e7f4383": "swap",
    "6e3da8a1": "close_fridge",
    "68216d8c": "open_fridge",
    "311525c5": "go_to",
    "2f2d797d": "find",
    "8a66dec9": "refer",
    "21e2ce5f": "context",
    "93b2ef41": "spatial",
    "db3119cd": "three_objects",
    "3ef02c70": "all_of_kind",
    "92bcf9b3": "all_from",
    "5d5460d6": "if_fridge",
    "e75d9d69": "if_fridge",
}
"""The release's id of a family, without that of a variant, → our family."""

RECEPTACLE_IDS: dict[str, str] = dict(
    zip(
        (
            "receptacle_aabb_Chr1_Top1_frl_apartment_chair_01",
            "receptacle_aabb_Tbl1_Top1_frl_apartment_table_01",
            "receptacle_aabb_Tbl2_Top1_frl_apartment_table_02",
            "receptacle_aabb_TvStnd1_Top1_frl_apartment_tvstand",
            "receptacle_aabb_sink_kitchen_counter",
            "receptacle_aabb_counter_right_kitchen_counter",
            "receptacle_aabb_counter_left_kitchen_counter",
            "receptacle_aabb_Sofa_frl_apartment_sofa",
            "receptacle_aabb_middle_topfrl_apartment_refrigerator",
            "receptacle_aabb_drawer_left_top_frl_apartment_kitchen_counter",
            "receptacle_aabb_drawer_right_top_frl_apartment_kitchen_counter",
        ),
        RECEPTACLES,
        strict=True,
    )
)
"""Habitat's id of a receptacle → its name."""

MARKER_IDS: dict[str, str] = {
    "fridge_push_point": "fridge",
    "cab_push_point_7": "left drawer",
    "cab_push_point_6": "middle drawer",
    "cab_push_point_5": "right drawer",
    "cab_push_point_4": "bottom drawer",
}
"""Habitat's id of a handle → the joint it moves."""

MAX_NODES = 1000
"""A goal of more predicates and nodes is refused."""

_PREDICATE = re.compile(r"\s*(\w+)\s*\(([^()]*)\)\s*")


class Wrong(Exception):
    """What is wrong with a file: message, and what was expected."""


@dataclass(frozen=True)
class Asked:
    """What an episode asks.

    Attributes:
        family: one of ours.
        slots: as `tasks` has them for the family; a source only where the sentence tells it.
        goal: the expression, names as in `vocabulary`.
        usual: whether the goal has the form its family's goals have; slots are empty where it has not.
    """

    family: str
    slots: dict[str, str]
    goal: dict[str, Any]
    usual: bool


def asked(
    instruct_id: str, sentence: str, goal: Any, sampled: Sequence[Any], lying: Mapping[str, Collection[str]]
) -> Asked:
    """Family, slots and goal of a released episode.

    Args:
        instruct_id: the release's id of the family, with or without that of a variant.
        sentence: the instruction.
        goal: the release's expression.
        sampled: the values the instruction was made from; those that are receptacle ids are used.
        lying: category → receptacles on which there is one.

    Raises:
        Wrong: no such family, or the goal makes no sense.
    """
    family = FAMILY_OF.get(instruct_id.partition("_")[0])
    if family is None:
        raise Wrong(f"unknown instruction family {shown(instruct_id)}", f"an id from {', '.join(FAMILY_OF)}")
    ours = _Translation().node(goal, 0)
    try:
        parsed = parse(ours)
    except UsageProblem as problem:
        raise Wrong(problem.message, problem.hint or "a goal expression, see docs/episodes.md") from None
    places = [RECEPTACLE_IDS[value] for value in sampled if type(value) is str and value in RECEPTACLE_IDS]
    slots = slots_of(family, parsed, Sources(sentence, places, lying))
    if family == "fetch" and slots and "_" not in instruct_id:
        other = spoken_of_besides(sentence, slots)
        if other is not None:
            family, slots = "distraction", {**slots, "other": other}
    return Asked(family, slots or {}, ours, slots is not None)


def translated_predicate(text: str) -> str:
    """A predicate with Habitat's ids replaced by our names; other text as it is."""
    match = _PREDICATE.fullmatch(text)
    if match is None:
        return text
    name = "robot_at" if match[1] == "robot_at_obj" else match[1]
    arguments = [argument.strip() for argument in match[2].split(",")]
    return f"{name}({', '.join(_entity(argument, name) for argument in arguments)})"


def _entity(argument: str, predicate: str) -> str:
    if argument in MARKER_IDS:
        return f"{MARKER_IDS[argument]} handle" if predicate == "robot_at" else MARKER_IDS[argument]
    return RECEPTACLE_IDS.get(argument, argument)


class _Translation:
    """A goal in our names, as large as a goal may be and no larger."""

    def __init__(self) -> None:
        self.nodes = 0

    def node(self, node: Any, depth: int) -> dict[str, Any]:
        if type(node) is not dict:
            raise Wrong(f"goal_preds holds {shown(node)}", "a dictionary of expr_type and sub_exprs")
        if depth > MAX_DEPTH:
            raise Wrong(f"goal_preds is nested more than {MAX_DEPTH} deep", "a goal expression")
        self._count()
        ours = {}
        for key, value in node.items():
            if key == "sub_exprs":
                if type(value) is not list:
                    raise Wrong(f"sub_exprs in goal_preds is {shown(value)}", "a list of predicates and nodes")
                ours[key] = [self._term(term, depth + 1) for term in value]
            elif key == "inputs":
                ours[key] = self._inputs(value)
            elif value is None or type(value) is str:
                ours[key] = value
            else:
                raise Wrong(f"{shown(key)} in goal_preds is {shown(value)}", "a text")
        return ours

    def _term(self, term: Any, depth: int) -> str | dict[str, Any]:
        if type(term) is not str:
            return self.node(term, depth)
        self._count()
        if not term.isprintable():
            raise Wrong(f"goal_preds holds {shown(term)}", "predicates of one line")
        return translated_predicate(term)

    def _inputs(self, inputs: Any) -> list[dict[str, str]]:
        good = type(inputs) is list and all(
            type(item) is dict and all(type(part) is str and part.isprintable() for part in (*item, *item.values()))
            for item in inputs[:MAX_NODES]
        )
        if not good or len(inputs) > MAX_NODES:
            raise Wrong(f"inputs in goal_preds is {shown(inputs)}", "a list of name and expr_type")
        return [dict(item) for item in inputs]

    def _count(self) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Wrong(f"goal_preds has more than {MAX_NODES} nodes", "a goal expression")
