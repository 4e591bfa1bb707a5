import time
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_world import SIZES, TinyWorld

from llarp_cli.config import TaskOptions
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.rearrangement.arrangements import CAMERA_HEIGHT, arrange, turn
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.goals import CompiledGoals, parse
from llarp_cli.rearrangement.instructions import NOUNS
from llarp_cli.rearrangement.splits import (
    SPLITS,
    EpisodeList,
    TrainingEpisodes,
    fingerprint,
    generate,
    split_episodes,
    training_task,
)
from llarp_cli.rearrangement.tasks import FAMILIES, make_task
from llarp_cli.rearrangement.vocabulary import (
    CATEGORIES,
    CATEGORY_OF,
    HELD_OUT_CATEGORIES,
    JOINTS,
    RECEPTACLES,
    SURFACES,
    TARGETS,
)

WORLD = TinyWorld()
FINGERPRINT = "8a226c2c7fea15855b3ede330dc9cbc46184d09f3a6e5cdcbba896c49320010f"
TASKS = [make_task(list(FAMILIES)[i % len(FAMILIES)], Draws("test", i)) for i in range(400)]


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
        nouns = [NOUNS.get(value, value) for value in task.slots.values()]
        assert all(noun in task.instruction for noun in nouns), task.instruction
        goal = parse(task.goal)
        assert goal.categories() == {v for slot, v in task.slots.items() if slot.startswith("object")}
        assert goal.categories() == set(task.unique) == {one.category for one in task.required}


def test_training_targets_hold_out_categories():
    named = {family: set() for family in FAMILIES}
    for index in range(4000):
        task = training_task("train", index)
        named[task.family] |= {value for slot, value in task.slots.items() if slot.startswith("object")}
    held_out = set(HELD_OUT_CATEGORIES)
    assert not named["move"] & held_out and not named["fetch"] & held_out
    assert held_out <= named["put_away"] and held_out <= named["two_objects"]


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


@pytest.mark.parametrize("number", range(0, 400, 5))
def test_arrangements_keep_their_promises(number):
    task, arrangement = TASKS[number], arranged(number)
    objects = arrangement.objects
    assert [one.asset for one in objects] == sorted(one.asset for one in objects) and len(objects) == 35
    found = [CATEGORY_OF[one.asset] for one in objects]
    assert set(found) == set(CATEGORIES)
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
    assert 0 <= arrangement.robot[2] < 360_000 and arrangement.joints == (0,) * len(JOINTS)


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


def test_fewer_and_more_objects():
    for objects in (2, 5, 15, 34, 40, 50):
        for number in range(4):
            arrangement = arranged(number, objects=objects)
            assert len(arrangement.objects) == objects
            assert {one.category for one in TASKS[number].required} <= {
                CATEGORY_OF[o.asset] for o in arrangement.objects
            }
    with pytest.raises(UsageProblem, match=r"tasks\.objects is 1"):
        arranged(3, objects=1)
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


@pytest.mark.parametrize("split", list(SPLITS))
def test_evaluation_splits(split):
    episodes = split_episodes(WORLD, split)
    assert len(episodes) == len({episode.id for episode in episodes}) == 100
    for family in SPLITS[split].families:
        assert sum(episode.family == family for episode in episodes) == 25
    scenes = {episode.arrangement.scene for episode in episodes}
    kind = SPLITS[split].homes
    if kind == "test":
        assert scenes == set(WORLD.test_scenes())
    else:
        numbers = {int(scene.removeprefix("train-")) for scene in scenes}
        assert max(numbers) < 100 if kind == "train" else min(numbers) >= 1_000_000_000
    assert not any(solved_at_start(episode.goal, episode.arrangement) for episode in episodes)
    assert split_episodes(WORLD, split, ["move"]) == [episode for episode in episodes if episode.family == "move"]


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
