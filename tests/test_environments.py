"""Gymnasium environments of others: what is asked of them, rows of them, and training, evaluation and export in one."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import av
import gymnasium
import numpy as np
import pytest
from corridor import Corridor, describe

from llarp_cli import load_policy, make_env, registry
from llarp_cli.environments.arbitrary import derived
from llarp_cli.environments.checking import check_environment
from llarp_cli.environments.contract import Seeds
from llarp_cli.environments.environment import open_environment
from llarp_cli.environments.episodes import DrawnEpisodes
from llarp_cli.environments.rows import GymRows, fitted
from llarp_cli.environments.seeded import SeededEnvironment
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.evaluation.actors import ExpertActor, RandomActor
from llarp_cli.evaluation.evaluate import run_each

PAGE = Path(__file__).parent.parent / "docs" / "environments.md"
TRAIN = Seeds(0, 100, training=True)


def rows_of(described, count=3, seed=0):
    return GymRows(described, DrawnEpisodes("corridor", "train", TRAIN, seed, 0, 1), count, image_size=12)


# What an author says of an environment


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"actions": ()}, "actions are different names"),
        ({"actions": ("wait", "wait", "go")}, "actions are different names"),
        ({"actions": "wait"}, "actions are different names"),
        ({"max_steps": 0}, "leaves no step"),
        ({"splits": {"train": TRAIN}}, "a split to train on, and one to evaluate on"),
        ({"splits": {"test": Seeds(0, 5)}}, "a split to train on, and one to evaluate on"),
        ({"splits": {"train": TRAIN, "test": Seeds(99, 5)}}, "splits 'train' and 'test' share seeds"),
        ({"splits": {"train": TRAIN, "test": Seeds(200, 0)}}, "split 'test' has no seeds"),
        ({"splits": {"train": TRAIN, "test": Seeds(-5, 5)}}, "split 'test' has no seeds"),
    ],
)
def test_a_description_that_cannot_be_is_refused(changes, says):
    with pytest.raises(LlarpError, match=says):
        describe(**changes)


class Broken(Corridor):
    """A corridor with one thing wrong."""

    wrong = ""

    def _observation(self):
        seen = super()._observation()
        if self.wrong == "floats":
            seen["view"] = seen["view"] / 255
        if self.wrong == "no text":
            del seen["task"]
        return seen["view"] if self.wrong == "no mapping" else seen

    def step(self, action):
        if self.wrong == "step":
            raise RuntimeError("the motor\nis on fire")
        return super().step(action)

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=None if self.wrong == "seed" else seed)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ("floats", r"observation\['view'\] is float64 \[12, 18, 3\], not uint8 \[H, W, 3\]"),
        ("no text", r"observation\['task'\] is NoneType, not a sentence"),
        ("no mapping", r"an observation is uint8 \[12, 18, 3\], not a mapping with 'view'"),
        ("step", r"failed in step\(\d\): RuntimeError: the motor is on fire"),
        ("seed", "does not go the same way again after reset"),
    ],
)
def test_what_an_environment_does_wrong_is_told_in_one_line(wrong, says):
    def make():
        made = Broken()
        made.wrong = wrong
        return made

    with pytest.raises(LlarpError, match=says) as caught:
        check_environment(describe(make=make))
    assert "\n" not in caught.value.message


def test_a_sound_environment_is_found_sound():
    check_environment(describe())


def test_an_expert_may_draw_from_what_the_environment_draws_from():
    check_environment(describe(expert=lambda env: int(env.np_random.integers(3))))


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"success": lambda reward, terminated, info: info["won"]}, r"failed in success\(.*\): KeyError: 'won'"),
        ({"expert": lambda env: sys.exit(5)}, r"failed in expert\(env\): SystemExit: 5"),
    ],
)
def test_what_an_author_s_functions_do_wrong_is_told_in_one_line(changes, says):
    with pytest.raises(LlarpError, match=says):
        check_environment(describe(**changes))


def test_an_experts_impossible_action_is_told():
    with pytest.raises(LlarpError, match="the expert's action 7 is none of 3"):
        check_environment(describe(expert=lambda env: 7))


# Rows


def test_rows_are_as_single_environments_and_begin_anew_by_themselves():
    rows = rows_of(describe(), count=2)
    draws, alone = np.random.default_rng(0), [Corridor(), Corridor()]
    observation, _ = rows.reset()
    seen = [env.reset(seed=e.seed)[0] for env, e in zip(alone, rows.episodes_now, strict=True)]
    ends = 0
    for _ in range(60):
        for row, single in enumerate(seen):
            assert observation["instruction"][row] == single["task"]
            assert np.array_equal(observation["rgb"][row], fitted(single["view"], 12))
        actions = draws.integers(0, 3, 2)
        before = list(rows.episodes_now)
        observation, rewards, terminated, truncated, infos = rows.step(actions)
        for row, env in enumerate(alone):
            seen[row], reward, done, _, _ = env.step(int(actions[row]))
            assert (rewards[row], terminated[row]) == (reward, done)
            if terminated[row] or truncated[row]:
                ends += 1
                (told,) = (t for index, _, t in infos["finished"] if index == row)
                assert told["success"] == bool(infos["success"][row]) == (reward == 1)
                cut = infos["final_obs"][row]
                assert (cut is None) != truncated[row]
                assert cut is None or np.array_equal(cut["rgb"], fitted(seen[row]["view"], 12))
                assert rows.episodes_now[row].id != before[row].id
                seen[row], _ = env.reset(seed=rows.episodes_now[row].seed)
    assert ends > 10


def test_an_episode_is_cut_off_after_its_most_steps():
    rows = rows_of(describe(max_steps=3), count=1)
    rows.reset()
    outcomes = [rows.step(np.array([2])) for _ in range(3)]
    assert [bool(outcome[3][0]) for outcome in outcomes] == [False, False, True]
    assert not outcomes[-1][2].any() and outcomes[-1][4]["finished"][0][2]["length"] == 3


class Thrifty(Corridor):
    """A corridor whose pictures are of the size that is asked for, all drawn into one array."""

    buffer = np.zeros((12, 12, 3), np.uint8)

    def _observation(self):
        seen = super()._observation()
        self.buffer[:] = seen["view"][:, 3:15]
        return {**seen, "view": self.buffer}


def test_what_was_seen_last_stays_though_the_next_episode_is_drawn_over_it():
    rows = rows_of(describe(make=Thrifty, max_steps=1), count=1)
    rows.reset()
    (cut,) = rows.step(np.array([1]))[4]["final_obs"]
    assert (cut["rgb"][:, 6:8] == 255).all(), "one step to the right, and not back in the middle"


class Forgetful(Corridor):
    """A corridor whose expert remembers how often it was asked."""

    def reset(self, **options):
        self.asked = 0
        return super().reset(**options)

    def count(self):
        self.asked += 1
        return self.asked % 3


class Repainted(Corridor):
    """A corridor that is painted anew whenever one looks at it."""

    def _observation(self):
        seen = super()._observation()
        seen["view"][:, :6] = np.random.default_rng().integers(0, 255, 3)
        return seen


def test_rows_that_look_otherwise_after_they_were_saved_do_not_go_on():
    rows = rows_of(describe(make=Repainted))
    rows.reset()
    with pytest.raises(LlarpError, match="does not go the same way again after reset"):
        rows_of(describe(make=Repainted)).load_state_dict(rows.state_dict())


def test_rows_go_on_exactly_after_they_were_saved_their_expert_too():
    described = describe(make=Forgetful, expert=lambda env: env.count())
    whole, again = rows_of(described), rows_of(described)
    whole.reset()

    def play(rows, draws, steps):
        told = []
        for _ in range(steps):
            labels = rows.expert_actions()
            observation, rewards, *_ = rows.step(draws.integers(0, 3, 3))
            told.append((labels.tolist(), rewards.tolist(), observation["instruction"], observation["rgb"].tolist()))
        return told

    play(whole, np.random.default_rng(1), 13)
    again.load_state_dict(json.loads(json.dumps(whole.state_dict())))
    assert play(again, np.random.default_rng(2), 20) == play(whole, np.random.default_rng(2), 20)

    # Imitation ends in the midst of episodes.
    whole, again = rows_of(described), rows_of(described)
    whole.reset()
    whole.expert_actions()
    for _ in range(2):
        whole.step(np.array([2, 2, 2]))
    again.load_state_dict(json.loads(json.dumps(whole.state_dict())))
    assert [row.env.asked for row in again._rows] == [row.env.asked for row in whole._rows] == [1, 1, 1]


def test_training_episodes_differ_by_seed_and_stay_in_their_split():
    draws = {seed: [DrawnEpisodes("c", "train", TRAIN, seed, 0, 1)().seed for _ in range(3)] for seed in (0, 1)}
    assert draws[0] != draws[1]
    every = DrawnEpisodes("c", "train", Seeds(50, 4, training=True), 0, 0, 1)
    assert {every().seed for _ in range(60)} == {50, 51, 52, 53}
    odd = DrawnEpisodes("c", "train", TRAIN, 0, 1, 2)
    all_ = DrawnEpisodes("c", "train", TRAIN, 0, 0, 1)
    assert [odd().seed for _ in range(5)] == [all_().seed for _ in range(10)][1::2]


@pytest.mark.parametrize("actor", [ExpertActor, lambda: RandomActor(3)])
def test_each_evaluation_episode_counts_once_whatever_runs_beside_it(actor):
    place = SeededEnvironment(describe())
    episodes = place.episodes("test")
    assert len(episodes) == 40 and len({episode.seed for episode in episodes}) == 40
    found = [run_each(actor(), place.rows(episodes, n, image_size=12), episodes) for n in (1, 7, 40)]
    assert found[0] == found[1] == found[2]
    assert [outcome.id for outcome in found[0]] == [episode.id for episode in episodes]
    assert all(outcome.success for outcome in found[0]) == (actor is ExpertActor)


def test_what_a_silent_environment_prints_is_swallowed_and_no_more(capsys):
    for silent in (True, False):
        rows = rows_of(describe(make=lambda: Corridor(chatty=True), silent=silent))
        rows.reset()
        print("ours")
        captured = capsys.readouterr()
        assert captured.out.splitlines() == ["Sampling rejected: this line is nobody's business"] * 3 * (not silent) + [
            "ours"
        ]
        assert captured.err == ""


# Names


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the user's in the working directory."""
    (tmp_path / "mine.py").write_text(
        "from corridor import Corridor, describe\nimport gymnasium\n"
        "described = describe(name='gym:mine:described')\nnumber = 3\n"
        "gymnasium.register('Mine-v0', entry_point=Corridor, max_episode_steps=5)\n"
    )
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("mine", None)
    gymnasium.registry.pop("Mine-v0", None)
    sys.path[:] = [path for path in sys.path if path != str(tmp_path)]


