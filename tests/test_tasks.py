import hashlib
import resource
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_world import SIZES, TinyWorld

from llarp_cli.config import TaskOptions
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.rearrangement.arrangements import CAMERA_HEIGHT, arrange, turn
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.facts import OBJECT_REACH
from llarp_cli.rearrangement.goals import CompiledGoals, parse
from llarp_cli.rearrangement.instructions import NOUNS
from llarp_cli.rearrangement.relations import answer
from llarp_cli.rearrangement.splits import (
    GROUPS,
    SPLITS,
    EpisodeList,
    TrainingEpisodes,
    fingerprint,
    fixed_episodes,
    fixed_tasks,
    generate,
    split_episodes,
    training_task,
)
from llarp_cli.rearrangement.tasks import FAMILIES, TRAINED, by_weight, make_task
from llarp_cli.rearrangement.vocabulary import (
    CATEGORIES,
    CATEGORY_OF,
    HELD_OUT_CATEGORIES,
    RECEPTACLES,
    SURFACES,
    TARGETS,
    TRAIN_CATEGORIES,
)
from llarp_cli.rearrangement.wordings import NEEDS

WORLD = TinyWorld()
FINGERPRINT = "f6279fc2ab22b416795b11753c83bc78ebd2847d0c8a897abcb40861a2e392aa"
ROUND = by_weight(tuple(FAMILIES))
TINY_SPLITS = [split for split in SPLITS if split != "spatial_relationships"]  # a row of surfaces has no kitchen


def a_task(number):
    family = ROUND[number % len(ROUND)]
    return make_task(family, Draws("test", number), "train" if family in TRAINED else "held_out")


TASKS = [a_task(number) for number in range(400)]
SINGLE = [number for number, task in enumerate(TASKS) if len(set(task.required)) == len(task.required)]


def arranged(number, task=None, objects=35):
    return arrange(task or TASKS[number], WORLD.scene("test-0"), SIZES, objects, Draws("arrange", number))


def solved_at_start(goal, arrangement):
    """Whether a goal holds by the labels of where things start, the robot being nowhere in particular."""
    objects = arrangement.objects
    facts = SimpleNamespace(
        on=np.array([[[r == one.receptacle for r in RECEPTACLES] for one in objects]]),
        held=np.full(1, -1, np.int16),
        opened=np.array([arrangement.joints]) > 400,
        closed=np.array([arrangement.joints]) < 150,
        at_target=np.zeros((1, len(TARGETS)), bool),
        at_object=np.zeros((1, len(objects)), bool),
    )
    compiled = CompiledGoals(1)
    compiled.set(0, parse(goal), [CATEGORIES.index(CATEGORY_OF[one.asset]) for one in objects])
    return bool(compiled.evaluate(facts)[0])


def test_draws_never_change():
    draws = Draws("train", 7, 12)
    assert [draws.below(1000) for _ in range(6)] == [437, 434, 853, 503, 254, 718]
    assert Draws("a", 1).below(1 << 63) != Draws("a", "1").below(1 << 63) != Draws("a1").below(1 << 63)


def test_draws_are_even():
    draws = Draws("even")
    counts = np.bincount([draws.below(7) for _ in range(14_000)], minlength=7)
    assert np.abs(counts - 2000).max() < 200
    assert {draws.between(-2, 2) for _ in range(200)} == {-2, -1, 0, 1, 2}
    assert sorted(draws.shuffled(range(10))) == list(range(10))
    sample = draws.sample("abcdef", 3)
    assert len(set(sample)) == 3 and set(sample) <= set("abcdef")


def test_tasks_say_what_they_ask():
    for task in TASKS:
        if task.family in TRAINED or task.family in ("three_objects", "if_fridge"):
            nouns = [NOUNS.get(value, value) for value in task.slots.values()]
            assert all(noun in task.instruction for noun in nouns), task.instruction
        goal = parse(task.goal)
        assert goal.categories() == {v for slot, v in task.slots.items() if slot.startswith("object")}
        assert goal.categories() == {one.category for one in task.required} <= set(task.unique)
        assert task.family == "context" or goal.categories() == set(task.unique)


