"""Released episode files: read without running anything, and made into episodes of ours."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from released_files import ID_OF, brought, episode, goal_exists, released, write

from llarp_cli.config import RewardOptions
from llarp_cli.dataset_import import PRESOLVED, import_file
from llarp_cli.errors import UsageProblem
from llarp_cli.home import world
from llarp_cli.rearrangement.episode_files import read_episodes
from llarp_cli.rearrangement.planner import outdated
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.released.mentions import categories_named, receptacles_named
from llarp_cli.rearrangement.released.tasks import FAMILY_OF
from llarp_cli.rearrangement.vocabulary import JOINTS, RECEPTACLES

RELEASED = Path("../shared/langr/released")
FILES = (
    "train_validation",
    "new_scenes",
    "rephrasing",
    "multiple_rearrangements",
    "conditional_instructions",
)
the_released_files = pytest.mark.skipif(not RELEASED.is_dir(), reason=f"no released files in {RELEASED}")

FRIDGE = "fridge_push_point"
MOVE = episode(
    "42f1b012",
    "Kindly carry the lemon lying on the sofa over to the sink.",
    brought("lemon", "sink"),
    where={"lemon": "sofa"},
    entities={"from_here": ID_OF["sofa"], "to_there": ID_OF["sink"], "thing": "lemon"},
)


def two(first, second, *terms):
    return goal_exists([("X", first), ("Y", second)], *terms, "not_holding()")


# One of each released family, keys of what was sampled named as no released file names them.
KINDS = {
    "move": (MOVE, {"object": "lemon", "source": "sofa", "target": "sink"}),
    "fetch": (
        episode(
            "f0917e29", "The TV stand could do with a drill.", brought("drill", "TV stand"), where={"drill": "sofa"}
        ),
        {"object": "drill", "target": "TV stand"},
    ),
    "fetch, a variant that speaks of other things": (
        episode(
            "f0917e29_688ee521",
            "Lay a plate beside the spoon on the sofa.",
            brought("plate", "sofa"),
            where={"plate": "sink"},
        ),
        {"object": "plate", "target": "sofa"},
    ),
    "put_away": (
        episode(
            "9a1dd6ee",
            "No wrench belongs in the sink.",
            {
                "expr_type": "AND",
                "sub_exprs": [
                    "not_holding()",
                    goal_exists([("X", "wrench")], f"on_top(X,{ID_OF['sink']})", connective="NAND"),
                ],
            },
            where={"wrench": "sink"},
        ),
        {"object": "wrench", "source": "sink"},
    ),
    "two_objects": (
        episode(
            "fd8dd56c_b369767a",
            "A knife and a spoon go on the black table.",
            two("knife", "spoon", *(f"on_top({x}, {ID_OF['black table']})" for x in "XY")),
            where={"knife": "sofa", "spoon": "sink"},
        ),
        {"object1": "knife", "object2": "spoon", "target": "black table"},
    ),
    "swap": (
        episode(
            "6e7f4383",
            "Let ball and hammer trade places.",
            two("ball", "hammer", f"on_top(X, {ID_OF['sofa']})", f"on_top(Y, {ID_OF['brown table']})"),
            where={"ball": "brown table", "hammer": "sofa"},
        ),
        {"object1": "ball", "source1": "brown table", "object2": "hammer", "source2": "sofa"},
    ),
    "close_fridge": (
        episode(
            "6e3da8a1",
            "Shut it, it gets warm in there.",
            {"expr_type": "AND", "sub_exprs": [f"closed_fridge({FRIDGE})"]},
            start=[f"opened_fridge({FRIDGE})"],
        ),
        {},
    ),
    "open_fridge": (
        episode(
            "68216d8c",
            "Open the fridge.",
            {"expr_type": "AND", "sub_exprs": [f"opened_fridge({FRIDGE})"]},
            start=[f"closed_fridge({FRIDGE})"],
        ),
        {},
    ),
    "go_to": (
        episode("311525c5", "Off to the sofa!", {"expr_type": "AND", "sub_exprs": [f"robot_at({ID_OF['sofa']})"]}),
        {"target": "sofa"},
    ),
    "find": (
        episode("2f2d797d", "Where is the pear?", goal_exists([("X", "pear")], "robot_at(X)")),
        {"object": "pear"},
    ),
    "refer": (
        episode(
            "8a66dec9_eb3cd1c5",
            "The sour yellow fruit, to the sofa.",
            brought("lemon", "sofa"),
            where={"lemon": "sink"},
        ),
        {"object": "lemon", "target": "sofa"},
    ),
    "context": (
        episode(
            "21e2ce5f_9996fbd6",
            "Something was spilt on the sofa.",
            brought("cleanser", "sofa"),
            where={"cleanser": "sink"},
        ),
        {"object": "cleanser", "target": "sofa"},
    ),
    "distraction": (
        episode(
            "f0917e29",
            "Somebody left an apple on the sofa. Can you put a book into the sink?",
            brought("book", "sink"),
            where={"book": "sofa"},
        ),
        {"object": "book", "target": "sink", "other": "apple"},
    ),
    "distraction, about its own object": (
        episode(
            "f0917e29",
            "I saw apples on the sofa. Put an apple into the sink.",
            brought("apple", "sink"),
            where={"apple": "sofa"},
        ),
        {"object": "apple", "target": "sink", "other": "apple"},
    ),
    "distraction, about its own object and no other place": (
        episode(
            "f0917e29",
            "There are apples on the TV stand, I think. Put an apple on the TV stand.",
            brought("apple", "TV stand"),
            where={"apple": "sofa"},
        ),
        {"object": "apple", "target": "TV stand", "other": "apple"},
    ),
    "spatial": (
        episode(
            "93b2ef41_b8173aa5",
            "Take the cup off the black table and set it down just right of the left counter.",
            brought("cup", "sink"),
            where={"cup": "black table"},
            entities={"start": ID_OF["black table"]},
        ),
        {"object": "cup", "source": "black table", "target": "sink"},
    ),
    "three_objects": (
        episode(
            "db3119cd",
            "Clamp to sofa; lego from the left counter to the black table; and the sponge to the left counter.",
            goal_exists(
                [("X", "clamp"), ("Y", "lego"), ("Z", "sponge")],
                f"on_top(X, {ID_OF['sofa']})",
                f"on_top(Y, {ID_OF['black table']})",
                f"on_top(Z, {ID_OF['left counter']})",
                "not_holding()",
            ),
            where={"clamp": "black table", "lego": "left counter", "sponge": "sofa"},
        ),
        {
            "object1": "clamp",
            "target1": "sofa",
            "object2": "lego",
            "source2": "left counter",
            "target2": "black table",
            "object3": "sponge",
            "target3": "left counter",
        },
    ),
    "three_objects, places that are one's source and another's target": (
        episode(
            "db3119cd",
            "A block from the TV stand to the sofa, a plum from the sink to the TV stand, a plate from the sofa to "
            "the TV stand.",
            goal_exists(
                [("X", "block"), ("Y", "plum"), ("Z", "plate")],
                f"on_top(X, {ID_OF['sofa']})",
                f"on_top(Y, {ID_OF['TV stand']})",
                f"on_top(Z, {ID_OF['TV stand']})",
                "not_holding()",
            ),
            where={"block": "TV stand", "plum": "sink", "plate": "sofa"},
        ),
        {
            "object1": "block",
            "source1": "TV stand",
            "target1": "sofa",
            "object2": "plum",
            "source2": "sink",
            "target2": "TV stand",
            "object3": "plate",
            "source3": "sofa",
            "target3": "TV stand",
        },
    ),
    "all_of_kind": (
        episode(
            "3ef02c70",
            "Every cup onto the TV stand.",
            brought("cup", "TV stand", quantifier="FORALL"),
            where={"cup": "sofa"},
            more=["065-b_cups"],
        ),
        {"object": "cup", "target": "TV stand"},
    ),
    "all_from": (
        episode(
            "92bcf9b3",
            "All boxes on the sofa belong on the TV stand.",
            brought("box", "TV stand", quantifier="FORALL"),
            where={"box": "sofa"},
            more=["004_sugar_box"],
        ),
        {"object": "box", "source": "sofa", "target": "TV stand"},
    ),
    "if_fridge, open": (
        episode(
            "5d5460d6",
            "With the fridge open the peach goes to the sofa, else the plum.",
            two(
                "peach",
                "plum",
                f"opened_fridge({FRIDGE})",
                f"on_top(X, {ID_OF['sofa']})",
                f"on_top(Y, {ID_OF['sink']})",
            ),
            where={"peach": "left counter", "plum": "sink"},
            start=[f"opened_fridge({FRIDGE})"],
        ),
        {"object1": "peach", "object2": "plum", "target": "sofa"},
    ),
    "if_fridge, closed": (
        episode(
            "e75d9d69",
            "With the fridge open the peach goes to the sofa, else the plum.",
            two(
                "peach",
                "plum",
                f"closed_fridge({FRIDGE})",
                f"on_top(X, {ID_OF['sink']})",
                f"on_top(Y, {ID_OF['sofa']})",
            ),
            where={"peach": "sink", "plum": "left counter"},
            start=[f"closed_fridge({FRIDGE})"],
        ),
        {"object1": "peach", "object2": "plum", "target": "sofa"},
    ),
}


def solved(episodes):
    """The planner's plans, each carried out, and made anew where chance has spoken: (plans, whether each reached its
    goal); labels checked on the way."""
    play = Play(world, len(episodes), 64, RewardOptions(), 32, 0)
    play.begin(dict(enumerate(episodes)))
    for row, one in enumerate(episodes):
        for number, placed in enumerate(one.arrangement.objects):
            assert [RECEPTACLES[r] for r in np.flatnonzero(play.facts.on[row, number])] == [placed.receptacle]
    plans = [play.plan(row) for row in range(len(episodes))]
    reached = np.array([plan == [] for plan in plans])
    left = [list(plan or ()) for plan in plans]
    for _ in range(32):
        playing = np.array([bool(plan) for plan in left])
        actions = np.array([plan.pop(0) if plan else 0 for plan in left])
        reached |= play.act(actions, playing).success
        for row in np.flatnonzero(playing):
            if reached[row]:
                left[row] = []
            elif outdated(actions[row], play.simulator.held[row] >= 0):
                left[row] = play.plan(row) or []
    return plans, reached


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A file of every kind, three times over, and what became of it."""
    folder = tmp_path_factory.mktemp("imported")
    source = write(folder / "every kind!.pickle", released([kind for kind, _ in KINDS.values()] * 3))
    report = import_file(source, folder / "out.jsonl")
    return report, read_episodes(folder / "out.jsonl"), folder


