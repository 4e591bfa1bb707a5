"""Trackers: what they are told, that they cannot fail or change a run, and TensorBoard's files."""

from __future__ import annotations

import random
import sys
import types

import numpy as np
import pytest
import torch
from toy_learning import ToyPolicy, open_toy, toy_recipe, toy_trainer

from llarp_cli.config import Recipe
from llarp_cli.learning import trackers
from llarp_cli.learning.progress import Progress
from llarp_cli.learning.trackers import TRACKERS, Trackers, flattened, identity
from llarp_cli.runs import RunDirectory


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """Curves take longer to draw than these runs to learn."""
    monkeypatch.setattr("llarp_cli.learning.trainer.draw_curves", lambda metrics, path: None)


def begun(folder, **changes):
    recipe = toy_recipe(steps=512, **changes)
    run = RunDirectory.create(folder, recipe, {"started": "2026-01-01T12:00:00"})
    trainer = toy_trainer(recipe, run, ToyPolicy(recipe.seed))
    trainer.begin()
    return trainer


def train(trainer, *names: str) -> list[str]:
    """Train to the end with trackers; the warnings."""
    warnings: list[str] = []
    told = Trackers(names, trainer.run, trainer.recipe, trainer.steps, warnings.append)
    assert trainer.train(Progress(None, total=trainer.recipe.steps), told)
    told.finish()
    return warnings


class Listener:
    """Remembers what it is told, makes noise and draws from all generators."""

    def __init__(self, run, recipe, steps):
        self.told = [("begin", steps)]
        self._disturb()

    def log(self, figures, steps):
        self.told.append((steps, figures))
        self._disturb()

    def finish(self):
        self.told.append("finish")

    def _disturb(self):
        print("look at me")
        random.random(), np.random.random(), torch.rand(3)
        torch.manual_seed(7)


@pytest.fixture
def listener(monkeypatch) -> list[Listener]:
    made: list[Listener] = []
    monkeypatch.setitem(TRACKERS, "wandb", lambda *given: made.append(Listener(*given)) or made[-1])
    return made


def test_a_tracker_is_told_what_the_metrics_say(tmp_path, listener, capsys):
    trainer = begun(tmp_path / "run")
    assert train(trainer, "wandb") == []
    first, *lines, last = listener[0].told
    metrics = trainer.run.read_metrics()
    assert (first, last) == (("begin", 0), "finish") and len(lines) == len(metrics) == 4
    for (steps, figures), line in zip(lines, metrics, strict=True):
        assert steps == line["steps"] and figures["entropy"] == line["entropy"]
        assert figures["seconds/update"] == line["seconds"]["update"]
        assert figures["success_by_family/toy"] == line["success_by_family"]["toy"]
        assert all(type(value) in (int, float) for value in figures.values())
        assert "stage" not in figures and "steps" not in figures
    assert capsys.readouterr().out == ""


def test_numbers_alone_are_told():
    line = {"steps": 3, "stage": "ppo", "success": None, "loss": float("nan"), "seconds": {"llm": 1.5}, "update": 1}
    assert flattened(line) == {"seconds/llm": 1.5, "update": 1}


def same_bytes(one: RunDirectory, other: RunDirectory) -> bool:
    names = ["adapter.pt", "trainer/process-0.pt", "trainer/optimizer.pt"]
    files = [
        sorted(path.relative_to(run.last()) for path in run.last().rglob("*") if path.suffix in (".pt", ".safetensors"))
        for run in (one, other)
    ]
    assert files[0] == files[1] and len(files[0]) >= len(names) - 1
    return all((one.last() / name).read_bytes() == (other.last() / name).read_bytes() for name in files[0])


def test_a_run_is_the_same_with_and_without(tmp_path, listener):
    alone, told, failing = (begun(tmp_path / name) for name in ("alone", "told", "failing"))
    train(alone)
    train(told, "wandb")
    TRACKERS["wandb"] = raising("log")
    assert len(train(failing, "wandb")) == 1
    assert same_bytes(alone.run, told.run) and same_bytes(alone.run, failing.run)


def raising(*methods: str, error: BaseException | None = None):
    """A tracker that raises in some methods."""

    class Raising:
        def __init__(self, run, recipe, steps):
            self._do("begin")

        def log(self, figures, steps):
            self._do("log")

        def finish(self):
            self._do("finish")

        def _do(self, method):
            random.random()
            if method in methods:
                raise error or ConnectionError(f"{method}: nobody there\nTraceback, and so on")

    return Raising


@pytest.mark.parametrize("methods", [("begin", "log", "finish"), ("log", "finish"), ("finish",)])
def test_whatever_a_tracker_raises_becomes_one_warning(tmp_path, monkeypatch, listener, methods):
    monkeypatch.setitem(TRACKERS, "trackio", raising(*methods))
    trainer = begun(tmp_path / "run")
    assert train(trainer, "trackio", "wandb") == [
        f"warning: tracker 'trackio' is left out from here on: ConnectionError: {methods[0]}: nobody there; "
        "metrics.jsonl goes on"
    ]
    assert len(trainer.run.read_metrics()) == 4 and len(listener[0].told) == 6  # the other is told all


