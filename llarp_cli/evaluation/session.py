"""A home explored by hand, with a policy at one's side: what `llarp play` talks to.

Whatever is done is an event, a skill or a sentence. Chance depends on the seed and on where in the session it is
met, so that playing the events again gives the same home: so the last one is taken back, and so films are made.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llarp_cli.config import RewardOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.advice import IMAGE_SIZE, Advice, Adviser
from llarp_cli.evaluation.reasons import goal_text, held_name, standing_at, why_not
from llarp_cli.evaluation.rollout import REPEATED, situation
from llarp_cli.evaluation.sentences import (
    SO_ALREADY,
    checked,
    goal_note,
    knows_goal,
    own_episode,
    with_sentence,
    without_goal,
)
from llarp_cli.evaluation.video import Film
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.execution import check
from llarp_cli.rearrangement.goals import CompiledGoals, parse
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.skills import SKILLS
from llarp_cli.rearrangement.vocabulary import CATEGORY_OF, JOINTS, RECEPTACLES

MAX_SKILLS = 500
"""Skills in a session; a film of them still fits the memory."""


@dataclass(frozen=True)
class Used:
    """A skill that was used.

    Attributes:
        number: from 1 on.
        action: index of the skill.
        probability: that the policy gave it, where the policy chose it; None by hand.
        reason: why it could not be used, "" where it was.
        reward: for it, by the episode's goal; None where another goal is judged, or none.
        reached: the goal is true now and was not before.
    """

    number: int
    action: int
    probability: float | None
    reason: str
    reward: float | None
    reached: bool

    def __str__(self) -> str:
        return str(SKILLS[self.action])


@dataclass(frozen=True)
class Asked:
    """A sentence from which the policy's trial begins.

    Attributes:
        episode: the session's, told in these words, with the goal that is judged.
        note: what success means.
    """

    episode: Episode
    note: str


@dataclass(frozen=True)
class Thing:
    """An object.

    Attributes:
        index: its semantic id: its place in the arrangement.
        category, asset: what it is.
        pixels: of it in what the agent sees, at the policy's picture size.
        place: the receptacle it is on or in, "the hand", or "" for neither.
        in_reach: near enough and ahead.
    """

    index: int
    category: str
    asset: str
    pixels: int
    place: str
    in_reach: bool


class Session:
    """One home, and perhaps a policy that tries sentences in it.

    Args:
        world: where.
        episode: what stands where, and what is asked, if anything.
        adviser: the policy.
        reward: what is paid.
        seed: of where objects are put down, and of what the policy draws.
        deterministic: the policy takes the likeliest skill in place of drawing one.

    Attributes:
        world, adviser, seed: as given.
        episode: as given; another one after `enter`.
        home: the scene's name.
        instruction: what is to be done; "" for nothing.
        note: what success in it means.
        judged: a goal is known.
        reached: it is true.
        used: the skills so far.
        trial: states in which the policy has been asked about the present sentence.
        ended: how its trial ended: "success", "limit", "repeats", "stuck" or "no goal"; "" where it goes on.
        advice: what it would do now; None where it is not asked.
    """

    def __init__(
        self,
        world: World,
        episode: Episode,
        *,
        adviser: Adviser | None = None,
        reward: RewardOptions | None = None,
        seed: int = 0,
        deterministic: bool = False,
    ):
        self.world, self.adviser = world, adviser
        self.seed = seed
        self._reward, self._deterministic = reward or RewardOptions(), deterministic
        self.image_size = IMAGE_SIZE if adviser is None else adviser.image_size
        self._play = Play(world, 1, self.image_size, self._reward, MAX_SKILLS, seed)
        self.enter(episode)

    @property
    def home(self) -> str:
        return self.episode.arrangement.scene

    @property
    def instruction(self) -> str:
        return self._asked.episode.instruction

    @property
    def note(self) -> str:
        return self._asked.note

    @property
    def judged(self) -> bool:
        return knows_goal(self._asked.episode)

    @property
    def goal(self) -> str:
        """The goal in words; "" where none is known."""
        return goal_text(parse(self._asked.episode.goal)) if self.judged else ""

    @property
    def reached(self) -> bool:
        return bool(self._play.goals.evaluate(self._play.facts)[0])

    @property
    def events(self) -> tuple[Used | Asked, ...]:
        """The skills and sentences since the start, in the order in which they came."""
        return tuple(self._events)

    @property
    def holding(self) -> str:
        """The category of what is held; "" for nothing."""
        return held_name(self._play.simulator, 0)

    @property
    def standing_at(self) -> list[str]:
        """The receptacles in reach."""
        return standing_at(self._play.facts, 0)

    @property
    def opened(self) -> list[str]:
        """The drawers and doors that are not closed."""
        return [name for name, closed in zip(JOINTS, self._play.facts.closed[0], strict=True) if not closed]

    def enter(self, episode: Episode) -> None:
        """Begin anew, in another home or the same.

        Raises:
            UsageProblem: its scene is unknown, or it has too many objects.
        """
        self._play.begin({0: episode})
        self.episode = episode
        self._events: list[Used | Asked] = []
        self._start()

    def visit(self, home: str, seed: int) -> None:
        """Go to another home, in which nothing is asked yet.

        Args:
            seed: of what stands where.

        Raises:
            UsageProblem: there is no such home.
            LlarpError: it has no room for the objects.
        """
        self.enter(own_episode(self.world, "", home, seed)[0])

    def reset(self) -> None:
        """Begin the same again."""
        self.enter(self.episode)

    def undo(self) -> bool:
        """Take back the last skill or sentence; false where there is none."""
        if not self._events:
            return False
        events = self._events[:-1]
        self.reset()
        for event in events:
            if isinstance(event, Asked):
                self._tell(event)
            else:
                self._use(event.action, event.probability)
        return True

    def say(self, text: str) -> str:
        """Ask for something, from the present state on.

        Returns:
            What success means.

        Raises:
            UsageProblem: the sentence cannot be used.
        """
        asked, note = with_sentence(self.episode, checked(text, "the sentence"))
        goal = CompiledGoals(1)
        goal.set(0, parse(asked.goal), self._play.simulator.categories[0])
        if goal.evaluate(self._play.facts)[0]:
            asked, note = without_goal(asked), SO_ALREADY
        try:
            self._tell(Asked(asked, note))
        except UsageProblem:
            self.undo()
            raise
        return note

    def use(self, action: int) -> Used:
        """Use a skill by hand.

        Raises:
            UsageProblem: the session is as long as it may be.
        """
        return self._use(action, None)

    def ask(self) -> Advice:
        """What the policy would do now.

        Raises:
            UsageProblem: there is no policy, nothing was asked, or its trial is over.
        """
        if self.adviser is None:
            raise UsageProblem("there is no policy to do it", "begin with llarp play --policy POLICY")
        if not self.instruction:
            raise UsageProblem("nothing was asked", 'say what is to be done: say "bring the apple to the sofa"')
        if self.advice is None:
            raise UsageProblem(f"its trial is over: {self.ending()}", "say something else, undo or reset")
        return self.advice

    def step(self) -> Used:
        """Let the policy use the skill that it chooses.

        Raises:
            UsageProblem: as `ask`.
        """
        advice = self.ask()
        action = self._chosen(advice)
        return self._use(action, float(advice.probabilities[action]))

    def ending(self) -> str:
        """How the policy's trial ended, in words; "" where it goes on."""
        return {
            "": "",
            "success": "the goal is reached",
            "limit": f"its {self.trial} steps are used up",
            "repeats": "it repeats itself",
            "stuck": "it knows nothing to do",
            "no goal": "it does not read, and no goal is known",
        }[self.ended]

    def why_not(self, action: int) -> str:
        """Why a skill cannot be used now; "" where it can."""
        return why_not(self._play.simulator, self._play.facts, 0, action)

    def possible(self) -> NDArray[np.bool_]:
        """Which skills can be used now: bool [70]."""
        simulator, facts = self._play.simulator, self._play.facts
        return np.array([check(simulator, facts, np.array([action]))[0][0] for action in range(len(SKILLS))])

    def things(self) -> list[Thing]:
        """All objects, those that take up most of the picture first."""
        facts = self._play.facts
        found = []
        for m, placed in enumerate(self.episode.arrangement.objects):
            places = [name for name, on in zip(RECEPTACLES, facts.on[0, m], strict=True) if on]
            place = "the hand" if facts.held[0] == m else " and ".join(places)
            near = bool(facts.at_object[0, m] and facts.held[0] != m)
            found.append(Thing(m, CATEGORY_OF[placed.asset], placed.asset, int(self._visible[m]), place, near))
        return sorted(found, key=lambda thing: (-thing.pixels, thing.index))

    def view(self, size: int) -> NDArray[np.uint8]:
        """What the agent sees, uint8 [size, size, 3]."""
        picture = self._play.simulator.render(size)[0].copy()
        self._play.drawn_otherwise()  # what is seen is counted in the picture that was drawn last
        return picture

    def map(self, size: int) -> NDArray[np.uint8]:
        """The home from above, uint8 [size, size, 3]."""
        return self._play.simulator.map(0, size)

    def picture(self, camera: str, size: int) -> NDArray[np.uint8]:
        """A picture for people, as films have it, uint8 [size, size, 3]; see `Simulator.picture` for the cameras."""
        return self._play.simulator.picture(0, size, camera)

    def film(self) -> Film:
        """Everything so far, as films of rollouts show it."""
        again = Session(self.world, self.episode, reward=self._reward, seed=self.seed)
        name = "" if self.adviser is None else self.adviser.name
        film = Film(again._play.simulator, self.episode.instruction or self.home, None, name)
        for event in self._events:
            if isinstance(event, Asked):
                again._tell(event)
                film.ask(event.episode.instruction)
                continue
            used = again._use(event.action, event.probability)
            film.add(str(used), used.probability, not used.reason, used.reward)
            if used.reached:
                film.end(True)
        again.close()
        return film

    def close(self) -> None:
        """Give back what the simulator holds."""
        self._play.simulator.close()

    def _start(self) -> None:
        """The state of the episode's start."""
        self._asked = Asked(self.episode, goal_note(self.episode))
        self.used: list[Used] = []
        self._ask_afresh()

    def _tell(self, asked: Asked) -> None:
        self._events.append(asked)
        self._asked = asked
        self._play.episodes[0] = asked.episode
        self._play.goals.set(0, parse(asked.episode.goal), self._play.simulator.categories[0])
        self._play.searcher.start(0, asked.episode)
        self._ask_afresh()

    def _ask_afresh(self) -> None:
        self.trial, self.ended = 0, ""
        self._met: Counter[tuple[bytes, int]] = Counter()
        if self.adviser is not None:
            self.adviser.begin(self.instruction)
        self._look(-1)

    def _use(self, action: int, probability: float | None) -> Used:
        play = self._play
        if len(self.used) == MAX_SKILLS:
            raise UsageProblem(f"a session has at most {MAX_SKILLS} skills", "undo, reset or go to another home")
        reason, was_reached = self.why_not(action), self.reached
        before = situation(play.simulator)
        outcome = play.act(np.array([action], np.int64))
        over = was_reached or self.ended == "success"  # a goal pays once, and ends the episode
        paid = self._asked.episode is self.episode and self.judged and not over
        used = Used(
            number=len(self.used) + 1,
            action=action,
            probability=probability,
            reason=reason,
            reward=float(outcome.rewards[0]) if paid else None,
            reached=bool(outcome.success[0]) and not was_reached,
        )
        self._events.append(used)
        self.used.append(used)
        self._met[before, action] += 1
        if used.reached:
            self.ended = self.ended or "success"
        elif self._met[before, action] == REPEATED and not self.judged and probability is not None:
            self.ended = self.ended or "repeats"
        self._look(action)
        return used

    def _look(self, previous: int) -> None:
        """Draw what the agent sees, and ask the policy what it makes of it."""
        pictures = self._play.look()
        self._visible = self._play.simulator.visible()[0].copy()
        self.advice: Advice | None = None
        adviser = self.adviser
        if adviser is None or not self.instruction or self.ended:
            return
        if not adviser.reads and not self.judged:
            self.ended = "no goal"
        elif self.trial == adviser.steps:
            self.ended = "limit"
        else:
            self.advice = adviser.advise(self._play, pictures, previous)
            self.trial += 1
            if self.advice is None:
                self.ended = "stuck"

    def _chosen(self, advice: Advice) -> int:
        """The likeliest skill, or a draw that depends on seed, home, sentence and step alone."""
        if self._deterministic:
            return int(advice.probabilities.argmax())
        text = f"{self.seed}/{self.episode.id}/{self.instruction}/{self.trial}"
        key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
        clocks = np.random.Generator(np.random.Philox(key=key)).exponential(size=len(SKILLS))
        # The first of independent exponential clocks with these rates to ring is a draw from them.
        with np.errstate(divide="ignore"):
            return int((clocks / advice.probabilities).argmin())
