"""The table of how cost grows is made of rows that can be measured, and of ones that are computed from them."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from llarp_cli.bench.llama import architecture


@pytest.fixture(scope="module")
def growth():
    file = Path(__file__).parents[1] / "benchmarks" / "growth.py"
    spec = importlib.util.spec_from_file_location("growth", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_smallest_row_is_measured_and_larger_models_are_computed_from_such(growth, capsys):
    tables = growth.series(growth.BASE)
    assert [*tables["environments"]] == ["8", "32", "128", "512"]
    smallest = replace(tables["parameters"]["5M"], num_envs=4)
    assert architecture(growth.SIZES["5M"]) == smallest.llama
    row = growth.measured(smallest)
    assert row["parameters"] == pytest.approx(5e6, rel=0.2)
    assert row["ours"]["update"] > row["reference"]["update"] > 0
    cells = growth.cells(row)
    growth.table("parameters", [("5M", cells)])
    growth.table("parameters, computed", growth.computed(row), growth.COMPUTED_HEADER)
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(cells) == len(growth.HEADER)
    alone = growth.cells({"ours": row["ours"]})  # as of very many environments
    assert (alone[:2], alone[2:6], alone[6]) == (cells[:2], ["-"] * 4, cells[6])
    assert [line.split("|")[1].strip() for line in lines if line] == [
        "parameters",
        "---",
        "5M",
        "parameters, computed",
        "---",
        *growth.COMPUTED,
    ]
    # 6.5e9 weights of 7B's linear layers, 2 operations each, at least once in acting and 2 x 2 in an epoch of learning.
    (seven,) = (values for name, values in growth.computed(row) if name == "7B")
    assert seven[0] == "6.48"
    assert float(seven[1].replace(",", "")) > 6 * 6.48
