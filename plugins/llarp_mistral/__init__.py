"""Mistral 7B from the hub, a local folder, or random."""

from llarp_cli.backbones.plugin import TransformersPlugin

mistral_7b = TransformersPlugin(
    summary="Mistral 7B v0.1 (grouped-query attention, sliding window of 4,096)",
    weights="mistralai/Mistral-7B-v0.1",
    architecture={
        "model_type": "mistral",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 32000,
        "max_position_embeddings": 32768,
        "sliding_window": 4096,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
)
