"""`llarp train`: a recipe, a run, a resumed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from llarp_cli.cli import completion
from llarp_cli.errors import UsageProblem, quoted


class TrainCommand(click.Command):
    """Answers a recipe key typed as an option with the way to write it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            from llarp_cli.recipes import recipe_keys

            key = error.option_name.lstrip("-").partition("=")[0].replace("-", "_")
            if "." not in key and key not in recipe_keys():
                raise
            raise UsageProblem(
                f"'{error.option_name}' is a recipe key, not an option",
                f"write {quoted(f'{key}={_value(given, error.option_name)}')}",
            ) from error


def _value(args: list[str], option: str) -> str:
    for i, arg in enumerate(args):
        if arg.startswith(f"{option}="):
            return arg.partition("=")[2]
        if arg == option and i + 1 < len(args) and not args[i + 1].startswith("--"):
            return args[i + 1]
    return "..."


def _whole(steps: str) -> int:
    """The number of steps, which may be written 2e6 or 200_000."""
    from llarp_cli.config import MOST

    try:
        number = float(steps.replace("_", ""))
    except ValueError:
        number = 0.5
    if not 1 <= number <= MOST or number % 1:
        raise UsageProblem(f"steps = {steps} (--steps): should be a whole number from 1 to {MOST:,}")
    return int(number)


@click.command(cls=TrainCommand)
@click.option(
    "--backbone",
    metavar="NAME",
    shell_complete=completion.backbones,
    help="A frozen LLM: `llarp plugins` lists them; hf:ORG/NAME; hf:PATH.",
)
@click.option(
    "--recipe",
    metavar="NAME_OR_FILE",
    shell_complete=completion.recipes,
    help="A recipe: `llarp recipes` lists them; or a YAML file.",
)
@click.option(
    "--env",
    "environment",
    shell_complete=completion.environments,
    metavar="NAME",
    help="Where to act: home, habitat, babyai:LEVEL, gym:ID, gym:MODULE:OBJECT.",
)
@click.option("--run-dir", type=click.Path(path_type=Path), metavar="DIR", help="Default: a new folder under ./runs.")
@click.option("--steps", metavar="N", help="Environment steps in all, imitation's included.")
@click.option("--seed", metavar="N", help="Seed of everything.")
@click.option(
    "--num-processes", type=click.IntRange(min=1), metavar="N", help="Processes to train on (1, or as before)."
)
@click.option(
    "--max-restarts",
    type=click.IntRange(min=0),
    metavar="N",
    help="Starts anew from the last checkpoint when a process was killed (3 with several).",
)
@click.option("--weights", metavar="ID_OR_PATH", help='The backbone\'s weights; "random" for its architecture alone.')
@click.option(
    "--tracker",
    "trackers",
    multiple=True,
    metavar="NAME",
    help="Gets the figures too: tensorboard, trackio or wandb. May be given again.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN_DIR",
    shell_complete=completion.runs,
    help="Go on with a run, exactly; --steps makes it longer, --num-processes spreads it anew.",
)
@click.option("--dry-run", is_flag=True, help="Print the recipe with where each value came from, and stop.")
@click.argument("overrides", nargs=-1, metavar="[KEY.SUB=VALUE]...")
def train(
    backbone: str | None,
    recipe: str | None,
    environment: str | None,
    run_dir: Path | None,
    steps: str | None,
    seed: str | None,
    num_processes: int | None,
    max_restarts: int | None,
    weights: str | None,
    trackers: tuple[str, ...],
    resume: Path | None,
    dry_run: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train the adapter and action decoder around a frozen LLM.

    \b
    llarp train --backbone minilm --recipe quickstart
    llarp train --backbone llama-7b-4bit --recipe lang-rearrange ppo.lr=1e-4
    llarp train --recipe quickstart policy=lstm
    llarp train --resume runs/quickstart-minilm-20260101-120000
    """
    flags: dict[str, tuple[str, Any]] = {
        key: (flag, value)
        for key, flag, value in (
            ("backbone.name", "--backbone", backbone),
            ("environment", "--env", environment),
            ("steps", "--steps", steps),
            ("seed", "--seed", seed),
            ("backbone.weights", "--weights", weights),
            ("trackers", "--tracker", list(trackers) or None),
        )
        if value is not None
    }
    if resume is not None:
        typed = [flag for flag, _ in flags.values() if flag != "--steps"]
        typed += ["--recipe"] * (recipe is not None) + ["--run-dir"] * (run_dir is not None)
        typed += ["--dry-run"] * dry_run + list(overrides)
        if typed:
            raise UsageProblem(
                f"--resume goes on with a run exactly as it was; it takes no {typed[0]}",
                f"llarp train --resume {quoted(resume)}",
            )
        from llarp_cli.train import train as run_training

        run_training(
            resume=resume,
            steps=None if steps is None else _whole(steps),
            num_processes=num_processes,
            max_restarts=max_restarts,
        )
        return
    if recipe is None:
        raise UsageProblem(
            "train needs a recipe",
            f"llarp train --backbone {backbone or 'minilm'} --recipe quickstart; `llarp recipes` lists them",
        )

    from llarp_cli.recipes import arithmetic, check_names, load_recipe, to_yaml

    resolved, provenance = load_recipe(recipe, overrides, flags)
    check_names(resolved)
    if dry_run:
        click.echo(to_yaml(resolved, provenance), nl=False)
        click.echo("".join(f"\n# {line}" for line in arithmetic(resolved, num_processes or 1))[1:])
        return
    from llarp_cli.train import train as run_training

    run_training(
        resolved,
        run_dir=run_dir,
        num_processes=num_processes,
        max_restarts=max_restarts,
        name=Path(recipe).stem,
    )