def test_every_family_is_told_with_its_slots(imported):
    report, episodes, _ = imported
    for (name, (kind, slots)), one in zip(KINDS.items(), episodes, strict=False):
        assert one.family == name.partition(",")[0]
        assert one.slots == slots, name
        assert list(one.slots) == list(slots), name
        assert one.instruction == kind["instruction"]
    assert set(FAMILY_OF.values()) | {"distraction"} == {one.family for one in episodes} == set(report.families)
    assert report.episodes == len(episodes) == 3 * len(KINDS)
    assert sum(report.families.values()) == report.episodes


def test_every_imported_episode_can_be_solved_and_none_is_yet(imported):
    _, episodes, _ = imported
    plans, reached = solved(episodes)
    assert reached.all(), [episodes[i].id for i in np.flatnonzero(~reached)]
    assert all(plans), [one.id for one, plan in zip(episodes, plans, strict=True) if not plan]


def test_goals_keep_their_form_and_speak_our_names(imported):
    _, episodes, _ = imported
    goals = {name: one.goal for name, one in zip(KINDS, episodes, strict=False)}
    assert goals["put_away"] == {
        "expr_type": "AND",
        "sub_exprs": [
            "not_holding()",
            {
                "expr_type": "NAND",
                "quantifier": "EXISTS",
                "inputs": [{"name": "X", "expr_type": "wrench"}],
                "sub_exprs": ["on_top(X, sink)"],
            },
        ],
    }
    assert goals["close_fridge"]["sub_exprs"] == ["closed_fridge(fridge)"]
    assert goals["go_to"]["sub_exprs"] == ["robot_at(sofa)"]
    assert goals["all_of_kind"]["quantifier"] == "FORALL"


