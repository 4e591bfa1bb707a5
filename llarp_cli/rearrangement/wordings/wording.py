"""A wording: one way to say it, with slots."""

from __future__ import annotations

from typing import NamedTuple


class Wording(NamedTuple):
    """One way to say it.

    Attributes:
        verb: its main verb phrase, word for word; empty in families that are never trained on.
        sentence: with slots.
    """

    verb: str
    sentence: str


def with_verbs(*pairs: tuple[str, str]) -> tuple[Wording, ...]:
    """Wordings from (verb, sentence)."""
    return tuple(Wording(*pair) for pair in pairs)


def sentences(*texts: str) -> tuple[Wording, ...]:
    """Wordings of a family that is never trained on."""
    return tuple(Wording("", text) for text in texts)
