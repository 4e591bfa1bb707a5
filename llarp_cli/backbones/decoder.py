"""Decoder language models (LLaMA, Mistral, Qwen, GPT-2, ...): causal over instruction and observations alike."""

from __future__ import annotations

from llarp_cli.backbones.frozen import FrozenBackbone


class DecoderBackbone(FrozenBackbone):
    """A decoder LM, as in the paper (section 4)."""

    prefix_is_causal = True
