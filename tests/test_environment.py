"""The gymnasium environments: rewards, endings, vector against single, determinism, resuming."""

from __future__ import annotations

import itertools
import json
import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from toy_world import ToyWorld

import llarp_cli
from llarp_cli import registry
from llarp_cli.config import RewardOptions, TaskOptions
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.rearrangement.environment import ENVIRONMENT_ID, RearrangementEnv, RearrangementVectorEnv
from llarp_cli.rearrangement.skills import SKILL_INDEX
from llarp_cli.rearrangement.splits import EpisodeList, TrainingEpisodes, generate
from llarp_cli.rearrangement.vocabulary import TARGETS

WORLD = ToyWorld()
SIZE = 16


def training(seed=0):
    return TrainingEpisodes(WORLD, TaskOptions(), seed)


def one(family, **options):
    """A single environment on the first episode of a family, reset."""
    episode = next(generate(WORLD, "new_scenes", 1, 0, [family]))
    env = RearrangementEnv(WORLD, EpisodeList([episode]), image_size=SIZE, **options)
    env.reset()
    return env, episode


def play(env, *skills):
    """Use skills given as (kind, target); the list of (reward, terminated, truncated, info)."""
    return [env.step(SKILL_INDEX[skill])[1:] for skill in skills]


def test_check_env():
    env = RearrangementEnv(WORLD, training(), image_size=SIZE, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*not having a spec.*")
        check_env(env)


def test_gymnasium_makes_the_home_by_name():
    assert ENVIRONMENT_ID == "llarp/LanguageRearrangement-v0"
    module = "llarp_cli.rearrangement.environment"
    env = gymnasium.make(f"{module}:{ENVIRONMENT_ID}", families=("move",), image_size=64, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
    observation, _ = env.reset(seed=3)
    assert env.unwrapped.episode_now.family == "move"
    assert observation["rgb"].std() > 5, "there is something to see"
    assert (env.render() == observation["rgb"]).all()
    env.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [("home:home-17", "environment 'home' has nothing behind a colon"), ("gym", "environment 'gym' names none yet")],
)
def test_names_that_are_no_environment_are_refused(name, message, llarp):
    with pytest.raises(UsageProblem, match=message):
        llarp_cli.make_env(env=name)
    result = llarp("dataset", "generate", "train", "--env", name, "--count", "1", "--seed", "0", "--out", "a.jsonl")
    assert result.exit_code == 2 and message in result.stderr


def test_make_env_takes_evaluation_splits_by_name():
    env = llarp_cli.make_env(split="new_scenes", families=("fetch",), image_size=SIZE)
    env.reset()
    assert (env.episode_now.split, env.episode_now.family) == ("new_scenes", "fetch")
    with pytest.raises(UsageProblem, match="unknown split"):
        llarp_cli.make_env(split="new_scene")
    with pytest.raises(UsageProblem, match="unknown environment"):
        llarp_cli.make_env(env="nowhere")


@pytest.mark.parametrize("family", ["move", "fetch", "put_away", "two_objects"])
@pytest.mark.parametrize("navigation", [False, True])
def test_the_shortest_plan_earns_success_and_all_subgoals(family, navigation):
    env, _ = one(family, reward=RewardOptions(navigation=navigation))
    rewards = [env.step(action)[1] for action in env.plan()]
    assert sum(rewards) == pytest.approx(15)
    assert rewards[-1] > 10


def test_subgoals_of_a_move_pay_once_each_and_invalid_skills_cost():
    env, episode = one("move")
    thing, source, target = (episode.slots[slot] for slot in ("object", "source", "target"))
    steps = play(
        env,
        ("place", target),  # nothing to place
        ("go_to", source),
        ("pick", thing),
        ("place", source),
        ("pick", thing),
        ("go_to", target),
        ("open", "bottom drawer") if target != "right counter" else ("close", "bottom drawer"),
        ("place", target),
    )
    assert [reward for reward, *_ in steps] == pytest.approx([-0.05, 0, 2.5, 0, 0, 0, -0.05, 12.5])
    assert [info["invalid_skill"] for *_, info in steps] == [True, *[False] * 5, True, False]
    assert [terminated for _, terminated, _, _ in steps] == [False] * 7 + [True]
    expected = {"return": pytest.approx(14.9), "length": 8, "invalid_skills": 2, "success": True}
    assert steps[-1][-1]["episode"] == expected


def test_subgoals_count_in_any_order():
    env = RearrangementEnv(WORLD, EpisodeList(list(generate(WORLD, "new_scenes", 20, 0, ["two_objects"]))))
    actions = []
    while len(actions) != 8:  # without short cuts
        env.reset()
        actions = env.plan()
    rewards = [env.step(action)[1] for action in [*actions[4:], *actions[:4]]]
    assert rewards == pytest.approx([0, 1.25, 0, 1.25, 0, 1.25, 0, 11.25])


def test_success_only_pays_nothing_else():
    env, episode = one("move", reward=RewardOptions(subgoals=False))
    play(env, ("place", episode.slots["target"]))
    rewards = [env.step(action)[1] for action in env.plan()]
    assert rewards == [0] * (len(rewards) - 1) + [10]


def test_navigation_that_is_there_from_the_start_pays_nothing():
    env, episode = one("move", reward=RewardOptions(navigation=True))
    elsewhere = replace(episode.arrangement, robot=_before(episode, "source"))
    env.reset(options={"episode": replace(episode, arrangement=elsewhere)})
    steps = play(env, ("go_to", episode.slots["source"]), ("pick", episode.slots["object"]))
    assert [reward for reward, *_ in steps] == pytest.approx([0, 1.25])


def _before(episode, slot):
    stand = WORLD.scene(episode.arrangement.scene).stands[TARGETS.index(episode.slots[slot])]
    return tuple(stand.tolist())


def test_truncation_at_the_step_limit_and_success_at_it_terminates():
    env, episode = one("move")
    wait = ("go_to", episode.slots["source"])
    steps = play(env, *[wait] * 32)
    assert [truncated for _, _, truncated, _ in steps] == [False] * 31 + [True]
    assert not any(terminated for _, terminated, _, _ in steps)
    assert steps[-1][-1]["episode"]["length"] == 32
    env.reset(options={"episode": episode})
    actions = env.plan()
    steps = play(env, *[wait] * (32 - len(actions)))
    last = [env.step(action) for action in actions][-1]
    assert last[2:4] == (True, False)


def test_vector_equals_singles_step_for_step():
    rows, steps = 5, 80
    episodes = list(generate(WORLD, "new_scenes", 60, 3))
    vector = RearrangementVectorEnv(WORLD, EpisodeList(episodes), rows, image_size=SIZE, seed=7)
    observation, _ = vector.reset()
    singles = [RearrangementEnv(WORLD, EpisodeList(episodes), image_size=SIZE, seed=7) for _ in range(rows)]
    seen = [single.reset(options={"episode": episodes[row]})[0] for row, single in enumerate(singles)]
    upcoming = itertools.count(rows)
    random = np.random.default_rng(0)
    ended = {"terminated": 0, "truncated": 0}
    for _ in range(steps):
        for row in range(rows):
            assert (observation["rgb"][row] == seen[row]["rgb"]).all()
            assert observation["instruction"][row] == seen[row]["instruction"]
        labels = vector.expert_actions()
        assert labels.tolist() == [single.expert_action() for single in singles]
        # One row never succeeds, so that there are truncations too.
        helped = (random.random(rows) < 0.6) & (np.arange(rows) > 0)
        actions = np.where(helped, labels, random.integers(0, 70, rows))
        observation, rewards, terminated, truncated, infos = vector.step(actions)
        finished = {row: (episode, stats) for row, episode, stats in infos["finished"]}
        for row, single in enumerate(singles):
            seen[row], reward, done, cut, info = single.step(int(actions[row]))
            assert (rewards[row], terminated[row], truncated[row]) == (np.float32(reward), done, cut)
            assert infos["invalid_skill"][row] == info["invalid_skill"]
            assert infos["success"][row] == info["success"]
            assert (row in finished) == (done or cut)
            if cut:
                assert (infos["final_obs"][row]["rgb"] == seen[row]["rgb"]).all()
                assert infos["final_obs"][row]["instruction"] == seen[row]["instruction"]
            elif "final_obs" in infos:
                assert infos["final_obs"][row] is None
            if done or cut:
                assert finished[row][0] == single.episode_now
                assert finished[row][1] == info["episode"]
                for name, value in info["episode"].items():
                    assert infos["episode"][name][row] == value
                assert infos["_episode"][row]
                ended["terminated" if done else "truncated"] += 1
                seen[row], _ = single.reset(options={"episode": episodes[next(upcoming)]})
    assert min(ended.values()) >= 2


@pytest.mark.parametrize("name", ["toy", "home"])
def test_pictures_that_are_not_drawn_again_are_still_true(name):
    world = WORLD if name == "toy" else registry.load("environment", name)
    vector = RearrangementVectorEnv(world, TrainingEpisodes(world, TaskOptions(), 0), 6, image_size=SIZE, max_steps=8)
    before = vector.reset()[0]["rgb"].copy()
    random = np.random.default_rng(0)
    unchanged = []
    for _ in range(20):
        actions = np.where(random.random(6) < 0.5, vector.expert_actions(), random.integers(0, 70, 6))
        observation, *_, infos = vector.step(actions)
        shown = observation["rgb"].copy()
        assert (vector.simulator.render(SIZE) == shown).all()
        same = infos["unchanged"]
        assert (shown[same] == before[same]).all()
        assert not (same & ~infos["invalid_skill"]).any()
        unchanged.append(same.mean())
        before = shown
    assert 0.1 < np.mean(unchanged) < 0.9


def test_vector_declares_its_autoreset_and_spaces():
    vector = RearrangementVectorEnv(WORLD, training(), 3, image_size=SIZE)
    assert vector.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    observation, _ = vector.reset()
    assert vector.observation_space.contains(observation)
    assert vector.action_space.contains(vector.expert_actions())
    *_, infos = vector.step(vector.expert_actions())
    assert "final_obs" not in infos


def test_each_episode_is_played_once_and_exhausted_rows_fall_silent():
    episodes = list(generate(WORLD, "new_scenes", 7, 0))
    vector = RearrangementVectorEnv(WORLD, EpisodeList(episodes), 3, image_size=SIZE)
    observation, _ = vector.reset()
    played = []
    while vector.active.any():
        actions = vector.expert_actions()
        assert ((actions >= 0) == vector.active).all()
        before = vector.active.copy()
        observation, rewards, terminated, truncated, infos = vector.step(actions)
        played += [episode.id for _, episode, _ in infos["finished"]]
        assert not (rewards[~before].any() or terminated[~before].any() or truncated[~before].any())
        for row in np.flatnonzero(~vector.active):
            assert not observation["rgb"][row].any()
            assert observation["instruction"][row] == ""
    assert sorted(played) == sorted(episode.id for episode in episodes)


@pytest.mark.parametrize("action", [-1, 70])
def test_an_action_that_does_not_exist_is_refused(action):
    vector = RearrangementVectorEnv(WORLD, training(), 2, image_size=SIZE)
    vector.reset()
    with pytest.raises(ValueError, match="0 to 69"):
        vector.step(np.array([0, action]))


def test_more_rows_than_episodes():
    episodes = list(generate(WORLD, "new_scenes", 2, 0))
    vector = RearrangementVectorEnv(WORLD, EpisodeList(episodes), 4, image_size=SIZE)
    observation, _ = vector.reset()
    assert vector.active.tolist() == [True, True, False, False]
    assert not observation["rgb"][2:].any()
    assert vector.observation_space.contains(observation)
    while vector.active.any():
        _, _, terminated, *_ = vector.step(vector.expert_actions())
        assert not terminated[2:].any()


def trace(vector, random, steps, observation=None):
    """What happens over some steps of a policy that is half expert, half chance."""
    happened = []
    for _ in range(steps):
        actions = np.where(random.random(vector.num_envs) < 0.5, vector.expert_actions(), random.integers(0, 70))
        observation, rewards, terminated, truncated, infos = vector.step(actions)
        happened.append(
            (
                observation["rgb"].tobytes(),
                observation["instruction"],
                rewards.tolist(),
                terminated.tolist(),
                truncated.tolist(),
                [(row, episode.id, stats) for row, episode, stats in infos["finished"]],
                vector.expert_actions().tolist(),
            )
        )
    return happened


@pytest.mark.parametrize("source", ["training", "list"])
def test_a_saved_state_goes_on_exactly(source):
    def make():
        if source == "training":
            return RearrangementVectorEnv(WORLD, training(), 6, image_size=SIZE, seed=1)
        episodes = list(generate(WORLD, "new_scenes", 12, 0))
        return RearrangementVectorEnv(WORLD, EpisodeList(episodes), 6, image_size=SIZE, seed=1)

    vector = make()
    vector.reset()
    trace(vector, np.random.default_rng(1), 45)
    saved = json.loads(json.dumps(vector.state_dict()))
    if source == "list":
        assert None in saved["rows"], "the test wants a row that has run out of episodes"
    expected = trace(vector, np.random.default_rng(2), 40)
    resumed = make()
    resumed.load_state_dict(saved)
    assert resumed.state_dict() == saved
    assert trace(resumed, np.random.default_rng(2), 40) == expected


def test_a_state_of_other_rows_is_refused():
    vector = RearrangementVectorEnv(WORLD, training(), 2, image_size=SIZE)
    vector.reset()
    other = RearrangementVectorEnv(WORLD, training(), 3, image_size=SIZE)
    with pytest.raises(LlarpError, match="2, not 3"):
        other.load_state_dict(vector.state_dict())


def test_the_same_seed_gives_the_same_course_and_another_seed_other_spots():
    def course(seed):
        vector = RearrangementVectorEnv(WORLD, training(), 16, image_size=SIZE, seed=seed)
        vector.reset()
        happened = trace(vector, np.random.default_rng(0), 30)
        return happened, vector.simulator.positions.copy()

    (first, where), (second, again), (_, elsewhere) = course(0), course(0), course(1)
    assert first == second
    assert (where == again).all()
    assert (where != elsewhere).any()


def test_reset_with_a_seed_gives_the_same_episode():
    env = RearrangementEnv(WORLD, training(), image_size=SIZE)
    env.reset(seed=5)
    fifth = env.episode_now
    env.reset()
    assert env.episode_now != fifth
    env.reset(seed=5)
    assert env.episode_now == fifth


def test_upcoming_instructions_are_those_of_the_episodes_that_begin_next():
    environment = RearrangementVectorEnv(WORLD, training(), 4, image_size=SIZE)
    environment.reset()
    begun = list(environment.episodes_now)
    for _ in range(70):
        environment._source._ahead[11].result()  # made in a thread of its own
        coming = environment.upcoming(12)
        assert len(coming) == 12
        _, _, terminations, truncations, _ = environment.step(np.zeros(4, np.int64))
        new = [environment.episodes_now[row] for row in np.flatnonzero(terminations | truncations)]
        assert coming[: len(new)] == [episode.instruction for episode in new]
        begun += new
    assert len(begun) > 8
    listed = EpisodeList(begun)
    listed()
    assert listed.upcoming(3) == begun[1:4] and listed() is begun[1]
