"""The model card of an export: what the policy is, how to use it, and how well it was measured to do."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import ModelCardData

from llarp_cli.config import Recipe
from llarp_cli.errors import UsageProblem
from llarp_cli.policy.files import PolicyConfig
from llarp_cli.policy.parts import EPISODE_STEPS

BASE_LICENCES = {
    "sentence-transformers/all-MiniLM-L6-v2": "Apache-2.0",
    "mistralai/": "Apache-2.0",
    "huggyllama/": "LLaMA's research licence",
    "meta-llama/": "Meta's LLaMA community licence",
}
"""Hub id, or its beginning, → licence of the frozen language model."""


MAX_RESULTS = 64 << 20
"""Bytes of a file of results."""

HOW = {
    "llarp": "A {kind} language model sees through a vision encoder\n"
    "and chooses one of 70 skills at each step (LLaRP: Szot et al., *Large Language Models as Generalizable\n"
    "Policies for Embodied Tasks*, ICLR 2024).",
    "lstm": "An LSTM trained from scratch, the baseline to LLaRP, {reads},\n"
    "sees through a vision encoder and chooses one of 70 skills at each step.",
    "transformer": "A transformer trained from scratch, the baseline to LLaRP,\n"
    "reads the instruction, sees through a vision encoder and chooses one of 70 skills at each step.",
}
"""Policy kind → how it works, for the model card; `kind` is of its language model."""


def read_results(file: Path) -> dict[str, Any]:
    """What `llarp eval --json` wrote.

    Raises:
        UsageProblem: the file holds something else.
    """
    try:
        with file.open("rb") as opened:
            results = json.loads(opened.read(MAX_RESULTS))
        Path(results["policy"])
        _results(results).encode()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageProblem(f"'{file}' holds no results of `llarp eval --json`", "give another file") from error
    return results


def model_card(
    folder: str, config: PolicyConfig, recipe: Recipe, results: dict[str, Any] | None, *, parameters: int, size: int
) -> str:
    """The README.md of an export, with the front matter that the hub reads.

    Args:
        folder: the name under which the user finds the policy's files.
        config, recipe: the policy's.
        results: as `llarp eval --json` writes them.
        parameters, size: how many are trained, and how many bytes they take.
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
    revision = f", revision {config.backbone.revision}" if config.backbone.revision else ""
    template = Template(resources.files("llarp_cli").joinpath("templates/model_card.md").read_text("utf-8"))
    body = template.substitute(
        title=folder,
        skill_count=len(config.skills),
        parameters=f"{parameters:,}",
        size=f"{size / 1e6:.1f} MB",
        policy=config.policy,
        how=HOW[config.policy].format(
            kind="frozen" if config.backbone.frozen else "LoRA-tuned",
            reads="reads the instruction with a frozen language model"
            if recipe.reads_with_backbone
            else "reads the instruction",
        ),
        role=f" ({_role(config, recipe)})",
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


def _role(config: PolicyConfig, recipe: Recipe) -> str:
    if not recipe.reads_with_backbone:
        return "tokenizer only" if config.policy == "lstm" else "tokenizer and size only"
    if config.backbone.frozen:
        return "frozen"
    return f"not frozen: LoRA of rank {config.backbone.lora_rank} is among the trained parts"


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


def _results(results: dict[str, Any] | None) -> str:
    if results is None:
        return "Not evaluated yet: `llarp eval` does it."
    lines = ["| split | episodes | success | 95% interval |", "|---|---|---|---|"]
    for name, split in (*results["splits"].items(), ("all", results["total"])):
        low, high = split["interval"]
        lines.append(f"| {name} | {split['episodes']} | {split['success']:.1%} | {low:.1%} to {high:.1%} |")
    lines += ["", f"Evaluated with `llarp eval`, seed {results['seed']}; intervals are Wilson's."]
    return "\n".join(lines)
