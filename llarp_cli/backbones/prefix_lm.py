"""Bidirectional encoders (MiniLM and other BERTs) used as prefix-LMs.

Bidirectional over the instruction, causal over the observation tokens behind it. Observation tokens get
what word tokens get: the position and token-type embeddings and the embedding's normalisation.
"""

from __future__ import annotations

from llarp_cli.backbones.frozen import FrozenBackbone


class PrefixLMBackbone(FrozenBackbone):
    """A BERT-like encoder as a prefix-LM."""

    prefix_is_causal = False
