"""Where a measurement was made: hardware, versions, date."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from llarp_cli import __version__

PACKAGES = ("torch", "transformers", "accelerate", "bitsandbytes", "numpy", "numba")


def machine(device: torch.device) -> dict[str, Any]:
    """ "date", "processor", "cores", "memory_gib", "device", "system", "versions", and "load": how many programs
    wanted a core, a minute's mean, where the system tells."""
    versions = {"llarp": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "system": platform.platform(),
        "versions": versions,
        "load": round(os.getloadavg()[0], 1),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
