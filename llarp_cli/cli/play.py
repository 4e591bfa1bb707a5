"""`llarp play`: a home explored by hand."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llarp_cli.cli import completion
from llarp_cli.errors import LlarpError, UsageProblem

if TYPE_CHECKING:
    from llarp_cli.cli.prompt import Prompt
    from llarp_cli.evaluation.session import Session
    from llarp_cli.page.serve import Listening

PORT = 7870
"""Of the page, where no other is asked for."""

COLOURFUL_TERMS = ("xterm-kitty", "xterm-ghostty", "alacritty", "foot", "wezterm")
COLOURFUL_PROGRAMS = ("iTerm.app", "vscode", "WezTerm", "ghostty", "Hyper", "mintty")


@click.command()
@click.option(
    "--env",
    "environment",
    metavar="NAME",
    shell_complete=completion.environments,
    help="Where: home, habitat, ...  [default: the policy's, or home]",
)
@click.option("--home", metavar="NAME", help="home-17, v3_sc0_staging_00, ...  [default: an unseen home, by --seed]")
@click.option(
    "--split", metavar="NAME", shell_complete=completion.splits, help="In place of a home, an episode of a split."
)
@click.option("--episodes", type=click.Path(path_type=Path), metavar="FILE.jsonl", help="Or of a file.")
@click.option("--episode", type=click.IntRange(min=0), metavar="I", help="Which one, from 0.")
@click.option(
    "--policy",
    metavar="POLICY",
    shell_complete=completion.policies,
    help="Tries what is asked: a run, a checkpoint, an export, planner, zero-shot, ...",
)
@click.option(
    "--backbone", metavar="NAME", shell_complete=completion.backbones, help="The language model of zero-shot."
)
@click.option("--weights", metavar="ID_OR_PATH", help="Its weights, in place of its own.")
@click.option("--frames", type=click.Path(path_type=Path), metavar="DIR", help="Write a PNG of each step there.")
@click.option(
    "--size", type=click.IntRange(16, 2048), default=448, show_default=True, metavar="N", help="Side of PNGs, pixels."
)
@click.option(
    "--picture/--no-picture", default=None, help="Draw in the terminal, in 24-bit colours.  [default: if it can]"
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Of what stands where and of sampled skills.",
)
@click.option("--deterministic", is_flag=True, help="The policy takes its likeliest skill in place of sampling.")
@click.option("--web", is_flag=True, help="On a page in a browser, in place of the terminal.")
@click.option("--host", metavar="ADDRESS", help="Where the page can be seen from.  [default: 127.0.0.1, this machine]")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", help=f"The page's; 0 takes any free one.  [default: {PORT}]"
)
@click.option("--browser/--no-browser", default=None, help="Open the page here.  [default: if there are windows]")
def play(
    environment: str | None,
    home: str | None,
    split: str | None,
    episodes: Path | None,
    episode: int | None,
    policy: str | None,
    backbone: str | None,
    weights: str | None,
    frames: Path | None,
    size: int,
    picture: bool | None,
    seed: int,
    deterministic: bool,
    web: bool,
    host: str | None,
    port: int | None,
    browser: bool | None,
) -> None:
    """Explore a home by hand, and let a policy try sentences in it.

    Type skills ("go to sofa", "pick apple"), an instruction in quotes, or `help`. Lines may also be piped in:
    then each is printed with its answer, one that is no command ends it with exit status 2, and a skill that is
    not possible does not.

    \b
    llarp play --home home-17
    llarp play --policy runs/quickstart-minilm-20260101-120000
    echo "go to sofa" | llarp play --home home-17 --frames frames
    llarp play --web --policy runs/quickstart-minilm-20260101-120000
    """
    terminal = {"--frames": frames, "--picture": picture}
    of_the_page = {"--host": host, "--port": port, "--browser": browser}
    for flag, value in (terminal if web else of_the_page).items():
        if value is not None:
            raise UsageProblem(f"{flag} goes {'without' if web else 'with'} --web", f"leave {flag} out")
    listening = _listening(host or "127.0.0.1", PORT if port is None else port) if web else None
    drawn = not web and _drawn(picture)
    from llarp_cli.evaluation.opening import open_session
    from llarp_cli.evaluation.pictures import FrameFolder
    from llarp_cli.runs import resolve_policy

    folder = None if frames is None else FrameFolder(frames)
    session = open_session(
        resolve_policy(policy, backbone, weights) if policy or backbone or weights else None,
        environment=environment,
        home=home,
        split=split,
        episodes=episodes,
        index=episode,
        seed=seed,
        deterministic=deterministic,
    )
    try:
        if listening is not None:
            _serve(session, listening, size, browser)
            return
        from llarp_cli.cli.prompt import Prompt

        prompt = Prompt(session, folder, size, drawn, seed)
        if sys.stdin.isatty() and sys.stdout.isatty():
            _converse(prompt, picture)
        else:
            _follow(prompt)
    finally:
        session.close()


def _listening(host: str, port: int) -> Listening:
    """The page's address, before anything slow is done.

    Raises:
        UsageProblem: it cannot be had, or the extra is not installed.
    """
    try:
        from llarp_cli.page.serve import Listening
    except ModuleNotFoundError as error:
        raise UsageProblem(f"--web needs the package '{error.name}'", "pip install 'llarp[web]'") from error
    return Listening(host, port)


def _serve(session: Session, listening: Listening, size: int, browser: bool | None) -> None:
    """Show the page until Ctrl-C."""
    from llarp_cli.page.serve import has_browser, serve

    click.echo(listening.url)
    click.echo("open that in a browser; Ctrl-C stops", err=True)
    serve(session, listening, size=size, browser=has_browser() if browser is None else browser)


def _converse(prompt: Prompt, picture: bool | None) -> None:
    """Read lines from a person until they quit."""
    _complete(prompt)
    if picture is None and not prompt.drawn:
        click.echo("no pictures here: the terminal does not say that it shows 24-bit colours; --picture draws anyway")
    click.echo("Type a skill, an instruction in quotes, or `help`.")
    prompt.begin()
    going_on = True
    while going_on:
        try:
            line = input("> ")
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo()
            raise
        try:
            going_on = prompt.obey(line)
        except LlarpError as error:
            click.echo(error.message)
            if error.hint:
                click.echo(f"({error.hint})")


def _follow(prompt: Prompt) -> None:
    """Obey the lines of a pipe or file, each printed before its answer."""
    prompt.begin()
    for number, line in _lines():
        if not line or line.startswith("#"):
            continue
        click.echo(f"> {line}")
        try:
            if not prompt.obey(line):
                return
        except LlarpError as error:
            kind = UsageProblem if error.exit_code == UsageProblem.exit_code else LlarpError
            raise kind(f"line {number} ('{line[:60]}'): {error.message}", error.hint) from error


def _lines() -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, line in enumerate(sys.stdin, 1):
            yield number, line.strip()
    except UnicodeDecodeError as error:
        raise UsageProblem(f"line {number + 1} is not text", "write it in UTF-8") from error


def _drawn(picture: bool | None) -> bool:
    """Whether to draw in the terminal.

    Raises:
        UsageProblem: asked to where it cannot be done.
    """
    if picture is False:
        return False
    terminal = sys.stdout.isatty()
    try:
        "▀".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        terminal = False
    if picture and not terminal:
        raise UsageProblem("--picture: the output is no terminal that shows them", "write them with --frames DIR")
    if terminal and os.name == "nt":
        os.system("")  # makes the console obey colours
    return terminal and (bool(picture) or _colourful())


def _colourful() -> bool:
    """Whether the terminal says that it shows 24-bit colours."""
    env = os.environ
    term = env.get("TERM", "")
    if term == "dumb" or env.get("NO_COLOR"):
        return False
    return (
        env.get("COLORTERM") in ("truecolor", "24bit")
        or term.endswith("-direct")
        or term in COLOURFUL_TERMS
        or env.get("TERM_PROGRAM") in COLOURFUL_PROGRAMS
        or "WT_SESSION" in env
    )


def _complete(prompt: Prompt) -> None:
    """Tab completes words and skills, where Python has readline (not on Windows)."""
    try:
        import readline
    except ImportError:
        return

    def completed(text: str, state: int) -> str | None:
        found = prompt.completions(text)
        return found[state] if state < len(found) else None

    readline.set_completer(completed)
    readline.set_completer_delims("")
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
