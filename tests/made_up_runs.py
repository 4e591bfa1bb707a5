"""Run directories written by hand, with learning curves and evaluations as wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from llarp_cli.evaluation.records import BENCHMARK, Outcome, Record, keep
from llarp_cli.recipes import load_recipe
from llarp_cli.runs import RunDirectory

UPDATE = 1000
"""Steps of an update."""


def weights_of(folder: Path, steps: int) -> str:
    return f"{folder.name}@{steps}"


def make_run(
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    seed: int = 0,
    curve: Sequence[float] = (),
    imitation: int = 0,
    episodes: int = 500,
    checkpoints: Sequence[int] = (),
    facts: Mapping[str, object] | None = None,
) -> Path:
    """A run whose k-th update had `curve[k]` success in `episodes` episodes; the first `imitation` updates imitate."""
    recipe, _ = load_recipe("quickstart", overrides, {"seed": ("--seed", seed)})
    run = RunDirectory.create(folder, recipe, dict(facts or {}))
    for i, success in enumerate(curve):
        run.append_metrics(
            {
                "steps": (i + 1) * UPDATE,
                "stage": "imitation" if i < imitation else "ppo",
                "episodes": episodes,
                "success": success,
                "steps_per_second": 100.0,
                "seconds": {"update": 10.0},
            }
        )
    for steps in checkpoints:
        path = run.checkpoint(steps)
        path.mkdir()
        (path / "adapter.safetensors").write_bytes(b"")
        (path / "config.json").write_text(json.dumps({"adapter_sha256": weights_of(folder, steps)}))
    return folder


def outcomes(split: str, successes: Sequence[int | bool]) -> tuple[Outcome, ...]:
    return tuple(
        Outcome(f"{split}-{i:04d}", split, "move", bool(success), 1.0, 5, 0) for i, success in enumerate(successes)
    )


def record(
    split: str,
    successes: Sequence[int | bool],
    *,
    steps: int | None = None,
    weights: str | None = None,
    seed: int = 0,
    deterministic: bool = False,
    version: str = "2",
    sha: str = "",
    source: str = BENCHMARK,
    policy: str = "llarp",
    world: str = "home",
) -> Record:
    return Record(
        policy=policy,
        steps=steps,
        adapter_sha256=weights,
        world=world,
        version=version,
        split=split,
        source=source,
        episodes_sha256=sha or f"{split:_<64}",
        seed=seed,
        deterministic=deterministic,
        outcomes=outcomes(split, successes),
    )


def tried(folder: Path, steps: int, split: str, successes: Sequence[int | bool], **others: object) -> None:
    """The run's checkpoint has been evaluated in a split."""
    keep(folder, record(split, successes, steps=steps, weights=weights_of(folder, steps), **others))


def some(successes: int, episodes: int = 100) -> list[bool]:
    """So many successes, spread evenly."""
    return [(i + 1) * successes // episodes > i * successes // episodes for i in range(episodes)]
