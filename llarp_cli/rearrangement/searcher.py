"""The searching planner: it knows family and slots of the sentence and, of the home, only what the agent has seen.

It is the expert for imitation and the fair upper bound for a policy. Its habit is one plain, fixed way
of doing things, so that its labels never conflict: go to a receptacle, then pick or place there and
nowhere else, unless the wanted object is already in view and in reach; look for what is not from surface
to surface, round and round in the order of `vocabulary.SURFACES`. What stands out of reach counts as not
seen, and where something was seen is not remembered: a label should rest on what a policy can make out.
The fridge is opened and closed from before its handle, and a condition on it is looked up there first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.execution import ARGUMENT, FIRST_RECEPTACLE, GO_TO, KIND, PICK, PLACE
from llarp_cli.rearrangement.facts import DRAWER_RECEPTACLES, Facts
from llarp_cli.rearrangement.orders import MAX_WANTS, orders
from llarp_cli.rearrangement.simulator import Simulator
from llarp_cli.rearrangement.skills import SKILL_INDEX
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES, SURFACES, TARGETS

SEEN_PIXELS = 12
"""An object in reach counts as seen from so many pixels on, at 128 × 128."""

NOWHERE = len(RECEPTACLES)
"""Stands for a receptacle that is not known; larger than any."""

GO_TO_TARGET = np.array([SKILL_INDEX["go_to", name] for name in TARGETS])
PICK_CATEGORY = np.array([SKILL_INDEX["pick", name] for name in CATEGORIES])
PLACE_RECEPTACLE = np.array([SKILL_INDEX["place", name] for name in RECEPTACLES])
OPEN_JOINT_SKILL = np.array([SKILL_INDEX["open", name] for name in JOINTS])
OPEN_FRIDGE, CLOSE_FRIDGE = SKILL_INDEX["open", "fridge"], SKILL_INDEX["close", "fridge"]

FRIDGE = JOINTS.index("fridge")
"""The fridge's joint, and the navigation target that its handle is."""
BEFORE_THE_FRIDGE = (FRIDGE, TARGETS.index("fridge"))

ASIDE = RECEPTACLES.index("chair")
"""Where it puts an object that is in the way."""

