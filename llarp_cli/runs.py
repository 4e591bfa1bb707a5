"""Run directories: what a training run leaves on disk, and finding a policy in it.

    runs/<recipe>-<policy>-<yyyymmdd-hhmmss>/
      recipe.yaml         fully resolved
      run.json            command, versions, hardware, seed, hashes, status
      metrics.jsonl       one object per update
      train.log, curves.png
      checkpoints/<steps>/        adapter.safetensors, config.json, recipe.yaml, trainer/
      checkpoints/last, best      links to two of them

Importing this needs no torch.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llarp_cli.config import BackboneOptions, Recipe
from llarp_cli.errors import UsageProblem
from llarp_cli.recipes import load_recipe, to_yaml

RUNS = Path("runs")
ADAPTER = "adapter.safetensors"


@dataclass(frozen=True)
class ZeroShot:
    """The policy `zero-shot`: a language model acts without training.

    Attributes:
        backbone: which.
    """

    backbone: BackboneOptions

    def __str__(self) -> str:
        weights = self.backbone.weights
        return f"zero-shot {self.backbone.name}" + (f" ({weights})" if weights else "")


Unlearned = Literal["planner", "searcher", "random"] | ZeroShot
"""Policies without trained parameters."""


class RunDirectory:
    """One run on disk.

    Attributes:
        path: of the directory.
    """

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(cls, path: Path, recipe: Recipe, facts: dict[str, Any]) -> RunDirectory:
        """Begin a run.

        Args:
            path: a directory that is empty or does not exist.
            facts: what `run.json` says of it.

        Raises:
            UsageProblem: the directory holds something, or cannot be written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            refuse_used(path)
            run = cls(path)
            run.checkpoints.mkdir()
            run.write_recipe(recipe)
            run.note(status="starting", **facts)
        except OSError as error:
            raise UsageProblem(
                f"cannot write run directory '{path}': {error.strerror}", "choose another --run-dir"
            ) from error
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """A run begun earlier.

        Raises:
            UsageProblem: there is none.
        """
        if not (path / "run.json").is_file() or not (path / "recipe.yaml").is_file():
            raise UsageProblem(f"'{path}' is not a run directory", "give a directory that `llarp train` made")
        return cls(path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def recipe(self) -> Recipe:
        """The run's recipe.

        Raises:
            UsageProblem: somebody has made it unreadable.
        """
        return load_recipe(str(self.path / "recipe.yaml"))[0]

    def write_recipe(self, recipe: Recipe) -> None:
        write_text(self.path / "recipe.yaml", to_yaml(recipe))

    def facts(self) -> dict[str, Any]:
        """What `run.json` says.

        Raises:
            UsageProblem: it is not JSON.
        """
        path = self.path / "run.json"
        try:
            return json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise UsageProblem(f"'{path}' is damaged: it is not JSON", "name another run") from error

    def note(self, **facts: Any) -> None:
        """Add to or change what `run.json` says."""
        path = self.path / "run.json"
        known = self.facts() if path.exists() else {}
        write_text(path, json.dumps({**known, **facts}, indent=2) + "\n")

    def append_metrics(self, line: dict[str, Any]) -> None:
        """One more update."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """All updates so far."""
        if not self.metrics.exists():
            return []
        return [json.loads(line) for line in self.metrics.read_text("utf-8").splitlines()]

    def cut_metrics(self, steps: int) -> None:
        """Forget the updates after a checkpoint; they are about to be made again."""
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_text("utf-8").splitlines(keepends=True):
            # A line cut short by a crash can only be the last, and is later than any checkpoint.
            if not line.endswith("\n") or json.loads(line)["steps"] > steps:
                break
            kept.append(line)
        write_text(self.metrics, "".join(kept))

    def numbered(self) -> list[int]:
        """The steps of all complete checkpoints, ascending."""
        if not self.checkpoints.is_dir():
            return []
        return sorted(int(p.name) for p in self.checkpoints.iterdir() if p.name.isdigit() and (p / ADAPTER).is_file())

    def checkpoint(self, steps: int) -> Path:
        return self.checkpoints / str(steps)

    def last(self) -> Path | None:
        """The newest complete checkpoint, if any."""
        numbered = self.numbered()
        return self.checkpoint(numbered[-1]) if numbered else None

    def staging(self, steps: int) -> Path:
        """Where a checkpoint is put together."""
        return self.checkpoints / f".{steps}.tmp"

    def open_staging(self, steps: int) -> None:
        """An empty directory for a new checkpoint; what an interrupted one left is removed."""
        for stale in self.checkpoints.glob(".*.tmp"):
            shutil.rmtree(stale)
        (self.staging(steps) / "trainer").mkdir(parents=True)

    def publish(self, steps: int, *, best: int, keep: int) -> None:
        """Make the staged checkpoint the last one, in one move, and let old ones go.

        Args:
            best: the checkpoint that `best` links to; it stays.
            keep: how many of the newest stay.
        """
        staged = self.staging(steps)
        for file in staged.rglob("*"):
            if file.is_file():
                _sync(file)
        _sync(staged)
        os.replace(staged, self.checkpoint(steps))
        _sync(self.checkpoints)
        self._link("last", steps)
        self._link("best", best)
        for old in self.numbered()[:-keep]:
            if old != best:
                shutil.rmtree(self.checkpoint(old))

    def _link(self, name: str, steps: int) -> None:
        """A relative link to a checkpoint, or a text file with its name where links are not possible."""
        temporary = self.checkpoints / f".{name}.link"
        temporary.unlink(missing_ok=True)
        try:
            temporary.symlink_to(str(steps), target_is_directory=True)
        except OSError:
            temporary.write_text(f"{steps}\n", encoding="utf-8")
        os.replace(temporary, self.checkpoints / name)


def refuse_used(path: Path) -> None:
    """Make sure that a new run may go into a directory.

    Raises:
        UsageProblem: it holds something, or is a file.
    """
    if path.is_file():
        raise UsageProblem(f"run directory '{path}' is a file", "choose another --run-dir")
    if path.is_dir() and any(path.iterdir()):
        resumable = (path / "run.json").is_file()
        raise UsageProblem(
            f"run directory '{path}' is not empty",
            f"go on with it: llarp train --resume {path}" if resumable else "choose another --run-dir",
        )


def new_run_path(recipe_name: str, policy_name: str) -> Path:
    """`runs/<recipe>-<policy>-<yyyymmdd-hhmmss>`."""
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in f"{recipe_name}-{policy_name}").strip("-.")
    return RUNS / f"{plain}-{time.strftime('%Y%m%d-%H%M%S')}"


def resolve_policy(text: str | None, backbone: str | None = None, weights: str | None = None) -> Path | Unlearned:
    """What a POLICY argument means: the directory with the adapter, or one that is not learned.

    Args:
        text: a run directory (its last checkpoint), a checkpoint, an export, "planner", "searcher", "random" or
            "zero-shot"; None is the newest run under `./runs` that has a checkpoint.
        backbone, weights: of "zero-shot", which has no recipe that names them.

    Raises:
        UsageProblem: there is no such policy.
    """
    if text == "zero-shot":
        if backbone is None:
            raise UsageProblem("zero-shot needs a language model", "--backbone NAME, hf:ORG/NAME or hf:PATH: a decoder")
        return ZeroShot(BackboneOptions(name=backbone, weights=weights))
    if backbone is not None or weights is not None:
        flag = "--weights" if backbone is None else "--backbone"
        raise UsageProblem(
            f"{flag} goes with the policy zero-shot; a trained one has its own", f"leave {flag} out, or name zero-shot"
        )
    if text is None:
        return _newest_checkpoint()
    if text in ("planner", "searcher", "random"):
        return text
    path = Path(text)
    if (path / ADAPTER).is_file():
        return path
    if path.is_file() and path.name in ("last", "best") and (path.parent / path.read_text("utf-8").strip()).is_dir():
        return path.parent / path.read_text("utf-8").strip()
    if (path / "run.json").is_file():
        last = RunDirectory(path).last()
        if last is None:
            raise UsageProblem(
                f"run '{path}' has no checkpoint yet", "wait for its first checkpoint, or name another run"
            )
        return last
    if not path.exists():
        raise UsageProblem(
            f"no policy at '{text}': there is no such directory",
            "give a run directory, a checkpoint or an export; or `planner`, `searcher`, `random` or `zero-shot`",
        )
    raise UsageProblem(
        f"'{text}' is no run directory, checkpoint or export: it holds no {ADAPTER}",
        "give a directory that `llarp train` or `llarp export` made; or `planner`, `searcher`, `random` or `zero-shot`",
    )


def _newest_checkpoint() -> Path:
    found = []
    for path in RUNS.glob("*/run.json"):
        run = RunDirectory(path.parent)
        last = run.last()
        if last is not None:
            found.append((run.facts().get("started", ""), str(path), last))
    if not found:
        raise UsageProblem(
            "there is no trained policy under ./runs yet",
            "train one: llarp train --backbone minilm --recipe quickstart; or name `planner`, `searcher` or `random`",
        )
    return max(found)[2]


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _sync(path: Path) -> None:
    """Wait until a file or directory is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
