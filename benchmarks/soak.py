"""A long training, watched: does its memory grow, and does it leave files open?

    python benchmarks/soak.py --run-dir /tmp/soak --record soak.jsonl --minutes 120

Trains with the quickstart recipe, made long enough never to end by itself, and every few seconds writes down the
memory and the open files of the training process and how many environment steps it has taken. Interrupted, or given
fewer minutes at a time, it goes on with the run and the record: the minutes of all parts count. Each part warms up
anew, and a slope is never taken across two parts. Prints the slopes; its exit status is 1 if memory grows by more than
1 MB a minute or files stay open.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psutil

WARM_UP = 5.0
"""Minutes at the beginning of a part that do not count: caches fill. On a busy machine they take longer."""
MOST_GROWTH = 1.0
"""MB a minute."""
MOST_FILES = 8
"""Open files more than the fewest after the warm-up."""
TAIL = 1 << 16
"""Bytes at the end of the metrics in which there is a whole line."""
FOR_EVER = 10**11
"""Environment steps."""


def watch(
    command: Sequence[str], record: Path, part: int, seconds: float, every: float, metrics: Path, said: IO[str]
) -> int:
    """Run a command for some time, then ask it to stop.

    Args:
        command: a training.
        record: gets a line for each look: part, minutes, memory in MB, open files, environment steps.
        part: number of this part.
        seconds: how long.
        every: seconds between looks.
        metrics: the training's, for its steps.
        said: takes what it writes to stderr.

    Returns:
        its exit status.
    """
    begun = time.monotonic()
    process = subprocess.Popen(command, stderr=said)
    seen = psutil.Process(process.pid)
    try:
        while process.poll() is None and time.monotonic() - begun < seconds:
            try:
                memory = seen.memory_full_info()
                line = {
                    "part": part,
                    "minutes": round((time.monotonic() - begun) / 60, 4),
                    "rss_mb": round(memory.rss / 1e6, 2),
                    "own_mb": round(memory.uss / 1e6, 2),
                    "files": seen.num_fds(),
                    "threads": seen.num_threads(),
                    "steps": steps_taken(metrics),
                }
            except psutil.NoSuchProcess:
                break
            with record.open("a") as file:
                file.write(json.dumps(line) + "\n")
            time.sleep(every)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        return process.wait()
    finally:
        if process.poll() is None:
            process.kill()


def steps_taken(metrics: Path) -> int:
    """What the last whole line of a run's metrics says; 0 before there is one."""
    try:
        with metrics.open("rb") as file:
            file.seek(max(0, metrics.stat().st_size - TAIL))
            whole = file.read().splitlines(keepends=True)
    except OSError:
        return 0
    ended = [line for line in whole if line.endswith(b"\n") and line.startswith(b'{"steps":')]
    return json.loads(ended[-1])["steps"] if ended else 0


def summary(lines: list[dict], warm_up: float = WARM_UP) -> dict:
    """What a record says.

    Args:
        lines: of the record.
        warm_up: minutes at the beginning of each part that do not count.

    Returns:
        minutes in all and after warm-up; growth of memory, MB a minute and MB per 100,000 environment steps, the means
        over parts by their length; environment steps after warm-up; the most files that were open beyond the fewest
        after a warm-up; most memory.
    """
    minutes = counted = growth = grown = 0.0
    steps = 0
    files = 0
    for part in sorted({line["part"] for line in lines}):
        own = [line for line in lines if line["part"] == part]
        minutes += own[-1]["minutes"]
        warm = [line for line in own if line["minutes"] >= warm_up]
        if len(warm) < 3:
            continue
        length = warm[-1]["minutes"] - warm[0]["minutes"]
        memory = [line["rss_mb"] for line in warm]
        growth += slope([line["minutes"] for line in warm], memory) * length
        counted += length
        taken = warm[-1]["steps"] - warm[0]["steps"]
        grown += slope([line["steps"] for line in warm], memory) * taken
        steps += taken
        files = max(files, max(line["files"] for line in warm) - min(line["files"] for line in warm))
    return {
        "minutes": round(minutes, 2),
        "minutes_after_warm_up": round(counted, 2),
        "mb_per_minute": round(growth / counted, 3) if counted else None,
        "steps_after_warm_up": steps,
        "mb_per_100k_steps": round(1e5 * grown / steps, 3) if steps else None,
        "files_more": files,
        "most_mb": max((line["rss_mb"] for line in lines), default=0.0),
    }


def slope(times: list[float], values: list[float]) -> float:
    """Of the line through the points, by least squares."""
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((t - middle) ** 2 for t in times)
    return sum((t - middle) * (v - mean) for t, v in zip(times, values, strict=True)) / spread if spread else 0.0


def flat(told: dict) -> bool:
    """Whether memory and files are flat."""
    return (
        told["mb_per_minute"] is not None and told["mb_per_minute"] < MOST_GROWTH and told["files_more"] <= MOST_FILES
    )


def command(run_dir: Path, recipe: str, overrides: Sequence[str]) -> list[str]:
    """What begins the run, or goes on with it."""
    llarp = [sys.executable, "-m", "llarp_cli", "train"]
    if (run_dir / "run.json").exists():
        return [*llarp, "--resume", str(run_dir), "--steps", str(FOR_EVER)]
    return [*llarp, "--recipe", recipe, "--run-dir", str(run_dir), "--steps", str(FOR_EVER), *overrides]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--record", type=Path, required=True, help="JSON lines; is gone on with")
    parser.add_argument("--minutes", type=float, default=120, help="in all, those in the record included")
    parser.add_argument("--part", type=float, default=float("inf"), help="minutes after which to stop for now")
    parser.add_argument("--warm-up", type=float, default=WARM_UP, help="minutes of each part that do not count")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between looks")
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("overrides", nargs="*", help="of the recipe")
    options = parser.parse_args()
    lines = read(options.record)
    left = options.minutes - summary(lines)["minutes"]
    if left > 0:
        part = max((line["part"] for line in lines), default=-1) + 1
        typed = command(options.run_dir, options.recipe, options.overrides)
        options.record.write_text("".join(json.dumps(line) + "\n" for line in lines))  # without a line cut short
        seconds = 60 * min(left, options.part)
        with tempfile.TemporaryFile("w+") as said:
            metrics = options.run_dir / "metrics.jsonl"
            status = watch(typed, options.record, part, seconds, options.every, metrics, said)
            said.seek(0)
            if status not in (130, -signal.SIGTERM):  # the second: before it had begun
                sys.exit(f"training ended with status {status}:\n{said.read()[-2000:]}")
    told = summary(read(options.record), options.warm_up)
    print(json.dumps(told, indent=2))
    sys.exit(0 if flat(told) else 1)


def read(record: Path) -> list[dict]:
    """The lines of a record; one that was cut short is left out."""
    text = record.read_text() if record.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    # The training ends with its watcher, whatever a shell made of SIGINT for what runs in the background.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
