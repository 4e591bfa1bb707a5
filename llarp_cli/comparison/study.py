"""A study: run what is missing, go on with what was cut, evaluate, report. Called again, it goes on where it was.

<directory>/
  recipes/<method>-seed<n>.yaml    resolved
  runs/<method>-seed<n>/      run directories, with their evaluations
  evaluations/<policy>-seed<n>.json   of what is not learned
  report.md, report.json, success.png, training.png
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llarp_cli.comparison.compare import Comparison, compare
from llarp_cli.comparison.figures import plot_success, plot_training
from llarp_cli.comparison.filling import Say, Trials, fill_all, fill_gaps, lacking, run_llarp
from llarp_cli.comparison.methods import find_methods
from llarp_cli.comparison.outcomes import At
from llarp_cli.comparison.plan import Planned, again, chosen_methods, clear, plan
from llarp_cli.comparison.study_file import Study
from llarp_cli.comparison.tables import markdown_table, report
from llarp_cli.environments.environment import open_environment
from llarp_cli.environments.rearrangement import LanguageRearrangement
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.evaluation.evaluate import default_families
from llarp_cli.evaluation.records import Record, records_in
from llarp_cli.recipes import to_yaml
from llarp_cli.runs import RunDirectory, write_text


def run_study(study: Study, *, only: Sequence[str] = (), say: Say = print) -> Path:
    """Do what is left of a study.

    Args:
        only: names of methods; the others are left as they are, and out of the report.
        say: is told what happens, a line at a time.

    Returns:
        The report.

    Raises:
        UsageProblem: the directory holds other runs, or cannot be written; or it does not take place in homes.
        LlarpError: a training or an evaluation failed.
        KeyboardInterrupt: a signal asked to stop; everything can be gone on with.
    """
    if not isinstance(open_environment(study.environment), LanguageRearrangement):
        raise UsageProblem(
            f"studies take place in homes, and the methods of this one learn in {study.environment}",
            "elsewhere: llarp train, llarp eval and llarp compare, each by itself",
        )
    methods = chosen_methods(study, only)
    runs = [one for one in plan(study) if one.method in methods]
    try:
        (study.directory / "recipes").mkdir(parents=True, exist_ok=True)
        (study.directory / "evaluations").mkdir(exist_ok=True)
    except OSError as error:
        raise UsageProblem(
            f"cannot write study directory '{study.directory}': {error.strerror}", "choose another --directory"
        ) from error
    trials = Trials(**study.options.evaluation.model_dump())
    # First, so that what is wrong with one is not told after hours of training.
    bounds = {str(path): name for name in methods for path in _evaluate_bound(study, name, trials, say)}
    for i, planned in enumerate(runs):
        _train(study, planned, f"run {i + 1} of {len(runs)}", study.command(only), say)
        _evaluate_last(planned, trials, say)
    labels = {str(one.path): one.method for one in runs} | bounds
    options = study.options.comparison
    fill_all(list(labels), labels, trials, options.target, say, study.environment)
    comparison = compare(
        list(labels),
        labels=labels,
        splits=trials.splits,
        environment=study.environment,
        deterministic=trials.deterministic,
        threshold=options.threshold,
        target=options.target,
    )
    return _write_report(study, runs, comparison, study.command(only))


def _train(study: Study, planned: Planned, turn: str, command: str, say: Say) -> None:
    """Begin a run, or go on with it, as it is now: its turn may come hours after the plan was made."""
    planned = again(planned)
    what = f"{planned.method}, seed {planned.recipe.seed} ({turn})"
    if planned.state == "finished":
        return
    if planned.state == "cut":
        say(f"{what}: goes on after {planned.taken:,} of {planned.recipe.steps:,} steps")
        code = run_llarp("train", "--resume", str(planned.path))
    else:
        clear(planned)
        say(f"{what}: {planned.recipe.steps:,} steps")
        recipe = study.directory / "recipes" / f"{planned.path.name}.yaml"
        write_text(recipe, to_yaml(planned.recipe))
        options = ["--run-dir", str(planned.path)]
        if planned.num_processes > 1:
            options += ["--num-processes", str(planned.num_processes)]
        code = run_llarp("train", "--recipe", str(recipe), *options)
    if code:
        raise LlarpError(
            f"training {planned.method} with seed {planned.recipe.seed} failed",
            f"what it said is above; once that is mended, `{command}` goes on",
        )


def _evaluate_last(planned: Planned, trials: Trials, say: Say) -> None:
    """Evaluate a run at its last checkpoint."""
    (method,) = find_methods([str(planned.path)])
    fill_gaps([At(method, method.steps)], trials, say)


def _evaluate_bound(study: Study, method: str, trials: Trials, say: Say) -> list[Path]:
    """Evaluate what is not learned, under each seed, in the families of those that are; the files of results."""
    options = study.options.methods[method]
    if options.policy is None:
        return []
    policy = [options.policy]
    place = [] if study.environment == "home" else ["--env", study.environment]
    for flag, value in (("--backbone", options.backbone), ("--weights", options.weights)):
        policy += [] if value is None else [flag, value]
    trained = [recipe.tasks.families for recipe in study.recipes.values()]
    families = tuple(dict.fromkeys(family for some in trained for family in some)) if all(trained) else ()
    files = []
    for seed in trials.seeds:
        words = [part.strip("-") for part in (*policy, *place)] + ["deterministic"] * trials.deterministic
        what = "-".join(words)
        plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in what)
        path = study.directory / "evaluations" / f"{plain}-seed{seed}.json"
        if lacking(_evaluated(path), None, study.environment, families, trials, seed):
            say(f"evaluating {method}, seed {seed}")
            where = [*place, *(part for split in trials.splits for part in ("--split", split))]
            if not trials.all_families:
                where += [part for family in default_families(families) for part in ("--family", family)]
            how = ["--seed", str(seed), *trials.arguments()]
            code = run_llarp("eval", *policy, *where, *how, "--json", str(path))
            if code:
                raise LlarpError(f"evaluating {method} failed", "what it said is above")
        files.append(path)
    return files


def _evaluated(path: Path) -> list[Record]:
    """What an earlier evaluation left in a file, if there was one."""
    if not path.is_file():
        return []
    try:
        return records_in(json.loads(path.read_text("utf-8"))) or []
    except (OSError, ValueError, RecursionError) as error:
        raise UsageProblem(f"'{path}' is damaged: it is not JSON", "remove it, and it is evaluated again") from error


def _write_report(study: Study, runs: Sequence[Planned], comparison: Comparison, command: str) -> Path:
    """Tables, pictures and numbers; the Markdown file."""
    folder = study.directory
    success, training = folder / "success.png", folder / "training.png"
    drawn = []
    if comparison.splits:
        plot_success(comparison, success)
        drawn.append(("Success by split", success))
    if any(row.curve and row.curve.steps for row in comparison.rows):
        plot_training(comparison, training)
        drawn.append(("Success in training over environment steps", training))
    facts = [_facts(one) for one in runs]
    told = {"study": study.given, "summary": study.summary, "runs": facts, **comparison.to_json()}
    write_text(folder / "report.json", json.dumps(told, indent=2) + "\n")
    header = ["run", "seed", "steps", "hours", "began", "device", "cores", "llarp"]
    parts = [
        f"# {study.summary or study.name}",
        f"`{command}`",
        *(f"![{title}]({path.name})" for title, path in drawn),
        report(comparison),
        markdown_table(header, [[str(one[key]) for key in header] for one in facts], left=1),
    ]
    write_text(folder / "report.md", "\n\n".join(parts) + "\n")
    return folder / "report.md"


def _facts(planned: Planned) -> dict[str, Any]:
    """Where a run's numbers come from."""
    run = RunDirectory.open(planned.path)
    known, updates = run.facts(), run.read_metrics()
    try:
        seconds = sum(sum(update["seconds"].values()) for update in updates)
        return {
            "run": planned.method,
            "seed": planned.recipe.seed,
            "steps": updates[-1]["steps"] if updates else 0,
            "hours": round(seconds / 3600, 2),
            "began": known["started"],
            "device": known["hardware"]["device"],
            "cores": known["hardware"]["cores"],
            "llarp": known["versions"]["llarp"],
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageProblem(
            f"run '{planned.path}' is damaged: {error} is not in its run.json or metrics.jsonl",
            "remove the run, and it is trained again",
        ) from error
