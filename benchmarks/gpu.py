"""One command that measures everything a GPU is for, and keeps one record of it.

    python benchmarks/gpu.py --out DIR            all rows, about a quarter of an hour on an H100
    python benchmarks/gpu.py --out DIR --seconds 540      as many as fit; the same command goes on with the rest
    python benchmarks/gpu.py --out DIR --only train-llama-7b --only update-llama-7b
    python benchmarks/gpu.py --out DIR --dry-run  every row in miniature on a processor, under two minutes

Each row is one `llarp bench` command in a process of its own. DIR/record.json holds what each has told, and
DIR/record.md shows it as tables. Rows that were measured are skipped; ones that failed are recorded with the reason,
the others go on, and the next run tries them again. Weights are random everywhere, so that nothing is downloaded.
See gpu.md for machines without a network.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SEVEN = "--backbone llama-7b --weights random --prefix-cache-mb 16384"  # 15 MiB an instruction
THIRTEEN = "--backbone llama-13b --weights random --prefix-cache-mb 16384"
SEES = "--vision vit-b --vision-weights random"
MINILM = "--backbone minilm --weights random"

GIGABYTES_10 = 10e9 / 2**20


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: of the row.
        command: what follows `llarp bench`.
        goals: figure of our layout, or "ratio" → at least or at most so much.
        seconds: it may take.
    """

    name: str
    command: tuple[str, ...]
    goals: dict[str, tuple[str, float]] = field(default_factory=dict)
    seconds: int = 300


def row(name: str, command: str, seconds: int = 300, **goals: tuple[str, float]) -> Row:
    return Row(name, tuple(command.split()), goals, seconds)


ROWS = (
    row(
        "train-llama-7b",
        f"train {SEVEN} {SEES} --num-envs 256 --repeat 3",
        environment_steps_per_second=("at least", 3000),
    ),
    row("train-llama-7b-reference", f"train {SEVEN} {SEES} --num-envs 256 --repeat 1 --layout reference"),
    row(
        "train-minilm",
        f"train {MINILM} --num-envs 512 --repeat 5",
        environment_steps_per_second=("at least", 15000),
    ),
    row("train-minilm-synthetic", f"train {MINILM} --environment synthetic --num-envs 512 --repeat 5"),
    row("train-minilm-reference", f"train {MINILM} --num-envs 512 --repeat 1 --layout reference"),
    row(
        "train-llama-7b-4bit",
        f"train --backbone llama-7b-4bit --weights random --prefix-cache-mb 1024 {SEES} --num-envs 32 --repeat 2",
        peak_memory_mib=("at most", GIGABYTES_10),
    ),
    row("update-llama-7b", f"update {SEVEN} --num-envs 128 --repeat 3 --layout both", ratio=("at least", 3)),
    row("rollout-llama-7b", f"rollout {SEVEN} --num-envs 128 --repeat 3 --layout both --recompute"),
    row("train-llama-13b", f"train {THIRTEEN} {SEES} --num-envs 128 --repeat 2", 400),
    row("train-llama-7b-512", f"train {SEVEN} {SEES} --num-envs 512 --repeat 3"),
    row("update-minilm", f"update {MINILM} --num-envs 512 --repeat 5 --layout both"),
    row("rollout-minilm", f"rollout {MINILM} --num-envs 512 --repeat 5 --layout both"),
)

LARGE_IN_SMALL = {"llama-7b": "hidden=64,layers=3,heads=4", "llama-13b": "hidden=96,layers=4,heads=4"}
DRY = {"--num-envs": "2", "--rollout-steps": "4", "--repeat": "1", "--threads": "1", "--instruction-tokens": "8"}


def in_small(command: Sequence[str], vision: Path) -> list[str]:
    """The same command in miniature, on a processor."""
    given = list(command)
    at = given.index("--backbone")
    backbone = given[at + 1]
    if backbone in LARGE_IN_SMALL:
        given[at : at + 4] = ["--llama", LARGE_IN_SMALL[backbone] + ",vocabulary=200", "--dtype", "bfloat16"]
    elif backbone.endswith("-4bit"):
        given[at + 1] = "tiny-llama-4bit"
    if "--vision" in given:
        given[given.index("--vision") + 1] = f"hf:{vision}"
    for option, value in DRY.items():
        if option in given:
            given[given.index(option) + 1] = value
        else:
            given += [option, value]
    return given


