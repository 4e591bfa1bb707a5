"""The 70 skills, in the order of the reference release (spec: 16 go to, 33 pick, 11 place, 5 open, 5 close)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES, TARGETS
from llarp_cli.repertoire import Repertoire

Kind = Literal["go_to", "pick", "place", "open", "close"]


@dataclass(frozen=True)
class Skill:
    """One discrete action.

    Attributes:
        kind: what is done.
        target: the name of the navigation target, category, receptacle or joint it is done to.
        argument: index of `target` in TARGETS, CATEGORIES, RECEPTACLES or JOINTS, by kind.
    """

    kind: Kind
    target: str
    argument: int

    def __str__(self) -> str:
        if self.kind == "place":
            inside = self.target == "fridge" or self.target.endswith("drawer")
            return f"place {'in' if inside else 'on'} the {self.target}"
        verb = {"go_to": "go to", "pick": "pick up", "open": "open", "close": "close"}[self.kind]
        return f"{verb} the {self.target}"


def _listed() -> tuple[Skill, ...]:
    fridge = JOINTS.index("fridge")
    drawers = range(fridge)
    return (
        *(Skill("go_to", name, i) for i, name in enumerate(TARGETS)),
        *(Skill("pick", name, i) for i, name in enumerate(CATEGORIES)),
        *(Skill("place", name, i) for i, name in enumerate(RECEPTACLES)),
        Skill("open", "fridge", fridge),
        Skill("close", "fridge", fridge),
        *(Skill("open", JOINTS[i], i) for i in drawers),
        *(Skill("close", JOINTS[i], i) for i in drawers),
    )


SKILLS: tuple[Skill, ...] = _listed()
SKILL_INDEX: dict[tuple[str, str], int] = {(skill.kind, skill.target): i for i, skill in enumerate(SKILLS)}
"""(kind, target) → action index, e.g. ("pick", "apple") → 33."""
REPERTOIRE = Repertoire(tuple(str(skill) for skill in SKILLS), steps=32)