@pytest.mark.parametrize("name, steps", [("gym:mine:described", 8), ("gym:mine:Mine-v0", 5)])
def test_an_environment_is_named_by_its_module(module, name, steps):
    place = open_environment(name)
    assert (place.name, place.repertoire.steps) == (name, steps)
    found = run_each(
        RandomActor(0), place.rows(place.episodes("test")[:5], 2, image_size=16), place.episodes("test")[:5]
    )
    assert len(found) == 5


@pytest.mark.parametrize(
    "name, says",
    [
        ("gym", "names none yet"),
        ("gym:mine", "names no environment"),
        ("gym:mine:nobody", "module 'mine' has no 'nobody'"),
        ("gym:mine:number", "is int"),
        ("gym:mine:Corridor", "does not tell its max_episode_steps"),
        ("gym:nowhere:described", "there is no module 'nowhere' here"),
        ("gym:Nowhere-v0", "gymnasium knows no environment 'Nowhere-v0'"),
        ("gym:CartPole-v1", "does not tell its one picture"),
    ],
)
def test_names_of_what_cannot_be_used_are_told_in_one_line(module, name, says):
    with pytest.raises(UsageProblem, match=says) as caught:
        open_environment(name)
    assert caught.value.hint and "\n" not in caught.value.message


def test_a_plain_environment_describes_itself():
    def make():
        return gymnasium.wrappers.TimeLimit(Corridor(), 6)

    with pytest.raises(UsageProblem, match="max_episode_steps"):
        derived("plain", Corridor)
    gymnasium.register("Corridor-v0", entry_point=Corridor, max_episode_steps=6)
    try:
        found = registry.load("environment", "gym:Corridor-v0")
    finally:
        del gymnasium.registry["Corridor-v0"]
    assert (found.rgb, found.instruction, found.max_steps) == ("view", "task", 6)
    assert found.actions == ("action 0", "action 1", "action 2")


