"""Run directories: what may be written where, which checkpoints stay, and which one a POLICY argument means."""

from __future__ import annotations

import json
import os

import pytest

from llarp_cli.config import PPOOptions, Recipe
from llarp_cli.errors import UsageProblem
from llarp_cli.learning.progress import Progress
from llarp_cli.runs import RunDirectory, new_run_path, resolve_policy


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "runs" / "one", Recipe(), {"started": "2026-01-01T00:00:00"})


def save(run, steps, *, best=None, keep=10):
    run.open_staging(steps)
    (run.staging(steps) / "adapter.safetensors").write_bytes(b"weights")
    run.publish(steps, best=best or steps, keep=keep)


def test_a_new_run_says_what_it_is(tmp_path):
    recipe = Recipe(steps=1234, ppo=PPOOptions(lr=2e-5))
    run = RunDirectory.create(tmp_path / "deep" / "down", recipe, {"seed": 7})
    assert RunDirectory.open(run.path).recipe() == recipe
    assert run.facts() == {"status": "starting", "seed": 7}
    run.note(status="finished", steps=5)
    assert run.facts() == {"status": "finished", "seed": 7, "steps": 5}


def test_a_directory_in_use_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageProblem, match="not empty") as problem:
        RunDirectory.create(tmp_path, Recipe(), {})
    assert problem.value.hint == "choose another --run-dir"
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_used_run_directory_names_the_command_that_goes_on(run):
    with pytest.raises(UsageProblem) as problem:
        RunDirectory.create(run.path, Recipe(), {})
    assert f"llarp train --resume {run.path}" in problem.value.hint


def test_a_directory_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageProblem, match="run directory"):
            RunDirectory.create(path, Recipe(), {})


def test_an_empty_directory_will_do(tmp_path):
    RunDirectory.create(tmp_path, Recipe(), {})
    assert (tmp_path / "recipe.yaml").is_file()


def test_what_is_no_run_is_not_resumed(tmp_path):
    with pytest.raises(UsageProblem, match="not a run directory"):
        RunDirectory.open(tmp_path)


def test_a_run_edited_by_hand_is_told_what_is_wrong(run):
    (run.path / "recipe.yaml").write_text("ppo:\n  lrr: 1\n")
    with pytest.raises(UsageProblem, match=r"unknown key 'ppo.lrr'"):
        run.recipe()
    (run.path / "run.json").write_text("{")
    with pytest.raises(UsageProblem, match="damaged"):
        run.facts()


def test_the_newest_and_the_best_checkpoints_stay(run):
    for steps, best in ((100, 100), (200, 200), (300, 200), (400, 200), (500, 200)):
        save(run, steps, best=best, keep=2)
    assert run.numbered() == [200, 400, 500]
    assert run.last() == run.checkpoint(500)
    assert os.readlink(run.checkpoints / "last") == "500"
    assert os.readlink(run.checkpoints / "best") == "200"
    assert sorted(os.listdir(run.checkpoints)) == ["200", "400", "500", "best", "last"]


def test_a_checkpoint_is_there_whole_or_not_at_all(run):
    save(run, 100)
    run.open_staging(200)
    (run.staging(200) / "adapter.safetensors").write_bytes(b"half")
    assert run.numbered() == [100]
    run.open_staging(300)
    assert not run.staging(200).exists()


def test_metrics_after_a_checkpoint_are_forgotten(run):
    for steps in (100, 200, 300):
        run.append_metrics({"steps": steps})
    with run.metrics.open("a") as file:
        file.write('{"steps": 4')
    run.cut_metrics(200)
    assert run.read_metrics() == [{"steps": 100}, {"steps": 200}]


def test_a_policy_is_a_run_a_checkpoint_or_an_export(run, tmp_path):
    save(run, 100)
    save(run, 200, best=100)
    assert resolve_policy(str(run.path)) == run.checkpoint(200)
    assert resolve_policy(str(run.checkpoint(100))) == run.checkpoint(100)
    assert resolve_policy(str(run.checkpoints / "best")).resolve() == run.checkpoint(100).resolve()
    export = tmp_path / "export"
    export.mkdir()
    (export / "adapter.safetensors").write_bytes(b"")
    assert resolve_policy(str(export)) == export
    assert resolve_policy("planner") == "planner"
    assert resolve_policy("random") == "random"


