"""`llarp bench`: how fast this machine is."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli.output import json_option, save_json


@click.group()
def bench() -> None:
    """Measure this machine."""


@bench.command()
@json_option
def home(json_file: Path | None) -> None:
    """Frames per second and core of the embedded home, at 64, 128 and 224 pixels."""
    from llarp_cli.home.bench import bench_home

    measured = bench_home()
    for size, frames in measured["frames_per_second_per_core"].items():
        click.echo(f"{size:>4} x {size:<4} {frames:10,.0f} frames/s/core")
    save_json(json_file, measured)
