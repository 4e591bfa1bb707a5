"""What an agent can do somewhere, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Repertoire:
    """The actions of an environment, as a policy learns them.

    Attributes:
        skills: what each action does, in words, in the order of the logits.
        steps: the most that an episode has.
    """

    skills: tuple[str, ...]
    steps: int
