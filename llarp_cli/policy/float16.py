"""float16 leaves little room for small gradients: between the heads and the tokens they are carried enlarged.

bfloat16 has float32's range and needs none of this. The method's own gradients are small, a minibatch's mean over a
thousand steps behind a decoder that begins near zero, and float16 rounds what is below 6e-8 to nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ENLARGED = 1024
"""So many times; a gradient of 60 in one number would still be finite."""


def entering(tokens: Tensor, dtype: torch.dtype) -> Tensor:
    """Tokens float32 [S, D] in the type that the backbone takes; their gradient comes back as small as it is."""
    return _Entering.apply(tokens) if dtype == torch.float16 else tokens.to(dtype)


def leaving(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """Hidden states [S, D] of a backbone of some type in float32; into one of float16 their gradient goes enlarged."""
    return _Leaving.apply(hidden) if dtype == torch.float16 else hidden.float()


def reduce_gradients(updates: nn.Module) -> None:
    """What is trained in between (LoRA) has its gradients as small as they are."""
    for parameter in updates.parameters():
        parameter.register_hook(lambda gradient: gradient / ENLARGED)


class _Entering(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor) -> Tensor:
        return tokens.to(torch.float16)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.float() / ENLARGED


class _Leaving(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor) -> Tensor:
        ctx.dtype = hidden.dtype
        return hidden.float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return (gradient * ENLARGED).to(ctx.dtype)
