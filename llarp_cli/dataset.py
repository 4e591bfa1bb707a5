"""What `llarp dataset` does: write episodes of a split's kind, and the fixed episodes that ship."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from llarp_cli.rearrangement.episode_files import line, write_episodes
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.splits import SPLITS, fingerprint, fixed_episodes, fixed_tasks, generate

SHIPPED = Path(__file__).parent / "rearrangement" / "data"
HASHES = "hashes.json"


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
    return write_episodes(out, generate(world, split, count, seed, families))


def ship(world: World, directory: Path = SHIPPED) -> dict[str, dict[str, str]]:
    """Write the fixed episodes of every split for one world, and the hashes by which a change is noticed.

    Maintainers run it after a change to scenes, sizes, sentences or tasks:
    `python -c "from llarp_cli.dataset import ship; from llarp_cli.home import world; ship(world)"`.

    Args:
        world: they go to a directory of its name.
        directory: which holds one directory per world.

    Returns:
        Split → {"tasks": SHA-256 of the tasks, "episodes": SHA-256 of the file's text}.
    """
    folder = directory / world.name
    folder.mkdir(parents=True, exist_ok=True)
    hashes: dict[str, dict[str, str]] = {}
    for split in SPLITS:
        episodes = fixed_episodes(world, split)
        write_episodes(folder / f"{split}.jsonl.gz", episodes)
        text = "".join(line(episode) + "\n" for episode in episodes)
        hashes[split] = {
            "tasks": fingerprint(fixed_tasks(split)),
            "episodes": hashlib.sha256(text.encode()).hexdigest(),
        }
    (folder / HASHES).write_text(json.dumps(hashes, indent=2) + "\n")
    return hashes
