"""Run directories: what a training run leaves on disk, and finding a policy in it.

    runs/<recipe>-<policy>-<yyyymmdd-hhmmss>/
      lock                held by the process that trains
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
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from llarp_cli.config import BackboneOptions, Recipe
from llarp_cli.errors import UsageProblem, quoted
from llarp_cli.files import (
    WINDOWS,
    Held,
    append_text,
    exists,
    holder,
    holding,
    is_file,
    remove,
    sweep,
    sync,
    sync_folder,
    write_text,
)
from llarp_cli.recipes import load_recipe, shortened, to_yaml

RUNS = Path("runs")
ADAPTER = "adapter.safetensors"
LOCK = "lock"
MAX_RECORD = 16 << 20
"""Bytes of `run.json`; a larger one is refused unread."""
MAX_PROCESSES = 1 << 16


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


Unlearned = Literal["planner", "searcher", "expert", "random"] | ZeroShot
"""Policies without trained parameters."""

_HALF_WRITTEN = re.compile(r"\.(\d+|\d+\.old|last|best)\.tmp")
"""Beside checkpoints: what one is, or a link is, while it comes or goes."""
LOOKS = 5
"""At a folder in which a run may be saving."""


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
        run = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            refuse_used(path)
            run.checkpoints.mkdir(exist_ok=True)
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
        if not is_file(path / "run.json") or not is_file(path / "recipe.yaml"):
            raise UsageProblem(
                f"'{shortened(path)}' is not a run directory", "give a directory that `llarp train` made"
            )
        return cls(path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only process that trains here, and clear away what a killed one left half done.

        Raises:
            UsageProblem: another process trains here, or nothing can be written here.
        """
        words = f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(holding(self.path / LOCK, words))
                self._clear()
            except Held as held:
                raise busy(self.path, held.holder) from None
            except OSError as error:
                raise UsageProblem(
                    f"cannot write run directory '{self.path}': {error.strerror}", "make it writable, or choose another"
                ) from error
            yield

    def holder(self) -> str | None:
        """Which process trains here; None if none does."""
        return holder(self.path / LOCK)

    def _clear(self) -> None:
        """Remove half-written files and checkpoints, and let `last` name the newest whole one."""
        sweep(self.path)
        if self.checkpoints.is_symlink():
            raise UsageProblem(f"'{self.checkpoints}' is a link", "put the folder that it leads to in its place")
        if not self.checkpoints.is_dir():
            return
        self._remove_half_written()
        last = self.last()
        if last is not None:
            self._link("last", int(last.name))

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
            with path.open("rb") as file:
                facts = json.loads(file.read(MAX_RECORD)[: MAX_RECORD - 1])
        except (OSError, ValueError, RecursionError) as error:
            raise UsageProblem(f"'{path}' is damaged: it is not JSON", "name another run") from error
        parts = ("versions", "world", "benchmark", "backbone", "vision")
        if not isinstance(facts, dict) or not all(isinstance(facts.get(part, {}), dict) for part in parts):
            raise UsageProblem(f"'{path}' is damaged: it is no run's", "name another run")
        return facts

    def num_processes(self) -> int:
        """How many processes the run was begun with.

        Raises:
            UsageProblem: `run.json` does not say.
        """
        number = self.facts().get("num_processes")
        if type(number) is not int or not 1 <= number <= MAX_PROCESSES:
            raise UsageProblem(f"'{self.path / 'run.json'}' is damaged: it names no num_processes", "name another run")
        return number

    def note(self, **facts: Any) -> None:
        """Add to or change what `run.json` says."""
        path = self.path / "run.json"
        known = self.facts() if path.exists() else {}
        write_text(path, json.dumps({**known, **facts}, indent=2) + "\n")

    def append_metrics(self, line: dict[str, Any]) -> None:
        """One more update."""
        append_text(self.metrics, json.dumps(line) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """All updates so far.

        Raises:
            UsageProblem: the file is damaged.
        """
        if not self.metrics.exists():
            return []
        lines = []
        try:
            text = self.metrics.read_text("utf-8", "replace")
        except OSError as error:
            raise UsageProblem(f"cannot read '{self.metrics}': {error.strerror}", "name another run") from error
        for number, line in enumerate(text.splitlines(keepends=True), 1):
            if not line.endswith("\n"):
                break  # being written, or cut short by a crash
            try:
                lines.append(json.loads(line))
                if type(lines[-1]["steps"]) is not int:
                    raise ValueError
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise UsageProblem(
                    f"'{self.metrics}' is damaged: line {number} is no update's", "remove the lines from there on"
                ) from error
        return lines

    def cut_metrics(self, steps: int) -> None:
        """Forget the updates after a checkpoint; they are about to be made again.

        Raises:
            UsageProblem: the file is damaged.
        """
        if self.metrics.exists():
            kept = [json.dumps(line) + "\n" for line in self.read_metrics() if line["steps"] <= steps]
            write_text(self.metrics, "".join(kept))

    def numbered(self) -> list[int]:
        """The steps of all complete checkpoints, ascending."""
        try:
            if not self.checkpoints.is_dir():
                return []
            folders = [p for p in self.checkpoints.iterdir() if p.name.isdecimal() and not p.is_symlink()]
            return sorted(int(p.name) for p in folders if p.name.isascii() and (p / ADAPTER).is_file())
        except PermissionError as error:
            raise UsageProblem(f"cannot read '{self.checkpoints}': {error.strerror}", "name another run") from error

    def checkpoint(self, steps: int) -> Path:
        return self.checkpoints / str(steps)

    def last(self) -> Path | None:
        """The newest complete checkpoint, if any."""
        # A look may miss the one that has just come and meet the one before when it has gone: look again.
        numbered = next(filter(None, (self.numbered() for _ in range(LOOKS))), None)
        return self.checkpoint(numbered[-1]) if numbered else None

    def staging(self, steps: int) -> Path:
        """Where a checkpoint is put together."""
        return self.checkpoints / f".{steps}.tmp"

    def open_staging(self, steps: int) -> None:
        """An empty directory for a new checkpoint; what an interrupted one left is removed."""
        self._remove_half_written()
        (self.staging(steps) / "trainer").mkdir(parents=True)

    def publish(self, steps: int, *, best: int, keep: int) -> None:
        """Make the staged checkpoint the last one, in one move, and let old ones go once it is on the disk.

        Args:
            best: the checkpoint that `best` links to; it stays.
            keep: how many of the newest stay.

        Raises:
            OSError: the disk is full or gone; the checkpoints from before are as they were.
        """
        staged, checkpoint = self.staging(steps), self.checkpoint(steps)
        sync_folder(staged)
        if self.metrics.exists():
            sync(self.metrics)
        if checkpoint.exists() or checkpoint.is_symlink():
            self._discard(checkpoint)
        os.replace(staged, checkpoint)
        sync(self.checkpoints)
        self._link("last", steps)
        self._link("best", best)
        sync(self.checkpoints)
        for old in self.numbered()[:-keep]:
            if old != best:
                self._discard(self.checkpoint(old))

    def _remove_half_written(self) -> None:
        for one in list(self.checkpoints.iterdir()):
            if _HALF_WRITTEN.fullmatch(one.name):
                remove(one)

    def _discard(self, checkpoint: Path) -> None:
        """Remove a checkpoint; it is gone at once, whatever happens to its files after that."""
        hidden = checkpoint.with_name(f".{checkpoint.name}.old.tmp")
        os.replace(checkpoint, hidden)
        remove(hidden)

    def _link(self, name: str, steps: int) -> None:
        """A relative link to a checkpoint, or a text file with its name where links are not possible or, as on Windows,
        not replaced in one move."""
        temporary = self.checkpoints / f".{name}.tmp"
        remove(temporary)
        try:
            if WINDOWS:
                raise OSError("links to folders cannot be replaced")
            temporary.symlink_to(str(steps), target_is_directory=True)
        except OSError:
            temporary.write_text(f"{steps}\n", encoding="utf-8")
        os.replace(temporary, self.checkpoints / name)


def refuse_used(path: Path) -> None:
    """Make sure that a new run may go into a directory.

    Raises:
        UsageProblem: it holds something, another process is about to train there, or it is a file.
    """
    if path.is_file():
        raise UsageProblem(f"run directory '{path}' is a file", "choose another --run-dir")
    if (path.is_dir() and not only_begun(path)) or RunDirectory(path).numbered():
        living = holder(path / LOCK)
        if living is not None:
            raise busy(path, living)
        resumable = (path / "run.json").is_file()
        raise UsageProblem(
            f"run directory '{path}' is not empty",
            f"go on with it: llarp train --resume {quoted(path)}" if resumable else "choose another --run-dir",
        )


def only_begun(path: Path) -> bool:
    """Whether a directory holds nothing but what a run leaves there that was killed before its `run.json` was made."""
    names = {one.name for one in path.iterdir() if not one.name.endswith(".tmp")}
    return not names or (LOCK in names and names <= {LOCK, "recipe.yaml", "checkpoints"})


def busy(path: Path, holder: str) -> UsageProblem:
    """The problem of a run in which another process trains."""
    return UsageProblem(
        f"{holder}, trains in '{path}'", "wait until it ends, or stop it; two at once would spoil each other's files"
    )


def new_run_path(recipe_name: str, policy_name: str) -> Path:
    """A new directory `runs/<recipe>-<policy>-<yyyymmdd-hhmmss>`; with "-2" and so on, where that is there already.

    Raises:
        UsageProblem: nothing can be written there.
    """
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in f"{recipe_name}-{policy_name}").strip("-.")
    name = f"{plain[:100]}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, number = RUNS / name, 1
    while True:
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
            path = RUNS / f"{name}-{number}"
        except OSError as error:
            raise UsageProblem(f"cannot write in '{RUNS}': {error.strerror}", "choose a --run-dir") from error


