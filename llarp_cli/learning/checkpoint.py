"""What a checkpoint holds beside the policy, so that a run goes on exactly.

    trainer/counters.json      steps, updates, moving averages
    trainer/optimizer.pt       AdamW's moments
    trainer/process-<r>.pt     environments, unfinished episodes and random states of process r

All of it is read without unpickling code.
"""

from __future__ import annotations

import json
import math
import random
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llarp_cli.errors import UsageProblem

MAX_COUNTERS = 1 << 20
"""Bytes of `counters.json`."""


def save_tensors(value: Any, path: Path) -> None:
    """Write nested dicts, lists, tuples, numbers, texts, tensors and arrays.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        with path.open("wb") as file:
            torch.save(_plain(value), file)
    except RuntimeError as error:
        # A full disk: torch complains about its own positions in the file, on top of what really happened.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        raise (cause or error) from None


def load_tensors(path: Path) -> Any:
    """Read what `save_tensors` wrote; arrays come back as arrays. Nothing in it is run, and it takes no more memory
    than the file has bytes.

    Raises:
        UsageProblem: the file is missing, cut short or not one of ours.
    """
    with reading(path):
        # Torch packs nothing, nor puts two things at one place; a file that does so would grow when it is read.
        size = path.stat().st_size
        with zipfile.ZipFile(path) as file:
            if sum(part.file_size for part in file.infolist()) > size:
                raise ValueError("it holds more than it has bytes")
        return _Restoring(size).restored(torch.load(path, map_location="cpu", weights_only=True))


def load_counters(path: Path) -> dict[str, Any]:
    """Read `counters.json`.

    Raises:
        UsageProblem: likewise.
    """
    with reading(path), path.open("rb") as file:
        return json.loads(file.read(MAX_COUNTERS))


@contextmanager
def reading(path: Path) -> Iterator[Path]:
    """While a file of a checkpoint is read and put to use.

    Raises:
        UsageProblem: whatever goes wrong, the file is damaged.
    """
    try:
        yield path
    except UsageProblem:
        raise
    except Exception as error:  # what torch raises on foreign bytes is anybody's guess
        raise damaged(path) from error


def damaged(path: Path) -> UsageProblem:
    checkpoint = path.parent.parent
    return UsageProblem(
        f"checkpoint '{checkpoint}' is damaged: {path.parent.name}/{path.name} is missing or cut short",
        "remove that directory to resume from the one before",
    )


def random_states() -> dict[str, Any]:
    """The states of the global generators of python, numpy and torch."""
    states: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    name, keys, *rest = np.random.get_state(legacy=True)
    states["numpy"] = [name, keys, *rest]
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: dict[str, Any]) -> None:
    """Set them."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(tuple(states["numpy"]))
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


_ARRAY = "__array__"


def _plain(value: Any) -> Any:
    """Arrays as tensors with a mark, numpy numbers as python's: all that a safe loader admits."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(one) for one in value)
    if isinstance(value, np.ndarray):
        # torch has no unsigned types beyond uint8 in old versions: keep the bytes and the name of the type.
        data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8).copy()
        return {_ARRAY: torch.from_numpy(data), "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return value.item()
    return value


class _Restoring:
    """The way back. A list may hold the same list many times over, and a tensor may repeat a single number: what
    would grow beyond the file is refused.

    Args:
        size: of the file; no value takes less than a byte.
    """

    def __init__(self, size: int):
        self.left = size

    def restored(self, value: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError("it repeats itself")
        if isinstance(value, dict):
            if _ARRAY in value:
                return _array(value)
            return {key: self.restored(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.restored(one) for one in value)
        if isinstance(value, torch.Tensor) and value.nbytes > value.untyped_storage().nbytes():
            raise ValueError("a tensor repeats itself")
        return value


def _array(value: dict[str, Any]) -> np.ndarray[Any, Any]:
    data, dtype, shape = value[_ARRAY], np.dtype(value["dtype"]), value["shape"]
    if dtype.hasobject or data.dtype != torch.uint8 or math.prod(shape) * dtype.itemsize != data.numel():
        raise ValueError("an array of another size")
    if data.nbytes > data.untyped_storage().nbytes():
        raise ValueError("an array repeats itself")
    return np.frombuffer(data.numpy().tobytes(), dtype).reshape(shape).copy()
