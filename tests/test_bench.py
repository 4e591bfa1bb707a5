"""`llarp bench home`: that it measures what it says."""

import json

import numpy as np
import pytest

from llarp_cli.home import bench as measuring
from llarp_cli.home.primitives import OWNER
from llarp_cli.home.rasteriser import threads


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(measuring, "_SECONDS", 0.001)


def test_every_size_content_and_number_of_environments_is_reported(hasty):
    before = threads()
    measured = measuring.bench_home(sizes=(16, 33), environments=(1, 3), homes=2)
    assert threads() == before
    speeds = measured["frames_per_second_per_core"]
    assert set(speeds) == set(measuring.CONTENTS)
    assert all(set(by_size) == {"16", "33"} and min(by_size.values()) > 0 for by_size in speeds.values())
    standing, visible = measured["primitives"], measured["visible_primitives"]
    assert 5 < standing["empty"] < standing["furnished"] < standing["35 objects"] < standing["64 objects"]
    assert all(0 < visible[content] < standing[content] for content in standing)
    assert set(measured["two_threads"]) == {"16", "33"}
    assert min(measured["steps_per_second"].values()) > 0
    assert set(measured["steps_per_second"]) == {"1", "3"}


def test_the_scenes_are_what_their_names_say():
    empty, furnished, full = (measuring.make_scenes(name, 2) for name in ("empty", "furnished", "35 objects"))
    owners = [
        {int(owner) for owner in np.unique(one.rows[0, : one.counts[0], OWNER])} for one in (empty, furnished, full)
    ]
    assert max(owners[0]) < 0 and len(owners[0]) == 3
    assert max(owners[1]) < 0 and len(owners[1]) > 10
    assert set(range(35)) <= owners[2]
    assert full.robots.shape == (16, 2, 3)
    assert len(np.unique(full.robots[:, 0], axis=0)) > 10


def test_the_command_prints_a_table_and_writes_json(hasty, llarp, monkeypatch, tmp_path):
    monkeypatch.setattr(measuring.bench_home, "__defaults__", ((16,), ("empty", "35 objects"), (2,), 2))
    result = llarp("bench", "home", "--json", "out.json")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["frames/s/core", "primitives", "seen", "16", "px"]
    assert lines[1].startswith("empty") and lines[2].startswith("35 objects")
    assert any(line.startswith("environments") for line in lines)
    assert json.loads((tmp_path / "out.json").read_text())["homes"] == 2
