"""A picture of each family for the documentation: what the robot sees at a telling moment, and the sentence.

Maintainers run it after a change to the home's looks, the sentences or the episodes:
`python -m llarp_cli.dataset.pictures docs/images`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from llarp_cli.config import RewardOptions
from llarp_cli.rearrangement.environment import MAX_STEPS
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.goals import parse
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.skills import SKILLS
from llarp_cli.rearrangement.splits import SPLITS, split_episodes
from llarp_cli.rearrangement.tasks import FAMILIES
from llarp_cli.rearrangement.vocabulary import CATEGORIES

VIEW = 320
"""Side of a picture, pixels; drawn twice as large and made smaller, so that edges are smooth."""
MARGIN, FONT = 10, 15
COLOURS = 128
"""Of a picture's palette, which keeps its file small."""
PAPER, INK = (255, 255, 255), (30, 30, 30)


def family_pictures(world: World, directory: Path) -> dict[str, int]:
    """Write one .png file per family, replaced whole.

    Args:
        world: where.
        directory: which exists.

    Returns:
        Family → size of its file, bytes.
    """
    sizes = {}
    shown: set[str] = set()
    for family in FAMILIES:
        episode, view = _telling(world, _episodes(world, family), shown)
        shown |= parse(episode.goal).categories()
        path = directory / f"{family}.png"
        temporary = path.with_name(f".{path.name}.tmp")
        _with_caption(view, episode.instruction).quantize(COLOURS).save(temporary, "PNG", optimize=True)
        os.replace(temporary, path)
        sizes[family] = path.stat().st_size
    return sizes


def _episodes(world: World, family: str) -> list[Episode]:
    """The episodes of the first split that evaluates a family in unseen homes."""
    split = next(name for name, one in SPLITS.items() if one.homes == "test" and family in one.families)
    return split_episodes(world, split, [family])


def _telling(world: World, episodes: Sequence[Episode], shown: set[str]) -> tuple[Episode, NDArray[np.uint8]]:
    """The episode in which most is seen of what its sentence is about, and that view.

    One about categories of which none was shown before, if there is one.

    Seen just before the planner picks something up or closes the fridge; else when it is done.
    """
    play = Play(world, len(episodes), 2 * VIEW, RewardOptions(), MAX_STEPS, seed=0)
    play.begin(dict(enumerate(episodes)))
    plans = [play.plan(row) or [] for row in range(len(episodes))]
    moments = [
        next((step for step, action in enumerate(plan) if SKILLS[action].kind in ("pick", "close")), len(plan))
        for plan in plans
    ]
    for step in range(max(moments)):
        rows = np.array([step < moment for moment in moments])
        actions = [plan[step] if going else 0 for plan, going in zip(plans, rows, strict=True)]
        play.act(np.array(actions), rows)
    views = play.look()
    new = [not parse(episode.goal).categories() & shown for episode in episodes]
    best = max(range(len(episodes)), key=lambda row: (new[row], _pixels(play, row)))
    return episodes[best], views[best].copy()


def _pixels(play: Play, row: int) -> int:
    """How much is seen of the objects that a goal speaks of; of all objects where it speaks of none."""
    categories, seen = play.simulator.categories[row], play.simulator.visible()[row]
    spoken = [CATEGORIES.index(name) for name in parse(play.episodes[row].goal).categories()]
    return int(seen[np.isin(categories, spoken) if spoken else categories >= 0].sum())


def _with_caption(view: NDArray[np.uint8], text: str) -> Image.Image:
    font = ImageFont.load_default(FONT)
    lines = _wrapped(text, font)
    step = round(FONT * 1.35)
    canvas = Image.new("RGB", (VIEW, VIEW + 2 * MARGIN + step * len(lines)), PAPER)
    canvas.paste(Image.fromarray(view).resize((VIEW, VIEW), Image.Resampling.BOX))
    draw = ImageDraw.Draw(canvas)
    for i, line in enumerate(lines):
        draw.text((VIEW // 2, VIEW + MARGIN + i * step), line, INK, font, anchor="ma")
    return canvas


def _wrapped(text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= VIEW - 2 * MARGIN or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


if __name__ == "__main__":
    from llarp_cli.registry import load

    for name, size in family_pictures(load("environment", "home"), Path(sys.argv[1])).items():
        print(f"{name}: {size:,} bytes")
