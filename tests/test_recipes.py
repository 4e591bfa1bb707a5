"""Recipes: where values come from, what is refused, and that the shipped ones are what they say."""

from __future__ import annotations

import shlex

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llarp_cli.config import Recipe
from llarp_cli.errors import SeveralProblems, UsageProblem
from llarp_cli.recipes import arithmetic, check_names, load_recipe, recipe_keys, summary, to_yaml
from llarp_cli.shipped import shipped_recipes


@pytest.fixture
def recipe(tmp_path):
    """`recipe("steps: 5")` writes a recipe and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return write


def problem(*arguments) -> UsageProblem:
    with pytest.raises(UsageProblem) as raised:
        load_recipe(*arguments)
    return raised.value


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_valid_and_their_commands_parse(name, llarp):
    loaded, _ = load_recipe(name)
    check_names(loaded)
    path = shipped_recipes()[name]
    assert summary(path)
    commands = [
        line.partition("llarp ")[2]
        for line in path.read_text().splitlines()
        if line.startswith("# ") and "llarp train" in line
    ]
    assert commands
    for command in commands:
        result = llarp(*shlex.split(command), "--dry-run")
        assert result.exit_code == 0, result.stderr


def test_lang_rearrange_is_ppo_alone_with_the_papers_numbers():
    loaded, _ = load_recipe("lang-rearrange")
    assert loaded.imitation.steps == 0
    assert (loaded.ppo.lr, loaded.ppo.clip, loaded.ppo.epochs, loaded.ppo.gamma) == (3e-4, 0.2, 2, 0.99)


def test_a_flag_beats_an_override_beats_the_recipe_beats_the_default(recipe):
    path = recipe("steps: 1\nseed: 1\nnum_envs: 1\n")
    loaded, provenance = load_recipe(path, ["steps=2", "seed=2"], {"steps": ("--steps", 3)})
    assert (loaded.steps, loaded.seed, loaded.num_envs) == (3, 2, 1)
    assert loaded.ppo.lr == Recipe().ppo.lr
    assert provenance == {"steps": "--steps", "seed": "command line", "num_envs": path}


SPECIAL = """
seed: 1
ppo: {lr: 1e-3, epochs: 3}
policies:
  lstm: {ppo: {lr: 2e-4}, seed: 2}
  transformer:
