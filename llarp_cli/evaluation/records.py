"""Outcomes that are kept, so that policies can be compared without running them again.

    RUN/evaluations/<steps>/<split>-<hash>-seed<seed>.json                  skills were sampled
    RUN/evaluations/<steps>/<split>-<hash>-seed<seed>-deterministic.json    the likeliest was taken

A record is one split of one checkpoint under one seed. It says which weights, which episodes and which world its
outcomes are of, so that outcomes of different things are never taken together. How an episode goes depends on
none of the others, so that evaluations of parts of a split add up. Importing this needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from llarp_cli.errors import UsageProblem
from llarp_cli.runs import write_text

EVALUATIONS = "evaluations"
BENCHMARK = "benchmark"
"""Where episodes come from that are no file's."""
LONGEST = 60
"""Letters of a split's name in the name of a file."""


@dataclass(frozen=True)
class Outcome:
    """One episode's end.

    Attributes:
        total_reward: undiscounted.
        length: steps.
        invalid_skills: steps whose skill could not be used.
    """

    id: str
    split: str
    family: str
    success: bool
    total_reward: float
    length: int
    invalid_skills: int


class Record(BaseModel):
    """Outcomes of one split, of one policy, under one seed.

    Attributes:
        policy: kind, as in a recipe, or what is not learned, e.g. "planner".
        steps: of the checkpoint; None where it is none.
        adapter_sha256: of the trained parameters; None where there are none.
        world, version: where the episodes took place.
        split: as the episodes say.
        source: "benchmark", or the name of the file that the episodes are from.
        episodes_sha256: of all episodes of this split there, whichever of them were run.
        seed: of sampled actions and of where objects are put down.
        deterministic: the likeliest skill was taken.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    policy: str
    steps: int | None
    adapter_sha256: str | None
    world: str
    version: str
    split: str
    source: str
    episodes_sha256: str
    seed: int
    deterministic: bool
    outcomes: tuple[Outcome, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            **self.model_dump(exclude={"outcomes"}),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }

    @property
    def file_name(self) -> str:
        how = "-deterministic" if self.deterministic else ""
        which = "\n".join([self.split, self.world, self.source, self.episodes_sha256])
        # The split of a file's episodes is any text, and must not lead elsewhere.
        split = re.sub(r"[^\w-]", "_", self.split, flags=re.ASCII)[:LONGEST]
        return f"{split}-{hashlib.sha256(which.encode()).hexdigest()[:8]}-seed{self.seed}{how}.json"

    def same_but_outcomes(self, other: Record) -> bool:
        """Whether both are of the same policy, episodes, world and chance."""
        return self.model_dump(exclude={"outcomes"}) == other.model_dump(exclude={"outcomes"})

    def with_outcomes(self, outcomes: Iterable[Outcome]) -> Record:
        return self.model_copy(update={"outcomes": tuple(outcomes)})


_RECORDS = TypeAdapter(list[Record])


def run_of(policy: Path) -> Path | None:
    """The run directory that a checkpoint lies in, if it does."""
    checkpoint = policy.resolve()
    run = checkpoint.parent.parent
    numbered = checkpoint.parent.name == "checkpoints" and checkpoint.name.isdecimal()
    return run if numbered and (run / "run.json").is_file() else None


def keep(run: Path, record: Record) -> None:
    """Write a record into a run, together with what is there of the same; what is there of another is replaced.

    Raises:
        OSError: the run cannot be written.
    """
    path = run / EVALUATIONS / str(record.steps) / record.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        try:
            before = Record.model_validate_json(path.read_bytes())
        except ValidationError:  # damaged, and about to be whole again
            before = record
        if before.same_but_outcomes(record):
            ours = {outcome.id: outcome for outcome in (*before.outcomes, *record.outcomes)}
            record = record.with_outcomes(ours.values())
    write_text(path, json.dumps(record.to_json()) + "\n")


def kept(run: Path) -> list[Record]:
    """All records of a run.

    Raises:
        UsageProblem: one of them is damaged.
    """
    return [_read(path) for path in sorted((run / EVALUATIONS).glob("*/*.json"))]


def _read(path: Path) -> Record:
    try:
        return Record.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageProblem(f"'{path}' is damaged: it is no evaluation", "remove it and evaluate again") from error


def records_in(value: Any) -> list[Record] | None:
    """The records of what `llarp eval --json` wrote; None where it holds none that can be read."""
    try:
        return _RECORDS.validate_python(value["records"], strict=False)
    except (KeyError, TypeError, ValidationError):
        return None
