"""Study files: what they say, and what is told of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_files import FILE

from llarp_cli.comparison import study
from llarp_cli.comparison.study_file import load_study
from llarp_cli.errors import LlarpError, SeveralProblems
from llarp_cli.shipped import shipped_studies

# The file


def test_baselines_take_a_multiple_of_the_first_methods_steps(written):
    loaded = load_study(written())
    ours, lstm = loaded.recipes["ours"], loaded.recipes["lstm"]
    assert (ours.steps, ours.imitation.steps) == (4000, 2000)
    assert (lstm.steps, lstm.imitation.steps, lstm.policy) == (12_000, 6000, "lstm")
    assert ours.tasks.families == lstm.tasks.families == ("move",)
    assert ours.checkpoint.every == lstm.checkpoint.every == 1000
    assert lstm.checkpoint.keep > 12
    assert loaded.directory == Path("studies/study")
    assert loaded.summary == "Two methods and a bound"


def test_what_a_method_says_itself_goes_before_the_multiple(written):
    text = FILE.replace("overrides: {policy: lstm}", "overrides: {policy: lstm, imitation.steps: 500}\n    steps: 7000")
    lstm = load_study(written(text)).recipes["lstm"]
    assert (lstm.steps, lstm.imitation.steps) == (7000, 500)
    factor = load_study(written(FILE + "comparison: {baseline_factor: 1.5}\n")).recipes["lstm"]
    assert (factor.steps, factor.imitation.steps) == (6000, 3000)


def test_who_does_not_imitate_is_not_made_to(written, tmp_path):
    (tmp_path / "alone.yaml").write_text("imitation: {steps: 0}\n")
    text = FILE.replace("  imitation.steps: 2000\n", "").replace(
        "  lstm:\n    recipe: quickstart", "  lstm:\n    recipe: alone.yaml"
    )
    loaded = load_study(written(text))
    assert loaded.recipes["ours"].imitation.steps > 0
    assert (loaded.recipes["lstm"].steps, loaded.recipes["lstm"].imitation.steps) == (12_000, 0)
    alone = FILE.replace("  imitation.steps: 2000\n", "").replace("seeds: [0, 1]", "overrides: {imitation.steps: 0}")
    assert load_study(written(alone)).recipes["lstm"].imitation.steps == 0


def test_three_processes_wait_for_each_other_so_that_seeds_come_equally_far(written):
    text = FILE.replace("seeds: [0, 1]", "seeds: [0, 1]\n    num_processes: 3")
    recipes = load_study(written(text)).recipes
    assert recipes["ours"].ppo.finish_share == 1 and recipes["lstm"].ppo.finish_share < 1
    typed = load_study(
        written(text.replace("{policy: lstm}", "{policy: lstm, ppo.finish_share: 0.5}\n    num_processes: 3"))
    )
    assert typed.recipes["lstm"].ppo.finish_share == 0.5


def test_all_methods_are_in_one_environment(written, llarp):
    result = llarp("study", written(FILE.replace("{policy: lstm}", "{policy: lstm, environment: 'habitat:homes'}")))
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "error: method 'lstm' learns in habitat:homes, the first one in home (study.yaml, line 6)"
    )


def test_what_is_not_learned_is_tried_where_the_others_are(written, monkeypatch):
    typed = []
    monkeypatch.setattr(study, "run_llarp", lambda *arguments: typed.append(arguments) or 1)
    monkeypatch.setattr(study, "lacking", lambda *arguments: ("train",))
    loaded = load_study(written())
    with pytest.raises(LlarpError, match="evaluating planner failed"):
        study.run_study(loaded)
    (arguments,) = typed
    assert "--env" not in arguments

    elsewhere = load_study(written(FILE.replace("  steps: 4000", "  environment: habitat:homes\n  steps: 4000")))
    with pytest.raises(LlarpError, match="evaluating planner failed"):
        study.run_study(elsewhere)
    assert typed[-1][:4] == ("eval", "planner", "--env", "habitat:homes")


def test_studies_take_place_in_homes(written, llarp):
    pytest.importorskip("minigrid", reason="needs the extra babyai")
    text = "methods: {a: {recipe: babyai-goto}}\n"
    result = llarp("study", written(text))
    assert result.exit_code == 2 and "studies take place in homes" in result.stderr
    assert not Path("studies").exists()


def test_a_recipe_beside_the_study_is_found(written, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.yaml").write_text("steps: 77\n")
    (tmp_path / "elsewhere" / "s.yaml").write_text("methods: {a: {recipe: mine.yaml}}\n")
    assert load_study("elsewhere/s.yaml").recipes["a"].steps == 77


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("evaluation: {", "evaluation: {split: a, ", "unknown key 'evaluation.split' (study.yaml, line 15)"),
        ("    seeds: [0, 1]", "    seed: 3", "unknown key 'methods.ours.seed' (study.yaml, line 5)"),
        ("    seeds: [0, 1]", "    seeds: [0, 0]", "methods.ours (study.yaml, line 3): a seed is given twice"),
        ("    seeds: [0, 1]", "    seeds: []", "methods.ours.seeds (study.yaml, line 5): "),
        ("{policy: lstm}", "{policy: lstm, ppo.lrr: 1}", "unknown key 'ppo.lrr' (study.yaml, line 8)"),
        ("{policy: lstm}", "{policy: lstn}", "policy = lstn (study.yaml, line 8): "),
        ("  tasks: {families: [move]}", "  tasks: {count: -1}", "tasks.count = -1 (study.yaml, line 14): "),
        ("policy: planner", "policy: plan", "methods.planner.policy (study.yaml, line 10): "),
        ("policy: planner", "policy: zero-shot", "methods.planner (study.yaml, line 9): backbone and weights"),
        ("policy: planner", "steps: 5", "methods.planner (study.yaml, line 9): a method has either a recipe or"),
        ("[train, rephrasing]", "[trian]", "evaluation.splits (study.yaml, line 15): unknown split 'trian'"),
        ("ours:\n    recipe: quickstart", "ours:\n    policy: random", "methods (study.yaml, line 2): the first"),
        ("  planner:", "  a/b:", "methods (study.yaml, line 2): 'a/b' will not do as a folder's name"),
        ("  planner:", "  lstm:", "study.yaml is not a study: line 9: key 'lstm' is given twice"),
        ("recipe: quickstart\n    seeds", "recipe: quickstrat\n    seeds", "unknown recipe 'quickstrat'"),
        ("{policy: lstm}", "{backbone.name: nosuch, policy: llarp}", "unknown backbone 'nosuch'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_line(written, llarp, old, new, message):
    assert old in FILE
    result = llarp("study", written(FILE.replace(old, new, 1)))
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.splitlines()[0].startswith(f"error: {message}")
    assert "Traceback" not in result.stderr
    assert not Path("studies").exists()


def test_all_mistakes_are_told_at_once(written):
    with pytest.raises(SeveralProblems) as problems:
        load_study(written(FILE.replace("limit: 4", "limit: 0, seeds: [a]")))
    assert {"evaluation.seeds", "evaluation.limit"} <= {
        " ".join(one.message.split()[:1]).removesuffix(".0") for one in problems.value.problems
    }


@pytest.mark.parametrize("text", ["", "methods: {}", "- a", "methods: [", "methods: {a: 3}"])
def test_what_is_no_study_is_refused(written, llarp, text):
    result = llarp("study", written(text))
    assert result.exit_code == 2 and result.stderr.startswith("error: ")
    assert "study.yaml" in result.stderr


def test_shipped_studies_are_listed_and_load(llarp):
    assert {"laptop", "paper"} <= set(shipped_studies())
    listed = llarp("study").stdout
    for name in shipped_studies():
        loaded = load_study(name)
        assert name in listed and loaded.summary in listed
        first, *others = loaded.recipes.values()
        assert {recipe.steps for recipe in others} == {3 * first.steps}
        assert len({recipe.ppo.rollout_steps * recipe.num_envs for recipe in loaded.recipes.values()}) == 1
    assert "unknown study 'laptpo'" in llarp("study", "laptpo").stderr
