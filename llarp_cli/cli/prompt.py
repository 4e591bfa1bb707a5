"""What is typed at `llarp play`, and what it answers."""

from __future__ import annotations

import difflib
import shutil
import sys
from collections.abc import Callable

import click
import numpy as np
from numpy.typing import NDArray

from llarp_cli.cli.output import OutputFile
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.phrases import read_skill
from llarp_cli.evaluation.pictures import FrameFolder, half_blocks, shrunk, write_png
from llarp_cli.evaluation.session import MAX_SKILLS, Session, Used
from llarp_cli.rearrangement.searcher import SEEN_PIXELS
from llarp_cli.rearrangement.skills import SKILLS

Draw = Callable[[int], NDArray[np.uint8]]
"""Side in pixels → a square picture."""

COMMANDS = """\
  go to sofa, pick apple, ...  use a skill; the first letters or its number do as well
  "bring ...", say bring ...   ask for something, from the present state on
  n, step [N]                  let the policy use the next skill, or N of them
  go, run                      let it go on to the end
  likely [N]                   what it would do next
  skills [WORD]                the skills and their numbers; those that can be used now are marked *
  objects [all]                what is in view: semantic id, pixels, place
  look [FILE.png]              what the agent sees
  map [FILE.png]               the home from above
  goal, status                 what is asked, held, open and in reach
  undo, reset                  take back the last skill or sentence, or everything
  home [NAME [SEED]]           another home: home-17, v3_sc0_staging_00, ...; the seed says what stands where
  save FILE.png, FILE.mp4      view and map side by side; a film of everything so far
  help, quit                   Ctrl-D quits as well"""

SHORT = {"?": "help", "n": "step", "go": "run", "u": "undo", "q": "quit", "exit": "quit"}
"""What is meant by a word that is a line of its own."""

QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’"}
SEEN = 12
"""Pixels from which on an object is named as in view, at 128 x 128."""
LARGEST = 120
"""Side of a picture in a terminal at most, characters."""


