"""What is odd about the episodes of a released file: counted, not mended."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llarp_cli.rearrangement.released.reader import ReleasedEpisode
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF

RELEASED_TOKENS = 30
"""Tokens that the release's policy reads of an instruction; a longer one stops it."""

_ARTICLE = re.compile(r"\b(an?)\s+(\w+)", re.IGNORECASE)
_TOKEN = re.compile(r"\w+|[^\w\s]")


def oddities(episodes: Sequence[ReleasedEpisode]) -> tuple[tuple[str, int], ...]:
    """(what, in how many episodes), those that occur."""
    sentences = [episode.instruction for episode in episodes]
    counts = {
        "sentences that another episode has too": len(sentences) - len(set(sentences)),
        "sentences with a for an or an for a": sum(map(_wrong_article, sentences)),
        f"sentences of more than {RELEASED_TOKENS} tokens, which the release's policy refuses": sum(
            len(_TOKEN.findall(sentence)) >= RELEASED_TOKENS for sentence in sentences
        ),
        "irrelevant texts about the very object asked for": sum(
            "other" in episode.asked.slots and episode.asked.slots["other"] == episode.asked.slots["object"]
            for episode in episodes
        ),
        "all to be moved from a place where none is": sum(_at_source(episode) == "none" for episode in episodes),
        "all to be moved from a place, and the goal also wants those elsewhere": sum(
            _at_source(episode) == "some" for episode in episodes
        ),
        "all to be moved to a place where one is already": sum(
            episode.asked.family in ("all_of_kind", "all_from")
            and episode.asked.slots.get("target") in _places(episode)
            for episode in episodes
        ),
        "goals of another form than their family's": sum(not episode.asked.usual for episode in episodes),
        "doors open at the start that our homes do not have": sum(episode.other_joints > 0 for episode in episodes),
    }
    return tuple((what, count) for what, count in counts.items() if count)


def _wrong_article(sentence: str) -> bool:
    return any(
        (article.lower() == "an") != (noun[0].lower() in "aeiou") for article, noun in _ARTICLE.findall(sentence)
    )


def _places(episode: ReleasedEpisode) -> list[str]:
    """Where the objects of the category asked for lie."""
    category = episode.asked.slots.get("object")
    return [one.receptacle for one in episode.objects if CATEGORY_OF[one.asset] == category]


def _at_source(episode: ReleasedEpisode) -> str:
    """How many of the objects to be moved from a place lie there: none, some or all of them."""
    source = episode.asked.slots.get("source")
    if episode.asked.family != "all_from" or source is None:
        return "all"
    there = _places(episode).count(source)
    return "none" if there == 0 else "all" if there == len(_places(episode)) else "some"
