import gzip
import hashlib
import json
import os

import pytest
from tiny_world import TinyWorld

from llarp_cli import registry
from llarp_cli.dataset import HASHES, SHIPPED, generate_file, ship
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.rearrangement.episode_files import line, read_episodes, write_episodes
from llarp_cli.rearrangement.splits import SPLITS, fingerprint, fixed_episodes, fixed_tasks, generate, split_episodes

WORLD = TinyWorld()


@pytest.fixture(scope="module")
def episodes():
    return list(generate(WORLD, "rephrasing", 6, seed=5))


@pytest.mark.parametrize("name", ["some.jsonl", "some.jsonl.gz"])
def test_what_is_written_is_read(tmp_path, episodes, name):
    assert write_episodes(tmp_path / name, iter(episodes)) == 6
    assert read_episodes(tmp_path / name) == episodes
    assert os.listdir(tmp_path) == [name]


def test_the_same_episodes_give_the_same_bytes(tmp_path, episodes):
    write_episodes(tmp_path / "a.jsonl.gz", episodes)
    write_episodes(tmp_path / "b.jsonl.gz", episodes)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_anyone_may_rewrite_an_instruction(tmp_path, episodes):
    record = json.loads(line(episodes[0]))
    record["instruction"] = "Où est la pomme ? Put it away, s'il vous plaît 🍎"
    record["note"] = "my own field"
    path = tmp_path / "own.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(record, ensure_ascii=False).encode() + b"\r\n\r\n")
    (episode,) = read_episodes(path)
    assert episode.instruction == record["instruction"] and episode.goal == episodes[0].goal


def change(**changes):
    def apply(record):
        record.update(changes)

    return apply


def drop(name):
    return lambda record: record.pop(name)


def in_object(**changes):
    return lambda record: record["objects"][1].update(changes)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (change(version=2), "version is 2"),
        (change(version=True), "version is True"),
        *((drop(name), f"no field '{name}'") for name in ("version", "id", "instruction", "objects", "goal", "robot")),
        (change(instruction=""), "instruction is ''"),
        (change(instruction="two\nlines"), "instruction is"),
        (change(instruction="half \ud800"), "instruction is"),
        (change(instruction="x" * 2001), "instruction is"),
        (change(id=3), "id is 3"),
        (change(slots=[]), "slots is []"),
        (change(slots={"object": "dragon"}), "slot 'object' is 'dragon'"),
        (change(slots={"o\n": "apple"}), "is no name for a slot"),
        (change(objects=[]), "objects is a list of 0"),
        (change(objects=[1]), "objects[0] is 1"),
        (in_object(asset="013_pineapple"), "objects[1]: unknown asset '013_pineapple'"),
        (in_object(asset=[]), "objects[1]: unknown asset"),
        (in_object(receptacle="moon"), "objects[1]: unknown receptacle 'moon'"),
        (in_object(position=[1, 2]), "objects[1]: position is [1, 2]"),
        (in_object(position=[1.5, 2, 3]), "objects[1]: position"),
        (in_object(position=[10**9, 2, 3]), "objects[1]: position"),
        (in_object(yaw="north"), "yaw is"),
        (change(joints=[0, 0, 0, 0]), "joints is"),
        (change(joints=[451, 0, 0, 0, 0]), "joints is"),
        (change(joints=[-1, 0, 0, 0, 0]), "joints is"),
        (change(robot=[0, 0, float("nan")]), "robot is"),
        (change(goal={"expr_type": "AND", "sub_exprs": ["fly()"]}), "goal.sub_exprs[0]: unknown predicate 'fly'"),
        (change(goal=None), "goal: expected a node"),
    ],
)
def test_a_broken_line_is_named(tmp_path, episodes, spoil, said):
    records = [json.loads(line(episode)) for episode in episodes]
    spoil(records[2])
    path = tmp_path / "broken.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(UsageProblem) as problem:
        read_episodes(path)
    assert "broken.jsonl, line 3: " in problem.value.message and said in problem.value.message
    assert problem.value.hint and "\n" not in problem.value.message + problem.value.hint
    assert len(problem.value.message) < 400