def test_the_family_decides_the_split_and_the_file_the_id(imported):
    _, episodes, _ = imported
    split = {one.family: one.split for one in episodes}
    assert split["three_objects"] == "multiple_rearrangements"
    assert split["all_from"] == split["all_of_kind"] == "multiple_objects"
    assert split["distraction"] == "irrelevant_text"
    assert split["move"] == "every_kind_"
    assert episodes[12].id == "every_kind_-0012"


def test_doors_are_as_the_start_demands(imported):
    _, episodes, _ = imported
    fridge = JOINTS.index("fridge")
    opened = {name: one.arrangement.joints[fridge] for name, one in zip(KINDS, episodes, strict=False)}
    assert opened["close_fridge"] == opened["if_fridge, open"] == 1220
    assert not any(value for name, value in opened.items() if name not in ("close_fridge", "if_fridge, open"))


def test_objects_stay_where_they_were_on_their_surface(imported, tmp_path):
    """As far as the robot reaches; headings and heights included."""
    _, episodes, _ = imported
    content = released([kind for kind, _ in KINDS.values()] * 3)
    scene = world.scene(episodes[0].arrangement.scene)
    shifts, turns = [], []
    for one, record in zip(episodes, content["all_eps"], strict=True):
        for placed, (_, row) in zip(one.arrangement.objects, record["rigid_objs"], strict=True):
            pose = content["all_transforms"][row]
            if placed.receptacle in ("left counter", "sofa"):
                shifts.append(np.hypot(placed.position[0] / 1000 - pose[0, 3], placed.position[2] / 1000 - pose[2, 3]))
            turn = np.degrees(np.arctan2(pose[2, 0], pose[0, 0])) - placed.yaw / 1000
            turns.append(abs((turn + 180) % 360 - 180))
            top = scene.boxes[RECEPTACLES.index(placed.receptacle)]
            assert abs(placed.position[1] - top[1]) <= top[5]
    assert np.median(shifts) < 0.02
    assert max(turns) < 1


