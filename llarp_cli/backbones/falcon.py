"""Falcon does not use transformers' attention interface: here it is taught to compute packed attention."""

from __future__ import annotations

from types import MethodType
from typing import Any

from torch import Tensor, nn
from transformers.models.falcon.modeling_falcon import FalconAttention, apply_rotary_pos_emb

from llarp_cli.backbones.attention import current_pass, packed_attention


def pack_attention(model: nn.Module) -> None:
    """Let a Falcon's layers call `packed_attention` within a `Pass`."""
    for module in model.modules():
        if isinstance(module, FalconAttention):
            module.forward = MethodType(_attention, module)


def _attention(module: FalconAttention, hidden_states: Tensor, alibi: Tensor | None, *given: Any, **named: Any) -> Any:
    """In place of `FalconAttention.forward`, on [1, S, D]."""
    if current_pass() is None:
        return FalconAttention.forward(module, hidden_states, alibi, *given, **named)
    if alibi is not None:
        raise RuntimeError("its attention is biased by distance (ALiBi)")
    query, key, value = (x.transpose(1, 2) for x in module._split_heads(module.query_key_value(hidden_states)))
    if module.new_decoder_architecture:
        # Its heads come in groups with the same key and value, which it repeats; once is enough.
        key, value = (x[:, :: module.num_heads // module.num_kv_heads] for x in (key, value))
    query, key = apply_rotary_pos_emb(query, key, *named["position_embeddings"])
    out, _ = packed_attention(module, query, key, value, None)
    return module.dense(out.flatten(2)), None
