"""From a wording and its slots to a sentence, with the right article, pronoun and preposition."""

from __future__ import annotations

import re
from collections.abc import Mapping

from llarp_cli.errors import unknown
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF
from llarp_cli.rearrangement.wordings import HELD_OUT, SYNONYMS, TRAIN

WORDINGS = ("train", "held_out", "synonyms")
"""Which sentences: training ones, held-out ones, or training ones with receptacle names never trained on."""

SLOT = re.compile(r"\{(?:(a|it|on|onto|off) )?(\w+)\}")

NOUNS = {category: category for category in CATEGORY_OF.values()}
NOUNS |= {"rubriks cube": "Rubik's cube", "lego": "lego brick"}
"""Category → what it is called in a sentence."""

PLURALS_ONLY = {"scissors": "a pair of scissors"}
INSIDE = {"sink", "fridge", "left drawer", "right drawer", *SYNONYMS["sink"]}
"""Receptacle names one speaks of as "in", not "on"."""


def instruction(family: str, slots: Mapping[str, str], wordings: str, draws: Draws) -> tuple[str, str]:
    """A random sentence for a task.

    Args:
        family: the instruction family.
        slots: slot name → category or receptacle.
        wordings: one of WORDINGS.
        draws: where randomness comes from.

    Returns:
        The sentence, and which wording it is ("train-3", "held-out-0").

    Raises:
        UsageProblem: wordings or family are not known.
    """
    if wordings not in WORDINGS:
        raise unknown("wordings", wordings, WORDINGS)
    table = HELD_OUT if wordings == "held_out" else TRAIN
    if family not in table:
        raise unknown("family", family, table)
    number = draws.below(len(table[family]))
    names = dict(slots)
    if wordings == "synonyms":
        names = {slot: draws.choice(SYNONYMS[name]) if name in SYNONYMS else name for slot, name in slots.items()}
    sentence = fill(table[family][number].sentence, names)
    return sentence, f"{'held-out' if wordings == 'held_out' else 'train'}-{number}"


def fill(sentence: str, slots: Mapping[str, str]) -> str:
    """A wording with its slots filled, capitalised.

    Args:
        sentence: as in `wordings`.
        slots: slot name → category, receptacle, or any other name for one.
    """
    text = SLOT.sub(lambda slot: _form(slot[1], slots[slot[2]]), sentence)
    return text[0].upper() + text[1:]


def with_article(noun: str) -> str:
    """The noun after "a" or "an"."""
    if noun in PLURALS_ONLY:
        return PLURALS_ONLY[noun]
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


def _form(form: str | None, name: str) -> str:
    noun = NOUNS.get(name, name)
    if form is None:
        return noun
    if form == "a":
        return with_article(noun)
    if form == "it":
        return "them" if noun in PLURALS_ONLY else "it"
    inside = name in INSIDE
    if form == "off":
        return f"{'out of' if inside else 'off'} the {noun}"
    return f"{form.replace('on', 'in') if inside else form} the {noun}"
