"""Linear layers of small frozen models on a CPU: weights are laid out once, as the processor wants them.

torch brings a matrix into that order in every product, and its library, MKL, leaves half of the speed of processors not
made by Intel. oneDNN's own operators, which torch's compiler uses too, do neither. On Intel's, MKL is the faster one.
"""

from __future__ import annotations

import platform
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from llarp_cli.backbones.attention import current_pass

BYTES_AT_MOST = 512 << 20
"""Of a model's linear layers, for their weights to be kept thrice: as they are, for products, for gradients."""

ROWS_AT_ONCE, ROWS_ALIKE = 128, 16
"""Rows are multiplied in pieces of at most so many, each filled up to a multiple of so many: oneDNN makes and keeps
half a megabyte of program for every number of rows it meets, and a piece is nearly as fast as the whole."""


def lay_out_weights(model: nn.Module) -> None:
    """Keep the weights of a frozen model's linear layers laid out, if it is small and wholly in float32 on a CPU on
    which that is faster. They are used within a `Pass`; the stock model is what it was."""
    linears = [module for module in model.modules() if type(module) is nn.Linear]
    on_cpu = all(w.device.type == "cpu" and w.dtype == torch.float32 for w in model.parameters())
    too_large = sum(linear.weight.nbytes for linear in linears) > BYTES_AT_MOST
    if on_cpu and not too_large and onednn_is_faster():
        for linear in linears:
            linear.forward = partial(_linear, LaidOut(linear.weight.detach()), linear.bias)


def onednn_is_faster() -> bool:
    """Than torch's own products: true but where those are MKL's on a processor of Intel's (`benchmarks/cpu.md`)."""
    by_mkl = torch.backends.mkl.is_available() and "GenuineIntel" in _processor()
    return torch.backends.mkldnn.is_available() and not by_mkl


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    return listed.read_text("utf-8", "replace") if listed.is_file() else platform.processor()


class LaidOut:
    """A matrix [outputs, inputs] as oneDNN wants it, and turned for the gradient, which only learning needs."""

    def __init__(self, weight: Tensor):
        self.weight = weight
        self._forwards = _laid_out(weight)

    @cached_property
    def _backwards(self) -> Tensor:
        return _laid_out(self.weight.t())

    def product(self, rows: Tensor, bias: Tensor | None) -> Tensor:
        """[S, inputs] → [S, outputs]."""
        return _in_pieces(rows, self._forwards, bias)

    def gradient(self, rows: Tensor) -> Tensor:
        """The gradient [S, outputs] of what a product gave → that of its rows [S, inputs]."""
        return _in_pieces(rows, self._backwards, None)


def _laid_out(matrix: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(matrix)


def _in_pieces(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    count = rows.shape[0]
    if count > ROWS_AT_ONCE:
        return torch.cat([_in_pieces(piece, weight, bias) for piece in rows.split(ROWS_AT_ONCE)])
    missing = -count % ROWS_ALIKE
    if missing:
        rows = functional.pad(rows, (0, 0, 0, missing))
    product = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    # A copy: models that change products in place cannot do so to a part of what an autograd function made.
    return product[:count].clone() if missing else product


def _linear(weight: LaidOut, bias: Tensor | None, x: Tensor) -> Tensor:
    if current_pass() is None:
        return functional.linear(x, weight.weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    if torch.is_grad_enabled() and x.requires_grad:
        product = _Product.apply(rows, weight, bias)
    else:
        product = weight.product(rows, bias)
    return product.view(*x.shape[:-1], -1)


class _Product(torch.autograd.Function):
    """Rows times frozen weights."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: LaidOut, bias: Tensor | None) -> Tensor:
        ctx.weight = weight
        return weight.product(rows, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return ctx.weight.gradient(gradient), None, None
