"""What a checkpoint holds beside the policy, so that a run goes on exactly.

    trainer/counters.json      steps, updates, moving averages
    trainer/optimizer.pt       AdamW's moments
    trainer/process-<r>.pt     environments, unfinished episodes and random states of process r

All of it is read without unpickling code.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llarp_cli.errors import UsageProblem


def save_tensors(value: Any, path: Path) -> None:
    """Write nested dicts, lists, tuples, numbers, texts, tensors and arrays."""
    torch.save(_plain(value), path)


def load_tensors(path: Path) -> Any:
    """Read what `save_tensors` wrote; arrays come back as arrays.

    Raises:
        UsageProblem: the file is missing, cut short or not one of ours.
    """
    try:
        return _restored(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # what torch raises on foreign bytes is anybody's guess
        raise damaged(path) from error


def load_counters(path: Path) -> dict[str, Any]:
    """Read `counters.json`.

    Raises:
        UsageProblem: likewise.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
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


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            data = np.frombuffer(value[_ARRAY].numpy().tobytes(), np.dtype(value["dtype"]))
            return data.reshape(value["shape"]).copy()
        return {key: _restored(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_restored(one) for one in value)
    return value
