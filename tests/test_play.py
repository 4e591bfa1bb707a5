"""`llarp play`: skills as people type them, why one cannot be used, sessions, pictures, and the terminal."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from doubles import make_policy
from PIL import Image
from toy_world import ToyWorld

from llarp_cli.cli import main
from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.evaluation.actors import Opened, PolicyActor
from llarp_cli.evaluation.advice import Advice, LearnedAdviser, PlannerAdviser, RandomAdviser
from llarp_cli.evaluation.phrases import read_skill
from llarp_cli.evaluation.pictures import UPPER_HALF, FrameFolder, half_blocks, shrunk, write_png
from llarp_cli.evaluation.reasons import goal_text, why_not
from llarp_cli.evaluation.rollout import play, situation
from llarp_cli.evaluation.sentences import own_episode
from llarp_cli.evaluation.session import MAX_SKILLS, Session
from llarp_cli.home import world as home
from llarp_cli.rearrangement.execution import check
from llarp_cli.rearrangement.goals import parse
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.skills import SKILL_INDEX, SKILLS
from llarp_cli.rearrangement.splits import split_episodes

WORLD = ToyWorld()
ROOT = Path(__file__).parent.parent
NAMES = [str(skill) for skill in SKILLS]


def skill(kind: str, target: str) -> int:
    return SKILL_INDEX[kind, target]


# Words


def test_every_skill_is_read_in_its_own_words_and_by_its_number():
    for action, name in enumerate(NAMES):
        assert read_skill(name).skill == action
        assert read_skill(f"  {name.upper().replace('THE ', '')}. ").skill == action
        assert read_skill(str(action)).skill == action


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("go sofa", "go to the sofa"),
        ("g so", "go to the sofa"),
        ("walk to my couch", "go to the sofa"),
        ("go tvstand", "go to the TV stand"),
        ("go black", "go to the black table"),
        ("go left drawer", "go to the left drawer"),
        ("go left drawer h", "go to the left drawer handle"),
        ("p apple", "pick up the apple"),
        ("grab the Rubik's cube", "pick up the rubriks cube"),
        ("take plane", None),
        ("get toy", "pick up the toy airplane"),
        ("put it into the sink", "place on the sink"),
        ("p sofa", "place on the sofa"),
        ("shut l d", "close the left drawer"),
        ("o f", "open the fridge"),
    ],
)
def test_words_may_be_left_out_and_shortened(typed, meant):
    reading = read_skill(typed)
    assert (None if reading.skill is None else NAMES[reading.skill]) == meant


@pytest.mark.parametrize(
    ("typed", "fitting", "among"),
    [
        ("go to table", True, ["go to the black table", "go to the brown table"]),
        ("pick pea", True, ["pick up the pear", "pick up the peach"]),
        ("pick aple", False, ["pick up the apple"]),
        ("opne fridge", False, ["open the fridge"]),
        ("sofa", False, ["go to the sofa", "place on the sofa"]),
        ("put the apple on the sofa", False, ["place on the sofa"]),
    ],
)
def test_what_is_not_clear_gets_candidates(typed, fitting, among):
    reading = read_skill(typed)
    assert reading.skill is None and reading.fitting == fitting
    assert {NAMES[action] for action in reading.candidates} >= set(among)


@pytest.mark.parametrize("typed", ["", "dance", "70", "-1", "²", "9" * 5000, "the", "go to the moon and back"])
def test_what_means_nothing_means_nothing(typed):
    assert read_skill(typed) == read_skill("") or read_skill(typed).skill is None


# Reasons


@pytest.mark.parametrize("world", [WORLD, home], ids=["toy", "home"])
def test_there_is_a_reason_exactly_where_a_skill_cannot_be_used(world):
    random = np.random.default_rng(0)
    game = Play(world, 1, 16, Session(WORLD, own_episode(WORLD, "")[0])._reward, 200, 0)
    game.begin({0: own_episode(world, "")[0]})
    reasons: set[str] = set()
    for _ in range(40):
        can = []
        for action in range(len(SKILLS)):
            valid = bool(check(game.simulator, game.facts, np.array([action]))[0][0])
            why = why_not(game.simulator, game.facts, 0, action)
            assert valid == (why == ""), (NAMES[action], why)
            reasons.add(re.sub(r"[\d.]+|(the|no) [a-zTV ]+?(?= is| within)|holds the .*", "_", why))
            can += [action] * valid
        game.act(np.array([random.choice([a for a in can if SKILLS[a].kind != "go_to"] or can)]))
        game.act(np.array([random.integers(16)]))
    assert len(reasons) >= 6


def test_reasons_say_what_is_missing():
    session = Session(home, own_episode(home, "", "home-17")[0])

    def why(kind: str, target: str) -> str:
        return session.why_not(skill(kind, target))

    session.use(skill("go_to", "sofa"))
    near = next(thing for thing in session.things() if thing.in_reach)
    far = next(thing for thing in session.things() if not thing.in_reach)
    assert why("pick", far.category) == f"no {far.category} within 1.5 m"
    assert why("place", "sofa") == "the hand is empty"
    assert re.fullmatch(r"the handle of the fridge is \d\.\d m away; the arm reaches 2\.0 m", why("open", "fridge"))
    session.use(skill("pick", near.category))
    assert session.holding == near.category
    assert why("pick", far.category) == f"the hand is full: it holds the {near.category}"
    assert re.fullmatch(r"the sink is \d\.\d m away; the arm reaches 2\.0 m", why("place", "sink"))
    session.use(skill("go_to", "left drawer handle"))
    assert why("close", "left drawer") == "the left drawer is closed"
    assert session.use(skill("open", "left drawer")).reason == "" and session.opened == ["left drawer"]
    assert why("open", "left drawer") == "the left drawer is not closed"
    session.use(skill("go_to", "left drawer"))
    session.use(skill("place", "left drawer"))
    session.use(skill("go_to", "left drawer handle"))
    session.use(skill("close", "left drawer"))
    session.use(skill("go_to", "left drawer"))
    assert why("pick", near.category) == f"the {near.category} is in the left drawer, which is closed"


def test_a_goal_is_told_in_words():
    goal = {
        "expr_type": "AND",
        "sub_exprs": [
            "not_holding()",
            {
                "expr_type": "NAND",
                "quantifier": "FORALL",
                "inputs": [{"name": "X", "expr_type": "apple"}],
                "sub_exprs": ["on_top(X, sofa)", "holding(X)"],
            },
        ],
    }
    told = "not_holding() and (for every apple X: not (on_top(X, sofa) and holding(X)))"
    assert goal_text(parse(goal)) == told


# Sessions


def states(session: Session) -> bytes:
    return situation(session._play.simulator) + session.view(16).tobytes()


def test_undo_takes_back_skills_and_sentences_one_by_one():
    session = Session(home, own_episode(home, "", "home-17")[0], adviser=PlannerAdviser(False), seed=4)
    before: list[tuple] = []

    def now() -> tuple:
        advice = None if session.advice is None else session.advice.likeliest(1)
        return (states(session), session.instruction, session.trial, session.ended, advice, len(session.used))

    def remember(do, *arguments) -> None:
        before.append(now())
        do(*arguments)

    remember(session.use, skill("go_to", "sofa"))
    remember(session.say, "bring the apple to the sofa")
    remember(session.step)
    remember(session.step)
    remember(session.use, skill("pick", "ball"))
    remember(session.say, "dance")
    remember(session.say, "bring the pear to the sink")
    while not session.ended:
        remember(session.step)
    assert session.ended == "success" and session.reached
    while before:
        assert session.undo()
        assert now() == before.pop()
    assert not session.undo()


def test_reset_and_another_home():
    session = Session(WORLD, split_episodes(WORLD, "train")[0], seed=1)
    start = states(session)
    session.use(skill("go_to", "sofa"))
    session.say("jump")
    session.reset()
    assert states(session) == start and not session.used and session.instruction == session.episode.instruction
    session.enter(own_episode(WORLD, "", "toy-2")[0])
    assert session.home == "toy-2" and session.instruction == "" and session.note == "nothing is asked"


@pytest.mark.parametrize(
    ("kind", "deterministic"), [("llarp", True), ("lstm", True), ("transformer", True), ("llarp", False)]
)
def test_a_policy_does_in_a_session_what_it_does_in_a_rollout(kind, deterministic):
    episode = split_episodes(WORLD, "train")[1]
    session = Session(WORLD, episode, adviser=LearnedAdviser(make_policy(kind), kind), deterministic=deterministic)
    while not session.ended:
        session.step()
    assert session.ended == "limit" and len(session.used) == 32 and session.advice is None
    if deterministic:
        opened = Opened(PolicyActor(make_policy(kind), 0, True), kind, kind)
        steps, _ = play(opened, WORLD, episode, seed=0, film_to=None)
        assert [str(used) for used in session.used] == [step.skill for step in steps]
        assert [used.probability for used in session.used] == pytest.approx([step.probability for step in steps])
        assert [used.reward for used in session.used] == pytest.approx([step.reward for step in steps])
    else:
        again = Session(WORLD, episode, adviser=LearnedAdviser(make_policy(kind), kind))
        other = Session(WORLD, episode, adviser=LearnedAdviser(make_policy(kind), kind), seed=1)
        for one in (again, other):
            while not one.ended:
                one.step()
        assert again.used == session.used != other.used


class Recorder:
    """Notes what it is asked, and always wants the same."""

    name, image_size, reads, steps = "recorder", 16, True, 5

    def __init__(self):
        self.asked: list = []

    def begin(self, instruction):
        self.asked.append(instruction)

    def advise(self, game, pictures, previous):
        assert pictures.shape == (1, 16, 16, 3)
        self.asked.append(previous)
        probabilities = np.zeros(len(SKILLS))
        probabilities[[7, 3, 9]] = 0.5, 0.3, 0.2
        return Advice(probabilities, 1.5)


def test_the_policy_is_told_of_the_skills_that_a_person_took_over():
    recorder = Recorder()
    session = Session(WORLD, own_episode(WORLD, "")[0], adviser=recorder, deterministic=True)
    session.use(11)
    assert recorder.asked == [""]  # nothing to do yet
    session.say("dance")
    session.step()
    session.use(4)
    assert recorder.asked == ["", "dance", -1, 7, 4]
    assert session.advice.likeliest(5) == [(7, 0.5), (3, 0.3), (9, 0.2)]
    assert [used.probability for used in session.used] == [None, 0.5, None]
    session.use(5)
    session.use(6)
    assert session.trial == 5 and session.advice is not None
    session.use(8)
    assert session.ended == "limit"
    with pytest.raises(UsageProblem, match="its trial is over: its 5 steps are used up"):
        session.step()


def test_chance_follows_the_policys_probabilities():
    counts = np.zeros(len(SKILLS))
    for seed in range(150):
        session = Session(WORLD, own_episode(WORLD, "dance")[0], adviser=Recorder(), seed=seed)
        counts[session.step().action] += 1
    assert set(np.flatnonzero(counts)) == {3, 7, 9}
    assert counts[[7, 3, 9]] / 150 == pytest.approx([0.5, 0.3, 0.2], abs=0.1)


def test_how_a_trial_ends():
    episode = own_episode(WORLD, "", "toy-1")[0]
    planner = Session(WORLD, episode, adviser=PlannerAdviser(False))
    assert planner.say("dance").startswith("no goal is known")
    assert planner.ended == "no goal" and not planner.judged and planner.goal == ""
    assert planner.say("bring the wrench to the sofa").startswith("understood as fetch")
    while not planner.ended:
        planner.step()
    assert planner.ended == "success" and planner.reached and planner.used[-1].reached
    assert "so already" in planner.say("the wrench belongs on the sofa")
    assert planner.ended == "no goal"

    stubborn = Session(WORLD, episode, adviser=Recorder(), deterministic=True)
    stubborn.say("dance")
    while not stubborn.ended:
        stubborn.step()
    assert stubborn.ended == "repeats" and [used.action for used in stubborn.used] == [7, 7, 7, 7]

    chance = Session(WORLD, episode, adviser=RandomAdviser())
    chance.say("bring the wrench to the sofa")
    while not chance.ended:
        chance.step()
    assert (chance.ended, len(chance.used)) == ("limit", 32)


def test_by_hand_a_goal_can_be_reached_and_is_paid():
    episode = split_episodes(WORLD, "train")[0]
    session = Session(WORLD, episode)
    plan = PlannerAdviser(False)
    while not session.reached:
        session.use(plan.advise(session._play, None, -1).likeliest(1)[0][0])
    assert sum(used.reward for used in session.used) == pytest.approx(15.0)
    assert [used.reached for used in session.used][-1] and session.ended == "success"
    assert session.use(0).reward is None


def test_what_cannot_be_said_or_done_leaves_a_session_as_it_was():
    class Short(Recorder):
        def advise(self, game, pictures, previous):
            if len(self.asked[-1]) > 10:
                raise UsageProblem("too long", "shorten it")

    session = Session(WORLD, own_episode(WORLD, "")[0], adviser=Short())
    for text, message in ((" ", "empty"), ("x" * 1001, "1001 characters"), ("x" * 11, "too long")):
        with pytest.raises(UsageProblem, match=message):
            session.say(text)
        assert session.instruction == "" and not session.undo()
    with pytest.raises(UsageProblem, match="nothing was asked"):
        session.step()
    with pytest.raises(UsageProblem, match="there is no policy"):
        Session(WORLD, own_episode(WORLD, "")[0]).step()


def test_a_session_has_an_end(monkeypatch):
    monkeypatch.setattr("llarp_cli.evaluation.session.MAX_SKILLS", 3)
    session = Session(WORLD, own_episode(WORLD, "")[0])
    for _ in range(3):
        session.use(0)
    with pytest.raises(UsageProblem, match="at most 3 skills"):
        session.use(0)
    assert session.undo() and session.use(1).number == 3
    assert MAX_SKILLS == 500


def test_things_are_what_the_agent_sees():
    session = Session(home, own_episode(home, "", "home-17")[0])
    session.use(skill("go_to", "black table"))
    things = session.things()
    assert sorted(thing.index for thing in things) == list(range(35))
    seen = [thing for thing in things if thing.pixels]
    assert seen == sorted(seen, key=lambda thing: -thing.pixels) and things[: len(seen)] == seen
    assert {thing.place for thing in seen if thing.in_reach} == {"black table"}
    session.view(200)
    assert session.things() == things  # not what another picture shows
    session.use(next(number for number, able in enumerate(session.possible()) if not able))
    assert session.things() == things, "a skill that cannot be used changes nothing"
    session.use(skill("pick", seen[0].category))
    (held,) = [thing for thing in session.things() if thing.place == "the hand"]
    assert held.index == seen[0].index and not held.in_reach


def test_a_film_shows_every_skill_and_sentence():
    session = Session(WORLD, own_episode(WORLD, "", "toy-1")[0], adviser=PlannerAdviser(False))
    session.use(0)
    session.say("bring the wrench to the sofa")
    while not session.ended:
        session.step()
    # The start, each event, and the banner of success.
    film = session.film()
    assert len(film.pictures) == 1 + 1 + len(session.used) + 1
    assert (film.pictures[-1] != film.pictures[-2]).any() and session.ended == "success"


# Pictures


def blocks_to_picture(text: str) -> np.ndarray:
    """What a terminal shows of half blocks."""
    rows = []
    for line in text.split("\n"):
        assert line.endswith("\x1b[0m")
        pixels, colours = [], None
        for code, block in re.findall(rf"\x1b\[([\d;]+)m|({UPPER_HALF})", line.removesuffix("\x1b[0m")):
            if block:
                pixels.append(colours)
            else:
                fore, *upper, back, mode, b0, b1, b2 = map(int, code.split(";"))
                assert (fore, upper[0], back, mode) == (38, 2, 48, 2)
                colours = (upper[1:], [b0, b1, b2])
        rows += [[pair[0] for pair in pixels], [pair[1] for pair in pixels]]
    return np.array(rows, np.uint8)


def test_half_blocks_are_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    picture[2:4, 3:] = 9
    text = half_blocks(picture)
    assert (blocks_to_picture(text) == picture).all()
    assert len(text.split("\n")) == 3 and text.split("\n")[1].count(UPPER_HALF) == 7
    assert text.split("\n")[1].count("38;2") == 4  # a colour is not said again


def test_shrunk_is_the_mean():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2, :2] = [[[0], [10]], [[20], [30]]]
    assert shrunk(picture, 2)[:, :, 0].tolist() == [[15, 0], [0, 0]]


def test_frames_are_numbered_on_and_whole(tmp_path):
    picture = np.full((8, 8, 3), 7, np.uint8)
    folder = FrameFolder(tmp_path / "a" / "frames")
    assert folder.add(picture, "Go to the TV stand").name == "0000-go-to-the-tv-stand.png"
    assert folder.add(picture, "/../").name == "0001-picture.png"
    assert FrameFolder(tmp_path / "a" / "frames").add(picture, "start").name == "0002-start.png"
    names = sorted(path.name for path in (tmp_path / "a" / "frames").iterdir())
    assert names == ["0000-go-to-the-tv-stand.png", "0001-picture.png", "0002-start.png"]
    assert (np.asarray(Image.open(tmp_path / "a" / "frames" / names[0])) == 7).all()


def test_a_picture_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path):
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(LlarpError, match=r"cannot write '.*taken\.png'"):
        write_png(tmp_path / "taken.png", np.zeros((2, 2, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageProblem, match=r"'.*file' cannot be a folder of pictures: it is a file"):
        FrameFolder(tmp_path / "file")
    with pytest.raises(UsageProblem, match="cannot be a folder of pictures: not a directory"):
        FrameFolder(tmp_path / "file" / "frames")


# The command


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """`follow("go sofa\\n...", "--home", ...)` pipes lines into `llarp play`, in the toy home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("llarp_cli.registry.load", lambda kind, name: WORLD)

    def run(lines: str | bytes, *arguments: str):
        return CliRunner().invoke(main, ["play", *arguments], input=lines, prog_name="llarp")

    return run


