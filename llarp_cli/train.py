"""`llarp train`: from a recipe, or a run that was interrupted, to a trained policy in a run directory."""

from __future__ import annotations

import os
import platform
import random
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from llarp_cli import __version__
from llarp_cli.config import Recipe
from llarp_cli.environments.environment import Environment, open_environment
from llarp_cli.errors import UsageProblem, quoted
from llarp_cli.launching import launch, may_restart, restarts, same_launch
from llarp_cli.learning.collector import group_sizes
from llarp_cli.learning.devices import share_devices
from llarp_cli.learning.progress import Progress
from llarp_cli.learning.resuming import next_episode, processes_of
from llarp_cli.learning.signals import INTERRUPTED
from llarp_cli.learning.trackers import Trackers
from llarp_cli.learning.trainer import Trainer
from llarp_cli.policy.build import build_policy
from llarp_cli.policy.contract import Policy
from llarp_cli.policy.files import check_repertoire, check_world, open_policy, save_policy
from llarp_cli.recipes import arithmetic, shortened, to_yaml
from llarp_cli.runs import RunDirectory, busy, new_run_path, refuse_used

RECORDED = ("torch", "transformers", "accelerate", "bitsandbytes", "peft", "numpy", "numba", "gymnasium", "safetensors")
"""Packages whose versions `run.json` records."""

MAX_RESTARTS = 3
"""How often several processes are started again, where nothing else is said."""


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
    num_processes: int | None = None,
    max_restarts: int | None = None,
) -> Path:
    """Train a policy, or go on with a run.

    Args:
        recipe: of a new run.
        name: the recipe's name, for the directory's.
        run_dir: where to write; None makes `runs/<name>-<policy>-<time>`.
        resume: the run to go on with, in place of `recipe`; it remembers everything else.
        steps: a new length for the resumed run.
        num_processes: on this machine; each has the recipe's environments. Left out, 1, or as many as a resumed run
            had. Under torchrun or `accelerate launch` the processes are there already, and this is not looked at.
        max_restarts: how often the processes are started again from the last checkpoint after one of them was killed
            or failed; left out, 3 times for several. One process is watched only if this is given. Under torchrun, its
            own `--max-restarts` counts.

    Returns:
        the run directory.

    Raises:
        UsageProblem: the recipe asks for what cannot be had, or the run directory will not do.
        LlarpError: training failed.
        SystemExit: 130, a signal stopped the run; what it has learned is saved.
    """
    launched = "LOCAL_RANK" in os.environ
    if launched and "MASTER_ADDR" not in os.environ:
        raise UsageProblem(
            "LOCAL_RANK is set, but not by a launcher: there is no MASTER_ADDR", "unset LOCAL_RANK, or use torchrun"
        )
    made = None
    if resume is not None:
        run = RunDirectory.open(resume)
        num_processes = num_processes or run.num_processes()
        if not restarts():
            _check_resumable(run, steps, held_by_us=launched)
    elif not launched:
        if run_dir is not None:
            refuse_used(run_dir)
        else:
            run_dir = made = new_run_path(name, recipe.label)
    elif run_dir is None and may_restart():
        raise UsageProblem("a run that is to be started again needs a directory to go on in", "--run-dir DIR")
    if launched and may_restart() and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        # https://github.com/pytorch/pytorch/issues/135712
        raise UsageProblem(
            "processes that are started again would find the addresses of those before them",
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 torchrun --standalone ..., or with --rdzv-backend c10d",
        )
    job = Job(recipe, resume or run_dir, name, steps, tuple(sys.argv), num_processes or 1)
    try:
        if launched or (job.num_processes == 1 and not max_restarts):
            path, finished = _work(job)
        else:
            _check_devices(job.num_processes)
            default = MAX_RESTARTS if job.num_processes > 1 else 0
            most = default if max_restarts is None else max_restarts
            path, finished = job.run_dir, launch(partial(_work, job), job.run_dir, job.num_processes, most)
    finally:
        if made is not None:
            with suppress(OSError):  # it is not empty: the run has begun
                made.rmdir()
    if not finished:
        raise SystemExit(INTERRUPTED)
    return path


def _check_devices(num_processes: int) -> None:
    devices = torch.cuda.device_count()
    if 0 < devices < num_processes:
        raise UsageProblem(
            f"--num-processes {num_processes}, where this machine has {devices} GPU{'s' * (devices > 1)}",
            f"one for each: --num-processes {devices}; CUDA_VISIBLE_DEVICES= trains without",
        )


