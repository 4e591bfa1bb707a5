"""`llarp train`: from a recipe, or a run that was interrupted, to a trained policy in a run directory."""

from __future__ import annotations

import json
import os
import platform
import random
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as mp
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from llarp_cli import __version__, registry
from llarp_cli.config import Recipe
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.learning.collector import group_sizes
from llarp_cli.learning.progress import Progress
from llarp_cli.learning.signals import INTERRUPTED
from llarp_cli.learning.trainer import Trainer
from llarp_cli.policy.build import build_policy
from llarp_cli.policy.contract import Policy
from llarp_cli.policy.files import check_world, open_policy, save_policy
from llarp_cli.rearrangement.environment import RearrangementVectorEnv
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.splits import TrainingEpisodes, fingerprint, fixed_tasks
from llarp_cli.recipes import arithmetic, to_yaml
from llarp_cli.runs import RunDirectory, busy, new_run_path, refuse_used

RECORDED = ("torch", "transformers", "accelerate", "bitsandbytes", "peft", "numpy", "numba", "gymnasium", "safetensors")
"""Packages whose versions `run.json` records."""


@dataclass(frozen=True)
class Job:
    """What every process of a run is told.

    Attributes:
        recipe: of a new run; None resumes.
        run_dir: where the run is or goes; None makes a name.
        name: of the recipe, for that name.
        steps: a resumed run's new length; None leaves it.
        command: as typed, for the record.
        num_processes: how many processes the run has.
    """

    recipe: Recipe | None
    run_dir: Path | None
    name: str
    steps: int | None
    command: tuple[str, ...]
    num_processes: int


def train(
    recipe: Recipe | None = None,
    *,
    name: str = "recipe",
    run_dir: Path | None = None,
    resume: Path | None = None,
    steps: int | None = None,
    num_processes: int = 1,
) -> Path:
    """Train a policy, or go on with a run.

    Args:
        recipe: of a new run.
        name: the recipe's name, for the directory's.
        run_dir: where to write; None makes `runs/<name>-<policy>-<time>`.
        resume: the run to go on with, in place of `recipe`; it remembers everything else.
        steps: a new length for the resumed run.
        num_processes: on this machine; each has the recipe's environments. Under torchrun or
            `accelerate launch` the processes are there already, and this is not looked at.

    Returns:
        the run directory.

    Raises:
        UsageProblem: the recipe asks for what cannot be had, or the run directory will not do.
        LlarpError: training failed.
        SystemExit: 130, a signal stopped the run; what it has learned is saved.
    """
    launched = "LOCAL_RANK" in os.environ
    if resume is not None:
        run = RunDirectory.open(resume)
        num_processes = run.facts()["num_processes"]
        _check_resumable(run, steps)
    elif run_dir is not None:
        refuse_used(run_dir)
    elif not launched:
        run_dir = new_run_path(name, recipe.label)
    job = Job(recipe, resume or run_dir, name, steps, tuple(sys.argv), num_processes)
    path, finished = _work(job) if launched or num_processes == 1 else (job.run_dir, _launch(job))
    if not finished:
        raise SystemExit(INTERRUPTED)
    return path


def _check_resumable(run: RunDirectory, steps: int | None) -> None:
    living = run.holder()
    if living is not None:
        raise busy(run.path, living)
    last = run.last()
    if last is None:
        return
    total = steps or run.recipe().steps
    if int(last.name) >= total:
        raise UsageProblem(
            f"run '{run.path}' has taken its {total:,} steps already",
            f"make it longer: llarp train --resume {run.path} --steps {2 * int(last.name)}",
        )


def _work(job: Job) -> tuple[Path, bool]:
    """One process's share of a run, from start to end; the run directory, and whether the run is complete."""
    with ExitStack() as held:
        return _run(job, held)