def test_lines_from_a_pipe_are_obeyed_one_by_one(follow, tmp_path):
    lines = """
    # a note
    go sofa
    pick nothing at all? no: say it
    """.replace("pick nothing at all? no: say it", "pick apple")
    result = follow(
        lines + "status\nobjects all\nskills sofa\nhelp\nmap map.png\nquit\nnot reached\n", "--home", "toy-1"
    )
    assert result.exit_code == 0, result.output
    told = result.stdout.splitlines()
    assert told[0] == "toy-1, 35 objects"
    assert "> go sofa" in told and "  1. go to the sofa" in told and "> # a note" not in told
    assert any(line.startswith("  2. pick up the apple") for line in told)
    assert "  holding   nothing" in told or "  holding   apple" in told
    assert "* 12  go to the sofa" in told and "not reached" not in result.stdout
    assert Image.open(tmp_path / "map.png").size == (448, 448)
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


def test_a_policy_tries_a_sentence_in_a_pipe(follow, tmp_path):
    lines = '"bring the wrench to the sink"\nn\nlikely 2\nrun\nn\nsave film.mp4\nsave both.png\n'
    result = follow(lines, "--policy", "planner", "--frames", "frames", "--size", "64", "--seed", "2")
    assert result.exit_code == 0, result.output
    assert "understood as fetch: object = wrench, target = sink; success is judged by that" in result.stdout
    assert "planner, step 1 of 32:" in result.stdout and "100.0%  go to" in result.stdout
    assert "     the goal is reached\n> n\n     its trial is over: the goal is reached" in result.stdout
    steps = re.findall(r"^ +(\d+)\. (.+?)  100", result.stdout, re.MULTILINE)
    frames = sorted(path.name for path in (tmp_path / "frames").iterdir())
    plain = [f"{int(number):04d}-{name.replace(' ', '-')}.png" for number, name in steps]
    assert frames == ["0000-start.png", *(name.casefold() for name in plain)]
    assert Image.open(tmp_path / "frames" / frames[1]).size == (64, 64)
    assert Image.open(tmp_path / "both.png").size == (128, 64)
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert film.streams.video[0].frames == 10 * (2 + len(steps)) + 30