# All of it, around a tiny language model


SMALL = (
    "--backbone=tiny-llama", "--recipe=gym", "--env=gym:corridor:corridor", "vision.image_size=16", "num_envs=4",
    "adapter.hidden=16", "adapter.decoder_hidden=16", "ppo.rollout_steps=8", "ppo.minibatches=2",
    "imitation.minibatches=2", "imitation.steps=64", "ppo.lr_schedule=constant", "checkpoint.every=32",
)  # fmt: skip


def weights(run):
    return hashlib.sha256((run / "checkpoints" / "last" / "adapter.safetensors").read_bytes()).hexdigest()


def test_train_resume_eval_rollout_export_load(llarp, tmp_path):
    done = llarp("train", *SMALL, "--run-dir", "whole", "--steps", "128")
    assert done.exit_code == 0, done.output
    # Another, stopped in the middle of imitation and of episodes, goes on to the same end.
    assert llarp("train", *SMALL, "--run-dir", "part", "--steps", "32").exit_code == 0
    assert llarp("train", "--resume", "part", "--steps", "128").exit_code == 0
    assert weights(tmp_path / "part") == weights(tmp_path / "whole")
    config = json.loads((tmp_path / "whole" / "checkpoints" / "last" / "config.json").read_text())
    assert (config["skills"], config["steps"]) == (["step left", "step right", "wait"], 8)

    done = llarp("eval", "whole", "--json", "eval.json")
    assert done.exit_code == 0 and "| test " in done.output, done.output
    results = json.loads((tmp_path / "eval.json").read_text())
    assert results["splits"]["test"]["episodes"] == 40 and "train" not in results["splits"]
    done = llarp("rollout", "whole", "--video", "out.mp4", "--json", "told.json")
    assert done.exit_code == 0 and "walk to the" in done.output, done.output
    told = json.loads((tmp_path / "told.json").read_text())
    assert {step["skill"] for step in told["steps"]} <= {"step left", "step right", "wait"}
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.streams.video[0].width == 944  # what the agent sees, and what the environment draws

    assert llarp("export", "whole", "--out", "exported").exit_code == 0
    agent = load_policy(tmp_path / "exported")
    env = make_env("gym:corridor:corridor", split="test", image_size=agent.image_size)
    observation, _ = env.reset()
    assert agent.skills[agent.act(observation["rgb"], observation["instruction"])] in config["skills"]
    for _ in range(7):
        agent.act(observation["rgb"], observation["instruction"])
    with pytest.raises(UsageProblem, match="it has 8 steps"):
        agent.act(observation["rgb"], observation["instruction"])

    for words, says in (
        (("eval", "whole", "--env", "home"), "learned other actions, 3 (step left, step right, wait"),
        (("eval", "planner", "--env", "gym:corridor:corridor"), "planner acts in homes alone"),
        (("eval", "whole", "--split", "rephrasing"), "unknown split 'rephrasing'"),
        (("rollout", "whole", "--instruction", "go"), "--instruction is for homes"),
        (("play", "--env", "gym:corridor:corridor"), "one plays in homes"),
        (("train", *SMALL, "tasks.families=[move]"), "tasks.families is of Language Rearrangement"),
        (("train", *SMALL, "tasks.split=test"), "split 'test' is for evaluation only"),
    ):
        done = llarp(*words)
        assert done.exit_code == 2 and says in done.output, (words, done.output)


