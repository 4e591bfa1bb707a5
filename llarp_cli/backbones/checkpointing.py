"""Gradient checkpointing: of each layer only the input is kept for the pass backward, where the layer runs again.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016. Transformers has it too, but there a layer then
gets no keys and values of earlier tokens, and the model must be in training mode, where it drops out at random. Here
a layer that runs again does so within its own `Pass`, and so reads the same instruction prefixes; the numbers are
the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from llarp_cli.backbones.activations import TensorMemory
from llarp_cli.backbones.attention import current_pass
from llarp_cli.backbones.frozen import FrozenBackbone
from llarp_cli.backbones.sizing import SENSIBLE_TOKENS, usable_memory
from llarp_cli.errors import UsageProblem

INSTRUCTION = "put the ball on the table, then close the fridge"
TOKENS = 16
"""Of the episode that is rehearsed to see what a pass keeps."""


def checkpoint_gradients(backbone: FrozenBackbone, mode: bool | Literal["auto"]) -> None:
    """Let a model's layers keep no more than their inputs wherever gradients are on.

    Args:
        mode: True; False; or "auto", if what the smallest sensible micro-batch keeps does not fit into free memory.

    Raises:
        UsageProblem: True, and transformers does not mark the model's layers as ones that can run again.
    """
    if mode == "auto":
        mode = SENSIBLE_TOKENS * kept_per_token(backbone) > usable_memory(backbone.device)
        asked = False
    else:
        asked = mode
    if not mode:
        return
    layers = [module for module in backbone.model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if asked and not layers:
        raise UsageProblem(
            f"backbone.gradient_checkpointing = true: the layers of backbone '{backbone.identity.name}' cannot be "
            "computed again",
            "leave it out",
        )
    for layer in layers:
        # Updates may drop out at random, and must drop the same again.
        layer.forward = partial(_run, layer.forward, backbone.trained is not None)
    backbone.recomputed_layers = len(layers)


def kept_per_token(backbone: FrozenBackbone) -> float:
    """Bytes that the model keeps of each token for the pass backward, its share of the instruction's included."""
    tokens = torch.zeros(TOKENS, backbone.hidden_size, device=backbone.device, requires_grad=True)
    with torch.enable_grad(), torch.random.fork_rng([]), TensorMemory() as memory:
        hidden = backbone.forward(tokens, [TOKENS], backbone.encode([INSTRUCTION]))
        kept = memory.now
        del hidden
    return kept / TOKENS


def _run(forward: Callable[..., Any], at_random: bool, *given: Any, **named: Any) -> Any:
    packed = current_pass()
    if packed is None or not torch.is_grad_enabled():
        return forward(*given, **named)
    first = packed.layer

    def run(*given: Any, **named: Any) -> Any:
        with packed.at_layer(first):
            return forward(*given, **named)

    return checkpoint(run, *given, use_reentrant=False, preserve_rng_state=at_random, **named)
