"""`llarp rollout`: one episode, step by step, and its film."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli import completion
from llarp_cli.cli.output import OutputFile, json_option, save_json


@click.command()
@click.argument("policy", required=False, shell_complete=completion.policies)
@click.option(
    "--backbone", metavar="NAME", shell_complete=completion.backbones, help="The language model of zero-shot."
)
@click.option("--weights", metavar="ID_OR_PATH", help="Its weights, in place of its own.")
@click.option("--video", type=OutputFile(".mp4"), metavar="FILE.mp4", help="Film it.")
@click.option("--instruction", metavar="TEXT", help="Your own sentence in place of the episode's.")
@click.option(
    "--split", shell_complete=completion.splits, metavar="NAME", help="The split of the episode.  [default: rephrasing]"
)
@click.option(
    "--episodes", type=click.Path(path_type=Path), metavar="FILE.jsonl", help="An episode file in place of a split."
)
@click.option(
    "--episode", type=click.IntRange(min=0), metavar="I", help="Which of the split's or file's episodes, from 0."
)
@click.option(
    "--env",
    "environment",
    shell_complete=completion.environments,
    metavar="NAME",
    help="Where: home, babyai:LEVEL, ...  [default: where it was trained]",
)
@click.option("--home", metavar="NAME", help="The home in which to try --instruction: home-17, v3_sc0_staging_00, ...")
@click.option(
    "--arrangement-seed",
    type=click.IntRange(min=0),
    metavar="S",
    help="Of what stands where in it.  [default: --seed's]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of sampled actions."
)
@click.option("--deterministic", is_flag=True, help="Take the likeliest skill in place of sampling.")
@json_option
def rollout(
    policy: str | None,
    backbone: str | None,
    weights: str | None,
    video: Path | None,
    instruction: str | None,
    split: str | None,
    episodes: Path | None,
    episode: int | None,
    environment: str | None,
    home: str | None,
    arrangement_seed: int | None,
    seed: int,
    deterministic: bool,
    json_file: Path | None,
) -> None:
    """Run one episode and show what the policy does.

    POLICY is a run directory, a checkpoint, an export, or one that is not learned: `planner` (knows
    everything, an upper bound), `searcher` (knows what an agent has seen), `expert` (whoever is imitated),
    `zero-shot` (a language model is told in words) or `random`; left out, the newest run under ./runs.

    \b
    llarp rollout --video out.mp4
    llarp rollout --video out.mp4 --instruction "bring the apple to the sofa" --home home-17
    """
    from llarp_cli.evaluation.rollout import roll_out
    from llarp_cli.runs import resolve_policy

    told = roll_out(
        resolve_policy(policy, backbone, weights),
        video=video,
        instruction=instruction,
        split=split,
        episode_file=episodes,
        index=episode,
        environment=environment,
        home=home,
        arrangement_seed=arrangement_seed,
        seed=seed,
        deterministic=deterministic,
    )
    click.echo(told.text())
    save_json(json_file, told.to_json())
