"""How cost grows with environments, instruction, episode and model: measured here, and computed where not possible.

    python benchmarks/growth.py --json growth.json

Prints tables in Markdown; takes about ten minutes on one core. Every row is kept in the file as soon as it is measured,
and the same command goes on where it was stopped. Figures are steps per core-second, so that other work
on the machine disturbs them little. Acting contains making the cache anew after each rollout, and rollouts of more than
32 environments are shorter here, to save time: so they pay that more often. Each row has a process to itself; memory is
the most that it held, of which about 500 MiB are torch and llarp. Computed rows say so.

`--only "episode steps"` measures one table, `--only "episode steps:64-128"` one row.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from llarp_cli.bench.flops import llama_linear_weights
from llarp_cli.bench.llama import architecture
from llarp_cli.bench.rollout import bench_rollout
from llarp_cli.bench.update import bench_update
from llarp_cli.bench.workload import Workload
from llarp_cli.files import write_text

BASE = Workload(
    backbone="llama",
    llama=architecture("hidden=384,layers=8,heads=6"),
    weights="random",
    prefix_cache_mb=4096,
    vision=None,
    vision_weights=None,
    image_size=128,
    environment="synthetic",
    num_envs=16,
    rollout_steps=32,
    epochs=1,
    minibatches=8,
    instruction_tokens=30,
    instructions=0,
    episode_length=(4, 32),
    dtype="float32",
    threads=1,
    layout="both",
    fragments=0,
    repeat=1,
)

SIZES = {
    "5M": "hidden=192,layers=4,heads=6,vocabulary=16000",
    "26M": "hidden=384,layers=8,heads=6",
    "110M": "hidden=768,layers=12,heads=12",
}

COMPUTED = {
    "1.1B": {"hidden": 2048, "layers": 22, "intermediate": 5632, "key_share": 4 / 32},
    "7B": {"hidden": 4096, "layers": 32, "intermediate": 11008},
    "13B": {"hidden": 5120, "layers": 40, "intermediate": 13824},
}
"""TinyLlama's, LLaMA 7B's and 13B's sizes."""

SUSTAINED = 1e14
"""Operations per second that computed rows suppose: a quarter of what a data-centre GPU does in large products."""

COMPUTED_HEADER = (
    "linear weights, 1e9",
    "operations per step, 1e9",
    f"steps/s at {SUSTAINED / 1e12:.0f}e12 operations/s",
)

ENVIRONMENTS = {8: 32, 32: 32, 128: 16, 512: 8}
"""Environments → steps of a rollout."""

OURS_ALONE = 512
"""From so many environments on, the reference layout is left out: it would take as long as all the rest."""

HEADER = ("acting", "update", "acting, reference", "update, reference", "ratio acting", "ratio update", "MiB")


def series(base: Workload) -> dict[str, dict[str, Workload]]:
    """Workloads by table and row."""
    # Of few environments a rollout is long, so that it begins with episodes of all ages.
    long = replace(base, num_envs=4, rollout_steps=128)
    return {
        "environments": {
            str(n): replace(base, num_envs=n, rollout_steps=steps, layout="both" if n < OURS_ALONE else "ours")
            for n, steps in ENVIRONMENTS.items()
        },
        "instruction tokens": {str(n): replace(base, instruction_tokens=n) for n in (10, 30, 100, 200)},
        "episode steps": {f"{n // 2}-{n}": replace(long, episode_length=(n // 2, n)) for n in (8, 16, 32, 64, 128)},
        "parameters": {name: replace(base, llama=architecture(size)) for name, size in SIZES.items()},
    }


def measured(workload: Workload) -> dict[str, Any]:
    """Steps per core-second of both layouts, acting and learning."""
    rollout, update = bench_rollout(workload), bench_update(workload)
    row = {"workload": workload.as_json(), "parameters": update["backbone_parameters"]}
    for name in workload.layouts:
        row[name] = {
            "acting": rollout[name]["environment_steps_per_core_second"],
            "update": update[name]["used_steps_per_core_second"],
            "operations_per_step": (rollout[name]["operations"] + update[name]["operations"])
            / update[name]["environment_steps"],
            "peak_memory_mib": update[name]["peak_memory_mib"],
        }
    if "reference" in row:
        row["ratio"] = {"acting": rollout["ratio_core"], "update": update["ratio_core"]}
    row["tokens"] = {"acting": rollout["ours"]["tokens"], "update": update["ours"]["tokens"]}
    row["machine"] = update["machine"]
    return row


def as_key(workload: dict[str, Any]) -> str:
    """The same text for the same workload, from a file or not: what was measured once is not measured again."""
    return json.dumps(workload, sort_keys=True)


def cells(row: dict[str, Any]) -> list[str]:
    ours, memory = row["ours"], f"{row['ours']['peak_memory_mib']:,.0f}"
    rates = [f"{ours['acting']:,.0f}", f"{ours['update']:,.0f}"]
    if "reference" not in row:
        return [*rates, *["-"] * 4, memory]
    reference, ratio = row["reference"], row["ratio"]
    rates += [f"{reference['acting']:,.0f}", f"{reference['update']:,.0f}"]
    return [*rates, f"{ratio['acting']:.2f}", f"{ratio['update']:.2f}", memory]


def table(title: str, rows: list[tuple[str, list[str]]], header: tuple[str, ...] = HEADER) -> None:
    """One table in Markdown, on stdout."""
    print(f"\n| {title} | {' | '.join(header)} |\n|---|{'---:|' * len(header)}")
    for name, values in rows:
        print(f"| {name} | {' | '.join(values)} |")
    sys.stdout.flush()


def computed(base: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Larger models at the tokens per step that were counted at the base: operations, and what follows from them."""
    steps = base["workload"]["num_envs"] * base["workload"]["rollout_steps"]
    tokens = {
        kind: (base["tokens"]["acting"][kind] + base["tokens"]["update"][kind]) / steps
        for kind in ("with_gradient", "without_gradient")
    }
    rows = []
    for name, sizes in COMPUTED.items():
        weights = llama_linear_weights(**sizes)
        operations = 2 * weights * (tokens["without_gradient"] + 2 * tokens["with_gradient"])
        rows.append((name, [f"{weights / 1e9:.2f}", f"{operations / 1e9:,.0f}", f"{SUSTAINED / operations:,.0f}"]))
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--repeat", type=int, default=1)
    options.add_argument("--only", action="append", metavar="TABLE[:ROW]")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    told: dict[str, dict[str, Any]] = {}
    if given.json and given.json.exists():
        told = json.loads(given.json.read_text("utf-8"))
    known = {as_key(row["workload"]): row for rows in told.values() for row in rows.values()}
    for title, workloads in series(replace(BASE, threads=given.threads, repeat=given.repeat)).items():
        rows = {
            name: workload
            for name, workload in workloads.items()
            if given.only is None or title in given.only or f"{title}:{name}" in given.only
        }
        if not rows:
            continue
        kept = told.setdefault(title, {})
        for name, workload in rows.items():
            key = as_key(workload.as_json())
            if key not in known:
                with multiprocessing.get_context("spawn").Pool(1) as afresh:
                    known[key] = afresh.apply(measured, (workload,))
            kept[name] = known[key]
            if given.json:
                write_text(given.json, json.dumps(told, indent=1) + "\n")
        table(title, [(name, cells(kept[name])) for name in rows])
        if "26M" in rows:
            table("parameters, computed", computed(kept["26M"]), COMPUTED_HEADER)


if __name__ == "__main__":
    main()
