"""The slots of a released episode.

They are read off the goal, and from the sentence where it also tells the source. The names under which the release
keeps what it sampled differ from family to family, so only their values are used, and nothing depends on them but a
choice between two sources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from llarp_cli.rearrangement.goals import Goal, Predicate
from llarp_cli.rearrangement.released.mentions import Mention, categories_named, receptacles_named
from llarp_cli.rearrangement.vocabulary import RECEPTACLES


class Sources:
    """Where a sentence says that objects are.

    Args:
        sentence: the instruction.
        sampled: receptacles the instruction was made from.
        lying: category → receptacles on which there is one; tells which of two readings is so.
    """

    def __init__(self, sentence: str, sampled: list[str], lying: Mapping[str, Collection[str]]):
        self.places = receptacles_named(sentence)
        self.things = categories_named(sentence)
        self.sampled = sampled
        self.lying = lying

    def only(self, target: str) -> dict[str, str]:
        """The `source` slot of a sentence about one object: the place it names that is not the target."""
        named = {place.name for place in self.places} - {target}
        if len(named) > 1:
            named &= set(self.sampled)
        return {"source": named.pop()} if len(named) == 1 else {}

    def of_each(self, objects: list[str], targets: list[str]) -> list[str | None]:
        """The source of each of several objects, where the sentence tells it.

        A place that is named more often than things go there is a source: of an object that lies there, if there
        is one, and of several the one that is named last before it, or next after it where that has one already.
        """
        left = Counter(targets)
        found: list[str | None] = [None] * len(objects)
        for place in self._extra(left):
            open_yet = [i for i in self._in_order(objects, place.at) if found[i] is None and targets[i] != place.name]
            likely = [i for i in open_yet if place.name in self.lying.get(objects[i], ())] or open_yet
            if likely:
                found[likely[0]] = place.name
        return found

    def _extra(self, targets: Counter[str]) -> list[Mention]:
        """The mentions of places that are not those of a target: of each place, the first ones beyond its count."""
        surplus = Counter(place.name for place in self.places) - targets
        extra = []
        for place in self.places:
            if surplus[place.name] > 0:
                surplus[place.name] -= 1
                extra.append(place)
        return extra

    def _in_order(self, objects: list[str], at: int) -> list[int]:
        """Objects by their first mention: those before a place, the last one first, then those after it."""
        firsts = {thing.name: thing.at for thing in reversed(self.things)}
        known = [(firsts[name], i) for i, name in enumerate(objects) if name in firsts]
        return [i for where, i in sorted(known, reverse=True) if where < at] + [
            i for where, i in sorted(known) if where > at
        ]


def slots_of(family: str, goal: Goal, sources: Sources) -> dict[str, str] | None:
    """The slots of a family, from its goal; None where the goal has another form."""
    body = _body(goal)
    if body is None:
        return None
    category, on, rest = body
    objects = list(category)
    if not objects:
        if family in ("open_fridge", "close_fridge"):
            wanted = "opened_fridge" if family == "open_fridge" else "closed_fridge"
            return {} if [term.name for term in rest] == [wanted] else None
        places = [term.arguments[0] for term in rest if term.name == "robot_at"]
        return {"target": places[0]} if family == "go_to" and len(places) == 1 and places[0] in RECEPTACLES else None
    targets = [on.get(name) for name in objects]
    if family == "find":
        found = [term.arguments for term in rest if term.name == "robot_at"]
        return {"object": category[objects[0]]} if found == [(objects[0],)] and len(objects) == 1 else None
    if None in targets:
        return None
    return _moving_slots(family, [category[name] for name in objects], targets, rest, sources)


def _moving_slots(
    family: str, objects: list[str], targets: list[str], rest: list[Predicate], sources: Sources
) -> dict[str, str] | None:
    """The slots of a family that has objects moved, each to its target."""
    if family in ("move", "spatial", "all_from") and len(objects) == 1:
        return {"object": objects[0], **sources.only(targets[0]), "target": targets[0]}
    if family in ("fetch", "refer", "context", "all_of_kind") and len(objects) == 1:
        return {"object": objects[0], "target": targets[0]}
    if family == "put_away" and len(objects) == 1:
        return {"object": objects[0], "source": targets[0]}
    if family == "two_objects" and len(objects) == 2 and targets[0] == targets[1]:
        return {"object1": objects[0], "object2": objects[1], "target": targets[0]}
    if family == "swap" and len(objects) == 2:
        return {"object1": objects[0], "source1": targets[1], "object2": objects[1], "source2": targets[0]}
    if family == "if_fridge" and len(objects) == 2:
        opened = [term.name == "opened_fridge" for term in rest if term.name.endswith("_fridge")]
        if len(opened) == 1:
            return {"object1": objects[0], "object2": objects[1], "target": targets[0 if opened[0] else 1]}
    if family == "three_objects" and len(objects) == 3:
        slots = {}
        for i, source in enumerate(sources.of_each(objects, targets)):
            told = {} if source is None else {f"source{i + 1}": source}
            slots |= {f"object{i + 1}": objects[i], **told, f"target{i + 1}": targets[i]}
        return slots
    return None


def _body(goal: Goal) -> tuple[dict[str, str], dict[str, str], list[Predicate]] | None:
    """Bound name → category, bound name → where it is to be (or, for NAND, not to be), and the other predicates.

    None where the goal is no plain list of predicates, possibly with one node of them within it.
    """
    category: dict[str, str] = dict(goal.inputs)
    on: dict[str, str] = {}
    rest: list[Predicate] = []
    inner = [term for term in goal.terms if isinstance(term, Goal)]
    if len(inner) > 1 or any(isinstance(term, Goal) for node in inner for term in node.terms):
        return None
    for node in (goal, *inner):
        category |= dict(node.inputs)
        for term in node.terms:
            if isinstance(term, Predicate):
                if term.name == "on_top" and term.arguments[0] not in on:
                    on[term.arguments[0]] = term.arguments[1]
                else:
                    rest.append(term)
    return category, on, rest


def spoken_of_besides(sentence: str, slots: dict[str, str]) -> str | None:
    """What a fetching sentence speaks of that has nothing to do with it; None where there is no such thing.

    That is another category than the object; or the object itself, where it is named twice.
    """
    named = [thing.name for thing in categories_named(sentence)]
    others = [name for name in named if name != slots["object"]]
    if others:
        return others[0]
    return slots["object"] if named.count(slots["object"]) > 1 else None
