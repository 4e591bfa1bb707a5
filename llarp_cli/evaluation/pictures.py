"""Pictures for people: as PNG files, and as coloured characters in a terminal."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from llarp_cli.errors import LlarpError, UsageProblem
from llarp_cli.files import replacing

UPPER_HALF = "▀"
RESET = "\x1b[0m"


def half_blocks(picture: NDArray[np.uint8]) -> str:
    """A picture as lines of text for a terminal with 24-bit colours, two pixels a character, one above the other.

    Args:
        picture: uint8 [H, W, 3], H even.
    """
    lines = []
    for upper, lower in zip(picture[0::2].tolist(), picture[1::2].tolist(), strict=True):
        parts, colours = [], None
        for top, bottom in zip(upper, lower, strict=True):
            if (top, bottom) != colours:
                colours = (top, bottom)
                parts.append("\x1b[38;2;{};{};{};48;2;{};{};{}m".format(*top, *bottom))
            parts.append(UPPER_HALF)
        lines.append("".join(parts) + RESET)
    return "\n".join(lines)


def shrunk(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A smaller square picture, each pixel the mean of those it stands for.

    Args:
        picture: uint8 [n * size, n * size, 3].
        size: side wanted.
    """
    times = len(picture) // size
    means = picture.reshape(size, times, size, times, 3).mean(axis=(1, 3))
    return np.rint(means).astype(np.uint8)


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture uint8 [H, W, 3], whole or not at all.

    Raises:
        LlarpError: it cannot be written.
    """
    try:
        with replacing(path) as temporary:
            Image.fromarray(picture).save(temporary, format="PNG")
    except OSError as error:
        raise LlarpError(f"cannot write '{path}': {error.strerror or error}", "choose another place") from error


class FrameFolder:
    """A folder of numbered pictures: 0000-start.png, 0001-go-to-the-sofa.png, ... Those that are there stay.

    Args:
        path: made if missing.

    Raises:
        UsageProblem: it is no folder, or cannot be written to.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            numbers = [int(found[1]) for name in os.listdir(path) if (found := re.match(r"(\d{4,})-.*\.png$", name))]
        except OSError as error:
            reason = "it is a file" if path.is_file() else str(error.strerror or error).lower()
            raise UsageProblem(
                f"--frames '{path}' cannot be a folder of pictures: {reason}", "choose another"
            ) from error
        if not os.access(path, os.W_OK | os.X_OK):
            raise UsageProblem(f"--frames '{path}' cannot be written to", "choose another folder")
        self._next = max(numbers, default=-1) + 1

    def add(self, picture: NDArray[np.uint8], name: str) -> Path:
        """Write the next picture.

        Args:
            picture: uint8 [H, W, 3].
            name: what it shows, e.g. a skill; becomes part of the file's name.
        """
        plain = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-") or "picture"
        path = self._path / f"{self._next:04d}-{plain[:60]}.png"
        write_png(path, picture)
        self._next += 1
        return path
