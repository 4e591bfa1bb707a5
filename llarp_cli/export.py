"""A trained policy outside training: used from Python, or written out as a small folder with a model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llarp_cli import runs
from llarp_cli.config import Recipe
from llarp_cli.errors import UsageProblem, quoted
from llarp_cli.evaluation.records import BENCHMARK, Record, kept, records_in
from llarp_cli.evaluation.results import Results
from llarp_cli.files import replacing_folder
from llarp_cli.model_card import model_card, read_results
from llarp_cli.policy.contract import Decision, Policy
from llarp_cli.policy.files import ADAPTER, PolicyConfig, check_policy, open_policy, read_files

MAX_BESIDE = 64 << 20
"""Bytes of a picture or film in an export."""


class AgentPolicy:
    """A policy that acts in one episode at a time and remembers it.

    Attributes:
        skills: what each action does, e.g. "pick up the apple".
        image_size: side of the pictures it wants, pixels.
        recipe: what it was trained with.
    """

    def __init__(self, policy: Policy, recipe: Recipe):
        self.skills: tuple[str, ...] = policy.repertoire.skills
        self.image_size = policy.image_size
        self.recipe = recipe
        self._policy = policy
        self._state = policy.initial_state(1)
        self.reset()

    def reset(self) -> None:
        """Start a new episode with the next `act`."""
        self._instruction: str | None = None
        self._previous = -1
        self._steps = 0

    def act(
        self,
        rgb: NDArray[np.uint8],
        instruction: str,
        *,
        deterministic: bool = True,
        generator: torch.Generator | None = None,
    ) -> int:
        """Choose the next skill of the episode. A new instruction starts a new one.

        Args:
            rgb: what the robot sees, uint8 [image_size, image_size, 3].
            instruction: what is to be done.
            deterministic: take the likeliest skill; otherwise draw one, as in training.
            generator: of the draw.

        Returns:
            Index into `skills`.

        Raises:
            UsageProblem: the picture has another form, or the episode's steps are over (32 in a home).
        """
        return int(self._step(rgb, instruction, deterministic, generator).actions[0])

    def act_logits(self, rgb: NDArray[np.uint8], instruction: str) -> NDArray[np.float32]:
        """Take the same step as `act` does, and return its logits, float32, one a skill, in place of the skill."""
        return self._step(rgb, instruction, True, None).logits[0].cpu().numpy()

    def _step(
        self, rgb: NDArray[np.uint8], instruction: str, deterministic: bool, generator: torch.Generator | None
    ) -> Decision:
        wanted = (self.image_size, self.image_size, 3)
        if rgb.shape != wanted or rgb.dtype != np.uint8:
            raise UsageProblem(
                f"a picture is {rgb.dtype} {list(rgb.shape)}; this policy wants uint8 {list(wanted)}",
                f"render at {self.image_size} pixels: resized pictures are not what it was trained on",
            )
        if instruction != self._instruction:
            self.reset()
        most = self._policy.repertoire.steps
        if self._steps == most:
            raise UsageProblem(f"the episode is over: it has {most} steps", "agent.reset() starts a new one")
        decision = self._policy.act(
            self._policy.perceive(rgb[None]),
            [instruction],
            self._state,
            np.array([self._steps == 0]),
            np.array([self._previous]),
            deterministic=deterministic,
            generator=generator,
        )
        self._instruction = instruction
        self._previous = int(decision.actions[0])
        self._steps += 1
        return decision


def load_policy(path: str | Path, device: Any = None, *, weights: str | None = None) -> AgentPolicy:
    """Load a trained policy, to use it from Python.

    Args:
        path: an export, a checkpoint, a run directory (its last checkpoint), or `hf:ORG/NAME[@REVISION]` on the hub.
        device: torch device; None takes the GPU where there is one.
        weights: hub id or path of the language model's weights in place of the recipe's.

    Raises:
        UsageProblem: there is no policy, or its files or frozen parts are not what they should be.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return AgentPolicy(*open_policy(policy_directory(path), device, weights))


def policy_directory(source: str | Path | None) -> Path:
    """The directory with a policy's files.

    Args:
        source: a run directory, a checkpoint or an export, as `runs.resolve_policy` reads it; None is the
            newest run under `./runs`.

    Raises:
        UsageProblem: there is none.
    """
    directory = runs.resolve_policy(None if source is None else str(source))
    if not isinstance(directory, Path):
        raise UsageProblem(f"'{directory}' is not a trained policy", "give a run directory, a checkpoint or an export")
    return directory


def run_of(directory: Path) -> Path | None:
    """The run that a checkpoint belongs to; None for an export."""
    return directory.parent.parent if directory.parent.name == "checkpoints" else None


def ready_export(source: str | Path | None) -> Path | None:
    """The export that a source is already, checked; None where it is something else.

    Raises:
        UsageProblem: no policy at `source`, or one that is damaged.
    """
    directory = policy_directory(source)
    if run_of(directory) is not None or not (directory / "README.md").is_file():
        return None
    check_policy(directory, read_files(directory))
    return directory