def _check_resumable(run: RunDirectory, steps: int | None, *, held_by_us: bool) -> None:
    """Refuse what can be seen at once.

    Args:
        held_by_us: the first of our own processes may train there already.
    """
    living = None if held_by_us else run.holder()
    if living is not None:
        raise busy(run.path, living)
    last = run.last()
    if last is None:
        return
    total = steps or run.recipe().steps
    if int(last.name) >= total:
        raise UsageProblem(
            f"run '{run.path}' has taken its {total:,} steps already",
            f"make it longer: llarp train --resume {quoted(run.path)} --steps {2 * int(last.name)}",
        )


def _work(job: Job) -> tuple[Path, bool]:
    """One process's share of a run, from start to end; the run directory, and whether the run is complete."""
    with ExitStack() as held:
        return _run(job, held)


def _run(job: Job, held: ExitStack) -> tuple[Path, bool]:
    """Likewise; `held` keeps the lock on the run directory, which the first process has."""
    if (job.recipe or RunDirectory.open(job.run_dir).recipe()).backbone.device_map is not None:
        share_devices()
    # Without a GPU of CUDA's, accelerate wants to be told: several processes would each run alone, and a Mac's GPU,
    # which has no float64, would be taken.
    # And what half precision is, the recipe says, not the user's configuration of accelerate.
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")
    path, goes_on = _agreed(job, accelerator)
    run = None
    if goes_on:
        run = RunDirectory.open(path)
        if accelerator.is_main_process:
            held.enter_context(run.held())
        recipe = run.recipe()
        if job.steps is not None:
            recipe = recipe.model_copy(update={"steps": job.steps})
    else:
        recipe = job.recipe
    _seed(recipe.seed)
    place = open_environment(recipe.environment)
    place.check(recipe)
    groups = group_sizes(recipe.num_envs)
    process, turns = accelerator.process_index, accelerator.num_processes * len(groups)
    begun = 0
    checkpoint = None if run is None else run.last()
    if checkpoint is None:
        # Also where a run was stopped before its first checkpoint: it begins again.
        policy = build_policy(recipe, accelerator.device, world=place, repertoire=place.repertoire)
    else:
        policy, trained_with = open_policy(checkpoint, accelerator.device)
        check_repertoire(checkpoint, policy, place, place.repertoire)
        check_world(checkpoint, policy, place)
        _check_same_recipe(run, recipe, trained_with)
        if processes_of(checkpoint) != accelerator.num_processes:
            begun = next_episode(checkpoint)
    if run is None:
        run = _create_run(job, path, recipe, policy, place, accelerator, held)
    else:
        _check_same_benchmark(run, recipe, place)
    environments = [
        place.training(
            recipe, rows, image_size=policy.image_size, start=begun + process * len(groups) + group, stride=turns
        )
        for group, rows in enumerate(groups)
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
        run.note(status="running", num_processes=accelerator.num_processes)

    progress = Progress(run.path / "train.log" if main else None, total=recipe.steps, done=trainer.steps)
    progress.say("\n".join(_banner(recipe, policy, run, accelerator, checkpoint)))
    trackers = Trackers(recipe.trackers if main else (), run, recipe, trainer.steps, progress.say)
    status = "failed"
    try:
        finished = trainer.train(progress, trackers)
        status = "finished" if finished else "interrupted"
    finally:
        for environment in environments:
            environment.close()
        if main:
            with suppress(OSError):  # where the disk is full, that has been said already
                run.note(status=status, ended=_now(), steps=trainer.steps)
        trackers.finish()
    progress.say("\n".join(_farewell(run, trainer, place, finished)))
    accelerator.end_training()
    return run.path, finished


def _check_same_recipe(run: RunDirectory, recipe: Recipe, trained_with: Recipe) -> None:
    """A run goes on as it began: only its length, when it saves and who is told may be others.

    Raises:
        UsageProblem: naming the first key that differs.
    """
    trained_with = _as_long_as(recipe, trained_with)
    if trained_with == recipe:
        return
    before = to_yaml(trained_with).splitlines()
    here, there = next((a, b) for a, b in zip(to_yaml(recipe).splitlines(), before, strict=True) if a != b)
    raise UsageProblem(
        f"'{run.path / 'recipe.yaml'}' says {here.strip()}; the run was trained with {there.strip()}",
        f"put that back, or begin anew: llarp train --recipe {quoted(run.path / 'recipe.yaml')}",
    )


def _as_long_as(recipe: Recipe, other: Recipe) -> Recipe:
    """The other recipe with what a run may change: its length, when it saves and who is told."""
    free = {"steps": recipe.steps, "checkpoint": recipe.checkpoint, "trackers": recipe.trackers}
    return other.model_copy(update=free)


def _check_same_benchmark(run: RunDirectory, recipe: Recipe, place: Environment) -> None:
    """The tasks and the world are those that the run began with.

    Raises:
        UsageProblem: they differ.
    """
    before, now = run.facts(), _benchmark(recipe, place)
    for part, what in (("world", "in another version of the environment"), ("benchmark", "on another benchmark")):
        if before.get(part, now[part]) != now[part]:
            told = [shortened(", ".join(map(str, one.values()))) for one in (before[part], now[part])]
            version = shortened(before.get("versions", {}).get("llarp"))
            raise UsageProblem(
                f"run '{run.path}' was trained {what} ({told[0]}) than this llarp has ({told[1]})",
                f"go on with the llarp that it began with ({version}), or begin anew",
            )


def _benchmark(recipe: Recipe, place: Environment) -> dict[str, Any]:
    """What a run's steps depend on beside the recipe and the frozen parts."""
    return {
        "world": {"name": place.name, "version": place.version},
        "benchmark": place.benchmark(recipe.tasks.split),
    }


def _agreed(job: Job, accelerator: Accelerator) -> tuple[Path, bool]:
    """The run directory, and whether a run there goes on: what the first process finds before any of them begins."""
    found: list[Any] = [None, None]
    if accelerator.is_main_process:
        path = job.run_dir or new_run_path(job.name, job.recipe.label)
        run = RunDirectory(path)
        goes_on = job.recipe is None
        if not goes_on and (path / "run.json").is_file() and (restarts() > 0 or same_launch(run)):
            # Another recipe's run is another run, whose directory is refused.
            goes_on = _as_long_as(job.recipe, run.recipe()) == job.recipe
        found = [path, goes_on]
    if accelerator.num_processes > 1:
        broadcast_object_list(found)
    return found[0], found[1]


def _create_run(
    job: Job, path: Path, recipe: Recipe, policy: Policy, place: Environment, accelerator: Accelerator, held: ExitStack
) -> RunDirectory:
    """The new run's directory, made by the first process."""
    if accelerator.is_main_process:
        refuse_used(path)
        held.enter_context(RunDirectory(path).held())
        RunDirectory.create(path, recipe, _facts(job, recipe, policy, place, accelerator))
    accelerator.wait_for_everyone()
    return RunDirectory(path)


def _facts(job: Job, recipe: Recipe, policy: Policy, place: Environment, accelerator: Accelerator) -> dict[str, Any]:
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
        "launch": os.environ.get("TORCHELASTIC_RUN_ID"),
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
        **_benchmark(recipe, place),
    }


