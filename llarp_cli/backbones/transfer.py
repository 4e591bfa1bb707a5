"""From main memory to where a tensor is computed with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """An array as a tensor on a device. A GPU's copy is queued behind its work, so that nobody waits for either."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def usual_device() -> torch.device:
    """The GPU where there is one of CUDA's, else the CPU. A Mac's GPU has no float64 and is left alone."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
