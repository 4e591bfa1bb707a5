"""Whether a model can be had, before any of its memory is taken."""

from __future__ import annotations

import os
from typing import Any

import psutil
import torch
from torch import nn
from transformers import AutoModel
from transformers.pytorch_utils import Conv1D

from llarp_cli.errors import UsageProblem

LAYERS_AT_MOST = 1024
"""More than any published model has; building a model's outline takes time by the layer."""

SHARE_OF_FREE = {"cuda": 0.8, "cpu": 0.5}
"""How much of the free memory to plan with. Others use main memory too, and running out of it ends the program,
where a GPU's can be tried again."""

SENSIBLE_TOKENS = 256
"""Tokens of the smallest sensible micro-batch, 8 long episodes: with fewer, an accelerator reads weights in vain."""

BYTES_PER_WEIGHT = {"8bit": 1.0, "4bit": 0.5 + 4 / 64}
"""Of a linear layer, quantised; in 4 bits with a float32 scale per 64 weights."""


def outline(config: Any, name: str, hint: str, **arguments: Any) -> nn.Module:
    """The model that a config describes, without memory for its weights.

    Args:
        config: of transformers.
        name: the backbone's, for messages.
        hint: what to do where there is no such model.
        arguments: for the model's constructor.

    Raises:
        UsageProblem: the config describes none.
    """
    try:
        if not 1 <= config.num_hidden_layers <= LAYERS_AT_MOST:
            raise ValueError(f"it has {config.num_hidden_layers} layers")
        if config.hidden_size < 1:
            raise ValueError(f"its hidden size is {config.hidden_size}")
        with torch.device("meta"):
            return AutoModel.from_config(config, **arguments)
    except Exception as error:  # transformers' own checks of a config raise many kinds
        raise UsageProblem(
            f"the config of backbone '{name}' describes no model that can be built: {first_line(error)}", hint
        ) from error


def weight_bytes(model: nn.Module, dtype: torch.dtype, quantization: str) -> int:
    """Memory that a model's weights take.

    Args:
        model: it, or its outline.
        dtype: of weights that are not quantised.
        quantization: "none", "8bit" or "4bit".
    """
    linears = {id(module.weight) for module in model.modules() if isinstance(module, (nn.Linear, Conv1D))}
    per_linear = BYTES_PER_WEIGHT.get(quantization, dtype.itemsize)
    weights = model.parameters()
    return round(sum(w.numel() * (per_linear if id(w) in linears else dtype.itemsize) for w in weights))


def free_memory(device: torch.device) -> int:
    """Bytes that can be had on a device now."""
    if device.type != "cuda":
        return psutil.virtual_memory().available
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def usable_memory(device: torch.device) -> float:
    """Bytes that this process may plan to take of them; processes of one machine share its main memory."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
    return SHARE_OF_FREE[device.type] * free_memory(device) / processes


def refuse_unless_it_fits(
    model: nn.Module, name: str, dtype: torch.dtype, quantization: str, device: torch.device
) -> None:
    """Compare a model's outline with the device's free memory.

    Raises:
        UsageProblem: the weights alone do not fit.
    """
    needed, free = weight_bytes(model, dtype, quantization), free_memory(device)
    if needed <= free:
        return
    form = str(dtype).removeprefix("torch.") if quantization == "none" else quantization
    smaller = weight_bytes(model, dtype, "4bit")
    wayout = "backbone.device_map=auto spreads it over all GPUs, the main memory and the disk"
    if quantization != "4bit":
        wayout = f"backbone.quantization=4bit takes {_gib(smaller)}; {wayout}"
    raise UsageProblem(
        f"the weights of backbone '{name}' take {_gib(needed)} in {form}; {_gib(free)} are free on {device.type}",
        wayout,
    )


def first_line(error: Exception) -> str:
    """What an error says, in a line that means something by itself."""
    if isinstance(error, KeyError):
        return f"it knows no {error}"
    lines = [line.strip() for line in str(error).strip().splitlines()]
    # Of a config that is refused, the first line names the validator and the second the reason.
    if len(lines) > 1 and lines[0].endswith(":"):
        return lines[1]
    return lines[0] if lines else repr(error)


def _gib(size: float) -> str:
    return f"{size / 2**30:,.1f} GiB"
