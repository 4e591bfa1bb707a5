"""Comparing methods: what is pooled, what is refused, how sure it is, and what is printed and drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import make_run, outcomes, record, some, tried, weights_of
from PIL import Image
from test_cli import modules_after

from llarp_cli.comparison import figures, statistics
from llarp_cli.comparison.compare import compare
from llarp_cli.comparison.curves import band, curve_of
from llarp_cli.comparison.files import write_files
from llarp_cli.comparison.methods import find_methods
from llarp_cli.comparison.statistics import mean_success, ratio_of_means
from llarp_cli.comparison.tables import report
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.records import keep, kept, run_of
from llarp_cli.intervals import wilson
from llarp_cli.rearrangement.splits import GROUPS, SPLITS
from llarp_cli.runs import RunDirectory

LSTM = ["policy=lstm"]


def table(*rows: int, episodes: int = 100) -> np.ndarray:
    return np.array([some(row, episodes) for row in rows], float)


# How sure


def test_one_run_in_one_split_has_wilsons_interval():
    found = mean_success({"train": table(37)}, "m")
    assert (found.value, found.episodes) == (0.37, 100)
    assert (found.low, found.high) == pytest.approx(wilson(37, 100))


def test_every_split_counts_alike_however_many_episodes_it_has():
    found = mean_success({"a": table(10, episodes=10), "b": table(0, episodes=100)}, "m")
    assert (found.value, found.episodes) == (0.5, 110)


def test_runs_that_differ_widen_the_interval():
    alike = mean_success({"a": table(50, 50)}, "m")
    apart = mean_success({"a": table(20, 80)}, "m")
    assert alike.value == apart.value == 0.5
    assert apart.low <= 0.21 and apart.high >= 0.79
    assert alike.high - alike.low < 0.25


def test_only_successes_are_not_certainty():
    found = mean_success({"a": table(100, 100)}, "m")
    assert found.high == 1.0 and found.low == pytest.approx(wilson(100, 100)[0])


def test_a_ratio_of_extremes_is_not_certain():
    zero, few, all_of_them = ({"train": table(n)} for n in (0, 5, 100))
    for ours, theirs in ((zero, few), (all_of_them, all_of_them), (few, all_of_them)):
        found = ratio_of_means(ours, theirs, ("a", "b"))
        assert found.low < found.value < found.high or ((found.value, found.low) == (0, 0) and found.high > 0.5)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    truth, held = np.array([0.9, 0.5, 0.1]), 0
    for _ in range(60):
        tables = {str(i): (random.random((1, 60)) < p).astype(float) for i, p in enumerate(truth)}
        found = mean_success(tables, "m")
        held += found.low <= truth.mean() <= found.high
    assert held >= 55


def test_a_ratio_is_of_the_means_and_pairs_the_episodes():
    one, other = {"a": table(60), "b": table(20)}, {"a": table(30), "b": table(10)}
    found = ratio_of_means(one, other, ("m", "n"))
    assert found.value == pytest.approx(2.0)
    assert 1.4 < found.low < 2.0 < found.high < 3.2
    same = ratio_of_means(one, one, ("m", "n"))
    assert (same.value, same.low, same.high) == (1.0, 1.0, 1.0)
    assert ratio_of_means(one, {"a": table(0), "b": table(0)}, ("m", "n")) is None


def test_a_comparison_made_again_gives_the_same_numbers():
    tables = {"a": table(30, 40), "b": table(60, 50)}
    assert mean_success(tables, "m") == mean_success(tables, "m")


# Curves


def update(steps: int, success: float | None, episodes: int = 500, stage: str = "ppo") -> dict:
    return {"steps": steps, "success": success, "episodes": episodes, "stage": stage}


def test_success_is_averaged_over_whole_updates_of_500_episodes():
    curve = curve_of([update(1, None, 0, "imitation"), update(2, 1.0, 300), update(3, 0.5, 300), update(4, 0.0, 300)])
    assert curve.steps == (3, 4)
    assert curve.mean == pytest.approx((0.75, 0.25))
    assert curve.labelled == 1


def test_the_threshold_is_reached_once_or_not_at_all():
    curve = curve_of([update(1, 0.5), update(2, 0.8), update(3, 0.7), update(4, 0.95)])
    assert (curve.reached(0.8), curve.reached(0.95), curve.reached(0.96)) == (2, 4, None)
    assert curve.best() == (4, 0.95)


def test_several_runs_are_a_mean_between_the_lowest_and_the_highest():
    found = band(
        [curve_of([update(1, 0.2), update(2, 0.4), update(3, 1.0)]), curve_of([update(1, 0.4), update(2, 0.8)])]
    )
    assert found.steps == (1, 2)
    assert found.mean == pytest.approx((0.3, 0.6))
    assert (found.low, found.high) == ((0.2, 0.4), (0.4, 0.8))


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    folder = make_run(tmp_path / "a", curve=[0.5, 0.6], checkpoints=[2000])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"steps": 30')
    assert len(find_methods([str(folder)])[0].runs[0].updates) == 2


# What is one method


def test_runs_that_differ_in_their_seed_are_one_method(tmp_path):
    a = make_run(tmp_path / "a", seed=0, checkpoints=[1000])
    b = make_run(tmp_path / "b", ["checkpoint.keep=9"], seed=1, checkpoints=[500, 1000])
    c = make_run(tmp_path / "c", LSTM, checkpoints=[1000])
    methods = find_methods([str(path) for path in (a, c, b)])
    assert [(m.label, [r.seed for r in m.runs]) for m in methods] == [("minilm", [0, 1]), ("lstm", [0])]


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


def test_many_episodes_are_drawn_in_parts(monkeypatch):
    """The same draws, whatever fits into memory at once."""
    successes = {"a": table(20, 60), "b": table(30, 31, episodes=70)}
    whole = mean_success(successes, "m")
    statistics._few.cache_clear()
    monkeypatch.setattr(statistics, "AT_ONCE", 999)
    sizes = [part.size for part in statistics._shares("episodes of a", 100)]
    assert max(sizes) <= 999 and sum(sizes) == statistics.DRAWS * 100
    drawn = mean_success(successes, "m")
    assert (drawn.low, drawn.high) == pytest.approx((whole.low, whole.high))
    assert statistics._few.cache_info().currsize == 0


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


# The same episodes


@pytest.fixture
def pair(tmp_path):
    """Two methods with a curve each, evaluated in three splits."""
    ours = make_run(tmp_path / "ours", curve=[0.3, 0.85, 0.9, 0.95], imitation=2, checkpoints=[2000, 4000])
    lstm = make_run(
        tmp_path / "lstm", LSTM, curve=[0.1, 0.2, 0.3, 0.4, 0.5, 0.93], imitation=3, checkpoints=[4000, 6000]
    )
    for split, good, bad in (("train", 95, 93), ("new_scenes", 90, 60), ("rephrasing", 80, 20)):
        tried(ours, 4000, split, some(good))
        tried(lstm, 6000, split, some(bad))
    return str(ours), str(lstm)


def test_the_table_has_every_split_in_the_papers_order(pair):
    found = compare(pair)
    assert found.splits == ("train", "new_scenes", "rephrasing")
    ours, lstm = found.rows
    assert {name: e.value for name, e in ours.splits.items()} == {"train": 0.95, "new_scenes": 0.9, "rephrasing": 0.8}
    assert lstm.splits["rephrasing"].low == pytest.approx(wilson(20, 100)[0])
    text = report(found)
    assert re.search(r"\| rephrasing +\| +100 \| +80\.0 \(71\.1 - 86\.7\) \| +20\.0 \(13\.3 - 28\.9\) \|", text)


def test_methods_are_compared_on_the_episodes_that_all_have(pair, tmp_path):
    ours, lstm = pair
    bound = tmp_path / "planner.json"
    few = record("rephrasing", [1] * 10, policy="planner")
    bound.write_text(json.dumps({"recipe": None, "records": [few.to_json()]}))
    found = compare([ours, lstm, str(bound)])
    assert found.episodes == {"train": 100, "new_scenes": 100, "rephrasing": 10}
    assert found.rows[0].splits["rephrasing"].value == np.mean(some(80)[:10])
    assert any("rephrasing: compared on the 10 episodes that all have" in note for note in found.notes)
    assert any("planner is not evaluated in train, new_scenes" in note for note in found.notes)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"version": "3"}, "were evaluated in different worlds"),
        ({"sha": "f" * 64}, "were evaluated in different episodes"),
        ({"seed": 7}, "no seed of evaluation is common to all"),
    ],
)
def test_what_does_not_belong_together_is_never_put_together(tmp_path, llarp, others, message):
    a = make_run(tmp_path / "a", checkpoints=[1000])
    b = make_run(tmp_path / "b", LSTM, checkpoints=[1000])
    tried(a, 1000, "rephrasing", some(50))
    tried(b, 1000, "rephrasing", some(50), **others)
    result = llarp("compare", a, b)
    assert result.exit_code == 2 and result.stdout == ""
    error, hint = result.stderr.splitlines()
    assert message in error and hint.startswith("hint: ") and "llarp eval" in hint


def test_seeds_of_evaluation_are_averaged_episode_by_episode(tmp_path):
    a = make_run(tmp_path / "a", checkpoints=[1000])
    tried(a, 1000, "train", [1, 1, 0, 0])
    tried(a, 1000, "train", [1, 0, 0, 0], seed=1)
    found = compare([str(a)])
    assert found.aligned.seeds == (0, 1)
    assert found.aligned.tables[0]["train"].tolist() == [[1.0, 0.5, 0.0, 0.0]]
    assert found.rows[0].splits["train"].episodes == 4


def test_a_split_that_some_lack_does_not_cost_the_others_a_seed(tmp_path):
    a, b = make_run(tmp_path / "a", checkpoints=[1000]), make_run(tmp_path / "b", LSTM, checkpoints=[1000])
    for seed in (0, 1):
        tried(a, 1000, "train", some(50), seed=seed)
        tried(b, 1000, "train", some(40), seed=seed)
    tried(a, 1000, "synonyms", some(30))
    tried(a, 1000, "rephrasing", some(30), seed=5)
    found = compare([str(a), str(b)])
    assert (found.aligned.seeds, found.splits) == ((0, 1), ("train",))
    assert "evaluations under seed 5 are left out: not all have them in every split that all have" in found.notes
    tried(b, 1000, "synonyms", some(20))
    found = compare([str(a), str(b)])
    assert (found.aligned.seeds, found.splits) == ((0,), ("train", "synonyms"))
    assert any(note.startswith("evaluations under seed 1, 5 are left out") for note in found.notes)


def test_the_likeliest_skills_are_another_comparison(pair):
    ours, _ = pair
    assert compare(pair, deterministic=True).splits == ()
    assert find_methods([ours])[0].steps == 4000


def test_another_environment_is_another_comparison(tmp_path):
    a = make_run(tmp_path / "a", curve=[0.5], checkpoints=[1000])
    tried(a, 1000, "train", some(50))
    tried(a, 1000, "train", some(10, 50), world="habitat", sha="e" * 64)
    assert compare([str(a)]).rows[0].splits["train"].value == 0.5
    assert compare([str(a)], environment="habitat").rows[0].splits["train"].value == 0.2


def test_splits_of_another_environment_are_compared_where_that_is_not_installed(tmp_path, llarp):
    a, b = (make_run(tmp_path / n, flags, curve=[0.5], checkpoints=[1000]) for n, flags in (("a", []), ("b", LSTM)))
    for run, successes in ((a, 80), (b, 40)):
        recipe = run / "recipe.yaml"
        recipe.write_text(recipe.read_text().replace("environment: home", "environment: gym:nowhere:x"))
        for split in ("validation", "test"):
            tried(run, 1000, split, some(successes), world="gym:nowhere:x")
        tried(run, 1000, "train", some(90), world="gym:nowhere:x")
    found = compare([str(a), str(b)])
    assert found.splits == ("test", "train", "validation") and not found.notes
    assert kinds(found)["as given"].ratio.value == pytest.approx(2)
    assert "| **mean of all 2** |" in re.sub(" +", " ", report(found))
    assert compare([str(a), str(b)], splits=["test"]).splits == ("test",)
    result = llarp("compare", a, b, "--split", "tests")
    assert result.exit_code == 2 and "'tests'" in result.stderr and "test" in result.stderr
    assert compare([str(a), str(b)], splits=["train"]).splits == ("train",)


def test_an_episode_file_is_another_comparison(tmp_path, monkeypatch):
    a = make_run(tmp_path / "a", checkpoints=[1000])
    tried(a, 1000, "train", some(50))
    tried(a, 1000, "train", some(3, 4), source="mine.jsonl", sha="d" * 64)
    monkeypatch.setattr("llarp_cli.comparison.compare.read_episodes", lambda path: outcomes("train", [0] * 4))
    monkeypatch.setattr("llarp_cli.comparison.compare.episodes_sha256", lambda episodes: "d" * 64)
    found = compare([str(a)], episode_file=tmp_path / "mine.jsonl")
    assert (found.rows[0].groups["all"].value, found.episodes) == (0.75, {"train": 4})


# Groups and pairs


def evaluate_everywhere(folder, steps, success, **others):
    for split in ("train", *GROUPS["all"]):
        tried(folder, steps, split, some(success), **others)


def test_the_mean_of_the_ten_is_a_row(tmp_path):
    a = make_run(tmp_path / "a", checkpoints=[1000])
    for i, split in enumerate(GROUPS["all"]):
        tried(a, 1000, split, some(10 * i))
    found = compare([str(a)])
    assert list(found.groups) == ["paraphrastic", "behavior", "all"]
    assert found.rows[0].groups["all"].value == pytest.approx(0.45)
    assert found.rows[0].groups["all"].episodes == 1000
    assert re.search(r"\*\*mean of the ten\*\* +\| +1,000 \| +45\.0 \(", report(found))


def test_a_mean_is_not_told_where_a_split_is_missing(pair):
    assert compare(pair).groups == {}
    assert "mean of" not in report(compare(pair))


def test_each_runs_mean_stands_beside_the_interval(tmp_path):
    for seed, success in enumerate((40, 60)):
        evaluate_everywhere(make_run(tmp_path / str(seed), seed=seed, checkpoints=[1000]), 1000, success)
    found = compare([str(tmp_path / "0"), str(tmp_path / "1")])
    assert found.rows[0].group_by_run["all"] == pytest.approx((0.4, 0.6))
    assert found.rows[0].groups["all"].value == pytest.approx(0.5)
    assert re.search(r"\| minilm +\| +1 \| +60\.0 \| +60\.0 \| +60\.0 \|", report(found))


def kinds(comparison) -> dict:
    return {one.kind: one for one in comparison.matches}


def test_a_baseline_is_matched_in_steps_and_in_success(pair):
    _, lstm = pair
    for split in ("new_scenes", "rephrasing"):
        tried(Path(lstm), 4000, split, some(10))
    found = kinds(compare(pair))
    assert found["as given"].ratio.value == pytest.approx((0.9 + 0.8) / (0.6 + 0.2))
    assert (found["matched steps"].ours, found["matched steps"].theirs) == (4000, 4000)
    assert found["matched steps"].ratio.value == pytest.approx((0.9 + 0.8) / 0.2)
    assert (found["matched success"].ours, found["matched success"].theirs) == (4000, 6000)
    assert found["matched success"].their_train == pytest.approx(0.93)
    assert found["matched success"].source == "running average"


def test_the_earliest_checkpoint_near_the_target_is_matched(tmp_path):
    ours = make_run(tmp_path / "ours", curve=[0.5, 0.7, 0.9], checkpoints=[1000, 2000, 3000])
    lstm = make_run(tmp_path / "lstm", LSTM, curve=[0.1, 0.88, 0.89, 0.9], checkpoints=[1000, 2000, 3000, 4000])
    tried(ours, 3000, "rephrasing", some(80))
    tried(ours, 2000, "rephrasing", some(70))
    tried(lstm, 2000, "rephrasing", some(40))
    found = kinds(compare([str(ours), str(lstm)]))["matched success"]
    assert (found.theirs, found.ratio.value) == (2000, pytest.approx(2.0))
    found = kinds(compare([str(ours), str(lstm)], target=0.68))["matched success"]
    assert (found.ours, found.theirs, found.unmatched) == (2000, None, True)


def test_evaluated_success_in_training_is_taken_where_every_checkpoint_has_it(tmp_path):
    ours = make_run(tmp_path / "ours", curve=[0.9], checkpoints=[1000])
    lstm = make_run(tmp_path / "lstm", LSTM, curve=[0.9], checkpoints=[1000])
    evaluate_everywhere(ours, 1000, 90)
    evaluate_everywhere(lstm, 1000, 60)
    found = kinds(compare([str(ours), str(lstm)]))["matched success"]
    assert found.unmatched and "within 3 points of 90.0% (nearest: 60.0% after 1,000 steps)" in found.problem


def test_success_in_training_is_measured_alike_on_both_sides(tmp_path):
    ours = make_run(tmp_path / "ours", curve=[0.9], checkpoints=[1000])
    lstm = make_run(tmp_path / "lstm", LSTM, curve=[0.5, 0.91], imitation=1, checkpoints=[1000, 2000])
    evaluate_everywhere(ours, 1000, 50)
    evaluate_everywhere(lstm, 2000, 60)
    found = kinds(compare([str(ours), str(lstm)]))["matched success"]
    assert (found.source, found.our_train, found.their_train, found.theirs) == ("running average", 0.9, 0.91, 2000)


def test_an_evaluation_is_not_matched_with_a_running_average(tmp_path):
    ours = make_run(tmp_path / "ours", curve=[0.9], episodes=100, checkpoints=[1000])
    lstm = make_run(tmp_path / "lstm", LSTM, curve=[0.9], checkpoints=[1000])
    evaluate_everywhere(ours, 1000, 90)
    tried(lstm, 1000, "rephrasing", some(50))
    found = kinds(compare([str(ours), str(lstm)]))["matched success"]
    assert (
        found.ratio is None and found.problem == "success in training is evaluated of minilm, running average of lstm"
    )


def test_steps_that_the_expert_labelled_stand_beside_those_that_are_matched(tmp_path):
    shares = ["steps=4000", "imitation.steps=1000"], ["policy=lstm", "steps=12000", "imitation.steps=3000"]
    runs = [
        make_run(tmp_path / n, flags, curve=[0.9] * 2, checkpoints=[2000])
        for n, flags in zip("ab", shares, strict=True)
    ]
    for run in runs:
        tried(run, 2000, "rephrasing", some(50))
    comparison = compare([str(run) for run in runs])
    found = kinds(comparison)["matched steps"]
    assert (found.our_labelled, found.their_labelled) == (1000, 2000)
    assert "2,000 / 2,000 | 1,000 / 2,000 |" in re.sub(" +", " ", report(comparison))


def test_a_checkpoint_that_was_not_kept_is_said_to_be_missing(tmp_path):
    ours = make_run(tmp_path / "ours", curve=[0.5], checkpoints=[1000])
    lstm = make_run(tmp_path / "lstm", LSTM, curve=[0.4, 0.5], checkpoints=[2000])
    tried(ours, 1000, "rephrasing", some(80))
    tried(lstm, 2000, "rephrasing", some(10))
    problem = kinds(compare([str(ours), str(lstm)]))["matched steps"].problem
    assert problem.startswith("lstm has no checkpoint at 1,000 steps: checkpoint.every and .keep say")


def test_what_is_unmatched_is_printed(tmp_path):
    ours = make_run(tmp_path / "ours", curve=[0.95], checkpoints=[1000])
    lstm = make_run(tmp_path / "lstm", LSTM, curve=[0.4, 0.5], checkpoints=[1000, 2000])
    tried(ours, 1000, "rephrasing", some(80))
    tried(lstm, 2000, "rephrasing", some(10))
    text = report(compare([str(ours), str(lstm)]))
    assert re.search(r"\| lstm +\| matched success \|.*\| +unmatched \|", text)
    assert "no checkpoint of lstm within 3 points of 95.0% (nearest: 50.0% after 2,000 steps)" in text
    assert "lstm, matched steps: lstm is not evaluated at 1,000 steps" in text
    assert "not reached by 2,000 steps; best checkpoint 50.0% at 2,000" in text
    assert re.search(r"\| lstm .* 50\.0 \| +2,000 \|", text)


def test_steps_to_the_threshold_are_the_mean_where_all_runs_reach_it(tmp_path):
    for seed, curve in enumerate(([0.5, 0.8, 0.9, 0.9], [0.5, 0.6, 0.7, 0.8])):
        make_run(tmp_path / str(seed), seed=seed, curve=curve, checkpoints=[4000])
    both = [str(tmp_path / "0"), str(tmp_path / "1")]
    assert compare(both).rows[0].reached.steps == 3000
    assert "3,000 (2,000, 4,000)" in report(compare(both))
    assert compare(both, threshold=0.85).rows[0].reached.steps is None
    assert "not reached by 4,000 steps in 1 of 2 runs (3,000 in the others); best checkpoint 85.0% at 4,000" in report(
        compare(both, threshold=0.85)
    )


# The command


def test_tables_json_and_pictures(pair, llarp, tmp_path):
    files = ("--json", "c.json", "--plot", "bars.png", "--curves", "curves.png", "--markdown", "c.md")
    result = llarp("compare", *pair, *files, "--label", f"{pair[1]}=an LSTM")
    assert result.exit_code == 0, result.output
    assert "an LSTM" in result.stdout
    told = json.loads((tmp_path / "c.json").read_text())
    assert [m["label"] for m in told["methods"]] == ["minilm", "an LSTM"]
    assert told["methods"][0]["splits"]["rephrasing"]["success"] == 0.8
    assert told["methods"][0]["training"]["labelled_steps"] == 2000
    assert told["methods"][0]["training"]["threshold"] == {"success": 0.8, "steps": 2000, "runs": [2000]}
    assert told["splits"]["train"]["episodes"] == 100
    for name in ("bars.png", "curves.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width >= 1000
            assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10
    text = (tmp_path / "c.md").read_text()
    assert text.startswith("![Success by split](bars.png)\n\n![") and "| success, % |" in text
    assert not list(tmp_path.glob(".*"))


def test_a_band_is_drawn_and_groups_have_a_panel_of_their_own(tmp_path):
    for seed, success in enumerate((40, 60)):
        folder = make_run(tmp_path / str(seed), seed=seed, curve=[0.1, success / 100], imitation=1, checkpoints=[2000])
        evaluate_everywhere(folder, 2000, success)
    both = compare([str(tmp_path / "0"), str(tmp_path / "1")])
    few = compare([str(tmp_path / "0")], splits=["rephrasing"])
    write_files(both, plot=tmp_path / "all.png", curves=tmp_path / "band.png")
    write_files(few, plot=tmp_path / "few.png", curves=tmp_path / "line.png")
    sizes = {path.stem: Image.open(path).size for path in tmp_path.glob("*.png")}
    assert sizes["all"][1] > sizes["few"][1]


def test_bounds_are_lines_and_the_others_are_bars(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_save", lambda figure, path: drawn.append(figure))
    ours = make_run(tmp_path / "ours", curve=[0.5], checkpoints=[1000])
    tried(ours, 1000, "rephrasing", some(80))
    names = [str(ours)]
    for policy in ("planner", "zero-shot"):
        path = tmp_path / f"{policy}.json"
        path.write_text(
            json.dumps({"recipe": None, "records": [record("rephrasing", some(90), policy=policy).to_json()]})
        )
        names.append(str(path))
    for compared in (names, names[1:2]):
        figures.plot_success(compare(compared), tmp_path / "a.png")
    (axes,), (alone,) = drawn[0].axes, drawn[1].axes
    assert [bars.get_label() for bars in axes.containers if hasattr(bars, "patches")] == ["minilm", "zero-shot"]
    assert any(one.get_label() == "planner" for one in axes.collections)
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["minilm", "zero-shot", "planner"]
    assert [bars.get_label() for bars in alone.containers if hasattr(bars, "patches")] == ["planner"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "compare needs at least one run"),
        (["nowhere"], "no policy at 'nowhere': there is no such directory"),
        (["planner"], "'planner' keeps no evaluations"),
        (["a", "--label", "a"], "--label 'a' labels nothing"),
        (["a", "--label", "b=x"], "--label names 'b', which is not compared"),
        (["a", "--split", "nosuch"], "unknown split 'nosuch'"),
        (["a", "--split", "train", "--episodes", "x.jsonl"], "--split and --episodes exclude each other"),
        (["a", "--limit", "3"], "--limit, --all-families and --seed are for --evaluate"),
        (["a"], "there is nothing to compare: no evaluation and no training of 500 episodes"),
        (
            ["empty.json"],
            "'empty.json' does not tell episode by episode how it went: it is no evaluation, or an old one",
        ),
        (["broken.json"], "'broken.json' is not JSON"),
    ],
)
def test_mistakes_are_one_line_and_a_hint(llarp, tmp_path, arguments, message):
    make_run(tmp_path / "a", checkpoints=[1000])
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    result = llarp("compare", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == f"error: {message}" and len(lines) == 2 and lines[1].startswith("hint: ")


def test_what_is_not_evaluated_names_the_command(tmp_path):
    a = make_run(tmp_path / "a", curve=[0.5], checkpoints=[1000])
    assert compare([str(a)]).notes == (f"minilm is not evaluated in any split at 1,000 steps: llarp eval {a}",)


def test_of_several_seeds_the_one_that_lacks_an_evaluation_is_named(tmp_path):
    a, b = (make_run(tmp_path / name, seed=seed, curve=[0.5], checkpoints=[1000]) for seed, name in enumerate("ab"))
    tried(a, 1000, "train", some(50))
    (note,) = compare([str(a), str(b)], splits=["train"]).notes
    assert note.endswith(f"llarp eval {b}")
    tried(b, 1000, "train", some(50), deterministic=True)  # not what is compared
    (note,) = compare([str(a), str(b)], splits=["train"]).notes
    assert note.endswith(f"llarp eval {b}")


def test_the_command_that_evaluates_names_a_seed_that_is_missing(tmp_path):
    a, b, c = (
        make_run(tmp_path / n, f, checkpoints=[1000])
        for n, f in (("a", []), ("b", LSTM), ("c", ["policy=transformer"]))
    )
    for seed in (0, 1):
        for run in (a, b, c):
            tried(run, 1000, "train", some(50), seed=seed)
        tried(a, 1000, "synonyms", some(50), seed=seed)
    tried(b, 1000, "synonyms", some(50))
    notes = compare([str(a), str(b), str(c)]).notes
    assert notes[0].endswith(f"llarp eval {b} --split synonyms --seed 1")
    assert notes[1].endswith(f"llarp eval {c} --split synonyms")


def test_the_command_that_evaluates_says_all_that_it_must(tmp_path):
    a, b = make_run(tmp_path / "a", checkpoints=[1000]), make_run(tmp_path / "b", LSTM, checkpoints=[1000])
    bound = tmp_path / "planner.json"
    one = record("train", some(100), policy="planner", world="habitat", seed=1, deterministic=True)
    bound.write_text(json.dumps({"recipe": None, "records": [one.to_json()]}))
    for split in ("train", "rephrasing"):
        tried(a, 1000, split, some(50), world="habitat", seed=1, deterministic=True)
    lstm, planner = compare([str(a), str(b), str(bound)], environment="habitat", deterministic=True).notes[:2]
    assert lstm.endswith(f"llarp eval {b} --env habitat --deterministic --seed 1")
    flags = "--split rephrasing --env habitat --deterministic --seed 1 --json FILE, and compare FILE too"
    assert planner.endswith(f"llarp eval planner {flags}")


def test_what_is_not_evaluated_in_a_file_names_the_file(tmp_path, monkeypatch):
    a = make_run(tmp_path / "a", curve=[0.5], checkpoints=[1000])
    monkeypatch.setattr("llarp_cli.comparison.compare.read_episodes", lambda path: outcomes("train", [0] * 4))
    monkeypatch.setattr("llarp_cli.comparison.compare.episodes_sha256", lambda episodes: "d" * 64)
    (note,) = compare([str(a)], episode_file=Path("mine.jsonl")).notes
    assert note.endswith(f"llarp eval {a} --episodes mine.jsonl")


def test_comparing_imports_no_torch(pair):
    assert "torch" not in modules_after("compare", *pair)


def test_every_split_has_a_place_in_the_pictures():
    from llarp_cli.comparison.figures import _TITLES, _group_of

    assert {_group_of(split) for split in SPLITS} == set(_TITLES)