def _run(job: Job, held: ExitStack) -> tuple[Path, bool]:
    """Likewise; `held` keeps the lock on the run directory, which the first process has."""
    # Several processes without a GPU: accelerate wants to be told, else each would run alone.
    accelerator = Accelerator(cpu="LOCAL_RANK" in os.environ and not torch.cuda.is_available())
    run = None
    if job.recipe is None:
        run = RunDirectory.open(job.run_dir)
        if accelerator.is_main_process:
            held.enter_context(run.held())
        began_with = run.facts()["num_processes"]
        if began_with != accelerator.num_processes:
            raise UsageProblem(
                f"run '{run.path}' was begun with {began_with} processes; here are {accelerator.num_processes}",
                f"go on with as many: llarp train --resume {run.path}",
            )
        recipe = run.recipe()
        if job.steps is not None:
            recipe = recipe.model_copy(update={"steps": job.steps})
    else:
        recipe = job.recipe
    _seed(recipe.seed)
    world: World = registry.load("environment", recipe.environment)
    # Made first: it says at once what the recipe asks for in vain.
    groups = group_sizes(recipe.num_envs)
    process, turns = accelerator.process_index, accelerator.num_processes * len(groups)
    episodes = [
        TrainingEpisodes(world, recipe.tasks, recipe.seed, process * len(groups) + group, turns)
        for group in range(len(groups))
    ]
    checkpoint = None if run is None else run.last()
    if checkpoint is None:
        # Also where a run was stopped before its first checkpoint: it begins again.
        policy = build_policy(recipe, accelerator.device, world=world)
    else:
        policy, trained_with = open_policy(checkpoint, accelerator.device)
        check_world(checkpoint, policy, world)
        _check_same_recipe(run, recipe, trained_with)
    if run is None:
        run = _create_run(job, recipe, policy, world, accelerator, held)
    else:
        _check_same_benchmark(run, recipe, world)
    environments = [
        RearrangementVectorEnv(world, own, rows, image_size=policy.image_size, reward=recipe.reward, seed=recipe.seed)
        for own, rows in zip(episodes, groups, strict=True)
    ]
    half = recipe.policy == "llarp" and policy.frozen.backbone.dtype != torch.float32
    trainer = Trainer(recipe, policy, environments, run, accelerator, save_policy=save_policy, below_float32=half)
    if checkpoint is None:
        trainer.begin()
    else:
        trainer.resume(checkpoint)
    main = accelerator.is_main_process
    if main:
        run.cut_metrics(trainer.steps)
        run.write_recipe(recipe)
        run.note(status="running")

    progress = Progress(run.path / "train.log" if main else None, total=recipe.steps, done=trainer.steps)
    progress.say("\n".join(_banner(recipe, policy, run, accelerator, trainer.steps)))
    status = "failed"
    try:
        finished = trainer.train(progress)
        status = "finished" if finished else "interrupted"
    finally:
        for environment in environments:
            environment.close()
        if main:
            with suppress(OSError):  # where the disk is full, that has been said already
                run.note(status=status, ended=_now(), steps=trainer.steps)
    progress.say("\n".join(_farewell(run, trainer, finished)))
    accelerator.end_training()
    return run.path, finished


def _check_same_recipe(run: RunDirectory, recipe: Recipe, trained_with: Recipe) -> None:
    """A run goes on as it began: only its length, and when it saves, may be others.

    Raises:
        UsageProblem: naming the first key that differs.
    """
    free = {"steps": recipe.steps, "checkpoint": recipe.checkpoint}
    if trained_with.model_copy(update=free) == recipe:
        return
    before = to_yaml(trained_with.model_copy(update=free)).splitlines()
    here, there = next((a, b) for a, b in zip(to_yaml(recipe).splitlines(), before, strict=True) if a != b)
    raise UsageProblem(
        f"'{run.path / 'recipe.yaml'}' says {here.strip()}; the run was trained with {there.strip()}",
        f"put that back, or begin anew: llarp train --recipe {run.path / 'recipe.yaml'}",
    )


def _check_same_benchmark(run: RunDirectory, recipe: Recipe, world: World) -> None:
    """The tasks and the world are those that the run began with.

    Raises:
        UsageProblem: they differ.
    """
    before, now = run.facts(), _benchmark(recipe, world)
    for part, what in (("world", "in another version of the environment"), ("benchmark", "on another benchmark")):
        if before.get(part, now[part]) != now[part]:
            told = [", ".join(str(value)[:40] for value in one.values()) for one in (before[part], now[part])]
            raise UsageProblem(
                f"run '{run.path}' was trained {what} ({told[0]}) than this llarp has ({told[1]})",
                f"go on with the llarp that it began with ({before['versions']['llarp']}), or begin anew",
            )


def _benchmark(recipe: Recipe, world: World) -> dict[str, Any]:
    """What a run's steps depend on beside the recipe and the frozen parts."""
    return {
        "world": {"name": world.name, "version": world.version},
        "benchmark": {"split": recipe.tasks.split, "tasks": fingerprint(fixed_tasks(recipe.tasks.split))},
    }


def _create_run(
    job: Job, recipe: Recipe, policy: Policy, world: World, accelerator: Accelerator, held: ExitStack
) -> RunDirectory:
    """The new run's directory, made by the first process."""
    path = [job.run_dir or new_run_path(job.name, recipe.label)]
    if accelerator.num_processes > 1:
        broadcast_object_list(path)
    if accelerator.is_main_process:
        refuse_used(path[0])
        held.enter_context(RunDirectory(path[0]).held())
        RunDirectory.create(path[0], recipe, _facts(job, recipe, policy, world, accelerator))
    accelerator.wait_for_everyone()
    return RunDirectory(path[0])


