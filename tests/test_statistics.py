"""How sure a comparison is, and learning curves."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_runs import make_run, some

from llarp_cli.comparison import statistics
from llarp_cli.comparison.curves import band, curve_of
from llarp_cli.comparison.methods import find_methods
from llarp_cli.comparison.statistics import mean_success, ratio_of_means
from llarp_cli.intervals import wilson


def table(*rows: int, episodes: int = 100) -> np.ndarray:
    return np.array([some(row, episodes) for row in rows], float)


# How sure


def test_one_run_in_one_split_has_wilsons_interval():
    found = mean_success({"train": table(37)}, "m")
    assert (found.value, found.episodes) == (0.37, 100)
    assert (found.low, found.high) == pytest.approx(wilson(37, 100))


def test_every_split_counts_alike_however_many_episodes_it_has():
    found = mean_success({"a": table(10, episodes=10), "b": table(0, episodes=100)}, "m")
    assert (found.value, found.episodes) == (0.5, 110)


def test_runs_that_differ_widen_the_interval():
    alike = mean_success({"a": table(50, 50)}, "m")
    apart = mean_success({"a": table(20, 80)}, "m")
    assert alike.value == apart.value == 0.5
    assert apart.low <= 0.21 and apart.high >= 0.79
    assert alike.high - alike.low < 0.25


def test_only_successes_are_not_certainty():
    found = mean_success({"a": table(100, 100)}, "m")
    assert found.high == 1.0 and found.low == pytest.approx(wilson(100, 100)[0])


def test_a_ratio_of_extremes_is_not_certain():
    zero, few, all_of_them = ({"train": table(n)} for n in (0, 5, 100))
    for ours, theirs in ((zero, few), (all_of_them, all_of_them), (few, all_of_them)):
        found = ratio_of_means(ours, theirs, ("a", "b"))
        assert found.low < found.value < found.high or ((found.value, found.low) == (0, 0) and found.high > 0.5)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    truth, held = np.array([0.9, 0.5, 0.1]), 0
    for _ in range(60):
        tables = {str(i): (random.random((1, 60)) < p).astype(float) for i, p in enumerate(truth)}
        found = mean_success(tables, "m")
        held += found.low <= truth.mean() <= found.high
    assert held >= 55


def test_a_ratio_is_of_the_means_and_pairs_the_episodes():
    one, other = {"a": table(60), "b": table(20)}, {"a": table(30), "b": table(10)}
    found = ratio_of_means(one, other, ("m", "n"))
    assert found.value == pytest.approx(2.0)
    assert 1.4 < found.low < 2.0 < found.high < 3.2
    same = ratio_of_means(one, one, ("m", "n"))
    assert (same.value, same.low, same.high) == (1.0, 1.0, 1.0)
    assert ratio_of_means(one, {"a": table(0), "b": table(0)}, ("m", "n")) is None


def test_a_comparison_made_again_gives_the_same_numbers():
    tables = {"a": table(30, 40), "b": table(60, 50)}
    assert mean_success(tables, "m") == mean_success(tables, "m")


def test_many_episodes_are_drawn_in_parts(monkeypatch):
    """The same draws, whatever fits into memory at once."""
    successes = {"a": table(20, 60), "b": table(30, 31, episodes=70)}
    whole = mean_success(successes, "m")
    statistics._few.cache_clear()
    monkeypatch.setattr(statistics, "AT_ONCE", 999)
    sizes = [part.size for part in statistics._shares("episodes of a", 100)]
    assert max(sizes) <= 999 and sum(sizes) == statistics.DRAWS * 100
    drawn = mean_success(successes, "m")
    assert (drawn.low, drawn.high) == pytest.approx((whole.low, whole.high))
    assert statistics._few.cache_info().currsize == 0


# Curves


def update(steps: int, success: float | None, episodes: int = 500, stage: str = "ppo") -> dict:
    return {"steps": steps, "success": success, "episodes": episodes, "stage": stage}


def test_success_is_averaged_over_whole_updates_of_500_episodes():
    curve = curve_of([update(1, None, 0, "imitation"), update(2, 1.0, 300), update(3, 0.5, 300), update(4, 0.0, 300)])
    assert curve.steps == (3, 4)
    assert curve.mean == pytest.approx((0.75, 0.25))
    assert curve.labelled == 1


def test_the_threshold_is_reached_once_or_not_at_all():
    curve = curve_of([update(1, 0.5), update(2, 0.8), update(3, 0.7), update(4, 0.95)])
    assert (curve.reached(0.8), curve.reached(0.95), curve.reached(0.96)) == (2, 4, None)
    assert curve.best() == (4, 0.95)


def test_several_runs_are_a_mean_between_the_lowest_and_the_highest():
    found = band(
        [curve_of([update(1, 0.2), update(2, 0.4), update(3, 1.0)]), curve_of([update(1, 0.4), update(2, 0.8)])]
    )
    assert found.steps == (1, 2)
    assert found.mean == pytest.approx((0.3, 0.6))
    assert (found.low, found.high) == ((0.2, 0.4), (0.4, 0.8))


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    folder = make_run(tmp_path / "a", curve=[0.5, 0.6], checkpoints=[2000])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"steps": 30')
    assert len(find_methods([str(folder)])[0].runs[0].updates) == 2