def test_no_expert_no_imitation(llarp, tmp_path):
    (tmp_path / "lonely.py").write_text("from corridor import describe\nlonely = describe(expert=None)\n")
    words = [word.replace("gym:corridor:corridor", "gym:lonely:lonely") for word in SMALL]
    done = llarp("train", *words)
    assert done.exit_code == 2 and "has no expert to imitate" in done.output
    done = llarp("eval", "expert", "--env", "gym:lonely:lonely")
    assert done.exit_code == 2 and "has no expert" in done.output
    sys.modules.pop("lonely")


# The example of the page


def test_the_example_of_the_page_is_sound_and_learned_in(llarp, tmp_path, capsys):
    example, use = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "lamps.py").write_text(example)
    try:
        done = llarp("doctor", "--env", "gym:lamps:lamps")
        assert done.exit_code == 0 and "ready; version 1" in done.output, done.output
        words = [word.replace("gym:corridor:corridor", "gym:lamps:lamps") for word in SMALL]
        done = llarp("train", *words, "--run-dir", "runs/mine", "--steps=96")
        assert done.exit_code == 0, done.output
        assert llarp("export", "runs/mine", "--out", "exported").exit_code == 0
        done = llarp("eval", "expert", "--env", "gym:lamps:lamps", "--limit", "20")
        assert "100.0%" in done.output, done.output
        capsys.readouterr()
        exec(compile(use, str(PAGE), "exec"), {})
        assert capsys.readouterr().out.split()[-1] in ("success", "failure")
    finally:
        sys.modules.pop("lamps", None)
        sys.path[:] = [path for path in sys.path if path != str(tmp_path)]


def test_the_package_of_the_page_is_found(tmp_path, monkeypatch):
    project = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)
    info = tmp_path / "llarp_lamps-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llarp-lamps\nVersion: 1.0\n")
    group = re.search(r'\[project.entry-points."(.+)"\]\n(.+)\n', project)
    (info / "entry_points.txt").write_text(f"[{group[1]}]\n{group[2]}\n".replace('"', ""))
    (tmp_path / "lamps.py").write_text(re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lamps", raising=False)
    assert open_environment("lamps").repertoire.skills == ("step left", "step right", "wait")
    sys.modules.pop("lamps")
