"""A trained policy outside training: used from Python, or written out as a small folder with a model card."""

from __future__ import annotations

import json
import os
import re
import shutil
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from huggingface_hub import ModelCardData
from numpy.typing import NDArray
from safetensors.torch import load_file

from llarp_cli import runs
from llarp_cli.config import Recipe
from llarp_cli.errors import UsageProblem
from llarp_cli.policy.build import LearnedPolicy
from llarp_cli.policy.contract import Decision
from llarp_cli.policy.files import ADAPTER, POLICY_FILES, PolicyConfig, open_policy, read_policy
from llarp_cli.policy.parts import EPISODE_STEPS
from llarp_cli.rearrangement.skills import SKILLS

BASE_LICENCES = {
    "sentence-transformers/all-MiniLM-L6-v2": "Apache-2.0",
    "mistralai/": "Apache-2.0",
    "huggyllama/": "LLaMA's research licence",
    "meta-llama/": "Meta's LLaMA community licence",
}
"""Hub id, or its beginning, → licence of the frozen language model."""


class AgentPolicy:
    """A policy that acts in one episode at a time and remembers it.

    Attributes:
        skills: what each action does, e.g. "pick up the apple".
        image_size: side of the pictures it wants, pixels.
        recipe: what it was trained with.
    """

    def __init__(self, policy: LearnedPolicy, recipe: Recipe):
        self.skills: tuple[str, ...] = tuple(str(skill) for skill in SKILLS)
        self.image_size = policy.image_size
        self.recipe = recipe
        self._policy = policy
        self._state = policy.initial_state(1)
        self.reset()

    def reset(self) -> None:
        """Start a new episode with the next `act`."""
        self._instruction: str | None = None
        self._previous = -1
        self._steps = 0

    def act(
        self,
        rgb: NDArray[np.uint8],
        instruction: str,
        *,
        deterministic: bool = True,
        generator: torch.Generator | None = None,
    ) -> int:
        """Choose the next skill of the episode. A new instruction starts a new one.

        Args:
            rgb: what the robot sees, uint8 [image_size, image_size, 3].
            instruction: what is to be done.
            deterministic: take the likeliest skill; otherwise draw one, as in training.
            generator: of the draw.

        Returns:
            Index into `skills`.

        Raises:
            UsageProblem: the picture has another form, or the episode's 32 steps are over.
        """
        return int(self._step(rgb, instruction, deterministic, generator).actions[0])

    def act_logits(self, rgb: NDArray[np.uint8], instruction: str) -> NDArray[np.float32]:
        """Take the same step as `act` does, and return its logits, float32 [70], in place of the skill."""
        return self._step(rgb, instruction, True, None).logits[0].cpu().numpy()

    def _step(
        self, rgb: NDArray[np.uint8], instruction: str, deterministic: bool, generator: torch.Generator | None
    ) -> Decision:
        wanted = (self.image_size, self.image_size, 3)
        if rgb.shape != wanted or rgb.dtype != np.uint8:
            raise UsageProblem(
                f"a picture is {rgb.dtype} {list(rgb.shape)}; this policy wants uint8 {list(wanted)}",
                f"render at {self.image_size} pixels: resized pictures are not what it was trained on",
            )
        if instruction != self._instruction:
            self.reset()
        if self._steps == EPISODE_STEPS:
            raise UsageProblem(f"the episode is over: it has {EPISODE_STEPS} steps", "agent.reset() starts a new one")
        decision = self._policy.act(
            self._policy.perceive(rgb[None]),
            [instruction],
            self._state,
            np.array([self._steps == 0]),
            np.array([self._previous]),
            deterministic=deterministic,
            generator=generator,
        )
        self._instruction = instruction
        self._previous = int(decision.actions[0])
        self._steps += 1
        return decision