def test_an_episode_may_be_explored(follow, tmp_path):
    episode = split_episodes(WORLD, "train")[3]
    result = follow("goal\n", "--split", "train", "--episode", "3")
    assert f'"{episode.instruction}": success is judged by the episode\'s goal' in result.stdout
    assert f"not reached: {goal_text(parse(episode.goal))}" in result.stdout
    from llarp_cli.rearrangement.episode_files import write_episodes

    write_episodes(tmp_path / "mine.jsonl", split_episodes(WORLD, "train")[2:4])
    assert follow("goal\n", "--episodes", "mine.jsonl", "--episode", "1").stdout == result.stdout
    assert follow("", "--episode", "1").stdout.splitlines()[1].startswith('"')


def test_undo_reset_and_homes_from_a_pipe(follow):
    lines = "go sofa\nundo\nstatus\nhome toy-2 7\nhome\nreset\nundo\n"
    result = follow(lines, "--home", "toy-1")
    assert "  skills    0 used" in result.stdout and "> home\n  toy-2\n" in result.stdout
    assert result.stdout.count("toy-2, 35 objects") == 2
    assert result.exit_code == 2 and result.stderr == "error: line 7 ('undo'): there is nothing to take back\n"


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("go table", "'go table' may mean several skills", "did you mean: go to the black table (6), go to the brown"),
        ("pick aple", "'pick aple' is no skill", "did you mean: pick up the apple (33)"),
        ("statsu", "'statsu' is neither a command nor a skill", "did you mean 'status'?; `help` tells more"),
        ("dance for me", "'dance for me' is neither", 'an instruction stands in quotes: "dance for me"'),
        ("99", "there is no skill 99", "they go from 0 to 69"),
        ("undo 3", "undo takes nothing more, and got '3'", None),
        ("objects none", "objects takes no 'none'", "write objects, or objects all"),
        ("skills xyz", "no skill has 'xyz' in its name", "`skills` lists them"),
        ("likely", "there is no policy to do it", "begin with llarp play --policy POLICY"),
        ("step 0", "'0' is no whole number from 1 on", None),
        ("step ²", "'²' is no whole number from 1 on", None),
        ("n", "there is no policy to do it", "begin with llarp play --policy POLICY"),
        ("say", "the sentence is empty", "write what is to be done"),
        ('""', "the sentence is empty", "write what is to be done"),
        ("home nowhere", "unknown scene 'nowhere'", "toy scenes are called toy-0"),
        ("look", "there is nothing to draw on", "write look FILE.png, or begin with --frames DIR"),
        ("save", "'' is neither a picture nor a film", "write save FILE.png or save FILE.mp4"),
        ("save no/x.png", "'no/x.png': there is no folder 'no'", "mkdir -p no"),
        ("look x.gif", "'x.gif' does not end in .png", "write x.gif.png"),
    ],
)
def test_a_line_that_is_wrong_ends_a_pipe_and_is_named(follow, tmp_path, line, message, hint):
    result = follow(f"go sofa\n\n{line}\ngo sink\n", "--home", "toy-1")
    assert result.exit_code == 2
    first, *rest = result.stderr.splitlines()
    assert first.startswith(f"error: line 3 ('{line}'): ") and message in first
    assert [text.startswith(f"hint: {hint}") for text in rest] == ([] if hint is None else [True])
    assert "go to the sink" not in result.stdout and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--home", "nowhere"], "unknown scene 'nowhere'"),
        (["--split", "nowhere"], "unknown split 'nowhere'"),
        (["--split", "train", "--episode", "100"], "there is no episode 100"),
        (["--home", "toy-1", "--split", "train"], "--home and --split exclude each other"),
        (["--home", "toy-1", "--episode", "1"], "--home and --episode exclude each other"),
        (["--episodes", "none.jsonl"], "cannot read episodes from 'none.jsonl'"),
        (["--policy", "nowhere"], "no policy at 'nowhere'"),
        (["--picture"], "--picture: the output is no terminal that shows them"),
        (["--frames", "taken"], "--frames 'taken' cannot be a folder of pictures: it is a file"),
    ],
)
def test_options_that_will_not_do_are_one_line_and_a_hint(follow, tmp_path, arguments, message):
    (tmp_path / "taken").write_text("")
    result = follow("", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}") and len(result.stderr.splitlines()) <= 2


