"""Skills as a person types them: case, articles, prefixes and unique abbreviations are forgiven."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from llarp_cli.rearrangement.instructions import NOUNS
from llarp_cli.rearrangement.skills import SKILLS
from llarp_cli.rearrangement.wordings import SYNONYMS

VERBS: dict[str, tuple[str, ...]] = {
    "go_to": ("go", "goto", "walk", "navigate"),
    "pick": ("pick", "take", "grab", "get"),
    "place": ("place", "put", "drop"),
    "open": ("open",),
    "close": ("close", "shut"),
}
"""Kind of skill → words for it."""

FILLING = frozenset(
    ("the", "a", "an", "my", "some", "to", "up", "down", "on", "onto", "in", "into", "inside", "at", "of", "it")
)
"""Words without which a skill is the same."""

EXACT, SAME_LENGTH, PREFIX, PART = 4, 3, 2, 1
"""How well words fit a name: all of them; each shortened; the first of them, shortened; some of them, in order."""

CANDIDATES = 8
"""So many are listed at most."""


@dataclass(frozen=True)
class Reading:
    """What typed words mean.

    Attributes:
        skill: the action; None where they do not say.
        candidates: where they do not, the actions they may mean, the likeliest first.
        fitting: the candidates' names fit the words, there are only too many of them.
    """

    skill: int | None
    candidates: tuple[int, ...] = ()
    fitting: bool = False


def read_skill(text: str) -> Reading:
    """The skill that was typed.

    Args:
        text: e.g. "Go to the sofa", "pick app", "close left", or a number, 0 to 69.
    """
    if (digits := text.strip()).isdecimal():
        return Reading(int(digits)) if len(digits) <= 3 and int(digits) < len(SKILLS) else Reading(None)
    words = _words(text)
    if not words:
        return Reading(None)
    found = _best(words)
    if len(found) == 1:
        return Reading(found[0])
    return Reading(None, tuple(found[:CANDIDATES]), True) if found else Reading(None, _near(words))


def _best(words: tuple[str, ...]) -> list[int]:
    """The skills that fit best, by verb and name."""
    fits = [
        (fit, action)
        for action, skill in enumerate(SKILLS)
        if (verb := _verb_fit(words[0], skill.kind)) and (fit := (verb, *_name_fit(words[1:], action)))[1]
    ]
    best = max((fit for fit, _ in fits), default=None)
    return [action for fit, action in fits if fit == best]


def _verb_fit(word: str, kind: str) -> int:
    return max(EXACT * (word == verb) or PREFIX * verb.startswith(word) for verb in VERBS[kind])


def _name_fit(words: tuple[str, ...], action: int) -> tuple[int, int]:
    """How well words fit the name, and whether it is the benchmark's own; (0, 0) where they do not."""
    own, *others = _names(action)
    return max([(_fit(words, own), 1), *((_fit(words, other), 0) for other in others)])


def _fit(words: tuple[str, ...], name: tuple[str, ...]) -> int:
    if not words:
        return 0
    if "".join(words) == "".join(name):
        return EXACT
    if len(words) <= len(name) and all(whole.startswith(word) for word, whole in zip(words, name, strict=False)):
        return SAME_LENGTH if len(words) == len(name) else PREFIX
    rest = iter(name)
    return PART * all(any(whole.startswith(word) for whole in rest) for word in words)


def _fits_whole(words: tuple[str, ...], action: int) -> bool:
    return _name_fit(words, action)[0] >= SAME_LENGTH


def _near(words: tuple[str, ...]) -> tuple[int, ...]:
    """Skills for words that fit none: those of that name, else those that end like it, else what looks alike."""
    every = range(len(SKILLS))
    named = [action for action in every if _fits_whole(words, action)]
    for start in range(2, len(words)):
        named = named or [a for a in every if _verb_fit(words[0], SKILLS[a].kind) and _fits_whole(words[start:], a)]
    if named:
        return tuple(named[:CANDIDATES])
    alike = {" ".join(phrase): action for action in reversed(range(len(SKILLS))) for phrase in _phrases(action)}
    close = difflib.get_close_matches(" ".join(words), alike, n=CANDIDATES, cutoff=0.8)
    if not close and len(words) == 1:
        return tuple(i for i, skill in enumerate(SKILLS) if _verb_fit(words[0], skill.kind))[:CANDIDATES]
    return tuple(dict.fromkeys(alike[phrase] for phrase in close))


def _phrases(action: int) -> Iterator[tuple[str, ...]]:
    for verb in VERBS[SKILLS[action].kind]:
        for name in _names(action):
            yield (verb, *name)


@lru_cache(maxsize=len(SKILLS))
def _names(action: int) -> tuple[tuple[str, ...], ...]:
    """What the skill's target is called, as words; first the benchmark's own name."""
    target = SKILLS[action].target
    others = SYNONYMS.get(target, ()) if SKILLS[action].kind in ("go_to", "place") else ()
    return tuple(dict.fromkeys(_words(name) for name in (target, NOUNS.get(target, target), *others)))


def _words(text: str) -> tuple[str, ...]:
    """Lower-case words without apostrophes and filling."""
    plain = re.sub(r"['’]", "", text.casefold())
    return tuple(word for word in re.findall(r"\w+", plain.replace("_", " ")) if word not in FILLING)
