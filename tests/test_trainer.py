"""Training runs: their records, resuming exactly, stopping cleanly, several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_learning import ToyPolicy, open_toy, toy_recipe, toy_trainer, train_toy

from llarp_cli.config import Recipe
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.learning.checkpoint import load_tensors, save_tensors
from llarp_cli.learning.progress import Progress
from llarp_cli.learning.success import SuccessAverage
from llarp_cli.runs import RunDirectory
from llarp_cli.train import train

TESTS = Path(__file__).parent


def figures(run):
    """The metrics without what no two runs share."""
    return [
        {name: value for name, value in line.items() if name not in ("seconds", "steps_per_second")}
        for line in run.read_metrics()
    ]


def begun(directory, policy=None, **changes):
    recipe = toy_recipe(**changes)
    run = RunDirectory.create(directory, recipe, {})
    trainer = toy_trainer(recipe, run, policy or ToyPolicy(recipe.seed))
    trainer.begin()
    return trainer


def resumed(run, **changes):
    policy = open_toy(run.last())
    trainer = toy_trainer(toy_recipe(**changes), run, policy)
    trainer.resume(run.last())
    return trainer


def finish(trainer):
    return trainer.train(Progress(None, total=trainer.recipe.steps))


def test_a_run_leaves_its_records(tmp_path):
    trainer, metrics = train_toy(
        tmp_path / "run", steps=1000, imitation={"steps": 300}, checkpoint={"every": 300, "keep": 2}
    )
    run = trainer.run
    assert [line["steps"] for line in metrics] == list(range(128, 1025, 128))
    assert [line["stage"] for line in metrics] == ["imitation"] * 3 + ["ppo"] * 5
    for line in metrics:
        assert set(line["seconds"]) == {"environment", "vision", "llm", "waiting", "update", "other"}
        assert 0 <= line["success"] <= 1 and line["success_by_family"].keys() == {"toy"}
        assert {"return", "length", "invalid_skills", "policy_loss", "value_loss", "entropy"} <= line.keys()
        assert {"explained_variance", "grad_norm", "lr", "steps_per_second", "episodes"} <= line.keys()
    assert {"approx_kl", "clip_fraction"} <= metrics[-1].keys()
    # Every 300 steps, at the next update: 384, 640, 1024 (the end); two stay, and the best.
    assert run.numbered()[-2:] == [640, 1024]
    assert (run.path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert trainer.best["steps"] in run.numbered()


@pytest.mark.parametrize("changes", [{}, {"imitation": {"steps": 700, "expert_acts_until": 0.7}}])
def test_resuming_changes_nothing(tmp_path, changes):
    straight, _ = train_toy(tmp_path / "straight", steps=1280, ppo={"lr_schedule": "constant"}, **changes)
    half, _ = train_toy(tmp_path / "half", steps=640, **changes)
    (half.run.path / "metrics.jsonl").open("a").write('{"steps": 768, "success"')
    torch.manual_seed(12345)
    other = resumed(half.run, steps=1280, **changes)
    assert finish(other)
    assert figures(straight.run) == figures(other.run)
    for name, value in straight.policy.state_dict().items():
        assert torch.equal(value, other.policy.state_dict()[name]), name


def test_the_best_is_of_many_episodes(tmp_path):
    trainer = begun(tmp_path / "run", steps=256)
    written = []
    trainer.run.publish = lambda steps, best, keep: written.append(best)
    # The first few episodes that end are the short ones, and those succeed.
    for steps, episodes, successes in ((10, 5, 5), (20, 300, 30), (30, 300, 90), (40, 500, 90), (50, 500, 400)):
        trainer.steps = steps
        trainer.success.add(episodes, successes)
        trainer._write_checkpoint()
    assert written == [10, 20, 30, 30, 50]


def test_a_best_checkpoint_that_is_gone_is_forgotten(tmp_path):
    trainer = begun(tmp_path / "run", steps=256)
    finish(trainer)
    path = trainer.run.last() / "trainer" / "counters.json"
    counters = json.loads(path.read_text())
    path.write_text(json.dumps(counters | {"best": {"steps": 7, "success": 0.9}}))
    again = resumed(trainer.run, steps=512)
    assert again.best == {"steps": 256, "success": -1.0}
    assert finish(again) and (trainer.run.checkpoints / "best").exists()


def test_each_process_goes_on_with_its_own_order_of_minibatches(tmp_path):
    trainer = begun(tmp_path / "run", steps=256)
    finish(trainer)
    # As if this were another process than the first, which wrote the counters.
    path = trainer.run.last() / "trainer" / "counters.json"
    other = np.random.Generator(np.random.PCG64(9)).bit_generator.state
    path.write_text(json.dumps({**json.loads(path.read_text()), "minibatch_order": other}))
    again = resumed(trainer.run, steps=256)
    assert again.learner.random.bit_generator.state == trainer.learner.random.bit_generator.state


def test_a_run_of_another_kind_of_device_goes_on(tmp_path):
    trainer = begun(tmp_path / "run", steps=256)
    finish(trainer)
    path = trainer.run.last() / "trainer" / "process-0.pt"
    own = load_tensors(path)
    own["collector"]["groups"][0]["generator"] = torch.zeros(16, dtype=torch.uint8)  # as a GPU has it
    save_tensors(own, path)
    assert finish(resumed(trainer.run, steps=512))


def test_what_goes_wrong_with_a_whole_checkpoint_is_not_laid_to_it(tmp_path, monkeypatch):
    trainer = begun(tmp_path / "run", steps=256)
    finish(trainer)

    def out_of_memory(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(ToyPolicy, "rebuild", out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        resumed(trainer.run, steps=512)


def test_a_linear_schedule_ends_at_nothing(tmp_path):
    _, metrics = train_toy(
        tmp_path / "run", steps=1024, ppo={"lr": 1.0e-3, "lr_schedule": "linear"}, imitation={"steps": 512, "lr": 2e-3}
    )
    assert [line["lr"] for line in metrics] == pytest.approx(
        [2e-3, 1.5e-3, 1e-3, 0.5e-3, 1e-3, 0.75e-3, 0.5e-3, 0.25e-3]
    )


def test_the_rate_of_imitation_rises_before_it_falls(tmp_path):
    changes = {"ppo": {"lr": 1.0e-3, "lr_schedule": "linear"}, "imitation": {"steps": 512, "lr": 2e-3, "warmup": 256}}
    _, metrics = train_toy(tmp_path / "run", steps=768, **changes)
    assert [line["lr"] for line in metrics] == pytest.approx(
        [2e-3 * 64 / 256, 1.5e-3 * 192 / 256, 1e-3, 0.5e-3, 1e-3, 0.5e-3]
    )


@pytest.mark.parametrize("name", ["process-0.pt", "optimizer.pt", "counters.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "foreign"])
def test_a_damaged_checkpoint_is_refused(tmp_path, name, damage):
    trainer, _ = train_toy(tmp_path / "run", steps=128)
    path = trainer.run.last() / "trainer" / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100] if damage == "cut" else b"something else\n")
    with pytest.raises(UsageProblem, match="damaged") as problem:
        resumed(trainer.run, steps=256)
    assert name in problem.value.message and "\n" not in problem.value.message


def test_a_loss_that_is_no_number_names_the_last_good_checkpoint(tmp_path):
    trainer = begun(tmp_path / "run", steps=1024, checkpoint={"every": 256})
    update = trainer._update

    def poisoned():
        if trainer.steps == 384:
            with torch.no_grad():
                trainer.policy.critic.weight.fill_(float("nan"))
        return update()

    trainer._update = poisoned
    with pytest.raises(LlarpError, match=r"nan.*checkpoints/256") as problem:
        finish(trainer)
    assert "ppo.lr=" in problem.value.hint
    assert trainer.run.numbered() == [256]


def test_success_is_averaged_over_the_latest_episodes():
    average = SuccessAverage()
    assert average.value() is None
    average.add(400, 0)
    average.add(0, 0)
    assert average.value() == 0.0
    average.add(300, 300)
    assert average.value() == pytest.approx(300 / 700)
    average.add(300, 300)
    assert average.value() == 1.0


ARGUMENTS = {
    "environment": "toy",
    "num_envs": 4,
    "vision": {"name": "cnn", "image_size": 16},
    "tasks": {"families": ["move"], "objects": 4},
    "backbone": {"name": "tiny-llama"},
    "adapter": {"hidden": 16, "decoder_hidden": 16},
    "ppo": {"rollout_steps": 4, "minibatches": 2, "epochs": 1},
}
SCRIPT = """
import json, sys
from llarp_cli.cli import report
from llarp_cli.config import Recipe
from llarp_cli.train import train
from pathlib import Path

