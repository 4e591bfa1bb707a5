"""From the names a user gives to the methods that are compared: runs that differ in their seed alone are one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llarp_cli.comparison.curves import DRAWN
from llarp_cli.config import Recipe
from llarp_cli.errors import UsageProblem, quoted, unknown
from llarp_cli.evaluation.records import Record, kept, records_in, run_of
from llarp_cli.recipes import recipe_keys
from llarp_cli.runs import RunDirectory, resolve_policy


@dataclass(frozen=True)
class Run:
    """One training, or what is not learned.

    Attributes:
        name: as typed.
        policy: kind, as in a recipe, or e.g. "planner".
        path: of the run directory; None where only its evaluation is here.
        recipe: None where nothing is learned.
        steps: of the checkpoint that is compared; None where nothing is learned or it lies in no run.
        pinned: the checkpoint was named.
        records: what is known of how it does, at all its checkpoints.
        updates: the lines of its `metrics.jsonl`, up to the checkpoint that was named.
        parts: what else must agree for two runs to be of one method.
    """

    name: str
    policy: str
    path: Path | None
    recipe: Recipe | None
    steps: int | None
    pinned: bool
    records: tuple[Record, ...]
    updates: tuple[dict[str, Any], ...]
    parts: str = ""

    @property
    def seed(self) -> int | None:
        return None if self.recipe is None else self.recipe.seed

    def numbered(self) -> list[int]:
        """The steps of its checkpoints that can still be run."""
        return [] if self.path is None else RunDirectory(self.path).numbered()


@dataclass(frozen=True)
class Method:
    """Runs of one recipe, with different seeds.

    Attributes:
        label: what tables and figures call it.
        runs: at least one.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def steps(self) -> int | None:
        """Of the checkpoints that are compared."""
        return self.runs[0].steps

    @property
    def learned(self) -> bool:
        return self.runs[0].recipe is not None


def find_methods(names: Sequence[str], labels: Mapping[str, str] | None = None) -> tuple[Method, ...]:
    """The methods that runs stand for, in the order in which they are first named.

    Args:
        names: run directories (compared at their last checkpoint), checkpoints in them, or files that
            `llarp eval --json` wrote.
        labels: name → label of the method it belongs to.

    Raises:
        UsageProblem: a name is none of these, a run is named twice, or the seeds of one recipe have not come
            equally far.
    """
    for name in labels or {}:
        if name not in names:
            raise UsageProblem(f"--label names '{name}', which is not compared", "--label RUN=NAME, RUN as typed")
    groups: dict[tuple[str, str], list[Run]] = {}
    for name in dict.fromkeys(names):
        run = _open(name)
        _add(groups.setdefault(_group(run, groups), []), run)
    for runs in groups.values():
        _check_equally_far(runs)
    found = [tuple(runs) for runs in groups.values()]
    chosen = _labels(found)
    for i, runs in enumerate(found):
        given = {labels[run.name] for run in runs if run.name in labels} if labels else set()
        if len(given) > 1:
            raise UsageProblem(f"{' and '.join(sorted(given))} are labels of one method", "give it one --label")
        chosen[i] = given.pop() if given else chosen[i]
    for label in chosen:
        if chosen.count(label) > 1:
            raise UsageProblem(f"two methods are called '{label}'", "give them other labels: --label RUN=NAME")
    return tuple(Method(label, runs) for label, runs in zip(chosen, found, strict=True))


def _open(name: str) -> Run:
    path = Path(name)
    if path.is_file() and path.suffix == ".json":
        return _from_json(name, path)
    if name in ("planner", "searcher", "expert", "random", "zero-shot"):
        raise UsageProblem(
            f"'{name}' keeps no evaluations", f"llarp eval {name} --json {name}.json; then compare {name}.json"
        )
    if (path / "run.json").is_file():
        return _from_run(name, RunDirectory.open(path), None)
    checkpoint = resolve_policy(name)
    run = run_of(checkpoint)
    if run is None:
        raise UsageProblem(
            f"'{name}' lies in no run, so that it keeps no evaluations",
            f"llarp eval {quoted(name)} --json results.json; then compare results.json",
        )
    return _from_run(name, RunDirectory.open(run), int(checkpoint.resolve().name))


def _from_run(name: str, run: RunDirectory, pinned: int | None) -> Run:
    recipe, facts = run.recipe(), run.facts()
    records = [record for record in kept(run.path) if not _stale(run, record)]
    updates = [update for update in run.read_metrics() if pinned is None or update["steps"] <= pinned]
    if not all(update.keys() >= DRAWN for update in updates):
        raise UsageProblem(f"'{run.metrics}' is damaged: a line is no update's", "remove that line")
    # Evaluations and metrics stay when checkpoints are let go.
    reached = [*run.numbered(), *(record.steps for record in records if record.steps is not None)]
    parts = {key: facts.get(key) for key in ("num_processes", "world")}
    parts["vision"] = facts.get("vision", {}).get("hash")
    if recipe.backbone.weights != "random":  # those are a seed's
        parts["backbone"] = facts.get("backbone", {}).get("hash")
    return Run(
        name=name,
        policy=recipe.policy,
        path=run.path,
        recipe=recipe,
        steps=max(reached, default=None) if pinned is None else pinned,
        pinned=pinned is not None,
        records=tuple(records),
        updates=tuple(updates),
        parts=json.dumps(parts, sort_keys=True),
    )