def test_what_is_no_text_is_refused(follow):
    result = follow(b"go sofa\n\xff\xfe\n", "--home", "toy-1")
    assert result.exit_code == 2 and "is not text" in result.stderr


def test_a_policy_is_refused_where_pictures_are_drawn_otherwise(llarp, tmp_path, monkeypatch):
    from llarp_cli.config import Recipe
    from llarp_cli.policy.build import build_policy
    from llarp_cli.policy.files import save_policy
    from llarp_cli.runs import RunDirectory

    recipe = Recipe.model_validate({"policy": "lstm", "backbone": {"name": "tiny-llama"}, "vision": {"name": "home"}})
    policy = build_policy(recipe, "cpu")
    save_policy(policy, recipe, tmp_path / "policy")
    run = RunDirectory.create(tmp_path / "run", recipe, {"num_processes": 1})
    run.open_staging(100)
    save_policy(policy, recipe, run.staging(100))
    run.publish(100, best=100, keep=1)

    assert llarp("play", "--policy", "policy", "--home", "home-17").exit_code == 0
    monkeypatch.setattr(type(home), "version", "another")
    for command in ("play --policy policy", "rollout policy", "eval policy", "train --resume run"):
        result = llarp(*command.split())
        assert (result.exit_code, result.stdout) == (2, "")
        assert re.match(
            r"error: '.+' sees through vision encoder 'home' \(shipped\), trained on pictures of version '.+'; "
            r"environment 'home' draws version 'another'\nhint: train again",
            result.stderr,
        )


