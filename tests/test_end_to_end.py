"""The main job as a user types it, each command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LOAD = """
import sys
import numpy as np
import llarp_cli
for folder in sys.argv[1:]:
    agent = llarp_cli.load_policy(folder)
    picture = np.random.default_rng(0).integers(0, 256, (agent.image_size, agent.image_size, 3), np.uint8)
    print([agent.act(picture // step, "put the apple on the sofa") for step in (1, 2, 3)])
"""


@pytest.fixture
def run(tmp_path):
    """`run("eval", ...)` runs llarp in an empty directory and returns its stdout."""

    def runner(*arguments: str, program: tuple[str, ...] = ("-m", "llarp_cli")) -> str:
        done = subprocess.run(
            [sys.executable, *program, *arguments],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return runner


def test_train_resume_eval_rollout_export_load(run, tmp_path: Path):
    train = ("train", "--backbone", "tiny-llama", "--recipe", "lang-rearrange")
    run(*train, "--steps", "128", "num_envs=4", "tasks.families=[move, fetch]")
    (folder,) = (tmp_path / "runs").iterdir()
    run("train", "--resume", str(folder), "--steps", "256")
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["steps"] for line in metrics] == [128, 256]
    assert {line["stage"] for line in metrics} == {"ppo"}
    assert (folder / "curves.png").stat().st_size > 1000

    # The newest run is found without being named.
    table = run("eval", "--split", "train", "--split", "rephrasing", "--limit", "5", "--json", "eval.json")
    assert "| rephrasing |" in table and "left out: " in table
    results = json.loads((tmp_path / "eval.json").read_text())
    assert results["backbone"] == "tiny-llama"
    assert {name: split["episodes"] for name, split in results["splits"].items()} == {"train": 5, "rephrasing": 5}

    told = run("rollout", "--video", "out.mp4", "--instruction", "take the apple to the sofa")
    assert "understood as fetch: object = apple, target = sofa" in told
    assert (tmp_path / "out.mp4").stat().st_size > 10_000

    export = Path(run("export", "--out", "exported", "--results", "eval.json").strip())
    assert {path.name for path in (tmp_path / export).iterdir()} == {
        "adapter.safetensors", "config.json", "recipe.yaml", "README.md", "curves.png",
    }  # fmt: skip
    exported, checkpoint = run("exported", str(folder / "checkpoints" / "last"), program=("-c", LOAD)).splitlines()
    assert exported == checkpoint
