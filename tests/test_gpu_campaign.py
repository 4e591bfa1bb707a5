"""`benchmarks/gpu.py`: its commands are ones that `llarp bench` takes, and one failure does not lose the rest."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from llarp_cli import registry
from llarp_cli.cli.bench import bench

FILE = Path(__file__).parent.parent / "benchmarks" / "gpu.py"
spec = importlib.util.spec_from_file_location("gpu_campaign", FILE)
gpu = sys.modules["gpu_campaign"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gpu)

UPDATE = next(row for row in gpu.ROWS if row.name == "update-llama-7b")


def campaign(rows, out, **changes):
    said = []
    options = {"dry": True, "seconds": 1000, "say": said.append, **changes}
    return gpu.campaign(rows, out, **options), said


def told(rate=100.0, ratio=4.0):
    figures = {
        "environment_steps_per_second": rate,
        "used_steps_per_second": rate,
        "seconds": 1.0,
        "utilisation": 0.4,
        "peak_memory_mib": 2000.0,
        "share": {"forward": 0.6, "backward": 0.4},
    }
    machine = {"date": "2026-01-01", "device": "a GPU", "processor": "x", "cores": 16, "memory_gib": 128.0}
    machine |= {"system": "Linux", "versions": {"torch": "2.0"}, "load": 0.5}
    return {
        "machine": machine,
        "backbone_parameters": 7e9,
        "dtype": "bfloat16",
        "micro_batches": 4,
        "recomputed_layers": 0,
        "ours": figures,
        "reference": {**figures, "used_steps_per_second": rate / ratio},
        "ratio": ratio,
    }


@pytest.mark.parametrize("row", gpu.ROWS, ids=lambda row: row.name)
def test_every_row_is_a_command_and_needs_no_download(row):
    for command in (row.command, gpu.in_small(row.command, Path("vit"))):
        context = bench.commands[command[0]].make_context(command[0], list(command[1:]))
        assert context.params["weights"] == "random" or context.params["llama"]
        if context.params["backbone"] != "tiny-llama-4bit":
            assert registry.load("backbone", context.params["backbone"]).architecture
        if context.params["vision"] == "vit-b":
            assert context.params["vision_weights"] == "random"
            assert registry.load("vision encoder", "vit-b").architecture
    assert context.params["num_envs"] == 2 and context.params["repeat"] == 1


def test_a_failed_row_is_recorded_and_tried_again_and_measured_ones_are_kept(tmp_path, monkeypatch):
    rows = [gpu.row(name, "train --backbone minilm") for name in "abc"]
    tried = []

    def measure(one, command, seconds):
        tried.append(one.name)
        entry = {"command": "llarp bench train", "date": "2026-01-01 12:00", "took_seconds": 3.0}
        if one.name == "b" and len(tried) < 4:
            return {**entry, "status": "failed", "reason": "exit status 1: error: memory ran out"}
        return {**entry, "status": "measured", "told": told(), "goals": {}}

    monkeypatch.setattr(gpu, "measure", measure)
    record, _ = campaign(rows, tmp_path / "out")
    assert tried == ["a", "b", "c"]
    assert [record["rows"][name]["status"] for name in "abc"] == ["measured", "failed", "measured"]
    table = (tmp_path / "out" / "record.md").read_text()
    assert "FAILED, exit status 1: error: memory ran out" in table
    assert "a GPU; x, 16 cores, 128.0 GiB" in table
    assert "| a | ours | 7,000M | bfloat16 | 4 | 0 | 100 |" in table

    record, said = campaign(rows, tmp_path / "out")
    assert tried == ["a", "b", "c", "b"]
    assert said[0] == "a: measured before"
    assert json.loads((tmp_path / "out" / "record.json").read_text()) == record
    assert "FAILED" not in (tmp_path / "out" / "record.md").read_text()


def test_when_time_is_up_the_rest_is_left_for_the_next_run(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "measure", lambda *_: pytest.fail("begun"))
    record, said = campaign([UPDATE], tmp_path, seconds=-1)
    assert record["rows"] == {} and "no time left" in said[0]


def test_a_dry_run_does_not_mix_with_a_real_one(tmp_path):
    gpu.save({"rows": {}, "command": "", "dry_run": False}, tmp_path)
    with pytest.raises(SystemExit, match="is not of a dry run"):
        campaign([UPDATE], tmp_path)


def test_goals_and_ratios():
    row = gpu.row("x", "train", environment_steps_per_second=("at least", 50), peak_memory_mib=("at most", 1000))
    judged = gpu.judged(row, told())
    assert judged["environment_steps_per_second"] == {"goal": "at least 50", "value": 100.0, "met": True}
    assert judged["peak_memory_mib"]["met"] is False
    ours, reference = told(rate=90), told(rate=30)
    del ours["ratio"], reference["ratio"], reference["ours"]
    reference["reference"]["used_steps_per_second"] = 15
    assert gpu.ratios({"x": ours, "x-reference": reference, "y": told()}) == {"y": 4.0, "x": 6.0}


def test_a_command_that_does_not_end_and_one_that_is_refused(tmp_path):
    entry = gpu.measure(UPDATE, ["train"], seconds=0.2)
    assert (entry["status"], entry["reason"]) == ("failed", "not done after 0 seconds")
    entry = gpu.measure(UPDATE, ["train", "--backbone", "nowhere"], seconds=300)
    assert entry["status"] == "failed"
    assert entry["reason"].startswith("exit status 2: error: unknown backbone 'nowhere'")


def test_a_row_in_small(tmp_path):
    record, said = campaign([UPDATE], tmp_path)
    entry = record["rows"]["update-llama-7b"]
    assert entry["status"] == "measured", said
    assert entry["told"]["dtype"] == "bfloat16"
    assert entry["goals"]["ratio"]["value"] == entry["told"]["ratio"]
    assert "| update-llama-7b | reference |" in (tmp_path / "record.md").read_text()


@pytest.mark.slow
def test_the_whole_dry_run(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path), "--dry-run"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    record = json.loads((tmp_path / "record.json").read_text())
    assert {name: entry["status"] for name, entry in record["rows"].items()} == {r.name: "measured" for r in gpu.ROWS}
    assert ended.value.code == 0
