"""What a language model's work comes to in floating-point operations, and what the machine could do.

A linear layer costs 2 operations per weight and token, forwards; its gradient to the input, 2 more.
Frozen weights want no gradient of their own, which would be another 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from llarp_cli.bench.meter import timed


def linear_weights(model: nn.Module) -> int:
    """Weights of the linear layers, each used once per token; embeddings are looked up, and not counted."""
    count = 0
    for module in model.modules():
        if isinstance(module, nn.Linear):  # quantised ones too, whose weights are stored packed
            count += module.in_features * module.out_features
        elif isinstance(module, Conv1D):
            count += module.weight.numel()
    return count


def llama_linear_weights(hidden: int, layers: int, intermediate: int, key_share: float = 1.0) -> int:
    """The same of a LLaMA of given sizes, without building it.

    Args:
        key_share: key heads per head.
    """
    attention = hidden * hidden * (2 + 2 * key_share)
    return layers * (int(attention) + 3 * hidden * intermediate)


def attention_operations(config: Any, tokens: int, keys: float) -> float:
    """Scores and weighted sums, forwards, of tokens that attend to so many keys each, in all layers."""
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    return 4.0 * config.num_hidden_layers * heads * size * keys * tokens


def operations(weights: int, tokens: Mapping[str, int]) -> int:
    """Operations of the linear layers on tokens as `counted_tokens` counts them."""
    return 2 * weights * (tokens["without_gradient"] + 2 * tokens["with_gradient"])


def best_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second in a large matrix product: per core on a CPU, of the whole device on a GPU; where torch has
    a choice of two libraries, the faster one's."""
    size, times = (8192, 10) if device.type == "cuda" else (1024, 3)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    products = [lambda: a @ b]
    if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():
        laid_out = torch.ops.mkldnn._reorder_linear_weight(b)
        products.append(lambda: torch.ops.mkldnn._linear_pointwise(a, laid_out, None, "none", [], ""))
    best = math.inf
    for product in products:
        product()
        for _ in range(3):
            sample = timed(lambda product=product: [product() for _ in range(times)], device)
            best = min(best, sample.seconds if device.type == "cuda" else sample.core_seconds)
    return 2 * times * size**3 / best
