"""Which objects and places a sentence names, and where in it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from llarp_cli.rearrangement.vocabulary import CATEGORIES, RECEPTACLES

_BEFORE_A_NOUN = ("a", "an", "the", "any", "all", "every", "each", "this", "that", "some", "no", "my", "your", "of")


class Mention(NamedTuple):
    """A name in a sentence: the first letter's place, and the category or receptacle."""

    at: int
    name: str


def receptacles_named(sentence: str) -> list[Mention]:
    """The receptacles a sentence names, in order, each time it does."""
    return [Mention(match.start(), _by_small_letters()[match[0].lower()]) for match in _places().finditer(sentence)]


def categories_named(sentence: str) -> list[Mention]:
    """The categories a sentence names, in the singular or plural, in order, each time it does."""
    found = []
    for match in _things().finditer(sentence):
        name = _by_small_letters()[match["name"].lower()]
        # "Can you" names no can.
        if name == "can" and (match["before"] or "").lower() not in _BEFORE_A_NOUN:
            continue
        found.append(Mention(match.start("name"), name))
    return found


@lru_cache(maxsize=1)
def _by_small_letters() -> dict[str, str]:
    singular = {name.lower(): name for name in (*CATEGORIES, *RECEPTACLES)}
    return {_plural(name.lower()): name for name in CATEGORIES} | singular


def _plural(name: str) -> str:
    if name.endswith("y"):
        return name[:-1] + "ies"
    if name.endswith("fe"):
        return name[:-2] + "ves"
    return name + ("es" if name.endswith(("x", "ch", "s")) else "s")


@lru_cache(maxsize=1)
def _places() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(sorted(RECEPTACLES, key=len, reverse=True))})\b", re.IGNORECASE)


@lru_cache(maxsize=1)
def _things() -> re.Pattern[str]:
    forms = [form for name in CATEGORIES for form in (_plural(name), name)]
    names = "|".join(sorted(forms, key=len, reverse=True))
    return re.compile(rf"(?:\b(?P<before>\w+)\s+)??\b(?P<name>{names})\b", re.IGNORECASE)
