"""Where a measurement was made: hardware, versions, date."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from llarp_cli import __version__
from llarp_cli.versions import installed

PACKAGES = ("torch", "transformers", "accelerate", "bitsandbytes", "numpy", "numba")


def machine(device: torch.device) -> dict[str, Any]:
    """ "date", "processor", "cores", "memory_gib", "device", "system", "versions", and "load": how many programs
    wanted a core, a minute's mean, where the system tells."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "system": platform.platform(),
        "versions": {"llarp": __version__, "python": platform.python_version(), **installed(PACKAGES)},
        "load": round(psutil.getloadavg()[0], 1),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
