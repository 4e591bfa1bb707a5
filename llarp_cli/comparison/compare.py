"""What `llarp compare` finds: success per split, what it took in steps, and the method against each baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from llarp_cli.comparison.curves import Curve, band, curve_of
from llarp_cli.comparison.matching import Match, TrainSuccess, match, train_success
from llarp_cli.comparison.methods import Method, Run, find_methods
from llarp_cli.comparison.outcomes import Aligned, At, Wanted, align
from llarp_cli.comparison.statistics import Estimate, mean_success
from llarp_cli.errors import UsageProblem, quoted, unknown
from llarp_cli.evaluation.records import BENCHMARK
from llarp_cli.rearrangement.episode_files import episodes_sha256, read_episodes
from llarp_cli.rearrangement.splits import GROUPS, SPLIT_SIZE, SPLITS, expand

THRESHOLD = 0.8


@dataclass(frozen=True)
class Reached:
    """When a method's success in training first came up to a threshold.

    Attributes:
        runs: steps of each run; None where it never did.
        steps: the mean over runs, where all of them did.
    """

    threshold: float
    runs: tuple[int | None, ...]

    @property
    def steps(self) -> int | None:
        found = [steps for steps in self.runs if steps is not None]
        return round(sum(found) / len(found)) if found and len(found) == len(self.runs) else None


@dataclass(frozen=True)
class Row:
    """One method.

    Attributes:
        splits: split → success, over the episodes that all methods share.
        by_run: split → success of each run.
        groups: group → the mean over its splits, where the method has all of them.
        group_by_run: group → that mean of each run.
        sizes: split → episodes it has been tried in, whether or not the others have.
        curve: over its runs; None without any training to look at.
        curves: of each run.
        reached: None likewise.
        train: success in training at its checkpoints.
    """

    method: Method
    splits: dict[str, Estimate]
    by_run: dict[str, tuple[float, ...]]
    groups: dict[str, Estimate]
    group_by_run: dict[str, tuple[float, ...]]
    sizes: dict[str, int]
    curve: Curve | None
    curves: tuple[Curve, ...]
    reached: Reached | None
    train: TrainSuccess


@dataclass(frozen=True)
class Comparison:
    """Methods side by side; the first is the one that the others are baselines of.

    Attributes:
        rows: a method each.
        splits: in the order of the tables.
        groups: group → its splits among them.
        aligned: what is compared.
        wanted: which outcomes.
        matches: the first method against each other one.
        notes: what a reader must know, a line each.
    """

    rows: tuple[Row, ...]
    splits: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]
    aligned: Aligned
    wanted: Wanted
    matches: tuple[Match, ...]
    notes: tuple[str, ...]

    @property
    def episodes(self) -> dict[str, int]:
        """Split → episodes compared."""
        return {
            split: next(row.splits[split].episodes for row in self.rows if split in row.splits) for split in self.splits
        }

    def to_json(self) -> dict[str, Any]:
        """As `llarp compare --json` writes it: success rates are fractions, intervals 95%."""
        return {
            "actions": "likeliest" if self.wanted.deterministic else "sampled",
            "evaluation_seeds": list(self.aligned.seeds),
            "splits": {
                split: {
                    "episodes": self.episodes[split],
                    "families": list(self.aligned.families[split]),
                    **dict(zip(("world", "version", "sha256"), self.aligned.identities[split], strict=True)),
                }
                for split in self.splits
            },
            "methods": [_row_to_json(row) for row in self.rows],
            "against_baselines": [one.to_json() for one in self.matches],
            "notes": list(self.notes),
        }


def compare(
    names: Sequence[str],
    *,
    labels: Mapping[str, str] | None = None,
    splits: Sequence[str] = (),
    episode_file: Path | None = None,
    environment: str | None = None,
    deterministic: bool = False,
    threshold: float = THRESHOLD,
    target: float | None = None,
) -> Comparison:
    """Compare what runs and evaluations have kept; nothing is run.

    Args:
        names: as for `find_methods`.
        labels: likewise.
        splits: names of splits or groups; empty for all.
        episode_file: compare on its episodes in place of the splits.
        environment: where evaluations took place; left out, where the first method was trained.
        deterministic: evaluations in which the likeliest skill was taken, not those with sampled skills.
        threshold: success in training whose steps are told.
        target: success in training at which methods are matched, in place of the first method's.

    Raises:
        UsageProblem: a name, split or file is not what it should be, evaluations are of different things, or there
            is nothing at all to compare.
    """
    methods = find_methods(names, labels)
    recipe = methods[0].runs[0].recipe
    place = environment or ("home" if recipe is None else recipe.environment)
    if episode_file is None:
        wanted = Wanted(_chosen(methods, splits, place), None, deterministic, place)
    else:
        episodes = read_episodes(episode_file)
        parts = {name: [e for e in episodes if e.split == name] for name in dict.fromkeys(e.split for e in episodes)}
        wanted = Wanted(
            tuple(parts), {name: episodes_sha256(part) for name, part in parts.items()}, deterministic, place
        )
    aligned = align([At(method, method.steps) for method in methods], wanted)
    shown = tuple(split for split in wanted.splits if any(split in table for table in aligned.tables))
    rows = tuple(_row(method, i, aligned, wanted, threshold) for i, method in enumerate(methods))
    if not shown and not any(row.curve and row.curve.steps for row in rows):
        if any(aligned.sizes):
            raise UsageProblem(
                "the methods share no episode that all of them were tried in",
                "evaluate them in the same families: llarp eval RUN --all-families, each RUN",
            )
        raise UsageProblem(
            "there is nothing to compare: no evaluation and no training of 500 episodes",
            f"evaluate them first: llarp eval {quoted(methods[0].runs[0].name)}; or `llarp compare --evaluate ...`",
        )
    first, *others = rows
    matches = [
        one
        for row in others
        if shown
        for one in match(first.method, row.method, (first.train, row.train), wanted, target=target)
    ]
    groups = {
        group: tuple(split for split in names if split in shown)
        for group, names in _groups(wanted).items()
        if any(group in row.groups for row in rows)
    }
    notes = _notes(rows, aligned, wanted, shown, episode_file)
    return Comparison(rows, shown, groups, aligned, wanted, tuple(matches), tuple(notes))


def _chosen(methods: Sequence[Method], names: Sequence[str], place: str) -> tuple[str, ...]:
    """The splits that names stand for: Language Rearrangement's, or those of another environment in which the methods
    were evaluated, which need not be here to compare them."""
    records = [record for method in methods for run in method.runs for record in run.records]
    own = sorted({record.split for record in records if record.world == place and record.source == BENCHMARK})
    if all(split in SPLITS for split in own):
        return tuple(name for name in SPLITS if name in expand(names))
    for name in names:
        if name not in own:
            raise unknown("split", name, own)
    return tuple(split for split in own if split in (names or own))


def _groups(wanted: Wanted) -> dict[str, tuple[str, ...]]:
    return GROUPS if wanted.papers else {"all": wanted.headline}


def _row(method: Method, i: int, aligned: Aligned, wanted: Wanted, threshold: float) -> Row:
    table = aligned.tables[i]
    whole = {
        group: {split: table[split] for split in names}
        for group, names in _groups(wanted).items()
        if all(split in table for split in names)
    }
    curves = tuple(curve_of(run.updates) for run in method.runs if run.updates)
    reached = None
    if curves:
        reached = Reached(threshold, tuple(curve.reached(threshold) for curve in curves))
    curve = band(curves) if curves else None
    return Row(
        method=method,
        splits={split: mean_success({split: one}, method.label) for split, one in table.items()},
        by_run={split: tuple(one.mean(axis=1).tolist()) for split, one in table.items()},
        groups={group: mean_success(tables, method.label) for group, tables in whole.items()},
        group_by_run={
            group: tuple(sum(one.mean(axis=1) for one in tables.values()) / len(tables))
            for group, tables in whole.items()
        },
        sizes=aligned.sizes[i],
        curve=curve,
        curves=curves,
        reached=reached,
        train=train_success(method, curve, wanted) if curve else TrainSuccess({}, {}),
    )


def _to_evaluate(method: Method, lacking: Sequence[str], what: str, wanted: Wanted, seeds: Sequence[int]) -> str:
    """The command that evaluates the first of a method's runs that lacks one of these splits.

    Args:
        what: in which splits or file.
        seeds: of evaluation, that the others have.
    """

    def lacks(run: Run, seed: int) -> bool:
        mine = [record for record in run.records if record.steps == run.steps and wanted.admits(record)]
        return not {record.split for record in mine if record.seed == seed}.issuperset(lacking)

    every = list(product(method.runs, seeds or (0,)))
    run, seed = next((pair for pair in every if lacks(*pair)), every[0])
    name = run.name if run.path is not None else run.policy if run.recipe is None else "POLICY"
    parts = ["llarp eval", name, what]
    if wanted.environment != ("home" if run.recipe is None else run.recipe.environment):
        parts.append(f"--env {wanted.environment}")
    parts += ["--deterministic"] * wanted.deterministic + [f"--seed {seed}"] * bool(seed)
    if run.path is None:
        parts.append("--json FILE, and compare FILE too")
    return " ".join(part for part in parts if part)


def _notes(
    rows: Sequence[Row], aligned: Aligned, wanted: Wanted, shown: Sequence[str], episode_file: Path | None
) -> list[str]:
    """What is missing or uneven."""
    notes = []
    for row in rows:
        lacking = [split for split in (shown or wanted.splits) if split not in row.splits]
        where = f" at {row.method.steps:,} steps" if row.method.steps is not None else ""
        if lacking:
            what = "any split" if len(lacking) == len(shown or wanted.splits) else ", ".join(lacking)
            again = " ".join(f"--split {split}" for split in lacking) if what != "any split" else ""
            if episode_file is not None:
                again = f"--episodes {episode_file}"
            command = _to_evaluate(row.method, lacking, again, wanted, aligned.seeds)
            notes.append(f"{row.method.label} is not evaluated in {what}{where}: {command}")
    for split in wanted.splits:
        if split not in shown and any(split in row.sizes for row in rows):
            notes.append(f"{split}: there is no episode that all were tried in")
    for split in shown:
        episodes = next(row.splits[split].episodes for row in rows if split in row.splits)
        more = [f"{row.method.label} {row.sizes[split]}" for row in rows if row.sizes.get(split, 0) > episodes]
        if more:
            notes.append(f"{split}: compared on the {episodes} episodes that all have ({', '.join(more)})")
    if aligned.seeds_left_out:
        seeds = ", ".join(map(str, aligned.seeds_left_out))
        notes.append(f"evaluations under seed {seeds} are left out: not all have them in every split that all have")
    if wanted.papers:
        few = [
            split for split in shown if next(r.splits[split].episodes for r in rows if split in r.splits) < SPLIT_SIZE
        ]
        if few:
            notes.append(
                f"fewer than {SPLIT_SIZE} episodes in {', '.join(few)}; `llarp eval --all-families` without --limit "
                "runs those of families that are not trained, too"
            )
    return notes


def _row_to_json(row: Row) -> dict[str, Any]:
    curve, reached = row.curve, row.reached

    def estimate(one: Estimate, by_run: Sequence[float]) -> dict[str, Any]:
        told = one.to_json()
        return {"success": told["value"], "interval": told["interval"], "episodes": told["episodes"],
                "runs": [float(success) for success in by_run]}  # fmt: skip

    best = curve.best() if curve else None
    return {
        "label": row.method.label,
        "policy": row.method.runs[0].policy,
        "runs": [{"name": run.name, "seed": run.seed, "steps": run.steps} for run in row.method.runs],
        "splits": {split: estimate(one, row.by_run[split]) for split, one in row.splits.items()},
        "groups": {group: estimate(one, row.group_by_run[group]) for group, one in row.groups.items()},
        "training": None
        if curve is None or reached is None
        else {
            "labelled_steps": curve.labelled,
            "best": None if best is None else {"steps": best[0], "success": best[1]},
            "threshold": {"success": reached.threshold, "steps": reached.steps, "runs": list(reached.runs)},
            "at_checkpoints": {"source": row.train.source, "success": row.train.by_steps},
            "curve": {"steps": curve.steps, "mean": curve.mean, "low": curve.low, "high": curve.high},
        },
    }
