"""The same episodes under the same chance for everyone who is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llarp_cli.comparison.methods import Method, Run
from llarp_cli.errors import UsageProblem, quoted
from llarp_cli.evaluation.records import BENCHMARK, Outcome, Record
from llarp_cli.rearrangement.splits import GROUPS, SPLITS

Identity = tuple[str, str, str]
"""World, its version, and the hash of a split's episodes: what two records must share to be compared."""


@dataclass(frozen=True)
class Wanted:
    """Which outcomes are compared.

    Attributes:
        splits: in this order.
        hashes: split → hash of its episodes, of an episode file; None for the benchmark's own.
        deterministic: those where the likeliest skill was taken, not those with sampled skills.
        environment: where; None for anywhere.
    """

    splits: tuple[str, ...]
    hashes: dict[str, str] | None = None
    deterministic: bool = False
    environment: str | None = None

    @property
    def papers(self) -> bool:
        """Whether the splits are those of Language Rearrangement."""
        return self.hashes is None and all(split in SPLITS for split in self.splits)

    @property
    def headline(self) -> tuple[str, ...]:
        """The splits whose mean is told: the paper's ten, all that an episode file has, or another environment's but
        for what is trained on."""
        if self.papers:
            return tuple(split for split in self.splits if split in GROUPS["all"])
        held_out = tuple(split for split in self.splits if split != "train")
        return held_out if self.hashes is None and held_out else self.splits

    def admits(self, record: Record) -> bool:
        if record.split not in self.splits or record.deterministic != self.deterministic:
            return False
        if self.environment not in (None, record.world):
            return False
        if self.hashes is None:
            return record.source == BENCHMARK
        return record.episodes_sha256 == self.hashes[record.split]


@dataclass(frozen=True)
class At:
    """A method at one of its checkpoints."""

    method: Method
    steps: int | None


@dataclass(frozen=True)
class Aligned:
    """Outcomes of several methods on the same episodes.

    Attributes:
        seeds: of evaluation, over which outcomes are averaged.
        identities: split → what its episodes are.
        seeds_left_out: those that only some have.
        families: split → families of its episodes.
        tables: for each method, split → success [runs, episodes]; a split that it lacks is not there.
        sizes: for each method, split → how many episodes it has been tried in, whether or not the others have.
    """

    seeds: tuple[int, ...]
    identities: dict[str, Identity]
    seeds_left_out: tuple[int, ...]
    families: dict[str, tuple[str, ...]]
    tables: tuple[dict[str, NDArray[np.float64]], ...]
    sizes: tuple[dict[str, int], ...]

    def shared(self, splits: Sequence[str]) -> list[str]:
        """Those of the splits that every method has."""
        return [split for split in splits if all(split in table for table in self.tables)]


def align(compared: Sequence[At], wanted: Wanted) -> Aligned:
    """What all of them have been tried in.

    Of each split, the episodes are those that every method with that split has outcomes of, under every seed of
    evaluation that all of them share in the splits that all of them have.

    Raises:
        UsageProblem: two of them were tried in different worlds or episodes, or under different seeds only.
    """
    found = [[_records(run, one.steps, wanted) for run in one.method.runs] for one in compared]
    identities: dict[str, Identity] = {}
    for split in wanted.splits:
        having = [(run, records) for one, runs in zip(compared, found, strict=True)
                  if _has(runs, split) for run, records in zip(one.method.runs, runs, strict=True)]  # fmt: skip
        if having:
            identities[split] = _identity(split, having)
    chosen = [
        [[record for record in records if identities.get(record.split) == identity_of(record)] for records in runs]
        for runs in found
    ]
    seeds = _common_seeds(compared, chosen)
    tables: list[dict[str, NDArray[np.float64]]] = [{} for _ in compared]
    sizes: list[dict[str, int]] = [{} for _ in compared]
    families = {}
    for split in identities:
        rows = {
            i: [_by_episode(records, split, seeds) for records in runs]
            for i, runs in enumerate(chosen)
            if _has(runs, split, seeds)
        }
        if not rows:
            continue
        shared = [e for e in next(iter(rows.values()))[0] if all(e in row for table in rows.values() for row in table)]
        for i, table in rows.items():
            sizes[i][split] = len(set.intersection(*(set(row) for row in table)))
            if shared:
                tables[i][split] = np.array([[row[episode][0] for episode in shared] for row in table])
        some = next(iter(rows.values()))[0]
        families[split] = tuple(sorted({some[episode][1] for episode in shared}))
    known = {record.seed for runs in chosen for records in runs for record in records}
    return Aligned(seeds, identities, tuple(sorted(known - {*seeds})), families, tuple(tables), tuple(sizes))


