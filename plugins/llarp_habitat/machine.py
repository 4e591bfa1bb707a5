"""Where Habitat is on this machine: environment variables, so that no run depends on them.

LLARP_HABITAT_PYTHON   the interpreter that has habitat-sim; left out, this one
LLARP_HABITAT_DATA     the folder that scene datasets and objects were downloaded to; left out, ./data
LLARP_HABITAT_GPU      index of the device that draws, -1 for software; left out, this process's own
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from llarp_cli.errors import UsageProblem

PYTHON, DATA, GPU = "LLARP_HABITAT_PYTHON", "LLARP_HABITAT_DATA", "LLARP_HABITAT_GPU"


@dataclass(frozen=True)
class Machine:
    """What the variables say.

    Attributes:
        python: the interpreter that has habitat-sim.
        data: the folder of downloads.
        gpu: index of the device that draws, -1 for none.
    """

    python: str
    data: Path
    gpu: int


def machine() -> Machine:
    """What the variables say now.

    Raises:
        UsageProblem: there is no such interpreter or device, or the system is none that habitat-sim is made for.
    """
    if sys.platform == "win32":
        raise UsageProblem("habitat-sim is made for Linux and macOS, not for Windows", "run llarp in WSL")
    return Machine(_python(), Path(os.environ.get(DATA) or "data").absolute(), _gpu())


def _python() -> str:
    named = os.environ.get(PYTHON)
    if not named:
        return sys.executable
    found = shutil.which(named)
    if found is None:
        raise UsageProblem(
            f"{PYTHON} is '{named}', which is no program that can be run",
            f"export {PYTHON}=$HOME/miniconda3/envs/habitat/bin/python",
        )
    return found


def _gpu() -> int:
    """The device of this process: the one of its rank, where there are any."""
    devices = visible_gpus()
    named = os.environ.get(GPU)
    if named:
        try:
            index = int(named)
        except ValueError:
            raise UsageProblem(f"{GPU} is '{named}', which is no number", f"export {GPU}=0, or -1 for none") from None
        if index >= devices or index < -1:
            there = f"this machine shows {devices}" if devices else "this machine shows none"
            raise UsageProblem(
                f"{GPU} is {index}, and {there}",
                f"export {GPU}=-1 to draw without" + (f", or 0 to {devices - 1}" if devices else ""),
            )
        return index
    return int(os.environ.get("LOCAL_RANK", "0")) % devices if devices else -1


def visible_gpus() -> int:
    """How many NVIDIA devices this machine shows, as their driver lists them."""
    try:
        return len(os.listdir("/proc/driver/nvidia/gpus"))
    except OSError:
        return 0


def cache() -> Path:
    """The folder in which what was found out about scenes is kept."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "llarp" / "habitat"


def digest(*parts: object) -> str:
    """The first 16 hexadecimal digits of a SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