@pytest.mark.parametrize("error", [SystemExit(1), MemoryError()])
def test_errors_of_every_kind(tmp_path, monkeypatch, error):
    monkeypatch.setitem(TRACKERS, "wandb", raising("log", error=error))
    (warning,) = train(begun(tmp_path / "run"), "wandb")
    assert type(error).__name__ in warning and "\n" not in warning


def test_a_tracker_that_does_not_come_to_an_end_is_not_waited_for(tmp_path, monkeypatch):
    import threading

    forever = threading.Event()
    endless = type("Endless", (Listener,), {"finish": lambda self: forever.wait()})
    monkeypatch.setitem(TRACKERS, "wandb", endless)
    monkeypatch.setattr(trackers, "FINISH_SECONDS", 0.05)
    (warning,) = train(begun(tmp_path / "run"), "wandb")
    forever.set()
    assert "TimeoutError: it does not finish within 0 seconds" in warning


@pytest.mark.parametrize(("name", "package"), [("trackio", "trackio"), ("wandb", "wandb"), ("tensorboard", None)])
def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package or "torch.utils.tensorboard", None)
    (warning,) = train(begun(tmp_path / "run"), name)
    assert f"needs the package '{package or 'torch.utils.tensorboard'}': pip install 'llarp[{name}]'" in warning


class Double(types.ModuleType):
    """What there is of trackio and wandb here."""

    def __init__(self):
        super().__init__("double")
        self.calls: list = []
        self.Settings = dict

    def init(self, *positional, **named):
        self.calls.append(("init", positional, named))
        return self

    def log(self, figures, step):
        self.calls.append(("log", step))

    def finish(self):
        self.calls.append("finish")


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_resumed_run_goes_on_under_its_name_at_its_step(tmp_path, monkeypatch, name):
    double = Double()
    monkeypatch.setitem(sys.modules, name, double)
    trainer = begun(tmp_path / "run")
    assert train(trainer, name) == []
    recipe = trainer.recipe.model_copy(update={"steps": 768})
    resumed = toy_trainer(recipe, trainer.run, open_toy(trainer.run.last()))
    resumed.resume(trainer.run.last())
    assert train(resumed, name) == []
    (_, project, first), *steps = double.calls[:6]
    (_, _, second), *more = double.calls[6:]
    assert "llarp" in (*project, first.get("project")) and first["resume"] == second["resume"] == "allow"
    mine = {"trackio": "name", "wandb": "id"}[name]
    assert first[mine] == second[mine] == identity(trainer.run) and first["config"]["steps"] == 512
    assert steps == [("log", n) for n in (128, 256, 384, 512)] + ["finish"]
    assert more == [("log", n) for n in (640, 768)] + ["finish"]
    other = RunDirectory.create(tmp_path / "elsewhere" / "run", recipe, {"started": "2026-01-02T12:00:00"})
    assert identity(other) != identity(trainer.run)


def test_tensorboard_has_every_figure_once_also_after_a_crash(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = begun(tmp_path / "run", checkpoint={"every": 256})
    assert train(trainer, "tensorboard") == []
    run = trainer.run
    before = run.read_metrics()
    # Killed after its second checkpoint was lost: it goes on from the first.
    resumed = toy_trainer(trainer.recipe, run, open_toy(run.checkpoint(256)))
    resumed.resume(run.checkpoint(256))
    assert train(resumed, "tensorboard") == []
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    told = [(event.step, pytest.approx(event.value, rel=1e-6)) for event in events.Scalars("entropy")]
    assert [(line["steps"], line["entropy"]) for line in before] == told
    assert {"seconds/update", "success_by_family/toy", "policy_loss"} <= set(events.Tags()["scalars"])


def test_a_recipe_names_trackers(llarp, tmp_path):
    shown = llarp("train", "--recipe", "quickstart", "--tracker", "wandb", "--tracker", "tensorboard", "--dry-run")
    assert "trackers: [wandb, tensorboard]" in shown.stdout and "# --tracker" in shown.stdout
    assert (
        "trackers: [tensorboard]"
        in llarp("train", "--recipe", "quickstart", "trackers=[tensorboard]", "--dry-run").stdout
    )
    wrong = llarp("train", "--recipe", "quickstart", "--tracker", "neptune", "--dry-run")
    assert wrong.exit_code == 2 and "(--tracker): should be 'tensorboard', 'trackio' or 'wandb'" in wrong.stderr
    assert Recipe().trackers == ()


def test_runs_that_differ_in_trackers_alone_are_of_one_method():
    from llarp_cli.comparison.methods import key_values

    assert key_values(Recipe()) == key_values(Recipe(trackers=("wandb",)))


def test_a_warning_reaches_the_log_of_a_run_that_goes_on(llarp, tmp_path, monkeypatch):
    monkeypatch.setitem(TRACKERS, "wandb", raising("begin"))
    smallest = ("num_envs=2", "ppo.rollout_steps=8", "ppo.minibatches=1", "ppo.epochs=1", "tasks.homes=2")
    options = ("--recipe", "lang-rearrange", "--steps", "16", "--run-dir", "run", "--tracker", "wandb")
    done = llarp("train", "--backbone", "tiny-llama", *options, *smallest, "tasks.count=4")
    assert done.exit_code == 0, done.stderr
    line = (
        "warning: tracker 'wandb' is left out from here on: ConnectionError: begin: nobody there; metrics.jsonl goes on"
    )
    assert done.stderr.count(line) == 1 and line in (tmp_path / "run" / "train.log").read_text()
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