def _records(run: Run, steps: int | None, wanted: Wanted) -> list[Record]:
    return [record for record in run.records if record.steps == steps and wanted.admits(record)]


def _has(runs: Sequence[Sequence[Record]], split: str, seeds: Sequence[int] = ()) -> bool:
    """Whether every run of a method has been tried in a split, under each of these seeds."""
    tried = [{record.seed for record in records if record.split == split} for records in runs]
    return all(tried) and all(one.issuperset(seeds) for one in tried)


def identity_of(record: Record) -> Identity:
    """What a record's episodes are."""
    return record.world, record.version, record.episodes_sha256


def _identity(split: str, having: Sequence[tuple[Run, Sequence[Record]]]) -> Identity:
    """The episodes that all have been tried in; of several the ones with most outcomes."""
    sets = [{identity_of(r) for r in records if r.split == split} for _, records in having]
    common = set.intersection(*sets)
    if not common:
        first = having[0][0].name
        other, theirs = next(
            (run.name, one) for (run, _), one in zip(having, sets, strict=True) if not one & sets[0]
        ) if any(not one & sets[0] for one in sets) else (having[-1][0].name, sets[-1])  # fmt: skip
        ours, theirs = sorted(sets[0])[0], sorted(theirs)[0]
        what = "episodes" if ours[:2] == theirs[:2] else "worlds"
        told = [f"{world} version {version}, {sha[:8]}" for world, version, sha in (ours, theirs)]
        raise UsageProblem(
            f"'{split}': '{first}' and '{other}' were evaluated in different {what} ({told[0]}; {told[1]})",
            f"evaluate both with one version: llarp eval {quoted(other)} --split {split}",
        )
    return max(
        sorted(common),
        key=lambda one: sum(len(r.outcomes) for _, records in having for r in records if identity_of(r) == one),
    )


def _common_seeds(compared: Sequence[At], chosen: Sequence[Sequence[Sequence[Record]]]) -> tuple[int, ...]:
    """The seeds of evaluation that everyone has, in every split that everyone has; where there is none, in every split
    that anyone has."""
    tried = [[dict.fromkeys(record.split for record in records) for records in runs] for runs in chosen]
    some = [splits for runs in tried for splits in runs if splits]
    shared = [split for split in (some[0] if some else ()) if all(split in splits for splits in some)]
    sets = []
    for one, runs in zip(compared, chosen, strict=True):
        for run, records in zip(one.method.runs, runs, strict=True):
            for split in shared or dict.fromkeys(record.split for record in records):
                seeds = {record.seed for record in records if record.split == split}
                if seeds:
                    sets.append((run.name, split, seeds))
    if not sets:
        return ()
    common = set.intersection(*(seeds for _, _, seeds in sets))
    if not common:
        first = sets[0]
        other = next((one for one in sets if not one[2] & first[2]), sets[-1])
        told = [
            f"'{name}' ({split}) under seed {', '.join(map(str, sorted(seeds)))}"
            for name, split, seeds in (first, other)
        ]
        raise UsageProblem(
            f"no seed of evaluation is common to all: {told[0]}, {told[1]}",
            f"llarp eval {quoted(other[0])} --split {other[1]} --seed {min(first[2])}",
        )
    return tuple(sorted(common))


def _by_episode(records: Sequence[Record], split: str, seeds: Sequence[int]) -> dict[str, tuple[float, str]]:
    """Episode → success averaged over seeds, and family; episodes that lack a seed are left out."""
    by_seed: dict[int, dict[str, Outcome]] = {}
    for record in records:
        if record.split == split:  # a file of results may hold one part, and its run another
            by_seed.setdefault(record.seed, {}).update((outcome.id, outcome) for outcome in record.outcomes)
    first = by_seed[seeds[0]]
    return {
        episode: (sum(by_seed[seed][episode].success for seed in seeds) / len(seeds), outcome.family)
        for episode, outcome in first.items()
        if all(episode in by_seed[seed] for seed in seeds)
    }
