"""Studies: what is left to do, going on after a cut, and the report."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from made_up_runs import make_run, record, some, tried
from study_files import FILE

from llarp_cli.comparison import filling, study
from llarp_cli.comparison.plan import plan
from llarp_cli.comparison.study_file import load_study
from llarp_cli.config import Recipe
from llarp_cli.rearrangement.splits import SPLITS, split_episodes
from llarp_cli.recipes import load_recipe
from llarp_cli.runs import RunDirectory

# What is left to do


def states(name: str = "study.yaml") -> dict[str, tuple[str, int]]:
    return {run.path.name: (run.state, run.taken) for run in plan(load_study(name))}


def begin(path: Path, recipe: Recipe, steps: list[int]) -> Path:
    """A run as far as these checkpoints."""
    run = RunDirectory.create(path, recipe, {"num_processes": 1, "started": "today"})
    run.note(hardware={"device": "cpu", "cores": 2}, versions={"llarp": "0"})
    for number in steps:
        run.checkpoint(number).mkdir()
        (run.checkpoint(number) / "adapter.safetensors").write_bytes(b"")
        (run.checkpoint(number) / "config.json").write_text(json.dumps({"adapter_sha256": f"{path.name}@{number}"}))
    return path


def begin_first(name: str) -> Path:
    """The first run of a study as far as 1,000 steps."""
    first = plan(load_study(name))[0]
    return begin(first.path, first.recipe, [1000])


def test_runs_are_missing_cut_or_finished(written):
    first, second, lstm = plan(load_study(written()))
    begin(first.path, first.recipe, [1000, 4096])
    begin(second.path, second.recipe, [1000, 2000])
    begin(lstm.path, lstm.recipe, [])
    assert states() == {"ours-seed0": ("finished", 4096), "ours-seed1": ("cut", 2000), "lstm-seed0": ("missing", 0)}


def test_random_weights_get_the_runs_seed(written):
    text = FILE.replace("recipe: quickstart\n", "recipe: quickstart\n    overrides: {backbone.weights: random}\n", 1)
    assert [run.recipe.backbone.seed for run in plan(load_study(written(text)))] == [0, 1, None]


def test_a_study_that_was_changed_does_not_take_the_old_runs(written, llarp):
    begin_first(written())
    result = llarp("study", written(FILE.replace("imitation.steps: 2000", "imitation.steps: 1000")))
    assert result.exit_code == 2
    assert "was trained with imitation.steps = 2000; the study says 1000" in result.stderr
    written(FILE + "comparison: {checkpoints: 2}\n")  # how often it saves does not matter
    assert states()["ours-seed0"] == ("cut", 1000)


def test_dry_run_prints_budgets_and_writes_nothing(written, llarp):
    result = llarp("study", written(), "--dry-run")
    assert result.exit_code == 0
    assert re.search(r"lstm +0 +12,000 +6,000 +missing +12,000 steps", result.stdout)
    assert "to train    20,000 steps in all" in result.stdout
    assert "3 runs, planner: 2 splits" in result.stdout
    assert not Path("studies").exists()
    only = llarp("study", "study.yaml", "--dry-run", "--only", "ours").stdout
    assert "lstm" not in only and "to train    8,000" in only
    assert "unknown method 'x'" in llarp("study", "study.yaml", "--dry-run", "--only", "x").stderr


def test_dry_run_tells_how_long_where_the_rate_is_known(written, llarp):
    path = begin_first(written())
    RunDirectory(path).append_metrics({"steps": 1000, "steps_per_second": 10.0})
    text = llarp("study", "study.yaml", "--dry-run").stdout
    assert "3,000 steps, 5 min at 10 steps/s" in text
    assert "4,000 steps, 7 min at 10 steps/s" in text


# Doing it, with commands that only pretend


class Pretended:
    """Stands in for `run_llarp`: trains and evaluates at once, and remembers what it was asked."""

    def __init__(self):
        self.commands: list[tuple[str, ...]] = []
        self.stop_at: int | None = None
        self.exit_code = 0

    def __call__(self, command: str, *arguments: str) -> int:
        if len(self.commands) == self.stop_at:
            raise KeyboardInterrupt
        self.commands.append((command, *arguments))
        if self.exit_code:
            return self.exit_code
        getattr(self, command)(arguments)
        return 0

    def train(self, arguments):
        if arguments[0] == "--resume":
            run = RunDirectory.open(Path(arguments[1]))
        else:
            path = Path(arguments[arguments.index("--run-dir") + 1])
            recipe, _ = load_recipe(arguments[arguments.index("--recipe") + 1])
            run = RunDirectory(begin(path, recipe, []))
        recipe = run.recipe()
        for i in range(recipe.steps // 1000):
            run.append_metrics(
                {
                    "steps": 1000 * (i + 1),
                    "stage": "ppo",
                    "episodes": 500,
                    "success": min(0.9, 0.2 * (i + 1)),
                    "steps_per_second": 10.0,
                    "seconds": {"update": 3600.0},
                }
            )
        for steps in range(1000, recipe.steps + 1, 1000):
            folder = run.checkpoint(steps)
            folder.mkdir(exist_ok=True)
            (folder / "adapter.safetensors").write_bytes(b"")
            (folder / "config.json").write_text(json.dumps({"adapter_sha256": f"{run.path.name}@{steps}"}))

    def eval(self, arguments):
        from llarp_cli import registry
        from llarp_cli.evaluation.evaluate import choose, default_families
        from llarp_cli.evaluation.records import Outcome, keep
        from llarp_cli.rearrangement.episode_files import episodes_sha256

        splits = [value for flag, value in pairwise(arguments) if flag == "--split"]
        world = registry.load("environment", "home")
        records = []
        for split in splits:
            given = split_episodes(world, split)
            episodes, _ = choose(given, default_families(["move"]), 4)
            base = record(split, [], version=world.version, sha=episodes_sha256(given), policy=arguments[0])
            done = base.with_outcomes(Outcome(e.id, split, e.family, True, 1.0, 3, 0) for e in episodes)
            records.append(done)
            if arguments[0] != "planner":
                checkpoint = Path(arguments[0])
                run = checkpoint.parents[1]
                weights = {"steps": int(checkpoint.name), "adapter_sha256": f"{run.name}@{checkpoint.name}"}
                keep(run, done.model_copy(update=weights))
        if "--json" in arguments:
            told = {"recipe": None, "records": [one.to_json() for one in records]}
            Path(arguments[arguments.index("--json") + 1]).write_text(json.dumps(told))


@pytest.fixture
def pretended(monkeypatch) -> Pretended:
    found = Pretended()
    monkeypatch.setattr(study, "run_llarp", found)
    monkeypatch.setattr(filling, "run_llarp", found)
    return found


def test_a_study_trains_evaluates_and_reports_and_then_only_reports(written, pretended, llarp):
    result = llarp("study", written())
    assert result.exit_code == 0, result.output
    kinds = [command[0] for command in pretended.commands]
    assert kinds.count("train") == 3
    folder = Path("studies/study")
    assert {path.name for path in folder.iterdir()} == {
        "recipes", "runs", "evaluations", "report.md", "report.json", "success.png", "training.png",
    }  # fmt: skip
    text = (folder / "report.md").read_text()
    assert result.stdout == text
    assert text.startswith("# Two methods and a bound\n\n`llarp study study.yaml`\n\n![")
    assert "| planner |" in text.replace("  ", " ") and "labelled by the expert" in text
    told = json.loads((folder / "report.json").read_text())
    assert [run["hours"] for run in told["runs"]] == [4.0, 4.0, 12.0]
    # Runs are compared at matched steps too, so the baseline was evaluated there.
    evaluated = {path.parent.name for path in (folder / "runs" / "lstm-seed0" / "evaluations").rglob("*.json")}
    assert {"12000", "4000"} <= evaluated

    before = list(pretended.commands)
    again = llarp("study", "study.yaml")
    assert again.stdout == text and pretended.commands == before


def test_damaged_files_of_a_study_are_said_so(written, pretended, llarp):
    llarp("study", written())
    (evaluated,) = Path("studies/study/evaluations").glob("planner-seed0.json")
    run = Path("studies/study/runs/lstm-seed0")
    facts = json.loads((run / "run.json").read_text())
    lines = (run / "metrics.jsonl").read_text()
    for path, text, said in (
        (evaluated, "{", "is damaged: it is not JSON"),
        (run / "run.json", json.dumps({**facts, "hardware": {}}), "is damaged: 'device' is not in"),
        (run / "metrics.jsonl", f"?\n{lines}", "is damaged: line 1"),
    ):
        before = path.read_text()
        path.write_text(text)
        result = llarp("study", "study.yaml")
        assert result.exit_code == 2 and said in result.stderr and "hint: remove" in result.stderr, result.stderr
        path.write_text(before)


def test_a_study_goes_on_wherever_it_was_cut(written, pretended, llarp):
    llarp("study", written())
    whole, text = len(pretended.commands), Path("studies/study/report.md").read_text()
    for stop in (1, whole // 2, whole - 1):
        subprocess.run(["rm", "-r", "studies"], check=True)
        pretended.commands, pretended.stop_at = [], stop
        cut = llarp("study", "study.yaml")
        assert cut.exit_code == 130
        assert "`llarp study study.yaml` goes on" in cut.stderr and "error" not in cut.stderr
        pretended.stop_at = None
        assert llarp("study", "study.yaml").exit_code == 0
        assert len(pretended.commands) == whole
        assert Path("studies/study/report.md").read_text() == text


def test_a_cut_run_is_resumed_and_one_without_a_checkpoint_begun_again(written, pretended, llarp):
    first, second, _ = plan(load_study(written()))
    begin(first.path, first.recipe, [1000])
    begin(second.path, second.recipe, [])
    assert llarp("study", "study.yaml").exit_code == 0
    trained = [command[1:3] for command in pretended.commands if command[0] == "train"]
    assert trained[0] == ("--resume", str(first.path))
    assert trained[1][0] == "--recipe"


def test_runs_that_are_being_trained_or_were_evaluated_are_not_begun_again(written, pretended, llarp):
    first, *_ = plan(load_study(written()))
    begin(first.path, first.recipe, [])
    with RunDirectory(first.path).held():
        result = llarp("study", "study.yaml")
    assert result.exit_code == 2 and "trains in" in result.stderr
    assert (first.path / "run.json").is_file()
    (first.path / "evaluations" / "4000").mkdir(parents=True)
    result = llarp("study", "study.yaml")
    assert result.exit_code == 2 and "has evaluations, but none of its checkpoints any more" in result.stderr
    assert (first.path / "evaluations" / "4000").is_dir()


def test_a_run_that_another_study_began_meanwhile_is_gone_on_with(written, pretended, llarp):
    _, second, _ = plan(load_study(written()))
    trained = pretended.train

    def meanwhile(arguments):
        if not second.path.exists():
            begin(second.path, second.recipe, [1000])
        trained(arguments)

    pretended.train = meanwhile
    assert llarp("study", "study.yaml").exit_code == 0
    assert ("train", "--resume", str(second.path)) in pretended.commands


def test_a_study_that_names_no_splits_evaluates_all(written):
    for named in ("splits: [train, rephrasing], ", "evaluation: {splits: [train, rephrasing], limit: 4}\n"):
        assert load_study(written(FILE.replace(named, ""))).options.evaluation.splits == tuple(SPLITS)


@pytest.mark.parametrize("checkpoints", range(1, 24))
def test_no_checkpoint_falls_behind_the_first_methods_end(written, checkpoints):
    loaded = load_study(written(FILE + f"comparison: {{checkpoints: {checkpoints}}}\n"))
    ours, lstm = loaded.recipes["ours"], loaded.recipes["lstm"]
    assert ours.checkpoint.every == lstm.checkpoint.every
    assert ours.checkpoint.every * checkpoints <= ours.steps < ours.checkpoint.every * (checkpoints + 1) + checkpoints


def test_only_some_methods(written, pretended, llarp):
    result = llarp("study", written(), "--only", "ours", "--directory", "here")
    assert result.exit_code == 0, result.output
    assert "lstm" not in result.stdout
    assert {path.name for path in Path("here/runs").iterdir()} == {"ours-seed0", "ours-seed1"}


def test_a_training_that_fails_ends_the_study_and_says_how_to_go_on(written, pretended, llarp):
    pretended.exit_code = 1
    result = llarp("study", written(), "--only", "ours")
    assert result.exit_code == 1
    error, hint = result.stderr.splitlines()[-2:]
    assert error == "error: training ours with seed 0 failed" and "llarp study study.yaml" in hint


def test_what_is_wrong_with_a_policy_that_is_not_learned_is_told_before_any_training(written, pretended, llarp):
    pretended.exit_code = 2
    result = llarp("study", written())
    assert result.exit_code == 1 and "error: evaluating planner failed" in result.stderr
    assert [command[:2] for command in pretended.commands] == [("eval", "planner")]


def test_somebody_elses_folder_is_left_alone(written, pretended, llarp):
    written()
    Path("studies/study/runs/ours-seed0").mkdir(parents=True)
    Path("studies/study/runs/ours-seed0/thesis.txt").write_text("mine")
    result = llarp("study", "study.yaml")
    assert result.exit_code == 2 and "is not a run of this study" in result.stderr
    assert Path("studies/study/runs/ours-seed0/thesis.txt").read_text() == "mine"


def test_a_directory_that_cannot_be_made_is_said_so(written, pretended, llarp):
    Path("file").write_text("")
    result = llarp("study", written(), "--directory", "file/below")
    assert result.exit_code == 2 and "cannot write study directory" in result.stderr


# What is missing is evaluated


def test_compare_evaluates_what_is_missing(tmp_path, pretended, llarp):
    run = make_run(tmp_path / "a", ["tasks.families=[move]"], curve=[0.5], checkpoints=[1000])
    arguments = ("compare", run, "--evaluate", "--limit", "4", "--split", "train", "--split", "rephrasing")
    result = llarp(*arguments)
    assert result.exit_code == 0, result.output
    assert len(pretended.commands) == 1 and "rephrasing" in result.stdout
    assert llarp(*arguments).stdout == result.stdout
    assert len(pretended.commands) == 1
    llarp(*arguments, "--seed", "1")
    assert ("--seed", "1") in list(pairwise(pretended.commands[1]))


def test_an_evaluation_of_too_few_episodes_is_completed(tmp_path, pretended, llarp):
    run = make_run(tmp_path / "a", ["tasks.families=[move]"], curve=[0.5], checkpoints=[1000])
    tried(run, 1000, "train", some(2, 4))  # of other episodes than the benchmark's
    llarp("compare", run, "--evaluate", "--limit", "4", "--split", "train")
    assert [command[0] for command in pretended.commands] == ["eval"]


def test_an_evaluation_that_fails_is_said_so(tmp_path, pretended, llarp):
    run = make_run(tmp_path / "a", curve=[0.5], checkpoints=[1000])
    pretended.exit_code = 1
    result = llarp("compare", run, "--evaluate", "--split", "train")
    assert result.exit_code == 1 and "error: evaluating '" in result.stderr


# Processes


def test_a_command_that_fails_gives_its_exit_status():
    assert filling.run_llarp("eval", "/nowhere") == 2


WAITS = """
import sys, signal, time
sys.argv = ["x"]
from llarp_cli.comparison import filling
filling.sys.executable = sys.executable
import subprocess
real = subprocess.Popen
def popen(command, **options):
    code = (
        "import signal, sys, time\\n"
        "def stop(*_): print('saved', file=sys.stderr, flush=True); sys.exit(130)\\n"
        "signal.signal(signal.SIGTERM, stop)\\n"
        "deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN\\n"
        "print('ignored' if deaf else 'heard', file=sys.stderr, flush=True)\\n"
        "time.sleep(60)"
    )
    return real([sys.executable, "-c", code], **options)
