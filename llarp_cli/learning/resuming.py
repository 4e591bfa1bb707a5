"""Going on with another number of processes than a checkpoint was written by.

What processes share is carried over: weights, optimizer, counters, the order of minibatches. Their episodes under way
are not: each process begins new ones, where the list of training episodes stands.
"""

from __future__ import annotations

from pathlib import Path

from llarp_cli.learning.checkpoint import load_counters, load_tensors, reading


def processes_of(checkpoint: Path) -> int:
    """How many processes wrote a checkpoint.

    Raises:
        UsageProblem: it is damaged.
    """
    with reading(checkpoint / "trainer" / "counters.json") as path:
        return int(load_counters(path).get("processes", 1))


def next_episode(checkpoint: Path) -> int:
    """The index of the first training episode after all that any process has begun.

    Raises:
        UsageProblem: the checkpoint is damaged.
    """
    positions = []
    for process in range(processes_of(checkpoint)):
        with reading(checkpoint / "trainer" / f"process-{process}.pt") as path:
            groups = load_tensors(path)["collector"]["groups"]
            positions += [int(group["environment"]["position"]) for group in groups]
    return max(positions)
