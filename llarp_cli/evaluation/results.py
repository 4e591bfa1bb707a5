"""What an evaluation found: episodes, rates and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llarp_cli.config import Recipe
from llarp_cli.evaluation.records import Outcome, Record
from llarp_cli.intervals import wilson
from llarp_cli.rearrangement.splits import GROUPS


@dataclass(frozen=True)
class Results:
    """All episodes of an evaluation.

    Attributes:
        policy: what was evaluated, as typed or found.
        backbone: its frozen language model, None without one.
        seed: of sampled actions.
        deterministic: the likeliest skill was taken.
        outcomes: in the order of the episodes.
        left_out: family → episodes not run because the recipe does not train it, or another was asked for.
        records: the same outcomes as they are kept, a record for each split.
        recipe: of the policy; None for what is not learned.
        kept_in: the folder where the records are kept; None where they are not.
    """

    policy: str
    backbone: str | None
    seed: int
    deterministic: bool
    outcomes: tuple[Outcome, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    recipe: Recipe | None = None
    kept_in: Path | None = None

    @property
    def splits(self) -> dict[str, tuple[Outcome, ...]]:
        """Outcomes by split, in order of appearance."""
        names = dict.fromkeys(outcome.split for outcome in self.outcomes)
        return {name: tuple(o for o in self.outcomes if o.split == name) for name in names}

    @property
    def groups(self) -> dict[str, tuple[Outcome, ...]]:
        """Outcomes by group of splits (`splits.GROUPS`), where all of a group's splits were run."""
        splits = self.splits
        return {
            group: tuple(outcome for name in names for outcome in splits[name])
            for group, names in GROUPS.items()
            if all(name in splits for name in names)
        }

    def to_json(self) -> dict[str, Any]:
        """As `llarp eval --json` writes it: success rates are fractions; return, length and invalid_skills
        are means per episode; interval is Wilson's, 95%; success of a group is the mean over its splits. `llarp
        compare` reads recipe and records."""
        return {
            "policy": self.policy,
            "backbone": self.backbone,
            "seed": self.seed,
            "splits": {name: summarize(outcomes) for name, outcomes in self.splits.items()},
            "groups": {name: summarize_group(outcomes) for name, outcomes in self.groups.items()},
            "total": summarize(self.outcomes),
            "recipe": None if self.recipe is None else self.recipe.model_dump(mode="json"),
            "records": [record.to_json() for record in self.records],
        }


def summarize(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts, success with its interval, means, and success by family of at least one episode."""
    count = len(outcomes)
    families = sorted({outcome.family for outcome in outcomes})
    return {
        **_success(outcomes),
        "interval": list(wilson(sum(o.success for o in outcomes), count)),
        "return": sum(o.total_reward for o in outcomes) / count,
        "length": sum(o.length for o in outcomes) / count,
        "invalid_skills": sum(o.invalid_skills for o in outcomes) / count,
        "families": {family: _success([o for o in outcomes if o.family == family]) for family in families},
    }


def summarize_group(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """As `summarize`, of several splits: success is the mean over them, each counting alike, and so is the rate that
    Wilson's interval is about. For whole splits, which are equally large, that is the success of all episodes."""
    splits = dict.fromkeys(outcome.split for outcome in outcomes)
    rates = [_success([o for o in outcomes if o.split == name])["success"] for name in splits]
    success, count = sum(rates) / len(rates), len(outcomes)
    return summarize(outcomes) | {"success": success, "interval": list(wilson(success * count, count))}


def _success(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    successes = sum(outcome.success for outcome in outcomes)
    return {"episodes": len(outcomes), "successes": successes, "success": successes / len(outcomes)}