def _banner(
    recipe: Recipe, policy: Policy, run: RunDirectory, accelerator: Accelerator, checkpoint: Path | None
) -> list[str]:
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
    layers = getattr(backbone, "recomputed_layers", 0)  # of frozen transformers; others need not have any
    again = f"; {layers} layers computed again in updates" if layers else ""
    resumed = ""
    if checkpoint is not None:
        before, now = processes_of(checkpoint), accelerator.num_processes
        resumed = f", resumed at {int(checkpoint.name):,} steps"
        resumed += f" with {now} processes in place of {before}: new episodes begin" if now != before else ""
        resumed += f"; restart {restarts()} of {os.environ['TORCHELASTIC_MAX_RESTARTS']}" if restarts() else ""
    lines = [
        f"run        {run.path}{resumed}",
        f"policy     {recipe.policy}: {trained:,} trained parameters",
        f"backbone   {backbone.identity.name} ({backbone.identity.weights}): {reader}; {dtype}, {why}{again}",
        f"vision     {encoder.name}, {encoder.image_size} x {encoder.image_size} pixels,"
        f" {encoder.tokens} token{'s' if encoder.tokens > 1 else ''} a step",
        *(f"           {line}" for line in arithmetic(recipe, accelerator.num_processes)),
        f"           minibatch = about {minibatch} steps of each process, in whole episodes;"
        f" {recipe.ppo.epochs} epochs of {minibatches}",
    ]
    return lines


def _farewell(run: RunDirectory, trainer: Trainer, place: Environment, finished: bool) -> list[str]:
    total = sum(trainer.seconds.values()) or 1.0
    shares = ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in trainer.seconds.items())
    minutes, seconds = divmod(int(total), 60)
    took = f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    lines = [f"time       {took} in all: {shares}"]
    named = quoted(run.path)
    if not finished:
        return [*lines, f"stopped at {trainer.steps:,} steps; go on with:", f"  llarp train --resume {named}"]
    success = trainer.success.value()
    splits = "".join(f" --split {split}" for split in place.told_splits)
    return [
        *lines,
        f"done       {trainer.steps:,} steps, training success {'-' if success is None else f'{success:.1%}'}; next:",
        f"  llarp eval {named}{splits}",
        f"  llarp rollout {named} --video out.mp4",
        f"  llarp export {named}",
    ]


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