def small_vision(folder: Path) -> Path:
    """The config of a tiny vision transformer."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "vit", "image_size": 224, "patch_size": 16, **sizes}))
    return folder


def measure(one: Row, command: Sequence[str], seconds: float) -> dict[str, Any]:
    """Run one row; what it told, or why it failed."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        typed = ["llarp", "bench", *command]
        entry = {"command": shlex.join(typed), "date": time.strftime("%Y-%m-%d %H:%M")}
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "llarp_cli", *typed[1:], "--json", str(told)],
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {**entry, "status": "failed", "reason": f"not done after {seconds:.0f} seconds"}
        entry["took_seconds"] = round(time.monotonic() - begun, 1)
        if ended.returncode or not told.exists():
            lines = [line for line in ended.stderr.strip().splitlines() if line.strip()]
            said = [line for line in lines if line.startswith("error: ")] or lines[-1:] or ["nothing was said"]
            return {**entry, "status": "failed", "reason": f"exit status {ended.returncode}: {said[-1]}"}
        figures = json.loads(told.read_text("utf-8"))
    return {**entry, "status": "measured", "told": figures, "goals": judged(one, figures)}


def judged(one: Row, told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each goal with what came of it."""
    results = {}
    for name, (how, goal) in one.goals.items():
        value = told[name] if name in told else told["ours"][name]
        met = value >= goal if how == "at least" else value <= goal
        results[name] = {"goal": f"{how} {goal:,.0f}", "value": value, "met": met}
    return results


def save(record: dict[str, Any], out: Path) -> None:
    """Both files, each put in place when complete."""
    for name, text in (("record.json", json.dumps(record, indent=1) + "\n"), ("record.md", as_markdown(record))):
        part = out / f".{name}.part"
        part.write_text(text, "utf-8")
        part.replace(out / name)


COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("steps/s", "environment_steps_per_second", "{:,.0f}"),
    ("learned from/s", "used_steps_per_second", "{:,.0f}"),
    ("seconds", "seconds", "{:.3f}"),
    ("utilisation", "utilisation", "{:.1%}"),
    ("peak MiB", "peak_memory_mib", "{:,.0f}"),
    ("checkpoint MiB", "checkpoint_mib", "{:,.1f}"),
)
MEMORY = ("micro_batches", "recomputed_layers")
LAYOUTS = ("ours", "reference", "recompute")


def as_markdown(record: dict[str, Any]) -> str:
    """Tables of rates, of shares of time, of goals, of failures, and where they were measured."""
    rows = record["rows"]
    measured = {name: entry["told"] for name, entry in rows.items() if entry["status"] == "measured"}
    dry = " (dry run: miniature models on a processor; the figures mean nothing)" if record["dry_run"] else ""
    lines = [f"# GPU measurements{dry}", "", f"`{record['command']}`", ""]
    for where in {json.dumps(told["machine"] | {"load": None}): told["machine"] for told in measured.values()}.values():
        versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
        lines += [
            f"{where['date']}: {where['device']}; {where['processor']}, {where['cores']} cores, "
            f"{where['memory_gib']} GiB; {where['system']}; {versions}",
            "",
        ]
    table = [(name, layout, told[layout]) for name, told in measured.items() for layout in LAYOUTS if layout in told]
    lines += _table(
        (
            "row",
            "layout",
            "parameters",
            "type",
            "micro-batches",
            "layers recomputed",
            *(title for title, _, _ in COLUMNS),
        ),
        [
            (
                name,
                layout,
                f"{measured[name]['backbone_parameters'] / 1e6:,.0f}M",
                measured[name]["dtype"],
                *(str(measured[name].get(key, "")) if layout == "ours" else "" for key in MEMORY),
                *(form.format(figures[key]) if key in figures else "" for _, key, form in COLUMNS),
            )
            for name, layout, figures in table
        ],
    )
    parts = list(table[0][2]["share"]) if table else []
    lines += ["", "Share of time", ""]
    lines += _table(
        ("row", "layout", *parts),
        [(name, layout, *(f"{figures['share'][p]:.1%}" for p in parts)) for name, layout, figures in table],
    )
    lines += ["", "Time per step learned from, the reference layout's by ours", ""]
    lines += _table(("row", "ratio"), [(name, f"{ratio:.2f}") for name, ratio in ratios(measured).items()])
    goals = [(name, of, result) for name, entry in rows.items() for of, result in entry.get("goals", {}).items()]
    lines += ["", "Goals", ""]
    lines += _table(
        ("row", "figure", "goal", "measured", "met"),
        [(name, of, r["goal"], f"{r['value']:,.1f}", "yes" if r["met"] else "no") for name, of, r in goals],
    )
    lines += ["", "Commands", ""]
    lines += [
        f"- `{entry['command']}` ({entry['date']}): "
        + (f"{entry['took_seconds']:.0f} s" if entry["status"] == "measured" else f"FAILED, {entry['reason']}")
        for entry in rows.values()
    ]
    return "\n".join(lines) + "\n"


def ratios(measured: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Of rows with both layouts, and of rows whose reference is a row of its own."""
    found = {name: told["ratio"] for name, told in measured.items() if "ratio" in told}
    for name, told in measured.items():
        if (other := measured.get(f"{name}-reference")) is not None and "ours" in told:
            per_second = "used_steps_per_second"
            found[name] = told["ours"][per_second] / other["reference"][per_second]
    return found


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["none"]
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]


