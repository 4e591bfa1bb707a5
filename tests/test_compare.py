"""Comparing methods: the same episodes for all, groups and pairs, and what is printed and drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import make_run, outcomes, record, some, tried
from PIL import Image
from test_cli import modules_after

from llarp_cli.comparison import figures
from llarp_cli.comparison.compare import compare
from llarp_cli.comparison.files import write_files
from llarp_cli.comparison.methods import find_methods
from llarp_cli.comparison.tables import report
from llarp_cli.intervals import wilson
from llarp_cli.rearrangement.splits import GROUPS, SPLITS

LSTM = ["policy=lstm"]


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
