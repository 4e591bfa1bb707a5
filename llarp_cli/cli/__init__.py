"""The command line: parse, call one library function, print.

One file per command, imported only when it is invoked or listed. The answer goes to stdout, progress
and messages to stderr. Exit status: 0 done, 1 the work failed, 2 the user's mistake, 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
import traceback

import click

from llarp_cli.errors import LlarpError, SeveralProblems, UsageProblem, unknown

COMMANDS = {
    "train": "llarp_cli.cli.train:train",
    "eval": "llarp_cli.cli.eval:eval_",
    "compare": "llarp_cli.cli.compare:compare",
    "study": "llarp_cli.cli.study:study",
    "rollout": "llarp_cli.cli.rollout:rollout",
    "play": "llarp_cli.cli.play:play",
    "export": "llarp_cli.cli.export:export",
    "dataset": "llarp_cli.cli.dataset:dataset",
    "recipes": "llarp_cli.cli.recipes:recipes",
    "plugins": "llarp_cli.cli.plugins:plugins",
    "doctor": "llarp_cli.cli.doctor:doctor",
    "bench": "llarp_cli.cli.bench:bench",
    "pretrain-vision": "llarp_cli.cli.pretrain_vision:pretrain_vision",
    "completion": "llarp_cli.cli.completion:completion",
}
"""Command → where its click command lives, in the order of `llarp --help`."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""Why a disk does not take a file."""


class LazyGroup(click.Group):
    """Commands imported when asked for; errors reported in one line and one hint each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        return getattr(importlib.import_module(module), name)

    def resolve_command(self, ctx: click.Context, args: list[str]):
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise unknown("command", args[0], COMMANDS, listed_by="llarp --help")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if ctx.params["debug"]:
                traceback.print_exception(error)
            ctx.exit(report(error))


def report(error: BaseException) -> int:
    """Print what went wrong on stderr and return the exit status that goes with it."""
    if isinstance(error, SeveralProblems):
        for problem in error.problems:
            report(problem)
        return error.exit_code
    if isinstance(error, LlarpError):
        click.echo(f"error: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return report(UsageProblem(f"'{str(error.filename)[:60]}...' is too long for a file's name", "shorten it"))
    if isinstance(error, OSError) and error.errno in FULL:
        what = f"cannot write '{error.filename}'" if error.filename else "cannot write"
        return report(LlarpError(f"{what}: {error.strerror}", "choose another place"))
    click.echo(f"error: {type(error).__name__}: {error}", err=True)
    click.echo("hint: `llarp --debug ...` shows where", err=True)
    return 1


def show_versions(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    """Answer `--version`."""
    if wanted and not ctx.resilient_parsing:
        from llarp_cli.versions import report

        click.echo(report())
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=show_versions,
    help="Show the versions that a bug report needs.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Train, evaluate, film and export frozen language models that act in a home.

    \b
    llarp train --backbone minilm --recipe quickstart
    llarp eval
    llarp rollout --video out.mp4
    llarp export
    """
    # Where a pipe takes fewer characters than there are, as on Windows, a ? is better than an error.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    # OpenMP's threads spin for long while they wait, which makes two cores slower than one as soon as anything
    # else runs on them. Must be set before torch and numba are imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
