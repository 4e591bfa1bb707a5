"""`llarp bench`: how fast this machine is."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli.bench_learning import rollout, train, update
from llarp_cli.cli.output import json_option, save_json, table


@click.group()
def bench() -> None:
    """Measure this machine."""


for command in (rollout, update, train):
    bench.add_command(command)


@bench.command()
@json_option
def home(json_file: Path | None) -> None:
    """Frames per second and core of the embedded home by size and content, and environment steps per second.

    Takes about a minute. Primitives: the boxes, cylinders and ellipsoids that stand in a home, and those seen in a
    picture, mean.
    """
    from llarp_cli.home.bench import bench_home

    measured = bench_home()
    speeds = measured["frames_per_second_per_core"]
    sizes = list(measured["two_threads"])
    rows = [
        (
            content,
            f"{measured['primitives'][content]:.0f}",
            f"{measured['visible_primitives'][content]:.0f}",
            *(f"{by_size[size]:,.0f}" for size in sizes),
        )
        for content, by_size in speeds.items()
    ]
    rows.append(("two threads", "", "", *(f"x {measured['two_threads'][size]:.2f}" for size in sizes)))
    click.echo(table(rows, ("frames/s/core", "primitives", "seen", *(f"{size} px" for size in sizes))))
    click.echo()
    steps = [(count, f"{speed:,.0f}") for count, speed in measured["steps_per_second"].items()]
    click.echo(table(steps, ("environments", f"steps/s at 128 px, {measured['threads']} threads")))
    click.echo(f"\n{measured['hardware']}; Python {measured['python']}, numba {measured['numba']}")
    save_json(json_file, measured)
