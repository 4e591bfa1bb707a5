"""Several processes: the gradients of one, uneven shares, stragglers, other numbers of processes, killed ones."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from test_ppo import CPU, a_rollout, of_rollout
from test_trainer import ARGUMENTS, begun, command, figures, toy_plugin, wait_for  # noqa: F401
from toy_learning import ToyEnvironment, ToyPolicy, open_toy, save_toy, toy_recipe, toy_trainer
from toy_world import ToyWorld

from llarp_cli.config import TaskOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.learning.clock import Clock
from llarp_cli.learning.collector import Collector
from llarp_cli.learning.devices import share_devices
from llarp_cli.learning.learner import Learner
from llarp_cli.learning.progress import Progress
from llarp_cli.learning.resuming import next_episode, processes_of
from llarp_cli.learning.stragglers import Finishers, Limit
from llarp_cli.learning.trainer import Trainer
from llarp_cli.rearrangement.splits import TrainingEpisodes
from llarp_cli.runs import RunDirectory
from llarp_cli.train import Job, _agreed


def _process(rank, work, count, port, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=True)
    told = work(accelerator)
    torch.save(told, folder / f"{rank}.pt")
    accelerator.end_training()


def in_processes(count, work, folder):
    """Does work(accelerator) in so many processes and returns what each told, by rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = (work, count, port, folder)
    torch.multiprocessing.start_processes(_process, arguments, nprocs=count, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


@pytest.fixture
def together(tmp_path):
    """`together(count, work)` is `in_processes` in the test's own folder."""
    return partial(in_processes, folder=tmp_path)


def share(rank):
    """A process's rollout: each has its own number of steps, and episodes of different lengths."""
    policy = ToyPolicy()
    return policy, a_rollout(policy, steps=7 + 4 * rank, rows=5, seed=rank)


def learned(policy, accelerator, rollout, minibatches, seed=5):
    made = Learner(policy, accelerator, weight_decay=0.0, seed=seed)
    made.optimizer.optimizer = torch.optim.SGD(policy.parameters(), lr=1.0, fused=True)
    figures = made.update(rollout, of_rollout(rollout), lr=1.0, epochs=1, minibatches=minibatches, max_grad_norm=1e9)
    return {"weights": {name: value.clone() for name, value in policy.state_dict().items()}, "figures": figures}


def gradient_of_one(count):
    """The gradient of one process that has the rollouts of all, each step counting the same, and each one's steps."""
    policy = ToyPolicy()
    losses, steps = [], []
    for rank in range(count):
        rollout = share(rank)[1]
        fragments, where = rollout.fragments(range(len(rollout.trajectories)))
        logits, values = policy.evaluate(fragments)
        losses.append(of_rollout(rollout)(logits[fragments.learned], values[fragments.learned], where).total)
        steps.append(len(where))
    (sum(losses) / sum(steps)).backward()
    return policy, steps


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_gradients_are_those_of_one_process_with_everything(together, count):
    before = ToyPolicy().state_dict()
    told = together(count, lambda accelerator: learned(*_with(accelerator), minibatches=1))
    policy, steps = gradient_of_one(count)
    assert len(set(steps)) == count
    for name, parameter in policy.named_parameters():
        for one in told:
            gradient = before[name] - one["weights"][name]  # of a step of 1 without momentum
            assert (gradient - parameter.grad).abs().max() <= 1e-6, name
            assert torch.equal(one["weights"][name], told[0]["weights"][name])
    norm = torch.cat([parameter.grad.flatten() for parameter in policy.parameters()]).norm()
    assert told[0]["figures"] == told[-1]["figures"]
    assert told[0]["figures"]["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)


LEARNING = {
    "rollout_steps": 16,
    "lr": 5e-3,
    "epochs": 4,
    "minibatches": 4,
    "gamma": 0.8,
    "normalize_advantages": True,
    "max_grad_norm": 1.0,
}
QUARTER = 3072
"""Environment steps."""


def _learning(folder, accelerator):
    """Success by quarters of the training of three seeds, 32 environments being divided among the processes."""
    rank, count = accelerator.process_index, accelerator.num_processes
    curves = []
    for seed in range(3):
        recipe = toy_recipe(steps=4 * QUARTER, num_envs=32 // count, ppo=LEARNING, seed=seed)
        run = RunDirectory(folder / f"{count}-{seed}")
        if rank == 0:
            RunDirectory.create(run.path, recipe, {})
        accelerator.wait_for_everyone()
        torch.manual_seed(seed)
        environments = [ToyEnvironment(recipe.num_envs, 100 * seed + rank)]
        trainer = Trainer(recipe, ToyPolicy(seed), environments, run, accelerator, save_policy=save_toy)
        trainer.begin()
        assert trainer.train(Progress(None, total=recipe.steps))
        lines = [(min(3, (line["steps"] - 1) // QUARTER), line["success"]) for line in run.read_metrics()]
        curves.append([statistics.mean(success for at, success in lines if at == quarter) for quarter in range(4)])
    return curves


@pytest.mark.slow
def test_processes_learn_as_much_from_a_step_as_one_does(together, tmp_path):
    one, *several = (torch.tensor(together(count, partial(_learning, tmp_path))[0]).mean(0) for count in (1, 2, 4))
    assert one[0] < 0.8 and one[3] > 0.95
    for curve in several:
        assert curve[0] < 0.8 and (curve - one).abs().max() < 0.06, (one, several)


def _with(accelerator):
    policy, rollout = share(accelerator.process_index)
    return policy, accelerator, rollout


def test_a_limit_holds_for_all_groups_and_leaves_enough_steps():
    enough = threading.Event()
    limit = Limit(16, enough.is_set)
    assert not limit.reached(0) and not limit.reached(0)
    enough.set()
    assert not any(limit.reached(step) for step in range(1, 4))  # a quarter is always taken
    limit = Limit(16, enough.is_set)
    enough.clear()
    assert not any(limit.reached(step) for step in range(8))  # one group is at its ninth step
    enough.set()
    assert not limit.reached(5) and limit.steps == 8  # the other catches up
    assert limit.reached(8) and limit.reached(8)
    assert [Limit(16, None).reached(step) for step in (15, 16)] == [False, True]


@pytest.mark.parametrize("expert", [False, True])
def test_a_rollout_cut_short_is_a_whole_shorter_one(expert):
    options = {"expert": True, "expert_share": 1.0} if expert else {}

    def collected(steps, stop_at=None):
        asked = iter(range(100))
        collecting = Collector(ToyPolicy(), [ToyEnvironment(5)], device=CPU, clock=Clock(), seed=0, limit_ends=True)
        collecting.reset()
        stop = None if stop_at is None else lambda: next(asked) + round(steps / 4) >= stop_at
        rollout = collecting.collect(steps, enough=stop, **options)
        collecting.rebuild()
        return rollout, collecting.collect(4, **options)

    for short, cut in zip(collected(7), collected(16, stop_at=7), strict=True):
        for name in ("features", "actions", "log_probs", "values", "rewards", "next_values", "ends"):
            assert torch.equal(getattr(short, name), getattr(cut, name)), name
        assert short.trajectories == cut.trajectories and short.finished == cut.finished


class Late(ToyEnvironment):
    """Steps slowly."""

    def step(self, actions):
        time.sleep(0.05)
        return super().step(actions)


def _with_a_late_one(accelerator):
    """What a process collects in two updates, the last one being late."""
    rank, count = accelerator.process_index, accelerator.num_processes
    finishers = Finishers(0.5, process=rank, processes=count)
    kind = Late if rank == count - 1 else ToyEnvironment
    collecting = Collector(ToyPolicy(), [kind(4, rank)], device=CPU, clock=Clock(), seed=rank, limit_ends=True)
    collecting.reset()
    told = []
    for _ in range(2):
        accelerator.wait_for_everyone()
        rollout = collecting.collect(80, enough=finishers.enough)
        finishers.finish()
        collecting.rebuild()
        told.append(len(rollout.rewards))
    accelerator.wait_for_everyone()  # the first process keeps the store
    return told


def test_stragglers_are_not_waited_for(together):
    first, last = together(2, _with_a_late_one)
    assert first == [80, 80]
    assert all(20 <= steps < 80 for steps in last), last


@pytest.mark.parametrize(
    ("count", "visible", "shares"),
    [
        (8, None, ["0,1,2,3", "4,5,6,7"]),
        (8, None, ["0,1", "2,3,4", "5,6,7"]),
        (3, "6,GPU-1a,2,-1", ["6", "GPU-1a,2"]),
    ],
)
def test_each_process_of_a_spread_model_has_gpus_of_its_own(monkeypatch, count, visible, shares):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    for process, share in enumerate(shares):
        with monkeypatch.context() as patch:
            patch.setenv("LOCAL_WORLD_SIZE", str(len(shares)))
            patch.setenv("LOCAL_RANK", str(process))
            patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
            if visible is not None:
                patch.setenv("CUDA_VISIBLE_DEVICES", visible)
            share_devices()
            assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["LOCAL_RANK"]) == (share, "0")


def test_a_spread_model_needs_a_gpu_for_each_process(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    share_devices()  # a single process
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UsageProblem, match="device_map with 2 processes on a machine with 1 GPU") as problem:
        share_devices()
    assert problem.value.hint.endswith("--num-processes 1") and os.environ["CUDA_VISIBLE_DEVICES"] == "5"


def test_what_is_started_again_is_the_run_that_was_asked_for(tmp_path, monkeypatch):
    run = RunDirectory.create(tmp_path / "run", toy_recipe(seed=1), {})
    told = [toy_recipe(seed=1), toy_recipe(seed=1, steps=99), toy_recipe(seed=2)]
    jobs = [Job(recipe, run.path, "toy", None, (), 1) for recipe in told]
    assert not any(_agreed(job, Accelerator(cpu=True))[1] for job in jobs), "at first the directory is taken"
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert [_agreed(job, Accelerator(cpu=True))[1] for job in jobs] == [True, True, False]


def test_another_number_of_processes_begins_where_the_list_stands(tmp_path):
    checkpoint = tmp_path / "100"
    (checkpoint / "trainer").mkdir(parents=True)
    (checkpoint / "trainer" / "counters.json").write_text('{"processes": 3}')
    for process, positions in enumerate([(18, 7), (26, 21), (16, 5)]):
        groups = [{"environment": {"position": position}} for position in positions]
        torch.save({"collector": {"groups": groups}}, checkpoint / "trainer" / f"process-{process}.pt")
    assert processes_of(checkpoint) == 3 and next_episode(checkpoint) == 26
    world, drawn = ToyWorld(), []
    for rank in range(2):
        episodes = TrainingEpisodes(world, TaskOptions(objects=4), 0, rank, 2)
        episodes.position += next_episode(checkpoint)
        drawn += [episodes().id for _ in range(3)]
    assert sorted(drawn) == [f"train-{index}" for index in range(26, 32)]


def test_resuming_with_another_number_carries_what_was_learned(tmp_path):
    trainer = begun(tmp_path / "run", steps=256)
    assert trainer.train(Progress(None, total=256))
    path = trainer.run.last() / "trainer" / "counters.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "processes": 2}))
    resumed = toy_trainer(toy_recipe(steps=512), trainer.run, open_toy(trainer.run.last()))
    resumed.resume(trainer.run.last())
    assert (resumed.steps, resumed.updates) == (256, trainer.updates)
    assert all(not trajectory.steps for group in resumed.collector.groups for trajectory in group.under_way)
    moments, before = (t.learner.optimizer.state_dict()["state"] for t in (resumed, trainer))
    assert all(torch.equal(moments[i]["exp_avg"], before[i]["exp_avg"]) for i in before)
    assert resumed.train(Progress(None, total=512))
    assert [line["steps"] for line in trainer.run.read_metrics()] == [128, 256, 384, 512]


def workers_of(launcher):
    """The processes that train, children of the launcher."""
    typed = ["ps", "-o", "pid=,args=", "--ppid", str(launcher)]
    lines = [line.split(None, 1) for line in subprocess.check_output(typed, text=True).splitlines()]
    return [int(pid) for pid, arguments in lines if "resource_tracker" not in arguments]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["llarp", "torchrun", "accelerate"])
def test_a_killed_process_is_started_again_and_ctrl_c_still_saves(tmp_path, toy_plugin, launcher):  # noqa: F811
    run = RunDirectory(tmp_path / "run")
    recipe = tmp_path / "small.yaml"
    recipe.write_text(json.dumps({**ARGUMENTS, "checkpoint": {"every": 32, "keep": 2}}))
    typed = ["llarp_cli", "train", "--recipe", recipe, "--steps", "1e6", "--run-dir", run.path]
    if launcher == "llarp":
        command = [sys.executable, "-m", *typed, "--num-processes", "2"]
    elif launcher == "accelerate":
        options = ["--multi_gpu", "--num_processes", "2", "--max_restarts", "1", "--rdzv_backend", "c10d"]
        command = [
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            *options,
            "--main_process_port",
            "0",
            "-m",
            *typed,
        ]
    else:
        options = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "1", "--shutdown-timeout", "600"]
        command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", *typed]
    path = os.pathsep.join([str(toy_plugin), os.path.dirname(__file__)])
    variables = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    with (tmp_path / "told").open("w+") as told:
        process = subprocess.Popen(list(map(str, command)), env=variables, cwd=tmp_path, stderr=told)
        process.stderr = told
        wait_for(lambda: run.last() is not None, process)
        os.kill(workers_of(process.pid)[-1], signal.SIGKILL)
        log = run.path / "train.log"
        wait_for(lambda: log.read_text().count("restart 1 of ") == 1, process)
        resumed_at = int(run.last().name)
        wait_for(lambda: int(run.last().name) > resumed_at, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) == 130 or launcher != "llarp"
    assert f"stopped at {int(run.last().name):,} steps" in log.read_text()
    steps = [line["steps"] for line in run.read_metrics()]
    assert steps == list(range(32, steps[-1] + 1, 32)) and steps[-1] == int(run.last().name)


@pytest.mark.slow
def test_a_machine_that_is_gone_is_not_waited_for_and_may_come_back(tmp_path, toy_plugin):  # noqa: F811
    run = RunDirectory(tmp_path / "run")
    recipe = tmp_path / "small.yaml"
    recipe.write_text(json.dumps({**ARGUMENTS, "checkpoint": {"every": 32, "keep": 2}}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    path = os.pathsep.join([str(toy_plugin), os.path.dirname(__file__)])
    variables = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    options = ["--nnodes", "1:2", "--nproc-per-node", "1", "--max-restarts", "3", "--shutdown-timeout", "600"]
    options += ["--rdzv-backend", "c10d", "--rdzv-endpoint", address, "--rdzv-id", "mine"]
    typed = ["llarp_cli", "train", "--recipe", recipe, "--steps", "1e6", "--run-dir", run.path]
    launched = list(map(str, [sys.executable, "-m", "torch.distributed.run", *options, "-m", *typed]))
    log = run.path / "train.log"

    def machine():
        """A launcher like that of one of two machines."""
        return subprocess.Popen(launched, env=variables, cwd=tmp_path, stderr=told)

    def until_trained_by(processes):
        """Until so many processes have begun, or gone on, and saved a checkpoint."""

        def saved():
            begun = log.read_text().rpartition("\nrun  ")[2] if log.exists() else ""
            at = int(begun.partition(" resumed at ")[2].partition(" steps")[0].replace(",", "") or 0)
            return f"x {processes} processes" in begun and run.last() is not None and int(run.last().name) > at

        wait_for(saved, first)

    with (tmp_path / "told").open("w+") as told:
        first = machine()
        first.stderr = told
        until_trained_by(1)  # it keeps the addresses, and does not wait for the second
        second = machine()
        until_trained_by(2)
        gone = [second.pid, *workers_of(second.pid)]
        for pid in gone:
            os.kill(pid, signal.SIGKILL)
        second.wait()
        until_trained_by(1)
        second = machine()
        until_trained_by(2)
        for launcher in (first, second):
            launcher.send_signal(signal.SIGINT)
        for launcher in (first, second):
            launcher.wait(timeout=300)
    steps = [line["steps"] for line in run.read_metrics()]
    assert steps == sorted(set(steps)) and steps[-1] == int(run.last().name)
    assert f"stopped at {steps[-1]:,} steps" in log.read_text()


@pytest.mark.slow
def test_a_run_goes_on_with_more_and_with_fewer_processes(command, tmp_path):  # noqa: F811
    run = RunDirectory(tmp_path / "run")
    for arguments in (
        {"recipe": {**ARGUMENTS, "steps": 64}, "run_dir": str(run.path)},
        {"resume": str(run.path), "steps": 192, "num_processes": 2},
        {"resume": str(run.path), "steps": 256, "num_processes": 1},
    ):
        process = command(**arguments)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert [line["steps"] for line in run.read_metrics()] == [16, 32, 48, 64, 96, 128, 160, 192, 208, 224, 240, 256]
    assert "resumed at 192 steps with 1 processes in place of 2: new episodes begin" in errors


@pytest.mark.slow
def test_two_processes_with_a_spread_model_learn_the_same(command, tmp_path):  # noqa: F811
    runs = {}
    for device_map in (None, "auto"):
        runs[device_map] = RunDirectory(tmp_path / str(device_map))
        recipe = {**ARGUMENTS, "steps": 96, "backbone": {"name": "tiny-llama", "device_map": device_map}}
        process = command(recipe=recipe, run_dir=str(runs[device_map].path), num_processes=2)
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    assert len(figures(runs[None])) == 3
    assert figures(runs[None]) == figures(runs["auto"])
