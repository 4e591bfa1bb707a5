"""A picture of each family for the documentation: what the robot sees at a telling moment, and the sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from llarp_cli.config import RewardOptions
from llarp_cli.files import replacing
from llarp_cli.rearrangement.environment import MAX_STEPS
from llarp_cli.rearrangement.episodes import Episode
from llarp_cli.rearrangement.goals import parse
from llarp_cli.rearrangement.play import Play
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.skills import SKILL_INDEX, SKILLS
from llarp_cli.rearrangement.splits import SPLITS, split_episodes
from llarp_cli.rearrangement.tasks import FAMILIES
from llarp_cli.rearrangement.vocabulary import CATEGORIES, CATEGORY_OF

VIEW = 320
"""Side of a picture, pixels; drawn twice as large and made smaller, so that edges are smooth."""
MARGIN, FONT = 10, 15
COLOURS = 128
"""Of a picture's palette, which keeps its file small."""
LEAST = 2000
"""Pixels of an object that is clearly seen."""
PAPER, INK = (255, 255, 255), (30, 30, 30)


def family_pictures(world: World, directory: Path) -> dict[str, Episode]:
    """Write one .png file per family, replaced whole.

    Args:
        world: where.
        directory: is made if need be.

    Returns:
        Family → the episode in its picture.
    """
    directory.mkdir(exist_ok=True)
    pictured: dict[str, Episode] = {}
    shown: Counter[str] = Counter()
    for family in FAMILIES:
        episode, view = _telling(world, _episodes(world, family), shown)
        path = directory / f"{family}.png"
        with replacing(path) as temporary:
            _with_caption(view, episode.instruction).quantize(COLOURS).save(temporary, "PNG", optimize=True)
        pictured[family] = episode
    return pictured


def _episodes(world: World, family: str) -> list[Episode]:
    """The episodes of the first two splits that evaluate a family in unseen homes."""
    splits = [name for name, one in SPLITS.items() if one.homes == "test" and family in one.families]
    return [episode for split in splits[:2] for episode in split_episodes(world, split, [family])]


def _telling(world: World, episodes: Sequence[Episode], shown: Counter[str]) -> tuple[Episode, NDArray[np.uint8]]:
    """The episode whose picture tells most, and that view.

    Args:
        episodes: to choose from.
        shown: how often categories and places were in pictures so far; those of this one are added.
    """
    play = Play(world, len(episodes), 2 * VIEW, RewardOptions(), MAX_STEPS, seed=0)
    play.begin(dict(enumerate(episodes)))
    places = [_place(play, row) for row in range(len(episodes))]
    play.act(np.array([SKILL_INDEX["go_to", place] for place in places]))
    opening = [SKILLS[(play.plan(row) or [0])[0]].kind == "open" for row in range(len(episodes))]
    play.act(np.full(len(episodes), SKILL_INDEX["open", "fridge"]), np.array(opening))
    views = play.look()
    spoken = [parse(episode.goal).categories() for episode in episodes]

    def telling(row: int) -> tuple[bool, bool, int, int]:
        pixels = _pixels(play, row)
        return pixels >= LEAST, not any(shown[category] for category in spoken[row]), -shown[places[row]], pixels

    best = max(range(len(episodes)), key=telling)
    shown.update([*spoken[best], places[best]])
    return episodes[best], views[best].copy()


def _place(play: Play, row: int) -> str:
    """Where to look from: before the fridge if the goal speaks of it, else where the first object needed is, else
    where the robot is sent."""
    episode = play.episodes[row]
    if "_fridge(" in str(episode.goal):
        return "fridge handle"
    picked = [SKILLS[action].target for action in play.plan(row) or [] if SKILLS[action].kind == "pick"]
    for category in (*picked, *parse(episode.goal).categories()):
        return next(one.receptacle for one in episode.arrangement.objects if CATEGORY_OF[one.asset] == category)
    return episode.slots["target"]


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
