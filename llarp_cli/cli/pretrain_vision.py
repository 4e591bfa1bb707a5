"""`llarp pretrain-vision`: train the home's vision encoder anew, and say what it sees in unseen homes."""

from __future__ import annotations

import sys
from pathlib import Path
from time import monotonic

import click

from llarp_cli.cli.output import OutputFile, json_option, save_json
from llarp_cli.errors import UsageProblem

LINE_SECONDS = 5.0


@click.command("pretrain-vision")
@click.option("--out", type=OutputFile(".safetensors"), metavar="FILE.safetensors", help="Train an encoder.")
@click.option(
    "--evaluate",
    is_flag=False,
    flag_value="shipped",
    metavar="[FILE.safetensors]",
    help="Only evaluate one: a file, or `shipped` (if none is named), or `random`.",
)
@click.option(
    "--pictures", type=click.IntRange(min=1), default=230_000, show_default=True, metavar="N", help="To train on."
)
@click.option(
    "--image-size", type=click.IntRange(min=32, max=512), default=128, show_default=True, metavar="N", help="Pixels."
)
@click.option(
    "--homes", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N", help="Training homes."
)
@click.option(
    "--objects", type=click.IntRange(min=1, max=64), default=35, show_default=True, metavar="N", help="In each home."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N")
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="K",
    help="Evaluate what K tokens tell; training is the same for all.",
)
@click.option(
    "--test-pictures", type=click.IntRange(min=1), default=8192, show_default=True, metavar="N", help="To evaluate on."
)
@click.option(
    "--probe-pictures",
    type=click.IntRange(min=1),
    default=32_768,
    show_default=True,
    metavar="N",
    help="To fit the linear probes on that read the features.",
)
@json_option
@click.option("--plot", type=OutputFile(".png"), metavar="FILE.png", help="Draw which category is taken for which.")
def pretrain_vision(
    out: Path | None,
    evaluate: str | None,
    pictures: int,
    image_size: int,
    homes: int,
    objects: int,
    seed: int,
    tokens: int,
    test_pictures: int,
    probe_pictures: int,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    """Train the home's vision encoder on renders of training homes, and evaluate it in unseen ones.

    Use it with `llarp train ... vision.weights=FILE.safetensors`.

    \b
    llarp pretrain-vision --out mine.safetensors --json mine.json --plot mine.png
    llarp pretrain-vision --evaluate
    llarp pretrain-vision --evaluate mine.safetensors --tokens 4
    """
    if (out is None) == (evaluate is None):
        raise UsageProblem(
            "nothing to do" if out is None else "--out trains an encoder and --evaluate looks at one: give either",
            "llarp pretrain-vision --out FILE.safetensors, or llarp pretrain-vision --evaluate",
        )
    from llarp_cli import registry
    from llarp_cli.vision.assess import AssessOptions, assess
    from llarp_cli.vision.assess_report import plot_confusion, tables_of
    from llarp_cli.vision.home import SHIPPED, check_shape
    from llarp_cli.vision.pretrain import PretrainOptions, pretrain_vision

    check_shape(image_size, tokens, keys=("--image-size ", "--tokens "))
    world = registry.load("environment", "home")
    if out is not None:
        options = PretrainOptions(pictures=pictures, image_size=image_size, homes=homes, objects=objects, seed=seed)
        with Progress() as progress:
            pretrain_vision(world, out, options, lambda done, all_, loss: progress(done, all_, f"loss {loss:.3f}"))
        click.echo(f"{out}")
    weights = str(out or (SHIPPED if evaluate == "shipped" else evaluate))
    looked_at = AssessOptions(
        image_size=image_size,
        tokens=tokens,
        objects=objects,
        probe_pictures=probe_pictures,
        pictures=test_pictures,
        seed=seed,
    )
    with Progress() as progress:
        report = assess(weights, world, looked_at, lambda done, all_: progress(done, all_, "evaluation"))
    click.echo(tables_of(report))
    save_json(json_file, report)
    if plot is not None:
        plot_confusion(report, plot)


class Progress:
    """How many pictures have been looked at: a bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self) -> None:
        self._begun = self._said = monotonic()
        self._bar = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(unit=" pictures", unit_scale=True, smoothing=0.1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int, note: str) -> None:
        """Say it.

        Args:
            note: what is done with them, or how well it goes.
        """
        if self._bar is not None:
            self._bar.total = total
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
            return
        now = monotonic()
        if now - self._said < LINE_SECONDS and done < total:
            return
        self._said = now
        speed = done / max(now - self._begun, 1e-9)
        minutes, seconds = divmod(int((total - done) / speed), 60)
        text = f"{done:>11,} / {total:,} pictures  {speed:5.0f} pictures/s  {minutes:3}:{seconds:02} left  {note}"
        print(text, file=sys.stderr, flush=True)
