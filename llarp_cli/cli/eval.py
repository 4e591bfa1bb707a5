"""`llarp eval`: success on sentences and homes, with intervals."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli import completion
from llarp_cli.cli.output import OutputFile, json_option, save_json


@click.command("eval")
@click.argument("policy", required=False, shell_complete=completion.policies)
@click.option(
    "--backbone", metavar="NAME", shell_complete=completion.backbones, help="The language model of zero-shot."
)
@click.option("--weights", metavar="ID_OR_PATH", help="Its weights, in place of its own.")
@click.option(
    "--split",
    "splits",
    shell_complete=completion.splits,
    multiple=True,
    metavar="NAME",
    help="A split; may be given again. Default: all of them.",
)
@click.option(
    "--family",
    "families",
    shell_complete=completion.families,
    multiple=True,
    metavar="NAME",
    help="An instruction family; may be given again.",
)
@click.option("--all-families", is_flag=True, help="Not only the families that the recipe trained.")
@click.option(
    "--episodes", type=click.Path(path_type=Path), metavar="FILE.jsonl", help="An episode file in place of the splits."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N episodes of each split.")
@click.option(
    "--env",
    "environment",
    shell_complete=completion.environments,
    metavar="NAME",
    help="Where: home, babyai:LEVEL, ...  [default: where it was trained]",
)
@click.option("--num-envs", type=click.IntRange(min=1), default=32, show_default=True, metavar="N")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of sampled actions."
)
@click.option("--deterministic", is_flag=True, help="Take the likeliest skill in place of sampling.")
@json_option
@click.option("--plot", type=OutputFile(".png"), metavar="FILE.png", help="Draw success by split.")
def eval_(
    policy: str | None,
    backbone: str | None,
    weights: str | None,
    splits: tuple[str, ...],
    families: tuple[str, ...],
    all_families: bool,
    episodes: Path | None,
    limit: int | None,
    environment: str | None,
    num_envs: int,
    seed: int,
    deterministic: bool,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    """Evaluate a policy; each episode counts exactly once. A run keeps what is found, for `llarp compare`.

    POLICY is a run directory, a checkpoint, an export, or one that is not learned: `planner` (knows
    everything, an upper bound), `searcher` (knows what an agent has seen), `expert` (whoever is imitated),
    `zero-shot` (a language model is told in words) or `random`; left out, the newest run under ./runs.

    \b
    llarp eval --split rephrasing --json results.json
    llarp eval planner --all-families
    llarp eval --episodes mine.jsonl
    """
    from llarp_cli.evaluation.evaluate import evaluate_policy
    from llarp_cli.evaluation.report import plot_results, table_of
    from llarp_cli.runs import resolve_policy

    results = evaluate_policy(
        resolve_policy(policy, backbone, weights),
        splits=splits,
        families=families,
        all_families=all_families,
        episode_file=episodes,
        limit=limit,
        environment=environment,
        num_envs=num_envs,
        seed=seed,
        deterministic=deterministic,
    )
    click.echo(table_of(results))
    if results.kept_in is not None:
        click.echo(f"kept in {results.kept_in}", err=True)
    save_json(json_file, results.to_json())
    if plot is not None:
        plot_results(results, plot)