def test_families_take_turns_by_weight():
    assert Counter(ROUND) == {name: family.weight for name, family in FAMILIES.items()}
    assert by_weight(("move", "fetch", "put_away")) == ("move", "fetch", "put_away")
    first = by_weight(TRAINED)[:6]
    assert sum(FAMILIES[family].weight > 1 for family in first) >= 4 and len(set(first)) >= 5


def made(family, count=200):
    wordings = "train" if family in TRAINED else "held_out"
    return [make_task(family, Draws("made", family, i), wordings) for i in range(count)]


def test_conditions_come_in_both_truth_values_with_the_same_wordings():
    wordings = {is_open: set() for is_open in (True, False)}
    for task in made("if_fridge", 400):
        is_open = task.joints == {"fridge": 1.22}
        assert is_open or not task.joints
        first, second, target = (task.slots[slot] for slot in ("object1", "object2", "target"))
        here, there = (one.receptacle for one in task.required)
        assert len({here, there, target}) == 3
        terms = set(task.goal["sub_exprs"])
        assert ("opened_fridge(fridge)" if is_open else "closed_fridge(fridge)") in terms
        assert {f"on_top(X, {target if is_open else here})", f"on_top(Y, {there if is_open else target})"} < terms
        assert [one.category for one in task.required] == [first, second]
        wordings[is_open].add(task.wording)
    assert wordings[True] == wordings[False]


def test_all_means_two_or_three_and_all_of_them_where_it_says():
    for family in ("all_of_kind", "all_from"):
        tasks = made(family)
        assert {len(task.required) for task in tasks} == {2, 3}
        for number, task in enumerate(tasks[:60]):
            arrangement = arranged(number, task)
            named = [one for one in arrangement.objects if CATEGORY_OF[one.asset] == task.slots["object"]]
            assert len(named) == len(task.required)
            assert task.slots["target"] not in {one.receptacle for one in named}
            if family == "all_from":
                assert {one.receptacle for one in named} == {task.slots["source"]}


def test_what_would_serve_as_well_is_not_in_the_home():
    for number, task in enumerate(made("context", 60)):
        found = Counter(CATEGORY_OF[one.asset] for one in arranged(number, task).objects)
        assert found[task.slots["object"]] == 1
        assert not any(found[category] for category in NEEDS[task.slots["object"]].instead)


def test_the_robot_starts_away_from_what_it_is_to_find():
    scene = WORLD.scene("test-0")
    for number, task in enumerate([*made("go_to", 30), *made("find", 30)]):
        arrangement = arranged(number, task)
        x, z, _ = arrangement.robot
        if task.family == "go_to":
            places = [scene.boxes[RECEPTACLES.index(task.slots["target"])][[0, 2]]]
        else:
            places = [one.position[::2] for one in arrangement.objects if CATEGORY_OF[one.asset] in task.unique]
        assert len(places) == 1 and np.hypot(x - places[0][0], z - places[0][1]) > 1000 * OBJECT_REACH


def test_three_objects_have_three_targets_and_may_tell_their_sources():
    tasks = made("three_objects")
    told = [task for task in tasks if "source1" in task.slots]
    assert 60 < len(told) < 140
    for task in tasks:
        assert len({task.slots[f"target{i}"] for i in (1, 2, 3)}) == 3
        for i, one in enumerate(task.required, start=1):
            assert one.receptacle == task.slots.get(f"source{i}") != task.slots[f"target{i}"]


def test_strict_training_never_names_held_out_objects():
    named = {v for i in range(3000) for v in training_task("train_strict", i).slots.values()}
    assert not named & set(HELD_OUT_CATEGORIES) and set(TRAIN_CATEGORIES) <= named


def test_novel_objects_are_novel():
    episodes = split_episodes(WORLD, "novel_objects")
    assert {episode.slots["object"] for episode in episodes} == set(HELD_OUT_CATEGORIES)
    assert len({task.wording for task in fixed_tasks("novel_objects")}) >= 16