def test_a_scene_that_is_not_there_is_named_where_it_is_asked(tmp_path, episodes):
    path = tmp_path / "elsewhere.jsonl"
    records = [json.loads(line(episode)) for episode in episodes]
    for record in records:
        record["scene"] = "home-0"
    records[1]["scene"] = "nowhere"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert len(read_episodes(path)) == len(episodes)
    with pytest.raises(UsageProblem, match=r"elsewhere\.jsonl, line 2: unknown scene 'nowhere'"):
        read_episodes(path, registry.load("environment", "home").scene)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "line 2: broken JSON"),
        (b"[1]", "line 2: .* is no JSON object"),
        (b'{"version": 1, "id": "\xff"}', "line 2: byte 23 is not UTF-8"),
        (b"[" * 100_000, "line 2: broken JSON"),
        (b'{"version": ' + b"9" * 10_000 + b"}", "line 2: "),
        (b" " * (1 << 21), "line 2: longer than"),
    ],
)
def test_a_line_that_is_no_json_is_named(tmp_path, episodes, text, said):
    path = tmp_path / "broken.jsonl"
    path.write_bytes(line(episodes[0]).encode() + b"\n" + text)
    with pytest.raises(UsageProblem, match=said):
        read_episodes(path)


def test_files_that_are_no_episode_files(tmp_path, episodes):
    with pytest.raises(UsageProblem, match="cannot read episodes from"):
        read_episodes(tmp_path / "absent.jsonl")
    with pytest.raises(UsageProblem, match="cannot read episodes from"):
        read_episodes(tmp_path)
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UsageProblem, match="holds no episodes"):
        read_episodes(tmp_path / "empty.jsonl")
    (tmp_path / "twice.jsonl").write_text((line(episodes[0]) + "\n") * 2)
    with pytest.raises(UsageProblem, match=r"line 2: id .* is that of line 1 too"):
        read_episodes(tmp_path / "twice.jsonl")
    write_episodes(tmp_path / "cut.jsonl.gz", episodes)
    whole = (tmp_path / "cut.jsonl.gz").read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageProblem, match="breaks off or is damaged"):
        read_episodes(tmp_path / "cut.jsonl.gz")
    (tmp_path / "bomb.jsonl.gz").write_bytes(gzip.compress(b" " * (1 << 26)))
    with pytest.raises(UsageProblem, match="line 1: longer than"):
        read_episodes(tmp_path / "bomb.jsonl.gz")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, episodes):
    path = tmp_path / "kept.jsonl"
    path.write_text("kept")

    def failing():
        yield episodes[0]
        raise LlarpError("no room")

    with pytest.raises(LlarpError, match="no room"):
        write_episodes(path, failing())
    assert path.read_text() == "kept" and os.listdir(tmp_path) == ["kept.jsonl"]
    with pytest.raises(UsageProblem, match="cannot be written to"):
        write_episodes(tmp_path / "some.json", episodes)
    with pytest.raises(UsageProblem, match="cannot write"):
        write_episodes(tmp_path / "absent" / "some.jsonl", episodes)


def test_generate_writes_a_file(tmp_path):
    assert generate_file(WORLD, "new_scenes", tmp_path / "more.jsonl", 8, seed=2, families=["move"]) == 8
    assert {episode.family for episode in read_episodes(tmp_path / "more.jsonl")} == {"move"}


def test_shipping_writes_every_split_with_its_hash(tmp_path):
    hashes = ship(WORLD, tmp_path)
    assert list(hashes) == list(SPLITS) == list(json.loads((tmp_path / "tiny" / "hashes.json").read_text()))
    assert read_episodes(tmp_path / "tiny" / "synonyms.jsonl.gz") == fixed_episodes(WORLD, "synonyms")


@pytest.mark.skipif(not (SHIPPED / "home").is_dir(), reason="nothing shipped")
@pytest.mark.parametrize("split", list(SPLITS))
def test_shipped_episodes_are_what_the_home_makes(split):
    from llarp_cli.home import world

    text = gzip.decompress((SHIPPED / "home" / f"{split}.jsonl.gz").read_bytes())
    recorded = json.loads((SHIPPED / "home" / HASHES).read_text())[split]
    assert recorded["tasks"] == fingerprint(fixed_tasks(split)), "tasks changed: run llarp_cli.dataset.ship"
    assert recorded["episodes"] == hashlib.sha256(text).hexdigest()
    assert text.decode().splitlines() == [line(one) for one in fixed_episodes(world, split)], (
        "scenes changed: ship again"
    )
    assert len(split_episodes(world, split)) == 100