"""


def test_a_policy_may_need_other_values_than_the_recipe_gives(recipe):
    path = recipe(SPECIAL)
    assert load_recipe(path)[0].ppo.lr == load_recipe(path, ["policy=transformer"])[0].ppo.lr == 1e-3
    for arguments in ((path, ["policy=lstm"]), (path, (), {"policy": ("--policy", "lstm")})):
        loaded, provenance = load_recipe(*arguments)
        assert (loaded.policy, loaded.ppo.lr, loaded.ppo.epochs, loaded.seed) == ("lstm", 2e-4, 3, 2)
        assert provenance["ppo.lr"] == f"{path}, policies.lstm" and provenance["ppo.epochs"] == path
    assert load_recipe(path, ["policy=lstm", "ppo.lr=5e-5"])[0].ppo.lr == 5e-5
    assert load_recipe(recipe("policy: lstm" + SPECIAL))[0].seed == 2
    assert "policies" not in to_yaml(loaded)
    assert load_recipe(recipe(to_yaml(loaded)))[0] == loaded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("policies: {mlp: {seed: 1}}", r"policies.mlp \(.*\): there is no such policy"),
        ("policies: {lstm: {sede: 1}}", r"unknown key 'sede' \(.*, policies.lstm\)"),
        ("policies: {lstm: {policy: llarp}}", r"policy \(.*, policies.lstm\): it is chosen already"),
        ("policies: lstm", r"policies = lstm \(.*\): should be policies with their keys"),
        ("policies: {lstm: 3}", r"3 \(.*, policies.lstm\): should be recipe keys with their values"),
    ],
)
def test_what_a_policy_cannot_need_is_refused(recipe, text, message):
    with pytest.raises(UsageProblem, match=message):
        load_recipe(recipe(text))


def test_a_bad_value_of_a_policys_own_is_told_with_its_place(recipe):
    path = recipe("policies: {lstm: {seed: -1}}")
    load_recipe(path)
    assert problem(path, ["policy=lstm"]).message.startswith(f"seed = -1 ({path}, policies.lstm): ")


def test_the_last_of_two_overrides_counts():
    assert load_recipe("quickstart", ["seed=1", "seed=2"])[0].seed == 2


def test_values_are_yaml_and_split_at_the_first_equals_sign():
    loaded, _ = load_recipe(
        "quickstart",
        ["ppo.lr=1e-4", "steps=2e6", "num_envs=1_000", "tasks.families=[move, fetch]", "backbone.weights=a=b"],
    )
    assert loaded.ppo.lr == 1e-4
    assert loaded.steps == 2_000_000
    assert loaded.num_envs == 1000
    assert loaded.tasks.families == ("move", "fetch")
    assert loaded.backbone.weights == "a=b"


def test_a_section_given_as_a_whole_changes_only_the_keys_it_has(recipe):
    loaded, _ = load_recipe(recipe("ppo: {lr: 1e-4, clip: 0.1}"), ["ppo={lr: 1e-3}"])
    assert (loaded.ppo.lr, loaded.ppo.clip) == (1e-3, 0.1)


def test_an_empty_recipe_is_all_defaults(recipe):
    assert load_recipe(recipe("# nothing\n"))[0] == Recipe()
    assert load_recipe(recipe("ppo:\n"))[0] == Recipe()


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        ("ppo.lrr=1", "unknown key 'ppo.lrr' (command line)", "did you mean 'ppo.lr'?"),
        ("rollout_steps=3", "unknown key 'rollout_steps' (command line)", "did you mean 'ppo.rollout_steps'?"),
        ("nonsense={}", "unknown key 'nonsense' (command line)", "`llarp train --dry-run ...` prints every key"),
        ("ppo=3", "ppo = 3 (command line): ppo is a section", "set a key of it, e.g. ppo.gamma=3"),
        ("ppo.clip=2", "ppo.clip = 2 (command line): should be less than 1", None),
        ("ppo.lr=0", "ppo.lr = 0 (command line): should be greater than 0", None),
        ("policy=mlp", "policy = mlp (command line): should be 'llarp', 'lstm' or 'transformer'", None),
        ("ppo.clip_value=maybe", "ppo.clip_value = maybe (command line): should be a valid boolean", None),
        ("steps", "'steps' sets nothing (command line)", "write key.sub=value, e.g. ppo.lr=1e-4"),
        ("=3", "'=3' sets nothing (command line)", "write key.sub=value, e.g. ppo.lr=1e-4"),
        (
            "backbone.revision=123",
            "backbone.revision = 123 (command line): should be a valid string",
            "quote it: 'backbone.revision=\"123\"'",
        ),
        (
            "backbone.revision=0123456",
            "backbone.revision = 42798 (command line): should be a valid string",
            "quote it: 'backbone.revision=\"0123456\"'",
        ),
        ("ppo=false", "ppo = False (command line): ppo is a section", "set a key of it, e.g. ppo.gamma=False"),
        ("ppo.lr=yes", "ppo.lr = true (command line): should be a number", None),
        ("trackers=wandb", "trackers = wandb (command line): should be a list", "write trackers=[wandb]"),
    ],
)
def test_a_bad_override_is_told_in_one_line(override, message, hint):
    found = problem("quickstart", [override])
    assert found.message.startswith(message)
    assert "\n" not in found.message
    if hint is not None:
        assert found.hint == hint


def test_an_override_that_is_not_yaml_names_its_key():
    assert problem("quickstart", ["tasks.families=[move"]).message.startswith(
        "tasks.families = [move (command line): not YAML"
    )


def test_all_mistakes_on_the_command_line_are_told():
    found = problem("quickstart", ["nothing", "ppo.lrr=1", "steps=[", "ppo.clip=2"])
    told = [one.message.split(" (")[0] for one in found.problems]
    assert told == ["'nothing' sets nothing", "steps = [", "unknown key 'ppo.lrr'", "ppo.clip = 2"]


def test_a_key_by_itself_and_in_its_section_is_given_twice(recipe):
    path = recipe("ppo: {lr: 1e-4}\nppo.lr: 5e-4\n")
    assert problem(path).message == f"key 'ppo.lr' is given twice ({path})"


def test_problems_of_the_file_name_the_file(recipe):
    path = recipe("ppo:\n  clip: 2\n  lrr: 1\n")
    found = problem(path)
    assert isinstance(found, SeveralProblems)
    assert [one.message for one in found.problems] == [
        f"unknown key 'ppo.lrr' ({path})",
        f"ppo.clip = 2 ({path}): should be less than 1",
    ]


def test_a_backbone_of_ours_has_nothing_behind_a_colon():
    with pytest.raises(UsageProblem, match="backbone 'minilm' has nothing behind a colon: 'minilm:L12'"):
        check_names(load_recipe("quickstart", ["backbone.name=minilm:L12"])[0])


def test_a_problem_inside_a_list_names_the_lists_key():
    assert problem("quickstart", ["tasks.families=[1]"]).message.startswith("tasks.families = [1] (command line): ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 1\nsteps: 2\n", "line 2: key 'steps' is given twice"),
        ("ppo: {lr: 1\n", "line 2: "),
        ("- a\n- b\n", "it holds no keys"),
        ("steps: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_recipe_is_told_with_its_line(recipe, text, message):
    path = recipe(text)
    found = problem(path)
    assert found.message.startswith(f"{path} is not a recipe: ")
    assert message in found.message and "\n" not in found.message


def test_a_name_and_a_path_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text("steps: 1")
    assert load_recipe("quickstart")[0].backbone.name == "minilm"
    assert problem("quickstrat").hint == "did you mean 'quickstart'? `llarp recipes` lists them all"
    assert problem("quickstart.yaml").message == "no recipe file 'quickstart.yaml'"
    assert problem("./quickstrat").message == "no recipe file './quickstrat'"
    assert load_recipe("./quickstart")[0].steps == 1


@given(
    steps=st.integers(1, 10**9),
    lr=st.floats(1e-12, 1e3),
    families=st.lists(st.text(min_size=1, max_size=8), max_size=3),
    weights=st.none() | st.text(max_size=20),
)
def test_what_is_printed_reads_back_the_same(tmp_path_factory, steps, lr, families, weights):
    recipe = Recipe.model_validate(
        {"steps": steps, "ppo": {"lr": lr}, "tasks": {"families": families}, "backbone": {"weights": weights}}
    )
    path = tmp_path_factory.mktemp("recipe") / "r.yaml"
    path.write_text(to_yaml(recipe, {"steps": "somewhere"}), encoding="utf-8")
    assert load_recipe(str(path))[0] == recipe


def test_every_key_is_printed():
    printed = yaml.safe_load(to_yaml(Recipe()))
    for key, section in recipe_keys().items():
        value = printed
        for part in key.split("."):
            value = value[part]
        assert section is None or isinstance(value, dict)


def test_the_keys_that_scripts_rely_on_exist():
    wanted = {
        "ppo.gamma", "ppo.lr", "ppo.epochs", "policy", "reward.invalid_skill", "reward.subgoals", "checkpoint.every",
    }  # fmt: skip
    assert wanted <= set(recipe_keys())


def test_arithmetic_rounds_up_to_whole_updates():
    recipe = Recipe.model_validate(
        {
            "steps": 1000,
            "num_envs": 4,
            "ppo": {"rollout_steps": 32},
            "imitation": {"steps": 200},
            "checkpoint": {"every": 300},
        }
    )
    assert arithmetic(recipe, num_processes=2) == [
        "update = 4 environments x 2 processes x 32 steps = 256 environment steps",
        "updates = 4 (1 of imitation, then 3 of PPO) = 1024 environment steps",
        "checkpoint every 2 updates = 512 environment steps",
    ]
