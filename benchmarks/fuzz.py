"""Broken and hostile input by the ten thousand (`tests/fuzzing.py` says of what kinds).

    python benchmarks/fuzz.py --inputs 10000 --seed 0 --record benchmarks/records/fuzz.jsonl

Prints a table of exit statuses and every input that went wrong; its own exit status is 1 if any did. Every two hundred
inputs get a line in the record; started again, it goes on where the record ends.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

AT_ONCE = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, required=True, help="JSON lines; is gone on with")
    options = parser.parse_args()

    from doubles import install_doubles
    from fuzzing import Fuzzer
    from test_fuzz import made

    lines = [json.loads(line) for line in options.record.read_text().splitlines()] if options.record.exists() else []
    with tempfile.TemporaryDirectory(prefix="llarp-fuzz-") as temporary:
        folder = Path(temporary)
        os.chdir(folder)
        install_doubles(folder / "site")
        sys.path.insert(0, str(folder / "site"))
        run = made(folder)
        (folder / "work").mkdir()
        fuzzer = Fuzzer(folder / "work", folder / "policy", run)
        done = sum(line["inputs"] for line in lines)
        while done < options.inputs:
            count = min(AT_ONCE, options.inputs - done)
            fuzzer.counts, fuzzer.failures, fuzzer.slowest, begun = {}, [], (0.0, 0, ""), time.process_time()
            fuzzer.fuzz(count, options.seed, done)
            done += count
            line = {"inputs": count, "cpu_seconds": round(time.process_time() - begun, 1)}
            lines.append({**line, "slowest": fuzzer.slowest, "counts": fuzzer.counts, "failures": fuzzer.failures})
            with options.record.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
            print(f"{done:,} inputs, {len(fuzzer.failures)} of the last {count} wrong", file=sys.stderr, flush=True)
    print(report(lines))
    sys.exit(any(line["failures"] for line in lines))


def report(lines: list[dict]) -> str:
    """What a record says, as Markdown."""
    rows = ["| input | tried | exit statuses | wrong |", "|---|---|---|---|"]
    for kind in sorted({kind for line in lines for kind in line["counts"]}):
        codes: dict[str, int] = {}
        for line in lines:
            for code, count in line["counts"].get(kind, {}).items():
                codes[code] = codes.get(code, 0) + count
        wrong = sum(failure["kind"] == kind for line in lines for failure in line["failures"])
        told = ", ".join(f"{code}: {count:,}" for code, count in sorted(codes.items()))
        rows.append(f"| {kind} | {sum(codes.values()):,} | {told} | {wrong} |")
    total, wrong = sum(line["inputs"] for line in lines), sum(len(line["failures"]) for line in lines)
    return "\n".join([*rows, f"| all | {total:,} | | {wrong} |"])


if __name__ == "__main__":
    main()
