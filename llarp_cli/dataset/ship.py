"""The fixed episodes that come with the package, and the hashes by which a change to them is noticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from llarp_cli.files import write_text
from llarp_cli.rearrangement.episode_files import line, write_episodes
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.splits import SPLITS, fingerprint, fixed_episodes, fixed_tasks

SHIPPED = Path(__file__).parents[1] / "rearrangement" / "data"
HASHES = "hashes.json"


def ship(world: World, directory: Path = SHIPPED) -> dict[str, dict[str, str]]:
    """Write the fixed episodes of every split for one world, and their hashes.

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
    write_text(folder / HASHES, json.dumps(hashes, indent=2) + "\n")
    return hashes