if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    recipe = arguments.pop("recipe", None)
    paths = {key: Path(arguments[key]) for key in ("run_dir", "resume") if key in arguments}
    try:
        train(Recipe.model_validate(recipe) if recipe else None, **{**arguments, **paths})
    except Exception as error:
        sys.exit(report(error))
"""


@pytest.fixture
def toy_plugin(tmp_path):
    """A folder that, on the path, installs the toy world as an environment plugin."""
    folder = tmp_path / "plugin"
    info = folder / "toy_environment-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-environment\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[llarp.environments]\ntoy = toy_plugin:world\n")
    (folder / "toy_plugin.py").write_text("from toy_world import ToyWorld\n\nworld = ToyWorld()\n")
    return folder


@pytest.fixture
def command(tmp_path, toy_plugin):
    """Starts `train` in a process of its own, with the toy world."""
    (toy_plugin / "run_train.py").write_text(SCRIPT)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(toy_plugin), str(TESTS)]), "OMP_NUM_THREADS": "1"}

    def start(**arguments):
        typed = [sys.executable, str(toy_plugin / "run_train.py"), json.dumps(arguments)]
        return subprocess.Popen(typed, env=variables, cwd=tmp_path, stderr=subprocess.PIPE, text=True)

    return start


def wait_for(condition, process, seconds=300):
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.02)


def stop_in_the_middle(process, run, number):
    wait_for(lambda: len(run.read_metrics()) >= 2 if run.metrics.exists() else False, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    return errors


def test_a_signal_checkpoints_and_says_how_to_go_on(command, tmp_path):
    recipe = {**ARGUMENTS, "steps": 4800}
    run = RunDirectory(tmp_path / "run")
    process = command(recipe=recipe, run_dir=str(run.path))
    errors = stop_in_the_middle(process, run, signal.SIGTERM)
    assert process.returncode == 130, errors
    assert f"llarp train --resume {run.path}" in errors and "Traceback" not in errors
    assert run.facts()["status"] == "interrupted"
    stopped_at = int(run.last().name)
    assert run.read_metrics()[-1]["steps"] == stopped_at < 4800
    assert {p.name for p in run.last().iterdir()} == {"adapter.safetensors", "config.json", "recipe.yaml", "trainer"}


@pytest.mark.parametrize(
    "policy", ["llarp", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("lstm", "transformer"))]
)
def test_resuming_the_real_policies_changes_nothing(tmp_path, toy_plugin, monkeypatch, policy):
    monkeypatch.syspath_prepend(toy_plugin)
    options = {**ARGUMENTS, "policy": policy, "imitation": {"steps": 128, "minibatches": 2}}
    options["ppo"] = {"rollout_steps": 8, "minibatches": 2, "lr": 1e-3}
    half = train(Recipe.model_validate({**options, "steps": 192}), run_dir=tmp_path / "half")
    train(resume=half, steps=384)
    straight = train(Recipe.model_validate({**options, "steps": 384}), run_dir=tmp_path / "straight")
    assert figures(RunDirectory(half)) == figures(RunDirectory(straight))
    with pytest.raises(UsageProblem, match="has taken its 384 steps already"):
        train(resume=half)


def test_a_second_signal_stops_at_once(tmp_path):
    endless = """