def _facts(job: Job, recipe: Recipe, policy: Policy, world: World, accelerator: Accelerator) -> dict[str, Any]:
    """What `run.json` says of a new run."""
    device = accelerator.device
    encoder = policy.frozen.encoder
    installed = {d: metadata.version(d) for d in RECORDED if _installed(d)}
    return {
        "command": list(job.command),
        "started": _now(),
        "versions": {"llarp": __version__, "python": platform.python_version(), **installed},
        "hardware": {
            "machine": platform.platform(),
            "cores": os.cpu_count(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        },
        "seed": recipe.seed,
        "num_processes": accelerator.num_processes,
        "backbone": {
            **asdict(policy.frozen.backbone.identity),
            "frozen": policy.frozen.backbone.trained is None,
            "lora_rank": recipe.backbone.lora.rank,
        },
        "vision": {
            "name": encoder.name,
            "weights": encoder.weights,
            "hash": encoder.hash,
            "renderer": encoder.renderer,
        },
        **_benchmark(recipe, world),
    }


def _banner(recipe: Recipe, policy: Policy, run: RunDirectory, accelerator: Accelerator, steps: int) -> list[str]:
    backbone, encoder = policy.frozen.backbone, policy.frozen.encoder
    trained = sum(parameter.numel() for parameter in policy.parameters())
    reader = f"{backbone.parameters:,} frozen parameters"
    if not recipe.reads_with_backbone:
        reader = "tokenizer only" if recipe.policy == "lstm" else "tokenizer and size only"
    if backbone.trained is not None:
        updates = sum(parameter.numel() for parameter in backbone.trained.parameters())
        reader = (
            f"not frozen: {backbone.parameters:,} parameters and LoRA of rank {recipe.backbone.lora.rank}, "
            f"{updates:,} trained parameters"
        )
    why = "chosen by the recipe" if recipe.backbone.dtype != "auto" else f"automatic on {accelerator.device.type}"
    minibatches = min(recipe.ppo.minibatches, recipe.num_envs)
    minibatch = recipe.num_envs * recipe.ppo.rollout_steps // minibatches
    dtype = str(backbone.dtype).removeprefix("torch.")
    lines = [
        f"run        {run.path}" + (f", resumed at {steps:,} steps" if steps else ""),
        f"policy     {recipe.policy}: {trained:,} trained parameters",
        f"backbone   {backbone.identity.name} ({backbone.identity.weights}): {reader}; {dtype}, {why}",
        f"vision     {encoder.name}, {encoder.image_size} x {encoder.image_size} pixels,"
        f" {encoder.tokens} token{'s' if encoder.tokens > 1 else ''} a step",
        *(f"           {line}" for line in arithmetic(recipe, accelerator.num_processes)),
        f"           minibatch = about {minibatch} steps of each process, in whole episodes;"
        f" {recipe.ppo.epochs} epochs of {minibatches}",
    ]
    return lines


def _farewell(run: RunDirectory, trainer: Trainer, finished: bool) -> list[str]:
    total = sum(trainer.seconds.values()) or 1.0
    shares = ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in trainer.seconds.items())
    took = time.strftime("%H:%M:%S", time.gmtime(total))
    lines = [f"time       {took} in all: {shares}"]
    if not finished:
        return [*lines, f"stopped at {trainer.steps:,} steps; go on with:", f"  llarp train --resume {run.path}"]
    success = trainer.success.value()
    return [
        *lines,
        f"done       {trainer.steps:,} steps, training success {'-' if success is None else f'{success:.1%}'}; next:",
        f"  llarp eval {run.path} --split train --split rephrasing --split new_scenes",
        f"  llarp rollout {run.path} --video out.mp4",
        f"  llarp export {run.path}",
    ]


def _launch(job: Job) -> bool:
    """Run the job in several processes of this machine; whether the run is complete.

    Not through torch's elastic launcher: on the first signal that ends its processes after 30
    seconds, where an update in progress and its checkpoint may need longer.
    """
    reports = mp.get_context("spawn").SimpleQueue()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.start_processes(
        _process, (job, port, reports), nprocs=job.num_processes, join=False, start_method="spawn"
    )

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in context.processes:
            if process.is_alive():
                os.kill(process.pid, signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not context.join():
            pass
    except (mp.ProcessExitedException, mp.ProcessRaisedException) as error:
        if reports.empty():
            code = getattr(error, "exit_code", None)
            if code == INTERRUPTED:
                return False
            raise LlarpError(f"a process of the run failed: {str(error).strip().splitlines()[-1]}") from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    report = json.loads(reports.get())
    if "error" in report:
        kind = UsageProblem if report["exit_code"] == UsageProblem.exit_code else LlarpError
        raise kind(report["error"], report["hint"])
    return report["finished"]


def _process(rank: int, job: Job, port: int, reports: Any) -> None:
    """One spawned process. Ctrl-C on a terminal reaches all processes: only the first one listens, and passes it on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(job.num_processes),
        LOCAL_WORLD_SIZE=str(job.num_processes),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(max(1, torch.get_num_threads() // job.num_processes))
    try:
        _, finished = _work(job)
    except LlarpError as error:
        reports.put(json.dumps({"error": error.message, "hint": error.hint, "exit_code": error.exit_code}))
        raise SystemExit(error.exit_code) from error
    if rank == 0:
        reports.put(json.dumps({"finished": finished}))


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")
