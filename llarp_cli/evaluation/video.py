"""A film of an episode: what the agent sees, the robot, the home from above, the sentence, each skill and its outcome.

One picture per skill, held for a second, so that it can be read at normal speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from llarp_cli.errors import LlarpError
from llarp_cli.files import replacing

VIEW = 448
"""Side of each picture, pixels."""
CAMERAS = {"first_person": "what the agent sees", "third_person": "the robot", "top_down": "from above"}
"""The cameras of the pictures of a home, from left to right, and what is written below them."""
MARGIN = 16
TOP, BOTTOM = 104, 104
"""Heights of the strips for the sentence and for the skill, pixels."""
WIDTH = len(CAMERAS) * (VIEW + MARGIN) + MARGIN
"""Of a film of a home."""
HEIGHT = TOP + VIEW + 24 + BOTTOM

FRAMES_PER_SECOND = 10
HELD, HELD_AT_END = 10, 30
"""Frames for which one picture, and the last, is shown."""

BACKGROUND, TEXT, FAINT = (24, 26, 31), (240, 240, 240), (150, 155, 165)
GOOD, BAD, SKILL = (92, 200, 120), (235, 105, 95), (130, 190, 255)


class Filmable(Protocol):
    """What can be filmed: a simulator, or rows of gymnasium environments."""

    def picture(self, home: int, size: int, camera: str) -> NDArray[np.uint8]:
        """A picture for people, uint8 [size, size, 3]."""


class Film:
    """Pictures of an episode, made as it goes.

    Args:
        simulator: its home, or row, 0 is filmed.
        instruction: the sentence.
        max_steps: of an episode; None where there is no end and nothing is paid.
        actor: who acts.
        cameras: what the pictures show, from left to right, and what is written below them.
    """

    def __init__(
        self,
        simulator: Filmable,
        instruction: str,
        max_steps: int | None,
        actor: str,
        cameras: Mapping[str, str] = CAMERAS,
    ):
        self._simulator, self._max_steps = simulator, max_steps
        self._cameras, self._width = cameras, len(cameras) * (VIEW + MARGIN) + MARGIN
        self._instruction = instruction
        self._actor = actor
        self._steps = 0
        self._total = 0.0
        self._caption: tuple[str, str, tuple[int, int, int]] = ("start", "", FAINT)
        self.pictures: list[NDArray[np.uint8]] = [self._picture(None)]

    def add(self, skill: str, probability: float | None, possible: bool, reward: float | None) -> None:
        """A picture of the home after a skill.

        Args:
            probability: that the actor gave it; None where a person chose it.
            reward: for it; None where nothing is paid.
        """
        self._steps += 1
        told = ["by hand" if probability is None else f"{probability:.0%} sure" if probability >= 0.01 else "<1% sure"]
        told += [] if possible else ["not possible here"]
        if reward is not None:
            self._total += reward
            told.append(f"reward {reward:+.2f}")
        self._caption = (skill, f"{told[0]}   {', '.join(told[1:])}", SKILL if possible else BAD)
        self.pictures.append(self._picture(None))

    def ask(self, instruction: str) -> None:
        """A picture of the home in which something else is asked from now on."""
        self._instruction = instruction
        self._caption = ("asked", "", FAINT)
        self.pictures.append(self._picture(None))

    def end(self, success: bool) -> None:
        """A last picture that says how it ended."""
        self.pictures.append(self._picture(success))

    def write(self, path: Path) -> None:
        """Encode it.

        Args:
            path: an .mp4 file, replaced whole.

        Raises:
            LlarpError: it cannot be written.
        """
        held = [HELD] * (len(self.pictures) - 1) + [HELD_AT_END]
        frames = [picture for picture, count in zip(self.pictures, held, strict=True) for _ in range(count)]
        write_video(path, frames, FRAMES_PER_SECOND)

    def _picture(self, success: bool | None) -> NDArray[np.uint8]:
        width = self._width
        canvas = Image.new("RGB", (width, HEIGHT), BACKGROUND)
        draw = ImageDraw.Draw(canvas)
        _paragraph(draw, self._instruction, (MARGIN, 14), width - 2 * MARGIN, TOP - 20)

        for i, (camera, words) in enumerate(self._cameras.items()):
            x = MARGIN + i * (VIEW + MARGIN)
            canvas.paste(Image.fromarray(self._simulator.picture(0, VIEW, camera)), (x, TOP))
            draw.text((x, TOP + VIEW + 4), words, FAINT, _font(15))

        skill, outcome, colour = self._caption
        y = TOP + VIEW + 30
        draw.text((MARGIN, y), skill, colour, _font(32))
        draw.text((MARGIN, y + 46), outcome, TEXT, _font(22))
        counted = f"step {self._steps}"
        if self._max_steps is not None:
            counted += f" / {self._max_steps}   return {self._total:.2f}"
        draw.text((width - MARGIN, y + 46), counted, TEXT, _font(22), anchor="ra")
        draw.text((width - MARGIN, y + 8), self._actor, FAINT, _font(16), anchor="ra")
        if success is not None:
            _banner(canvas, "SUCCESS" if success else "NOT DONE", GOOD if success else BAD)
        return np.asarray(canvas)


def write_video(path: Path, frames: list[NDArray[np.uint8]], frames_per_second: int) -> None:
    """Write an mp4 file (H.264, yuv420p: what browsers and players show).

    Args:
        path: replaced whole.
        frames: uint8 [H, W, 3] each, H and W even.
        frames_per_second: at 1x.

    Raises:
        LlarpError: it cannot be written.
    """
    import av

    height, width, _ = frames[0].shape
    try:
        with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(frames_per_second), options={"crf": "18"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    except (av.error.FFmpegError, OSError) as error:
        why = error.strerror or error
        raise LlarpError(f"cannot write film '{path}': {why}", "choose another place with --video") from error


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _paragraph(draw: ImageDraw.ImageDraw, text: str, at: tuple[int, int], width: int, height: int) -> None:
    """Text wrapped at words, as large as fits."""
    for size in (32, 28, 24, 20, 17, 14, 11):
        font = _font(size)
        lines = _wrapped(draw, text, font, width)
        step = round(size * 1.3)
        if len(lines) * step <= height:
            break
    most = height // step
    if len(lines) > most:
        lines[most - 1] += " ..."
    for i, line in enumerate(lines[:most]):
        draw.text((at[0], at[1] + i * step), line, TEXT, font)


def _wrapped(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _banner(canvas: Image.Image, text: str, colour: tuple[int, int, int]) -> None:
    draw = ImageDraw.Draw(canvas)
    font = _font(56)
    x, y = canvas.width // 2, TOP + VIEW // 2
    left, top, right, bottom = draw.textbbox((x, y), text, font, anchor="mm")
    draw.rounded_rectangle((left - 40, top - 28, right + 40, bottom + 28), 18, fill=BACKGROUND, outline=colour, width=5)
    draw.text((x, y), text, colour, font, anchor="mm")
