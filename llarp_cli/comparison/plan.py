"""What of a study is there, and what is still to be run."""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from llarp_cli.comparison.methods import key_values
from llarp_cli.comparison.study_file import Study
from llarp_cli.config import Recipe
from llarp_cli.errors import UsageProblem, unknown
from llarp_cli.evaluation.records import EVALUATIONS
from llarp_cli.rearrangement.splits import expand
from llarp_cli.runs import RunDirectory, busy, only_begun

State = Literal["missing", "cut", "finished"]


@dataclass(frozen=True)
class Planned:
    """A run of a study.

    Attributes:
        method: its name in the study file.
        recipe: with its seed.
        path: of its run directory.
        state: "missing", "cut" after `taken` steps, or "finished".
        taken: steps that are saved.
        num_processes: to train on.
    """

    method: str
    recipe: Recipe
    path: Path
    state: State
    taken: int
    num_processes: int

    @property
    def rate(self) -> float | None:
        """Steps per second so far, the median over updates; None before the first."""
        updates = RunDirectory(self.path).read_metrics()
        rates = [update["steps_per_second"] for update in updates if "steps_per_second" in update]
        return statistics.median(rates) if rates else None


def chosen_methods(study: Study, only: Sequence[str]) -> list[str]:
    """The methods of a study that are named, or all.

    Raises:
        UsageProblem: there is no such method.
    """
    for name in only:
        if name not in study.options.methods:
            raise unknown("method", name, study.options.methods)
    return [name for name in study.options.methods if not only or name in only]


def describe(study: Study, only: Sequence[str] = ()) -> str:
    """The runs with their budgets, and what comes after them.

    Raises:
        UsageProblem: as `plan` and `chosen_methods` do.
    """
    methods = chosen_methods(study, only)
    runs = [one for one in plan(study) if one.method in methods]
    rates: dict[str, float] = {}
    for one in runs:
        if one.rate is not None:
            rates[one.method] = one.rate
    header = ("run", "seed", "steps", "labelled by the expert", "state", "still to take")
    rows = []
    for one in runs:
        left = max(0, one.recipe.steps - one.taken)
        rate = rates.get(one.method)
        time = f", {_duration(left / rate)} at {rate:,.0f} steps/s" if rate and left else ""
        state = f"cut after {one.taken:,}" if one.state == "cut" else one.state
        labelled = min(one.recipe.imitation.steps, one.recipe.steps)
        numbers = f"{one.recipe.steps:,}", f"{labelled:,}"
        rows.append((one.method, str(one.recipe.seed), *numbers, state, f"{left:,} steps{time}"))
    evaluation = study.options.evaluation
    splits = expand(evaluation.splits)
    total = sum(one.recipe.steps - one.taken for one in runs if one.state != "finished")
    not_learned = [name for name in methods if name not in study.recipes]
    return "\n".join(
        [
            _table([header, *rows]),
            "",
            f"to train    {total:,} steps in all",
            f"to evaluate {len(runs)} runs{''.join(f', {name}' for name in not_learned)}: {len(splits)} splits, "
            f"seed{'s' if len(evaluation.seeds) > 1 else ''} {', '.join(map(str, evaluation.seeds))}; then runs at "
            "matched steps and success",
            f"report      {study.directory / 'report.md'}",
        ]
    )


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:,.1f} h"


def plan(study: Study) -> list[Planned]:
    """Every run of a study, in the order in which they are run.

    Raises:
        UsageProblem: a run is there that was made from another recipe.
    """
    runs = []
    for method, recipe in study.recipes.items():
        options = study.options.methods[method]
        for seed in options.seeds:
            seeded = _with_seed(recipe, seed)
            path = study.directory / "runs" / f"{method}-seed{seed}"
            state, taken = _state(path, seeded)
            runs.append(Planned(method, seeded, path, state, taken, options.num_processes))
    return runs


def again(planned: Planned) -> Planned:
    """The same run as it is now.

    Raises:
        UsageProblem: it is there, made from another recipe.
    """
    state, taken = _state(planned.path, planned.recipe)
    return replace(planned, state=state, taken=taken)


def _with_seed(recipe: Recipe, seed: int) -> Recipe:
    """A recipe with its seed; random weights that it gives no seed get the same."""
    backbone = recipe.backbone
    if backbone.weights == "random" and backbone.seed is None:
        backbone = backbone.model_copy(update={"seed": seed})
    return recipe.model_copy(update={"seed": seed, "backbone": backbone})


def _state(path: Path, recipe: Recipe) -> tuple[State, int]:
    if not path.exists():
        return "missing", 0
    if not (path / "run.json").is_file() or not (path / "recipe.yaml").is_file():
        return "missing", 0
    run = RunDirectory.open(path)
    _check_same(path, run.recipe(), recipe)
    numbered = run.numbered()
    if not numbered:
        return "missing", 0
    return ("finished" if numbered[-1] >= recipe.steps else "cut"), numbered[-1]


def _check_same(path: Path, there: Recipe, wanted: Recipe) -> None:
    """Refuse a run of another recipe; how often it saves is nobody's concern."""
    ours, theirs = key_values(wanted), key_values(there)
    if wanted.backbone.weights == "random":
        ours["backbone.seed"], theirs["backbone.seed"] = wanted.backbone.seed, there.backbone.seed
    for key, value in ours.items():
        if value != theirs[key]:
            raise UsageProblem(
                f"'{path}' was trained with {key} = {theirs[key]}; the study says {value}",
                "put the study file back as it was, give the study another --directory, or remove that run",
            )


def clear(planned: Planned) -> None:
    """Remove what is left of a run that was cut before it saved anything.

    Raises:
        UsageProblem: what is there is no such run, is trained by another process, or has been evaluated.
    """
    path = planned.path
    if not path.exists():
        return
    if not (path / "run.json").is_file() and not only_begun(path):
        raise UsageProblem(f"'{path}' is not a run of this study", "remove it, or give the study another --directory")
    training = RunDirectory(path).holder()
    if training is not None:
        raise busy(path, training)
    if (path / EVALUATIONS).is_dir():
        raise UsageProblem(
            f"'{path}' has evaluations, but none of its checkpoints any more",
            "put them back, or remove the whole run, and it is trained again",
        )
    shutil.rmtree(path)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns of text, two spaces apart, numbers flush right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < i < 4 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