def resolve_policy(text: str | None, backbone: str | None = None, weights: str | None = None) -> Path | Unlearned:
    """What a POLICY argument means: the directory with the adapter, or one that is not learned.

    Args:
        text: a run directory (its last checkpoint), a checkpoint, an export, `hf:ORG/NAME`, "planner", "searcher",
            "expert", "random" or "zero-shot"; None is the newest run under `./runs` that has a checkpoint.
        backbone, weights: of "zero-shot", which has no recipe that names them.

    Raises:
        UsageProblem: there is no such policy.
        LlarpError: the hub, where it is to be, cannot be reached.
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
    if text in ("planner", "searcher", "expert", "random"):
        return cast(Unlearned, text)
    if text.startswith("hf:"):
        from llarp_cli.sharing import fetch_policy

        return fetch_policy(text)
    path = Path(text)
    if is_file(path / ADAPTER):
        return path
    if is_file(path) and path.name in ("last", "best"):
        with path.open("rb") as file:
            named = file.read(32).strip()
        if named.isdigit() and path.with_name(named.decode()).is_dir():
            return path.with_name(named.decode())
    if is_file(path / "run.json"):
        last = RunDirectory(path).last()
        if last is None:
            raise UsageProblem(
                f"run '{path}' has no checkpoint yet", "wait for its first checkpoint, or name another run"
            )
        return last
    if not exists(path):
        raise UsageProblem(
            f"no policy at '{shortened(text)}': there is no such directory",
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
        with suppress(UsageProblem):  # a damaged one is not in the way of the others
            last = run.last()
            if last is not None:
                found.append((str(run.facts().get("started", "")), str(path), last))
    if not found:
        raise UsageProblem(
            "there is no trained policy under ./runs yet",
            "train one: llarp train --backbone minilm --recipe quickstart; or name `planner`, `searcher` or `random`",
        )
    return max(found)[2]
