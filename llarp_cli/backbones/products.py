"""Linear layers of small frozen models on a CPU, for few tokens: weights are kept a second time, turned.

A product of few rows takes much of its time to bring the weights into the order the processor wants, unless they lie
in it already: as they are for the gradient, turned for the product itself.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from llarp_cli.backbones.attention import current_pass

ROWS_AT_MOST = 200
"""More tokens at once are multiplied as fast either way."""

BYTES_AT_MOST = 512 << 20
"""Of a model's linear layers, for their weights to be kept twice."""

SPARE = 16
"""Numbers between rows that would else be multiples of 4 KiB apart, and share the same few lines of the cache."""


def turn_weights(model: nn.Module) -> None:
    """Keep the weights of a frozen model's linear layers a second time, turned, if it is small and wholly in float32
    on the CPU. They are used within a `Pass`; the stock model is what it was."""
    linears = [module for module in model.modules() if type(module) is nn.Linear]
    on_cpu = all(w.device.type == "cpu" and w.dtype == torch.float32 for w in model.parameters())
    if not on_cpu or sum(linear.weight.nbytes for linear in linears) > BYTES_AT_MOST:
        return
    for linear in linears:
        weight = linear.weight.detach()
        linear.forward = partial(_linear, weight, _spaced(weight), _spaced(weight.t()), linear.bias)


def _spaced(matrix: Tensor) -> Tensor:
    rows, columns = matrix.shape
    if matrix.is_contiguous() and columns % 1024:
        return matrix
    spare = SPARE if columns % 1024 == 0 else 0
    return matrix.new_empty(rows, columns + spare)[:, :columns].copy_(matrix)


def _linear(weight: Tensor, spaced: Tensor, turned: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    rows = x.reshape(-1, x.shape[-1])
    if len(rows) > ROWS_AT_MOST or current_pass() is None:
        return functional.linear(x, weight, bias)
    if torch.is_grad_enabled() and x.requires_grad:
        product = _Product.apply(rows, spaced, turned, bias)
    else:
        product = _product(rows, turned, bias)
    return product.view(*x.shape[:-1], -1)


def _product(rows: Tensor, turned: Tensor, bias: Tensor | None) -> Tensor:
    return torch.mm(rows, turned) if bias is None else torch.addmm(bias, rows, turned)


class _Product(torch.autograd.Function):
    """Rows times frozen weights."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, spaced: Tensor, turned: Tensor, bias: Tensor | None) -> Tensor:
        ctx.spaced = spaced
        return _product(rows, turned, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return torch.mm(gradient, ctx.spaced), None, None, None
