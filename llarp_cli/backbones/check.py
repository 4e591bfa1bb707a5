"""Every backbone is compared with the stock model when it is loaded: refused rather than silently wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llarp_cli.backbones.attention import PACKED
from llarp_cli.backbones.frozen import FrozenBackbone
from llarp_cli.backbones.prefixes import ForwardPass
from llarp_cli.errors import UsageProblem

TOLERANCE = {torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}
"""Relative to the largest output. A feature left out (a position bias, a recurrent state) costs far more."""

INSTRUCTIONS = ("bring me an apple", "put the ball on the table, then close the fridge")


@torch.no_grad()
def stock_hidden(backbone: FrozenBackbone, ids: list[int], tokens: Tensor) -> Tensor:
    """Hidden states [L, D] of observation tokens [L, D] by the stock model: one episode, whole, unpacked.

    A decoder builds its own mask, sliding windows and all; an encoder is given the prefix-LM mask.
    """
    model = backbone.model
    embedded = model.get_input_embeddings()(torch.tensor(ids, device=backbone.device))
    whole = torch.cat([embedded, tokens.to(backbone.dtype)])[None]
    mask = None
    if not backbone.prefix_is_causal:
        slots = torch.arange(whole.shape[1], device=backbone.device)
        unseen = slots > slots[:, None].clamp(min=len(ids) - 1)
        mask = torch.zeros(unseen.shape, dtype=backbone.dtype, device=backbone.device)
        mask = mask.masked_fill(unseen, torch.finfo(backbone.dtype).min)[None, None]
    model.set_attn_implementation("eager")
    try:
        hidden = model(inputs_embeds=whole, attention_mask=mask, use_cache=False).last_hidden_state
    finally:
        model.set_attn_implementation(PACKED)
    return hidden[0, len(ids) :]


@torch.no_grad()
def refuse_unless_exact(backbone: FrozenBackbone, config: Any) -> None:
    """Compare two short packed episodes with the stock model.

    Raises:
        UsageProblem: they differ, or the model's attention cannot be replaced.
    """
    refusal = f"backbone '{backbone.identity.name}' (a '{config.model_type}' model) cannot be used: "
    hint = "choose another model; LLaMA, Mistral, Qwen, Gemma, Phi, OPT, GPT-2, GPT-NeoX, BERT and RoBERTa are tested"
    generator = torch.Generator().manual_seed(0)
    lengths = [3, 5]
    tokens = torch.randn(sum(lengths), backbone.hidden_size, generator=generator) * backbone.token_scale
    tokens = tokens.to(backbone.device)
    try:
        prefixes = backbone.encode(INSTRUCTIONS)
        packed = ForwardPass(lengths, prefixes, backbone.device)
        hidden = backbone.run(packed, tokens[packed.order])
        parts = zip(backbone.tokenize(INSTRUCTIONS), tokens.split(lengths), strict=True)
        stock = torch.cat([stock_hidden(backbone, ids, part) for ids, part in parts])[packed.order]
    except Exception as error:
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        raise UsageProblem(refusal + f"its attention cannot be packed ({reason})", hint) from error
    if hidden.shape != tokens.shape:
        widths = f"its embeddings have {tokens.shape[1]} numbers, its hidden states {hidden.shape[1]}"
        raise UsageProblem(refusal + widths, hint)
    difference = ((hidden - stock).abs().max() / stock.abs().max()).item()
    if not difference < TOLERANCE[backbone.dtype]:
        raise UsageProblem(refusal + f"packed results differ from the stock model's by {difference:.1%}", hint)
    window = config.to_dict().get("sliding_window")
    if window and packed.windows == {None}:
        # The window, if any, is in a mask we do not see: stay where it makes no difference.
        backbone.context_length = min(backbone.context_length, window)