IS_SURFACE = np.array([name in SURFACES for name in RECEPTACLES])
JOINT_OF = np.full(NOWHERE + 1, -1)
for _receptacle, _joint in DRAWER_RECEPTACLES:
    JOINT_OF[_receptacle] = _joint


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
        self._every, self._bring, self._conditional = (np.zeros(homes, bool) for _ in range(3))
        self._go_to, self._door = np.full(homes, -1), np.full(homes, -1)
        # What it knows of each episode so far.
        self._known = np.full((homes, objects), -1, np.int16)  # receptacle on which an object was last seen
        self._in_view = np.zeros((homes, objects), bool)  # it sees the object now, in reach
        self._location = np.full(homes, -1)  # target it navigated to last
        self._visited = np.zeros((homes, NOWHERE), bool)
        self._tried = np.zeros((homes, MAX_WANTS, NOWHERE), bool)  # picking failed there
        self._taken = np.zeros((homes, MAX_WANTS), bool)  # it has picked one from the stated source
        self._go_back = np.full(homes, -1)  # receptacle where a pick took what was delivered already

    def start(self, home: int, episode: Episode) -> None:
        """Begin an episode in one home, knowing nothing but the sentence's family and slots."""
        asked = orders(episode.family, episode.slots)
        self._category[home], self._source[home], self._target[home] = -2, -1, -2
        for i, want in enumerate(asked.wants):
            self._category[home, i], self._source[home, i], self._target[home, i] = want
        self._every[home], self._bring[home] = asked.every, asked.bring
        self._go_to[home], self._door[home], self._conditional[home] = asked.go_to, asked.door, asked.conditional
        self._known[home], self._location[home] = -1, -1
        self._visited[home], self._tried[home], self._taken[home] = False, False, False
        self._go_back[home] = -1

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
        self._learn_condition(rows[np.isin(argument[rows], BEFORE_THE_FRIDGE)])
        self._go_back[rows[argument[rows] - FIRST_RECEPTACLE == self._go_back[rows]]] = -1

        here = self._location - FIRST_RECEPTACLE
        match = self._category == argument[:, None]
        rows = np.flatnonzero(valid & (kind == PICK))
        self._notice_mistakes(rows, match, here)
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

    def _learn_condition(self, rows: NDArray[np.intp]) -> None:
        """See whether the fridge is open, before which the robot stands in these rows."""
        rows = rows[self._conditional[rows] & (self._door[rows] < 0)]
        opened = self._facts.opened[rows, FRIDGE]
        self._door[rows] = opened
        self._category[rows, np.where(opened, 1, 0)] = -2

    def _notice_mistakes(self, rows: NDArray[np.intp], match: NDArray[np.bool_], here: NDArray[np.intp]) -> None:
        """Where every object is meant, see whether the picks in these rows took what was delivered already.

        A pick takes whichever is first of those in reach, so it would again. What it took is therefore put
        aside, and the others at this place come first.

        Args:
            match: bool [N, W], the wants whose category is being picked.
            here: [N], the receptacle before which the robot stands, negative for none.
        """
        lay_on = self._known[rows, self._facts.held[rows]]
        delivered = match[rows] & (lay_on[:, None] == self._target[rows])
        mistaken = self._every[rows] & (here[rows] >= 0) & delivered.any(axis=1)
        self._go_back[rows] = np.where(mistaken, here[rows], -1)
        rows, want = rows[mistaken], delivered[mistaken].argmax(axis=1)
        elsewhere = here[rows] != self._target[rows, want]
        rows, want = rows[elsewhere], want[elsewhere]
        self._source[rows, want], self._taken[rows, want] = here[rows], True

    def _worth_trying(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Surfaces on which each wanted object may be: all but its destination; bool [n, W, 11]."""
        return IS_SURFACE & (np.arange(NOWHERE) != self._target[rows, :, None])

    def label(self) -> NDArray[np.int64]:
        """What it would do now, in every home: int64 [N], action indices."""
        before_handle = self._location == FRIDGE
        opened = self._facts.opened[:, FRIDGE]
        turn = np.where(before_handle, np.where(opened, CLOSE_FRIDGE, OPEN_FRIDGE), GO_TO_TARGET[FRIDGE])
        return np.select(
            [
                self._conditional & (self._door < 0),
                (self._door >= 0) & (self._door != opened),
                self._go_to >= 0,
                self._bring & (self._facts.held >= 0),
            ],
            [GO_TO_TARGET[FRIDGE], turn, GO_TO_TARGET[self._go_to], self._bring_held()],
            self._look_for_next(),
        )

    def _bring_held(self) -> NDArray[np.int64]:
        """What to do with what is in the hand."""
        here = self._location - FIRST_RECEPTACLE
        held = self._simulator.categories[np.arange(len(here)), self._facts.held]
        fits = (self._category == held[:, None]) & ~self._delivered()
        destination = np.take_along_axis(self._target, fits.argmax(axis=1)[:, None], axis=1)[:, 0]
        destination = np.where(self._go_back >= 0, ASIDE, destination)
        bring = np.where(
            destination == here, PLACE_RECEPTACLE[destination], GO_TO_TARGET[FIRST_RECEPTACLE + destination]
        )
        first_surface = SKILL_INDEX["go_to", SURFACES[0]]
        put_down = np.where(here >= 0, PLACE_RECEPTACLE[np.maximum(here, 0)], first_surface)
        return np.where(fits.any(axis=1), bring, put_down)

    def _delivered(self) -> NDArray[np.bool_]:
        """Which wants are met, as far as it knows; bool [N, W]. One that means every object never is."""
        is_wanted = self._simulator.categories[:, None, :] == self._category[:, :, None]
        there = (is_wanted & (self._known[:, None, :] == self._target[:, :, None])).any(axis=2)
        return (there & ~self._every[:, None]) | (self._category < 0)

    def _look_for_next(self) -> NDArray[np.int64]:
        """How to come by the next object, the hand being empty."""
        facts, categories, known = self._facts, self._simulator.categories, self._known
        rows = np.arange(len(known))
        here = self._location - FIRST_RECEPTACLE
        every = self._every[:, None, None]

        is_wanted = categories[:, None, :] == self._category[:, :, None]
        failed = np.take_along_axis(self._tried, np.maximum(known, 0)[:, None, :].astype(np.intp), axis=2)
        hopeful = is_wanted & (known >= 0)[:, None, :] & ~failed
        hopeful &= ~(every & (known[:, None, :] == self._target[:, :, None]))
        joint = JOINT_OF[known]
        shut_in = (joint >= 0) & np.take_along_axis(facts.closed, np.maximum(joint, 0), axis=1)
        at_hand = (self._in_view | (known == here[:, None])) & ~shut_in
        is_here = (hopeful & at_hand[:, None, :]).any(axis=2)
        # Of the wants not yet met, the first whose object is right here, else the first.
        want = np.where(self._delivered(), 2, np.where(is_here, 0, 1)).argmin(axis=1)

        hopeful, tried = hopeful[rows, want], self._tried[rows, want]
        # Put down where objects do not belong, in a drawer say: the search would not come by.
        astray = np.where(hopeful & ~IS_SURFACE[known], known, NOWHERE).min(axis=1)
        target, source = self._target[rows, want], self._source[rows, want]
        stated = (source >= 0) & ~self._taken[rows, want] & ~tried[rows, source]
        # Where every object is meant, it comes back to the stated source after each.
        stated |= (source >= 0) & self._every & self._taken[rows, want] & ~self._visited[rows, source]
        possible = IS_SURFACE & (np.arange(NOWHERE) != target[:, None])
        # Round and round: from each surface to the next possible one, wherever the search began.
        onward = np.where(possible, (np.arange(NOWHERE) - here[:, None] - 1) % NOWHERE, NOWHERE).argmin(axis=1)
        onward = np.where(here >= 0, onward, possible.argmax(axis=1))
        # Seen everywhere and found nowhere: something hides it, so it tries where it stands.
        hidden = ~(possible & ~self._visited).any(axis=1)
        try_here = hidden & (here >= 0) & possible[rows, here] & ~tried[rows, here]
        back, take = self._go_back >= 0, is_here[rows, want]
        place = np.select(
            [~self._bring, back, take, stated & self._every, astray < NOWHERE, stated, try_here],
            [onward, self._go_back, here, source, astray, source, here],
            onward,
        )
        fetch = np.where(
            self._bring & (place == here),
            PICK_CATEGORY[self._category[rows, want]],
            GO_TO_TARGET[FIRST_RECEPTACLE + place],
        )
        joint = JOINT_OF[place]
        shut = (joint >= 0) & facts.closed[rows, joint] & ~take
        open_first = np.where(self._location == joint, OPEN_JOINT_SKILL[joint], GO_TO_TARGET[joint])
        return np.where(shut, open_first, fetch)