def test_what_is_odd_is_counted_and_kept(tmp_path):
    wrong = episode("f0917e29", "Fetch an drill for the sofa.", brought("drill", "sofa"), where={"drill": "sofa"})
    nowhere = episode(
        "92bcf9b3",
        "All books on the sofa go to the sink.",
        brought("book", "sink", quantifier="FORALL"),
        where={"book": "sink"},
    )
    nowhere["more"] = ["frl_apartment_book_02"]
    report = import_file(
        write(tmp_path / "odd.pickle", released([wrong, wrong, nowhere, MOVE])), tmp_path / "odd.jsonl"
    )
    odd = dict(report.oddities)
    assert odd[PRESOLVED] == 2
    assert odd["sentences with a for an or an for a"] == 2
    assert odd["sentences that another episode has too"] == 1
    assert odd["all to be moved to a place where one is already"] == 1
    assert report.to_json()["oddities"] == odd
    assert f"{PRESOLVED}" in report.text()
    plans, _ = solved(read_episodes(tmp_path / "odd.jsonl"))
    assert [plan == [] for plan in plans] == [True, True, False, False]


def test_the_same_file_gives_the_same_bytes(tmp_path):
    source = write(tmp_path / "a.pickle", released([MOVE] * 5))
    import_file(source, tmp_path / "one.jsonl")
    import_file(source, tmp_path / "two.jsonl")
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_protocols_that_hold_arrays(tmp_path, protocol):
    source = write(tmp_path / "a.pickle", released([MOVE] * 2), protocol)
    assert import_file(source, tmp_path / "a.jsonl").episodes == 2


def test_names_in_sentences():
    sentence = "Can you can a can? Strawberries, KNIVES and the Rubriks cube on the left counter, not the TV stand."
    assert [thing.name for thing in categories_named(sentence)] == ["can", "strawberry", "knife", "rubriks cube"]
    assert [place.name for place in receptacles_named(sentence)] == ["left counter", "TV stand"]


# What a file may say wrongly.


def nan(content):
    content["all_transforms"][5, 0, 3] = np.nan


def bent(content):
    content["all_transforms"][5, :3, :3] *= 1.5


def put(key, value):
    def change(content):
        content["all_eps"][1][key] = value

    return change


def without(key):
    return lambda content: content["all_eps"][1].pop(key)


def renamed(old, new):
    def change(content):
        table = content["idx_to_name"]
        index = next(index for index, name in table.items() if name.startswith(old))
        table[index] = new

    return change


def no_table_entry(content):
    content["idx_to_name"].pop(int(content["all_eps"][1]["rigid_objs"][3, 0]))


def row(key, number, column, value):
    def change(content):
        content["all_eps"][1][key][number, column] = value

    return change


def other(key, value):
    def change(content):
        content[key] = value

    return change


