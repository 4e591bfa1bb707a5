"""`llarp export`: a small folder to share."""

from __future__ import annotations

from pathlib import Path

import click

from llarp_cli.cli import completion
from llarp_cli.errors import UsageProblem


@click.command()
@click.argument("source", required=False, metavar="[POLICY]", shell_complete=completion.runs)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="A new folder.  [default: export beside the run]"
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.json",
    help="From `llarp eval --json`: goes into the model card.",
)
@click.option(
    "--video",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.mp4",
    help="From `llarp rollout --video`, for the model card.  [default: the newest in the run]",
)
@click.option("--push-to-hub", "name", metavar="ORG/NAME", help="Put it on the Hugging Face Hub when it is complete.")
@click.option("--private", is_flag=True, help="There, for nobody else to see.")
def export(
    source: str | None, out: Path | None, results: Path | None, video: Path | None, name: str | None, private: bool
) -> None:
    """Export a policy: the trained weights, what they need, and a model card.

    Left out, the newest run under ./runs. Load it with `llarp_cli.load_policy(DIR)`. With --push-to-hub it is put on
    the hub too, or an export made earlier is; `hf:ORG/NAME` is its name from then on, wherever a policy is asked for.

    \b
    llarp export runs/quickstart-minilm-20260101-120000 --out apples
    llarp export apples --push-to-hub me/apples
    """
    from llarp_cli.export import export_policy, ready_export
    from llarp_cli.sharing import check_push, push_policy

    if name is not None:
        check_push(name)
    elif private:
        raise UsageProblem("--private goes with --push-to-hub", "leave --private out")
    made = None
    if name is not None and out is None and results is None and video is None:
        made = ready_export(source)
    made = made or export_policy(source, out, results, video)
    click.echo(made)
    if name is not None:
        click.echo(push_policy(made, name, private=private))
