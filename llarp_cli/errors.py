"""The two ways a command ends early, each as one line and one hint.

`UsageProblem`: something the user typed or wrote (exit status 2).
`LlarpError`: the work itself failed (exit status 1).
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable


class LlarpError(Exception):
    """A failure reported as `error: <message>` and, where there is one, `hint: <hint>`.

    Args:
        message: one line, lower case, naming what is wrong and where it came from.
        hint: what to type instead.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageProblem(LlarpError):
    """The user's own mistake: a flag, a recipe key, a file, a missing package."""

    exit_code = 2


def quoted(word: object) -> str:
    """A path or a name as a word of a command to be typed: quoted for a shell where it needs that."""
    return shlex.quote(str(word))


def unknown(kind: str, name: str, known: Iterable[str], *, listed_by: str | None = None) -> UsageProblem:
    """The problem of a name that is not among the known ones, with the nearest one as a hint.

    Args:
        kind: what was looked up, e.g. "backbone".
        name: what was typed.
        known: the names that exist.
        listed_by: a command that prints them all, e.g. "llarp plugins".
    """
    known = sorted(known)
    name = "".join(c if c.isprintable() else " " for c in name[:100])
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    parts = []
    if near:
        parts.append(f"did you mean '{near[0]}'?")
    if listed_by:
        parts.append(f"`{listed_by}` lists them all")
    elif not near or len(known) <= 8:
        parts.append("known: " + ", ".join(known))
    return UsageProblem(f"unknown {kind} '{name}'", " ".join(parts))


class SeveralProblems(UsageProblem):
    """Mistakes found together, each reported as its own error and hint."""

    def __init__(self, problems: Iterable[UsageProblem]):
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.message for problem in self.problems))