WRONG = {
    "no dictionary": (lambda content: [content], "it holds"),
    "no transforms": (lambda content: content.pop("all_transforms"), "no key 'all_transforms'"),
    "no names": (lambda content: content.pop("idx_to_name"), "no key 'idx_to_name'"),
    "no episodes at all": (lambda content: content.pop("all_eps"), "no key 'all_eps'"),
    "0 episodes": (other("all_eps", []), "it holds no episodes"),
    "episodes of another type": (other("all_eps", {}), "all_eps is"),
    "an episode of another type": (lambda content: content["all_eps"].append(3), "episode 2: it is 3"),
    "whole transforms": (other("all_transforms", np.zeros((3, 4, 4), np.int64)), "all_transforms is an array int64"),
    "flat transforms": (
        other("all_transforms", np.zeros((3, 16), np.float32)),
        r"all_transforms is an array float32 \[3, 16\]",
    ),
    "a list of transforms": (other("all_transforms", [[1.0]]), "all_transforms is"),
    "a pose that is not finite": (nan, "all_transforms holds a pose that is none"),
    "a bent pose": (bent, "all_transforms holds a pose that is none"),
    "names for texts": (other("idx_to_name", {"a": "b"}), "idx_to_name is"),
    "a name that is missing": (no_table_entry, "episode 0: rigid_objs speaks of name"),
    "an unknown asset": (renamed("013_apple.", "013_anvil.object_config.json"), "episode 0: unknown asset '013_anvil'"),
    "an unknown receptacle": (renamed("receptacle", "receptacle_attic"), "episode 0: unknown receptacle"),
    "an object on a chair": (
        renamed("receptacle_aabb_Sofa", ID_OF["chair"]),
        "episode 0: .* lies on no open surface but 'chair'",
    ),
    "an object in the fridge": (
        renamed("receptacle_aabb_Sofa", ID_OF["fridge"]),
        "episode 0: .* lies on no open surface but 'fridge'",
    ),
    "an object that lies nowhere": (
        renamed("013_apple_:", "013_apple_:0007"),
        "name_to_receptacle does not say where 013_apple_:0000 lies",
    ),
    "an unknown family": (put("instruct_id", "deadbeef_1"), "episode 1: unknown instruction family 'deadbeef_1'"),
    "a family that is a number": (put("instruct_id", 7), "episode 1: instruct_id is 7"),
    "no sentence": (without("instruction"), "episode 1: no key 'instruction'"),
    "an empty sentence": (put("instruction", "  "), "episode 1: instruction is"),
    "a sentence of two lines": (put("instruction", "a\nb"), "episode 1: instruction is"),
    "no goal": (without("goal_preds"), "episode 1: no key 'goal_preds'"),
    "an unknown entity": (
        put("goal_preds", brought("lemon", "sink") | {"sub_exprs": ["on_top(X, receptacle_moon)"]}),
        "episode 1: .*on_top knows no 'receptacle_moon'",
    ),
    "an unknown category": (put("goal_preds", brought("anvil", "sink")), "episode 1: .*unknown category 'anvil'"),
    "an unbound name": (
        put("goal_preds", {"expr_type": "AND", "sub_exprs": ["holding(X)"]}),
        "episode 1: .*bound by no input",
    ),
    "an unknown predicate": (
        put("goal_preds", {"expr_type": "AND", "sub_exprs": ["flies(X)"]}),
        "unknown predicate 'flies'",
    ),
    "another connective": (put("goal_preds", {"expr_type": "XOR", "sub_exprs": []}), "expr_type is 'XOR'"),
    "a goal that is an array": (put("goal_preds", {"expr_type": np.zeros(2), "sub_exprs": []}), "is an array float64"),
    "a goal of too many bindings": (
        put(
            "goal_preds",
            goal_exists([(f"X{i}", "cup") for i in range(8)], *(f"on_top(X{i}, {ID_OF['sofa']})" for i in range(8))),
        ),
        "episode 1: .*more than 100,000 terms",
    ),
    "objects as floats": (put("rigid_objs", np.zeros((3, 2))), "episode 1: rigid_objs is an array float64"),
    "triples of objects": (put("rigid_objs", np.zeros((3, 3), np.int64)), "episode 1: rigid_objs is an array int64"),
    "no objects": (put("rigid_objs", np.zeros((0, 2), np.int64)), "episode 1: it has 0 objects"),
    "too many objects": (put("rigid_objs", np.zeros((65, 2), np.int64)), "episode 1: it has 65 objects"),
    "a pose beyond the table": (row("rigid_objs", 2, 1, 10**6), "episode 1: .* has pose 1000000 of"),
    "a pose before the table": (row("rigid_objs", 2, 1, -1), "episode 1: .* has pose -1 of"),
    "too few labels": (
        put("name_to_receptacle", np.zeros((0, 2), np.int64)),
        "episode 1: name_to_receptacle does not say",
    ),
    "no scene": (without("scene_id"), "episode 1: no key 'scene_id'"),
    "a strange scene": (put("scene_id", "a:b;c"), "episode 1: scene_id is 'a:b;c'"),
    "another start": (put("start_preds", ["flooded(kitchen)"]), r"episode 1: start_preds holds 'flooded\(kitchen\)'"),
    "a start that is a text": (put("start_preds", "opened_fridge"), "episode 1: start_preds is"),
    "joints that are a list": (put("ao_states", []), "episode 1: ao_states is"),
    "a joint that is not finite": (put("ao_states", {0: {2: float("nan")}}), "episode 1: ao_states of"),
    "samples that are a list": (put("sampled_entities", []), "episode 1: sampled_entities is"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_in_one_line_and_nothing_is_written(tmp_path, name):
    change, message = WRONG[name]
    more = [
        "065-b_cups",
        "065-c_cups",
        "065-d_cups",
        "065-e_cups",
        "065-f_cups",
        "065-g_cups",
        "065-h_cups",
        "065-i_cups",
    ]
    content = released([MOVE, {**MOVE, "more": more}])
    changed = change(content)
    content = changed if name == "no dictionary" else content
    source = write(tmp_path / "wrong.pickle", content)
    with pytest.raises(
        UsageProblem, match=rf"^{re.escape(str(source))}(, episode [01])?: |^{re.escape(str(source))}, "
    ) as caught:
        import_file(source, tmp_path / "out.jsonl")
    assert re.search(message, caught.value.message), caught.value.message
    assert "\n" not in caught.value.message + caught.value.hint
    assert os.listdir(tmp_path) == ["wrong.pickle"]


def test_a_scene_without_a_kitchen_is_told(tmp_path):
    source = write(tmp_path / "bare.pickle", released([MOVE | {"where": {}}], surfaces=["sofa", "black table"]))
    with pytest.raises(UsageProblem, match=r"bare\.pickle: scene v3_sc9_staging_00: no object lies on sink"):
        import_file(source, tmp_path / "out.jsonl")


def test_furniture_without_objects_is_made_up_and_counted(tmp_path):
    surfaces = ["sofa", "sink", "left counter", "right counter", "TV stand", "brown table"]
    source = write(tmp_path / "few.pickle", released([MOVE] * 3, surfaces=surfaces))
    report = import_file(source, tmp_path / "few.jsonl")
    assert dict(report.changes)["pieces of furniture made up, as nothing lies on them"] == 1
    _, reached = solved(read_episodes(tmp_path / "few.jsonl"))
    assert reached.all()


# The released files themselves.


@pytest.fixture(scope="module")
def released_episodes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    reports = {name: import_file(RELEASED / f"{name}.pickle", folder / f"{name}.jsonl") for name in FILES}
    return reports, {name: read_episodes(folder / f"{name}.jsonl") for name in FILES}


@the_released_files
def test_the_released_files_import_whole(released_episodes):
    reports, episodes = released_episodes
    assert [len(episodes[name]) for name in FILES] == [100] * 5
    assert reports["conditional_instructions"].families == {"if_fridge": 100}
    assert reports["multiple_rearrangements"].families == {"all_from": 60, "all_of_kind": 40}
    assert {one.split for one in episodes["multiple_rearrangements"]} == {"multiple_objects"}
    assert reports["train_validation"].families["go_to"] == 14
    assert json.dumps([report.to_json() for report in reports.values()])


@the_released_files
def test_the_planner_solves_the_released_episodes_but_the_one_that_is_solved(released_episodes):
    _, episodes = released_episodes
    presolved = []
    for name in FILES:
        plans, reached = solved(episodes[name])
        assert reached.all(), name
        presolved += [one.id for one, plan in zip(episodes[name], plans, strict=True) if not plan]
    assert presolved == ["train_validation-0090"]


@the_released_files
def test_the_oddities_of_the_released_files_are_counted(released_episodes):
    reports, _ = released_episodes
    odd = {name: dict(report.oddities) for name, report in reports.items()}
    assert [odd[name].get(PRESOLVED, 0) for name in FILES] == [1, 0, 0, 0, 0]
    articles = [odd[name].get("sentences with a for an or an for a", 0) for name in FILES]
    assert articles == [31, 33, 8, 0, 87]
    assert odd["multiple_rearrangements"]["all to be moved from a place where none is"] == 51
    assert odd["multiple_rearrangements"]["all to be moved to a place where one is already"] == 12
    long = [what for what in odd["conditional_instructions"] if "tokens" in what]
    assert odd["conditional_instructions"][long[0]] == 17
