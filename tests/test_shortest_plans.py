"""The planner with full knowledge against a search that tries every skill: its plans work, and none is shorter."""

from __future__ import annotations

import numpy as np
from goal_expressions import expressions, node
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_world import HANDLES, ToySimulator, toy_scene

from llarp_cli.rearrangement.execution import execute
from llarp_cli.rearrangement.facts import DRAWER_RECEPTACLES, Facts
from llarp_cli.rearrangement.goals import CompiledGoals, parse
from llarp_cli.rearrangement.planner import plan
from llarp_cli.rearrangement.skills import SKILLS
from llarp_cli.rearrangement.vocabulary import CATEGORIES, OPEN_JOINT, RECEPTACLES, TARGETS

KINDS = ("apple", "cup")
ROWS = 256
MAX_STATES = 1_200
STATE = ("robot", "positions", "drawers", "joints", "held")
DRAWERS = {joint: receptacle for receptacle, joint in DRAWER_RECEPTACLES}
OBJECTS = 3


class Home:
    """A toy home whose receptacles are but points, so that chance decides nothing; ROWS copies of it."""

    def __init__(self):
        self.simulator = ToySimulator(ROWS, OBJECTS)
        self.facts = Facts(self.simulator)

    def set_up(self, scene, categories, places, joints, held, pose):
        """Places are receptacles, or None for the floor beside one; the object `held` is in the hand."""
        simulator, known = self.simulator, toy_scene(scene)
        boxes = known.boxes / 1000
        boxes[:, 3] = np.radians(boxes[:, 3])
        boxes[:, 4] = boxes[:, 6] = 0.002
        self.stands = known.stands / 1000
        self.stands[:, 2] = np.radians(self.stands[:, 2])
        simulator.boxes[:], simulator._stands[:] = boxes, self.stands
        simulator.targets[:] = [*(np.array(p) / 1000 for p in HANDLES.values()), *boxes[:, :3]]
        simulator.categories[:] = -1
        simulator.categories[:, : len(categories)] = [CATEGORIES.index(name) for name in categories]
        simulator.joints[:] = joints
        simulator.drawers[:] = -1
        simulator.held[:] = -1
        for m, (receptacle, aside) in enumerate(places):
            x, y, z, _, _, half_y, _ = boxes[receptacle]
            simulator.positions[:, m] = x + aside, y - half_y + 0.04, z
            for joint, drawer in DRAWERS.items():
                if receptacle == drawer and not aside:
                    simulator.drawers[:, m] = joint
                    simulator.positions[:, m, 2] += joints[joint]
        simulator.robot[:] = self.stands[pose] if pose < len(TARGETS) else (0.3, 1.1, 4.5)
        if held is not None:
            simulator.grasp(np.arange(ROWS), np.full(ROWS, held))
        self.refresh()

    def refresh(self):
        self.facts.refresh(np.arange(ROWS), np.arange(ROWS))

    def states(self) -> np.ndarray:
        """All that skills change, a row per home."""
        return np.concatenate([getattr(self.simulator, name).reshape(ROWS, -1) for name in STATE], axis=1)

    def load(self, states) -> None:
        """Put the first homes into states."""
        column = 0
        for name in STATE:
            array = getattr(self.simulator, name)
            width = array[0].size
            array[: len(states)] = states[:, column : column + width].reshape(len(states), *array.shape[1:])
            column += width
        self.refresh()

    def after(self, states, actions) -> np.ndarray:
        """The states that skills lead to, pairwise; without those where one cannot be used."""
        found = [states[:0]]
        for first in range(0, len(states), ROWS):
            some, skills = states[first : first + ROWS], np.zeros(ROWS, np.int64)
            self.load(some)
            skills[: len(some)] = actions[first : first + ROWS]
            valid = execute(self.simulator, self.facts, skills, np.arange(ROWS) < len(some), np.zeros((ROWS, 2)))
            found.append(self.states()[valid])
        return np.concatenate(found).round(6)

    def reached(self, states, goals) -> bool:
        for first in range(0, len(states), ROWS):
            some = states[first : first + ROWS]
            self.load(some)
            if goals.evaluate(self.facts)[: len(some)].any():
                return True
        return False