def campaign(
    rows: Sequence[Row], out: Path, *, dry: bool, seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure what is not in the record yet, until time is up; the record."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "record.json"
    record: dict[str, Any] = {"rows": {}}
    if file.exists():
        record = json.loads(file.read_text("utf-8"))
        if record["dry_run"] != dry:
            raise SystemExit(f"error: {file} is {'not ' * dry}of a dry run\nhint: choose another --out")
    record |= {"command": shlex.join(["python", *sys.argv]), "dry_run": dry}
    ends = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        vision = small_vision(Path(folder) / "vit") if dry else None
        for one in rows:
            if record["rows"].get(one.name, {}).get("status") == "measured":
                say(f"{one.name}: measured before")
                continue
            left = ends - time.monotonic()
            if left < (0 if dry else 60):
                say(f"{one.name}: no time left; the same command goes on here")
                continue
            command = in_small(one.command, vision) if vision else one.command
            entry = record["rows"][one.name] = measure(one, command, min(one.seconds, left))
            say(f"{one.name}: " + (entry["reason"] if entry["status"] == "failed" else _short(entry["told"])))
            save(record, out)
    return record


def _short(told: dict[str, Any]) -> str:
    shown = [(name, told[name]) for name in LAYOUTS if name in told]
    rates = [f"{name} {f['environment_steps_per_second']:,.0f}/s, {f['peak_memory_mib']:,.0f} MiB" for name, f in shown]
    return "; ".join(rates)


def main() -> None:
    names = [one.name for one in ROWS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the record is or goes")
    parser.add_argument("--only", action="append", choices=names, metavar="ROW", help=f"one of {', '.join(names)}")
    parser.add_argument("--seconds", type=float, default=7200, help="begin no row after so long  [default: 7200]")
    parser.add_argument("--dry-run", action="store_true", help="every row in miniature, on a processor")
    options = parser.parse_args()
    if options.dry_run:
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    chosen = [one for one in ROWS if not options.only or one.name in options.only]
    record = campaign(
        chosen,
        options.out,
        dry=options.dry_run,
        seconds=options.seconds,
        say=lambda line: print(time.strftime("%H:%M:%S"), line, flush=True),
    )
    print(f"\n{options.out / 'record.md'}")
    sys.exit(any(record["rows"].get(one.name, {}).get("status") != "measured" for one in chosen))


if __name__ == "__main__":
    main()
