"""From a wording and its slots to a sentence, with the right article, pronoun and preposition."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeVar

from llarp_cli.errors import UsageProblem, unknown
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.relations import RELATIONS
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF
from llarp_cli.rearrangement.wordings import HELD_OUT, LOOKS, NEEDS, SYNONYMS, TRAIN

T = TypeVar("T")

WORDINGS = ("train", "held_out", "synonyms")
"""Which sentences: training ones, held-out ones, or training ones with receptacle names never trained on."""

SLOT = re.compile(r"\{(?:(a|count|plural|it|they|its|is|on|onto|off) )?(\w+)\}")

NOUNS = {category: category for category in CATEGORY_OF.values()}
NOUNS |= {"rubriks cube": "Rubik's cube", "lego": "lego brick"}
"""Category → what it is called in a sentence."""

PLURALS_ONLY = {"scissors": "a pair of scissors"}
PLURALS = {"knife": "knives", "box": "boxes", "peach": "peaches", "strawberry": "strawberries", "wrench": "wrenches"}
"""Nouns whose plural does not just end in s."""

_PRONOUNS = {"it": ("it", "them"), "they": ("it", "they"), "its": ("its", "their"), "is": ("is", "are")}
"""Form → for one, and for what has only a plural."""

INSIDE = {"sink", "fridge", "left drawer", "right drawer", *SYNONYMS["sink"]}
INSIDE |= {phrase for relation in RELATIONS.values() if relation.targets == ("sink",) for phrase in relation.phrases}
"""Names of receptacles one speaks of as "in", not "on"."""

STAND_INS = {"look": "object", "place": "target"}
"""Slot of a sentence → the slot of the task that it tells of without its name."""


def instruction(
    family: str, slots: Mapping[str, str], wordings: str, draws: Draws, relation: str = ""
) -> tuple[str, str]:
    """A random sentence for a task.

    Args:
        family: the instruction family.
        slots: slot name → category or receptacle; the sentence is one of those that use just these.
        wordings: one of WORDINGS.
        draws: where randomness comes from.
        relation: in the family spatial, the key of `RELATIONS` that tells the target.

    Returns:
        The sentence, and which wording it is: "train-3", "held-out-0". Where the sentence is put together, the
        parts follow: which description, phrase, need or training sentence, as in "held-out-3-5".

    Raises:
        UsageProblem: wordings, family, relation or object are not known, or no sentence has these slots.
    """
    if wordings not in WORDINGS:
        raise unknown("wordings", wordings, WORDINGS)
    held_out = wordings == "held_out"
    kind = "held-out" if held_out else "train"
    names = dict(slots)
    if family == "context" and held_out:
        sentence, part = _part(_known("needed object", names["object"], NEEDS).sentences, draws)
        return fill(sentence, names), f"{kind}{part}"
    number, sentence = draws.choice(_fitting(held_out, family, tuple(slots)))
    part = ""
    if family == "refer":
        names["look"], part = _part(_known("described object", names["object"], LOOKS), draws)
    elif family == "spatial":
        names["place"], part = _part(_known("relation", relation, RELATIONS).phrases, draws)
    elif family == "distraction":
        asked = {slot: slots[slot] for slot in ("object", "target")}
        names["request"], request = instruction("fetch", asked, "train", draws)
        part = request.removeprefix("train")
    elif wordings == "synonyms":
        names["fridge"] = "fridge"
        names = {slot: draws.choice(SYNONYMS[name]) if name in SYNONYMS else name for slot, name in names.items()}
    return fill(sentence, names), f"{kind}-{number}{part}"


def fill(sentence: str, slots: Mapping[str, str]) -> str:
    """A wording with its slots filled, capitalised.

    Args:
        sentence: as in `wordings`.
        slots: slot name → category, receptacle, or any other name for one.
    """
    names = {"fridge": "fridge", **slots}
    text = SLOT.sub(lambda slot: _form(slot[1], names[slot[2]]), sentence)
    return text[0].upper() + text[1:]


def with_article(noun: str) -> str:
    """The noun after "a" or "an"."""
    if noun in PLURALS_ONLY:
        return PLURALS_ONLY[noun]
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


@cache
def _fitting(held_out: bool, family: str, slots: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    """The wordings of a family that use just these slots (`other` may be left out), with their numbers."""
    table = HELD_OUT if held_out else TRAIN
    if family not in table:
        raise unknown("family", family, table)
    fitting = tuple(
        (number, wording.sentence)
        for number, wording in enumerate(table[family])
        if slots_of(wording.sentence) in ({*slots}, {*slots} - {"other"})
    )
    if not fitting:
        raise UsageProblem(f"no sentence of family '{family}' has slots {', '.join(slots) or '(none)'}")
    return fitting


def slots_of(sentence: str) -> set[str]:
    """The slots of a task that a wording tells of."""
    names = {STAND_INS.get(slot[2], slot[2]) for slot in SLOT.finditer(sentence)} - {"fridge"}
    if "request" in names:
        names = names - {"request"} | {"object", "target"}
    return names


def _part(phrases: Sequence[str], draws: Draws) -> tuple[str, str]:
    """One of the phrases, and its number as it stands in the name of a wording."""
    number = draws.below(len(phrases))
    return phrases[number], f"-{number}"


def _known(kind: str, name: str, table: Mapping[str, T]) -> T:
    if name not in table:
        raise unknown(kind, name, table)
    return table[name]


def _form(form: str | None, name: str) -> str:
    noun = NOUNS.get(name, name)
    several = noun in PLURALS_ONLY
    if form is None:
        return noun
    if form == "a":
        return with_article(noun)
    if form == "count":
        return PLURALS_ONLY[noun].removeprefix("a ") if several else noun
    if form == "plural":
        return noun if several else PLURALS.get(noun, f"{noun}s")
    if form in _PRONOUNS:
        return _PRONOUNS[form][several]
    inside = name in INSIDE
    if form == "off":
        return f"{'out of' if inside else 'off'} the {noun}"
    return f"{form.replace('on', 'in') if inside else form} the {noun}"
