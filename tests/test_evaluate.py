"""Evaluation: every episode once, whatever runs beside it; intervals; what is left out; what is written."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from doubles import make_policy
from PIL import Image
from toy_world import ToyWorld

from llarp_cli.config import Recipe
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation import evaluate as verb
from llarp_cli.evaluation import rollout
from llarp_cli.evaluation.actors import Choice, Opened, PlannerActor, PolicyActor, RandomActor
from llarp_cli.evaluation.evaluate import evaluate, evaluate_policy
from llarp_cli.evaluation.report import plot_results, table_of
from llarp_cli.evaluation.results import Outcome, Results, summarize, summarize_group
from llarp_cli.evaluation.rollout import roll_out
from llarp_cli.evaluation.sentences import guess_slots, own_episode, understand
from llarp_cli.intervals import wilson
from llarp_cli.rearrangement.episode_files import write_episodes
from llarp_cli.rearrangement.skills import SKILL_INDEX
from llarp_cli.rearrangement.splits import SPLITS, fixed_tasks, split_episodes
from llarp_cli.rearrangement.vocabulary import CATEGORIES, CATEGORY_OF, SURFACES

WORLD = ToyWorld()


@pytest.fixture
def in_toy_world(monkeypatch):
    """The verbs find the toy home where they look for the real one."""
    monkeypatch.setattr("llarp_cli.registry.load", lambda kind, name: WORLD)


ACTORS = {
    "planner": PlannerActor,
    "random": lambda: RandomActor(3),
    "likeliest": lambda: PolicyActor(make_policy("llarp"), 3, True),
    "sampled": lambda: PolicyActor(make_policy("llarp"), 3, False),
    "lstm": lambda: PolicyActor(make_policy("lstm"), 3, False),
    "lstm-backbone": lambda: PolicyActor(make_policy("lstm-backbone"), 3, False),
    "transformer": lambda: PolicyActor(make_policy("transformer"), 3, False),
}


@pytest.mark.parametrize("name", ACTORS)
def test_outcomes_do_not_depend_on_how_many_run_at_a_time(name):
    actor = ACTORS[name]
    episodes = split_episodes(WORLD, "rephrasing")[:11]
    seen = []
    together = evaluate(actor(), WORLD, episodes, num_envs=11, progress=seen.append)
    assert [outcome.id for outcome in together] == [episode.id for episode in episodes]
    assert sorted(outcome.id for outcome in seen) == sorted(episode.id for episode in episodes)
    for num_envs in (1, 4, 100):
        assert evaluate(actor(), WORLD, episodes, num_envs=num_envs) == together


def test_a_seed_is_another_course_of_chance():
    episodes = split_episodes(WORLD, "train")[:8]
    first, same, other = (evaluate(RandomActor(seed), WORLD, episodes) for seed in (0, 0, 1))
    assert first == same != other


def test_sampled_actions_follow_the_policys_probabilities():
    class Even:
        """Three skills, one of them half of the time."""

        image_size = 16

        def perceive(self, rgb):
            return None

        def prepare(self, instructions):
            pass

        def initial_state(self, rows):
            return None

        def act(self, features, instructions, state, starts, previous, *, deterministic):
            import torch

            from llarp_cli.policy.contract import Decision

            logits = torch.full((len(instructions), 70), -1e9)
            logits[:, :3] = torch.log(torch.tensor([0.5, 0.3, 0.2]))
            rows = torch.zeros(len(instructions))
            return Decision(rows.long(), rows, rows, logits)

    counts = np.zeros(70)
    actor = PolicyActor(Even(), 0, False)
    act = actor.act

    def counting(observation, starts):
        choice = act(observation, starts)
        assert np.allclose(choice.probabilities, np.array([0.5, 0.3, 0.2])[choice.actions])
        np.add.at(counts, choice.actions, 1)
        return choice

    actor.act = counting
    evaluate(actor, WORLD, split_episodes(WORLD, "train"), num_envs=100)
    assert counts.sum() == 3200
    assert counts[:3] / counts.sum() == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    # Published values of Wilson's interval (Brown, Cai and DasGupta 2001 and elsewhere).
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662), (50, 100, 0.4038, 0.5962)],
)
def test_wilson(successes, episodes, low, high):
    assert wilson(successes, episodes) == pytest.approx((low, high), abs=1e-4)


def outcome(split="train", family="move", success=True, i=0) -> Outcome:
    return Outcome(f"{split}-{family}-{i}", split, family, success, 15.0 if success else 1.0, 4 if success else 32, i)


RESULTS = Results(
    policy="runs/one/checkpoints/100",
    backbone="minilm",
    seed=7,
    deterministic=False,
    outcomes=(
        outcome("train", "move", True, 0),
        outcome("train", "fetch", False, 1),
        outcome("rephrasing", "move", True, 2),
        outcome("rephrasing", "move", True, 3),
    ),
    left_out={"two_objects": 50},
)


def test_json_is_what_the_readme_says():
    found = RESULTS.to_json()
    assert list(found) == ["policy", "backbone", "seed", "splits", "groups", "total", "recipe", "records"]
    assert (found["policy"], found["backbone"], found["seed"]) == ("runs/one/checkpoints/100", "minilm", 7)
    assert found["splits"]["train"] == {
        "episodes": 2,
        "successes": 1,
        "success": 0.5,
        "interval": list(wilson(1, 2)),
        "return": 8.0,
        "length": 18.0,
        "invalid_skills": 0.5,
        "families": {
            "fetch": {"episodes": 1, "successes": 0, "success": 0.0},
            "move": {"episodes": 1, "successes": 1, "success": 1.0},
        },
    }
    assert found["total"] == summarize(RESULTS.outcomes)
    assert found["total"]["families"]["move"] == {"episodes": 3, "successes": 3, "success": 1.0}
    json.dumps(found)


def test_in_a_group_every_split_counts_alike():
    few = [outcome("rephrasing", "move", True, 0)]
    many = [outcome("context", "context", i == 0, i) for i in range(4)]
    told = summarize_group(few + many)
    assert (told["episodes"], told["successes"], told["success"]) == (5, 2, pytest.approx((1 + 0.25) / 2))
    assert told["interval"] == pytest.approx(wilson(5 * 0.625, 5))
    alike = [outcome("rephrasing", "move", i < 2, i) for i in range(4)] + many
    assert summarize_group(alike) == summarize(alike)


def test_the_table_has_a_row_per_split_and_says_what_was_left_out():
    table = table_of(RESULTS)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
    rows = {(row[0], row[1]): row for row in cells}
    assert rows["train", ""][2:4] == ["2", "50.0%"]
    assert rows["", "fetch"][2:4] == ["1", "0.0%"]
    assert rows["rephrasing", ""][4] == "34.2% - 100.0%"
    assert rows["total", ""][2] == "4"
    assert "left out: 50 episodes (50 of two_objects)" in table
    assert "sampled skills, seed 7" in table


def test_the_plot_is_a_picture(tmp_path):
    plot_results(RESULTS, tmp_path / "plot.png")
    picture = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB"))
    assert picture.shape[0] > 300 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]


@pytest.fixture
def trained_to_move(monkeypatch, in_toy_world):
    """A policy whose recipe trains the family `move` alone; it is the planner in disguise."""
    recipe = Recipe.model_validate({"tasks": {"families": ["move"]}})
    opened = Opened(PlannerActor(), "runs/one", "minilm", "minilm", recipe=recipe)
    monkeypatch.setattr(verb, "open_actor", lambda source, **options: opened)


def families_of(results: Results) -> set[str]:
    return {outcome.family for outcome in results.outcomes}


def test_eval_stays_within_the_families_of_the_recipe(trained_to_move):
    results = evaluate_policy("planner", splits=["train"])
    assert families_of(results) == {"move"}
    assert len(results.outcomes) + sum(results.left_out.values()) == 100
    assert "--all-families" in table_of(results)
    assert families_of(evaluate_policy("planner", splits=["context"], limit=1)) == {"context"}  # nobody trains it


def test_eval_goes_beyond_them_when_told(trained_to_move):
    results = evaluate_policy("planner", splits=["train"], all_families=True)
    assert len(results.outcomes) == 100 and not results.left_out
    assert families_of(evaluate_policy("planner", splits=["train"], families=["fetch"])) == {"fetch"}


def test_a_link_is_followed_once_while_a_run_goes_on(in_toy_world, monkeypatch, tmp_path):
    """`best` and `last` lead on to other checkpoints while a run trains; outcomes belong to what was opened."""
    folder = tmp_path / "run" / "checkpoints"
    for steps in ("100", "200"):
        (folder / steps).mkdir(parents=True)
        (folder / steps / "config.json").write_text(json.dumps({"policy": "llarp", "adapter_sha256": steps}))
        (folder / steps / "recipe.yaml").write_text("steps: 300\n")
        (folder / steps / "adapter.safetensors").write_bytes(b"")
    (folder.parent / "run.json").write_text("{}")
    (folder / "best").symlink_to("100")

    def opened(source, **_):
        (folder / "best").unlink()
        (folder / "best").symlink_to("200")
        return Opened(PlannerActor(), str(source), "x")

    monkeypatch.setattr(verb, "open_actor", opened)
    results = evaluate_policy(folder / "best", splits=["rephrasing"], limit=1)
    assert [(one.steps, one.adapter_sha256) for one in results.records] == [(100, "100")]


def test_limit_is_by_split_and_groups_are_their_splits(in_toy_world):
    results = evaluate_policy("random", splits=["train", "behavior", "novel_objects"], limit=3)
    assert {name: len(outcomes) for name, outcomes in results.splits.items()} == {
        "train": 3,
        "multiple_rearrangements": 3,
        "novel_objects": 3,
        "multiple_objects": 3,
        "conditional_instructions": 3,
    }
    assert set(results.groups) == {"behavior"} and len(results.groups["behavior"]) == 12
    assert results.to_json()["groups"]["behavior"] == summarize(results.groups["behavior"])
    assert "behavior (4 splits)" in table_of(results)
    assert len(evaluate_policy("random", limit=1).splits) >= 13


def test_own_sentences_in_an_episode_file(in_toy_world, tmp_path):
    file = tmp_path / "mine.jsonl"
    write_episodes(file, split_episodes(WORLD, "new_scenes")[:4])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[0]["instruction"] = "my own words"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    results = evaluate_policy("planner", episode_file=file)
    assert len(results.outcomes) == 4 and all(outcome.success for outcome in results.outcomes)


def test_an_episode_file_of_other_families_says_so(trained_to_move, tmp_path):
    file = tmp_path / "fetch.jsonl"
    write_episodes(file, [e for e in split_episodes(WORLD, "train") if e.family == "fetch"][:2])
    with pytest.raises(UsageProblem, match="no episode of move here: there are fetch"):
        evaluate_policy("planner", episode_file=file)


def test_families_of_ones_own_are_tried_whatever_was_trained(trained_to_move, tmp_path):
    file = tmp_path / "own.jsonl"
    errands = [replace(e, family="errand") for e in split_episodes(WORLD, "train") if e.family == "fetch"]
    write_episodes(file, errands[:2])
    assert {outcome.family for outcome in evaluate_policy("planner", episode_file=file).outcomes} == {"errand"}


def test_a_broken_line_is_named(in_toy_world, tmp_path):
    file = tmp_path / "broken.jsonl"
    write_episodes(file, split_episodes(WORLD, "train")[:2])
    file.write_text(file.read_text() + "{\n")
    with pytest.raises(UsageProblem, match=r"broken\.jsonl, line 3: broken JSON"):
        evaluate_policy("planner", episode_file=file)


def test_a_rollout_tells_each_step(in_toy_world):
    told = roll_out("planner", split="rephrasing", index=2)
    assert told.success and told.total_reward == pytest.approx(15.0)
    assert told.instruction == split_episodes(WORLD, "rephrasing")[2].instruction
    text = told.text()
    assert all(step.skill in text for step in told.steps)
    assert f"success after {len(told.steps)} steps, return 15.00" in text
    assert told.to_json()["steps"][0] == {
        "skill": told.steps[0].skill, "probability": 1.0, "possible": True, "reward": told.steps[0].reward,
    }  # fmt: skip


def test_a_rollout_ends_after_32_steps_without_success(in_toy_world):
    told = roll_out("random", split="train", index=0)
    assert not told.success and len(told.steps) == 32
    assert "not possible here" in told.text()


def test_an_episode_that_is_not_there_is_refused(in_toy_world):
    with pytest.raises(UsageProblem, match="there is no episode 100") as raised:
        roll_out("planner", split="train", index=100)
    assert raised.value.hint == "--episode goes from 0 to 99"


def test_an_episode_of_a_file_is_rolled_out(in_toy_world, tmp_path):
    file = tmp_path / "mine.jsonl"
    chosen = split_episodes(WORLD, "rephrasing")[4:7]
    write_episodes(file, chosen)
    told = roll_out("planner", episode_file=file, index=1)
    assert told.success and told.episode == chosen[1].id and told.instruction == chosen[1].instruction
    assert roll_out("planner", episode_file=file).episode == chosen[0].id
    with pytest.raises(UsageProblem, match="there is no episode 3") as raised:
        roll_out("planner", episode_file=file, index=3)
    assert raised.value.hint == "--episode goes from 0 to 2"
    with pytest.raises(UsageProblem, match="--split and --episodes exclude each other"):
        roll_out("planner", split="train", episode_file=file)
    write_episodes(file, [])
    with pytest.raises(UsageProblem, match="no episode"):
        roll_out("planner", episode_file=file)


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("Bring me the apple, on the sofa!", ("fetch", {"object": "apple", "target": "sofa"})),
        ("get the apple off the sofa", ("put_away", {"object": "apple", "source": "sofa"})),
        ("To the sofa, from my sink: the Apple", ("move", {"object": "apple", "source": "sink", "target": "sofa"})),
        (
            "a wrench and the toy airplane onto the tv stand",
            ("two_objects", {"object1": "wrench", "object2": "toy airplane", "target": "TV stand"}),
        ),
        ("Could you open the fridge?", ("open_fridge", {})),
        ("shut that fridge", ("close_fridge", {})),
        ("Can you bring the apple to the sofa?", ("fetch", {"object": "apple", "target": "sofa"})),
        ("Open the fridge, so that I can see what is in there", ("open_fridge", {})),
        ("Can you put the red can on the sofa, so I can drink?", ("fetch", {"object": "can", "target": "sofa"})),
        ("the Rubik’s cube on the sofa", ("fetch", {"object": "rubriks cube", "target": "sofa"})),
        ("open the fridge and take the apple", None),
        ("The lemon should not be on the brown table.", None),
        ("Find another place for the apple on the brown table", None),
        ("Do you see the open fridge? Close it, please.", None),
        ("something that one can pour goes to the sink", None),
        ("I lost a cup. Put the apple on the sofa.", None),
        ("It is late. Put the apple on the sofa.", ("fetch", {"object": "apple", "target": "sofa"})),
        ("pineapple on the sofa", None),
        ("apple", None),
        ("make me happy", None),
    ],
)
def test_what_a_sentence_seems_to_ask(text, guess):
    assert guess_slots(text) == guess


@pytest.mark.parametrize("split", [name for name in SPLITS if name != "train_strict"])
def test_no_sentence_of_the_benchmark_is_taken_for_another(split):
    for task in fixed_tasks(split):
        understood = understand(task.instruction)
        assert understood is None or understood[1].goal == task.goal, task.instruction


@pytest.mark.parametrize(
    "text",
    ["wrench from sink to sofa", "wrench onto the sofa", "take the wrench off the sofa", "wrench and mug to the sofa"],
)
def test_a_users_sentence_gets_a_home_in_which_it_can_be_done(in_toy_world, text):
    told = roll_out("planner", instruction=text)
    assert told.success and told.instruction == text
    assert re.match(r"understood as \w+: object1? = wrench", told.note) and told.note in told.text()


def test_a_users_sentence_is_tried_in_the_home_of_choice_with_every_category_there(in_toy_world):
    told = roll_out("planner", instruction="wrench onto the sofa", home="toy-3", arrangement_seed=5)
    assert told.success and told.home == "toy-3" and "planner in home toy-3" in told.text()
    assert roll_out("planner", instruction="wrench onto the sofa", home="toy-3", arrangement_seed=5, seed=9) == told
    episodes = [
        own_episode(WORLD, text, "toy-3", seed)[0] for text in ("wrench onto the sofa", "jump") for seed in (5, 6)
    ]
    for episode in episodes:
        assert {CATEGORY_OF[placed.asset] for placed in episode.arrangement.objects} == set(CATEGORIES)
    assert len({episode.arrangement for episode in episodes}) == 4


def test_without_a_goal_it_goes_on_until_it_repeats_itself_and_judges_nothing(in_toy_world, monkeypatch, tmp_path):
    class Stubborn(RandomActor):
        """Goes to and fro."""

        def act(self, observation, starts):
            self.turn = (getattr(self, "turn", 0) + 1) % 2
            return Choice(np.array([SKILL_INDEX["go_to", ("sofa", "sink")[self.turn]]]), np.ones(1))

    monkeypatch.setattr(rollout, "open_actor", lambda source, **_: Opened(Stubborn(0), "stubborn", "stubborn"))
    told = roll_out("random", instruction="make me happy", video=tmp_path / "out.mp4")
    # From where it began to the sink, then to the sofa for the third time.
    assert told.success is None and told.ending == "repeats" and len(told.steps) == 6
    assert told.text().splitlines()[2] == "no goal is known for this sentence: success is not judged"
    assert "ended after 6 steps: it repeats itself; success is not judged" in told.text()
    assert told.to_json()["success"] is None and told.to_json()["ending"] == "repeats"


def test_without_a_goal_and_without_repeating_the_limit_ends_it(in_toy_world):
    told = roll_out("random", instruction="make me happy")
    assert (told.ending, told.success, len(told.steps)) == ("unknown", None, 32)


def test_an_episodes_goal_stays_only_for_its_own_sentence_or_one_that_asks_the_same(in_toy_world):
    episode = next(e for e in split_episodes(WORLD, "train") if e.family == "fetch")
    index = split_episodes(WORLD, "train").index(episode)
    thing, target = episode.slots["object"], episode.slots["target"]

    def told(text: str):
        return roll_out("random", split="train", index=index, instruction=text)

    assert told(f"  {episode.instruction.upper()} ").note == "success is judged by the episode's goal"
    assert "by the episode's goal" in told(f"{thing} to the {target}, quick").note
    assert told("jump").success is None
    other = next(name for name in CATEGORIES if name not in ("wrench", thing))
    note = told(f"{other} to the {target} from the {next(name for name in SURFACES if name != target)}").note
    assert note.startswith(f"understood as move: object = {other}") and note.endswith("success is judged by that")
    lying = next(
        placed for placed in episode.arrangement.objects if CATEGORY_OF[placed.asset] not in (thing, "block", "cup")
    )
    so_already = told(f"the {CATEGORY_OF[lying.asset]} should be on the {lying.receptacle}")
    assert so_already.success is None and "so already" in so_already.note


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"instruction": "jump"}, "the planner does not read"),
        ({"source": "expert", "instruction": "jump"}, "the expert does not read"),
        ({"home": "toy-1"}, "--home goes with --instruction"),
        ({"arrangement_seed": 1}, "--arrangement-seed goes with --instruction"),
        ({"instruction": "jump", "home": "toy-1", "index": 1}, "--home and --split or --episode exclude each other"),
        ({"instruction": "jump", "home": "nowhere"}, "unknown scene 'nowhere'"),
        ({"instruction": " \n"}, "--instruction is empty"),
        ({"instruction": "a" * 1001}, "--instruction has 1001 characters"),
        ({"instruction": "go\x00"}, "--instruction holds characters that are not text"),
        ({"instruction": "go\udc80"}, "--instruction holds characters that are not text"),
    ],
)
def test_a_sentence_that_cannot_be_tried_says_why(in_toy_world, arguments, message):
    with pytest.raises(UsageProblem, match=message):
        roll_out(**{"source": "planner", **arguments})