def load_policy(path: str | Path, device: Any = None, *, weights: str | None = None) -> AgentPolicy:
    """Load a trained policy, to use it from Python.

    Args:
        path: an export, a checkpoint, or a run directory (its best checkpoint).
        device: torch device; None takes the GPU where there is one.
        weights: hub id or path of the language model's weights in place of the recipe's.

    Raises:
        UsageProblem: there is no policy, or its files or frozen parts are not what they should be.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return AgentPolicy(*open_policy(policy_directory(path), device, weights))


def policy_directory(source: str | Path | None) -> Path:
    """The directory with a policy's files: the source itself, or a run's best checkpoint, else its last.

    Args:
        source: a run directory, a checkpoint or an export; None is the newest run under `./runs`.

    Raises:
        UsageProblem: there is none.
    """
    if source is None:
        source = run_of(runs.resolve_policy(None))
    best = Path(source) / "checkpoints" / "best"
    directory = runs.resolve_policy(str(best if best.exists() else source))
    if isinstance(directory, str):
        raise UsageProblem(f"'{directory}' is not a trained policy", "give a run directory, a checkpoint or an export")
    return directory


def run_of(directory: Path) -> Path | None:
    """The run that a checkpoint belongs to; None for an export."""
    return directory.parent.parent if directory.parent.name == "checkpoints" else None


def export_policy(source: str | Path | None, out: Path | None = None, results: Path | None = None) -> Path:
    """Write a policy and its model card into a new directory, all or nothing.

    Args:
        source: a run directory, a checkpoint or an export; None is the newest run under `./runs`.
        out: the directory to make; it may exist if it is empty. None makes `export` in the run.
        results: a file that `llarp eval --json` wrote; None takes the run's newest `eval*.json`, if any.

    Returns:
        The new directory.

    Raises:
        UsageProblem: no policy at `source`, `out` is not empty or cannot be written, or `results` is something else.
    """
    directory = policy_directory(source)
    config, recipe, _ = read_policy(directory)
    run = run_of(directory)
    if out is None:
        if run is None:
            raise UsageProblem(f"'{directory}' belongs to no run", "say where to export to: --out DIR")
        out = run / "export"
    if results is None and run is not None:
        results = max(run.glob("eval*.json"), key=lambda path: path.stat().st_mtime, default=None)
    card = model_card(directory, out.name, config, recipe, results)
    staging = out.with_name(f".{out.name}.tmp")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageProblem(f"'{out}' exists and is not an empty directory", "choose another one with --out")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        for name in POLICY_FILES:
            shutil.copyfile(directory / name, staging / name)
        (staging / "README.md").write_text(card, encoding="utf-8")
        if out.exists():
            out.rmdir()
        os.replace(staging, out)
    except OSError as error:
        raise UsageProblem(f"cannot write '{out}': {error.strerror}", "choose another place with --out") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return out


def model_card(directory: Path, folder: str, config: PolicyConfig, recipe: Recipe, results: Path | None) -> str:
    """The README.md of an export, with the front matter that the hub reads.

    Args:
        directory: where the policy's files are.
        folder: the name under which the user finds them.
        config, recipe: the policy's.
        results: a file that `llarp eval --json` wrote.

    Raises:
        UsageProblem: `results` is no such file.
    """
    base = _base_model(config)
    card = ModelCardData(
        language="en",
        license="apache-2.0",
        library_name="llarp",
        pipeline_tag="reinforcement-learning",
        base_model=base,
        tags=["llarp", "embodied", "language-rearrangement", config.policy],
    )
    adapter = directory / ADAPTER
    parameters = sum(tensor.numel() for tensor in load_file(adapter).values())
    revision = f", revision {config.backbone.revision}" if config.backbone.revision else ""
    template = Template(resources.files("llarp_cli").joinpath("templates/model_card.md").read_text("utf-8"))
    body = template.substitute(
        title=folder,
        skill_count=len(config.skills),
        parameters=f"{parameters:,}",
        size=f"{adapter.stat().st_size / 1e6:.1f} MB",
        policy=config.policy,
        backbone=f"`{config.backbone.name}`: {config.backbone.weights}{revision}, {config.backbone.dtype}, "
        f"SHA-256 {config.backbone.hash[:12]}",
        vision=f"`{config.vision.name}`: {config.vision.weights}, {config.vision.image_size} pixels, "
        f"{config.vision.tokens} token(s) per picture",
        environment=config.environment,
        version=config.llarp,
        folder=folder,
        example="put an apple on the sofa",
        image_size=config.vision.image_size,
        training=_training(recipe),
        results=_results(results),
        steps=EPISODE_STEPS,
        base_licence=_base_licence(base),
    )
    return f"---\n{card.to_yaml()}\n---\n\n{body}"


def _base_model(config: PolicyConfig) -> str | None:
    """Hub id of the language model; None for random weights and for a local folder."""
    weights = config.backbone.weights
    return weights if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", weights) and not Path(weights).exists() else None


def _base_licence(base: str | None) -> str:
    if base is None:
        return "Its weights are random or come from a local folder; their licence is the user's to know."
    for start, licence in BASE_LICENCES.items():
        if base.startswith(start):
            return f"{base} comes under {licence}: https://huggingface.co/{base}."
    return f"{base} comes under its own licence: https://huggingface.co/{base}."


def _training(recipe: Recipe) -> str:
    tasks, ppo = recipe.tasks, recipe.ppo
    families = ", ".join(f"`{family}`" for family in tasks.families) or "all families of the split"
    stages = f"PPO for {recipe.steps - min(recipe.imitation.steps, recipe.steps):,} steps"
    if recipe.imitation.steps:
        stages = f"imitation of a searching planner (DAgger) for {recipe.imitation.steps:,} steps, then {stages}"
    return (
        f"{stages[0].upper()}{stages[1:]}; split `{tasks.split}`, {families}; {len(tasks.categories) or 'all'} "
        f"categories named, {tasks.objects} objects in a home, {tasks.homes:,} homes; "
        f"{recipe.num_envs} environments, learning rate {ppo.lr:g}, seed {recipe.seed}."
    )


def _results(file: Path | None) -> str:
    if file is None:
        return "Not evaluated yet: `llarp eval` does it."
    try:
        results = json.loads(file.read_text("utf-8"))
        lines = ["| split | episodes | success | 95% interval |", "|---|---|---|---|"]
        for name, split in (*results["splits"].items(), ("all", results["total"])):
            low, high = split["interval"]
            lines.append(f"| {name} | {split['episodes']} | {split['success']:.1%} | {low:.1%} to {high:.1%} |")
        lines += ["", f"Evaluated with `llarp eval`, seed {results['seed']}; intervals are Wilson's."]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageProblem(f"'{file}' holds no results of `llarp eval --json`", "give another file") from error
    return "\n".join(lines)