filling.subprocess.Popen = popen
try:
    filling.run_llarp("train")
except KeyboardInterrupt:
    print("interrupted", file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_passed_on_once_and_waited_for(number):
    process = subprocess.Popen([sys.executable, "-c", WAITS], stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stderr.readline() == "ignored\n"
        time.sleep(0.2)
        # As a terminal does: everybody in the group hears it.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        assert process.stderr.read() == "saved\ninterrupted\n"
    finally:
        process.kill()
        process.wait()


# In earnest

TINY = """\
methods:
  ours:
    recipe: quickstart
  planner:
    policy: planner
overrides:
  steps: 128
  num_envs: 4
  backbone.name: tiny-llama
  vision: {name: cnn, image_size: 32}
  imitation.steps: 64
  ppo.rollout_steps: 16
  tasks: {families: [go_to], count: 8}
evaluation: {splits: [train, rephrasing], limit: 3}
comparison: {checkpoints: 2}
"""


@pytest.mark.slow
def test_a_study_in_earnest(written):
    def run() -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "llarp_cli", "study", written(TINY)], capture_output=True, text=True, check=False
        )

    done = run()
    assert done.returncode == 0, done.stderr
    assert re.search(r"\| rephrasing \| +3 \| .* \| +100\.0 \(", done.stdout)
    assert "imitation" in done.stderr and "ppo" in done.stderr  # how the training goes is seen
    folder = Path("studies/study")
    assert (folder / "success.png").stat().st_size > 10_000
    kept = sorted(path.relative_to(folder / "runs") for path in (folder / "runs").glob("*/evaluations/*/*.json"))
    assert len(kept) == 2 and {path.parts[2] for path in kept} == {"128"}
    again = run()
    assert again.stdout == done.stdout
    assert again.stderr == "report in studies/study/report.md\n"