def test_groups_are_the_papers():
    assert len(GROUPS["all"]) == 10 and len(set(GROUPS["all"])) == 10
    assert {"new_scenes", *GROUPS["paraphrastic"], *GROUPS["behavior"]} == set(GROUPS["all"])
    assert sum(len(fixed_tasks(split)) for split in GROUPS["all"]) == 1000
    assert all(SPLITS[split].homes == "test" and not SPLITS[split].training for split in GROUPS["all"])


def test_training_targets_hold_out_categories():
    named = {family: set() for family in FAMILIES}
    for index in range(4000):
        task = training_task("train", index)
        named[task.family] |= {value for slot, value in task.slots.items() if slot.startswith("object")}
    held_out = set(HELD_OUT_CATEGORIES)
    assert set(named) - {family for family, names in named.items() if names} == {
        *(family for family in FAMILIES if family not in TRAINED),
        *("open_fridge", "close_fridge", "go_to"),
    }
    assert not (named["move"] | named["fetch"] | named["find"]) & held_out
    assert held_out <= named["put_away"] and held_out <= named["two_objects"] and held_out <= named["swap"]


def test_training_tasks_are_rebuilt_from_their_number():
    assert training_task("train", 123, seed=4) == training_task("train", 123, seed=4)
    some = [training_task("train", i) for i in range(2000)]
    assert len({(task.family, tuple(task.slots.items()), task.instruction) for task in some}) > 1500
    assert some[:50] != [training_task("train", i, seed=1) for i in range(50)]
    only = [training_task("train", i, families=("fetch",), categories=("apple", "cup")) for i in range(50)]
    assert {task.family for task in only} == {"fetch"} and {task.slots["object"] for task in only} == {"apple", "cup"}
    assert fingerprint([training_task("train", i) for i in range(1000)]) == FINGERPRINT


def test_tasks_are_quick():
    start = time.process_time()
    for index in range(1000):
        training_task("train", index)
    assert (time.process_time() - start) / 1000 < 1e-3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "rephrasing"}, "for evaluation only"),
        ({"split": "trian"}, "unknown split 'trian'"),
        ({"families": ("juggle",)}, "unknown family 'juggle'"),
        ({"families": ("move",), "categories": ("mug",)}, "needs 1 categories"),
        ({"families": ("two_objects",), "categories": ("cup",)}, "needs 2 categories"),
    ],
)
def test_training_options_that_will_not_do(options, said):
    with pytest.raises(UsageProblem, match=said):
        TrainingEpisodes(WORLD, TaskOptions(**options), seed=0)


@pytest.mark.parametrize("number", SINGLE[::4])
def test_arrangements_keep_their_promises(number):
    task, arrangement = TASKS[number], arranged(number)
    objects = arrangement.objects
    assert [one.asset for one in objects] == sorted(one.asset for one in objects) and len(objects) == 35
    found = [CATEGORY_OF[one.asset] for one in objects]
    assert set(CATEGORIES) - set(found) <= set(task.unique)
    for required in task.required:
        (one,) = [one for one in objects if CATEGORY_OF[one.asset] == required.category]
        assert one.receptacle == required.receptacle or (required.receptacle is None)
        assert one.receptacle not in required.avoid
    assert not solved_at_start(task.goal, arrangement)
    for i, one in enumerate(objects):
        row = WORLD.scene("test-0").surfaces[SURFACES.index(one.receptacle)]
        cos, sin = (value / 1e6 for value in turn(int(row[3])))
        x, z = one.position[0] - row[0], one.position[2] - row[2]
        assert abs(x * cos + z * sin) <= row[4] + 1 and abs(z * cos - x * sin) <= row[5] + 1
        assert one.position[1] == row[1] + SIZES[one.asset].rest_height
        for other in objects[:i]:
            if other.receptacle == one.receptacle:
                apart = np.hypot(one.position[0] - other.position[0], one.position[2] - other.position[2])
                assert apart >= SIZES[one.asset].radius + SIZES[other.asset].radius
    assert arrangement.robot[:2] in {tuple(start) for start in WORLD.scene("test-0").starts.tolist()}
    assert 0 <= arrangement.robot[2] < 360_000
    assert arrangement.joints == (0, 0, 0, 0, 1220 if task.joints else 0)


