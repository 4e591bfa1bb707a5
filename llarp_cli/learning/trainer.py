"""A training run: collect, learn, report, save; imitation first where the recipe wants it, then PPO."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from llarp_cli.config import Recipe
from llarp_cli.errors import LlarpError, quoted
from llarp_cli.files import remove
from llarp_cli.learning.checkpoint import (
    load_counters,
    load_tensors,
    random_states,
    reading,
    restore_random_states,
    save_tensors,
)
from llarp_cli.learning.clock import PARTS, Clock
from llarp_cli.learning.collector import Collector
from llarp_cli.learning.curves import draw_curves
from llarp_cli.learning.gae import explained_variance
from llarp_cli.learning.imitation import expert_share, imitation_loss
from llarp_cli.learning.learner import Learner, NotFinite
from llarp_cli.learning.memory import release_free_memory
from llarp_cli.learning.ppo import ppo_loss
from llarp_cli.learning.progress import Progress
from llarp_cli.learning.resuming import processes_of
from llarp_cli.learning.rollouts import Finished, Rollout
from llarp_cli.learning.signals import StopSignals
from llarp_cli.learning.stragglers import Finishers
from llarp_cli.learning.success import SuccessAverage
from llarp_cli.learning.trackers import Trackers
from llarp_cli.policy.contract import Policy
from llarp_cli.runs import RunDirectory

Stage = Literal["imitation", "ppo"]
SavePolicy = Callable[[Policy, Recipe, Path], None]


class Trainer:
    """Trains a policy in an environment as a recipe says, into a run directory.

    Args:
        recipe: fully resolved.
        policy: its parameters are what is trained; already on the accelerator's device.
        environments: this process's, in the groups they are collected in (see `collector`).
        run: where to write; only the first process does.
        accelerator: device and processes.
        save_policy: writes the policy's part of a checkpoint into a directory.
        below_float32: the policy computes in half precision (see `Learner.update`).
    """

    def __init__(
        self,
        recipe: Recipe,
        policy: Policy,
        environments: Sequence[Any],
        run: RunDirectory,
        accelerator: Accelerator,
        *,
        save_policy: SavePolicy,
        below_float32: bool = False,
    ):
        self.recipe = recipe
        self.policy = policy
        self.run = run
        self.accelerator = accelerator
        self.save_policy = save_policy
        self.below_float32 = below_float32
        self.clock = Clock()
        # Each process samples its own actions; the order of minibatches may be the same.
        seed = recipe.seed * 1_000_003 + accelerator.process_index
        self.collector = Collector(
            policy,
            environments,
            device=accelerator.device,
            clock=self.clock,
            seed=seed,
            limit_ends=recipe.ppo.limit_ends,
        )
        self.learner = Learner(policy, accelerator, weight_decay=recipe.ppo.weight_decay, seed=recipe.seed)
        self.finishers: Finishers | None = None
        if accelerator.num_processes > 1 and recipe.ppo.finish_share < 1:
            self.finishers = Finishers(
                recipe.ppo.finish_share, process=accelerator.process_index, processes=accelerator.num_processes
            )
        self.steps = 0
        self.updates = 0
        self.success = SuccessAverage()
        self.best: dict[str, float] = {"steps": 0, "success": -1.0}
        self.saved_at: int | None = None
        self.seconds = dict.fromkeys((*PARTS, "other"), 0.0)

    @property
    def stage(self) -> Stage:
        return "imitation" if self.steps < self.recipe.imitation.steps else "ppo"

    def begin(self) -> None:
        """Start from nothing."""
        self.collector.reset()

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint whose weights the policy already has: exactly, if as many processes wrote it.

        Raises:
            UsageProblem: the checkpoint is damaged.
        """
        folder = checkpoint / "trainer"
        with reading(folder / "counters.json") as path:
            counters = load_counters(path)
            self.steps = self.saved_at = int(counters["steps"])
            self.updates = int(counters["updates"])
            self.best |= {name: counters["best"][name] for name in self.best}
            if not self.run.checkpoint(int(self.best["steps"])).is_dir():  # a newer one was better, and is gone
                self.best = {"steps": self.steps, "success": -1.0}
            self.seconds = {part: float(counters["seconds"][part]) for part in self.seconds}
            self.success.updates.extend([int(n), int(k)] for n, k in counters["success"])
            self.learner.random.bit_generator.state = counters["minibatch_order"]
        with reading(folder / "optimizer.pt") as path:
            self.learner.optimizer.load_state_dict(load_tensors(path))
        if processes_of(checkpoint) == self.accelerator.num_processes:
            with reading(folder / f"process-{self.accelerator.process_index}.pt") as path:
                own = load_tensors(path)
                self.collector.load_state_dict(own["collector"])
                restore_random_states(own["random"])
                # Processes draw unequally often, by how many episodes they have; older checkpoints know the first's.
                self.learner.random.bit_generator.state = own.get("minibatch_order", counters["minibatch_order"])
            self.collector.rebuild()  # what goes wrong here is not the file's fault
        else:
            self.collector.reset()
        if self.accelerator.is_main_process:
            self.run.cut_metrics(self.steps)

    def train(self, progress: Progress, trackers: Trackers | None = None) -> bool:
        """Train until the recipe's steps are taken, or a signal asks to stop; either way the end is saved.

        Args:
            progress: is told of every update, and closed.
            trackers: are told too.

        Returns:
            whether the run is complete.

        Raises:
            LlarpError: a loss or gradient is no longer a number, or the run directory cannot be written any more.
        """
        due = self._next_checkpoint()
        try:
            with StopSignals() as signals:
                while self.steps < self.recipe.steps:
                    line = self._update()
                    with self._writing():
                        if self.accelerator.is_main_process:
                            self.run.append_metrics(line)
                        progress.update(self.steps, line["stage"], line["success_average"])
                    if trackers is not None:
                        trackers.log(line)
                    stopping = self._any(signals.requested)
                    if stopping or self.steps >= due or self.steps >= self.recipe.steps:
                        self._save()
                        due = self._next_checkpoint()
                    if stopping:
                        break
        finally:
            progress.close()
        return self.steps >= self.recipe.steps

    def _update(self) -> dict[str, Any]:
        """Collect one rollout and learn from it; the line of `metrics.jsonl`."""
        begun = perf_counter()
        stage = self.stage
        self.clock.read()
        how = {} if self.finishers is None else {"enough": self.finishers.enough}
        if stage == "imitation":
            options = self.recipe.imitation
            share = expert_share(self.steps, options.steps, options.expert_acts_until)
            how |= {"expert": True, "expert_share": share}
        rollout = self.collector.collect(self.recipe.ppo.rollout_steps, **how)
        if self.finishers is not None:
            self.finishers.finish()
        taken = self._taken(rollout)
        with self.clock("update"):
            figures = self._learn(rollout, stage, taken)
        self.collector.rebuild()
        release_free_memory()
        self.steps += taken
        self.updates += 1

        seconds = self.clock.read()
        elapsed = perf_counter() - begun
        seconds["other"] = elapsed - sum(seconds.values())
        for part, value in seconds.items():
            self.seconds[part] += value
        return {
            "steps": self.steps,
            "update": self.updates,
            "stage": stage,
            **self._outcomes(rollout.finished),
            **figures,
            "seconds": {part: round(value, 4) for part, value in seconds.items()},
            "steps_per_second": round(taken / elapsed, 1),
        }

    def _learn(self, rollout: Rollout, stage: Stage, taken: int) -> dict[str, float]:
        ppo = self.recipe.ppo
        # Imitation regresses values to what was really earned; PPO trades that off against variance.
        gae_lambda = ppo.gae_lambda if stage == "ppo" else 1.0
        gained, returns = rollout.targets(gamma=ppo.gamma, gae_lambda=gae_lambda, reward_scale=ppo.reward_scale)
        variance = explained_variance(self._everywhere(rollout.values.flatten()), self._everywhere(returns.flatten()))
        if ppo.normalize_advantages:
            gained = self._normalized(gained)
        gained, returns = gained.flatten(), returns.flatten()
        lr = self._learning_rate(stage, taken)

        try:
            if stage == "imitation":
                options = self.recipe.imitation
                labels = rollout.labels.flatten()
                figures = self.learner.update(
                    rollout,
                    lambda logits, values, steps: imitation_loss(
                        logits,
                        values,
                        labels=labels[steps],
                        returns=returns[steps],
                        value_coefficient=options.value_coefficient,
                    ),
                    lr=lr,
                    epochs=options.epochs,
                    minibatches=options.minibatches,
                    max_grad_norm=options.max_grad_norm,
                )
            else:
                actions = rollout.actions[rollout.kept :]
                log_probs, values_then = rollout.log_probs.view(-1), rollout.values.view(-1)
                figures = self.learner.update(
                    rollout,
                    lambda logits, values, steps: ppo_loss(
                        logits,
                        values,
                        actions=actions[steps],
                        old_log_probs=log_probs[steps],
                        old_values=values_then[steps],
                        advantages=gained[steps],
                        returns=returns[steps],
                        clip=ppo.clip,
                        clip_value=ppo.clip_value,
                        value_coefficient=ppo.value_coefficient,
                        entropy_coefficient=ppo.entropy_coefficient,
                    ),
                    lr=lr,
                    epochs=ppo.epochs,
                    minibatches=ppo.minibatches,
                    max_grad_norm=ppo.max_grad_norm,
                    recompute=self.below_float32,
                )
        except NotFinite as error:
            raise LlarpError(
                f"training failed after {self.steps:,} steps ({stage}): {error.message}; {self._last_good()}",
                "try a smaller learning rate, e.g. "
                + ("imitation.lr=" if stage == "imitation" else "ppo.lr=")
                + f"{lr / 3:.1g}",
            ) from error
        return {**figures, "explained_variance": None if math.isnan(variance) else variance, "lr": lr}

    def _learning_rate(self, stage: Stage, taken: int) -> float:
        """The rate for `taken` steps more, which a schedule counts from before them and a warm-up from their middle."""
        imitation, ppo = self.recipe.imitation, self.recipe.ppo
        begin, end = (0, imitation.steps) if stage == "imitation" else (imitation.steps, self.recipe.steps)
        done = self.steps - begin
        lr = imitation.lr if stage == "imitation" else ppo.lr
        if stage == "imitation" and imitation.warmup:
            lr *= min(1.0, (done + taken / 2) / imitation.warmup)
        if ppo.lr_schedule == "linear":
            lr *= 1 - done / (end - begin)
        return lr

    def _taken(self, rollout: Rollout) -> int:
        """Steps of all processes."""
        return int(self.learner.total(torch.tensor(rollout.rewards.numel(), device=self.accelerator.device)))

    def _everywhere(self, values: torch.Tensor) -> torch.Tensor:
        """One line of numbers from all processes, which may have unequally many."""
        counts = self.accelerator.gather(torch.tensor([len(values)], device=values.device)).tolist()
        rows = self.accelerator.gather(self.accelerator.pad_across_processes(values)).view(len(counts), -1)
        return torch.cat([row[:count] for row, count in zip(rows, counts, strict=True)])

    def _normalized(self, gained: torch.Tensor) -> torch.Tensor:
        """Zero mean and unit variance over the steps of all processes."""
        sums = self.learner.total(torch.stack([gained.new_tensor(gained.numel()), gained.sum(), gained.square().sum()]))
        mean = sums[1] / sums[0]
        deviation = (sums[2] / sums[0] - mean.square()).clamp(min=0).sqrt()
        return (gained - mean) / (deviation + 1e-8)

    def _outcomes(self, finished: list[Finished]) -> dict[str, Any]:
        """What came of the episodes that ended, in all processes; null where none did."""
        everywhere = gather_object(finished)
        own = [episode for episode in everywhere if not episode.by_expert]
        self.success.add(len(own), sum(episode.success for episode in own))
        families = sorted({episode.family for episode in own})

        def mean(values: list[float]) -> float | None:
            return sum(values) / len(values) if values else None

        steps = sum(episode.length for episode in own)
        return {
            "episodes": len(own),
            "expert_episodes": len(everywhere) - len(own),
            "success": mean([episode.success for episode in own]),
            "success_average": self.success.value(),
            "success_by_family": {f: mean([e.success for e in own if e.family == f]) for f in families},
            "return": mean([episode.total_reward for episode in own]),
            "length": mean([episode.length for episode in own]),
            "invalid_skills": sum(episode.invalid_skills for episode in own) / steps if steps else None,
        }

    def _any(self, flag: bool) -> bool:
        """Whether any process says so; all must stop at the same update."""
        return bool(self.learner.total(torch.tensor(float(flag), device=self.accelerator.device)))

    def _next_checkpoint(self) -> int:
        every = self.recipe.checkpoint.every
        return (self.steps // every + 1) * every

    def _last_good(self) -> str:
        good = self.run.last()
        return f"the last good checkpoint is {good}" if good else "there is no checkpoint yet"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """While something is written to the run directory.

        Raises:
            LlarpError: it cannot be.
        """
        try:
            yield
        except OSError as error:
            what = error.filename or self.run.path
            raise LlarpError(
                f"training stopped after {self.steps:,} steps, because '{what}' cannot be written: {error.strerror}; "
                + self._last_good(),
                f"when that is mended, go on with: llarp train --resume {quoted(self.run.path)}",
            ) from error

    def _save(self) -> None:
        """Write a checkpoint, complete or not at all."""
        if self.saved_at == self.steps:
            return
        with self._writing():
            try:
                self._write_checkpoint()
            finally:
                if self.accelerator.is_main_process:
                    with suppress(OSError):
                        remove(self.run.staging(self.steps))

    def _write_checkpoint(self) -> None:
        """Every process adds its own part, the first puts it in place."""
        staging = self.run.staging(self.steps)
        main = self.accelerator.is_main_process
        if main:
            self.run.open_staging(self.steps)
        self.accelerator.wait_for_everyone()
        folder = staging / "trainer"
        own = {
            "collector": self.collector.state_dict(),
            "random": random_states(),
            "minibatch_order": self.learner.random.bit_generator.state,
        }
        save_tensors(own, folder / f"process-{self.accelerator.process_index}.pt")
        self.accelerator.wait_for_everyone()
        success = self.success.value()
        if success is not None and self.success.settled and success >= self.best["success"]:
            self.best = {"steps": self.steps, "success": success}
        elif self.best["success"] < 0:
            self.best["steps"] = self.steps
        self.saved_at = self.steps
        if main:
            save_tensors(self.learner.optimizer.state_dict(), folder / "optimizer.pt")
            counters = {
                "steps": self.steps,
                "updates": self.updates,
                "processes": self.accelerator.num_processes,
                "best": self.best,
                "seconds": self.seconds,
                "success": list(self.success.updates),
                "minibatch_order": self.learner.random.bit_generator.state,
            }
            (folder / "counters.json").write_text(json.dumps(counters, indent=2) + "\n", encoding="utf-8")
            self.save_policy(self.policy, self.recipe, staging)
            self.run.publish(self.steps, best=self.best["steps"], keep=self.recipe.checkpoint.keep)
            draw_curves(self.run.read_metrics(), self.run.path / "curves.png")
        self.accelerator.wait_for_everyone()
