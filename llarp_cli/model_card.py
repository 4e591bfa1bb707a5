"""The model card of an export: what the policy is, how to use it, and how well it was measured to do."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from llarp_cli import registry
from llarp_cli.backbones.plugin import TransformersPlugin
from llarp_cli.config import Recipe
from llarp_cli.environments.arbitrary import Scheme
from llarp_cli.errors import UsageProblem, quoted
from llarp_cli.evaluation.records import BENCHMARK
from llarp_cli.policy.files import PolicyConfig
from llarp_cli.rearrangement.splits import GROUPS, SPLIT_SIZE

BASE_LICENCES = {
    "sentence-transformers/all-MiniLM-L6-v2": "Apache-2.0",
    "mistralai/": "Apache-2.0",
    "huggyllama/": "LLaMA's research licence",
    "meta-llama/": "Meta's LLaMA community licence",
}
"""Hub id, or its beginning, → licence of the frozen language model."""


MAX_RESULTS = 64 << 20
"""Bytes of a file of results."""

HOMES = ("home", "habitat")
"""Environments, without what stands after the colon, in which the benchmark takes place."""

METHOD = "(LLaRP: Szot et al., *Large Language Models as Generalizable\nPolicies for Embodied Tasks*, ICLR 2024)"

HOW = {
    "llarp": "{model} sees through a vision encoder\nand chooses one of {count} skills at each step {method}.",
    "lstm": "An LSTM trained from scratch, a baseline to LLaRP,\n"
    "{reads}, sees through a vision encoder and chooses one of {count} skills at each step.",
    "transformer": "A transformer trained from scratch, a baseline to LLaRP,\n"
    "reads the instruction, sees through a vision encoder and chooses one of {count} skills at each step.",
}
"""Policy kind → how it works, for the model card."""


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
    folder: str,
    config: PolicyConfig,
    recipe: Recipe,
    results: dict[str, Any] | None,
    *,
    parameters: int,
    size: int,
    curves: bool = False,
    film: bool = False,
) -> str:
    """The README.md of an export, with the front matter that the hub reads.

    Args:
        folder: the name under which the user finds the policy's files.
        config, recipe: the policy's.
        results: as `llarp eval --json` writes them.
        parameters, size: how many are trained, and how many bytes they take.
        curves, film: whether `curves.png` and `episode.mp4` lie beside it.
    """
    base = _base_model(config, recipe)
    at_home = config.environment.partition(":")[0] in HOMES
    task = "Language Rearrangement" if at_home else config.environment
    card = ModelCardData(
        language="en",
        license="apache-2.0",
        library_name="llarp",
        pipeline_tag="reinforcement-learning",
        base_model=base,
        tags=["llarp", "embodied", task.casefold().replace(" ", "-"), config.policy],
        model_name=f"llarp {recipe.label}",
        eval_results=_metadata(results, task),
    )
    revision = f", revision {config.backbone.revision}" if config.backbone.revision else ""
    template = Template(resources.files("llarp_cli").joinpath("templates/model_card.md").read_text("utf-8"))
    body = template.substitute(
        title=folder,
        place="a home" if at_home else f"`{config.environment}`",
        skill_count=len(config.skills),
        parameters=f"{parameters:,}",
        size=f"{size / 1e6:.1f} MB",
        policy=config.policy,
        how=HOW[config.policy].format(
            model=_model(config), reads=_reads(config, recipe), count=len(config.skills), method=METHOD
        ),
        elsewhere=f"the {'language model' if _knows_language(config, recipe) else 'tokenizer'} and the vision encoder",
        role=_role(config, recipe),
        backbone=f"`{config.backbone.name}`: {config.backbone.weights}{revision}, {config.backbone.dtype}, "
        f"SHA-256 {config.backbone.hash[:12]}",
        vision=f"`{config.vision.name}`: {config.vision.weights}, {config.vision.image_size} pixels, "
        f"{config.vision.tokens} token(s) per picture",
        environment=config.environment,
        version=config.llarp,
        film=_FILM if film else "",
        folder=folder,
        typed=quoted(folder),
        install=_install(config, recipe),
        evaluate="--split rephrasing" if at_home else f"--env {config.environment}",
        play=f"llarp play --web --policy {quoted(folder)}\n" if at_home else "",
        example="put an apple on the sofa" if at_home else "go to the red ball",
        image_size=config.vision.image_size,
        training=_training(recipe),
        curves=_CURVES if curves else "",
        results=_results(results),
        steps=config.steps,
        base_licence=_base_licence(base, config, recipe),
    )
    return f"---\n{card.to_yaml()}\n---\n\n{body}"


def _install(config: PolicyConfig, recipe: Recipe) -> str:
    """What pip is told: this package with the extras that the policy needs."""
    extras = {"web"} if config.environment.partition(":")[0] in HOMES else set()
    for kind, name in (("backbone", config.backbone.name), ("environment", config.environment)):
        plugin = registry.load(kind, name.partition(":")[0])
        if isinstance(plugin, (TransformersPlugin, Scheme)) and plugin.extra:
            extras.add(plugin.extra)
    if recipe.backbone.quantization in ("8bit", "4bit"):
        extras.add("quantized")
    if recipe.backbone.lora.rank:
        extras.add("lora")
    return f"llarp[{','.join(sorted(extras))}]" if extras else "llarp"


_CURVES = "\n![success, return, entropy and losses over the steps of training](curves.png)\n"

_FILM = """
<video src="episode.mp4" controls width="100%"></video>

