"""The film of a rollout: its pictures, and that a player can show it."""

from __future__ import annotations

import av
import numpy as np
import pytest
from toy_world import ToyWorld

from llarp_cli.errors import LlarpError
from llarp_cli.evaluation.rollout import roll_out
from llarp_cli.evaluation.video import FRAMES_PER_SECOND, HEIGHT, HELD, HELD_AT_END, TOP, VIEW, WIDTH, Film, write_video
from llarp_cli.rearrangement.splits import split_episodes

WORLD = ToyWorld()


def film(instruction: str = "Put the apple on the sofa.") -> Film:
    simulator = WORLD.simulator(1, 64)
    simulator.reset(0, split_episodes(WORLD, "train")[0].arrangement)
    return Film(simulator, instruction, 32, "planner")


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Rows of a picture in which something changed."""
    return np.flatnonzero((before != after).any(axis=(1, 2)))


def test_a_rollout_is_filmed_a_second_per_skill(tmp_path, monkeypatch):
    monkeypatch.setattr("llarp_cli.registry.load", lambda kind, name: WORLD)
    told = roll_out("planner", split="train", index=0, video=tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == FRAMES_PER_SECOND and HELD / FRAMES_PER_SECOND == 1
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert frames[0].shape == (HEIGHT, WIDTH, 3)
    # The start, each skill, and the end.
    assert len(frames) == HELD * (1 + len(told.steps)) + HELD_AT_END
    within, across = (np.abs(frames[12].astype(int) - frames[i]).mean() for i in (18, 25))
    assert within < 0.5 < across


def test_sizes_are_even():
    assert HEIGHT % 2 == 0 and WIDTH % 2 == 0


def test_a_picture_shows_the_sentence_the_view_the_skill_and_the_end():
    one, other = film("Put the apple on the sofa."), film("Take the plum away.")
    rows = changed(one.pictures[0], other.pictures[0])
    assert len(rows) > 10 and rows.max() < TOP
    one.add("pick up the apple", 0.93, True, 2.5)
    rows = changed(one.pictures[0], one.pictures[1])
    assert len(rows) > 20 and rows.min() > TOP + VIEW
    one.end(True)
    rows = changed(one.pictures[1], one.pictures[2])
    assert rows.min() > TOP and rows.max() < TOP + VIEW and len(rows) > 60
    other.end(False)
    middle = slice(TOP, TOP + VIEW)
    assert (one.pictures[2][middle] != other.pictures[1][middle]).any()


def test_a_skill_that_was_not_possible_looks_different():
    possible, not_possible = film(), film()
    possible.add("pick up the apple", 0.5, True, 0.0)
    not_possible.add("pick up the apple", 0.5, False, 0.0)
    assert (possible.pictures[1] != not_possible.pictures[1]).any()


@pytest.mark.parametrize("words", [1, 30, 160])
def test_sentences_of_any_length_stay_above_the_pictures(words):
    short, long = film("go"), film(" ".join(["incomprehensibly"] * words))
    assert changed(short.pictures[0], long.pictures[0]).max() < TOP


def test_a_film_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path):
    frame = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(LlarpError, match="cannot write film"):
        write_video(tmp_path / "no" / "out.mp4", [frame], 10)
    (tmp_path / "taken.mp4").mkdir()
    (tmp_path / "taken.mp4" / "file").write_text("")
    with pytest.raises(LlarpError, match="cannot write film"):
        write_video(tmp_path / "taken.mp4", [frame], 10)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.mp4"]
