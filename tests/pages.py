"""The commands on a page of the documentation, as a reader would type them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "plugins/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)


@dataclass(frozen=True)
class Command:
    """A command in a block marked `sh`.

    Attributes:
        page: where it is.
        words: without variables set before it and what it is redirected to.
        into: the file it is redirected to.
    """

    page: str
    words: tuple[str, ...]
    into: str | None = None

    @property
    def llarp(self) -> tuple[str, ...] | None:
        """What follows `llarp`, however it is started; None for other commands."""
        if self.words[0] == "llarp":
            return self.words[1:]
        if "llarp_cli" in self.words and self.words[self.words.index("llarp_cli") - 1] == "-m":
            return self.words[self.words.index("llarp_cli") + 1 :]
        return None

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def blocks(page: str, language: str) -> list[str]:
    """The contents of a page's code blocks in a language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[Command]:
    """The commands of a page, from its first to its last."""
    found = []
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"\w+=\$\(", line):  # a shell's own doing
                continue
            words = shlex.split(line, comments=True)
            while words:
                end = words.index("&&") if "&&" in words else len(words)
                one, words = words[:end], words[end + 1 :]
                while one and re.match(r"\w+=", one[0]):
                    del one[0]
                into = None
                if ">" in one:
                    into, one = one[one.index(">") + 1], one[: one.index(">")]
                if one:
                    found.append(Command(page, tuple(one), into))
    return found


def inline(page: str) -> list[str]:
    """What a page's running text and tables have marked as code."""
    text = (ROOT / page).read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
