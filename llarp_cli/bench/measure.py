"""From timed runs to the figures that are reported, alike for rollouts, updates and training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from llarp_cli.bench.flops import best_rate, linear_weights, operations
from llarp_cli.bench.machine import machine
from llarp_cli.bench.meter import PeakMemory, Sample, Shares, counted_tokens, median, timed
from llarp_cli.bench.workload import Parts

MIB = 2**20


class Measured(Protocol):
    """One layout at one kind of work.

    Attributes:
        name: "ours", "reference" or "recompute".
    """

    name: str

    def run(self) -> int:
        """Do the work once; how many different steps were used."""

    def watch(self, shares: Shares) -> None:
        """Say which methods are which part of the time."""


@dataclass
class Series:
    """The timed runs of one layout."""

    layout: Measured
    samples: list[Sample] = field(default_factory=list)
    peak: int = 0


def measure(parts: Parts, layouts: Sequence[Measured], steps: int) -> dict[str, Any]:
    """Run the layouts in turn, as often as the workload says, then once more each for shares and tokens.

    Args:
        steps: environment steps of one run.

    Returns:
        for each layout its figures by name, medians over the runs:

        - seconds, core_seconds: of one run, by the wall clock and added over all cores;
        - environment_steps, used_steps: of one run; an update uses a step if any of its epochs does;
        - environment_steps_per_second, used_steps_per_second, and the same per core_second;
        - all_seconds, all_core_seconds: of every run;
        - share: of each part in the wall time of one run;
        - tokens: the language model read in one run, padding included, without and with gradient;
        - operations: floating-point, of its linear layers on these; utilisation: their share in what the
          machine does in a large matrix product;
        - peak_memory_mib: of the GPU, or of this whole process;

        "machine" and "workload"; "recomputed_layers", by gradient checkpointing in our layout; and where ours and
        the reference layout were measured, "ratio": time per used step, the reference's by ours, and "ratio_core",
        the same of core seconds.
    """
    device = parts.accelerator.device
    memory = PeakMemory(device)
    where = machine(device)
    series = [Series(layout) for layout in layouts]
    for _ in range(parts.workload.repeat):
        for one in series:
            memory.begin()
            one.samples.append(timed(one.layout.run, device))
            one.peak = max(one.peak, memory.read())
    rate = best_rate(device, parts.backbone.dtype)
    weights = linear_weights(parts.backbone.model)
    told: dict[str, Any] = {}
    for one in series:
        with counted_tokens(parts.backbone.model) as tokens:
            shares = Shares(device)
            one.layout.watch(shares)
            share = shares.measure(one.layout.run)
        told[one.layout.name] = _figures(one, steps, device) | {
            "share": {part: round(value, 4) for part, value in share.items()},
            "tokens": dict(tokens),
            "operations": operations(weights, tokens),
        }
        figures = told[one.layout.name]
        busy = figures["seconds"] if device.type == "cuda" else figures["core_seconds"]
        figures["utilisation"] = round(figures["operations"] / busy / rate, 4)
    if "ours" in told:
        for other, suffix in (("reference", ""), ("recompute", "_recompute")):
            if other in told:
                told["ratio" + suffix] = _ratio(series, "seconds", other)
                told["ratio_core" + suffix] = _ratio(series, "core_seconds", other)
    trained = sum(parameter.numel() for parameter in parts.policy().parameters())
    return {
        "workload": parts.workload.as_json(),
        "backbone_parameters": parts.backbone.parameters,
        "trained_parameters": trained,
        "recomputed_layers": getattr(parts.backbone, "recomputed_layers", 0),
        "dtype": str(parts.backbone.dtype).removeprefix("torch."),
        "operations_per_second_at_best": round(rate),
        "machine": where,
        **told,
    }


def _figures(one: Series, steps: int, device: torch.device) -> dict[str, Any]:
    samples = one.samples
    seconds, cores = median(samples, lambda s: s.seconds), median(samples, lambda s: s.core_seconds)
    used = median(samples, lambda s: s.result)
    return {
        "seconds": seconds,
        "core_seconds": cores,
        "environment_steps": steps,
        "used_steps": used,
        "environment_steps_per_second": round(steps / seconds, 1),
        "environment_steps_per_core_second": round(steps / cores, 1),
        "used_steps_per_second": round(1 / median(samples, per_step("seconds")), 1),
        "used_steps_per_core_second": round(1 / median(samples, per_step("core_seconds")), 1),
        "peak_memory_mib": round(one.peak / MIB, 1),
        "all_seconds": [round(sample.seconds, 5) for sample in samples],
        "all_core_seconds": [round(sample.core_seconds, 5) for sample in samples],
    }


def per_step(clock: str) -> Callable[[Sample], float]:
    """Seconds per used step of a run."""
    if clock == "seconds":
        return lambda sample: sample.seconds / sample.result
    return lambda sample: sample.core_seconds / sample.result


def _ratio(series: Sequence[Series], clock: str, other: str) -> float:
    """Median time per used step, another layout's by ours."""
    medians = {one.layout.name: median(one.samples, per_step(clock)) for one in series}
    return round(medians[other] / medians["ours"], 3)
