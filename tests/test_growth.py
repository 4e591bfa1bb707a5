"""The table of how cost grows is made of rows that can be measured, and of ones that are computed from them."""

import importlib.util
import json
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


def test_what_was_measured_is_not_measured_again_not_even_under_another_name(growth, capsys, tmp_path, monkeypatch):
    tables, row = growth.series(growth.BASE), {"acting": 2.0, "update": 1.0, "peak_memory_mib": 500.0}
    base = tables["parameters"]["26M"]
    assert base == tables["instruction tokens"]["30"] != tables["instruction tokens"]["10"]
    tokens = {"with_gradient": 3, "without_gradient": 4}
    kept = {"workload": base.as_json(), "ours": row, "tokens": {"acting": tokens, "update": tokens}}
    file = tmp_path / "growth.json"
    file.write_text(json.dumps({"parameters": {"26M": kept}}), "utf-8")
    for only in ("parameters:26M", "instruction tokens:30"):
        monkeypatch.setattr("sys.argv", ["growth.py", "--json", str(file), "--only", only])
        growth.main()
    assert capsys.readouterr().out.count("| 2 | 1 | - | - | - | - | 500 |") == 2
    assert json.loads(file.read_text("utf-8"))["instruction tokens"]["30"] == json.loads(json.dumps(kept))
