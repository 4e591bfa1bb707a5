"""More episodes of a split's kind, as a file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from llarp_cli.dataset.progress import counted
from llarp_cli.rearrangement.episode_files import write_episodes
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.splits import generate


def generate_file(
    world: World, split: str, out: str | os.PathLike[str], count: int, seed: int = 0, families: Sequence[str] = ()
) -> int:
    """Write episodes of a split's kind, none of them one of its fixed ones.

    Args:
        world: where they take place.
        split: its name.
        out: ends in .jsonl or .jsonl.gz; written complete or not at all.
        count: how many.
        seed: another seed gives others.
        families: of these, in turn; empty for all the split's.

    Returns:
        How many were written.

    Raises:
        UsageProblem: split, family or file name will not do.
    """
    return write_episodes(out, counted(generate(world, split, count, seed, families), count))
