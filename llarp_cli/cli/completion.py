"""`llarp completion`: what the Tab key offers, and the lines that tell a shell.

What is offered must be there at once: nothing here imports torch, numba or a plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

SETUP = {
    "bash": 'eval "$(llarp completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(llarp completion zsh)"   # in ~/.zshrc, after compinit',
    "fish": "llarp completion fish | source   # in ~/.config/fish/config.fish",
}

SPLIT_GROUPS = ("paraphrastic", "behavior", "all")
"""As `rearrangement.splits` has them, which takes long to import."""

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command(epilog="\b\n" + "\n".join(SETUP.values()))
@click.argument("shell", type=click.Choice(list(SETUP)))
def completion(shell: str) -> None:
    """Print what a shell needs to complete llarp's commands, options and names with the Tab key."""
    from llarp_cli.cli import main

    kind = get_completion_class(shell)
    assert kind is not None
    made = kind(main, {}, "llarp", "_LLARP_COMPLETE")
    # Not `source()`, which runs bash to see whether it is new enough.
    click.echo(made.source_template % made.source_vars())


def _completer(names: Callable[[], Iterable[str]], otherwise: str | None = None) -> Completer:
    """Offers names, or, where none fits, what the shell itself knows of: "file" or "dir"."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        fitting = [CompletionItem(name) for name in names() if name.startswith(incomplete)]
        if fitting or otherwise is None:
            return fitting
        return [CompletionItem(incomplete, type=otherwise)]

    return complete


def _plugins(kind: str) -> list[str]:
    from llarp_cli import registry

    return [plugin.name for plugin in registry.plugins(kind) if not plugin.shadowed]


def _recipes() -> Iterable[str]:
    from llarp_cli.shipped import shipped_recipes

    return shipped_recipes()


def _studies() -> Iterable[str]:
    from llarp_cli.shipped import shipped_studies

    return shipped_studies()


def _splits() -> list[str]:
    from llarp_cli.shipped import shipped_splits

    return [*shipped_splits(), *SPLIT_GROUPS]


def _families() -> Iterable[str]:
    from llarp_cli.rearrangement.tasks import FAMILIES

    return FAMILIES


def _runs() -> list[str]:
    """Run directories under ./runs, the newest first."""
    found = [path.parent for path in Path("runs").glob("*/run.json")]
    return [str(path) for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)]


def _policies() -> list[str]:
    return [*_runs(), "planner", "searcher", "expert", "random", "zero-shot"]


backbones = _completer(lambda: _plugins("backbone"))
environments = _completer(lambda: _plugins("environment"))
recipes = _completer(_recipes, "file")
studies = _completer(_studies, "file")
splits = _completer(_splits, "file")
families = _completer(_families)
runs = _completer(_runs, "dir")
policies = _completer(_policies, "dir")
