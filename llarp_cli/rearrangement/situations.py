"""What an agent knows of a home, for those who cannot see pictures: what it was told by its own eyes and hands.

It is what the searching planner goes by: objects that are in view and in reach, where it has seen others, and what
became of its own skills. An object that is seen is named rightly, which pixels alone do not promise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llarp_cli.rearrangement.execution import ARGUMENT, CLOSE, FIRST_RECEPTACLE, GO_TO, KIND, OPEN, PICK
from llarp_cli.rearrangement.facts import Facts
from llarp_cli.rearrangement.searcher import SEEN_PIXELS
from llarp_cli.rearrangement.simulator import Simulator
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES, TARGETS

Seen = tuple[str, tuple[str, ...]]
"""A place and the categories seen there; () for nothing."""


@dataclass(frozen=True)
class Situation:
    """What one agent knows.

    Attributes:
        at: where it went last (a navigation target); "" at an episode's start.
        in_reach: receptacles on which it could put something now.
        here: what it sees in reach now, by place; "" names no place.
        elsewhere: what it saw at other places, as it was then, the latest last.
        opened: drawers and doors whose handle is in reach, and whether each is open.
        holding: the category in its hand; "" for none.
        done: its skills so far (action indices), and whether each could be used.
    """

    at: str = ""
    in_reach: tuple[str, ...] = ()
    here: tuple[Seen, ...] = ()
    elsewhere: tuple[Seen, ...] = ()
    opened: tuple[tuple[str, bool], ...] = ()
    holding: str = ""
    done: tuple[tuple[int, bool], ...] = ()


@dataclass
class _Memory:
    """Of one agent in its episode; receptacle → categories seen there last, in order of looking."""

    at: int = -1
    seen: dict[int, tuple[str, ...]] = field(default_factory=dict)
    done: list[tuple[int, bool]] = field(default_factory=list)


class Witness:
    """Follows the agents of N homes; call `look` after each `render` of the simulator, and `situation` at will.

    Args:
        simulator: the homes.
        image_size: side of the pictures in which they look, pixels.
    """

    def __init__(self, simulator: Simulator, image_size: int):
        self._simulator = simulator
        self._facts = Facts(simulator)
        self._pixels = max(1, round(SEEN_PIXELS * (image_size / 128) ** 2))
        self._memories = [_Memory() for _ in range(simulator.homes)]
        self._seen = np.zeros((simulator.homes, simulator.max_objects), bool)
        self._held, self._opened, self._closed = self._hands_and_doors()

    def look(self, rows: NDArray[np.intp], starts: NDArray[np.bool_], previous: NDArray[np.int64]) -> None:
        """Take in what rows see now, and what came of the skills that led here.

        Args:
            rows: those that play.
            starts: bool [N], rows in which an episode begins with this picture.
            previous: int64 [N], the last skills; those of starting rows are not looked at.
        """
        self._facts.refresh(rows, rows)
        held, opened, closed = self._hands_and_doors()
        self._seen = (self._simulator.visible() >= self._pixels) & self._facts.at_object
        for row in rows.tolist():
            if starts[row]:
                self._memories[row] = _Memory()
            else:
                self._remember(row, int(previous[row]), held[row] >= 0, opened[row], closed[row])
            self._look_around(row)
        self._held, self._opened, self._closed = held, opened, closed

    def situation(self, row: int) -> Situation:
        """What the agent of a row knows."""
        memory, facts = self._memories[row], self._facts
        here = {RECEPTACLES[r]: things for r, things in self._by_place(row).items() if r >= 0}
        loose = self._by_place(row).get(-1)
        held = int(facts.held[row])
        return Situation(
            at=TARGETS[memory.at] if memory.at >= 0 else "",
            in_reach=tuple(name for r, name in enumerate(RECEPTACLES) if facts.at_target[row, FIRST_RECEPTACLE + r]),
            here=(*here.items(), *([("", loose)] if loose else [])),
            elsewhere=tuple(
                (RECEPTACLES[r], things) for r, things in memory.seen.items() if RECEPTACLES[r] not in here
            ),
            opened=tuple(
                (name, bool(facts.opened[row, j])) for j, name in enumerate(JOINTS) if facts.at_target[row, j]
            ),
            holding=CATEGORIES[self._simulator.categories[row, held]] if held >= 0 else "",
            done=tuple(memory.done),
        )

    def _hands_and_doors(self) -> tuple[NDArray[np.int16], NDArray[np.bool_], NDArray[np.bool_]]:
        return self._facts.held.copy(), self._facts.opened.copy(), self._facts.closed.copy()

    def _remember(
        self, row: int, action: int, holds: bool, opened: NDArray[np.bool_], closed: NDArray[np.bool_]
    ) -> None:
        """Note the last skill, and by hand and eye whether it took place."""
        memory, kind, argument = self._memories[row], KIND[action], int(ARGUMENT[action])
        held = self._held[row] >= 0
        if kind == GO_TO:
            took_place = True
            memory.at = argument
        elif kind in (OPEN, CLOSE):
            took_place = bool((self._closed if kind == OPEN else self._opened)[row, argument])
            took_place &= bool((opened if kind == OPEN else closed)[argument])
        else:
            took_place = holds and not held if kind == PICK else held and not holds
        memory.done.append((action, bool(took_place)))

    def _look_around(self, row: int) -> None:
        memory, found = self._memories[row], self._by_place(row)
        receptacle = memory.at - FIRST_RECEPTACLE
        if receptacle >= 0:
            found = {receptacle: (), **found}
        for place, things in found.items():
            if place >= 0:
                memory.seen.pop(place, None)
                memory.seen[place] = things

    def _by_place(self, row: int) -> dict[int, tuple[str, ...]]:
        """Receptacle (-1 for none) → categories of the objects seen there now, in the arrangement's order."""
        found: dict[int, tuple[str, ...]] = {}
        for m in np.flatnonzero(self._seen[row]).tolist():
            if m != self._facts.held[row]:
                on = self._facts.on[row, m]
                place = int(on.argmax()) if on.any() else -1
                found[place] = (*found.get(place, ()), CATEGORIES[self._simulator.categories[row, m]])
        return found