def _stale(run: RunDirectory, record: Record) -> bool:
    """Whether the checkpoint is another one now than when it was evaluated.

    Raises:
        UsageProblem: the checkpoint does not say which it is.
    """
    checkpoint = run.checkpoint(record.steps or 0)
    if not (checkpoint / "config.json").is_file():
        return False
    try:
        return json.loads((checkpoint / "config.json").read_text("utf-8"))["adapter_sha256"] != record.adapter_sha256
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageProblem(
            f"'{checkpoint / 'config.json'}' is damaged: it tells no adapter_sha256", f"remove '{checkpoint}'"
        ) from error


def _from_json(name: str, path: Path) -> Run:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageProblem(f"'{name}' is not JSON", "give a file that `llarp eval --json` wrote") from error
    records = records_in(value)
    if not records:
        raise UsageProblem(
            f"'{name}' does not tell episode by episode how it went: it is no evaluation, or an old one",
            "write it again: llarp eval POLICY --json FILE",
        )
    try:
        recipe = None if value.get("recipe") is None else Recipe.model_validate(value["recipe"])
    except ValidationError as error:
        raise UsageProblem(f"'{name}' is damaged: its recipe is none", "write it again: llarp eval --json") from error
    return Run(name, records[0].policy, None, recipe, records[0].steps, False, tuple(records), ())


def _configuration(run: Run) -> str:
    """What runs of one method have in common."""
    if run.recipe is None:
        return f"{run.policy} {[record.adapter_sha256 for record in run.records[:1]]}"
    return json.dumps([key_values(run.recipe), run.steps if run.pinned else None], sort_keys=True)


def _group(run: Run, groups: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """The group that a run belongs to, which may be a new one; what comes without its run fits any parts."""
    own = _configuration(run), run.parts
    alike = (group for group in groups if group[0] == own[0] and (not own[1] or group[1] in (own[1], "")))
    return next(alike, own)


def _add(runs: list[Run], run: Run) -> None:
    """One more run of a method; evaluations of the same one are put together."""
    for i, other in enumerate(runs):
        if other.seed != run.seed:
            continue
        if other.steps != run.steps and (run.path is None or other.path is None):
            told = [f"'{one.name}'" + (f" after {one.steps:,} steps" if one.steps else "") for one in (other, run)]
            raise UsageProblem(
                f"{' and '.join(told)} are of one recipe and one seed",
                "leave one out, or name checkpoints of their runs",
            )
        weights = {record.adapter_sha256 for record in (*other.records, *run.records) if record.steps == run.steps}
        if (run.path is None or other.path is None) and len(weights) == 1:
            whole = other if other.path is not None else run
            runs[i] = Run(**{**vars(whole), "records": (*other.records, *run.records)})
            return
        raise UsageProblem(
            f"'{other.name}' and '{run.name}' are of one recipe and one seed", "leave one out: it would count twice"
        )
    runs.append(run)


def _check_equally_far(runs: Sequence[Run]) -> None:
    far = min(runs, key=lambda run: run.steps or 0), max(runs, key=lambda run: run.steps or 0)
    if far[0].steps != far[1].steps:
        told = [f"'{run.name}' at {0 if run.steps is None else run.steps:,}" for run in far]
        raise UsageProblem(
            f"runs of one recipe have not come equally far: {' and '.join(told)} steps",
            f"go on with the first (llarp train --resume {quoted(far[0].name)}), or name checkpoints that agree; "
            "runs of three processes or more agree with ppo.finish_share=1",
        )


def _labels(found: Sequence[tuple[Run, ...]]) -> list[str]:
    """By policy and backbone; where that is not enough, with the recipe keys that differ."""
    plain = [_plain_label(runs[0]) for runs in found]
    labels = []
    for label, runs in zip(plain, found, strict=True):
        rivals = [other[0] for other, same in zip(found, plain, strict=True) if same == label]
        labels.append(label if len(rivals) == 1 else _fuller(label, runs[0], rivals))
    return labels


def _plain_label(run: Run) -> str:
    if run.recipe is None:
        return run.policy
    return f"{run.recipe.label}, LoRA" if run.recipe.backbone.lora.rank else run.recipe.label


def _fuller(label: str, run: Run, rivals: Sequence[Run]) -> str:
    if run.recipe is None:
        return f"{label} ({run.name})"
    values = [key_values(rival.recipe) for rival in rivals]
    own = key_values(run.recipe)
    differing = [key for key in own if any(value[key] != own[key] for value in values)]
    told = [f"{key.rsplit('.', 1)[-1]}={own[key]}" for key in differing]
    if len({rival.steps for rival in rivals}) > 1 and not differing:
        told = [f"{run.steps:,} steps"]
    return f"{label}, {', '.join(told)}" if 0 < len(told) <= 2 else f"{label} ({Path(run.name).name})"


_NO_MATTER = (
    "seed",
    "backbone.seed",
    "backbone.prefix_cache_mb",
    "backbone.gradient_checkpointing",
    "backbone.cuda_graphs",
    "trackers",
)


def key_values(recipe: Recipe) -> dict[str, Any]:
    """Dotted key → value, of what makes a method: not its seeds, how often it saves, what it remembers, who is told."""
    found = {}
    for key, section in recipe_keys().items():
        if section is not None or key in _NO_MATTER or key.startswith("checkpoint."):
            continue
        value: Any = recipe
        for part in key.split("."):
            value = getattr(value, part)
        found[key] = value
    return found


def find_method(methods: Sequence[Method], label: str) -> Method:
    """The method of that label.

    Raises:
        UsageProblem: there is none.
    """
    for method in methods:
        if method.label == label:
            return method
    raise unknown("method", label, [method.label for method in methods])
