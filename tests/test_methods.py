"""What runs stand for: which are one method, and what is kept of their evaluations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_up_runs import make_run, outcomes, record, some, tried, weights_of

from llarp_cli.comparison.compare import compare
from llarp_cli.comparison.methods import find_methods
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.records import keep, kept, run_of
from llarp_cli.runs import RunDirectory

LSTM = ["policy=lstm"]


# What is one method


def test_runs_that_differ_in_their_seed_are_one_method(tmp_path):
    a = make_run(tmp_path / "a", seed=0, checkpoints=[1000])
    b = make_run(tmp_path / "b", ["checkpoint.keep=9"], seed=1, checkpoints=[500, 1000])
    c = make_run(tmp_path / "c", LSTM, checkpoints=[1000])
    methods = find_methods([str(path) for path in (a, c, b)])
    assert [(m.label, [r.seed for r in m.runs]) for m in methods] == [("minilm", [0, 1]), ("lstm", [0])]


def test_metrics_that_lack_what_a_curve_needs_are_told_with_their_run(tmp_path):
    folder = make_run(tmp_path / "a", curve=[0.5])
    RunDirectory(folder).append_metrics({"steps": 2000})
    with pytest.raises(UsageProblem, match=r"a/metrics\.jsonl' is damaged"):
        find_methods([str(folder)])


def test_random_weights_with_seeds_of_their_own_are_one_method(tmp_path):
    runs = [
        make_run(
            tmp_path / str(seed), ["backbone.weights=random", f"backbone.seed={seed}"], seed=seed, checkpoints=[1000],
            facts={"backbone": {"hash": f"of seed {seed}"}},
        )
        for seed in (0, 1)
    ]  # fmt: skip
    (method,) = find_methods([str(run) for run in runs])
    assert (method.label, len(method.runs)) == ("minilm-random", 2)


def test_other_weights_or_another_world_are_another_method(tmp_path):
    runs = [
        make_run(tmp_path / str(i), seed=i, checkpoints=[1000], facts={"world": {"version": version}})
        for i, version in enumerate("233")
    ]
    assert [len(m.runs) for m in find_methods([str(run) for run in runs])] == [1, 2]


def test_methods_of_one_policy_are_told_apart_by_what_differs(tmp_path):
    a = make_run(tmp_path / "a", checkpoints=[1000])
    b = make_run(tmp_path / "b", ["ppo.lr=1e-4"], checkpoints=[1000])
    assert [m.label for m in find_methods([str(a), str(b)])] == ["minilm, lr=0.0005", "minilm, lr=0.0001"]
    named = find_methods([str(a), str(b)], {str(a): "ours", str(b): "slow"})
    assert [m.label for m in named] == ["ours", "slow"]


def test_two_checkpoints_of_one_run_are_two_methods(tmp_path):
    a = make_run(tmp_path / "a", checkpoints=[500, 1000])
    methods = find_methods([f"{a}/checkpoints/500", f"{a}/checkpoints/1000"])
    assert [(m.label, m.steps) for m in methods] == [("minilm, 500 steps", 500), ("minilm, 1,000 steps", 1000)]


def test_a_named_checkpoint_is_told_with_its_own_training_alone(tmp_path):
    a = make_run(tmp_path / "a", curve=[0.3, 0.5, 0.85, 0.9], checkpoints=[2000, 4000])
    for steps in (2000, 4000):
        tried(a, steps, "train", some(50))
    early, late = compare([f"{a}/checkpoints/2000", str(a)]).rows
    assert (early.curve.steps[-1], early.curve.best()[1], early.reached.steps) == (2000, 0.5, None)
    assert (late.curve.steps[-1], late.curve.best()[1], late.reached.steps) == (4000, 0.9, 3000)


def test_files_of_two_checkpoints_of_one_run_are_not_put_together(tmp_path, llarp):
    a = make_run(tmp_path / "a", checkpoints=[1000, 2000])
    tried(a, 2000, "train", some(50))
    recipe = RunDirectory(a).recipe().model_dump(mode="json")
    early = tmp_path / "early.json"
    one = record("train", some(20), steps=1000, weights=weights_of(a, 1000))
    early.write_text(json.dumps({"recipe": recipe, "records": [one.to_json()]}))
    result = llarp("compare", a, early)
    assert result.exit_code == 2
    assert "a' after 2,000 steps and" in result.stderr and "early.json' after 1,000 steps" in result.stderr


def test_a_run_that_would_count_twice_is_refused(tmp_path):
    a, b = (make_run(tmp_path / name, checkpoints=[1000]) for name in "ab")
    with pytest.raises(UsageProblem, match="one recipe and one seed"):
        find_methods([str(a), str(b)])


def test_seeds_that_have_not_come_equally_far_are_refused(tmp_path):
    a = make_run(tmp_path / "a", seed=0, checkpoints=[1000])
    b = make_run(tmp_path / "b", seed=1, checkpoints=[1000, 2000])
    with pytest.raises(UsageProblem, match=r"not come equally far: .*a' at 1,000 and .*b' at 2,000 steps"):
        find_methods([str(a), str(b)])
    assert len(find_methods([str(a), f"{b}/checkpoints/1000"])) == 2  # one was named, the other was not
    (method,) = find_methods([f"{a}/checkpoints/1000", f"{b}/checkpoints/1000"])
    assert method.steps == 1000


# Kept outcomes


def test_evaluations_of_parts_of_a_split_add_up(tmp_path):
    folder = make_run(tmp_path / "a", checkpoints=[1000])
    tried(folder, 1000, "train", [1, 1, 0])
    first = record("train", [], steps=1000, weights="a@1000")
    keep(folder, first.with_outcomes(outcomes("train", [0, 1, 0, 1])[2:]))
    (found,) = kept(folder)
    assert [(o.id, o.success) for o in found.outcomes] == [
        ("train-0000", True), ("train-0001", True), ("train-0002", False), ("train-0003", True),
    ]  # fmt: skip


def test_a_file_of_results_adds_to_what_its_run_has(tmp_path):
    run = make_run(tmp_path / "a", checkpoints=[2000])
    whole = record("new_scenes", [1, 0, 1, 0, 1], steps=2000, weights=weights_of(run, 2000))
    keep(run, whole.with_outcomes(whole.outcomes[:3]))
    told = whole.with_outcomes(whole.outcomes[3:]).to_json()
    recipe = RunDirectory(run).recipe().model_dump(mode="json")
    (tmp_path / "a.json").write_text(json.dumps({"recipe": recipe, "records": [told]}))
    comparison = compare([str(run), str(tmp_path / "a.json")], splits=["new_scenes"])
    assert comparison.episodes == {"new_scenes": 5} and comparison.rows[0].splits["new_scenes"].value == 0.6


def test_evaluations_of_another_version_of_the_world_are_replaced(tmp_path):
    folder = make_run(tmp_path / "a", checkpoints=[1000])
    tried(folder, 1000, "train", [1, 1, 0])
    tried(folder, 1000, "train", [0], version="3")
    (found,) = kept(folder)
    assert (found.version, len(found.outcomes)) == ("3", 1)


def test_seeds_worlds_files_and_ways_of_choosing_are_kept_apart(tmp_path):
    folder = make_run(tmp_path / "a", checkpoints=[1000])
    for others in ({}, {"seed": 1}, {"deterministic": True}, {"world": "habitat:homes"}, {"source": "mine.jsonl"}):
        tried(folder, 1000, "train", [1], **others)
    assert len(kept(folder)) == 5


@pytest.mark.parametrize("split", ["../../../../elsewhere", "/elsewhere", "kitchen/hard", "a:b", "ü" * 300])
def test_whatever_a_file_calls_its_split_the_evaluation_stays_in_the_run(tmp_path, split):
    folder = make_run(tmp_path / "a", checkpoints=[1000])
    tried(folder, 1000, split, [1], source="mine.jsonl")
    tried(folder, 1000, split + "2", [1, 0], source="mine.jsonl")
    assert {(found.split, len(found.outcomes)) for found in kept(folder)} == {(split, 1), (split + "2", 2)}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_only_numbered_checkpoints_are_a_runs(tmp_path):
    folder = make_run(tmp_path / "a", checkpoints=[1000])
    assert run_of(folder / "checkpoints" / "1000") == folder.resolve()
    assert run_of(folder / "checkpoints" / "mine") is None
    assert run_of(Path("/model")) is None


def test_a_damaged_evaluation_is_said_so(tmp_path, llarp):
    folder = make_run(tmp_path / "a", checkpoints=[1000])
    tried(folder, 1000, "train", [1])
    (path,) = (folder / "evaluations").rglob("*.json")
    path.write_text(path.read_text()[:50])
    result = llarp("compare", folder)
    assert result.exit_code == 2 and "is damaged" in result.stderr and len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_checkpoint_is_said_so(tmp_path, llarp, content):
    folder = make_run(tmp_path / "a", checkpoints=[1000])
    tried(folder, 1000, "train", [1])
    (folder / "checkpoints" / "1000" / "config.json").write_text(content)
    result = llarp("compare", folder)
    assert result.exit_code == 2
    assert "config.json' is damaged: it tells no adapter_sha256\nhint: remove '" in result.stderr


@pytest.mark.parametrize("facts", [{"vision": None}, {"backbone": "minilm"}])
def test_a_damaged_run_is_said_so(tmp_path, llarp, facts):
    result = llarp("compare", make_run(tmp_path / "a", curve=[0.5], facts=facts))
    assert result.exit_code == 2 and "run.json' is damaged: it is no run's\nhint: " in result.stderr


def test_damaged_metrics_and_recipes_are_said_so(tmp_path):
    run = make_run(tmp_path / "a", curve=[0.5])
    with (run / "metrics.jsonl").open("a") as file:
        file.write("?\n")
    with pytest.raises(UsageProblem, match=r"metrics\.jsonl' is damaged: line 2"):
        compare([str(run)])
    told = {"recipe": {"seed": "one"}, "records": [record("new_scenes", [1]).to_json()]}
    (tmp_path / "a.json").write_text(json.dumps(told))
    with pytest.raises(UsageProblem, match="its recipe is none"):
        compare([str(tmp_path / "a.json")])


def test_an_evaluation_of_weights_that_are_no_longer_there_does_not_count(tmp_path):
    a = make_run(tmp_path / "a", curve=[0.5], checkpoints=[1000])
    tried(a, 1000, "train", [1])
    (a / "checkpoints" / "1000" / "config.json").write_text('{"adapter_sha256": "another"}')
    assert compare([str(a)]).splits == ()
