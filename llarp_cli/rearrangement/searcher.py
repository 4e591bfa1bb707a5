"""The searching planner: it knows the sentence's slots and, of the home, only what the agent has seen.

It is the expert for imitation and the fair upper bound for a policy. Its habit is one plain, fixed way
of doing things, so that its labels never conflict: go to a receptacle, then pick or place there and
nowhere else, unless the wanted object is already in view and in reach; look for what is not from surface
to surface, round and round in the order of `vocabulary.SURFACES`. What stands out of reach counts as not
seen, and where something was seen is not remembered: a label should rest on what a policy can make out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.execution import ARGUMENT, FIRST_RECEPTACLE, GO_TO, KIND, PICK, PLACE
from llarp_cli.rearrangement.facts import DRAWER_RECEPTACLES, Facts
from llarp_cli.rearrangement.simulator import Simulator
from llarp_cli.rearrangement.skills import SKILL_INDEX
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES, SURFACES, TARGETS

SEEN_PIXELS = 12
"""An object in reach counts as seen from so many pixels on, at 128 × 128."""

MAX_WANTS = 3
NOWHERE = len(RECEPTACLES)
"""Stands for a receptacle that is not known; larger than any."""

GO_TO_TARGET = np.array([SKILL_INDEX["go_to", name] for name in TARGETS])
PICK_CATEGORY = np.array([SKILL_INDEX["pick", name] for name in CATEGORIES])
PLACE_RECEPTACLE = np.array([SKILL_INDEX["place", name] for name in RECEPTACLES])
OPEN_JOINT_SKILL = np.array([SKILL_INDEX["open", name] for name in JOINTS])

IS_SURFACE = np.array([name in SURFACES for name in RECEPTACLES])
JOINT_OF = np.full(NOWHERE + 1, -1)
for _receptacle, _joint in DRAWER_RECEPTACLES:
    JOINT_OF[_receptacle] = _joint


def wants(slots: dict[str, str]) -> list[tuple[str, str | None, str]]:
    """What the slots ask for, as (category, source or None, destination).

    Where only a source is given, the destination is the first surface that is not it.
    """
    found = []
    for suffix in ("", "1", "2", "3"):
        if f"object{suffix}" not in slots:
            continue
        source = slots.get(f"source{suffix}")
        target = slots.get(f"target{suffix}") or slots.get("target")
        found.append((slots[f"object{suffix}"], source, target or next(s for s in SURFACES if s != source)))
    return found


class Searcher:
    """The searching planner in N homes at once; call `start`, then `look` and `acted` in turn, and `label` at will.

    Args:
        simulator: the homes; of them it uses what is in view and what its own skills did.
        facts: kept up to date by the caller.
        image_size: side of the pictures in which it looks, pixels.
    """

    def __init__(self, simulator: Simulator, facts: Facts, image_size: int):
        homes, objects = simulator.homes, simulator.max_objects
        self._simulator, self._facts = simulator, facts
        self._pixels = max(1, round(SEEN_PIXELS * (image_size / 128) ** 2))
        self._category = np.full((homes, MAX_WANTS), -2, np.int16)
        self._source = np.full((homes, MAX_WANTS), -1, np.int16)
        self._target = np.full((homes, MAX_WANTS), -2, np.int16)
        # What it knows of each episode so far.
        self._known = np.full((homes, objects), -1, np.int16)  # receptacle on which an object was last seen
        self._in_view = np.zeros((homes, objects), bool)  # it sees the object now, in reach
        self._location = np.full(homes, -1)  # target it navigated to last
        self._visited = np.zeros((homes, NOWHERE), bool)
        self._tried = np.zeros((homes, MAX_WANTS, NOWHERE), bool)  # picking failed there
        self._taken = np.zeros((homes, MAX_WANTS), bool)  # it has picked one from the stated source

    def start(self, home: int, episode: Episode) -> None:
        """Begin an episode in one home, knowing nothing but the sentence's slots."""
        self._category[home], self._source[home], self._target[home] = -2, -1, -2
        for i, (category, source, target) in enumerate(wants(episode.slots)):
            self._category[home, i] = CATEGORIES.index(category)
            self._source[home, i] = RECEPTACLES.index(source) if source else -1
            self._target[home, i] = RECEPTACLES.index(target)
        self._known[home], self._location[home] = -1, -1
        self._visited[home], self._tried[home], self._taken[home] = False, False, False

    def look(self, rows: NDArray[np.intp] | None = None) -> None:
        """Take in the pictures of the last `render` of rows (all where left out)."""
        seen = (self._simulator.visible() >= self._pixels) & self._facts.at_object
        if rows is None:
            self._in_view = seen
        else:
            self._in_view[rows] = seen[rows]
            seen[np.setdiff1d(np.arange(len(seen)), rows)] = False
        n, m = np.nonzero(seen)
        on = self._facts.on[n, m]
        lying = on.any(axis=1)
        self._known[n[lying], m[lying]] = on[lying].argmax(axis=1)

    def acted(
        self,
        actions: NDArray[np.int64],
        valid: NDArray[np.bool_],
        held_before: NDArray[np.int16],
        homes: NDArray[np.bool_],
    ) -> None:
        """Take in what the last skills did.

        Args:
            actions: [N], the skills.
            valid: bool [N], whether they took place.
            held_before: [N], what was held before them.
            homes: bool [N], where one was used.
        """
        kind, argument = KIND[actions], ARGUMENT[actions]
        rows = np.flatnonzero(valid & (kind == GO_TO))
        self._location[rows] = argument[rows]
        arrived = rows[argument[rows] >= FIRST_RECEPTACLE]
        self._visited[arrived, argument[arrived] - FIRST_RECEPTACLE] = True

        here = self._location - FIRST_RECEPTACLE
        match = self._category == argument[:, None]
        rows = np.flatnonzero(valid & (kind == PICK))
        self._known[rows, self._facts.held[rows]] = -1
        self._taken[rows] |= match[rows] & (self._source[rows] == here[rows, None])
        self._tried[rows] &= ~match[rows, :, None]

        rows = np.flatnonzero(valid & (kind == PLACE))
        self._known[rows, held_before[rows]] = argument[rows]
        self._visited[rows] = False

        rows = np.flatnonzero(homes & ~valid & (kind == PICK) & (held_before < 0) & (here >= 0))
        self._tried[rows, :, here[rows]] |= match[rows]
        # Having failed everywhere, begin again.
        everywhere = (self._tried[rows] | ~self._worth_trying(rows)).all(axis=2)
        self._tried[rows] &= ~everywhere[:, :, None]

    def _worth_trying(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Surfaces on which each wanted object may be: all but its destination; bool [n, W, 11]."""
        return IS_SURFACE & (np.arange(NOWHERE) != self._target[rows, :, None])

    def label(self) -> NDArray[np.int64]:
        """What it would do now, in every home: int64 [N], action indices."""
        facts, categories, known = self._facts, self._simulator.categories, self._known
        rows = np.arange(len(known))
        here = self._location - FIRST_RECEPTACLE

        is_wanted = categories[:, None, :] == self._category[:, :, None]
        delivered = (is_wanted & (known[:, None, :] == self._target[:, :, None])).any(axis=2) | (self._category < 0)
        failed = np.take_along_axis(self._tried, np.maximum(known, 0)[:, None, :].astype(np.intp), axis=2)
        hopeful = is_wanted & (known >= 0)[:, None, :] & ~failed
        joint = JOINT_OF[known]
        shut_in = (joint >= 0) & np.take_along_axis(facts.closed, np.maximum(joint, 0), axis=1)
        at_hand = (self._in_view | (known == here[:, None])) & ~shut_in
        is_here = (hopeful & at_hand[:, None, :]).any(axis=2)
        # Of the wants not yet met, the first whose object is right here, else the first.
        want = np.where(delivered, 2, np.where(is_here, 0, 1)).argmin(axis=1)

        hopeful, tried = hopeful[rows, want], self._tried[rows, want]
        # Put down where objects do not belong, in a drawer say: the search would not come by.
        astray = np.where(hopeful & ~IS_SURFACE[known], known, NOWHERE).min(axis=1)
        target, source = self._target[rows, want], self._source[rows, want]
        stated = (source >= 0) & ~self._taken[rows, want] & ~tried[rows, source]
        possible = IS_SURFACE & (np.arange(NOWHERE) != target[:, None])
        # Round and round: from each surface to the next possible one, wherever the search began.
        onward = np.where(possible, (np.arange(NOWHERE) - here[:, None] - 1) % NOWHERE, NOWHERE).argmin(axis=1)
        onward = np.where(here >= 0, onward, possible.argmax(axis=1))
        # Seen everywhere and found nowhere: something hides it, so it tries where it stands.
        hidden = ~(possible & ~self._visited).any(axis=1)
        try_here = hidden & (here >= 0) & possible[rows, here] & ~tried[rows, here]
        place = np.select(
            [is_here[rows, want], astray < NOWHERE, stated, try_here], [here, astray, source, here], onward
        )
        fetch = np.where(
            place == here, PICK_CATEGORY[self._category[rows, want]], GO_TO_TARGET[FIRST_RECEPTACLE + place]
        )
        joint = JOINT_OF[place]
        shut = (joint >= 0) & facts.closed[rows, joint] & ~is_here[rows, want]
        open_first = np.where(self._location == joint, OPEN_JOINT_SKILL[joint], GO_TO_TARGET[joint])
        fetch = np.where(shut, open_first, fetch)

        fits = (self._category == categories[rows, facts.held][:, None]) & ~delivered
        destination = self._target[rows, fits.argmax(axis=1)]
        bring = np.where(
            destination == here, PLACE_RECEPTACLE[destination], GO_TO_TARGET[FIRST_RECEPTACLE + destination]
        )
        first_surface = SKILL_INDEX["go_to", SURFACES[0]]
        put_down = np.where(here >= 0, PLACE_RECEPTACLE[np.maximum(here, 0)], first_surface)
        return np.where(facts.held < 0, fetch, np.where(fits.any(axis=1), bring, put_down))