import time
from llarp_cli.learning.signals import StopSignals
with StopSignals() as signals:
    print("ready", flush=True)
    while True:
        time.sleep(0.01)
        if signals.requested:
            print("asked", flush=True)
            time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", endless], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130


def test_mistakes_are_told_in_one_line_and_change_nothing(command, tmp_path):
    used = tmp_path / "used"
    used.mkdir()
    (used / "mine").write_text("precious")
    process = command(recipe={**ARGUMENTS, "steps": 100}, run_dir=str(used))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2 and len(errors.splitlines()) == 2 and "not empty" in errors
    assert os.listdir(used) == ["mine"]


@pytest.mark.slow
def test_two_processes_train_and_go_on_exactly(command, tmp_path):
    run = RunDirectory(tmp_path / "run")
    process = command(recipe={**ARGUMENTS, "steps": 256}, run_dir=str(run.path), num_processes=2)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert [line["steps"] for line in run.read_metrics()] == list(range(32, 257, 32))
    assert run.facts()["num_processes"] == 2
    assert sorted(p.name for p in (run.last() / "trainer").iterdir()) == [
        "counters.json",
        "optimizer.pt",
        "process-0.pt",
        "process-1.pt",
    ]

    straight = RunDirectory(tmp_path / "straight")
    process = command(recipe={**ARGUMENTS, "steps": 384}, run_dir=str(straight.path), num_processes=2)
    assert process.wait(timeout=300) == 0, process.stderr.read()
    process = command(resume=str(run.path), steps=384)
    assert process.wait(timeout=300) == 0, process.stderr.read()
    assert figures(run) == figures(straight)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_several_processes_stop_together(command, tmp_path, number):
    run = RunDirectory(tmp_path / "run")
    process = command(recipe={**ARGUMENTS, "steps": 1_000_000}, run_dir=str(run.path), num_processes=2)
    errors = stop_in_the_middle(process, run, number)
    assert process.returncode == 130, errors
    assert run.last() is not None and "llarp train --resume" in errors and "Traceback" not in errors
