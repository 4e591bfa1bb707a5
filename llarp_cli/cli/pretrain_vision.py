"""`llarp pretrain-vision`: train the home's vision encoder anew."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli.output import OutputFile, json_option, save_json


@click.command("pretrain-vision")
@click.option("--out", type=OutputFile(".safetensors"), required=True, metavar="FILE.safetensors")
@click.option(
    "--pictures", type=click.IntRange(min=1), default=230_000, show_default=True, help="Pictures to train on."
)
@click.option("--image-size", type=click.IntRange(min=32, max=512), default=128, show_default=True, help="Pixels.")
@click.option("--homes", type=click.IntRange(min=1), default=1000, show_default=True, help="Training homes.")
@click.option("--objects", type=click.IntRange(min=1, max=64), default=35, show_default=True, help="Objects in each.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@json_option
def pretrain_vision(
    out: Path, pictures: int, image_size: int, homes: int, objects: int, seed: int, json_file: Path | None
) -> None:
    """Train the home's vision encoder on renders of training homes, and report it on unseen ones.

    Use it with `llarp train ... vision.weights=FILE.safetensors`.
    """
    from tqdm import tqdm

    from llarp_cli import registry
    from llarp_cli.vision.pretrain import PretrainOptions, pretrain_vision

    options = PretrainOptions(pictures=pictures, image_size=image_size, homes=homes, objects=objects, seed=seed)
    with tqdm(total=pictures, unit=" pictures", unit_scale=True) as bar:

        def progress(done: int, total: int, loss: float) -> None:
            bar.total = total
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            bar.update(done - bar.n)

        report = pretrain_vision(registry.load("environment", "home"), out, options, progress)
    unseen = report["unseen_homes"]
    click.echo(f"{out}")
    click.echo(f"on {unseen['pictures']} pictures of unseen homes:")
    click.echo(f"  objects within reach, mean average precision  {unseen['mean_average_precision']:.3f}")
    click.echo(f"  held object, accuracy                         {unseen['held']:.3f}")
    click.echo(f"  standing pose, accuracy                       {unseen['stands_at']:.3f}")
    click.echo(f"  open or closed, accuracy                      {unseen['opened']:.3f}")
    save_json(json_file, report)
