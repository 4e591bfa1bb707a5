"""The parts of docs/benchmark.md that follow from the benchmark: its tables and a picture of each family.

Maintainers run it after a change to the home's looks, the sentences, the families or the splits:
`python -m llarp_cli.dataset.document docs`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from llarp_cli.dataset.pictures import family_pictures
from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.goals import Goal, parse
from llarp_cli.rearrangement.instructions import with_article
from llarp_cli.rearrangement.relations import RELATIONS
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.splits import SPLITS, split_episodes
from llarp_cli.rearrangement.tasks import FAMILIES
from llarp_cli.rearrangement.wordings import HELD_OUT, LOOKS, NEEDS, TRAIN
from llarp_cli.runs import write_text

HOMES = {"train": "training", "unseen": "procedural, unseen", "test": "the 34 layouts"}
WORDINGS = {"train": "training", "held_out": "held-out", "synonyms": "training, other names"}
COLUMNS = 3
"""Pictures side by side."""


def document(world: World, docs: Path) -> None:
    """Bring docs/benchmark.md and docs/images up to date.

    Args:
        world: where pictures are taken.
        docs: the folder of the documentation.

    Raises:
        UsageProblem: the page lacks the marks between which a table goes.
    """
    pictured = family_pictures(world, docs / "images")
    page = docs / "benchmark.md"
    text = page.read_text("utf-8")
    parts = {"splits": split_table(world), "families": family_table(pictured), "pictures": picture_table(pictured)}
    for name, lines in parts.items():
        marks = re.compile(rf"(<!-- {name}: made by llarp_cli\.dataset\.document -->\n).*?(<!-- end -->)", re.DOTALL)
        if not marks.search(text):
            raise UsageProblem(f"'{page}' has no mark for its {name}", f"<!-- {name}: ... --> and <!-- end -->")
        table = "\n".join(lines)
        text = marks.sub(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", text)
    write_text(page, text)


def split_table(world: World) -> list[str]:
    """A row of Markdown for each split."""
    rows = ["| split | tests | families | homes | sentences | an example |", "|---|---|---|---|---|---|"]
    trained = [name for name, family in FAMILIES.items() if family.trained]
    for name, split in SPLITS.items():
        missing = [name for name in trained if name not in split.families]
        families = "the nine trained" if not missing else _codes(split.families)
        if len(missing) == 1:
            families = f"the nine trained but `{missing[0]}`"
        example = split_episodes(world, name)[0].instruction
        rows.append(
            f"| `{name}` | {split.description} | {families} | {HOMES[split.homes]} | {WORDINGS[split.wordings]} "
            f'| "{example}" |'
        )
    return rows


def family_table(pictured: dict[str, Episode]) -> list[str]:
    """A row of Markdown for each family, with the goal of the episode in its picture."""
    rows = [
        "| family | asks to | weight in training | sentences | evaluated by | e.g. the goal |",
        "|---|---|---|---|---|---|",
    ]
    for name, family in FAMILIES.items():
        weight = str(family.weight) if family.trained else "-"
        splits = [split for split, one in SPLITS.items() if one.homes == "test" and name in one.families]
        goal = goal_text(parse(pictured[name].goal))
        rows.append(f"| `{name}` | {family.asks} | {weight} | {_sentences(name)} | {_codes(splits)} | `{goal}` |")
    return rows


def _sentences(family: str) -> str:
    """How many sentences a family has, and of what they are put together."""
    told = [f"{len(TRAIN[family])} for training"] if family in TRAIN else []
    told += [f"{len(HELD_OUT[family])} held out"] if family in HELD_OUT else []
    if family == "refer":
        told.append(f"{sum(map(len, LOOKS.values()))} descriptions of {len(LOOKS)} objects")
    if family == "context":
        told.append(f"{sum(len(need.sentences) for need in NEEDS.values())} for needs that {len(NEEDS)} objects serve")
    if family == "spatial":
        told.append(f"{len(RELATIONS)} relations")
    return ", ".join(told)


def picture_table(pictured: dict[str, Episode]) -> list[str]:
    """The pictures, three in a row, each above its family's name."""
    cells = [f"![{episode.instruction}](images/{name}.png) `{name}`" for name, episode in pictured.items()]
    cells += [""] * (-len(cells) % COLUMNS)
    rows = [f"| {' | '.join(cells[i : i + COLUMNS])} |" for i in range(0, len(cells), COLUMNS)]
    return [rows[0], f"|{'---|' * COLUMNS}", *rows[1:]]


def goal_text(goal: Goal) -> str:
    """A goal as one line, e.g. "there is an apple X: on_top(X, sofa) AND not_holding()"."""
    terms = [f"({goal_text(term)})" if isinstance(term, Goal) else str(term) for term in goal.terms]
    body = f" {goal.connective.removeprefix('N')} ".join(terms)
    if goal.connective in ("NAND", "NOR"):
        body = f"not ({body})"
    if goal.quantifier is None:
        return body
    start = "there is" if goal.quantifier == "EXISTS" else "for every"
    bound = [
        f"{with_article(category) if goal.quantifier == 'EXISTS' else category} {name}"
        for name, category in goal.inputs
    ]
    return f"{start} {', '.join(bound)}: {body}"


def _codes(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    from llarp_cli.registry import load

    document(load("environment", "home"), Path(sys.argv[1]))