# The terminal


class Terminal:
    """`llarp play` at a terminal of its own."""

    def __init__(self, *arguments: str, folder: Path, **environment: str):
        import pty

        self._bytes = b""
        code = "from llarp_cli.cli import main; main(prog_name='llarp')"
        env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "70", "LINES": "30", **environment}
        env = {name: value for name, value in env.items() if value}
        self._process, self._end = pty.fork()
        if self._process == 0:
            os.chdir(folder)
            os.execve(sys.executable, [sys.executable, "-c", code, "play", *arguments], env)

    def until(self, wanted: str, seconds: float = 60.0) -> str:
        """What is printed until something has been."""
        begun, end = len(self._bytes), time.monotonic() + seconds
        while wanted.encode() not in self._bytes[begun:] and time.monotonic() < end:
            if select.select([self._end], [], [], 0.1)[0]:
                try:
                    self._bytes += os.read(self._end, 1 << 16)
                except OSError:  # it has ended
                    break
        found = self._bytes[begun:].decode()
        assert wanted in found, self.text
        return found

    @property
    def text(self) -> str:
        return self._bytes.decode()

    def type(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C until it is heard: Python misses one that comes just before it waits for keys."""
        for _ in range(30):
            self.type("\x03")
            if select.select([self._end], [], [], 1.0)[0]:
                return

    def status(self) -> int:
        while True:
            try:
                if not os.read(self._end, 1 << 16):
                    break
            except OSError:
                break
        _, status = os.waitpid(self._process, 0)
        os.close(self._end)
        return os.waitstatus_to_exitcode(status)


needs_terminal = pytest.mark.skipif(os.name == "nt", reason="no pseudo-terminals")


@needs_terminal
def test_a_conversation_at_a_terminal(tmp_path):
    terminal = Terminal("--home", "home-17", folder=tmp_path, COLORTERM="truecolor")
    shown = terminal.until("\n> ")
    assert "Type a skill" in shown
    picture = "\n".join(line for line in shown.replace("\r", "").split("\n") if UPPER_HALF in line)
    # 21 lines of the 30, and not the whole width: one picture.
    assert blocks_to_picture(picture).shape == (42, 42, 3)
    terminal.type("go so\t\n")
    assert "  1. go to the sofa" in terminal.until("\n> ")
    terminal.type("fly\n")
    assert "'fly' is neither a command nor a skill" in terminal.until("\n> ")
    terminal.type("pick apple\n")
    assert "not possible: no apple within 1.5 m" in terminal.until("\n> ")
    terminal.type("\x04")
    assert terminal.status() == 0 and "Traceback" not in terminal.text


@needs_terminal
def test_ctrl_c_ends_it(tmp_path):
    terminal = Terminal("--home", "home-17", folder=tmp_path, COLORTERM="")
    assert "--picture draws anyway" in terminal.until("\n> ") and UPPER_HALF not in terminal.text
    terminal.type("status\n")
    terminal.until("\n> ")
    terminal.type("go si")
    terminal.until("go si")
    terminal.interrupt()
    terminal.until("interrupted")
    assert terminal.status() == 130 and "Traceback" not in terminal.text


def test_a_closed_pipe_ends_it_quietly(tmp_path):
    code = "from llarp_cli.cli import main; main(['play', '--home', 'home-17'], prog_name='llarp')"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    _, errors = process.communicate(b"skills\n" * 2000)
    assert process.returncode == 1 and b"Traceback" not in errors
