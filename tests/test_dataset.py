"""`llarp dataset`: what it finds in episodes, and what it says of bad ones."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llarp_cli.dataset import generate_file
from llarp_cli.dataset.document import goal_text
from llarp_cli.dataset.sources import file_source, find_sources, training_source
from llarp_cli.dataset.statistics import statistics_of
from llarp_cli.dataset.validate import validate
from llarp_cli.errors import UsageProblem
from llarp_cli.home import world
from llarp_cli.rearrangement.episode_files import BadLine, line, read_episodes, scan_episodes
from llarp_cli.rearrangement.goals import compile, parse
from llarp_cli.rearrangement.splits import SPLITS, generate
from llarp_cli.rearrangement.tasks import FAMILIES
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def records():
    return [json.loads(line(one)) for one in generate(world, "new_scenes", 12, seed=3)]


@pytest.fixture
def fresh(records):
    return json.loads(json.dumps(records))


def write(path: Path, records) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def needing_an_object(records) -> int:
    """The first record whose goal is that an object is brought somewhere."""
    return next(i for i, record in enumerate(records) if record["family"] in ("move", "fetch"))


def brought(category: str, *places: str) -> dict:
    return {
        "expr_type": "AND",
        "quantifier": "EXISTS",
        "inputs": [{"name": "X", "expr_type": category}],
        "sub_exprs": [f"on_top(X, {place})" for place in places],
    }


# validate


def test_good_episodes_pass(llarp, tmp_path, records):
    write(tmp_path / "good.jsonl", records)
    result = llarp("dataset", "validate", "good.jsonl", "--json", "found.json")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["episodes"], found["solvable"], found["presolved"], found["problems"]) == (12, 12, 0, [])
    assert sum(found["plan_lengths"].values()) == 12 and max(map(int, found["plan_lengths"])) <= 32
    assert "12 episodes: 12 solvable" in result.stdout


def spoil_goal(goal):
    return lambda record: record.update(goal=goal)


def move_an_object(record):
    record["objects"][3]["position"][1] += 2000


def say_it_is_in_a_drawer(record):
    record["objects"][3]["receptacle"] = "left drawer"


def far_away(record):
    for one in record["objects"]:
        one["position"][0] += 20_000


def without_room(record):
    record["objects"] = record["objects"][:5]
    record["goal"] = brought(next(c for c in CATEGORIES if c in ("wrench",)), "sofa")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_goal({"expr_type": "AND", "sub_exprs": ["not_holding()"]}), "the goal is true at the start"),
        (spoil_goal(brought("apple", "sofa", "sink")), "the planner finds no way to the goal"),
        (without_room, "the goal speaks of 1 object(s) of category 'wrench', there are 0"),
        (
            spoil_goal(
                {
                    "expr_type": "AND",
                    "quantifier": "FORALL",
                    "inputs": [{"name": name, "expr_type": "apple"} for name in "XYZ"],
                    "sub_exprs": ["on_top(X, sofa)"],
                }
            ),
            "the goal speaks of 3 object(s) of category 'apple', there are",
        ),
        (lambda record: record.update(scene="v3_sc3_staging_99"), "unknown scene 'v3_sc3_staging_99'"),
        (lambda record: record.update(scene="my:counter=0,0,0;sofa=0,0,0"), "cannot be furnished"),
        (move_an_object, "is not on or in the"),
        (say_it_is_in_a_drawer, "is not on or in the left drawer"),
        (far_away, "is in reach from no standing pose"),
        (lambda record: record.update(instruction="Bring me the \U0001f34e"), "a character that no observation holds"),
        (lambda record: record.update(instruction="a" * 1001), "the instruction has 1001 characters"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(llarp, tmp_path, fresh, spoil, reason):
    spoil(fresh[4])
    write(tmp_path / "mine.jsonl", fresh)
    result = llarp("dataset", "validate", "mine.jsonl", "--json", "found.json")
    assert result.exit_code == 1, result.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert {problem["line"] for problem in found["problems"]} == {5}
    assert {problem["id"] for problem in found["problems"]} == {fresh[4]["id"]}
    assert any(reason in problem["reason"] for problem in found["problems"]), found["problems"]
    assert f"mine.jsonl, line 5, {fresh[4]['id']}: " in result.stdout
    assert found["episodes"] == 12 and found["failed"] == 1
    assert found["presolved"] == ("start" in reason)
    assert "Traceback" not in result.output and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("out", [0, 450])
def test_what_starts_in_a_drawer_is_there_however_far_out_it_is(llarp, tmp_path, fresh, out):
    record = fresh[4]
    drawer = world.scene(record["scene"]).boxes[RECEPTACLES.index("right drawer")].tolist()
    heading = math.radians(drawer[3] / 1000)
    x, z = round(drawer[0] - out * math.sin(heading)), round(drawer[2] + out * math.cos(heading))
    record["objects"][3].update(receptacle="right drawer", position=[x, drawer[1], z])
    record["joints"][JOINTS.index("right drawer")] = out
    write(tmp_path / "mine.jsonl", fresh)
    assert "is not on or in" not in llarp("dataset", "validate", "mine.jsonl").output
    record["joints"][JOINTS.index("right drawer")] = 450 - out
    write(tmp_path / "mine.jsonl", fresh)
    assert "is not on or in the right drawer" in llarp("dataset", "validate", "mine.jsonl").output


def test_bad_lines_are_all_told_and_do_not_end_the_check(llarp, tmp_path, fresh):
    del fresh[2]["goal"]
    fresh[7]["objects"][0]["asset"] = "013_pineapple"
    fresh[8]["family"] = "my own"
    path = write(tmp_path / "mine.jsonl", fresh)
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n" + json.dumps(fresh[0]).encode())
    result = llarp("dataset", "validate", "mine.jsonl", "--json", "found.json")
    assert result.exit_code == 2
    found = json.loads((tmp_path / "found.json").read_text())
    assert [problem["line"] for problem in found["problems"]] == [3, 8, 13, 14]
    assert "no field 'goal'" in result.stdout and "unknown asset '013_pineapple'" in result.stdout
    assert "byte 1 is not UTF-8" in result.stdout and "is that of line 1 too" in result.stdout
    assert (found["episodes"], found["solvable"]) == (14, 10)
    assert found["unknown_families"] == {"my own": 1} and "1 of family 'my own'" in result.stdout
    assert result.stderr.splitlines()[0] == "error: 4 problems"


def test_problems_are_told_up_to_a_limit(llarp, tmp_path, fresh):
    for record in fresh:
        record["version"] = 3
    write(tmp_path / "mine.jsonl", fresh)
    result = llarp("dataset", "validate", "mine.jsonl", "--limit", "5", "--json", "found.json")
    assert result.exit_code == 2
    assert result.stdout.count("version is 3") == 5 and "... and 7 more" in result.stdout
    assert json.loads((tmp_path / "found.json").read_text())["problem_count"] == 12


def cut(path):
    path.write_bytes(gzip.compress(path.read_bytes())[:-2000])


def damage(path):
    packed = bytearray(gzip.compress(path.read_bytes()))
    packed[60:90] = bytes(30)
    path.write_bytes(packed)


def sparse(path):
    with path.open("wb") as file:
        file.truncate(1 << 30)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "cannot read episodes from 'mine.jsonl': No such file or directory"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot read episodes from 'mine.jsonl': Is a directory"),
        (lambda path: path.write_bytes(b""), "mine.jsonl holds no episodes"),
        (damage, "mine.jsonl: the compressed file breaks off or is damaged after line 0"),
        (lambda path: path.write_bytes(bytes([10]) * 200_000), "mine.jsonl, line 100001: nothing but blank lines"),
        (sparse, "mine.jsonl, line 1: longer than 1048576 bytes"),
        (lambda path: path.write_bytes(gzip.compress(bytes(1 << 24))), "mine.jsonl, line 1: longer than 1048576 bytes"),
    ],
)
@pytest.mark.parametrize("verb", ["validate", "show"])
def test_files_that_cannot_be_read_are_one_line(llarp, tmp_path, records, verb, spoil, said):
    spoil(write(tmp_path / "mine.jsonl", records))
    begun = time.monotonic()
    result = llarp("dataset", verb, "mine.jsonl", "--json", "found.json")
    assert time.monotonic() - begun < 10
    assert result.exit_code == 2, result.output
    assert result.stderr.splitlines()[0] == f"error: {said}" and result.stdout == ""
    assert not (tmp_path / "found.json").exists()


def test_a_file_that_cannot_be_read_does_not_cost_what_was_found_in_others(llarp, tmp_path, fresh):
    write(tmp_path / "good.jsonl", fresh)
    (tmp_path / "empty.jsonl").touch()
    result = llarp("dataset", "validate", "good.jsonl", "empty.jsonl", "--json", "found.json")
    assert result.exit_code == 2
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["episodes"] == found["solvable"] == 12
    assert [problem["source"] for problem in found["problems"]] == ["empty.jsonl"]


def test_what_comes_before_a_break_is_checked(llarp, tmp_path, fresh):
    random.Random(0).shuffle(fresh)
    cut(write(tmp_path / "mine.jsonl", fresh))
    result = llarp("dataset", "validate", "mine.jsonl", "--json", "found.json")
    assert result.exit_code == 2
    found = json.loads((tmp_path / "found.json").read_text())
    assert 0 < found["solvable"] == found["episodes"] < 12
    assert found["problems"][0]["reason"].startswith("the compressed file breaks off or is damaged after line")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["validate"], "nothing to validate"),
        (["validate", "rephrase"], "unknown split or file 'rephrase'"),
        (["validate", "rephrasing", "--train-indices", "5"], "'rephrasing' is no training set"),
        (["validate", "mine.jsonl", "--train-indices", "5"], "unknown split 'mine.jsonl'"),
        (["show", "nothing"], "unknown split or file 'nothing'"),
        (["show", "train", "--plot", "no/out.png"], "--plot 'no/out.png': there is no folder 'no'"),
        (["generate", "all", "--count", "1", "--seed", "0", "--out", "a.jsonl"], "'all' is a group of splits"),
        (
            ["generate", "train", "--count", "1", "--seed", "0", "--out", "a.txt"],
            "--out 'a.txt' does not end in .jsonl",
        ),
    ],
)
def test_mistakes_are_one_line_and_a_hint(llarp, tmp_path, arguments, message):
    result = llarp("dataset", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}") and len(result.stderr.splitlines()) == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", ["validate", "show"])
def test_more_indices_than_fit_into_memory_are_refused(llarp, command):
    result = llarp("dataset", command, "train", "--train-indices", "1" * 22)
    assert result.exit_code == 2 and "is not in the range 1<=x<=10000000" in result.stderr


@pytest.mark.parametrize("split", ["train", "train_strict"])
def test_random_indices_of_a_training_set_pass(split):
    report = validate(world, [training_source(world, split, 40, seed=5)])
    assert (report.episodes, report.solvable, report.presolved, report.problems) == (40, 40, 0, [])


def test_a_training_set_s_indices_are_drawn_once_each():
    def ids(count, seed):
        return [one.id for _, one in training_source(world, "train", count, seed).read()]

    assert len(set(ids(30, 0))) == 30
    assert ids(5, 1) == ids(5, 1) != ids(5, 2)


@pytest.mark.slow
def test_every_shipped_episode_passes():
    report = validate(world, find_sources(world, ["all", "train", "train_validation", "synonyms"]))
    assert report.episodes == report.solvable == 1300
    assert report.presolved == 0 and report.problems == []


def test_a_goal_that_lacks_an_object_is_settled_at_once():
    cups = [{"name": f"C{i}", "expr_type": "cup"} for i in range(7)]
    goal = {
        "expr_type": "AND",
        "quantifier": "EXISTS",
        "inputs": [*cups, {"name": "X", "expr_type": "apple"}],
        "sub_exprs": ["not_holding()"],
    }
    begun = time.monotonic()
    compile(parse(goal), [CATEGORIES.index("cup")] * 60)
    assert time.monotonic() - begun < 1


# reading what may be anything


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(CATEGORIES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def paths_in(value, path=()):
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths_in(inner, (*path, key))


@settings(max_examples=300)
@given(place=st.integers(0, 10_000), value=JSON, number=st.integers(0, 11))
def test_a_line_with_anything_anywhere_is_an_episode_or_a_bad_line(tmp_path_factory, records, place, value, number):
    record = json.loads(json.dumps(records[number]))
    *outer, last = list(paths_in(record))[1:][place % (len(list(paths_in(record))) - 1)]
    inner = record
    for key in outer:
        inner = inner[key]
    inner[last] = value
    path = write(tmp_path_factory.mktemp("fuzz") / "mine.jsonl", [record])
    ((_, found),) = scan_episodes(path)
    if isinstance(found, BadLine):
        assert found.message and len(found.message) < 400 and "\n" not in found.message + found.hint
    report = validate(world, [file_source(path)])
    assert report.episodes == 1


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), min_size=1, max_size=20))
def test_changed_bytes_are_never_a_traceback(tmp_path_factory, records, changes):
    path = write(tmp_path_factory.mktemp("fuzz") / "mine.jsonl", records[:2])
    for pack in (bytes, gzip.compress):
        text = bytearray(pack(path.read_bytes()))
        for at, byte in changes:
            text[at % len(text)] = byte
        spoiled = path.with_name("spoiled.jsonl")
        spoiled.write_bytes(text)
        try:
            list(scan_episodes(spoiled))
        except UsageProblem as problem:
            assert "spoiled.jsonl" in problem.message


@pytest.mark.parametrize("depth", [500, 990, 2000, 9000])
@pytest.mark.parametrize("field", ["slots", "objects", "goal", "id", "position"])
def test_deep_nesting_is_a_bad_line(tmp_path, records, depth, field):
    text = json.dumps({**records[0], field: 0}).replace(f'"{field}": 0', f'"{field}": {"[" * depth}{"]" * depth}')
    path = tmp_path / "deep.jsonl"
    path.write_text(text)
    ((_, found),) = scan_episodes(path)
    assert isinstance(found, BadLine) or field == "position"


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        ({"object": "sofa", "target": "sink"}, "slot 'object' is 'sofa'"),
        ({"object": "apple", "target": "plum"}, "slot 'target' is 'plum'"),
        ({"object": "apple", "source": "plum"}, "slot 'source' is 'plum'"),
        ({f"object{i}": "apple" for i in ("", 1, 2, 3)}, "slots name more than 3 objects"),
    ],
)
def test_slots_hold_what_their_names_say(tmp_path, fresh, slots, said):
    fresh[0]["slots"] = slots
    with pytest.raises(UsageProblem, match=said):
        read_episodes(write(tmp_path / "mine.jsonl", fresh))


# show


def test_a_file_s_statistics_are_its_own(tmp_path, fresh):
    chosen = fresh[:3]
    for i, record in enumerate(chosen):
        record["instruction"] = "Put the apple on the sofa" if i else "Bring me that apple there, would you"
        record["goal"] = brought("apple", "sofa")
        record["family"] = "fetch" if i else "mine"
        places = [one["receptacle"] for one in record["objects"] if one["asset"] == "013_apple"]
        assert places, "every home has an apple"
    found = statistics_of(world, file_source(write(tmp_path / "mine.jsonl", chosen)), samples=5)
    assert (found.episodes, found.sentences) == (3, 2)
    assert found.words == {6: 2, 7: 1} and found.families["fetch"].sentences == ["Put the apple on the sofa"]
    assert found.targets == {"sofa": found.sources.total()}
    assert found.plans.total() == 3
    assert found.homes == len({record["scene"] for record in chosen})


def test_show_fits_a_screen_and_writes_its_numbers(llarp, tmp_path):
    result = llarp("dataset", "show", "new_scenes", "--json", "s.json", "--plot", "s.png")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) <= 50 and max(map(len, lines)) <= 100
    found = json.loads((tmp_path / "s.json").read_text())["new_scenes"]
    assert found["episodes"] == 100 == sum(one["episodes"] for one in found["families"].values())
    assert sum(found["plans"].values()) == 100 and found["unsolved"] == 0
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    for name in found["families"]:
        assert f"\n{name}: " in result.stdout


def test_show_counts_so_many_of_a_training_set(llarp):
    result = llarp("dataset", "show", "train", "--train-indices", "30")
    assert result.exit_code == 0 and "training set, 30 of its indices\n30 episodes" in result.stdout


# generate


def test_generate_leaves_nothing_behind_when_it_fails(llarp, tmp_path, monkeypatch):
    def failing(*_):
        yield from ()
        raise UsageProblem("no more")

    monkeypatch.setattr("llarp_cli.dataset.generate.generate", failing)
    result = llarp("dataset", "generate", "rephrasing", "--count", "5", "--seed", "1", "--out", "more.jsonl")
    assert result.exit_code == 2 and os.listdir(tmp_path) == []


def test_generate_takes_families(tmp_path):
    assert generate_file(world, "rephrasing", tmp_path / "more.jsonl", 6, 1, ["fetch", "put_away"]) == 6
    assert {one.family for one in read_episodes(tmp_path / "more.jsonl")} == {"fetch", "put_away"}


# import


def test_what_is_no_released_file_leaves_nothing_behind(llarp, tmp_path):
    (tmp_path / "x.pickle").write_bytes(b"nonsense")
    result = llarp("dataset", "import", "x.pickle", "--out", "x.jsonl", "--json", "x.json")
    assert result.exit_code == 2 and result.stderr.startswith("error: ") and "x.pickle" in result.stderr
    assert os.listdir(tmp_path) == ["x.pickle"]
    assert llarp("dataset", "import", "none.pickle", "--out", "x.jsonl").exit_code == 2
    assert llarp("dataset", "import", "x.pickle", "--out", "x.pkl").stderr.startswith(
        "error: --out 'x.pkl' does not end"
    )


# what the documentation says


def test_the_documentation_tells_of_every_family_and_split():
    text = (ROOT / "docs" / "benchmark.md").read_text("utf-8")
    for split in SPLITS:
        assert f"| `{split}` |" in text
    for family in FAMILIES:
        assert f"| `{family}` |" in text and f"images/{family}.png) `{family}`" in text
        assert (ROOT / "docs" / "images" / f"{family}.png").is_file()
    assert sum(path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()) < 1_500_000


def test_goals_are_told_in_one_line():
    apart = {**brought("apple", "sofa"), "expr_type": "NAND"}
    assert (
        goal_text(parse(brought("apple", "sofa", "sink"))) == "there is an apple X: on_top(X, sofa) AND on_top(X, sink)"
    )
    assert goal_text(parse({**brought("lid", "sofa"), "quantifier": "FORALL"})) == "for every lid X: on_top(X, sofa)"
    both = {"expr_type": "AND", "sub_exprs": ["not_holding()", apart]}
    assert goal_text(parse(both)) == "not_holding() AND (there is an apple X: not (on_top(X, sofa)))"