class Prompt:
    """Obeys lines.

    Args:
        session: the home.
        folder: for a picture of each step; None for none.
        size: side of pictures in files, pixels.
        drawn: draw pictures in the terminal.
        seed: of what stands where in homes that are entered.
    """

    def __init__(self, session: Session, folder: FrameFolder | None, size: int, drawn: bool, seed: int):
        self._session, self._folder, self._size, self._seed = session, folder, size, seed
        self.drawn = drawn
        self._commands: dict[str, Callable[[str], None]] = {
            "help": self._help,
            "say": self._say,
            "step": self._step,
            "run": self._run,
            "likely": self._likely,
            "skills": self._skills,
            "objects": self._objects,
            "look": self._look,
            "map": self._map,
            "goal": self._status,
            "status": self._status,
            "undo": self._undo,
            "reset": self._reset,
            "home": self._home,
            "save": self._save,
        }

    def obey(self, line: str) -> bool:
        """Do what a line says; false where it says to quit.

        Raises:
            UsageProblem: it cannot be understood or done.
        """
        line = line.strip()
        if not line:
            return True
        if line[0] in QUOTES:
            self._say(line[1:].removesuffix(QUOTES[line[0]]))
            return True
        word, _, rest = line.partition(" ")
        word, rest = word.casefold(), rest.strip()
        word = SHORT.get(word, word) if not rest or word in ("n", "?") else word
        if word == "quit" and not rest:
            return False
        if word in self._commands:
            self._commands[word](rest)
        else:
            self._use(line)
        return True

    def begin(self) -> None:
        """Say where one is and what is asked."""
        session = self._session
        click.echo(f"{session.home}, {len(session.episode.arrangement.objects)} objects")
        if session.instruction:
            click.echo(f'"{session.instruction}": {session.note}')
        self.show("start")

    def show(self, name: str) -> None:
        """What is seen now, and what the policy makes of it.

        Args:
            name: of the picture in the folder.
        """
        session = self._session
        if self._folder is not None:
            self._folder.add(session.view(self._size), name)
        if self.drawn:
            self._draw([session.view, session.map])
        things = [t for t in session.things() if t.pixels >= SEEN_PIXELS * (session.image_size / 128) ** 2]
        near = ", ".join(t.category for t in things if t.in_reach)
        far = ", ".join(t.category for t in things if not t.in_reach and t.place != "the hand")
        told = [f"{label}: {names}" for label, names in (("in reach", near), ("farther off", far)) if names]
        click.echo(f"     {'; '.join(told) or 'no object in view'}")
        if session.advice is not None:
            self._likely("5")

    @property
    def words(self) -> list[str]:
        """The first words of lines."""
        return [*self._commands, "quit"]

    def completions(self, text: str) -> list[str]:
        """Lines that a beginning may become."""
        lines = [*self.words, *(f"home {name}" for name in self._session.world.test_scenes())]
        found = [line for line in lines if line.casefold().startswith(text.casefold())]
        reading = read_skill(text)
        actions = reading.candidates if reading.skill is None else (reading.skill,)
        return found + [str(SKILLS[action]).replace(" the ", " ") for action in actions if " " in text.strip()]

    def _use(self, line: str) -> None:
        reading = read_skill(line)
        if reading.skill is not None:
            self._tell(self._session.use(reading.skill))
        elif reading.candidates:
            names = ", ".join(f"{SKILLS[action]} ({action})" for action in reading.candidates)
            problem = "may mean several skills" if reading.fitting else "is no skill"
            raise UsageProblem(f"'{line}' {problem}", f"did you mean: {names}?")
        elif line.isdecimal():
            raise UsageProblem(f"there is no skill {line}", f"they go from 0 to {len(SKILLS) - 1}; `skills` lists them")
        else:
            near = difflib.get_close_matches(line.split(maxsplit=1)[0].casefold(), self.words, n=1, cutoff=0.7)
            hints = [f"did you mean '{near[0]}'?"] if near else []
            hints += [f'an instruction stands in quotes: "{line}"'] if " " in line else []
            raise UsageProblem(f"'{line}' is neither a command nor a skill", "; ".join([*hints, "`help` tells more"]))

    def _tell(self, used: Used) -> None:
        told = f"{used.number:>3}. {used}"
        if used.probability is not None:
            told += f"  {used.probability:.1%}"
        if used.reason:
            told += f"  not possible: {used.reason}"
        if used.reward:
            told += f"  reward {used.reward:+.2f}"
        click.echo(told)
        self.show(str(used))
        if used.reached:
            click.echo("     the goal is reached")
        elif used.probability is not None and self._session.ended:
            click.echo(f"     {self._session.ending()}")

    def _say(self, rest: str) -> None:
        if rest[:1] in QUOTES:
            rest = rest[1:].removesuffix(QUOTES[rest[0]])
        click.echo(f"     {self._session.say(rest)}")
        if self._session.advice is not None:
            self._likely("5")
        elif self._session.ended:
            click.echo(f"     {self._session.ending()}")

    def _step(self, rest: str) -> None:
        count = _number(rest, 1)
        if self._session.ended:
            click.echo(f"     its trial is over: {self._session.ending()}")
        while count and not self._session.ended:
            self._tell(self._session.step())
            count -= 1

    def _run(self, rest: str) -> None:
        self._nothing_after("run", rest)
        self._step(str(MAX_SKILLS))

    def _likely(self, rest: str) -> None:
        session, advice = self._session, self._session.ask()
        value = "" if advice.value is None else f", value {advice.value:.2f}"
        click.echo(f"     {session.adviser.name}, step {session.trial} of {session.adviser.steps}{value}:")
        for action, probability in advice.likeliest(_number(rest, 5)):
            click.echo(f"     {probability:>6.1%}  {SKILLS[action]}")

    def _skills(self, rest: str) -> None:
        possible = self._session.possible()
        rows = [f"{'*' if possible[i] else ' '}{i:>3}  {skill}" for i, skill in enumerate(SKILLS) if rest in str(skill)]
        if not rows:
            raise UsageProblem(f"no skill has '{rest}' in its name", "`skills` lists them")
        click.echo("\n".join(rows))

    def _objects(self, rest: str) -> None:
        if rest not in ("", "all"):
            raise UsageProblem(f"objects takes no '{rest}'", "write objects, or objects all")
        things = [thing for thing in self._session.things() if thing.pixels or rest]
        for thing in things:
            place = f", {'in' if thing.place == 'the hand' else 'at'} {thing.place}" if thing.place else ""
            reach = ", in reach" if thing.in_reach else ""
            click.echo(f"  {thing.index:>3}  {thing.pixels:>5} px  {thing.category} ({thing.asset}){place}{reach}")
        if not things:
            click.echo("     no object in view")

    def _look(self, rest: str) -> None:
        self._picture("look", rest, self._session.view)

    def _map(self, rest: str) -> None:
        self._picture("map", rest, self._session.map)

    def _picture(self, name: str, rest: str, draw: Draw) -> None:
        """A picture in the file named, else in the terminal, else in the folder."""
        if rest:
            self._save_png(rest, draw(self._size))
        elif self.drawn:
            self._draw([draw])
        elif self._folder is not None:
            click.echo(f"     {self._folder.add(draw(self._size), name)}")
        else:
            raise UsageProblem("there is nothing to draw on", f"write {name} FILE.png, or begin with --frames DIR")

    def _status(self, rest: str) -> None:
        self._nothing_after("status", rest)
        session = self._session
        asked = f'"{session.instruction}"' if session.instruction else "nothing"
        goal = f"{'reached' if session.reached else 'not reached'}: {session.goal}" if session.judged else "none known"
        rows = {
            "home": f"{session.home}, episode {session.episode.id}",
            "asked": asked,
            "goal": goal,
            "holding": session.holding or "nothing",
            "in reach": ", ".join(session.standing_at) or "nothing",
            "open": ", ".join(session.opened) or "nothing",
            "skills": f"{len(session.used)} used",
        }
        click.echo("\n".join(f"  {name:<8}  {value}" for name, value in rows.items()))

    def _undo(self, rest: str) -> None:
        self._nothing_after("undo", rest)
        if not self._session.undo():
            raise UsageProblem("there is nothing to take back")
        self.show("undo")

    def _reset(self, rest: str) -> None:
        self._nothing_after("reset", rest)
        self._session.reset()
        self.begin()

    def _home(self, rest: str) -> None:
        if not rest:
            click.echo(f"  {self._session.home}")
            return
        name, _, seed = rest.rpartition(" ")
        if not name or not seed.isdecimal():
            name, seed = rest, ""
        self._session.visit(name, _number(seed, self._seed, least=0))
        self.begin()

    def _save(self, rest: str) -> None:
        if rest.lower().endswith(".mp4"):
            path = OutputFile(".mp4").convert(rest, None, None)
            self._session.film().write(path)
            click.echo(f"     {path}")
        elif rest.lower().endswith(".png"):
            both = [self._session.view(self._size), self._session.map(self._size)]
            self._save_png(rest, np.concatenate(both, axis=1))
        else:
            raise UsageProblem(f"'{rest}' is neither a picture nor a film", "write save FILE.png or save FILE.mp4")

    def _save_png(self, name: str, picture: NDArray[np.uint8]) -> None:
        path = OutputFile(".png").convert(name, None, None)
        write_png(path, picture)
        click.echo(f"     {path}")

    def _help(self, rest: str) -> None:
        click.echo(COMMANDS)

    def _nothing_after(self, word: str, rest: str) -> None:
        if rest:
            raise UsageProblem(f"{word} takes nothing more, and got '{rest}'")

    def _draw(self, pictures: list[Draw]) -> None:
        """Pictures beside each other in the terminal, as many as fit."""
        columns, lines = shutil.get_terminal_size()
        side = max(2, min(columns, 2 * max(lines - 9, 16), LARGEST) // 2 * 2)
        shown = pictures[: max(1, (columns + 2) // (side + 2))]
        drawn = [half_blocks(shrunk(picture(4 * side), side)).split("\n") for picture in shown]
        # Not through click, which would take the colours for its own on Windows.
        sys.stdout.write("\n".join("  ".join(row) for row in zip(*drawn, strict=True)) + "\n")
        sys.stdout.flush()


def _number(text: str, default: int, least: int = 1) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 19) or int(text) < least:
        raise UsageProblem(f"'{text}' is no whole number from {least} on")
    return int(text)