def shortest(home, goals, categories, limit) -> int | None:
    """The least number of skills below `limit`, by trying everything; None if there is none, or too much to try."""
    useful = np.array([i for i, skill in enumerate(SKILLS) if skill.kind != "pick" or skill.target in categories])
    layer = home.states()[:1].round(6)
    seen = {layer[0].tobytes()}
    for depth in range(limit):
        if home.reached(layer, goals):
            return depth
        if len(seen) > MAX_STATES or depth == limit - 1:
            return None
        following = home.after(np.repeat(layer, len(useful), axis=0), np.tile(useful, len(layer)))
        new = {state.tobytes(): i for i, state in enumerate(following) if state.tobytes() not in seen}
        seen |= set(new)
        layer = following[list(new.values())]
    return None


HOME = Home()


@st.composite
def situations(draw):
    categories = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=OBJECTS).map(sorted))
    place = st.tuples(st.sampled_from(range(len(RECEPTACLES))), st.sampled_from((0.0, 0.0, 0.0, 0.3)))
    return {
        "scene": draw(st.sampled_from(("toy-0", "toy-3"))),
        "categories": categories,
        "places": [draw(place) for _ in categories],
        "joints": [draw(st.sampled_from((0.0, 0.0, opened, opened / 2))) for opened in OPEN_JOINT],
        "held": draw(st.sampled_from((None, None, 0))),
        "pose": draw(st.integers(0, len(TARGETS))),
    }


@st.composite
def placements(draw):
    """Goals that take some steps: objects of a kind, one or all, two at once, or off somewhere."""
    receptacle = st.sampled_from(RECEPTACLES)
    kinds = st.sampled_from(KINDS)
    others = st.sampled_from(("not_holding()", "opened_cab(left drawer)", "closed_fridge(fridge)", "robot_at(sofa)"))
    more = draw(st.lists(others, max_size=2, unique=True))
    on_x, also_x, on_y = (f"on_top({name}, {draw(receptacle)})" for name in "XXY")
    match draw(st.sampled_from(("one", "all", "two", "off"))):
        case "one":
            return node("AND", on_x, *more, quantifier="EXISTS", X=draw(kinds))
        case "all":
            return node("AND", on_x, *more, quantifier="FORALL", X=draw(kinds))
        case "two":
            return node("AND", on_x, on_y, *more, quantifier="EXISTS", X=draw(kinds), Y=draw(kinds))
    off = node("NOR", on_x, also_x, quantifier=draw(st.sampled_from(("EXISTS", "FORALL"))), X=draw(kinds))
    return node("AND", "not_holding()", off, *more)


@settings(max_examples=100)
@given(situations(), expressions(kinds=KINDS))
def test_no_plan_for_any_goal_is_shorter(situation, expression):
    check(situation, expression)


@settings(max_examples=30)
@given(situations(), placements())
def test_no_plan_for_goals_of_some_steps_is_shorter(situation, expression):
    check(situation, expression)


def check(situation, expression):
    HOME.set_up(**situation)
    goal, goals = parse(expression), CompiledGoals(ROWS)
    for row in range(ROWS):
        goals.set(row, goal, HOME.simulator.categories[row])
    state = HOME.states()[:1]
    found = plan(HOME.simulator, HOME.facts, 0, goal, HOME.stands)
    by_trying = shortest(HOME, goals, situation["categories"], 4 if found is None else len(found))
    assert by_trying is None, f"{by_trying} skills will do, planned {found}"
    if found is not None:
        for action in found:
            state = HOME.after(state, [action])
            assert len(state), SKILLS[action]
        assert HOME.reached(state, goals)