def export_policy(
    source: str | Path | None, out: Path | None = None, results: Path | None = None, film: Path | None = None
) -> Path:
    """Write a policy and its model card into a new directory, all or nothing, with the run's learning curves.

    Args:
        source: a run directory, a checkpoint or an export; None is the newest run under `./runs`.
        out: the directory to make; it may exist if it is empty. None makes `export` in the run.
        results: a file that `llarp eval --json` wrote; None takes the newest `eval*.json` in the run that is of
            this checkpoint, or what `llarp eval` kept in the run, if anything.
        film: an .mp4 file for the card; None takes the newest in the run that is no older than the checkpoint.

    Returns:
        The new directory.

    Raises:
        UsageProblem: no policy at `source`, `out` is not empty or cannot be written, or `results` or `film` is
            something else.
    """
    directory = policy_directory(source)
    files = read_files(directory)
    config, recipe, parameters = check_policy(directory, files)
    run = run_of(directory)
    if out is None:
        if run is None:
            raise UsageProblem(f"'{directory}' belongs to no run", "say where to export to: --out DIR")
        out = run / "export"
    measured = latest_results(directory, config) if results is None else _results_of(config, results, directory)
    beside = _beside(directory, film)
    count = sum(tensor.numel() for tensor in parameters.values())
    card = model_card(
        out.name,
        config,
        recipe,
        measured,
        parameters=count,
        size=len(files[ADAPTER]),
        curves="curves.png" in beside,
        film="episode.mp4" in beside,
    )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        share = (
            f"; to share that one: llarp export {quoted(out)} --push-to-hub ORG/NAME"
            if (out / ADAPTER).is_file()
            else ""
        )
        raise UsageProblem(f"'{out}' exists and is not an empty directory", f"choose another one with --out{share}")
    try:
        with replacing_folder(out) as staging:
            # What was read and checked; the run may have removed the checkpoint since then.
            for name, data in (files | beside).items():
                (staging / name).write_bytes(data)
            (staging / "README.md").write_text(card, encoding="utf-8")
    except OSError as error:
        raise UsageProblem(f"cannot write '{out}': {error.strerror}", "choose another place with --out") from error
    return out


def _results_of(config: PolicyConfig, file: Path, policy: Path) -> dict[str, Any]:
    """What a file of results says, which must be of this very policy.

    Raises:
        UsageProblem: it holds none, or another policy's.
    """
    results = read_results(file)
    if {record.adapter_sha256 for record in records_in(results) or ()} - {config.adapter_sha256}:
        raise UsageProblem(
            f"'{file}' is of another policy than '{policy}'", f"llarp eval {quoted(policy)} --json {quoted(file)}"
        )
    return results


def latest_results(checkpoint: Path, config: PolicyConfig) -> dict[str, Any] | None:
    """What was measured of this very checkpoint: the newest `eval*.json` in its run's directory, or what is kept there.

    Args:
        config: the checkpoint's.
    """
    run = run_of(checkpoint)
    if run is None:
        return None
    for file in sorted(run.glob("eval*.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        results = read_results(file)
        weights = {record.adapter_sha256 for record in records_in(results) or ()}
        if weights == {config.adapter_sha256}:
            return results
    return _kept_results(run, checkpoint, config)


def _kept_results(run: Path, checkpoint: Path, config: PolicyConfig) -> dict[str, Any] | None:
    """Of all evaluations of the benchmark that the run keeps, the largest made under one seed in one place."""
    alike: dict[tuple[Any, ...], list[Record]] = {}
    for record in kept(run):
        if record.adapter_sha256 == config.adapter_sha256 and record.source == BENCHMARK and record.outcomes:
            alike.setdefault((record.world, record.version, record.seed, record.deterministic), []).append(record)
    if not alike:
        return None
    (_, _, seed, deterministic), largest = max(alike.items(), key=lambda pair: sum(len(r.outcomes) for r in pair[1]))
    outcomes = tuple({(one.split, one.id): one for record in largest for one in record.outcomes}.values())
    records = tuple(largest)
    return Results(str(checkpoint), config.backbone.name, seed, deterministic, outcomes, records=records).to_json()


def _beside(checkpoint: Path, film: Path | None) -> dict[str, bytes]:
    """The learning curves and the film that go with a policy, where there are any.

    Raises:
        UsageProblem: the film that was named is none.
    """
    run = run_of(checkpoint)
    found = {"curves.png": (run or checkpoint) / "curves.png"}
    if film is not None:
        found["episode.mp4"] = film
    elif run is None:
        found["episode.mp4"] = checkpoint / "episode.mp4"
    else:
        saved = (checkpoint / ADAPTER).stat().st_mtime
        films = [(path.stat().st_mtime, path) for path in run.glob("*.mp4") if path.stat().st_mtime >= saved]
        found |= {"episode.mp4": max(films)[1]} if films else {}
    beside = {}
    for name, path in found.items():
        # A link in somebody else's folder may lead anywhere.
        if path.is_file() and (film == path or not path.is_symlink()) and path.stat().st_size <= MAX_BESIDE:
            beside[name] = path.read_bytes()
    if film is not None and beside.get("episode.mp4", b"")[4:8] != b"ftyp":
        raise UsageProblem(f"'{film}' is no film of at most {MAX_BESIDE >> 20} MB", "llarp rollout --video FILE.mp4")
    return beside
