"""Several processes: steps per second by their number, and what a slow one costs with and without preemption.

    python benchmarks/scaling.py --processes 1 --processes 2 --out scaling.json
    python benchmarks/scaling.py --processes 4 --late 1 --out late.json

Each case is a fresh `llarp train` of a small model; figures are medians over its updates but the first two, CPU
seconds those of all its processes from start to end. With `--late`, the last process sleeps so many seconds at every
step of its environments, which are small ones that take little time themselves, and each case runs with
`ppo.finish_share` 1 (all are waited for) and 0.6 (as in DD-PPO). Scaling is told as such only where there are as many
cores as processes.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import click

RECIPE = """
environment: home
num_envs: 8
backbone: {name: tiny-llama}
adapter: {hidden: 32, decoder_hidden: 32}
tasks: {families: [move], count: 16, homes: 2}
ppo: {rollout_steps: 16, minibatches: 2, epochs: 1}
"""
SMALL = ("vision.name=cnn", "vision.image_size=32")
TRAIN = """
import os, sys, time
from llarp_cli.rearrangement.environment import RearrangementVectorEnv

seconds = float(os.environ["LATE_SECONDS"])
if seconds and int(os.environ.get("RANK", 0)) == int(os.environ.get("WORLD_SIZE", 1)) - 1:
    step = RearrangementVectorEnv.step
    RearrangementVectorEnv.step = lambda self, actions: (time.sleep(seconds), step(self, actions))[1]
from llarp_cli.cli import main
main(sys.argv[1:], prog_name="llarp")
"""


def measured(processes: int, updates: int, late: float, finish_share: float) -> dict[str, float]:
    """One training run's median speed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small.yaml").write_text(RECIPE)
        (folder / "train.py").write_text(TRAIN)
        run = folder / "run"
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        options = ["train", "--recipe", "small.yaml", "--run-dir", str(run), "--steps", str(updates * processes * 128)]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "LATE_SECONDS": str(late)}
        overrides = [f"ppo.finish_share={finish_share}", *(SMALL if late else ())]
        command = [*launcher, "train.py", *options, *overrides]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, env=variables, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][2:]
    steps = [two["steps"] - one["steps"] for one, two in pairwise(lines)]
    seconds = [taken / line["steps_per_second"] for taken, line in zip(steps, lines[1:], strict=True)]
    return {
        "processes": processes,
        "late": late,
        "finish_share": finish_share,
        "steps_per_second": statistics.median(line["steps_per_second"] for line in lines),
        "seconds_per_update": round(statistics.median(seconds), 3),
        "steps_per_update": statistics.mean(steps),
        "cpu_seconds": round(sum(after[:2]) - sum(before[:2]), 1),
        "updates": len(lines),
    }


@click.command()
@click.option("--processes", type=int, multiple=True, default=(1, 2), help="How many; several cases.")
@click.option("--updates", type=int, default=12)
@click.option("--late", type=float, default=0.0, help="Seconds that the last process sleeps at every step.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(processes: tuple[int, ...], updates: int, late: float, out: Path) -> None:
    """Measure and write a record."""
    shares = (1.0, 0.6) if late else (1.0,)
    cases = [measured(count, updates, late, share) for count in processes for share in shares]
    record = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "at": time.strftime("%Y-%m-%d"), "cases": cases}
    out.write_text(json.dumps(record, indent=2) + "\n")
    click.echo(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
