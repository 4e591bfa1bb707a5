"""`llarp bench rollout`, `update` and `train`: the speed of training and of its two halves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from llarp_cli.cli.output import json_option, save_json
from llarp_cli.errors import UsageProblem

AT_LEAST_1 = click.IntRange(min=1)
HOME_STEPS = 32
LAYOUTS = click.Choice(["ours", "reference", "both"])


class Lengths(click.ParamType):
    """`4-32`, or a single number: the lengths of episodes."""

    name = "lengths"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        shortest, _, longest = str(value).partition("-")
        longest = longest or shortest
        numbers = all(number.isascii() and number.isdigit() and len(number) < 7 for number in (shortest, longest))
        if not numbers or not 1 <= int(shortest) <= int(longest):
            raise UsageProblem(f"--episode-length '{value}' is not two numbers of steps", "write --episode-length 4-32")
        return int(shortest), int(longest)


OPTIONS = (
    click.option("--backbone", default="minilm", show_default=True, metavar="NAME", help="A backbone, as for train."),
    click.option("--weights", metavar="WEIGHTS", help='Hub id or path; "random" builds the architecture without.'),
    click.option(
        "--llama", metavar="SIZES", help="In place of a backbone, a random LLaMA: hidden=384,layers=8,heads=6."
    ),
    click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), default="auto"),
    click.option(
        "--prefix-cache-mb",
        type=AT_LEAST_1,
        default=512,
        show_default=True,
        metavar="MIB",
        help="Memory for instructions that are read already.",
    ),
    click.option("--vision", metavar="NAME", help="A vision encoder.  [default: the environment's]"),
    click.option("--vision-weights", metavar="WEIGHTS", help="Of the vision encoder, likewise."),
    click.option(
        "--image-size", type=click.IntRange(16, 1024), default=128, show_default=True, metavar="PIXELS", help="Drawn."
    ),
    click.option("--num-envs", type=AT_LEAST_1, default=16, show_default=True, metavar="N"),
    click.option("--rollout-steps", type=AT_LEAST_1, default=32, show_default=True, metavar="T"),
    click.option("--epochs", type=AT_LEAST_1, default=2, show_default=True, metavar="E"),
    click.option(
        "--minibatches", type=AT_LEAST_1, default=8, show_default=True, metavar="M", help="Of an epoch, in our layout."
    ),
    click.option(
        "--fragments",
        type=AT_LEAST_1,
        metavar="N",
        help="In a minibatch of the reference layout.  [default: an eighth of the environments, as shipped]",
    ),
    click.option(
        "--instruction-tokens",
        type=AT_LEAST_1,
        default=30,
        show_default=True,
        metavar="P",
        help="Of each instruction in the synthetic environment.",
    ),
    click.option(
        "--instructions",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="N",
        help="How many different ones, or tasks of the home; 0: a new one in every episode.",
    ),
    click.option(
        "--episode-length",
        type=Lengths(),
        metavar="A-B",
        help="Steps, drawn evenly.  [default: 4-32; in the home as its episodes end]",
    ),
    click.option(
        "--threads", type=click.IntRange(1, 4096), metavar="N", help="Of the processor.  [default: all cores]"
    ),
    click.option("--repeat", type=AT_LEAST_1, default=5, show_default=True, metavar="N", help="Runs; medians count."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N"),
    click.option(
        "--layout",
        type=LAYOUTS,
        default="ours",
        show_default=True,
        help="Ours, the reference release's way of working, or both in turn.",
    ),
)


def workload_options(environment: str) -> Callable[[Any], Any]:
    """All of these, and --environment with its default."""

    def add(command: Any) -> Any:
        place = click.option(
            "--environment",
            type=click.Choice(["home", "synthetic"]),
            default=environment,
            show_default=True,
            help="The home with its pictures, or random pictures at no cost.",
        )
        for option in reversed((*OPTIONS, place, json_option)):
            command = option(command)
        return command

    return add


def _workload(
    llama: str | None,
    backbone: str,
    weights: str | None,
    fragments: int | None,
    threads: int | None,
    environment: str,
    episode_length: tuple[int, int] | None,
    **options: Any,
) -> Any:
    from llarp_cli.bench.llama import architecture

    sizes = architecture(llama) if llama is not None else {}
    if sizes and weights not in (None, "random"):
        raise UsageProblem("a --llama of chosen size has random weights", "leave out --weights, or name a --backbone")

    if environment == "home" and episode_length is not None and episode_length[1] > HOME_STEPS:
        raise UsageProblem(
            f"--episode-length: the home's episodes end after {HOME_STEPS} steps",
            f"write --episode-length {min(episode_length[0], HOME_STEPS)}-{HOME_STEPS}, or --environment synthetic",
        )

    import torch

    from llarp_cli.bench.workload import Workload

    if episode_length is None and environment == "synthetic":
        episode_length = (4, 32)
    return Workload(
        backbone="llama" if sizes else backbone,
        llama=sizes,
        weights="random" if sizes else weights,
        fragments=fragments or 0,
        threads=threads or torch.get_num_threads(),
        environment=environment,
        episode_length=episode_length,
        **options,
    )


def _tell(told: dict[str, Any], json_file: Path | None) -> None:
    from llarp_cli.bench.report import as_table

    click.echo(as_table(told))
    save_json(json_file, told)


@click.command()
@click.option("--recompute", is_flag=True, help="Measure acting without any cache too.")
@workload_options("synthetic")
def rollout(json_file: Path | None, recompute: bool, **options: Any) -> None:
    """Acting: environments, vision and the language model, step by step.

    \b
    llarp bench rollout --llama hidden=384,layers=8,heads=6 --threads 1 --layout both --recompute
    """
    workload = _workload(**options)
    from llarp_cli.bench.rollout import bench_rollout

    _tell(bench_rollout(workload, recompute=recompute), json_file)


@click.command()
@workload_options("synthetic")
def update(json_file: Path | None, **options: Any) -> None:
    """Learning: all epochs on one rollout, the same for both layouts.

    \b
    llarp bench update --llama hidden=384,layers=8,heads=6 --layout both --json update.json
    """
    workload = _workload(**options)
    from llarp_cli.bench.update import bench_update

    _tell(bench_update(workload), json_file)


@click.command()
@workload_options("home")
def train(json_file: Path | None, **options: Any) -> None:
    """Training end to end: rollouts, updates, and the size of a checkpoint.

    \b
    llarp bench train --num-envs 128
    llarp bench train --backbone llama-7b --weights random --vision vit-b --vision-weights random
    """
    workload = _workload(**options)
    from llarp_cli.bench.train import bench_train

    _tell(bench_train(workload), json_file)
