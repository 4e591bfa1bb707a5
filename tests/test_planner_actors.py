"""The two planners as actors of an evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from goal_expressions import node
from own_episodes import own_episode
from toy_world import ToyWorld

from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.actors import ExpertActor, PlannerActor, open_actor
from llarp_cli.evaluation.evaluate import evaluate
from llarp_cli.rearrangement.environment import RearrangementVectorEnv
from llarp_cli.rearrangement.skills import SKILLS
from llarp_cli.rearrangement.splits import SPLITS, EpisodeList, generate
from llarp_cli.rearrangement.tasks import FAMILIES, exists
from llarp_cli.runs import resolve_policy

WORLD = ToyWorld()
APPLE, CUP = "013_apple", "065-a_cups"
ON_THE_SOFA = exists([("X", "apple")], "AND", "on_top(X, sofa)", "not_holding()")
SPLIT_OF = {family: split for split in SPLITS for family in SPLITS[split].families}


@pytest.fixture(scope="module")
def episodes():
    return [
        replace(episode, id=f"{family}-{i}")
        for family in FAMILIES
        for i, episode in enumerate(generate(WORLD, SPLIT_OF[family], 6, 0, [family]))
    ]


def test_both_solve_all_families_and_the_planner_is_quicker(episodes):
    planned, searched = (evaluate(actor, WORLD, episodes) for actor in (PlannerActor(), ExpertActor()))
    assert {outcome.family for outcome in planned} == {*FAMILIES}
    assert all(outcome.success and outcome.invalid_skills == 0 for outcome in planned)
    assert np.mean([outcome.success for outcome in searched]) > 0.98
    assert sum(outcome.length for outcome in planned) < 0.9 * sum(outcome.length for outcome in searched)
    longer = [p.id for p, s in zip(planned, searched, strict=True) if s.success and p.length > s.length]
    assert len(longer) <= 2, "luck may favour the searcher now and then"


def test_the_planner_does_the_same_however_many_run_beside(episodes):
    assert evaluate(PlannerActor(), WORLD, episodes, num_envs=3) == evaluate(PlannerActor(), WORLD, episodes)


def told(episode, meddle=None, steps=40):
    """The skills that the planner uses in an episode, (invalid, success) of the last; `meddle(simulator, step)`."""
    environment = RearrangementVectorEnv(WORLD, EpisodeList([episode]), 1, image_size=16)
    observation, _ = environment.reset()
    actor, done, starts = PlannerActor(), [], np.ones(1, bool)
    actor.reset(environment)
    for step in range(steps):
        action = actor.act(observation, starts).actions
        if meddle is not None:
            meddle(environment.simulator, step)
        done.append((SKILLS[action[0]].kind, SKILLS[action[0]].target))
        observation, _, terminations, truncations, infos = environment.step(action)
        starts = terminations | truncations
        if starts[0]:
            break
    return done, bool(infos["invalid_skill"][0]), bool(terminations[0])


def test_it_plans_anew_when_a_pick_misses():
    def move_the_apple(simulator, step):
        if step == 0:  # the robot is on its way
            simulator.positions[0, 0] = simulator.boxes[0, 4, :3]

    done, _, success = told(own_episode(ON_THE_SOFA, [(APPLE, "TV stand")]), move_the_apple)
    assert success
    assert done[:2] == [("go_to", "TV stand"), ("pick", "apple")]
    assert done[2:] == [("go_to", "sink"), ("pick", "apple"), ("go_to", "sofa"), ("place", "sofa")]


def test_where_nothing_is_to_be_done_it_waits_one_step():
    done, invalid, success = told(own_episode(ON_THE_SOFA, [(APPLE, "sofa")]))
    assert (len(done), invalid, success) == (1, True, True)


def test_where_nothing_can_be_done_it_waits_for_the_end():
    goal = node("AND", "on_top(X, sofa)", "on_top(X, sink)", quantifier="EXISTS", X="apple")
    done, invalid, success = told(own_episode(goal, [(APPLE, "TV stand"), (CUP, "sink")]))
    assert (len(done), invalid, success) == (32, True, False)


def test_they_go_by_their_names():
    assert isinstance(open_actor("planner", seed=0, deterministic=False).actor, PlannerActor)
    assert isinstance(open_actor("searcher", seed=0, deterministic=False).actor, ExpertActor)
    assert [resolve_policy(name) for name in ("planner", "searcher", "random")] == ["planner", "searcher", "random"]
    with pytest.raises(UsageProblem) as problem:
        resolve_policy("sercher")
    assert all(name in problem.value.hint for name in ("`planner`", "`searcher`", "`random`"))
