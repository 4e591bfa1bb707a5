"""Every backbone is compared with the stock model when it is loaded: refused rather than silently wrong.

The families named here are tested for exactness at every length, feature by feature (`tests/test_families.py`),
so that two short episodes are enough to see that a model is what it says. Of any other, only what has been
compared is believed: a long episode, and its context ends there.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from llarp_cli.backbones.attention import PACKED
from llarp_cli.backbones.behind import ForwardPass
from llarp_cli.backbones.frozen import FrozenBackbone
from llarp_cli.backbones.sizing import first_line
from llarp_cli.errors import UsageProblem

TOLERANCE = {torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}
"""Mean relative difference of a token. A feature left out (a position bias, a recurrent state) costs far more."""

INSTRUCTIONS = ("bring me an apple", "put the ball on the table, then close the fridge")

SHORT = (3, 5)
"""Observation tokens of the two episodes."""

LONG = 384
"""Of the second one, of an untested family: 33 steps of up to 9 tokens, and room for a long instruction."""

TESTED_FAMILIES = {
    "LLaMA": ("llama", "llama4_text"),
    "Mistral": ("mistral", "ministral", "ministral3", "mixtral"),
    "Qwen": ("qwen2", "qwen2_moe", "qwen3", "qwen3_moe"),
    "Gemma": ("gemma", "gemma2", "gemma3_text", "vaultgemma"),
    "Phi": ("phi", "phi3", "phimoe"),
    "GPT": ("gpt2", "gpt_bigcode", "gpt_neox", "gpt_oss"),
    "OPT": ("opt", "biogpt"),
    "Falcon": ("falcon",),
    "OLMo": ("olmo", "olmo2", "olmo3", "olmoe"),
    "SmolLM": ("smollm3",),
    "StableLM": ("stablelm",),
    "StarCoder": ("starcoder2",),
    "Granite": ("granite", "granitemoe"),
    "Cohere": ("cohere", "cohere2"),
    "GLM": ("glm", "glm4"),
    "DeepSeek": ("deepseek_v2", "deepseek_v3", "minicpm3"),
    "EXAONE": ("exaone4",),
    "Nemotron": ("nemotron",),
    "BERT": ("bert", "roberta"),
}
"""What to call them → `model_type` in their configs."""


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
    """Compare two packed episodes with the stock model.

    Raises:
        UsageProblem: they differ, or the model's attention cannot be replaced.
    """
    refusal = f"backbone '{backbone.identity.name}' (a '{config.model_type}' model) cannot be used: "
    hint = f"choose another model; {', '.join(TESTED_FAMILIES)} are tested"
    ids = backbone.tokenize(INSTRUCTIONS)
    lengths = list(SHORT)
    if config.model_type not in itertools.chain(*TESTED_FAMILIES.values()):
        backbone.context_length = min(backbone.context_length, len(ids[1]) + LONG)
        lengths[1] = max(SHORT[1], backbone.context_length - len(ids[1]))
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(sum(lengths), backbone.hidden_size, generator=generator) * backbone.token_scale
    tokens = tokens.to(backbone.device)
    try:
        prefixes = backbone.encode(INSTRUCTIONS)
        packed = ForwardPass(lengths, prefixes)
        hidden = backbone.run(packed, tokens[packed.order])
        parts = zip(ids, tokens.split(lengths), strict=True)
        stock = torch.cat([stock_hidden(backbone, text, part) for text, part in parts])[packed.order]
    except Exception as error:
        raise UsageProblem(refusal + f"its attention cannot be packed ({first_line(error)})", hint) from error
    if hidden.shape != tokens.shape:
        widths = f"its embeddings have {tokens.shape[1]} numbers, its hidden states {hidden.shape[1]}"
        raise UsageProblem(refusal + widths, hint)
    # A mean over tokens: in half precision, rounding may send single tokens to other experts of a mixture.
    difference = ((hidden - stock).float().norm(dim=-1) / stock.float().norm(dim=-1)).mean().item()
    if not difference < TOLERANCE[backbone.dtype]:
        raise UsageProblem(refusal + f"packed results differ from the stock model's by {difference:.1%}", hint)