def test_what_a_task_needs_is_not_hidden():
    """March along the line from the camera to the object's middle: nothing may stand in it."""
    for number, task in enumerate(TASKS[:200]):
        arrangement = arranged(number)
        for needed in arrangement.objects:
            if CATEGORY_OF[needed.asset] not in task.unique:
                continue
            stand = WORLD.scene("test-0").stands[5 + RECEPTACLES.index(needed.receptacle)]
            angle = np.deg2rad(stand[2] / 1000)
            camera = np.array([stand[0] + 250 * np.cos(angle), CAMERA_HEIGHT, stand[1] + 250 * np.sin(angle)])
            surface = WORLD.scene("test-0").surfaces[SURFACES.index(needed.receptacle), 1]
            middle = np.array([needed.position[0], surface + SIZES[needed.asset].height // 2, needed.position[2]])
            for other in arrangement.objects:
                if other is needed or other.receptacle != needed.receptacle:
                    continue
                size = SIZES[other.asset]
                for share in np.linspace(0, 1, 60):
                    point = camera + share * (middle - camera)
                    level = np.hypot(point[0] - other.position[0], point[2] - other.position[2])
                    assert level > size.radius - 2 or point[1] > surface + size.height - 2


def test_upstairs_things_stand_as_downstairs():
    below = WORLD.scene("test-0")
    up = np.array([0, 3000, 0, 0, 0, 0, 0])
    above = replace(below, boxes=below.boxes + up, surfaces=below.surfaces + up, floor=3000)
    for number in range(20):
        one, other = (arrange(TASKS[number], scene, SIZES, 35, Draws("stairs", number)) for scene in (below, above))
        for low, high in zip(one.objects, other.objects, strict=True):
            x, y, z = low.position
            assert high == replace(low, position=(x, y + 3000, z))


def test_fewer_and_more_objects():
    for objects in (3, 5, 15, 34, 40, 50):
        for number in range(4):
            arrangement = arranged(number, objects=objects)
            assert len(arrangement.objects) == objects
            assert {one.category for one in TASKS[number].required} <= {
                CATEGORY_OF[o.asset] for o in arrangement.objects
            }
    with pytest.raises(UsageProblem, match=r"tasks\.objects is 1"):
        arranged(0, make_task("swap", Draws(1)), objects=1)
    crowded = TinyWorld().scene("test-0")
    crowded.surfaces[:, 4:6] = 60
    with pytest.raises(LlarpError, match="no room for"):
        arrange(TASKS[0], crowded, SIZES, 35, Draws(0))


def test_instances_are_those_of_the_task():
    task = make_task("move", Draws("cup"), categories=("cup",))
    found = [CATEGORY_OF[one.asset] for one in arranged(0, task).objects]
    assert found.count("cup") == 1 and found.count("block") == 2 and len(found) == 34 + 1


def test_arrangements_are_quick_and_repeatable():
    assert arranged(7) == arranged(7)
    start = time.process_time()
    for number in range(200):
        arranged(number)
    assert (time.process_time() - start) / 200 < 5e-3


def test_training_episodes_resume_and_take_turns():
    options = TaskOptions(homes=5, objects=12)
    episodes = TrainingEpisodes(WORLD, options, seed=3)
    first = [episodes() for _ in range(8)]
    assert episodes.position == 8 and first[0].id == "train-0"
    assert {episode.arrangement.scene for episode in first} <= {f"train-{i}" for i in range(5)}
    again = TrainingEpisodes(WORLD, options, seed=3)
    again.position = 6
    assert [again(), again()] == first[6:]
    odd = TrainingEpisodes(WORLD, options, seed=3, start=1, stride=2)
    assert [odd(), odd(), odd()] == first[1:6:2] and odd.position == 7


def test_an_episode_list_ends():
    episodes = EpisodeList(split_episodes(WORLD, "synonyms")[:2])
    assert episodes().id == "synonyms-0000" and episodes().id == "synonyms-0001" and episodes() is None


@pytest.mark.parametrize("split", TINY_SPLITS)
def test_evaluation_splits(split):
    episodes = split_episodes(WORLD, split)
    assert len(episodes) == len({episode.id for episode in episodes}) == 100
    round_ = by_weight(SPLITS[split].families)
    assert [episode.family for episode in episodes] == [round_[i % len(round_)] for i in range(100)]
    scenes = {episode.arrangement.scene for episode in episodes}
    kind = SPLITS[split].homes
    if kind == "test":
        assert scenes == set(WORLD.test_scenes())
    else:
        numbers = {int(scene.removeprefix("train-")) for scene in scenes}
        assert max(numbers) < 100 if kind == "train" else min(numbers) >= 1_000_000_000
    assert not any(solved_at_start(episode.goal, episode.arrangement) for episode in episodes)
    first = round_[0]
    assert split_episodes(WORLD, split, [first]) == [episode for episode in episodes if episode.family == first]


def test_relations_hold_where_they_are_told():
    from llarp_cli.home import world

    episodes = fixed_episodes(world, "spatial_relationships")
    tasks = fixed_tasks("spatial_relationships")
    assert len({task.relation for task in tasks}) >= 8
    for task, episode in zip(tasks, episodes, strict=True):
        assert answer(task.relation, world.scene(episode.arrangement.scene)) == task.slots["target"]
        assert task.slots["target"] not in task.instruction
    assert len(episodes) == 100 > len(fixed_episodes(WORLD, "spatial_relationships"))  # which has no kitchen


def test_training_episodes_are_made_ahead_and_given_in_order():
    class Slow(TinyWorld):
        made = 0

        def scene(self, name):
            type(self).made += 1
            return super().scene(name)

    world = Slow()
    episodes = TrainingEpisodes(world, TaskOptions(objects=5), seed=0)
    assert episodes().id == "train-0"
    deadline = time.monotonic() + 10
    while world.made < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert world.made >= 20 and episodes.position == 1
    episodes.position = 500
    assert [episodes().id for _ in range(3)] == ["train-500", "train-501", "train-502"]


@pytest.mark.slow
def test_150_000_training_tasks():
    """All different, most of them in what they ask; made in minutes, in memory that does not grow."""
    asked, everything = set(), hashlib.blake2b()
    start = time.process_time()
    for index in range(150_000):
        task = training_task("train", index)
        asked.add(hashlib.blake2b(repr((task.family, task.slots, task.instruction)).encode(), digest_size=8).digest())
        everything.update(task.instruction.encode())
        if index == 1000:
            first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert time.process_time() - start < 300
    assert len(asked) >= 50_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first < 40_000  # kB, of which the set takes most


def test_a_counted_training_set_repeats_its_tasks_in_other_arrangements():
    episodes = TrainingEpisodes(WORLD, TaskOptions(count=5), seed=3)
    met = [episodes() for _ in range(60)]
    tasks = {training_task("train", number, seed=3).instruction for number in range(5)}
    assert {episode.instruction for episode in met} == tasks
    assert len({episode.arrangement for episode in met}) == len(met)


def test_held_back_episodes_are_not_trained_on():
    held_back = {episode.arrangement for episode in split_episodes(WORLD, "train")}
    episodes = TrainingEpisodes(WORLD, TaskOptions(), seed=0)
    assert not held_back & {episodes().arrangement for _ in range(300)}


def test_generated_episodes():
    made = list(generate(WORLD, "rephrasing", 12, seed=1, families=["fetch", "move"]))
    assert [episode.family for episode in made] == ["fetch", "move"] * 6
    assert made == list(generate(WORLD, "rephrasing", 12, seed=1, families=["fetch", "move"]))
    others = [*generate(WORLD, "rephrasing", 12, seed=2), *split_episodes(WORLD, "rephrasing")]
    assert not {episode.id for episode in made} & {episode.id for episode in others}
    assert not {episode.arrangement for episode in made} & {episode.arrangement for episode in others}
    with pytest.raises(UsageProblem, match="unknown split"):
        generate(WORLD, "rephrase", 1)
    with pytest.raises(UsageProblem, match="'all' is a group of splits"):
        generate(WORLD, "all", 1)
    with pytest.raises(UsageProblem, match="unknown family"):
        generate(WORLD, "rephrasing", 1, families=["juggle"])