An episode, filmed by `llarp rollout`: [episode.mp4](episode.mp4).
"""


def _is_random(config: PolicyConfig) -> bool:
    """Whether the weights of what is called the backbone were drawn at random: no language was ever learned."""
    return config.backbone.weights == "random"


def _knows_language(config: PolicyConfig, recipe: Recipe) -> bool:
    """Whether a pretrained language model reads the instructions."""
    return recipe.reads_with_backbone and not _is_random(config)


def _model(config: PolicyConfig) -> str:
    """What `policy: llarp` is built around."""
    if _is_random(config):
        tuned = "left as they were drawn" if config.backbone.frozen else "tuned by LoRA"
        return (
            f"A network with random weights, {tuned}, in place of a pretrained\nlanguage model (a baseline to LLaRP),"
        )
    return f"A pretrained {'and frozen' if config.backbone.frozen else 'and LoRA-tuned'} language model"


def _reads(config: PolicyConfig, recipe: Recipe) -> str:
    """How an LSTM reads."""
    if not recipe.reads_with_backbone:
        return "reads the instruction by words it learned"
    weights = "a network with random weights" if _is_random(config) else "a pretrained and frozen language model"
    return f"reads the instruction with {weights}"


def _role(config: PolicyConfig, recipe: Recipe) -> str:
    """What the backbone is to the policy."""
    if not recipe.reads_with_backbone:
        return "tokenizer" if config.policy == "lstm" else "tokenizer and size"
    what = "random network in place of a language model" if _is_random(config) else "language model"
    if config.backbone.frozen:
        return f"{what} (frozen)"
    return f"{what} (not frozen: LoRA of rank {config.backbone.lora_rank} is among the trained parts)"


def _base_model(config: PolicyConfig, recipe: Recipe) -> str | None:
    """Hub id of the language model; None for random weights, a local folder, and where only its tokenizer is used."""
    weights = config.backbone.weights
    on_hub = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", weights) and not Path(weights).exists()
    return weights if on_hub and recipe.reads_with_backbone else None


def _base_licence(base: str | None, config: PolicyConfig, recipe: Recipe) -> str:
    if base is None:
        if not recipe.reads_with_backbone:
            return f"Its tokenizer is that of `{config.backbone.name}` and is not included."
        if _is_random(config):
            return "The random weights can be drawn again, and are not included."
        return (
            "The language model is not included; it comes from a local folder, and its licence is its user's to know."
        )
    page = f"https://huggingface.co/{base}"
    for start, licence in BASE_LICENCES.items():
        if base.startswith(start):
            return f"The language model is not included. {base} comes under {licence}: {page}."
    return f"The language model is not included. {base} comes under its own licence: {page}."


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
    records, files = results.get("records", ()), _files(results)
    rows = {f"{name} of {files[name]}" if name in files else name: one for name, one in results["splits"].items()}
    if "all" in results.get("groups", ()) and not files:
        ten, whole = results["groups"]["all"], len(GROUPS["all"]) * SPLIT_SIZE
        rows["the paper's ten" + f", {ten['episodes']} of their {whole:,} episodes" * (ten["episodes"] < whole)] = ten
    rows["all of these"] = results["total"]
    for name, split in rows.items():
        low, high = split["interval"]
        lines.append(f"| {name} | {split['episodes']} | {split['success']:.1%} | {low:.1%} to {high:.1%} |")
    places = ", ".join(dict.fromkeys(f"`{one['world']}`" for one in records))
    how = "the likeliest skills" if any(one["deterministic"] for one in records) else "sampled skills"
    where = f" in {places}, {how}" if records else ""
    lines += ["", f"Evaluated with `llarp eval`{where}, seed {results['seed']}; intervals are Wilson's."]
    return "\n".join(lines)


def _files(results: dict[str, Any]) -> dict[str, str]:
    """Split → the file that its episodes are of, where they are not the benchmark's."""
    return {one["split"]: one["source"] for one in results.get("records", ()) if one["source"] != BENCHMARK}


def _metadata(results: dict[str, Any] | None, task: str) -> list[EvalResult] | None:
    """The same for the front matter."""
    if results is None:
        return None
    return [
        EvalResult(
            task_type="reinforcement-learning",
            dataset_type=task.casefold().replace(" ", "-"),
            dataset_name=f"{task}, {name}",
            dataset_split=name,
            metric_type="success_rate",
            metric_name="success rate",
            metric_value=round(split["success"], 4),
        )
        for name, split in results["splits"].items()
        if name not in _files(results)
    ]