def test_links_may_be_text_files(run, monkeypatch):
    def refused(*_, **__):
        raise OSError("no links here")

    monkeypatch.setattr(type(run.path), "symlink_to", refused)
    save(run, 100)
    assert (run.checkpoints / "last").read_text() == "100\n"
    assert resolve_policy(str(run.checkpoints / "last")) == run.checkpoint(100)


def test_no_policy_means_the_newest_run_with_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageProblem, match="no trained policy") as problem:
        resolve_policy(None)
    assert problem.value.exit_code == 2 and "llarp train" in problem.value.hint
    for name, started in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-04")):
        RunDirectory.create(tmp_path / "runs" / name, Recipe(), {"started": started})
    for name in "ba":
        save(RunDirectory(tmp_path / "runs" / name), 64)
    assert resolve_policy(None).resolve() == tmp_path / "runs" / "a" / "checkpoints" / "64"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: None, "no such directory"),
        (lambda path: path.mkdir(), "holds no adapter.safetensors"),
        (lambda path: path.write_text(""), "holds no adapter.safetensors"),
        (lambda path: RunDirectory.create(path, Recipe(), {}), "no checkpoint yet"),
    ],
)
def test_what_is_no_policy_is_refused(tmp_path, make, message):
    path = tmp_path / "thing"
    make(path)
    with pytest.raises(UsageProblem, match=message) as problem:
        resolve_policy(str(path))
    assert problem.value.hint and "\n" not in problem.value.message


def test_run_names_are_plain(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert new_run_path("quickstart", "hf:ORG/NAME").name.startswith("quickstart-hf-ORG-NAME-20")
    assert new_run_path("quickstart", "minilm").parent.name == "runs"


def test_runs_that_begin_in_one_second_have_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda form: "20260101-120000")
    names = [new_run_path("quickstart", "minilm").name for _ in range(3)]
    assert names == [f"quickstart-minilm-20260101-120000{end}" for end in ("", "-2", "-3")]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "runs").write_text("mine")
    with pytest.raises(UsageProblem, match="cannot write in 'runs': Not a directory"):
        new_run_path("quickstart", "minilm")


def test_a_recipe_of_ones_own_is_no_run_that_was_cut(tmp_path):
    (tmp_path / "recipe.yaml").write_text("# mine\nsteps: 1000\n")
    with pytest.raises(UsageProblem, match="not empty"):
        RunDirectory.create(tmp_path, Recipe(), {})
    assert (tmp_path / "recipe.yaml").read_text().startswith("# mine")
    (tmp_path / "lock").touch()  # what `held` makes first
    assert RunDirectory.create(tmp_path, Recipe(), {}).recipe() == Recipe()


def test_nothing_is_removed_or_written_through_a_link(run, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / ".thesis.tmp").touch()
    save(run, 100)
    (run.checkpoints / ".thesis.tmp").touch()
    with run.held():
        assert (run.checkpoints / ".thesis.tmp").exists(), "not one of ours"
    run.checkpoints.rename(run.path / "aside")
    run.checkpoints.symlink_to(precious)
    with pytest.raises(UsageProblem, match="checkpoints' is a link"), run.held():
        pass
    assert os.listdir(precious) == [".thesis.tmp"]
    (run.path / "train.log").symlink_to(tmp_path / "victim.txt")
    with pytest.raises(OSError):
        Progress(run.path / "train.log", total=10).say("run something")
    assert not (tmp_path / "victim.txt").exists()


def test_training_goes_on_where_nobody_listens(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr("builtins.print", broken)
    progress = Progress(tmp_path / "train.log", total=10)
    progress.say("hello")
    progress.update(10, "ppo", 0.5)
    assert (tmp_path / "train.log").read_text().splitlines()[0] == "hello"
    assert "10 / 10 steps" in (tmp_path / "train.log").read_text()


def test_a_damaged_run_is_not_in_the_way_of_the_others(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(run, 100)
    other = RunDirectory.create(tmp_path / "runs" / "two", Recipe(), {"started": "2027-01-01T00:00:00"})
    save(other, 200)
    (other.path / "run.json").write_text("nonsense")
    assert resolve_policy(None).name == "100"


@pytest.mark.parametrize("line", ['{"steps": 1e400}', '{"steps": "5"}', '{"update": 1}'])
def test_damaged_metrics_are_told(run, line):
    run.metrics.write_text(line + "\n")
    with pytest.raises(UsageProblem, match="line 1 is no update's"):
        run.cut_metrics(100)


def test_run_json_is_json(run):
    assert json.loads((run.path / "run.json").read_text())["status"] == "starting"
