"""BabyAI: an environment that nobody here wrote, its bot, what it prints, and that a policy learns in it."""

from __future__ import annotations

import json
from importlib import metadata

import numpy as np
import pytest
from click.testing import CliRunner

from llarp_cli.cli import main
from llarp_cli.environments.checking import check_environment
from llarp_cli.environments.environment import open_environment
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.actors import ExpertActor
from llarp_cli.evaluation.evaluate import run_each

pytest.importorskip("minigrid", reason="needs the extra babyai")


@pytest.fixture(scope="module")
def level():
    return open_environment("babyai:GoToLocal")


def test_a_level_is_what_minigrid_says(level):
    assert level.repertoire.skills[:3] == ("turn left", "turn right", "go forward")
    assert (len(level.repertoire.skills), level.repertoire.steps) == (7, 64)
    assert level.version == f"minigrid {metadata.version('minigrid')}"
    rows = level.rows(level.episodes("test")[:2], 2, image_size=56)
    observation, _ = rows.reset()
    assert observation["rgb"].shape == (2, 56, 56, 3) and observation["rgb"].any()
    assert all(text.startswith("go to ") for text in observation["instruction"])
    assert rows.picture(0, 448, "rendered").shape == (448, 448, 3)
    rows.close()


def test_the_bot_reaches_every_goal_and_nothing_of_it_is_printed(level, capfd):
    episodes = level.episodes("test")[:60]
    outcomes = run_each(ExpertActor(), level.rows(episodes, 10, image_size=56), episodes)
    assert all(outcome.success and outcome.length < 40 for outcome in outcomes)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_the_bot_keeps_its_wits_in_any_company_and_says_the_same_again(level):
    check_environment(level.described)
    rows = level.rows(level.episodes("test")[:12], 4, image_size=56)
    rows.reset()
    draws = np.random.default_rng(0)
    while rows.active.any():
        labels = rows.expert_actions()
        assert ((labels >= 0) == rows.active).all()
        rows.step(np.where(draws.random(4) < 0.7, draws.integers(0, 7, 4), np.maximum(labels, 0)))


def test_levels_that_do_not_exist_are_told(monkeypatch):
    with pytest.raises(UsageProblem, match="unknown level of BabyAI 'GoToLocall'") as caught:
        open_environment("babyai:GoToLocall")
    assert caught.value.hint.startswith("did you mean 'GoToLocal'")
    with pytest.raises(UsageProblem, match="names none yet"):
        open_environment("babyai")


def test_a_short_run_of_the_recipe_says_nothing_that_is_not_ours(llarp, capfd, tmp_path):
    small = ("num_envs=4", "ppo.rollout_steps=8", "imitation.steps=32", "imitation.minibatches=2", "ppo.minibatches=2")
    done = llarp(
        "train", "--recipe", "babyai-goto", "--backbone", "tiny-llama", "--steps", "64", "--run-dir", "run", *small
    )
    assert done.exit_code == 0, done.output
    captured = capfd.readouterr()
    assert "rejected" not in captured.out + captured.err + done.output
    assert "pygame" not in captured.out + captured.err + done.output
    config = json.loads((tmp_path / "run" / "checkpoints" / "last" / "config.json").read_text())
    assert (config["environment"], config["skills"][6], config["steps"]) == ("babyai:GoToObj", "done", 64)
    done = llarp("eval", "run", "--env", "babyai:GoToLocal", "--limit", "1")  # another level, the same actions
    assert done.exit_code == 0 and "babyai:GoToLocal" in done.output, done.output


@pytest.mark.slow
def test_the_recipe_learns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in ("train --recipe babyai-goto --run-dir run", "eval run --json eval.json"):
        done = CliRunner().invoke(main, words.split(), prog_name="llarp")
        assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "eval.json").read_text())["total"]["success"] >= 0.9
